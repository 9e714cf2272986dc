/**
 * The explorer on a recorded conversation: test/recorded/attention.json, a list of
 * `{ request: { kind, selection }, reply: { kind, content, arrays, milliseconds }, buffer: base64 }`.
 *
 * It has to hold what a view asks of one sample: `colormap`, `sample`, `grid` (its size is `thumbnailSize`
 * of the layers), and at least two `head`s that differ in `head` alone, with rows and keys null, size the
 * number of shown positions of the layer, and a query; and what is asked beside while two are compared, side by
 * side and as a difference, from the first of the heads. Further exchanges do no harm.
 */
import { render as draw } from "preact";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Explorer } from "../src/explorers/attention/explorer";
import { AttentionStore } from "../src/explorers/attention/store";
import type { HeadContent, HeadSelection, Other, SampleContent } from "../src/explorers/attention/types";
import { decode, pick } from "../src/kernel/arrays";
import { type RecordedExchange, Replay } from "../src/kernel/replay";
import { drawn, stubCanvas } from "./canvas";
import { FakeModel, traits } from "./fake-model";
import recording from "./recorded/attention.json?raw";

const recorded: RecordedExchange[] = JSON.parse(recording);
const ofKind = (kind: string) => recorded.filter(({ request }) => request.kind === kind);
const heads = ofKind("head");
const selectionOf = ({ request }: RecordedExchange) => request.selection as HeadSelection;
const arraysOf = ({ reply, buffer }: RecordedExchange) =>
  decode(
    reply.arrays,
    Uint8Array.from(atob(buffer), (char) => char.charCodeAt(0)),
  );

let el: HTMLElement;
let model: FakeModel;
let store: AttentionStore;

function show(first: HeadSelection, comparing: object = {}): void {
  const { sample, padding, layer, head, query, scale } = first;
  const [table] = ofKind("colormap") as [RecordedExchange];
  const colormap = (table.request.selection as { name: string }).name;
  model = new FakeModel(traits({ sample, padding, layer, head, query, scale, colormap, ...comparing }));
  store = new AttentionStore(model, new Replay(recorded));
  el = document.createElement("div");
  document.body.append(el);
  draw(<Explorer store={store} />, el);
  store.start();
}

const matrix = () => el.querySelector('canvas[aria-label^="Attention matrix"]') as HTMLCanvasElement;
const headDrawn = () => JSON.parse(matrix()?.dataset.selection ?? "{}").head;

function checkPicture(exchange: RecordedExchange): void {
  const arrays = arraysOf(exchange);
  const cells = pick(arrays, "matrix", "uint8");
  const table = pick(arraysOf(ofKind("colormap")[0] as RecordedExchange), "table", "uint8")?.data;
  const pixels = drawn.get(matrix())?.data ?? [];
  cells?.data.forEach((byte, index) => {
    expect([...pixels.slice(index * 4, index * 4 + 3)]).toEqual([
      ...(table?.slice(byte * 3, byte * 3 + 3) ?? []),
    ]);
  });
  const from = pick(arrays, "from", "float32")?.data ?? [];
  const strongest = el.querySelector(".xw-strongest .xw-number")?.textContent;
  expect(Number(strongest)).toBeCloseTo(Math.max(...from), 3);
  for (const { text } of (exchange.reply.content as HeadContent).statistics) {
    expect(el.querySelector(".xw-statistics")?.textContent).toContain(text);
  }
}

beforeAll(stubCanvas);

afterEach(() => {
  store.close();
  draw(null, el);
  el.remove();
});

