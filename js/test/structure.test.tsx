/** The structure explorer: what its table and its values show, and what its controls ask for. */
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../src/explorers/structure";
import { overlayOf, ZERO_COLOUR } from "../src/explorers/structure/overlay";
import { foundNames, sortedRows, treeRows } from "../src/explorers/structure/rows";
import type { Request } from "../src/kernel/messages";
import { stubCanvas } from "./canvas";
import { FakeModel } from "./fake-model";
import { answer, deepModel, type Fake, rowsOf } from "./fake-structure";

let model: FakeModel;
let el: HTMLElement;
let close: () => void;
/** Kinds that are not answered by themselves. */
let held: string[];

const root = () => el.querySelector(".xw-explorer") as HTMLElement;
const table = () => el.querySelector('[role="treegrid"]') as HTMLElement;
const rows = () => [...el.querySelectorAll<HTMLElement>(".xw-table-body [role='row']")];
const nameOf = (row: HTMLElement | undefined) =>
  row?.querySelector('[role="rowheader"]')?.getAttribute("title")?.split(" · ")[0] ?? "";
const names = () => rows().map(nameOf);
const rowNamed = (name: string) => rows().find((row) => nameOf(row) === name) as HTMLElement;
const cellsOf = (name: string) => [...rowNamed(name).children].map((cell) => cell.textContent);
const headers = () => [...el.querySelectorAll<HTMLElement>('[role="columnheader"]')];
const header = (name: string) => headers().find((one) => one.textContent?.startsWith(name)) as HTMLElement;
const cell = (name: string, column: string) =>
  rowNamed(name).children[headers().indexOf(header(column))] as HTMLElement;
const sortBy = (name: string) => click(header(name).querySelector("button"));
const press = (key: string) => table().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const redrawn = () => new Promise((resolve) => setTimeout(resolve, 10));
const button = (text: string) =>
  [...el.querySelectorAll("button")].find((one) => one.textContent === text) as HTMLButtonElement;

async function click(target: Element | null): Promise<void> {
  (target as HTMLElement).click();
  await redrawn();
}

function reply({ id, kind, selection }: Request, fake: Fake, partial?: true, more: object = {}): void {
  const { content, arrays, buffer } = answer(kind, selection, fake);
  const message = { id, kind, content: { ...content, ...more }, arrays, milliseconds: 1 };
  model.trigger("msg:custom", [{ ...message, ...(partial && { partial }) }, [new DataView(buffer)]]);
}

async function show(traits: Record<string, unknown> = {}, fake: Fake = {}): Promise<void> {
  model = new FakeModel({
    ...{ sample: 0, layer_name: "", view: "layers", overlay: "", target: null, opened: null },
    ...{ instances: {}, graph: "forward", colormap: "Blues", colormaps: ["Blues", "viridis"] },
    ...{ sample_count: 2, can_append: false },
    ...traits,
  });
  model.kernel = (request) => {
    if (!held.includes(request.kind)) setTimeout(() => reply(request, fake));
  };
  close = widget.render({ model, el });
  await vi.waitFor(() => expect(root().dataset.state).toBe("ready"));
}

function pickIn(label: string, value: string): Promise<unknown> {
  const picker = el.querySelector(`select[aria-label="${label}"]`) as HTMLSelectElement;
  picker.value = value;
  picker.dispatchEvent(new Event("change", { bubbles: true }));
  return redrawn();
}

async function find(text: string): Promise<void> {
  const box = el.querySelector('input[aria-label="Find module"]') as HTMLInputElement;
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
  await redrawn();
}

beforeAll(stubCanvas);

beforeEach(() => {
  held = [];
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  close();
  el.remove();
});

