import { holds, INPUT, OUTPUT } from "./description";
import type { Nest, Passing } from "./nest";
import {
  type Box,
  type Edge,
  INPUT_BOX,
  type Level,
  OUTPUT_BOX,
  type Scope,
  type Segment,
  shownPlace,
} from "./view";

/** An end of an edge: an item of a group that is real, in a group that is shown in its place. */
interface End {
  /** Number of the real group. */
  group: number;
  index: number;
  /** Rank of the tensor in the real group. */
  tensor: number;
  scope: Scope;
}

/** More tensors than these have no ports of their own. */
const MOST_PORTS = 6;

const innermost = (scope: Scope, index: number) => scope.chains.get(index)?.at(-1) ?? "";

/** Whether an edge is within a block that is not shown, or leads from one to another. */
function isLeftOut(scope: Scope, from: number, to: number): boolean {
  const inOne = scope.runs.some(({ run }) => holds(run, from) && holds(run, to));
  return inOne && !(shownPlace(scope, from) === from && shownPlace(scope, to) === to);
}

/** Edges of an open group that are seen, item to item. */
function* seenEdges(nest: Nest, scope: Scope): Generator<{ from: number; to: number; tensors: number[] }> {
  for (const [from, to, ...tensors] of nest.group(scope.place.group).edges) {
    if (from < 0 || to < 0 || !isLeftOut(scope, from, to)) yield { from, to, tensors };
  }
}

/** Ids of the closed boxes in which an edge ends, followed into all boxes that are open. */
function closedEnds(nest: Nest, scopes: Map<number, Scope>, begin: End, side: "source" | "target"): string[] {
  const found: string[] = [];
  const waiting = [begin];
  for (let end = waiting.pop(); end !== undefined; end = waiting.pop()) {
    const { scope, group, index, tensor } = end;
    const shown = shownPlace(scope, index);
    const inner = nest.within(scope.place, shown);
    const open = inner === null ? undefined : scopes.get(inner.call);
    const real = nest.group(group).items[index]?.[1] ?? -1;
    if (open === undefined || real < 0) {
      found.push(innermost(scope, shown));
      continue;
    }
    const [around, inside] =
      side === "source"
        ? [nest.outOf(group, index), nest.outputs(real)]
        : [nest.into(group, index), nest.inputs(real)];
    const [within, items] = atRank(inside, rankOf(around, tensor)) ?? [0, []];
    for (const item of items) waiting.push({ group: real, index: item, tensor: within, scope: open });
  }
  return found;
}

const rankOf = (passing: Passing, tensor: number) => [...passing.keys()].indexOf(tensor);

const atRank = (passing: Passing, rank: number) => [...passing][Math.min(rank, passing.size - 1)];

/** What passes between closed boxes, each pair once. */
export function edgesOf(nest: Nest, scopes: Map<number, Scope>): Edge[] {
  const edges = new Map<string, Edge>();
  for (const scope of scopes.values()) {
    const { group } = scope.place;
    const isRoot = scope.place.call === -1;
    for (const { from, to, tensors } of seenEdges(nest, scope)) {
      if (!isRoot && (from < 0 || to < 0)) continue; // seen from outside
      for (const tensor of tensors) {
        const words = nest.description.shapes[nest.group(group).tensors[tensor] as number] as string;
        const ends = (index: number, side: "source" | "target") =>
          index === INPUT
            ? [INPUT_BOX]
            : index === OUTPUT
              ? [OUTPUT_BOX]
              : closedEnds(nest, scopes, { group, index, tensor, scope }, side);
        for (const source of ends(from, "source")) {
          for (const target of ends(to, "target")) {
            if (source !== target) addTo(edges, `${source}\n${target}`, { source, target, shapes: [words] });
          }
        }
      }
    }
  }
  return [...edges.values()];
}

function addTo<T extends { shapes: string[] }>(found: Map<string, T>, key: string, edge: T): void {
  const known = found.get(key);
  if (known === undefined) found.set(key, edge);
  else if (!known.shapes.includes(edge.shapes[0] as string)) known.shapes.push(edge.shapes[0] as string);
}

// --- level by level ----------------------------------------------------------------------------

interface Draft {
  level: Level;
  segments: Map<string, Segment>;
  /** Tensors that come in and go out, by their ports. */
  ins: number[];
  outs: number[];
}

const portOf = (ports: number[], tensor: number) => {
  const port = ports.indexOf(tensor);
  return ports.length > MOST_PORTS || port < 0 ? 0 : port;
};

/** The inside of each open box, outer ones first. */
export function levelsOf(nest: Nest, scopes: Map<number, Scope>, boxes: ReadonlyMap<string, Box>): Level[] {
  const levels: Level[] = [];
  for (const scope of scopes.values()) levels.push(...scopeLevels(nest, scope, boxes));
  return levels;
}

function draft(box: string | null, ins: number[], outs: number[]): Draft {
  const count = (ports: number[]) => (ports.length > MOST_PORTS ? 1 : ports.length);
  const level = { box, parts: [], inputs: count(ins), outputs: count(outs), segments: [] };
  return { level, segments: new Map(), ins, outs };
}

