import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../src/explorers/attention";
import { clampCompared, joinedTokens, otherOf, swapped } from "../src/explorers/attention/comparison";
import type { Compared, HeadSelection, SampleContent, Selection } from "../src/explorers/attention/types";
import type { Request } from "../src/kernel/messages";
import { signed } from "../src/marks/numbers";
import type { Token } from "../src/marks/tokens";
import { drawn, stubCanvas } from "./canvas";
import { FakeKernel } from "./fake-kernel";
import { FakeModel, traits } from "./fake-model";

let kernel: FakeKernel;
let model: FakeModel;
let el: HTMLElement;
let close: () => void;

const root = () => el.querySelector(".xw-explorer") as HTMLElement;
const canvas = (start: string) => el.querySelector(`canvas[aria-label^="${start}"]`) as HTMLCanvasElement;
const selectionOf = (start: string): HeadSelection => JSON.parse(canvas(start)?.dataset.selection ?? "{}");
const text = (selector: string) => el.querySelector(selector)?.textContent ?? "";
const input = (label: string) => el.querySelector(`input[aria-label="${label}"]`) as HTMLInputElement;
const button = (name: string) =>
  [...el.querySelectorAll("button")].find((one) => one.textContent === name) as HTMLButtonElement;
const settled = () => vi.waitFor(() => expect(root().dataset.state).not.toBe("busy"));
const asked = () => model.ofKind("compare").at(-1)?.selection as HeadSelection & { other: object };

function answer({ id, kind, selection }: Request): void {
  setTimeout(() => {
    try {
      const { content, arrays, buffer } = kernel.answer(kind, selection);
      const message = { id, kind, content, arrays, milliseconds: 6 };
      model.trigger("msg:custom", [message, [new DataView(buffer)]]);
    } catch (error) {
      model.trigger("msg:custom", [{ id, kind, error: (error as Error).message }, []]);
    }
  });
}

function slide(label: string, value: number): void {
  input(label).value = String(value);
  input(label).dispatchEvent(new Event("input", { bubbles: true }));
}

async function show(changes: Record<string, unknown> = {}, made = new FakeKernel([28, 12, 28])) {
  kernel = made;
  model = new FakeModel(traits({ sample_count: kernel.lengths.length, ...changes }));
  model.kernel = answer;
  close = widget.render({ model, el });
  await vi.waitFor(() => expect(text(".xw-view h3")).toContain("28 × 28"));
  await settled();
}

/** The colour of one cell, and the byte of the table that it is. */
function colourAt(start: string, cell: number): number[] {
  return [...(drawn.get(canvas(start)) as ImageData).data.slice(cell * 4, cell * 4 + 3)];
}
const table = () => new Uint8Array(kernel.answer("colormap", {}).buffer);
const colourOf = (byte: number) => [...table().slice(byte * 3, byte * 3 + 3)];

beforeAll(stubCanvas);

beforeEach(() => {
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  close?.();
  el.remove();
});

