import { type ColourTable, cssOf, inkOn, NOT_FINITE, STRONGEST } from "../../marks/colour";
import { bytes, digits, duration, exact, percent, quantity, whole } from "../../marks/numbers";
import type { OverlayAnswer, OverlayName } from "./types";

/** What the colours of an overlay stand for. */
export interface Legend {
  label: string;
  /** "" where the ends are written with it. */
  unit: string;
  /** The ends of the colour bar in words; null: nothing is coloured by it. */
  ends: [low: string, high: string] | null;
  log: boolean;
  /** Rows that are zero where the scale has none, that have no number, whose number is not finite. */
  zeros: number;
  missing: number;
  infinite: number;
  note: string;
}

/** One number a row as colours. */
export interface Overlay extends OverlayAnswer {
  /** Background of a row; null: it has no number. */
  colourOf(row: number): string | null;
  /** What is read on that background. */
  inkOf(row: number): string;
  /** Its number in short, "n/a" where it has none. */
  textOf(row: number): string;
  /** The same with all digits. */
  titleOf(row: number): string;
  legend: Legend;
}

/** Of zero on a logarithmic scale, which has no place for it. */
export const ZERO_COLOUR = "rgb(183 189 199)";

/** Byte of the colour of numbers that are all the same. */
export const EVEN = STRONGEST / 2;

const TEXTS: Record<Exclude<OverlayName, "">, (value: number) => string> = {
  parameters: quantity,
  flops: quantity,
  seconds: duration,
  backward_flops: quantity,
  backward_seconds: duration,
  memory: bytes,
  deviation: digits,
  gradient: digits,
  dead: percent,
  nonfinite: whole,
};

/** Overlays whose numbers are written with their unit, or bear its name. */
const WITH_UNIT = new Set<OverlayName>([
  "flops",
  "seconds",
  "backward_flops",
  "backward_seconds",
  "memory",
  "dead",
]);

/** Overlays of a backward: of what is picked as its target. */
export const OF_TARGET: ReadonlySet<OverlayName> = new Set<OverlayName>([
  "gradient",
  "backward_flops",
  "backward_seconds",
]);

/** Ends of the scale: the smallest and largest finite numbers, on a logarithmic one of those above zero. */
function rangeOf({ values, log }: OverlayAnswer): [number, number] | null {
  let range: [number, number] | null = null;
  for (const value of values) {
    if (!Number.isFinite(value) || (log && value <= 0)) continue;
    range = range === null ? [value, value] : [Math.min(range[0], value), Math.max(range[1], value)];
  }
  return range;
}

const count = (values: Float32Array, is: (value: number) => boolean) =>
  values.reduce((sum, value) => sum + (is(value) ? 1 : 0), 0);

/** The colours of what the kernel answered, by the table of a colour map. */
export function overlayOf(answer: OverlayAnswer, table: ColourTable): Overlay {
  const { values, log, label, unit, note, overlay } = answer;
  const range = rangeOf(answer);
  const scale = log ? Math.log : (value: number) => value;
  const [low, high] = range ?? [0, 0];
  const room = scale(high) - scale(low);
  const text = overlay === "" ? digits : TEXTS[overlay];
  const shown = (value: number) => (Number.isFinite(value) ? text(value) : exact(value));
  const at = (row: number) => values[row] ?? Number.NaN;
  const colour = (value: number): [string, boolean] => {
    if (!Number.isFinite(value)) return cssOf(table, NOT_FINITE);
    if (log && value <= 0) return [ZERO_COLOUR, false];
    return cssOf(table, room > 0 ? Math.round((STRONGEST * (scale(value) - scale(low))) / room) : EVEN);
  };
  return {
    ...answer,
    colourOf: (row) => (Number.isNaN(at(row)) ? null : colour(at(row))[0]),
    inkOf: (row) => inkOn(colour(at(row))[1]),
    textOf: (row) => (Number.isNaN(at(row)) ? "n/a" : shown(at(row))),
    titleOf: (row) =>
      Number.isNaN(at(row)) ? `${label}: n/a` : `${label}: ${exact(at(row))} ${unit}`.trim(),
    legend: {
      ...{ label, log, note },
      unit: WITH_UNIT.has(overlay) ? "" : unit,
      ends: range === null ? null : [shown(low), shown(high)],
      zeros: log ? count(values, (value) => value === 0) : 0,
      missing: count(values, Number.isNaN),
      infinite: count(values, (value) => Math.abs(value) === Number.POSITIVE_INFINITY),
    },
  };
}
