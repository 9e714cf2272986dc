import { pick } from "../../kernel/arrays";
import type { Answer } from "../../kernel/connection";
import { NOT_FINITE, STRONGEST } from "../../marks/colour";
import { exact, short } from "../../marks/numbers";
import type { Sort } from "../shared/table";
import type { Place } from "./next-heads";
import type { Layer, Selection } from "./types";

/** One statistic of heads. */
export interface Column {
  key: string;
  name: string;
  /** What it is called where there is little room. */
  short: string;
  unit: string;
  decimals: number;
  definition: string;
  /** When there is none. */
  absent: string;
}

interface StatisticsContent {
  columns: Column[];
  /** Heads that are there, from the first on. */
  done: number;
  /** Of how many queries they are made, in words; "": of all. */
  note: string;
  footer: string;
  progress: string;
}

/** Statistics of all heads, as far as they were read; one row a head. */
export interface HeadTable extends StatisticsContent {
  layers: Layer[];
  heads: Place[];
  /** (heads, columns): NaN where one does not apply, ∞ where it is no finite number. */
  values: Float32Array;
  partial: boolean;
  payload: number;
  bytes: number;
  milliseconds: number;
}

export const WEIGHTS = "weights";

/** Whether statistics of all heads are looked at. */
export const wantsStatistics = ({ view, grid_by }: Selection) => view === "table" || grid_by !== WEIGHTS;

/** Of the calls among `offered`: what is made of several has no heads of its own. */
export function headTable(answer: Answer, offered: Layer[]): HeadTable {
  const layers = offered.filter(({ is_derived }) => !is_derived);
  const { payload, bytes, milliseconds, partial } = answer;
  const values = pick(answer.arrays, "statistics", "float32")?.data;
  if (values === undefined) throw new Error("it has no statistics");
  const heads = layers.flatMap(({ heads }, layer) =>
    Array.from({ length: heads }, (_, head) => ({ layer, head })),
  );
  const content = answer.content as StatisticsContent;
  return { ...content, layers, heads, values, partial, payload, bytes, milliseconds };
}

export const headTitle = ({ layer, head }: Place) => `Layer ${layer} · head ${head}`;

/** The row of a head, or −1. */
export const rowOf = ({ heads }: HeadTable, layer: number, head: unknown) =>
  heads.findIndex((place) => place.layer === layer && place.head === head);

export const columnOf = ({ columns }: HeadTable, key: string | null) =>
  columns.findIndex((column) => column.key === key);

export const numberOf = ({ values, columns }: HeadTable, row: number, column: number) =>
  values[row * columns.length + column] as number;

/** More do not fit into a cell: such numbers are told by their powers of ten. */
const MOST_DECIMALS = 4;

/** Decimals of a column: more than it says where its largest value would be lost in them. */
export function decimalsOf({ decimals }: Column, largest: number): number {
  return largest > 0 ? Math.max(decimals, 1 - Math.floor(Math.log10(largest))) : decimals;
}

/** A value as it is shown: with so many decimals, or with all and its unit. */
export function textOf(table: HeadTable, row: number, column: number, decimals?: number): string {
  const value = numberOf(table, row, column);
  if (row >= table.done) return "…";
  if (Number.isNaN(value)) return "n/a";
  if (!Number.isFinite(value)) return "not finite";
  if (decimals !== undefined) return decimals > MOST_DECIMALS ? short(value) : value.toFixed(decimals);
  return `${exact(value)} ${table.columns[column]?.unit ?? ""}`.trim();
}

/** The rows in order; those without a number last, equal ones as the model has them. */
export function sortedRows(table: HeadTable, { key, ascending }: Sort): number[] {
  const rows = table.heads.map((_, row) => row);
  const column = columnOf(table, key);
  if (column < 0) return ascending ? rows : rows.reverse();
  const rank = (row: number) => {
    const value = numberOf(table, row, column);
    return Number.isFinite(value) ? (ascending ? value : -value) : Number.POSITIVE_INFINITY;
  };
  // Infinity − Infinity is no number, and no difference.
  return rows.sort((a, b) => rank(a) - rank(b) || a - b);
}

/** The smallest and largest finite value of a column, or null. */
export function rangeOf(table: HeadTable, column: number): [number, number] | null {
  let range: [number, number] | null = null;
  for (let row = 0; row < table.done; row += 1) {
    const value = numberOf(table, row, column);
    if (!Number.isFinite(value)) continue;
    range = range === null ? [value, value] : [Math.min(range[0], value), Math.max(range[1], value)];
  }
  return range;
}

/** One statistic of all heads as bytes of a colour table; `absent`: heads that have none. */
export function levelsOf(table: HeadTable, column: number) {
  const [low, high] = rangeOf(table, column) ?? [0, 0];
  const factor = high > low ? STRONGEST / (high - low) : 0;
  const values = table.heads.map((_, row) => numberOf(table, row, column));
  return {
    levels: values.map((value) => (Number.isFinite(value) ? Math.round((value - low) * factor) : NOT_FINITE)),
    absent: values.map(Number.isNaN),
    nonfinite: values.filter((value) => Math.abs(value) === Number.POSITIVE_INFINITY).length,
  };
}