describe("comparing", () => {
  it("keeps what is shown as B, and the controls move A", async () => {
    await show();
    button("Compare").click();
    await vi.waitFor(() => expect(canvas("Matrix B")).not.toBeNull());
    expect(model.traits.compared).toEqual([0, 2, 7, 0]);
    expect(button("Compare").getAttribute("aria-pressed")).toBe("true");
    slide("Head", 3);
    await vi.waitFor(() => expect(selectionOf("Matrix A").head).toBe(3));
    expect(selectionOf("Matrix B").head).toBe(7);
    expect(text(".xw-compare")).toContain("A: layer 2 · head 3 · sentence 0");
    expect(text(".xw-compare")).toContain("B: layer 2 · head 7 · sentence 0");
    const [mine, theirs] = [kernel.weights(0, 2, 3), kernel.weights(0, 2, 7)];
    const largest = Math.max(...mine, ...theirs);
    for (const cell of [0, 27, 100, 28 * 22 + 5, 783]) {
      for (const [start, weights] of [
        ["Matrix A", mine],
        ["Matrix B", theirs],
      ] as const) {
        const byte = Math.round((254 * (weights[cell] as number)) / largest);
        expect(colourAt(start, cell)).toEqual(colourOf(byte));
      }
    }
    expect(text(".xw-footer")).toContain("uint8 of both");
  });

  it("asks for both sides with one request a move, and for the head alone again when it ends", async () => {
    await show({ compared: [0, 4, 1, 0] });
    const before = model.sent.length;
    slide("Layer", 3);
    await vi.waitFor(() => expect(selectionOf("Matrix A").layer).toBe(3));
    await settled();
    const kinds = model.sent
      .slice(before)
      .map(({ kind }) => kind)
      .filter((kind) => kind !== "ping");
    expect(kinds).toEqual(["compare"]);
    expect(asked()).toMatchObject({ other: { sample: 0, layer: 4, head: 1, model: 0 }, comparison: "side" });
    button("Close").click();
    await vi.waitFor(() => expect(canvas("Attention matrix")).not.toBeNull());
    expect(model.traits.compared).toBeNull();
    expect(selectionOf("Attention matrix")).toMatchObject({ layer: 3, head: 7 });
    expect(el.querySelector(".xw-compare")).toBeNull();
  });

  it("as a difference draws zero as the middle, with signs at the colour bar", async () => {
    await show({ compared: [0, 4, 1, 0], comparison: "difference" });
    const start = "Difference of matrices A − B";
    await vi.waitFor(() => expect(canvas(start)).not.toBeNull());
    const theirs = kernel.weights(0, 4, 1);
    const differences = kernel.weights(0, 2, 7).map((value, index) => value - (theirs[index] as number));
    const limit = Math.max(...differences.map(Math.abs));
    for (const cell of [0, 27, 100, 783]) {
      const byte = Math.round(127 + (127 * (differences[cell] as number)) / limit);
      expect(colourAt(start, cell)).toEqual(colourOf(byte));
    }
    expect(text(".xw-colour-bar")).toBe(`A − B−${limit.toFixed(3)}+${limit.toFixed(3)}`);
    const picker = el.querySelector('select[aria-label="Colours of the difference"]') as HTMLSelectElement;
    const before = model.ofKind("compare").length;
    picker.value = "PRGn";
    picker.dispatchEvent(new Event("change", { bubbles: true }));
    await vi.waitFor(() =>
      expect(model.ofKind("difference_colormap").at(-1)?.selection).toEqual({ name: "PRGn" }),
    );
    expect(model.ofKind("compare")).toHaveLength(before);
  });

  it("tells both weights of a cell and their difference", async () => {
    await show({ compared: [0, 4, 1, 0], comparison: "difference" });
    await vi.waitFor(() => expect(canvas("Difference")).not.toBeNull());
    const viewport = el.querySelector(".xw-viewport") as HTMLElement;
    viewport.getBoundingClientRect = () => new DOMRect(0, 0, 280, 280);
    viewport.dispatchEvent(new PointerEvent("pointermove", { clientX: 55, clientY: 33, bubbles: true }));
    const [mine, theirs] = [kernel.weights(0, 2, 7), kernel.weights(0, 4, 1)].map(
      (weights) => weights[3 * 28 + 5] as number,
    ) as [number, number];
    const digits = (value: number) => String(Number(value.toPrecision(6))).replace("-", "−");
    const formula = `${digits(mine)} − ${digits(theirs)} = ${signed(digits(mine - theirs))}`;
    await vi.waitFor(() => expect(text(".xw-readout b")).toBe(formula));
    expect(text(".xw-readout")).toContain("“did” (3) → “cross” (5)");
    expect(model.ofKind("other_row").at(-1)?.selection).toMatchObject({
      layer: 4,
      head: 1,
      query: 3,
      model: 0,
    });
  });

  it("lists where the picked query differs most", async () => {
    await show({ compared: [0, 4, 1, 0] });
    const row = (layer: number, head: number) => kernel.weights(0, layer, head).slice(22 * 28, 23 * 28);
    await vi.waitFor(() => expect(el.querySelector(".xw-differences")).not.toBeNull());
    const differences = row(2, 7).map((value, key) => value - (row(4, 1)[key] as number));
    const ranked = [...differences.keys()].sort(
      (a, b) => Math.abs(differences[b] as number) - Math.abs(differences[a] as number),
    );
    const cells = [...el.querySelectorAll(".xw-differences tbody tr")].map((line) =>
      [...line.querySelectorAll("small, td")].map((cell) => cell.textContent),
    );
    expect(cells.map(([key]) => Number(key))).toEqual(ranked.slice(0, 5));
    const first = differences[ranked[0] as number] as number;
    expect(cells[0]?.[3]).toBe(signed(first.toFixed(3).replace("-", "−")));
  });

  it("shares the window, the pointer and the picked query between both", async () => {
    await show({ compared: [0, 4, 1, 0] });
    await vi.waitFor(() => expect(el.querySelectorAll(".xw-viewport")).toHaveLength(2));
    expect(el.querySelectorAll(".xw-row-box")).toHaveLength(2);
    const second = el.querySelectorAll(".xw-viewport")[1] as HTMLElement;
    second.getBoundingClientRect = () => new DOMRect(0, 0, 280, 280);
    second.dispatchEvent(new PointerEvent("pointermove", { clientX: 55, clientY: 33, bubbles: true }));
    await vi.waitFor(() => expect(el.querySelectorAll(".xw-crosshair")).toHaveLength(4));
    (el.querySelector('[aria-label="Zoom in"]') as HTMLElement).click();
    await vi.waitFor(() => expect(el.querySelectorAll(".xw-zoomed")).toHaveLength(2));
    second.dispatchEvent(new MouseEvent("click", { clientX: 55, clientY: 33, bubbles: true }));
    await vi.waitFor(() => expect(asked().query).not.toBe(22));
    await settled();
    const tops = [...el.querySelectorAll<HTMLElement>(".xw-row-box")].map(({ style }) => style.top);
    expect(tops[0]).toBe(tops[1]);
  });

  it("marks B's head in the grid with a frame of its own, in words too", async () => {
    await show({ compared: [0, 4, 1, 0] });
    const grid = el.querySelector('canvas[role="grid"]') as HTMLElement;
    expect(grid.getAttribute("aria-label")).toContain(
      "layer 2, head 7 is picked; compared with layer 4, head 1",
    );
    const frame = el.querySelector<HTMLElement>(".xw-frame.xw-dashed") as HTMLElement;
    expect(Number.parseFloat(frame.style.top)).toBeCloseTo((100 * 4) / 6);
    expect(Number.parseFloat(frame.style.left)).toBeCloseTo(100 / 12);
  });

  it("has controls of B's own, which ask for what there is on that side", async () => {
    await show({ compared: [0, 4, 1, 0] });
    slide("B: head", 9);
    await vi.waitFor(() => expect(selectionOf("Matrix B").head).toBe(9));
    slide("B: sample", 2);
    await vi.waitFor(() => expect(selectionOf("Matrix B").sample).toBe(2));
    expect(model.ofKind("other").at(-1)?.selection).toMatchObject({ sample: 2, model: 0 });
    expect(text(".xw-compare")).toContain("B: layer 4 · head 9 · sentence 2");
    expect(selectionOf("Matrix A")).toMatchObject({ sample: 0, head: 7 });
    button("Swap").click();
    await vi.waitFor(() => expect(selectionOf("Matrix A")).toMatchObject({ sample: 2, layer: 4, head: 9 }));
    expect(model.traits.compared).toEqual([0, 2, 7, 0]);
  });

  it("says when the other one is of another length, and lives on", async () => {
    await show({ compared: [0, 4, 1, 0] });
    const alert = () => (el.querySelector('[role="alert"]') as HTMLElement).textContent;
    slide("B: sample", 1);
    await vi.waitFor(() => expect(alert()).toBe("sample 1 has 12 tokens"));
    expect(selectionOf("Matrix B").sample).toBe(0);
    slide("B: sample", 2);
    await vi.waitFor(() => expect(selectionOf("Matrix B").sample).toBe(2));
    expect(alert()).toBe("");
  });

  it("lines and text are those of A, as the strip says", async () => {
    await show({ compared: [0, 4, 1, 0] });
    (el.querySelector('input[value="lines"]') as HTMLInputElement).click();
    await vi.waitFor(() => expect(el.querySelector(".xw-lines")).not.toBeNull());
    await settled();
    expect(text(".xw-compare")).toContain("shown alone; Matrix compares");
    expect(model.ofKind("head").at(-1)?.selection).toMatchObject({ layer: 2, head: 7 });
    button("Close").click();
    await vi.waitFor(() => expect(el.querySelector(".xw-compare")).toBeNull());
    button("Compare").click(); // what compares is shown
    await vi.waitFor(() => expect(canvas("Matrix B")).not.toBeNull());
    expect(model.traits.view).toBe("matrix");
  });
});

