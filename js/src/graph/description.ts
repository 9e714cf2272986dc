/** A nested graph as `StructureGraph.to_dict` describes it: groups that are alike only once. */
export interface Description {
  groups: Group[];
  /** Number of the outermost group. */
  root: number;
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
  /** From and to (−1: comes in, −2: goes out), then the numbers of shapes. */
  edges: [from: number, to: number, ...shapes: number[]][];
  repeats: [start: number, period: number, count: number][];
}
