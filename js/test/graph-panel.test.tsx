/** The graph of the structure explorer: what it shows of a recorded GPT-2, and what its boxes set. */
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../src/explorers/structure";
import type { Failure } from "../src/explorers/structure/types";
import type { Request } from "../src/kernel/messages";
import { svgText } from "../src/marks/graph-export";
import { stubCanvas } from "./canvas";
import { FakeModel } from "./fake-model";
import { answer, rowsOf } from "./fake-structure";
import { recordedGraph } from "./graph-recorded";

const graph = recordedGraph("GPT-2");
const FIRST = ["", "transformer"];

let model: FakeModel;
let el: HTMLElement;
let close: () => void;

const tree = () => el.querySelector('[role="tree"]') as HTMLElement;
const boxes = () => [...el.querySelectorAll<SVGGElement>('[role="treeitem"]')];
const box = (id: string) => boxes().find((one) => one.dataset.id === id) as SVGGElement;
const textsOf = (id: string) => [...box(id).querySelectorAll("text")].map((text) => text.textContent);
const redrawn = () => new Promise((resolve) => setTimeout(resolve, 10));
const button = (text: string) =>
  [...el.querySelectorAll("button")].find((one) => one.textContent === text) as HTMLButtonElement;
const click = (target: Element | null | undefined) => {
  target?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  return redrawn();
};
const press = (key: string, options: object = {}) => {
  tree().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...options }));
  return redrawn();
};
const toggle = (id: string) => click(box(id).querySelector(".xw-graph-triangle"));
/** Which box keys act on. */
const active = () =>
  boxes().find(({ id }) => id === tree().getAttribute("aria-activedescendant"))?.dataset.id;

/** By keys to the folded blocks. */
async function focusBlock(): Promise<void> {
  await press("Home");
  await press("ArrowRight");
  for (let n = 0; n < 9 && active() !== "transformer"; n += 1) await press("ArrowDown");
  await press("ArrowRight");
  for (let n = 0; n < 20 && !active()?.startsWith("transformer.h"); n += 1) await press("ArrowDown");
}

/** Where a box lies in the view, in pixels. */
function placeOf(id: string): [number, number] {
  const numbers = (text: string | null) => (text?.match(/-?[\d.]+(e-?\d+)?/g) ?? []).map(Number);
  const [scale = 1, dx = 0, dy = 0] = numbers(
    tree().querySelector("svg > g")?.getAttribute("transform") ?? null,
  );
  const [x = 0, y = 0] = numbers(box(id).getAttribute("transform"));
  return [(x + dx) * scale, (y + dy) * scale];
}

function reply({ id, kind, selection }: Request, failure: Failure | null): void {
  const { content, arrays, buffer } = answer(kind, selection, { overlays: { flops: graph.calls.flops } });
  const names = graph.calls.name;
  const modules = names.map((name) => ({ name, type: "Module", parameters: 10 }));
  const more = kind === "structure" ? { graph, first_sight: FIRST, rows: rowsOf(modules), failure } : {};
  const message = { id, kind, content: { ...content, ...more }, arrays, milliseconds: 1 };
  model.trigger("msg:custom", [message, [new DataView(buffer)]]);
}

async function show(traits: Record<string, unknown> = {}, failure: Failure | null = null): Promise<void> {
  model = new FakeModel({
    ...{ sample: 0, layer_name: "", view: "graph", overlay: "", target: null, opened: null },
    ...{ instances: {}, graph: "forward", colormap: "Blues", colormaps: ["Blues"] },
    ...{ sample_count: 1, can_append: false },
    ...traits,
  });
  model.kernel = (request) => setTimeout(() => reply(request, failure));
  close = widget.render({ model, el });
  await vi.waitFor(() => expect(tree()).not.toBeNull());
  await redrawn();
}

beforeAll(stubCanvas);

beforeEach(() => {
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  close();
  el.remove();
});