describe("another model", () => {
  it("is compared at the same place, which follows until it is pinned", async () => {
    await show({ other_model: true });
    button("Compare").click();
    await vi.waitFor(() => expect(canvas("Matrix B")).not.toBeNull());
    expect(model.traits.compared).toEqual([null, null, null, 1]);
    slide("Layer", 5);
    await vi.waitFor(() =>
      expect(asked()).toMatchObject({ layer: 5, other: { layer: 5, head: 7, model: 1 } }),
    );
    expect(text(".xw-compare")).toContain("B: layer 5 · head 7 · sentence 0");
    expect(el.querySelector<HTMLSelectElement>('select[aria-label="B: model"]')?.value).toBe("1");
    expect(text(".xw-pair figure:nth-child(2) figcaption")).toMatch(/^B other model · /);
    expect(el.querySelector(".xw-frame.xw-dashed")).toBeNull(); // it is not of this grid
    expect(button("Swap").disabled).toBe(true);
    input("B: same head").click();
    await vi.waitFor(() => expect(model.traits.compared).toEqual([null, 5, 7, 1]));
    slide("Head", 2);
    await vi.waitFor(() =>
      expect(asked()).toMatchObject({ head: 2, other: { layer: 5, head: 7, model: 1 } }),
    );
    slide("Sample", 2);
    await vi.waitFor(() => expect(asked()).toMatchObject({ sample: 2, other: { sample: 2 } }));
  });
});

