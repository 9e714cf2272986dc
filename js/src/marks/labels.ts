import { length, type Span } from "./viewport";

export interface Label {
  position: number;
  /** A token is named; a mere tick shows its position. */
  tick: boolean;
}

/** Pixels that one label needs along its axis. */
const PITCH = 12;
/** With fewer labels than every third token, their text says little: positions are shown. */
const SPARSEST = 3;
const NICE = [1, 2, 5];

/** The smallest of 1, 2, 5, 10, 20, 50 … that is at least `wanted`. */
export function niceStep(wanted: number): number {
  for (let decade = 1; ; decade *= 10) {
    const found = NICE.find((step) => step * decade >= wanted);
    if (found !== undefined) return found * decade;
  }
}

/** Which positions of a span get a label, where a cell is `pixels` long and tokens are known or not. */
export function thinLabels(span: Span, pixels: number, hasTokens: boolean): Label[] {
  if (!(pixels > 0) || length(span) <= 0) return [];
  const every = Math.ceil(PITCH / pixels);
  const tick = !hasTokens || every > SPARSEST;
  // Numbers are broader than high on the upper axis: they need more room than text that is turned.
  const step = tick ? niceStep((2.7 * PITCH) / pixels) : every;
  const labels: Label[] = [];
  const first = Math.ceil(Math.floor(span[0]) / step) * step;
  for (let position = first; position < span[1]; position += step) {
    const middle = position + 0.5;
    if (middle >= span[0] && middle <= span[1]) labels.push({ position, tick });
  }
  return labels;
}

/** Labels whose numbers would stand over the end of their axis give way. */
export function keptInside(
  labels: Label[],
  side: "rows" | "columns",
  start: number,
  pixels: number,
  room: number,
) {
  const half = (position: number) => (side === "rows" ? PITCH / 2 : 3.2 * String(position).length);
  return labels.filter(
    ({ position, tick }) => !tick || (position + 0.5 - start) * pixels + half(position) <= room,
  );
}

/** Room in pixels for the longest of these texts, within limits. */
export function labelRoom(texts: string[], smallest: number, largest: number): number {
  const longest = Math.max(0, ...texts.map((text) => [...text].length));
  return Math.min(largest, Math.max(smallest, Math.round(longest * 7.2) + 8));
}
