import * as dagre from "@dagrejs/dagre";
import { expect, it } from "vitest";
import { LayeredGraph } from "../src/graph/dagre";
import { viewOf } from "../src/graph/view";
import { recorded } from "./graph-recorded";

const GAPS = { nodesep: 22, edgesep: 12, ranksep: 32 };

it("Phases of dagre one by one place nodes and lines where its layout places them", () => {
  for (const { graph, views } of Object.values(recorded)) {
    for (const { opened, instances } of views) {
      for (const { parts: ids, segments } of viewOf(graph, opened, instances).levels) {
        const parts = ids.map((_, n) => String(n));
        const name = (id: string | null) => String(ids.indexOf(id as string));
        const whole = new dagre.graphlib.Graph().setGraph(GAPS);
        const ours = new LayeredGraph(GAPS);
        parts.forEach((part, n) => {
          const [width, height] = [60 + 7 * (n % 5), 20 + (n % 3)];
          whole.setNode(part, { width, height });
          ours.addNode(part, width, height);
        });
        const within = segments
          .filter(({ from, to }) => from !== null && to !== null)
          .map(({ from, to }) => ({ from: name(from), to: name(to) }));
        for (const { from, to } of within) {
          const weight = Number(to) === Number(from) + 1 ? 4 : 1;
          whole.setEdge(from, to, { weight });
          ours.addLink(from, to, weight);
        }
        dagre.layout(whole);
        ours.layout();
        const first = parts[0] as string;
        const shift = { x: 0, y: 0 };
        for (const at of ["x", "y"] as const)
          shift[at] = (ours.node(first)?.[at] ?? 0) - whole.node(first)[at];
        const near = (
          is: { x: number; y: number } | undefined,
          was: { x: number; y: number } | undefined,
        ) => {
          expect(is?.x).toBeCloseTo((was?.x as number) + shift.x, 6);
          expect(is?.y).toBeCloseTo((was?.y as number) + shift.y, 6);
        };
        for (const part of parts) near(ours.node(part), whole.node(part));
        for (const { from, to } of within) {
          // Dagre adds where a line leaves a box and where it enters one.
          const points = whole.edge(from, to).points.slice(1, -1);
          const bends = ours.bends(from, to);
          expect(bends.length).toBe(points.length);
          bends.forEach((bend, n) => {
            near(bend, points[n]);
          });
        }
      }
    }
  }
});

it("What passes goes to a later part, so that there are no circles", () => {
  for (const { graph, views } of Object.values(recorded)) {
    for (const { opened, instances } of views) {
      for (const { parts, segments } of viewOf(graph, opened, instances).levels) {
        for (const { from, to } of segments) {
          if (from !== null && to !== null) expect(parts.indexOf(to)).toBeGreaterThan(parts.indexOf(from));
        }
      }
    }
  }
});
