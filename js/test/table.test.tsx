/** Statistics of all heads: the table in the middle, and the grid coloured by one of them. */
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../src/explorers/attention";
import {
  type Column,
  decimalsOf,
  type HeadTable,
  levelsOf,
  sortedRows,
  textOf,
} from "../src/explorers/attention/statistics";
import { rowAfter } from "../src/explorers/shared/table";
import type { Request } from "../src/kernel/messages";
import { flatCells } from "../src/marks/mosaic";
import { drawn, stubCanvas } from "./canvas";
import { FakeKernel, type Reply } from "./fake-kernel";
import { FakeModel, traits } from "./fake-model";

let kernel: FakeKernel;
let model: FakeModel;
let el: HTMLElement;
let close: () => void;

const root = () => el.querySelector(".xw-explorer") as HTMLElement;
const settled = () => vi.waitFor(() => expect(root().dataset.state).toBe("ready"));
const text = (selector: string) => el.querySelector(selector)?.textContent ?? "";
const table = () => el.querySelector(".xw-table") as HTMLElement;
const rows = () => [...el.querySelectorAll<HTMLElement>(".xw-table-body .xw-table-row")];
const cells = (row: HTMLElement | undefined) => [...(row?.children ?? [])].map((cell) => cell.textContent);
const header = (name: string) =>
  [...el.querySelectorAll<HTMLElement>('[role="columnheader"]')].find((one) =>
    one.textContent?.startsWith(name),
  ) as HTMLElement;
const sortBy = (name: string) => (header(name).querySelector("button") as HTMLElement).click();
const press = (key: string) => table().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const grid = () => el.querySelector('canvas[role="grid"]') as HTMLCanvasElement;

function send({ id, kind }: Request, { content, arrays, buffer }: Reply, partial = false): void {
  const message = { id, kind, content, arrays, milliseconds: 6, ...(partial && { partial }) };
  model.trigger("msg:custom", [message, [new DataView(buffer)]]);
}

function answer(request: Request): void {
  setTimeout(() => send(request, kernel.answer(request.kind, request.selection)));
}

async function show(changes: Record<string, unknown>, made = new FakeKernel()): Promise<void> {
  kernel = made;
  model = new FakeModel(traits({ sample_count: kernel.lengths.length, ...changes }));
  model.kernel = answer;
  close = widget.render({ model, el });
  await vi.waitFor(() => expect(root().dataset.state).toBe("ready"));
}

function pickIn(label: string, value: string): void {
  const picker = el.querySelector(`select[aria-label="${label}"]`) as HTMLSelectElement;
  picker.value = value;
  picker.dispatchEvent(new Event("change", { bubbles: true }));
}

beforeAll(stubCanvas);

beforeEach(() => {
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  close?.();
  el.remove();
});

const made = (values: number[], done = values.length): HeadTable => ({
  columns: [{ key: "a", name: "A", short: "A", unit: "bits", decimals: 1, definition: "", absent: "" }],
  ...{ done, note: "", footer: "", progress: "", layers: [], payload: 0, bytes: 0, milliseconds: 0 },
  heads: values.map((_, head) => ({ layer: 0, head })),
  values: Float32Array.from(values),
  partial: false,
});

