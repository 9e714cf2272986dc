import { LayeredGraph, type Placed } from "./dagre";

/** What is laid out at once: the parts of one open box, with the tensors that come in and go out. */
export interface Task {
  sizes: [width: number, height: number][];
  inputs: number;
  outputs: number;
  /** Numbers of parts with their ports, and of closed parts 0; `INSIDE` in the place of a part: a port of the box around them. */
  segments: [from: number, fromPort: number, to: number, toPort: number][];
  /** By part: where the ports of an open part lie on it. */
  ports: (Ports | null)[];
  /** By part: pixels that the shapes beside its middle need, and those beside what comes in. */
  labels: number[];
  inputLabel: number;
}

/** Where what comes in crosses the upper border, and what goes out the lower one, from the left one. */
export interface Ports {
  inputs: number[];
  outputs: number[];
}

export interface Laid extends Ports {
  width: number;
  height: number;
  /** Upper left corners of the parts. */
  corners: [x: number, y: number][];
  /** Points of each segment; it is vertical between each second pair, and curved between the others. */
  lines: [x: number, y: number][][];
}

export const INSIDE = -1;
/** Pixels between ranks: room for the shapes under a box, and for the curve of an edge. */
export const RANK_GAP = 32;
const NODE_GAP = 22;
const EDGE_GAP = 12;
/** Between two ports, and between two edges that end in one box. */
const PORT_GAP = 18;
/** From the borders of the box around them to the first and last rank. */
export const ENTRY = 28;

const IN = "in";
const OUT = "out";

/** Lays parts out from top to bottom. */
export function layered(task: Task): Laid {
  const { sizes, inputs, outputs } = task;
  if (sizes.length === 0) return { width: 0, height: 0, corners: [], lines: [], inputs: [], outputs: [] };
  const graph = drawn(task);
  graph.layout();
  const ranks = ranksOf(graph, sizes);
  const { left, right } = ranks;
  const top = inputs > 0 ? -ENTRY : 0;
  const corners = sizes.map(([width, height], part): [number, number] => {
    const { x, y } = graph.node(String(part)) as Placed;
    return [x - width / 2 - left, y - height / 2 - ranks.top - top];
  });
  const height = ranks.bottom - ranks.top - top + (outputs > 0 ? ENTRY : 0);
  const shift = (points: [number, number][]) =>
    points.map(([x, y]): [number, number] => [x - left, y - ranks.top - top]);
  const middle = (end: string) => (graph.node(end) as Placed).x - left;
  const laid: Laid = {
    ...{ width: right - left, height, corners, lines: [] },
    inputs: spread(inputs, inputs > 0 ? middle(IN) : 0),
    outputs: spread(outputs, outputs > 0 ? middle(OUT) : 0),
  };
  const bends = task.segments.map(([from, , to]) => {
    return shift(ranks.through(graph.bends(...endsOf(from, to))));
  });
  laid.lines = linesOf(
    task,
    laid,
    bends,
    ranks.of.map(([a, b]) => [a - ranks.top - top, b - ranks.top - top]),
  );
  return laid;
}

/** Names of the nodes that a segment is between. */
const endsOf = (from: number, to: number): [from: string, to: string] => [
  from === INSIDE ? IN : String(from),
  to === INSIDE ? OUT : String(to),
];

/** What comes in is one node above all, what goes out one below. */
function drawn({ sizes, inputs, outputs, segments, labels, inputLabel }: Task): LayeredGraph {
  const graph = new LayeredGraph({ nodesep: NODE_GAP, ranksep: RANK_GAP, edgesep: EDGE_GAP });
  sizes.forEach(([width, height], part) => {
    graph.addNode(String(part), Math.max(width, roomFor(labels[part] ?? 0)), height);
  });
  if (inputs > 0) graph.addNode(IN, PORT_GAP * inputs + roomFor(inputLabel), 0);
  if (outputs > 0) graph.addNode(OUT, PORT_GAP * outputs, 0);
  const [entered, left] = [new Set<number>(), new Set<number>()];
  for (const [from, , to] of segments) {
    // What follows each other as it ran lies in one line, and what passes by bends.
    graph.addLink(...endsOf(from, to), to === from + 1 ? 4 : 1);
    entered.add(to);
    left.add(from);
  }
  sizes.forEach((_, part) => {
    if (inputs > 0 && !entered.has(part)) graph.addLink(IN, String(part), 0);
    if (outputs > 0 && !left.has(part)) graph.addLink(String(part), OUT, 0);
  });
  return graph;
}