describe("a recorded conversation", () => {
  it("is shown as it was answered, and moves between what was recorded", async () => {
    const [first, second] = heads as [RecordedExchange, RecordedExchange];
    show(selectionOf(first));
    await vi.waitFor(() => expect(headDrawn()).toBe(selectionOf(first).head));
    checkPicture(first);
    const content = ofKind("sample")[0]?.reply.content as SampleContent | undefined;
    const layer = content?.layers[selectionOf(first).layer];
    expect(el.querySelector(".xw-view h3")?.textContent).toContain(layer?.name);
    store.move({ head: selectionOf(second).head });
    await vi.waitFor(() => expect(headDrawn()).toBe(selectionOf(second).head));
    checkPicture(second);
    expect(el.querySelector('[role="alert"]')?.textContent).toBe("");
  });

  it("is compared: both in one range, and their difference with zero in the middle", async () => {
    const [side, difference] = ofKind("compare") as [RecordedExchange, RecordedExchange];
    const { other } = side.request.selection as { other: Other };
    const [first] = heads as [RecordedExchange];
    show(selectionOf(first), { compared: [other.sample, other.layer, other.head, other.model] });
    const drawnAs = (name: string, exchange: RecordedExchange, array: string, kind: string) => {
      const canvas = el.querySelector(`canvas[aria-label^="${name}"]`) as HTMLCanvasElement;
      const colours = arraysOf(ofKind(kind)[0] as RecordedExchange);
      const table = pick(colours, "table", "uint8")?.data ?? [];
      const bytes = pick(arraysOf(exchange), array, "uint8")?.data ?? new Uint8Array(0);
      const expected = [...bytes].flatMap((byte) => [...table.slice(byte * 3, byte * 3 + 3), 255]);
      expect([...(drawn.get(canvas)?.data ?? [])]).toEqual(expected);
    };
    await vi.waitFor(() => drawnAs("Matrix A", side, "a", "colormap"));
    drawnAs("Matrix B", side, "b", "colormap");
    expect(el.querySelector(".xw-footer")?.textContent).toContain("for both");
    const tokens = [...el.querySelectorAll(".xw-pair figure:nth-child(2) .xw-axis-rows span")];
    expect(tokens.map((token) => token.textContent)).toContain("cabinet");
    const arrays = arraysOf(side);
    const [mine, theirs] = ["from", "other_from"].map((name) => pick(arrays, name, "float32")?.data ?? []);
    const sizes = [...(mine ?? [])].map((value, key) => Math.abs(value - (theirs?.[key] ?? 0)));
    const largest = el.querySelector(".xw-differences td:last-child")?.textContent ?? "";
    expect(Number(largest.slice(1))).toBeCloseTo(Math.max(...sizes), 3);
    store.move({ comparison: "difference" });
    await vi.waitFor(() => drawnAs("Difference", difference, "difference", "difference_colormap"));
    const [low, high] = difference.reply.arrays.difference?.range ?? [];
    expect(low).toBe(-(high as number));
    expect(el.querySelector('[role="alert"]')?.textContent).toBe("");
  });

  it("has a table of all heads, with the numbers that were answered", async () => {
    const [first] = heads as [RecordedExchange];
    const [recordedTable] = ofKind("statistics") as [RecordedExchange];
    show(selectionOf(first));
    await vi.waitFor(() => expect(headDrawn()).toBe(selectionOf(first).head));
    store.move({ view: "table" });
    const rows = () => [...el.querySelectorAll(".xw-table-body .xw-table-row")];
    await vi.waitFor(() => expect(rows().length).toBeGreaterThan(0));
    const values = pick(arraysOf(recordedTable), "statistics", "float32");
    const { columns } = recordedTable.reply.content as { columns: { decimals: number; name: string }[] };
    const texts = rows().map((row) => [...row.children].slice(1).map((cell) => cell.textContent));
    texts.forEach((cells, row) => {
      const numbers = [...(values?.data ?? [])].slice(row * columns.length, (row + 1) * columns.length);
      expect(cells).toEqual(numbers.map((value, column) => value.toFixed(columns[column]?.decimals)));
    });
    const headers = [...el.querySelectorAll<HTMLElement>('[role="columnheader"] button')];
    expect(headers[1]?.title).toContain("Entropy: Mean over queries");
    expect(el.querySelector('[role="alert"]')?.textContent).toBe("");
  });

  it("says so where nothing was recorded, and keeps its picture", async () => {
    const [first] = heads as [RecordedExchange];
    show(selectionOf(first));
    await vi.waitFor(() => expect(headDrawn()).toBe(selectionOf(first).head));
    store.move({ head: "max", query: null });
    await vi.waitFor(() => expect(el.querySelector('[role="alert"]')?.textContent).toContain("not recorded"));
    expect(headDrawn()).toBe(selectionOf(first).head);
  });
});
