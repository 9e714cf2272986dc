import type { Token } from "../../marks/tokens";
import { LARGEST_SIDE, length, requestWindow, type Span, suffices, type Window } from "../../marks/viewport";
import type { How } from "../shared/change";
import type { Place } from "./next-heads";
import type {
  Ablated,
  Direction,
  Head,
  HeadSelection,
  ImageGrid,
  Layer,
  Lens,
  Picture,
  SampleContent,
  Selection,
} from "./types";

/** Tokens a side of the lines view: more lines than this cannot be told apart. */
export const LINES = 64;

export const clampIndex = (index: number, count: number) => Math.max(0, Math.min(count - 1, index));

/** The selection with layer, head and query moved to where this sample has them. */
export function clampSelection(selection: Selection, { layers }: SampleContent): Selection {
  const layer = clampIndex(selection.layer, layers.length);
  const found = layers[layer];
  if (found === undefined) return selection;
  const head = typeof selection.head === "number" ? clampIndex(selection.head, found.heads) : selection.head;
  return { ...selection, layer, head, query: clampQuery(selection.query, found) };
}

/** A query names a row or, looked at from the other side, a key: it may be in the longer of the two. */
function clampQuery(query: number | null, { rows, columns }: Layer): number | null {
  if (query === null) return null;
  const start = Math.min(rows[0], columns[0]);
  const stop = Math.max(rows[1], columns[1]);
  return Math.max(start, Math.min(stop - 1, query));
}

/** Patches by row and column, and what comes before them. */
function patchNames({ start, height, width }: ImageGrid): Token[] {
  const before = Array.from({ length: start }, (_, index): Token => {
    return [start === 1 ? "class" : `class ${index}`, "class token or register", 0, 1, 0];
  });
  const patches = Array.from({ length: height * width }, (_, index): Token => {
    const place = `${Math.floor(index / width)},${index % width}`;
    return [place, `patch in row ${place.replace(",", ", column ")}`, 0, 0, 0];
  });
  return [...before, ...patches];
}

export const tokenList = ({ tokens }: SampleContent, name: string | null): Token[] | null =>
  name === null ? null : (tokens[name] ?? null);

/** The names of both sides: tokens, else the places of patches; one list where both are the same. */
export function namedSides(layer: Layer, queries: Token[] | null, keys: Token[] | null) {
  const { query_grid, key_grid } = layer;
  const queryTokens = queries ?? (query_grid === null ? null : patchNames(query_grid));
  const isSame = keys === null && layer.kind === "self" && key_grid !== null && query_grid !== null;
  const keyTokens = isSame ? queryTokens : (keys ?? (key_grid === null ? null : patchNames(key_grid)));
  return { queryTokens, keyTokens };
}

/** The weights of the query (or key) of a picture, and what they lie on. */
export function sideOf(picture: Picture, direction: Direction) {
  const { layer, queryTokens, keyTokens } = picture;
  return direction === "from"
    ? {
        weights: picture.from,
        own: queryTokens,
        others: keyTokens,
        span: layer.columns,
        role: "query" as const,
      }
    : { weights: picture.to, own: keyTokens, others: queryTokens, span: layer.rows, role: "key" as const };
}

export const fullWindow = ({ rows, columns }: Layer): Window => ({ rows, keys: columns });

const page = (full: Span, first: number): Span => {
  const size = Math.min(LINES, length(full));
  const start = Math.max(full[0], Math.min(full[1] - size, full[0] + first));
  return [start, start + size];
};

/** The page of the lines that begins a little before a position. */
export const pageAt = ({ rows }: Layer, position: number) => Math.max(0, position - rows[0] - LINES / 4);

/** The page of the lines for the part of the matrix looked at: the picked query is on it if it is in there. */
export function pageIn(layer: Layer, window: Window | null, query: number | null): number | null {
  const first = window === null ? null : Math.floor(window.rows[0]) - layer.rows[0];
  const [start, stop] = window?.rows ?? layer.rows;
  if (query === null || query < start || query >= stop) return first;
  return Math.max(pageAt(layer, query), first ?? 0);
}

/** Positions of the tokens with which a text begins, capitals or not; it may go over several tokens. */
export function occurrences(tokens: Token[], [start, stop]: Span, text: string): number[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return [];
  const begins: number[] = [];
  let joined = "";
  for (let position = start; position < stop; position += 1) {
    const [shown = "", , isJoined] = tokens[position] ?? [];
    if (isJoined !== 1 && joined !== "") joined += " ";
    begins.push(joined.length);
    joined += shown.toLowerCase();
  }
  const found: number[] = [];
  let token = 0;
  for (let place = joined.indexOf(wanted); place !== -1; place = joined.indexOf(wanted, place + 1)) {
    while ((begins[token + 1] ?? Number.POSITIVE_INFINITY) <= place) token += 1;
    if (found.at(-1) !== start + token) found.push(start + token);
  }
  return found;
}

