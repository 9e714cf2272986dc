import { bytes, duration, percent, quantity, whole } from "../../marks/numbers";
import type { Sort, TableColumn } from "../shared/table";
import type { Overlay } from "./overlay";
import type { Rows } from "./types";

/** A column of the layer table. */
export interface Column {
  key: string;
  name: string;
  /** What it is called in the header, and the line under it. */
  short: string;
  unit: string;
  definition: string;
  /** By which rows are sorted: numbers, or words. */
  values(rows: Rows): readonly (number | string)[];
  text(rows: Rows, row: number): string;
  title(rows: Rows, row: number): string;
  /** Whether it holds words; else numbers. */
  isWords: boolean;
  /** Whether a bar shows its share of the largest. */
  hasBar: boolean;
  /** Of a cell, where an overlay colours it. */
  colours?(row: number): { background: string; color: string } | undefined;
  /** Pixels that it takes at least, and its share of what is left. */
  width: [least: number, share: number];
}

const none = "–";

function trainableText({ parameters, trainable }: Rows, row: number): string {
  const all = parameters[row] ?? 0;
  const asked = trainable[row] ?? 0;
  if (all === 0) return none;
  return asked === all ? "yes" : asked === 0 ? "no" : "partly";
}

interface NumberColumn {
  key: "parameters" | "share" | "flops" | "seconds" | "output_bytes";
  name: string;
  short: string;
  unit?: string;
  definition: string;
  text(value: number): string;
  exact(value: number): string;
  hasBar?: boolean;
}

function numberColumn(column: NumberColumn): Column {
  const { key, text, exact, name, unit = "", hasBar = false } = column;
  const at = (rows: Rows, row: number) => rows[key][row] ?? 0;
  return {
    ...{ key, name, short: column.short, unit, definition: column.definition, hasBar, isWords: false },
    values: (rows) => rows[key],
    text: (rows, row) => (at(rows, row) === 0 ? none : text(at(rows, row))),
    title: (rows, row) => `${name}: ${exact(at(rows, row))}`,
    width: [70, 1],
  };
}

function wordsColumn(
  key: "name" | "type" | "input_shapes" | "output_shapes",
  name: string,
  short: string,
  width: [number, number] = [120, 2],
): Column {
  return {
    ...{ key, name, short, unit: "", hasBar: false, isWords: true, width },
    definition: key.endsWith("shapes") ? `${name} at the first call` : name,
    values: (rows) => rows[key],
    text: (rows, row) => rows[key][row] || none,
    title: (rows, row) => `${name}: ${rows[key][row] || "none"}`,
  };
}

export const COLUMNS: Column[] = [
  wordsColumn("name", "Path of the module", "Module", [200, 2.6]),
  wordsColumn("type", "Class of the module", "Type", [100, 1.4]),
  wordsColumn("input_shapes", "Shapes of what goes in", "Input"),
  wordsColumn("output_shapes", "Shapes of what comes out", "Output"),
  numberColumn({
    ...{ key: "parameters", name: "Parameters", short: "Params" },
    definition: "Elements of the parameters in it and below, shared ones counted once",
    text: quantity,
    exact: whole,
  }),
  numberColumn({
    ...{ key: "share", name: "Share of all parameters", short: "Share", hasBar: true },
    definition: "Of all parameters of the model",
    text: percent,
    exact: (share) => `${Number((100 * share).toPrecision(6))} %`,
  }),
  numberColumn({
    ...{ key: "flops", name: "Floating-point operations", short: "FLOPs" },
    definition: "Of all calls, with what is called inside; a multiplication with its addition counts 2",
    text: quantity,
    exact: whole,
  }),
  numberColumn({
    ...{ key: "seconds", name: "Time", short: "Time" },
    definition: "Of all calls of one forward, with what is called inside",
    text: duration,
    exact: (seconds) => `${Number((1e3 * seconds).toPrecision(6))} ms`,
  }),
  numberColumn({
    ...{ key: "output_bytes", name: "Memory of what comes out", short: "Memory" },
    definition: "Bytes of the tensors that came out, all calls together",
    text: bytes,
    exact: (count) => `${whole(count)} bytes`,
  }),
  {
    ...{ key: "trainable", name: "Trainable", short: "Trainable", unit: "", hasBar: false, isWords: false },
    width: [74, 0.8],
    definition: "Whether its parameters ask for gradients",
    values: (rows) => rows.parameters.map((all, row) => (all === 0 ? -1 : (rows.trainable[row] ?? 0) / all)),
    text: trainableText,
    title: (rows, row) =>
      `Trainable: ${whole(rows.trainable[row] ?? 0)} of ${whole(rows.parameters[row] ?? 0)} parameters`,
  },
];

/** Those by which a module is known. */
export const NARROW: Column[] = COLUMNS.slice(0, 2).map((column, at) => ({
  ...column,
  width: at === 0 ? [130, 1.6] : [80, 1],
}));

/** Key of the column of an overlay that is none of the others. */
const OVERLAY = "overlay";

/** The columns of the table; one that an overlay colours stands beside the names. */
export function columnsWith(overlay: Overlay | null): Column[] {
  if (overlay === null) return COLUMNS;
  const [names, ...others] = COLUMNS as [Column, ...Column[]];
  const known = others.find(({ key }) => key === overlay.overlay);
  const coloured = { ...(known ?? columnOf(overlay)), colours: (row: number) => coloursOf(overlay, row) };
  return [names, coloured, ...others.filter((column) => column !== known)];
}

/** Keys of columns that go where there is no room for all, the first ones first. */
const DISPENSABLE = [
  ...["trainable", "input_shapes", "share", "output_bytes", "type", "output_shapes", "seconds", "flops"],
];

