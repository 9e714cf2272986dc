import { bundles } from "./bundles";
import { blockOf, type Description, holds, type Run, shownOf } from "./description";
import { edgesOf, levelsOf } from "./edges";
import { Nest, type Place } from "./nest";

export type Kind = "module" | "operation" | "bundle" | "input" | "output";

/** One box of a view. */
export interface Box {
  /** By which it is opened: the name of the call, "#12" of an operation, "layer[3:9]" of a bundle. */
  id: string;
  kind: Kind;
  /** Its name within the box around it, or in words what it bundles. */
  label: string;
  /** Class of a module; "" of all others. */
  type: string;
  /** Id of the box around it; null: it is in none. */
  parent: string | null;
  /** Number of the call of a module, or −1. */
  call: number;
  isOpen: boolean;
  /** How many it has; 0: it cannot be opened. */
  parts: number;
  /** How many blocks it stands for in a row, and which of them it is; 1 and 0: for itself. */
  repeats: number;
  instance: number;
  /** Id of the run of blocks it is shown of, for the choice of an instance; null: it is in none. */
  fold: string | null;
  /** Whether the instance is chosen here: the first box of the block that is shown. */
  picksBlock: boolean;
}

/** Tensors that pass between two boxes of a view. */
export interface Edge {
  source: string;
  target: string;
  /** In words, each once: "1 × 128 × 768". */
  shapes: string[];
}

/** What passes between the parts of one open box; null: into or out of that box, by one of its ports. */
export interface Segment {
  from: string | null;
  fromPort: number;
  to: string | null;
  toPort: number;
  shapes: string[];
}

/** The inside of an open box, or all that is outermost. */
export interface Level {
  /** Id of the box; null: what is outermost. */
  box: string | null;
  parts: string[];
  /** How many tensors come in and go out: each has a port. */
  inputs: number;
  outputs: number;
  segments: Segment[];
}

/** Boxes, those around others first; edges between those that are not open; the same level by level. */
export interface View {
  boxes: Box[];
  byId: ReadonlyMap<string, Box>;
  edges: Edge[];
  levels: Level[];
}

export const INPUT_BOX = "(input)";
export const OUTPUT_BOX = "(output)";

/** An open group as it is shown. */
export interface Scope {
  place: Place;
  /** Id of its box; null: outside of all. */
  box: string | null;
  /** Bundles and parts that lie in none, in order. */
  parts: string[];
  /** Ids of the boxes from the outer to the inner in which the item at a place is shown. */
  chains: Map<number, string[]>;
  /** Where items of a run are shown. */
  runs: { run: Run; instance: number }[];
}

/** The item that stands for the one at a place. */
export function shownPlace({ runs }: Scope, index: number): number {
  const found = runs.find(({ run }) => holds(run, index));
  return found === undefined ? index : shownOf(found.run, index, found.instance);
}

/** Id of a run of blocks in a group. */
export const foldOf = (nest: Nest, { call }: Place, [start]: Run) => `${nest.name(call)}*${start}`;

const nests = new WeakMap<Description, Nest>();

/** The nest of a description, made once. */
export function nestOf(description: Description): Nest {
  let nest = nests.get(description);
  if (nest === undefined) {
    nest = new Nest(description);
    nests.set(description, nest);
  }
  return nest;
}

/**
 * The boxes and edges where these are open: the same as `StructureGraph.view` in Python.
 *
 * Ids of boxes that are not shown do not count; of an instance that is out of range, the nearest is shown.
 */
export function viewOf(
  description: Description,
  opened: Iterable<string>,
  instances: Readonly<Record<string, number>> = {},
): View {
  return new Viewer(nestOf(description), new Set(opened), instances).view();
}

class Viewer {
  private readonly boxes: Box[] = [];
  private readonly scopes = new Map<number, Scope>();

  constructor(
    private readonly nest: Nest,
    private readonly opened: ReadonlySet<string>,
    private readonly instances: Readonly<Record<string, number>>,
  ) {}