/** Positions that are seen on each side where a token of a long input is jumped to. */
const CLOSE = 128;

/** A window with a position in its middle: of long inputs a close one. */
export function around(window: Window, full: Window, position: number): Window | null {
  const spans = [
    [window.rows, full.rows],
    [window.keys, full.keys],
  ] as const;
  const [rows, keys] = spans.map(([seen, all]): Span => {
    const size = length(seen) > LARGEST_SIDE ? CLOSE : length(seen);
    const start = Math.max(all[0], Math.min(all[1] - size, Math.round(position - size / 2)));
    return [start, start + size];
  }) as [Span, Span];
  const isAll = length(rows) >= length(full.rows) && length(keys) >= length(full.keys);
  return isAll ? null : { rows, keys };
}

/** The tokens that the lines view joins, on both sides. */
export const linesWindow = ({ rows, columns }: Layer, first: number): Window => ({
  rows: page(rows, first),
  keys: page(columns, first),
});

/** What a view needs to see of the matrix. */
export function neededWindow(
  layer: Layer,
  view: Selection["view"],
  window: Window | null,
  first: number,
): Window {
  return view === "lines" ? linesWindow(layer, first) : (window ?? fullWindow(layer));
}

export const lensOf = ({ measure, units, hide_sinks, ablated, target }: Lens): Lens => ({
  ...{ measure, units, hide_sinks, ablated },
  // Of what is no gradient it says nothing: what was read stays what it is.
  target: measure === "gradient" ? target : null,
});

/** Whether a head is ablated, and how. */
export function howAblated(ablated: Ablated[], layer: number, head: Head): How | null {
  return ablated.find((one) => one[0] === layer && one[1] === head)?.[2] ?? null;
}

/** Where the ablated heads are. */
export const ablatedPlaces = ({ ablated }: Selection): Place[] =>
  ablated.map(([layer, head]) => ({ layer, head }));

/** The ablated heads with one more, in another way, or (null) one less. */
export function withAblated(ablated: Ablated[], layer: number, head: number, how: How | null): Ablated[] {
  const others = ablated.filter((one) => one[0] !== layer || one[1] !== head);
  return how === null ? others : [...others, [layer, head, how]];
}

/** The whole selection of a `head` request; a window is named only where not everything is asked for. */
export function headSelection(selection: Selection, layer: Layer, needed: Window): HeadSelection {
  const { sample, padding, layer: index, head, query, scale } = selection;
  const lens = lensOf(selection);
  const full = fullWindow(layer);
  const { rows, keys, size } = requestWindow(needed, full);
  const whole = length(rows) === length(full.rows) && length(keys) === length(full.keys);
  const window = whole ? { rows: null, keys: null } : { rows, keys };
  return { sample, padding, layer: index, head, query, scale, ...window, size, lens };
}

/** Whether a picture has all that can be had of a window. */
export function pictureSuffices(picture: Picture, needed: Window): boolean {
  const [height = 0, width = 0] = picture.matrix.shape;
  const { rows, keys } = picture;
  return suffices({ rows, keys, height, width }, needed, fullWindow(picture.layer));
}

/** A window that a layer of another size has no room for is given up. */
export function keepWindow(window: Window | null, layer: Layer): Window | null {
  if (window === null) return null;
  const { rows, columns } = layer;
  const fits = (inner: Span, outer: Span) => inner[0] >= outer[0] && inner[1] <= outer[1];
  return fits(window.rows, rows) && fits(window.keys, columns) ? window : null;
}

const LARGEST_THUMBNAIL = 32;
const SMALLEST_THUMBNAIL = 8;
/** Bytes that all thumbnails may take together. */
const GRID_BYTES = 1e6;

/** How large thumbnails are asked for: never more pixels than the largest head has weights. */
export function thumbnailSize(layers: Layer[]): [number, number] {
  const heads = layers.reduce((sum, layer) => sum + layer.heads, 0);
  const side = Math.floor(Math.sqrt(GRID_BYTES / Math.max(1, heads)));
  const limit = Math.max(SMALLEST_THUMBNAIL, Math.min(LARGEST_THUMBNAIL, side));
  const longest = (spans: Span[]) => Math.max(1, ...spans.map(length));
  return [
    Math.min(limit, longest(layers.map(({ rows }) => rows))),
    Math.min(limit, longest(layers.map(({ columns }) => columns))),
  ];
}

/** Whether the matrix was reduced: fewer cells than positions. */
export function isReduced({ matrix, rows, keys }: Pick<Picture, "matrix" | "rows" | "keys">): boolean {
  const [height = 0, width = 0] = matrix.shape;
  return height < length(rows) || width < length(keys);
}