/** Width of a box in whose middle a text of this width begins; some of it lies in the gap. */
const roomFor = (label: number) => (label > 0 ? 2 * label - NODE_GAP : 0);

/** Heights of the rows in which parts lie. */
function ranksOf(graph: LayeredGraph, sizes: Task["sizes"]) {
  const rows = new Map<number, number>();
  let [left, right] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const widen = (x: number, width: number) => {
    left = Math.min(left, x - width / 2);
    right = Math.max(right, x + width / 2);
  };
  sizes.forEach(([width, height], part) => {
    const { x, y, width: room } = graph.node(String(part)) as Placed;
    rows.set(y, Math.max(rows.get(y) ?? 0, height));
    widen(x, Math.max(width, room));
  });
  for (const port of [IN, OUT]) {
    const node = graph.node(port);
    if (node !== undefined) widen(node.x, node.width);
  }
  for (const { points = [], weight } of graph.links()) {
    if (weight > 0) for (const { x } of points) widen(x, EDGE_GAP);
  }
  const of = [...rows]
    .sort(([a], [b]) => a - b)
    .map(([y, height]) => [y - height / 2, y + height / 2] as const);
  return {
    ...{ of, left, right, top: of[0]?.[0] ?? 0, bottom: of.at(-1)?.[1] ?? 0 },
    /** Where a line passes through rows: it goes straight down there. */
    through: (points: { x: number; y: number }[]) =>
      points.flatMap(({ x, y }): [number, number][] => {
        const row = of.find(([top, bottom]) => y > top && y < bottom && rows.has(y));
        return row === undefined
          ? []
          : [
              [x, row[0]],
              [x, row[1]],
            ];
      }),
  };
}

const spread = (count: number, middle: number, gap = PORT_GAP) =>
  Array.from({ length: count }, (_, n) => middle + (n - (count - 1) / 2) * gap);

/** Lines from border to border. */
function linesOf(
  { sizes, segments, ports }: Task,
  laid: Laid,
  bends: [number, number][][],
  rows: (readonly [number, number])[],
): [number, number][][] {
  const { corners } = laid;
  const middle = (part: number) => (corners[part]?.[0] ?? 0) + (sizes[part]?.[0] ?? 0) / 2;
  const starts = segments.map(([from, port]): [number, number] => {
    if (from === INSIDE) return [laid.inputs[port] ?? 0, 0];
    const [x, y] = corners[from] as [number, number];
    const inside = ports[from]?.outputs[port];
    return [inside === undefined ? middle(from) : x + inside, y + (sizes[from]?.[1] ?? 0)];
  });
  const entries = entriesOf(segments, starts, bends, (part) => middle(part), sizes);
  return segments.map(([, , to, port], n) => {
    const start = starts[n] as [number, number];
    const inside = to === INSIDE ? undefined : ports[to]?.inputs[port];
    const [x = 0, y = laid.height] = to === INSIDE ? [laid.outputs[port]] : (corners[to] ?? []);
    const end: [number, number] = [
      to === INSIDE ? x : inside === undefined ? (entries[n] as number) : x + inside,
      y,
    ];
    // Straight down to the end of the row it begins in, and from the begin of that it ends in.
    const out = rows.find(([top, bottom]) => start[1] > top && start[1] <= bottom)?.[1] ?? start[1];
    const into = rows.find(([top, bottom]) => end[1] >= top && end[1] < bottom)?.[0] ?? end[1];
    return [start, [start[0], out], ...(bends[n] ?? []), [end[0], into], end];
  });
}

/** Where several edges end in one closed part: side by side, in the order in which they come. */
function entriesOf(
  segments: Task["segments"],
  starts: [number, number][],
  bends: [number, number][][],
  middle: (part: number) => number,
  sizes: Task["sizes"],
): number[] {
  const byTarget = new Map<number, number[]>();
  segments.forEach(([, , to], n) => {
    if (to !== INSIDE) byTarget.set(to, [...(byTarget.get(to) ?? []), n]);
  });
  const entries: number[] = [];
  const comes = (n: number) => bends[n]?.at(-1)?.[0] ?? starts[n]?.[0] ?? 0;
  for (const [part, numbers] of byTarget) {
    const gap = Math.min(PORT_GAP, (sizes[part]?.[0] ?? 0) / (numbers.length + 1));
    const places = spread(numbers.length, middle(part), gap);
    numbers.sort((a, b) => comes(a) - comes(b));
    numbers.forEach((n, place) => {
      entries[n] = places[place] as number;
    });
  }
  return entries;
}