describe("where B is", () => {
  const at = (compared: Compared | null): Selection =>
    ({ sample: 1, layer: 2, head: "mean", compared }) as unknown as Selection;

  it("is what was pinned, or follows", () => {
    expect(otherOf(at(null))).toBeNull();
    expect(otherOf(at([0, null, null, 1]))).toEqual({ sample: 0, layer: 2, head: "mean", model: 1 });
    expect(swapped(at([null, 3, 4, 0]))).toEqual({
      ...{ sample: 1, layer: 3, head: 4 },
      compared: [null, 2, "mean", 0],
    });
  });

  it("stays within the layers and heads that are there", () => {
    const layers = [{ heads: 12 }, { heads: 4 }];
    const clamped = (compared: Compared) => clampCompared(compared, { layers } as unknown as SampleContent);
    expect(clamped([0, 5, 9, 0])).toEqual([0, 1, 3, 0]);
    expect(clamped([null, 0, "max", 1])).toEqual([null, 0, "max", 1]);
    const kept: Compared = [0, null, null, 1];
    expect(clamped(kept)).toBe(kept);
  });

  it("has one name a position, or both where they differ", () => {
    const token = (word: string): Token => [word, word, 0, 0, 0];
    const mine = ["a", "dog", "runs"].map(token);
    expect(joinedTokens(mine, ["a", "cat"].map(token))?.map(([word]) => word)).toEqual([
      "a",
      "dog / cat",
      "runs",
    ]);
    expect(joinedTokens(mine, null)).toBe(mine);
  });

  it("has a plus where a difference is more", () => {
    expect(["0.117", "−0.117", "0", "…", "NaN", "∞"].map(signed)).toEqual([
      ...["+0.117", "−0.117", "0", "…", "NaN", "+∞"],
    ]);
  });
});