describe("sorting", () => {
  it("puts what has no number last, either way, and leaves equal heads in order", () => {
    const values = made([2, Number.NaN, 5, 2, Number.POSITIVE_INFINITY, 1]);
    expect(sortedRows(values, { key: "a", ascending: false })).toEqual([2, 0, 3, 5, 1, 4]);
    expect(sortedRows(values, { key: "a", ascending: true })).toEqual([5, 0, 3, 2, 1, 4]);
    expect(sortedRows(values, { key: null, ascending: true })).toEqual([0, 1, 2, 3, 4, 5]);
    expect(sortedRows(values, { key: null, ascending: false })).toEqual([5, 4, 3, 2, 1, 0]);
  });

  it("tells n/a, not finite and not yet there apart", () => {
    const values = made([1.23456, Number.NaN, Number.POSITIVE_INFINITY, Number.NaN], 3);
    const texts = [0, 1, 2, 3].map((row) => textOf(values, row, 0, 1));
    expect(texts).toEqual(["1.2", "n/a", "not finite", "…"]);
    expect(textOf(values, 0, 0)).toBe("1.23456 bits");
    const column = (values.columns as [Column])[0];
    expect([30, 0.5, 0.03, 0.0012, 0.00003, 0].map((largest) => decimalsOf(column, largest))).toEqual([
      1, 2, 3, 4, 6, 1,
    ]);
    expect([4, 6].map((decimals) => textOf(made([0.0000312]), 0, 0, decimals))).toEqual(["0.0000", "3.1e−5"]);
  });

  it("moves by rows, pages and to the ends, and no further", () => {
    expect(rowAfter("ArrowDown", 3, 10, 4)).toBe(4);
    expect(rowAfter("ArrowUp", 0, 10, 4)).toBe(0);
    expect(rowAfter("PageDown", 3, 10, 4)).toBe(7);
    expect(rowAfter("PageDown", 8, 10, 4)).toBe(9);
    expect(rowAfter("Home", 8, 10, 4)).toBe(0);
    expect(rowAfter("End", 2, 10, 4)).toBe(9);
    expect(rowAfter("a", 2, 10, 4)).toBeNull();
  });
});

describe("colours of heads", () => {
  it("reach from the smallest to the largest, with those that have none left out", () => {
    const { levels, absent, nonfinite } = levelsOf(
      made([2, Number.NaN, 5, Number.POSITIVE_INFINITY, 3.5]),
      0,
    );
    expect(levels).toEqual([0, 255, 254, 255, 127]);
    expect(absent).toEqual([false, true, false, false, false]);
    expect(nonfinite).toBe(1);
    expect(levelsOf(made([3, 3]), 0).levels).toEqual([0, 0]);
    expect([...flatCells({ counts: [2], height: 2, width: 1 }, [7, 9])]).toEqual([7, 7, 9, 9]);
  });
});