describe("the graph at first sight", () => {
  it("has named boxes, a folded run of blocks, and the shapes that pass", async () => {
    await show();
    expect(boxes().map(({ dataset }) => dataset.id)).toEqual(
      expect.arrayContaining(["transformer.h.0", "lm_head"]),
    );
    expect(textsOf("transformer.h.0")).toEqual(expect.arrayContaining(["h.0", "GPT2Block", "× 4"]));
    expect(box("transformer.h.0").getAttribute("aria-label")).toContain("block 0 of 4 that are alike");
    expect(box("transformer").getAttribute("aria-expanded")).toBe("true");
    expect(box("transformer.h.0").getAttribute("aria-level")).toBe("3");
    const shapes = [...el.querySelectorAll(".xw-graph-shapes rect + text")].map(
      (one) => one.firstChild?.textContent,
    );
    expect(shapes).toContain("1 × 11 × 32");
  });

  it("draws a line for each edge between boxes that are seen", async () => {
    await show();
    const line = el.querySelector('[data-from="transformer.drop"][data-to="transformer.h.0"] path');
    expect(line?.getAttribute("d")).toMatch(/^M[\d.]+ [\d.]+/);
  });
});

describe("a box", () => {
  it("opens and closes by its triangle, and stays where it is", async () => {
    await show();
    const was = placeOf("transformer.h.0");
    await toggle("transformer.h.0");
    expect(model.get("opened")).toEqual([...FIRST, "transformer.h.0"]);
    expect(box("transformer.h.0.attn")).toBeDefined();
    placeOf("transformer.h.0").forEach((at, n) => {
      expect(at).toBeCloseTo(was[n] as number);
    });
    expect(model.get("layer_name")).toBe("");
    await toggle("transformer.h.0");
    expect(box("transformer.h.0.attn")).toBeUndefined();
    expect(model.get("opened")).toEqual(FIRST);
    await click(button("Reset"));
    expect(model.get("opened")).toBeNull();
  });

  it("is picked by a click, an operation by the module around it", async () => {
    await show();
    await click(box("transformer.h.0"));
    expect(model.get("layer_name")).toBe("transformer.h.0");
    expect(box("transformer.h.0").getAttribute("aria-selected")).toBe("true");
    await click(boxes().find((one) => one.textContent?.includes("arange")));
    expect(model.get("layer_name")).toBe("transformer");
  });

  it("shows another block with the same boxes open", async () => {
    await show({ opened: [...FIRST, "transformer.h.0", "transformer.h.0.mlp"] });
    await focusBlock();
    expect(active()).toBe("transformer.h.0");
    const input = el.querySelector<HTMLInputElement>(".xw-graph-picker input") as HTMLInputElement;
    expect(input.getAttribute("aria-label")).toBe("Block that is shown of h.0, 0 to 3");
    const was = placeOf("transformer.h.0");
    input.value = "3";
    input.dispatchEvent(new Event("change", { bubbles: true }));
    await redrawn();
    expect(Object.values(model.get("instances") as object)).toEqual([3]);
    expect(model.get("opened")).toEqual([...FIRST, "transformer.h.3", "transformer.h.3.mlp"]);
    expect(box("transformer.h.3.mlp.c_fc")).toBeDefined();
    placeOf("transformer.h.3").forEach((at, n) => {
      expect(at).toBeCloseTo(was[n] as number);
    });
    input.value = "9";
    input.dispatchEvent(new Event("change", { bubbles: true }));
    await redrawn();
    expect(Object.values(model.get("instances") as object)).toEqual([3]);
    expect(input.value).toBe("3");
  });

  it("has the colour of the overlay, and its number in the place of the class", async () => {
    await show();
    const places = boxes().map(({ dataset }) => placeOf(dataset.id as string));
    model.set("overlay", "flops");
    await vi.waitFor(() => expect(textsOf("lm_head")).not.toContain("Linear"));
    const ground = box("lm_head").querySelector<SVGRectElement>(".xw-graph-ground");
    expect(ground?.style.fill).toMatch(/^rgb/);
    expect(boxes().map(({ dataset }) => placeOf(dataset.id as string))).toEqual(places);
  });
});