export const leastWidth = (columns: Column[]) => columns.reduce((sum, { width: [least] }) => sum + least, 0);

/** The columns that have room within so many pixels; those that are coloured or sorted by stay. */
export function fitting(columns: Column[], pixels: number, sorted: string | null): Column[] {
  let left = columns;
  for (const key of DISPENSABLE) {
    if (leastWidth(left) <= pixels) break;
    left = left.filter((one) => one.key !== key || key === sorted || one.colours !== undefined);
  }
  return left;
}

function coloursOf(overlay: Overlay, row: number) {
  const background = overlay.colourOf(row);
  return background === null ? undefined : { background, color: overlay.inkOf(row) };
}

/** Of an overlay that is no column of the table. */
function columnOf(overlay: Overlay): Column {
  const { label } = overlay;
  return {
    ...{
      key: OVERLAY,
      name: label,
      short: label,
      unit: "",
      definition: label,
      isWords: false,
      hasBar: false,
    },
    values: () => Array.from(overlay.values),
    text: (_, row) => overlay.textOf(row),
    title: (_, row) => overlay.titleOf(row),
    width: [110, 1],
  };
}

/** What the rows of a table have beside their numbers. */
export interface Lines {
  headers: TableColumn[];
  /** Names within the module around them. */
  names: string[];
  parents: Int32Array;
  /** 1 of rows that have parts. */
  hasParts: Uint8Array;
  /** Of the largest in a column, 0…1. */
  share(column: number, row: number): number;
  /** Where a row stands in an order, or the nearest around it that does. */
  placeIn(order: number[], row: number): number;
}

export function linesOf(rows: Rows, columns: Column[]): Lines {
  const parents = parentsOf(rows);
  const hasParts = new Uint8Array(parents.length);
  for (const parent of parents) if (parent >= 0) hasParts[parent] = 1;
  const largest = columns.map(({ values, hasBar }) =>
    hasBar ? values(rows).reduce<number>((most, value) => Math.max(most, Number(value)), 0) : 0,
  );
  return {
    ...{ parents, hasParts },
    headers: columns.map(({ key, short, unit, name, definition, isWords }) => ({
      // The names have no order of their own: that of the tree.
      ...{ key: key === "name" ? null : key, short, unit, isWords },
      title: key === "name" ? "As the model has them" : name === definition ? name : `${name}: ${definition}`,
    })),
    names: rows.name.map((name, row) => {
      const around = rows.name[parents[row] ?? -1];
      return around ? name.slice(around.length + 1) : name;
    }),
    share: (column, row) => Number(columns[column]?.values(rows)[row] ?? 0) / (largest[column] || 1),
    placeIn(order, row) {
      let place = order.indexOf(row);
      for (let up = parents[row] ?? -1; place === -1 && up >= 0; up = parents[up] ?? -1)
        place = order.indexOf(up);
      return place;
    },
  };
}

/** 1 of the rows that ran, or a part of which did. */
export function usedRows(rows: Rows): Uint8Array {
  const parents = parentsOf(rows);
  const used = new Uint8Array(parents.length);
  for (let row = parents.length - 1; row >= 0; row -= 1) {
    if ((rows.calls[row] ?? 0) > 0) used[row] = 1;
    const parent = parents[row] ?? -1;
    if (used[row] === 1 && parent >= 0) used[parent] = 1;
  }
  return used;
}

/** The module of a call: the path without the number of the call. */
export const moduleOf = (callName: string) => callName.replace(/:\d+$/, "");

/** Rows by the names of their modules. */
export const rowsByName = ({ name }: Rows) => new Map(name.map((one, row) => [one, row]));

/** Of each row, that of the module around it, −1 of the root. */
export function parentsOf({ depth }: Rows): Int32Array {
  const parents = new Int32Array(depth.length).fill(-1);
  const above: number[] = [];
  depth.forEach((deep, row) => {
    while (above.length > 0 && (depth[above.at(-1) as number] ?? 0) >= deep) above.pop();
    parents[row] = above.at(-1) ?? -1;
    above.push(row);
  });
  return parents;
}

/** Rows in the order of the tree, without those in folded ones. */
export function treeRows({ name, depth }: Rows, folded: ReadonlySet<string>): number[] {
  const shown: number[] = [];
  let hiddenBelow = Number.POSITIVE_INFINITY;
  depth.forEach((deep, row) => {
    if (deep > hiddenBelow) return;
    hiddenBelow = folded.has(name[row] ?? "") ? deep : Number.POSITIVE_INFINITY;
    shown.push(row);
  });
  return shown;
}

/** All rows by a column, equal ones in the order of the tree; those without a number come last. */
export function sortedRows(rows: Rows, { key, ascending }: Sort, columns: Column[] = COLUMNS): number[] {
  const order = rows.name.map((_, row) => row);
  const column = columns.find((one) => one.key === key);
  const values: readonly (number | string)[] = column?.values(rows) ?? rows.name;
  const sign = ascending ? 1 : -1;
  const compare = (a: number, b: number) => {
    const [x = 0, y = 0] = [values[a], values[b]];
    if (typeof x === "string" || typeof y === "string") return sign * naturally(String(x), String(y));
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
    return x === y ? 0 : x < y ? -sign : sign;
  };
  return order.sort((a, b) => compare(a, b) || a - b);
}

const { compare: naturally } = new Intl.Collator("en", { numeric: true });

/** Names of the modules in whose name or type the text is, whatever its case. */
export function foundNames({ name, type }: Rows, text: string): string[] {
  const sought = text.trim().toLowerCase();
  if (sought === "") return [];
  return name.filter((one, row) => `${one}\n${type[row]}`.toLowerCase().includes(sought));
}