describe("the table", () => {
  it("is asked for when it is opened, not before, and says what its columns are", async () => {
    await show({});
    expect(model.ofKind("statistics")).toEqual([]);
    (el.querySelector('input[value="table"]') as HTMLElement).click();
    await vi.waitFor(() => expect(rows().length).toBeGreaterThan(0));
    expect(model.traits.view).toBe("table");
    const lens = { measure: "weights", units: "tokens", hide_sinks: false, ablated: [], target: null };
    expect(model.ofKind("statistics")[0]?.selection).toEqual({ sample: 0, padding: false, lens });
    expect(text(".xw-view h3")).toBe("Statistics of 72 heads · click to pick");
    expect(header("Entropy").querySelector("button")?.title).toBe("Entropy: What Entropy is.");
    const [entropy] = kernel.statisticsValues(0)[0] as [number, number];
    expect(cells(rows()[0])).toEqual(["0 · 0", entropy.toFixed(2), "n/a"]);
    await vi.waitFor(() => expect(text(".xw-footer")).toContain("statistics of all heads · exact"));
    // Again: it is there already.
    for (const view of ["matrix", "table"]) {
      (el.querySelector(`input[value="${view}"]`) as HTMLElement).click();
      await settled();
    }
    expect(model.ofKind("statistics")).toHaveLength(1);
  });

  it("is sorted by a click on a column, and the other way round by another", async () => {
    await show({ view: "table" });
    const values = kernel.statisticsValues(0).map(([entropy], row) => ({ entropy, row }));
    values.sort((a, b) => b.entropy - a.entropy);
    const title = ({ row }: { row: number }) => `${Math.floor(row / 12)} · ${row % 12}`;
    sortBy("Entropy");
    await vi.waitFor(() => expect(header("Entropy").getAttribute("aria-sort")).toBe("descending"));
    expect(
      rows()
        .slice(0, 5)
        .map((row) => cells(row)[0]),
    ).toEqual(values.slice(0, 5).map(title));
    sortBy("Entropy");
    await vi.waitFor(() => expect(header("Entropy").getAttribute("aria-sort")).toBe("ascending"));
    expect(cells(rows()[0])[0]).toBe(title(values.at(-1) as (typeof values)[number]));
    expect(header("Head").getAttribute("aria-sort")).toBe("none");
    sortBy("Head");
    await vi.waitFor(() => expect(cells(rows()[0])[0]).toBe("0 · 0"));
  });

  it("picks a head by a click or by keys, and stays open", async () => {
    await show({ view: "table", layer: 0, head: 1 });
    const picked = () => cells(rows().find((row) => row.getAttribute("aria-selected") === "true"))[0];
    expect(picked()).toBe("0 · 1");
    ((rows()[5] as HTMLElement).lastElementChild as HTMLElement).click();
    await vi.waitFor(() => expect(picked()).toBe("0 · 5"));
    expect([model.traits.layer, model.traits.head, model.traits.view]).toEqual([0, 5, "table"]);
    press("ArrowDown");
    await vi.waitFor(() => expect(picked()).toBe("0 · 6"));
    sortBy("Entropy");
    await vi.waitFor(() => expect(header("Entropy").getAttribute("aria-sort")).toBe("descending"));
    press("Home");
    await vi.waitFor(() => expect(rows()[0]?.getAttribute("aria-selected")).toBe("true"));
    const active = table().getAttribute("aria-activedescendant") as string;
    expect(document.getElementById(active)).toBe(rows()[0]);
    await settled();
    expect(text(".xw-overview > div + div h3")).toBe("Layer 2 · head 8");
  });

  it("draws only the rows in sight of very many, and scrolls to the picked one", async () => {
    await show({ view: "table", layer: 30, head: 7 }, new FakeKernel([4], 48, 25));
    const at = 30 * 25 + 7;
    expect(table().getAttribute("aria-rowcount")).toBe("1201");
    expect(rows().length).toBeLessThan(40);
    expect((el.querySelector(".xw-table-body") as HTMLElement).style.height).toBe(`${1200 * 26}px`);
    await vi.waitFor(() => expect(table().scrollTop).toBeGreaterThan(26 * (at - 20)));
    table().dispatchEvent(new Event("scroll"));
    await vi.waitFor(() => expect(rows().map((row) => cells(row)[0])).toContain("30 · 7"));
    const row = rows().find((one) => one.dataset.row === String(at)) as HTMLElement;
    expect(row.style.top).toBe(`${26 * at}px`);
    expect(row.getAttribute("aria-rowindex")).toBe(String(at + 2));
    expect(rows().length).toBeLessThan(40);
  });

  it("shows what there is so far, can be stopped, and goes on", async () => {
    await show({ view: "table" });
    model.kernel = null;
    const asked = () => model.ofKind("statistics").at(-1) as Request;
    const before = asked();
    model.set("hide_sinks", true);
    await vi.waitFor(() => expect(asked()).not.toBe(before));
    expect(asked().selection).toMatchObject({ lens: { hide_sinks: true } });
    send(asked(), kernel.statistics(0, 3, "1 of 4 queries"), true);
    await vi.waitFor(() => expect(text(".xw-status")).toContain("statistics of 3 of 72 heads, 25 %"));
    expect(text(".xw-view-head")).toContain("from 1 of 4 queries");
    expect(cells(rows()[2])[1]).toMatch(/^\d\.\d\d$/);
    expect(cells(rows()[3])[1]).toBe("…");
    expect((el.querySelector("progress") as HTMLProgressElement).value).toBe(25);
    const { id } = asked();
    (el.querySelector(".xw-status button") as HTMLElement).click();
    await vi.waitFor(() => expect(text(".xw-status")).toMatch(/^Stopped: statistics of 3/));
    expect(model.ofKind("stop").at(-1)?.selection).toEqual({ id });
    model.trigger("msg:custom", [{ id, kind: "statistics", content: { stopped: true }, arrays: {} }, []]);
    (el.querySelector(".xw-status button") as HTMLElement).click();
    await vi.waitFor(() => expect(asked().id).not.toBe(id));
    send(asked(), kernel.statistics(0));
    await vi.waitFor(() => expect(text(".xw-status")).toBe(""));
    expect(cells(rows()[3])[1]).toMatch(/^\d\.\d\d$/);
  });

  it("is given up when it is no longer looked at", async () => {
    await show({});
    model.kernel = (request) => {
      if (!["statistics", "stop"].includes(request.kind)) answer(request);
    };
    model.set("view", "table");
    await vi.waitFor(() => expect(model.ofKind("statistics")).toHaveLength(1));
    const { id } = model.ofKind("statistics")[0] as Request;
    model.set("view", "matrix");
    await vi.waitFor(() => expect(model.ofKind("stop").at(-1)?.selection).toEqual({ id }));
  });
});

