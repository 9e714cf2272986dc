/** Which part of a matrix is looked at, in positions; fractions while it is moved. */
export type Span = [start: number, stop: number];

export interface Window {
  rows: Span;
  keys: Span;
}

/** A matrix as received: `height` × `width` cells over `rows` × `keys` positions. */
export interface Received extends Window {
  height: number;
  width: number;
}

/** No picture holds more cells a side than this, nor does a view show more. */
export const LARGEST_SIDE = 512;
const SMALLEST_SPAN = 4;

export const length = ([start, stop]: Span) => stop - start;

export const within = ([start, stop]: Span, position: number) => position >= start && position < stop;

const clamp = (value: number, low: number, high: number) => Math.max(low, Math.min(high, value));

/** Moves a span into `full` without changing its length (at most that of `full`). */
function inside([start, stop]: Span, full: Span): Span {
  const size = Math.min(stop - start, length(full));
  const first = clamp(start, full[0], full[1] - size);
  return [first, first + size];
}

function zoomSpan(span: Span, full: Span, factor: number, anchor: number): Span {
  const size = clamp(length(span) / factor, Math.min(SMALLEST_SPAN, length(full)), length(full));
  const share = length(span) === 0 ? 0.5 : (anchor - span[0]) / length(span);
  const start = anchor - share * size;
  return inside([start, start + size], full);
}

/** Zooms so that the position under the pointer stays under it; null when all of it is seen again. */
export function zoom(
  window: Window,
  full: Window,
  factor: number,
  anchor: { row: number; key: number },
): Window | null {
  const rows = zoomSpan(window.rows, full.rows, factor, anchor.row);
  const keys = zoomSpan(window.keys, full.keys, factor, anchor.key);
  const all = length(rows) >= length(full.rows) && length(keys) >= length(full.keys);
  return all ? null : { rows, keys };
}

export function pan(window: Window, full: Window, rows: number, keys: number): Window {
  return {
    rows: inside([window.rows[0] + rows, window.rows[1] + rows], full.rows),
    keys: inside([window.keys[0] + keys, window.keys[1] + keys], full.keys),
  };
}

/** Pixels of one cell: square where that leaves both sides readable, never larger than `largest`. */
export function fitCells(
  rows: number,
  keys: number,
  width: number,
  height: number,
  largest = 28,
): { width: number; height: number } {
  const square = Math.min(width / keys, height / rows, largest);
  const readable = 140;
  const wide = square * keys < readable ? Math.min(readable / keys, largest, width / keys) : square;
  const tall = square * rows < readable ? Math.min(readable / rows, largest, height / rows) : square;
  return { width: Math.max(wide, square), height: Math.max(tall, square) };
}

/** Whole positions of a window, with as much around them as comes for nothing: panning then needs no kernel. */
function requestSpan(span: Span, full: Span): Span {
  const start = Math.max(full[0], Math.floor(span[0]));
  const stop = Math.min(full[1], Math.ceil(span[1]));
  const spare = Math.max(0, Math.min(LARGEST_SIDE, length(full)) - (stop - start));
  return inside([start - Math.floor(spare / 2), stop + Math.ceil(spare / 2)], full);
}

/** The window and size to ask for, to see `window` as sharply as the limits allow. */
export function requestWindow(window: Window, full: Window): Window & { size: [number, number] } {
  const rows = requestSpan(window.rows, full.rows);
  const keys = requestSpan(window.keys, full.keys);
  const size = [rows, keys].map((span) => Math.min(LARGEST_SIDE, length(span))) as [number, number];
  return { rows, keys, size };
}

const covers = (outer: Span, inner: Span) =>
  outer[0] <= Math.max(0, Math.floor(inner[0])) && outer[1] >= Math.ceil(inner[1]);

/** Whether a new request would show `window` no sharper than what is there. */
export function suffices(received: Received, window: Window, full: Window): boolean {
  if (!covers(received.rows, window.rows) || !covers(received.keys, window.keys)) return false;
  const next = requestWindow(window, full);
  const sharper = (cells: number, span: Span, nextCells: number, nextSpan: Span) =>
    nextCells / length(nextSpan) > (cells / length(span)) * 1.001;
  return !(
    sharper(received.height, received.rows, next.size[0], next.rows) ||
    sharper(received.width, received.keys, next.size[1], next.keys)
  );
}
