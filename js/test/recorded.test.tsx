/**
 * The explorer on a recorded conversation: test/recorded/attention.json, a list of
 * `{ request: { kind, selection }, reply: { kind, content, arrays, milliseconds }, buffer: base64 }`.
 *
 * It has to hold what a view asks of one sample: `colormap`, `sample`, `grid` (its size is `thumbnailSize`
 * of the layers), and at least two `head`s that differ in `head` alone, with rows and keys null, size the
 * number of shown positions of the layer, and a query; further exchanges do no harm.
 */
import { render as draw } from "preact";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Explorer } from "../src/explorers/attention/explorer";
import { AttentionStore } from "../src/explorers/attention/store";
import type { HeadContent, HeadSelection, SampleContent } from "../src/explorers/attention/types";
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

function show(first: HeadSelection): void {
  const { sample, padding, layer, head, query, scale } = first;
  const [table] = ofKind("colormap") as [RecordedExchange];
  const colormap = (table.request.selection as { name: string }).name;
  model = new FakeModel(traits({ sample, padding, layer, head, query, scale, colormap }));
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
