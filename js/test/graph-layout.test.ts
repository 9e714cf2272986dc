import { describe, expect, it } from "vitest";
import type { Description } from "../src/graph/description";
import { type Layout, Layouts, type Rect } from "../src/graph/layout";
import { type Box, INPUT_BOX, type View, viewOf } from "../src/graph/view";
import { type Recorded, recorded, recordedGraph, type Seen } from "./graph-recorded";

const sizeOf = ({ label, isOpen }: Box) => ({ width: 60 + 6 * label.length, height: isOpen ? 0 : 36 });
const shapesWidth = (words: string) => 5 + 5 * words.length;
const overlap = (a: Rect, b: Rect) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

function check(view: View, layout: Layout): void {
  for (const { box, parts } of view.levels) {
    const rects = parts.map((id) => layout.rects.get(id) as Rect);
    rects.forEach((rect, n) => {
      expect(Number.isFinite(rect.x) && Number.isFinite(rect.y)).toBe(true);
      for (const other of rects.slice(n + 1)) expect(overlap(rect, other)).toBe(false);
      const around = box === null ? { x: 0, y: 0, ...layout } : (layout.rects.get(box) as Rect);
      expect(rect.x).toBeGreaterThanOrEqual(around.x - 0.01);
      expect(rect.y).toBeGreaterThanOrEqual(around.y - 0.01);
      expect(rect.x + rect.width).toBeLessThanOrEqual(around.x + around.width + 0.01);
      expect(rect.y + rect.height).toBeLessThanOrEqual(around.y + around.height + 0.01);
    });
  }
  for (const { from, to, level, points } of layout.lines) {
    const [begin, end] = [points[0], points.at(-1)] as [[number, number], [number, number]];
    for (const [id, [x, y], side] of [
      [from ?? level, begin, from === null ? "title" : "bottom"],
      [to ?? level, end, to === null ? "bottom" : "top"],
    ] as const) {
      const rect = layout.rects.get(id as string) as Rect;
      expect(x).toBeGreaterThanOrEqual(rect.x);
      expect(x).toBeLessThanOrEqual(rect.x + rect.width);
      const height = { top: 0, bottom: rect.height, title: 26 }[side];
      expect(y).toBeCloseTo(rect.y + height, 6);
    }
    for (const [n, [, y]] of points.entries())
      if (n > 0) expect(y).toBeGreaterThanOrEqual(points[n - 1]?.[1] as number);
  }
}

describe("a layout", () => {
  for (const [name, { graph, views }] of Object.entries(recorded)) {
    it(`of ${name} keeps boxes apart and within each other, and edges end at borders`, () => {
      const layouts = new Layouts(sizeOf, shapesWidth);
      for (const { opened, instances } of views) {
        const view = viewOf(graph, opened, instances);
        check(view, layouts.layout(view));
      }
    });
  }

  it("has lines that pass no box on their way down", () => {
    const graph = recordedGraph("ResNet");
    const { opened } = (recorded.ResNet as Recorded).views[1] as Seen;
    const view = viewOf(graph, opened);
    const layout = new Layouts(sizeOf, shapesWidth).layout(view);
    for (const { level, from, to, points } of layout.lines) {
      const parts = view.levels.find(({ box }) => box === level)?.parts ?? [];
      for (const [n, [x, y]] of points.entries()) {
        const before = points[n - 1];
        if (before === undefined || before[0] !== x) continue;
        for (const id of parts.filter((part) => part !== from && part !== to)) {
          const { x: left, width, y: top, height } = layout.rects.get(id) as Rect;
          expect(x > left && x < left + width && y > top && before[1] < top + height).toBe(false);
        }
      }
    }
  });

  it("is made anew only for what changed and what is around it", () => {
    const graph = recordedGraph("GPT-2");
    const layouts = new Layouts(sizeOf, shapesWidth);
    const at = (opened: string[]) => {
      const before = layouts.runs;
      layouts.layout(viewOf(graph, opened));
      return layouts.runs - before;
    };
    expect(at(["", "transformer"])).toBe(3);
    expect(at(["", "transformer"])).toBe(0);
    // The block, and the three that it lies in.
    expect(at(["", "transformer", "transformer.h.0"])).toBe(4);
    expect(at(["", "transformer"])).toBe(0);
    // The same block by another name.
    expect(layouts.runs).toBe(7);
  });

  it("keeps the order of what lies beside each other when a box opens", () => {
    const graph = recordedGraph("ResNet");
    const layouts = new Layouts(sizeOf, shapesWidth);
    const opened = ["", ...graph.calls.name.filter((name) => name.split(".").length === 1)];
    const before = viewOf(graph, opened);
    const was = layouts.layout(before).rects;
    for (const box of before.boxes.filter(({ parts, isOpen }) => parts > 0 && !isOpen)) {
      const is = layouts.layout(viewOf(graph, [...opened, box.id])).rects;
      for (const { parts } of before.levels) {
        const order = (rects: ReadonlyMap<string, Rect>) =>
          [...parts].sort((a, b) => {
            const [one, other] = [rects.get(a) as Rect, rects.get(b) as Rect];
            const beside = one.y < other.y + other.height && other.y < one.y + one.height;
            return beside ? one.x - other.x : one.y - other.y;
          });
        expect(order(is)).toEqual(order(was));
      }
    }
  });

  it("of 5,000 boxes takes the time of those that differ", () => {
    const graph = synthetic(125);
    const opened = ["", ...graph.calls.name];
    const view = viewOf(graph, opened);
    expect(view.boxes.length).toBeGreaterThan(5000);
    const layouts = new Layouts(sizeOf, shapesWidth);
    const layout = layouts.layout(view);
    expect(layouts.runs).toBeLessThanOrEqual(8);
    expect(layout.rects.size).toBe(view.boxes.length);
    expect(layout.rects.has(INPUT_BOX)).toBe(true);
  });
});

/** Groups of 39 alike operations with skips in groups of 30, none folded. */
function synthetic(count: number): Description {
  const chain = (items: number): Description["groups"][number]["edges"] => [
    [-1, 0, 0],
    ...Array.from({ length: items - 1 }, (_, n): [number, number, number] => [n, n + 1, n + 1]),
    ...Array.from({ length: Math.floor((items - 2) / 3) }, (_, n): [number, number, number] => [
      3 * n,
      3 * n + 2,
      3 * n + 1,
    ]),
    [items - 1, -2, items],
  ];
  const group = (type: string, items: [string, number, number][]) => ({
    ...{ type, items, edges: chain(items.length), repeats: [] },
    tensors: Array.from({ length: items.length + 1 }, () => 0),
  });
  const inner = group(
    "Block",
    Array.from({ length: 39 }, (_, n) => [`op${n}`, -1, 0]),
  );
  const sizes = [25, 25, 25, 25, count - 100];
  const middles = sizes.map((size) =>
    group(
      "Stack",
      Array.from({ length: size }, (_, n) => [`block${n}`, 0, 0]),
    ),
  );
  const outer = group(
    "Model",
    sizes.map((_, n) => [`stack${n}`, n + 1, 0]),
  );
  const root = group("", [["", sizes.length + 1, 0]]);
  const name = [""];
  sizes.forEach((size, stack) => {
    name.push(`stack${stack}`);
    for (let block = 0; block < size; block += 1) name.push(`stack${stack}.block${block}`);
  });
  const calls = { name, flops: [], microseconds: [], held: [], bytes: [] };
  return {
    groups: [inner, ...middles, outer, root],
    root: sizes.length + 2,
    begins: "input",
    shapes: ["1 × 8"],
    calls,
  };
}