describe("the layer table", () => {
  it("is the tree of modules with their numbers in short and, on pointing, in full", async () => {
    await show();
    expect(names()).toEqual([
      ...["the model", "stem", "blocks", "blocks.0", "blocks.0.linear", "blocks.1", "blocks.1.linear"],
      "unused",
    ]);
    expect(
      rowNamed("blocks.0.linear").ariaLevel ?? rowNamed("blocks.0.linear").getAttribute("aria-level"),
    ).toBe("4");
    expect(cell("stem", "Type").textContent).toBe("Conv2d");
    expect(cell("stem", "Input").textContent).toBe("1 × 3 × 8 × 8");
    expect(cell("stem", "Params").textContent).toBe("234.6 k");
    expect(cell("stem", "Params").title).toBe("Parameters: 234,567");
    expect(cell("stem", "Share").textContent).toBe("19.0 %");
    expect(cell("stem", "Time").textContent).toBe("3.10 ms");
    expect(cell("stem", "Trainable").textContent).toBe("no");
    expect(cell("the model", "Trainable").textContent).toBe("partly");
    expect(el.querySelector(".xw-totals")?.textContent).toContain("Parameters 1.2 M");
  });

  it("says what never ran and what ran twice, but not that of a list whose parts did", async () => {
    await show();
    expect(cellsOf("unused")[0]).toContain("never called");
    expect(cellsOf("blocks.1.linear")[0]).toContain("called 2 times");
    expect(cellsOf("blocks")[0]).not.toContain("called");
  });

  it("sorts by a column, largest first, then the other way, and goes back to the tree", async () => {
    await show();
    await sortBy("FLOPs");
    expect(names().slice(0, 4)).toEqual(["the model", "stem", "blocks", "blocks.1"]);
    expect(header("FLOPs").getAttribute("aria-sort")).toBe("descending");
    expect(rowNamed("blocks.1").querySelector('[role="rowheader"]')?.textContent).toContain("blocks.1");
    await sortBy("FLOPs");
    expect(names().at(-1)).toBe("the model");
    await click(button("As a tree"));
    expect(names().slice(0, 3)).toEqual(["the model", "stem", "blocks"]);
  });

  it("picks with clicks and arrow keys, which sets the trait", async () => {
    await show();
    await click(rowNamed("stem"));
    expect(model.get("layer_name")).toBe("stem");
    expect(rowNamed("stem").getAttribute("aria-selected")).toBe("true");
    press("ArrowDown");
    await redrawn();
    expect(model.get("layer_name")).toBe("blocks");
    press("End");
    await redrawn();
    expect(model.get("layer_name")).toBe("unused");
  });

  it("folds with the left key and unfolds with the right one, which then goes inside", async () => {
    await show({ layer_name: "blocks.0" });
    press("ArrowLeft");
    await redrawn();
    expect(names()).not.toContain("blocks.0.linear");
    expect(rowNamed("blocks.0").getAttribute("aria-expanded")).toBe("false");
    press("ArrowLeft");
    await redrawn();
    expect(model.get("layer_name")).toBe("blocks");
    press("ArrowRight");
    await redrawn();
    expect(model.get("layer_name")).toBe("blocks.0");
    press("ArrowRight");
    await redrawn();
    expect(names()).toContain("blocks.0.linear");
  });

  it("folds at the triangle without picking, and opens for what is picked inside", async () => {
    await show();
    await click(rowNamed("blocks").querySelector(".xw-fold"));
    expect(names()).toEqual(["the model", "stem", "blocks", "unused"]);
    expect(model.get("layer_name")).toBe("");
    model.set("layer_name", "blocks.1.linear");
    await redrawn();
    expect(rowNamed("blocks.1.linear").getAttribute("aria-selected")).toBe("true");
  });

  it("folds to a depth", async () => {
    await show();
    await pickIn("Depth", "1");
    expect(names()).toEqual(["the model", "stem", "blocks", "unused"]);
    await pickIn("Depth", "");
    expect(names()).toHaveLength(8);
  });

  it("marks the row of the second call of a module", async () => {
    await show({ layer_name: "blocks.1.linear:1" });
    expect(rowNamed("blocks.1.linear").getAttribute("aria-selected")).toBe("true");
  });

  it("draws only the rows in sight of a long model, and scrolls to the picked one", async () => {
    await show({ layer_name: "layers.1500" }, { modules: deepModel(2000) });
    expect(table().getAttribute("aria-rowcount")).toBe("2003");
    expect(rows().length).toBeLessThan(50);
    expect(table().scrollTop).toBeGreaterThan(1480 * 26);
    table().dispatchEvent(new Event("scroll"));
    await redrawn();
    expect(names()).toContain("layers.1500");
  });

  it("copies itself as text, and says where the browser refuses", async () => {
    const written: string[] = [];
    const writeText = vi.fn(async (text: string) => void written.push(text));
    vi.stubGlobal("navigator", { clipboard: { writeText } });
    await show();
    await click(button("Copy text"));
    await vi.waitFor(() => expect(root().textContent).toContain("copied as text"));
    await click(button("Copy CSV"));
    await vi.waitFor(() => expect(root().textContent).toContain("copied as CSV"));
    expect(written).toEqual(["Layer  Params", "name,type"]);
    writeText.mockRejectedValue(new Error("refused"));
    document.execCommand = () => false;
    await click(button("Copy text"));
    await vi.waitFor(() => expect(root().textContent).toContain("did not let the table be copied"));
    vi.unstubAllGlobals();
  });
});

