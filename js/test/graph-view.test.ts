import { describe, expect, it } from "vitest";
import { viewOf } from "../src/graph/view";
import { recorded } from "./graph-recorded";

/** Comparable whatever the order. */
const sorted = (words: string[]) => [...words].sort();

describe("the view in the browser is that of Python", () => {
  for (const [name, { graph, views }] of Object.entries(recorded)) {
    views.forEach((seen, number) => {
      it(`${name}, ${number}: ${seen.opened.length} open`, () => {
        const view = viewOf(graph, seen.opened, seen.instances);
        const ids = seen.boxes.map(([id]) => id);
        const boxes = seen.boxes.map(([id, kind, label, parent, isOpen, parts, repeats, instance, fold]) => ({
          ...{ id, kind, label, parent: ids[parent] ?? null, isOpen: isOpen === 1, parts },
          ...{ repeats: repeats ?? 1, instance: instance ?? 0, fold: fold ?? null },
        }));
        expect(view.boxes.map(({ call: _, type: __, picksBlock: ___, ...box }) => box)).toEqual(boxes);
        const edges = seen.edges.map(([from, to, ...shapes]) => [
          ids[from as number],
          ids[to as number],
          ...sorted(shapes.map((shape) => graph.shapes[shape] as string)),
        ]);
        const found = view.edges.map(({ source, target, shapes }) => [source, target, ...sorted(shapes)]);
        expect(sorted(found.map((edge) => edge.join("|")))).toEqual(
          sorted(edges.map((edge) => edge.join("|"))),
        );
      });
    });
  }
});
