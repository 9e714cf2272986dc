import { type ColourTable, paint } from "./colour";

/** Thumbnails in rows of different lengths, as one picture with gaps between. */
export interface Mosaic {
  /** Thumbnails in each row. */
  counts: number[];
  height: number;
  width: number;
}

export const gapOf = ({ width }: Mosaic) => Math.max(1, Math.round(width / 12));

export const columnsOf = ({ counts }: Mosaic) => Math.max(1, ...counts);

export function mosaicSize(mosaic: Mosaic): { width: number; height: number } {
  const gap = gapOf(mosaic);
  return {
    width: columnsOf(mosaic) * (mosaic.width + gap),
    height: mosaic.counts.length * (mosaic.height + gap),
  };
}

/** Width by height at which a mosaic is shown: few queries of many keys (or many of few) are no threads. */
export function shownRatio(mosaic: Mosaic): number {
  const { width, height } = mosaicSize(mosaic);
  const [columns, rows] = [columnsOf(mosaic), mosaic.counts.length];
  const one = width / columns / (height / rows);
  return (Math.max(0.5, Math.min(2, one)) * columns) / rows;
}

/** Pixels a side of a thumbnail in a single colour. */
export const FLAT = 12;

/** The cells of thumbnails that have one level each. */
export function flatCells({ height, width }: Mosaic, levels: number[]): Uint8Array {
  const area = height * width;
  return Uint8Array.from(
    { length: levels.length * area },
    (_, cell) => levels[Math.floor(cell / area)] as number,
  );
}

/** Grey stripes on nothing: there is no colour to be shown. */
function hatch(
  { height, width }: Mosaic,
  pixels: Uint8ClampedArray,
  start: number,
  targetWidth: number,
): void {
  for (let y = 0; y < height; y += 1) {
    for (let x = (4 - (y % 4)) % 4; x < width; x += 4) {
      pixels.set([128, 128, 128, 255], 4 * (start + y * targetWidth + x));
    }
  }
}

/** Paints all thumbnails, which lie behind each other in `cells`, into one image; `absent` ones are hatched. */
export function paintMosaic(
  mosaic: Mosaic,
  cells: Uint8Array,
  table: ColourTable,
  pixels: Uint8ClampedArray,
  absent: boolean[] = [],
): void {
  const gap = gapOf(mosaic);
  const area = mosaic.width * mosaic.height;
  const targetWidth = mosaicSize(mosaic).width;
  let index = 0;
  mosaic.counts.forEach((count, row) => {
    for (let column = 0; column < count; column += 1, index += 1) {
      const thumbnail = cells.subarray(index * area, (index + 1) * area);
      const left = column * (mosaic.width + gap) + (gap >> 1);
      const top = row * (mosaic.height + gap) + (gap >> 1);
      if (absent[index]) hatch(mosaic, pixels, top * targetWidth + left, targetWidth);
      else paint(thumbnail, [mosaic.height, mosaic.width], table, pixels, { left, top, targetWidth });
    }
  });
}

/** The thumbnail at a share of the picture's width and height, or null beside them. */
export function thumbnailAt(mosaic: Mosaic, x: number, y: number): { row: number; column: number } | null {
  const row = Math.floor(y * mosaic.counts.length);
  const column = Math.floor(x * columnsOf(mosaic));
  const count = mosaic.counts[row];
  return count !== undefined && column >= 0 && column < count ? { row, column } : null;
}

/** Where an arrow key leads to, kept inside rows of different lengths; null for other keys. */
export function moveBy(
  { counts }: { counts: number[] },
  { row, column }: { row: number; column: number },
  key: string,
): { row: number; column: number } | null {
  const last = (at: number) => (counts[at] ?? 1) - 1;
  const to = (nextRow: number, nextColumn: number) => {
    const at = Math.max(0, Math.min(counts.length - 1, nextRow));
    return { row: at, column: Math.max(0, Math.min(last(at), nextColumn)) };
  };
  switch (key) {
    case "ArrowUp":
      return to(row - 1, column);
    case "ArrowDown":
      return to(row + 1, column);
    case "ArrowLeft":
      return to(row, column - 1);
    case "ArrowRight":
      return to(row, column + 1);
    case "Home":
      return to(row, 0);
    case "End":
      return to(row, last(row));
    default:
      return null;
  }
}