describe("search", () => {
  it("marks what it finds, counts it, and goes from one to the next and around", async () => {
    await show();
    await find("LINEAR");
    const found = () => el.querySelector(".xw-found")?.textContent;
    expect(found()).toBe("3");
    expect(el.querySelectorAll("mark").length).toBeGreaterThan(0);
    const next = async () => click(button("Next"));
    await next();
    expect([model.get("layer_name"), found()]).toEqual(["blocks.0.linear", "1 of 3"]);
    await next();
    await next();
    expect([model.get("layer_name"), found()]).toEqual(["unused", "3 of 3"]);
    await next();
    expect(model.get("layer_name")).toBe("blocks.0.linear");
    await find("nothing like it");
    expect(found()).toBe("not found");
  });
});

describe("overlays", () => {
  it("colour a cell of each row, tell their ends, and ask for no new structure", async () => {
    await show();
    await pickIn("Colour by", "flops");
    expect(model.ofKind("overlay").at(-1)?.selection).toEqual({ sample: 0, overlay: "flops", target: null });
    expect(model.ofKind("structure")).toHaveLength(1);
    const legend = el.querySelector(".xw-overlay-legend") as HTMLElement;
    expect(legend.textContent).toContain("log scale");
    expect(legend.querySelector(".xw-ramp")?.getAttribute("aria-label")).toBe("Colours from 500 to 5.0 k");
    expect(legend.textContent).toContain("1 zero");
    expect(cell("the model", "FLOPs").style.background).toBe("rgb(254 254 254)");
    expect(cell("blocks.0", "FLOPs").style.background).toBe("rgb(0 0 0)");
    expect(cell("unused", "FLOPs").style.background).toBe(ZERO_COLOUR);
  });

  it("have a column of their own where the table has none, by which it is sorted", async () => {
    const deviation = [Number.NaN, 3, 1, 4, 1.5, 9, 2.5, Number.NaN];
    await show({ overlay: "deviation" }, { overlays: { deviation } });
    expect(cell("stem", "Output deviation").textContent).toBe("3");
    expect(cell("unused", "Output deviation").textContent).toBe("n/a");
    expect(cell("unused", "Output deviation").style.background).toBe("");
    expect(el.querySelector(".xw-overlay-legend")?.textContent).toContain("2 without one");
    await sortBy("Output deviation");
    expect(names().slice(0, 2)).toEqual(["blocks.1", "blocks.0"]);
    expect(names().slice(-2)).toEqual(["the model", "unused"]);
  });

  it.each(["gradient", "backward_seconds"])(
    "of %s follow the target; others do not ask again",
    async (overlay) => {
      await show({ overlay });
      await pickIn("Target", "0");
      expect(model.ofKind("overlay").at(-1)?.selection).toMatchObject({ overlay, target: 0 });
      await pickIn("Colour by", "deviation");
      const before = model.ofKind("overlay").length;
      model.set("target", 1);
      await redrawn();
      expect(model.ofKind("overlay")).toHaveLength(before);
    },
  );

  it("that take long show how far they are and can be stopped", async () => {
    held = ["overlay"];
    await show({ overlay: "flops" }).catch(() => undefined);
    const [request] = model.ofKind("overlay");
    reply(request as Request, {}, true, { progress: [3, 12] });
    await redrawn();
    expect(el.querySelector(".xw-status")?.textContent).toContain("FLOPs: 3 of 12");
    await click(button("Stop"));
    expect(model.ofKind("stop").at(-1)?.selection).toEqual({ id: request?.id });
    expect(el.querySelector(".xw-status")?.textContent).toBe("");
  });

  it("leave no number out of the scale because another is not finite", () => {
    const said = { overlay: "gradient", label: "Gradient norm", unit: "", note: "", partial: false } as const;
    const values = Float32Array.of(1, Number.POSITIVE_INFINITY, 100, 0, Number.NaN);
    const grey = Uint8Array.from({ length: 768 }, (_, at) => Math.floor(at / 3));
    const overlay = overlayOf({ ...said, log: true, values, progress: null }, grey);
    expect([0, 1, 2, 3, 4].map(overlay.colourOf)).toEqual([
      ...["rgb(0 0 0)", "rgb(255 255 255)", "rgb(254 254 254)", ZERO_COLOUR, null],
    ]);
    expect(overlay.legend).toMatchObject({ ends: ["1", "100"], zeros: 1, missing: 1, infinite: 1 });
    expect([overlay.inkOf(0), overlay.inkOf(2)]).toEqual(["#ffffff", "#1f2328"]);
    expect([1, 4].map(overlay.textOf)).toEqual(["∞", "n/a"]);
  });
});