describe("keys", () => {
  it("go along edges, open, and pick", async () => {
    await show();
    await press("End");
    expect(active()).toBe("(output)");
    await press("ArrowUp");
    expect(active()).toBe("");
    await focusBlock();
    await press("Enter");
    expect(model.get("opened")).toEqual([...FIRST, "transformer.h.0"]);
    await press("ArrowRight");
    expect(active()?.startsWith("transformer.h.0.") || active()?.startsWith("#")).toBe(true);
    await press("ArrowLeft");
    await press(" ");
    expect(model.get("layer_name")).toBe("transformer.h.0");
  });

  it("zoom and pan", async () => {
    await show();
    const scale = () =>
      Number(/scale\(([\d.]+)/.exec(tree().querySelector("svg > g")?.getAttribute("transform") ?? "")?.[1]);
    const before = scale();
    await press("+");
    expect(scale()).toBeCloseTo(1.25 * before);
    await press("-");
    const [x, y] = placeOf("transformer");
    await press("ArrowDown", { shiftKey: true });
    expect(placeOf("transformer")[1]).toBeLessThan(y);
    expect(placeOf("transformer")[0]).toBeCloseTo(x);
    await press("0");
    expect(scale()).toBeLessThan(before);
  });
});

describe("what is searched for", () => {
  it("is marked where it is seen, and opened by Next", async () => {
    await show();
    const search = el.querySelector('input[aria-label="Find module"]') as HTMLInputElement;
    search.value = "2.mlp.c_fc";
    search.dispatchEvent(new Event("input", { bubbles: true }));
    await redrawn();
    expect(box("transformer.h.0").querySelector(".xw-graph-found.xw-inside")).not.toBeNull();
    search.form?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
    await vi.waitFor(() => expect(box("transformer.h.2.mlp.c_fc")).toBeDefined());
    expect(model.get("layer_name")).toBe("transformer.h.2.mlp.c_fc");
    expect(box("transformer.h.2.mlp.c_fc").querySelector(".xw-graph-found.xw-itself")).not.toBeNull();
    await vi.waitFor(() => {
      const [x, y] = placeOf("transformer.h.2.mlp.c_fc");
      expect(x > 0 && x < 800 && y > 0 && y < 480).toBe(true);
    });
  });

  it("elsewhere marks the closed box that it is in, which a button opens", async () => {
    await show();
    model.set("layer_name", "transformer.h.1.attn");
    await redrawn();
    expect(box("transformer.h.0").querySelector(".xw-graph-picked.xw-inside")).not.toBeNull();
    expect(model.get("opened")).toBeNull();
    await click(button("Show picked"));
    expect(box("transformer.h.1.attn").getAttribute("aria-selected")).toBe("true");
  });
});

describe("a forward that failed", () => {
  it("marks the box with the shapes that met", async () => {
    const call = "lm_head";
    await show(
      {},
      { type: "RuntimeError", message: "they differ", call, operation: "linear", shapes: ["1 × 2", "3 × 4"] },
    );
    expect(box(call).querySelector(".xw-graph-failed")).not.toBeNull();
    expect(textsOf(call)).toContain("✕ 1 × 2 · 3 × 4");
    expect(box(call).getAttribute("aria-label")).toContain("failed with 1 × 2 and 3 × 4: they differ");
  });
});

describe("a backward graph that cannot be had", () => {
  it("is not waited for, and the way back stays", async () => {
    await show();
    model.kernel = ({ id, kind }) =>
      setTimeout(() => model.trigger("msg:custom", [{ id, kind, error: "pass a target" }, []]));
    model.set("graph", "backward");
    await vi.waitFor(() => expect(el.textContent).toContain("pass a target"));
    expect(el.textContent).toContain("There is no graph to show.");
    expect(el.textContent).not.toContain("Reading the graph");
    model.set("graph", "forward");
    await vi.waitFor(() => expect(box("lm_head")).toBeDefined());
  });
});

describe("the picture to save", () => {
  it("has all names as text, and neither classes nor roles", async () => {
    await show();
    const text = svgText(tree().querySelector("svg") as SVGSVGElement, 300, 200);
    expect(text).toContain('xmlns="http://www.w3.org/2000/svg"');
    expect(text).toContain(">lm_head</text>");
    expect(text).toContain('viewBox="-16 -16 332 232"');
    expect(text).not.toMatch(/class=|role=|aria-|data-|var\(/);
  });
});
