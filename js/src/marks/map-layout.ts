import { type Span, within } from "./viewport";

/** How many maps lie side by side, and how large each is on the screen. */
export interface MapLayout {
  columns: number;
  /** Of one map, in pixels, without its caption. */
  width: number;
  height: number;
  /** Height of the caption under each; 0: there is no room for one. */
  caption: number;
  gap: number;
}

const CAPTION = 18;
const GAP = 8;
/** No map is drawn larger than this, and none smaller where many are scrolled through. */
const LARGEST = 150;
const SMALLEST = 56;
/** Maps of a single number: units of a linear layer. */
const UNIT = 22;
const THINNEST = 10;

/** Maps of `aspect` (width / height): as large as all fit into the box, else small ones to scroll through. */
export function layOutMaps(count: number, aspect: number, box: { width: number; height: number }): MapLayout {
  const width = Math.max(SMALLEST, box.width);
  for (let columns = 1; columns <= count; columns += 1) {
    const layout = ofColumns(columns, aspect, width, CAPTION, GAP);
    if (layout.width < SMALLEST) break;
    if (Math.ceil(count / columns) * rowHeight(layout) <= box.height) return layout;
  }
  return ofColumns(Math.max(1, Math.floor((width + GAP) / (SMALLEST + GAP))), aspect, width, CAPTION, GAP);
}

/** Units, which have one number each, as a sheet of squares without gaps. */
export function layOutUnits(count: number, box: { width: number; height: number }): MapLayout {
  const columns = Math.max(1, Math.min(count, Math.floor(Math.max(UNIT, box.width) / UNIT)));
  return { columns, width: UNIT, height: UNIT, caption: 0, gap: 0 };
}

function ofColumns(columns: number, aspect: number, width: number, caption: number, gap: number): MapLayout {
  const most = aspect > 2 ? width : LARGEST * Math.max(1, aspect);
  const side = Math.min(most, (width - gap * (columns - 1)) / columns);
  return { columns, width: side, height: Math.max(THINNEST, side / aspect), caption, gap };
}

export const rowHeight = ({ height, caption, gap }: MapLayout) => height + caption + gap;

export const totalHeight = (count: number, layout: MapLayout) =>
  Math.ceil(count / layout.columns) * rowHeight(layout);

/** The places whose maps are within `[top, top + height)` of the scrolled sheet, and a little more. */
export function placesInView(count: number, layout: MapLayout, top: number, height: number): Span {
  const row = rowHeight(layout);
  const first = Math.max(0, Math.floor(top / row) - 1);
  const last = Math.ceil((top + height) / row) + 1;
  return [Math.min(count, first * layout.columns), Math.min(count, last * layout.columns)];
}

/** Pages that a span of places reaches into, of `size` places each: where each begins. */
export function pagesOf([start, stop]: Span, size: number): number[] {
  const pages: number[] = [];
  for (let from = Math.floor(start / size) * size; from < stop; from += size) pages.push(from);
  return pages;
}

/** Where an arrow key leads to among places in rows; null for other keys. */
export function stepPlace(place: number, count: number, columns: number, key: string): number | null {
  const steps: Record<string, number> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -columns,
    ArrowDown: columns,
  };
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  const step = steps[key];
  if (step === undefined) return null;
  return within([0, count], place + step) ? place + step : place;
}
