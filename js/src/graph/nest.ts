import type { Description, Group } from "./description";
import { INPUT, OUTPUT } from "./description";

/** A group where it is met: the same group is met once for each block that is alike. */
export interface Place {
  /** Its number in the description. */
  group: number;
  /** Number of the call in `calls`; −1 outside of all. */
  call: number;
  /** Number of its first operation. */
  operation: number;
}

/** What is counted once for a group, wherever it is met. */
interface Counted {
  /** Calls and operations in it, with all that they hold. */
  calls: number;
  operations: number;
  /** The same for all that comes before an item. */
  callsBefore: number[];
  operationsBefore: number[];
}

/** Tensors that come into (or go out of) a group or an item, ascending, and where they go to (come from). */
export type Passing = Map<number, number[]>;

/** Groups within groups, each looked at only when it is asked for. */
export class Nest {
  private readonly counted: Counted[] = [];
  private readonly ports = new Map<string, Passing>();
  private byName: Map<string, number> | null = null;

  constructor(readonly description: Description) {
    this.count();
  }

  get root(): Place {
    return { group: this.description.root, call: -1, operation: 0 };
  }

  group(number: number): Group {
    return this.description.groups[number] as Group;
  }

  /** Name of a call; "" outside of all. */
  name(call: number): string {
    return this.description.calls.name[call] ?? "";
  }

  /** The call or operation at a place of a group; null: an operation has no group. */
  within(place: Place, index: number): Place | null {
    const { callsBefore, operationsBefore } = this.counted[place.group] as Counted;
    const group = this.group(place.group).items[index]?.[1] ?? -1;
    if (group < 0) return null;
    return {
      group,
      call: place.call + 1 + (callsBefore[index] as number),
      operation: place.operation + (operationsBefore[index] as number),
    };
  }

  /** Number of the operation at a place of a group, or of the first in the call there. */
  operationAt(place: Place, index: number): number {
    return place.operation + ((this.counted[place.group] as Counted).operationsBefore[index] as number);
  }

  /** How many calls a group holds, with all that is in them. */
  callsIn(group: number): number {
    return (this.counted[group] as Counted).calls;
  }

  /** Number of a call by its name; −1: there is none. */
  callOf(name: string): number {
    this.byName ??= new Map(this.description.calls.name.map((one, call) => [one, call]));
    return this.byName.get(name) ?? -1;
  }

  /** The places from the outermost group to a call: each with the index of the item in it. */
  routeTo(call: number): { place: Place; index: number }[] {
    const route: { place: Place; index: number }[] = [];
    let place: Place | null = this.root;
    while (place !== null && place.call !== call) {
      const { callsBefore } = this.counted[place.group] as Counted;
      const { items } = this.group(place.group);
      // The last module that begins at or before the call holds it.
      let index = items.length - 1;
      while (
        index >= 0 &&
        (place.call + 1 + (callsBefore[index] as number) > call || (items[index]?.[1] ?? -1) < 0)
      ) {
        index -= 1;
      }
      if (index < 0) return [];
      route.push({ place, index });
      place = this.within(place, index);
    }
    return route;
  }

  /** Tensors that come into a group: by each, the items that take it. */
  inputs(group: number): Passing {
    return this.passing(`${group}<`, group, (from) => from === INPUT, 1);
  }

  /** Tensors that go out of a group: by each, the items that made it. */
  outputs(group: number): Passing {
    return this.passing(`${group}>`, group, (_, to) => to === OUTPUT, 0);
  }

  /** Tensors that go to an item: what it holds has them in this order. */
  into(group: number, index: number): Passing {
    return this.passing(`${group}<${index}`, group, (_, to) => to === index, 0);
  }

  /** Tensors that come from an item. */
  outOf(group: number, index: number): Passing {
    return this.passing(`${group}>${index}`, group, (from) => from === index, 1);
  }

  private passing(
    key: string,
    group: number,
    counts: (from: number, to: number) => boolean,
    other: 0 | 1,
  ): Passing {
    let found = this.ports.get(key);
    if (found === undefined) {
      const unsorted: [number, number][] = [];
      for (const edge of this.group(group).edges) {
        if (!counts(edge[0], edge[1])) continue;
        for (const tensor of edge.slice(2)) unsorted.push([tensor, edge[other]]);
      }
      unsorted.sort((a, b) => a[0] - b[0]);
      found = new Map();
      for (const [tensor, index] of unsorted) {
        const known = found.get(tensor);
        if (known === undefined) found.set(tensor, [index]);
        else known.push(index);
      }
      this.ports.set(key, found);
    }
    return found;
  }

  /** Counts from the inside out, without recursion. */
  private count(): void {
    const { groups, root } = this.description;
    const waiting = [root];
    while (waiting.length > 0) {
      const number = waiting.at(-1) as number;
      const items = (groups[number] as Group).items;
      const unknown = items.map(([, group]) => group).filter((g) => g >= 0 && this.counted[g] === undefined);
      if (unknown.length > 0) {
        waiting.push(...unknown);
        continue;
      }
      waiting.pop();
      if (this.counted[number] === undefined) this.counted[number] = this.sum(items);
    }
  }

  private sum(items: Group["items"]): Counted {
    const callsBefore: number[] = [];
    const operationsBefore: number[] = [];
    let [calls, operations] = [0, 0];
    for (const [, group] of items) {
      callsBefore.push(calls);
      operationsBefore.push(operations);
      const inside = group < 0 ? undefined : this.counted[group];
      calls += group < 0 ? 0 : 1 + (inside?.calls ?? 0);
      operations += group < 0 ? 1 : (inside?.operations ?? 0);
    }
    return { calls, operations, callsBefore, operationsBefore };
  }
}