/** The level of a group and those of the bundles that are open in it. */
function scopeLevels(nest: Nest, scope: Scope, boxes: ReadonlyMap<string, Box>): Level[] {
  const { group, call } = scope.place;
  const outer = draft(scope.box, [...nest.inputs(group).keys()], [...nest.outputs(group).keys()]);
  outer.level.parts = [...scope.parts];
  if (call === -1) addPortBoxes(outer, boxes);
  const inner = bundleDrafts(nest, scope, boxes);
  for (const { from, to, tensors } of seenEdges(nest, scope)) {
    for (const tensor of tensors) addSegments(nest, scope, boxes, outer, inner, { from, to, tensor });
  }
  return [outer, ...inner.values()].map(({ level, segments }) => ({
    ...level,
    segments: [...segments.values()],
  }));
}

/** What the model is given and gives back are boxes beside it. */
function addPortBoxes({ level }: Draft, boxes: ReadonlyMap<string, Box>): void {
  if (boxes.has(INPUT_BOX)) level.parts.unshift(INPUT_BOX);
  if (boxes.has(OUTPUT_BOX)) level.parts.push(OUTPUT_BOX);
  level.inputs = 0;
  level.outputs = 0;
}

function bundleDrafts(nest: Nest, scope: Scope, boxes: ReadonlyMap<string, Box>): Map<string, Draft> {
  const found = new Map<string, { members: Set<number>; parts: string[] }>();
  for (const [index, [bundle, part]] of scope.chains) {
    if (part === undefined || bundle === undefined || !boxes.get(bundle)?.isOpen) continue;
    const known = found.get(bundle) ?? { members: new Set(), parts: [] };
    known.members.add(index);
    known.parts.push(part);
    found.set(bundle, known);
  }
  const drafts = new Map<string, Draft>();
  for (const [bundle, { members, parts }] of found) {
    const [ins, outs] = [new Set<number>(), new Set<number>()];
    for (const { from, to, tensors } of seenEdges(nest, scope)) {
      const [begins, ends] = [isIn(scope, members, from), isIn(scope, members, to)];
      if (ends && !begins) for (const tensor of tensors) ins.add(tensor);
      if (begins && !ends) for (const tensor of tensors) outs.add(tensor);
    }
    const made = draft(bundle, [...ins], [...outs]);
    made.level.parts = parts;
    drafts.set(bundle, made);
  }
  return drafts;
}

const isIn = (scope: Scope, members: Set<number>, index: number) =>
  index >= 0 && members.has(shownPlace(scope, index));

function addSegments(
  nest: Nest,
  scope: Scope,
  boxes: ReadonlyMap<string, Box>,
  outer: Draft,
  inner: Map<string, Draft>,
  edge: { from: number; to: number; tensor: number },
): void {
  const { group, call } = scope.place;
  const { from, to, tensor } = edge;
  const shapes = [nest.description.shapes[nest.group(group).tensors[tensor] as number] as string];
  const before = from < 0 ? [] : (scope.chains.get(shownPlace(scope, from)) ?? []);
  const after = to < 0 ? [] : (scope.chains.get(shownPlace(scope, to)) ?? []);
  const add = (to: Draft, segment: Omit<Segment, "shapes">) => {
    if (segment.from !== null && segment.from === segment.to) return;
    const key = `${segment.from}\n${segment.fromPort}\n${segment.to}\n${segment.toPort}`;
    addTo(to.segments, key, { ...segment, shapes });
  };
  /** Port of an open part. */
  const port = (id: string | undefined, index: number, side: "in" | "out") => {
    if (id === undefined || !boxes.get(id)?.isOpen) return 0;
    const bundle = inner.get(id);
    if (bundle !== undefined) return portOf(side === "in" ? bundle.ins : bundle.outs, tensor);
    const passing = side === "in" ? nest.into(group, index) : nest.outOf(group, index);
    return portOf([...passing.keys()], tensor);
  };
  const [first, second] = [before[0], after[0]];
  const [source, target] = [before[1], after[1]];
  const shared = first !== undefined && first === second ? inner.get(first) : undefined;
  if (shared !== undefined && source !== undefined && target !== undefined) {
    const ends = { from: source, fromPort: port(source, from, "out"), to: target };
    add(shared, { ...ends, toPort: port(target, to, "in") });
    return;
  }
  const isRoot = call === -1;
  add(outer, {
    from: first ?? (isRoot ? INPUT_BOX : null),
    fromPort: first === undefined ? (isRoot ? 0 : portOf(outer.ins, tensor)) : port(first, from, "out"),
    to: second ?? (isRoot ? OUTPUT_BOX : null),
    toPort: second === undefined ? (isRoot ? 0 : portOf(outer.outs, tensor)) : port(second, to, "in"),
  });
  const [leaves, enters] = [inner.get(first ?? ""), inner.get(second ?? "")];
  if (leaves !== undefined && source !== undefined) {
    const fromPort = port(source, from, "out");
    add(leaves, { from: source, fromPort, to: null, toPort: portOf(leaves.outs, tensor) });
  }
  if (enters !== undefined && target !== undefined) {
    const toPort = port(target, to, "in");
    add(enters, { from: null, fromPort: portOf(enters.ins, tensor), to: target, toPort });
  }
}