  view(): View {
    const waiting: { place: Place; box: string | null }[] = [{ place: this.nest.root, box: null }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      waiting.push(...this.addParts(next.place, next.box).reverse());
    }
    const edges = edgesOf(this.nest, this.scopes);
    for (const [id, kind] of [
      [INPUT_BOX, "input"],
      [OUTPUT_BOX, "output"],
    ] as const) {
      if (edges.some(({ source, target }) => source === id || target === id)) {
        const label = kind === "input" ? this.nest.description.begins : kind;
        this.boxes.push({ ...NOTHING, id, kind, label });
      }
    }
    const byId = new Map(this.boxes.map((box) => [box.id, box]));
    return { boxes: this.boxes, byId, edges, levels: levelsOf(this.nest, this.scopes, byId) };
  }

  /** Adds the boxes in a group; gives back those that are open. */
  private addParts(place: Place, box: string | null): { place: Place; box: string }[] {
    const { nest } = this;
    const { items, repeats } = nest.group(place.group);
    const runs = repeats.map((run) => ({ run, instance: this.instance(foldOf(nest, place, run), run) }));
    const scope: Scope = { place, box, parts: [], chains: new Map(), runs };
    this.scopes.set(place.call, scope);
    const visible: number[] = [];
    for (let index = 0; index < items.length; ) {
      const found = runs.find(({ run }) => run[0] === index);
      if (found === undefined) {
        visible.push(index);
        index += 1;
      } else {
        const [start, period, count] = found.run;
        for (let n = 0; n < period; n += 1) visible.push(start + found.instance * period + n);
        index = start + period * count;
      }
    }
    const isModule = visible.map((index) => (items[index]?.[1] ?? -1) >= 0);
    const opened: { place: Place; box: string }[] = [];
    for (const bundle of bundles(isModule)) {
      const parts = bundle.map((part) => visible[part] as number);
      const modules = bundle.some((part) => isModule[part]);
      opened.push(...this.addBundle(scope, parts, modules));
    }
    return opened;
  }

  private addBundle(scope: Scope, parts: number[], modules: boolean): { place: Place; box: string }[] {
    const { place, box } = scope;
    if (parts.length === 1) return this.addPart(scope, box, parts[0] as number);
    const first = parts[0] as number;
    const id = `${this.nest.name(place.call)}[${first}:${(parts.at(-1) as number) + 1}]`;
    const isOpen = this.opened.has(id);
    scope.parts.push(id);
    const label = `${parts.length} ${modules ? "parts" : "operations"}`;
    this.boxes.push({ ...NOTHING, id, kind: "bundle", label, parent: box, isOpen, parts: parts.length });
    if (isOpen) return parts.flatMap((part) => this.addPart(scope, id, part));
    for (const part of parts) scope.chains.set(part, [id]);
    return [];
  }

  private addPart(scope: Scope, parent: string | null, index: number): { place: Place; box: string }[] {
    const { nest } = this;
    const { items } = nest.group(scope.place.group);
    const label = items[index]?.[0] ?? "";
    const within = nest.within(scope.place, index);
    const id = within === null ? `#${nest.operationAt(scope.place, index)}` : nest.name(within.call);
    scope.chains.set(index, parent === scope.box || parent === null ? [id] : [parent, id]);
    if (parent === scope.box) scope.parts.push(id);
    const isOpen = within !== null && this.opened.has(id);
    const found = scope.runs.find(({ run }) => holds(run, index));
    this.boxes.push({
      ...{ id, kind: within === null ? "operation" : "module", label, parent, isOpen },
      type: within === null ? "" : nest.group(within.group).type,
      call: within?.call ?? -1,
      parts: within === null ? 0 : nest.group(within.group).items.length,
      repeats: found?.run[2] ?? 1,
      instance: found === undefined ? 0 : blockOf(found.run, index),
      fold: found === undefined ? null : foldOf(nest, scope.place, found.run),
      picksBlock: found !== undefined && (index - found.run[0]) % found.run[1] === 0,
    });
    return isOpen && within !== null ? [{ place: within, box: id }] : [];
  }

  private instance(fold: string, [, , count]: Run): number {
    const wanted = Math.trunc(this.instances[fold] ?? 0);
    return Math.max(0, Math.min(count - 1, wanted));
  }
}

const NOTHING: Omit<Box, "id" | "kind" | "label"> = {
  ...{ type: "", parent: null, call: -1, isOpen: false, parts: 0, repeats: 1, instance: 0, fold: null },
  picksBlock: false,
};
