import type { Segment } from "./view";

/** What is said beside the lines of one open box, and where. */
export interface ShapeLabel {
  words: string;
  /** The lines it is said of: numbers of segments. */
  lines: number[];
  /** Where they begin, if all that begins there is alike, else where they end. */
  at: "begin" | "end";
}

type Ends = Pick<Segment, "from" | "to" | "shapes">;

/**
 * Shapes under the box that tensors come from, once for all that take the same; where they differ, above
 * each box that they go to.
 */
export function shapeLabels(segments: readonly Ends[]): ShapeLabel[] {
  const labels: ShapeLabel[] = [];
  for (const lines of grouped(segments, ({ from }) => String(from))) {
    const all = wordsOf(segments, lines);
    if (all.size === 1) {
      labels.push({ words: [...all][0] as string, lines, at: "begin" });
      continue;
    }
    for (const inner of grouped(segments, ({ to }) => String(to), lines)) {
      labels.push({ words: [...wordsOf(segments, inner)].join("; "), lines: inner, at: "end" });
    }
  }
  return labels;
}

function wordsOf(segments: readonly Ends[], lines: number[]): Set<string> {
  return new Set(lines.map((n) => (segments[n] as Ends).shapes.join("; ")));
}

function grouped(
  segments: readonly Ends[],
  keyOf: (ends: Ends) => string,
  lines: number[] = segments.map((_, n) => n),
): number[][] {
  const groups = new Map<string, number[]>();
  for (const n of lines) {
    const key = keyOf(segments[n] as Ends);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [n]);
    else known.push(n);
  }
  return [...groups.values()];
}