describe("the grid coloured by a statistic", () => {
  it("has the colour of each head's number, which is told as well", async () => {
    await show({ layer: 2, head: 7 });
    const grids = model.ofKind("grid").length;
    pickIn("Colour by", "entropy");
    await vi.waitFor(() => expect(text(".xw-overview .xw-readout")).toContain("bits"));
    expect(model.traits.grid_by).toBe("entropy");
    const values = kernel.statisticsValues(0).map(([entropy]) => entropy);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const colours = new Uint8Array(kernel.answer("colormap", { name: "Blues" }).buffer);
    const image = drawn.get(grid()) as ImageData;
    values.forEach((value, index) => {
      const byte = Math.round((254 * (value - low)) / (high - low));
      const [y, x] = [Math.floor(index / 12) * 13 + 6, (index % 12) * 13 + 6];
      const at = 4 * (y * image.width + x);
      expect([...image.data.slice(at, at + 4)]).toEqual([...colours.slice(byte * 3, byte * 3 + 3), 255]);
    });
    const shown = String(Number((values[2 * 12 + 7] as number).toPrecision(6)));
    expect(text(".xw-overview .xw-readout")).toBe(`Layer 2 · head 7: ${shown} bits`);
    expect(text(".xw-overview .xw-colour-bar")).toBe(`bits${low.toFixed(3)}${high.toFixed(3)}`);
    expect(grid().textContent).toContain(`${shown} bits`);
    grid().getBoundingClientRect = () => new DOMRect(0, 0, 120, 60);
    grid().dispatchEvent(new MouseEvent("pointermove", { bubbles: true, clientX: 35, clientY: 45 }));
    await vi.waitFor(() => expect(text(".xw-overview .xw-readout")).toContain("Layer 4 · head 3"));
    expect(grid().title).toBe(text(".xw-overview .xw-readout"));
    // No thumbnails are asked for while none are shown.
    model.set("scale", "log");
    await settled();
    expect(model.ofKind("grid")).toHaveLength(grids);
    pickIn("Colour by", "weights");
    await vi.waitFor(() => expect(model.ofKind("grid")).toHaveLength(grids + 1));
  });

  it("hatches heads to which it does not apply, and says so and when it is not complete", async () => {
    await show({ grid_by: "induction" });
    await vi.waitFor(() => expect(text(".xw-overview .xw-note")).toBe("12 hatched: n/a here."));
    const { data, width } = drawn.get(grid()) as ImageData;
    const pixels = (head: number) =>
      Array.from({ length: 144 }, (_, cell) => {
        const at = 4 * (Math.floor(cell / 12) * width + (cell % 12) + 13 * head);
        return [...data.slice(at, at + 4)].join();
      });
    expect(new Set(pixels(3))).toEqual(new Set(["128,128,128,255", "0,0,0,0"]));
    model.kernel = null;
    const before = model.ofKind("statistics").length;
    model.set("sample", 1);
    await vi.waitFor(() => expect(model.ofKind("sample").at(-1)?.selection).toMatchObject({ sample: 1 }));
    answer(model.ofKind("sample").at(-1) as Request);
    await vi.waitFor(() => expect(model.ofKind("statistics")).toHaveLength(before + 1));
    send(model.ofKind("statistics").at(-1) as Request, kernel.statistics(1, 30, "1 of 4 queries"), true);
    await vi.waitFor(() => expect(text(".xw-overview .xw-note")).toContain("30 of 72 heads so far"));
    expect(text(".xw-overview .xw-note")).toContain("from 1 of 4 queries");
  });

  it("follows the trait from Python, and asks anew where the model has changed", async () => {
    await show({});
    model.set("grid_by", "entropy");
    await vi.waitFor(() => expect(model.ofKind("statistics")).toHaveLength(1));
    await settled();
    kernel.revision = 2;
    model.set("head", 3);
    await vi.waitFor(() => expect(model.ofKind("statistics")).toHaveLength(2));
  });
});