describe("values of a module", () => {
  it("are asked for when they are looked at, and again of another module", async () => {
    await show({ layer_name: "stem" });
    expect(model.ofKind("values")).toHaveLength(0);
    await click(el.querySelector('input[value="values"]'));
    expect(model.ofKind("values").at(-1)?.selection).toEqual({ sample: 0, layer_name: "stem", target: null });
    await click(rowNamed("blocks.0.linear"));
    expect(model.ofKind("values").at(-1)?.selection).toMatchObject({ layer_name: "blocks.0.linear" });
  });

  it("are statistics and histograms, with what is not finite marked", async () => {
    await show({ view: "values", layer_name: "stem" });
    const lines = [...el.querySelectorAll(".xw-numbers tbody tr")].map((line) =>
      [...line.children].map((one) => one.textContent),
    );
    expect(lines[0]).toEqual([
      ...["output", "10 × 20", "0.25", "0.02012", "−1.5", "2", "50.0 %", "12.75", "0", "0"],
    ]);
    expect([...el.querySelectorAll(".xw-alarming")].map((one) => one.textContent)).toEqual(["3"]);
    expect(el.querySelectorAll(".xw-histogram")).toHaveLength(2);
  });

  it("tell the initialisation and warn where it is far from what is expected", async () => {
    await show({ view: "values", layer_name: "stem" });
    const said = el.querySelector(".xw-initialisations") as HTMLElement;
    expect(said.textContent).toContain("weight looks like normal");
    expect(said.textContent).toContain("deviation 0.02 · expected 0.2 · fan-in 50, fan-out 64");
    expect(said.querySelector(".xw-warning")?.textContent).toContain("0.1 times");
  });

  it("of a container are the parameters in it; a click goes to the module that has one", async () => {
    await show({ view: "values", layer_name: "blocks" });
    await click(button("1.linear.weight"));
    expect(model.get("layer_name")).toBe("blocks.1.linear");
  });

  it("count dead units over the samples, show how far, and can be stopped", async () => {
    await show({ view: "values", layer_name: "stem" });
    held = ["dead"];
    await click(button("Count over the samples"));
    const [request] = model.ofKind("dead");
    expect(request?.selection).toEqual({ layer_name: "stem", count: 2 });
    reply(request as Request, {}, true, { samples: 1 });
    await redrawn();
    const progress = el.querySelector('progress[aria-label="Samples read"]') as HTMLProgressElement;
    expect([progress.value, progress.max]).toEqual([1, 2]);
    await click(button("Stop"));
    expect(model.ofKind("stop").at(-1)?.selection).toEqual({ id: request?.id });
    model.trigger("msg:custom", [
      { id: request?.id, kind: "dead", content: { stopped: true }, arrays: {}, milliseconds: 1 },
      [],
    ]);
    held = [];
    await click(button("Count again"));
    await vi.waitFor(() => expect(root().textContent).toContain("units 3, 7"));
    await click(rowNamed("blocks"));
    expect(root().textContent).not.toContain("units 3");
  });

  it("have singular values on demand", async () => {
    await show({ view: "values", layer_name: "stem" });
    await click(button("Spectral norm and rank"));
    await vi.waitFor(() => expect(root().textContent).toContain("7.25 of 10"));
    expect(root().textContent).toContain("Spectral norm3.5");
  });
});

describe("a forward that fails", () => {
  it("is told on top with the shapes that met; the table stays alive and leads to the module", async () => {
    const failure = {
      ...{ type: "RuntimeError", message: "shapes cannot be multiplied", call: "stem" },
      ...{ operation: "linear", shapes: ["1 × 3136", "10 × 100"] },
    };
    await show({}, { failure });
    const told = el.querySelector(".xw-failure") as HTMLElement;
    expect(told.textContent).toBe(
      "The forward failed in stem: linear of [1 × 3136] and [10 × 100] raised RuntimeError: shapes cannot be multiplied",
    );
    await click(told.querySelector("button"));
    expect(model.get("layer_name")).toBe("stem");
  });
});

describe("a move to another sample", () => {
  it("asks for its structure and, of what is shown, for its colours", async () => {
    await show({ overlay: "flops" });
    const slider = el.querySelector('input[aria-label="Sample"]') as HTMLInputElement;
    slider.value = "1";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await vi.waitFor(() => expect(model.ofKind("overlay").at(-1)?.selection).toMatchObject({ sample: 1 }));
    expect(model.ofKind("structure").at(-1)?.selection).toEqual({ sample: 1 });
  });
});

describe("rows", () => {
  it("without a number come last whichever way they are sorted, names by their numbers", () => {
    const made = rowsOf([
      { name: "", type: "b10" },
      { name: "x", type: "b9" },
      { name: "y", type: "a" },
    ]);
    expect(sortedRows(made, { key: "type", ascending: true })).toEqual([2, 1, 0]);
    expect(foundNames(made, " B1 ")).toEqual([""]);
    expect(treeRows(made, new Set([""]))).toEqual([0]);
  });
});
