/** A nested graph as `StructureGraph.to_dict` describes it: groups that are alike only once. */
export interface Description {
  groups: Group[];
  /** Number of the outermost group. */
  root: number;
  /** What it begins with, in a word: "input", or "target" of the graph of a backward. */
  begins: string;
  /** In words, by number. */
  shapes: string[];
  /** Lists in the order in which the groups are met from the root on, item by item. */
  calls: {
    name: string[];
    flops: number[];
    microseconds: number[];
    held: number[];
    bytes: number[];
  };
}

export interface Group {
  type: string;
  /** `group` is −1 of an operation. */
  items: [name: string, group: number, flops: number][];
  /** Numbers of the shapes of the tensors that pass in it. */
  tensors: number[];
  /** From and to (−1: comes in, −2: goes out), then places in `tensors`. */
  edges: [from: number, to: number, ...tensors: number[]][];
  repeats: Run[];
}

/** Blocks that are alike, one after the other. */
export type Run = [start: number, period: number, count: number];

/** In the place of an item: what comes into a group, and what goes out. */
export const INPUT = -1;
export const OUTPUT = -2;

/** Whether an item is in one of the blocks of a run. */
export const holds = ([start, period, count]: Run, place: number) =>
  place >= start && place < start + period * count;

/** Number of the block that an item is in. */
export const blockOf = ([start, period]: Run, place: number) => Math.floor((place - start) / period);

/** The item that stands for the one at `place` where one block stands for all. */
export const shownOf = ([start, period]: Run, place: number, instance: number) =>
  start + instance * period + ((place - start) % period);
