import { type ColourTable, pixelsOf } from "./colour";

/** The bytes of one map, and their height and width. */
export interface MapCells {
  data: Uint8Array;
  height: number;
  width: number;
  /** Red, green and blue of each cell, instead of one byte for a colour table. */
  coloured?: boolean;
}

/** Where a map lies in an image that is `targetWidth` wide, in pixels. */
export interface PixelBox {
  left: number;
  top: number;
  width: number;
  height: number;
  targetWidth: number;
}

/** The cell that the middle of each of `pixels` pixels lies in. */
export const cellsUnder = (pixels: number, cells: number) =>
  Int32Array.from({ length: pixels }, (_, pixel) => Math.floor(((pixel + 0.5) * cells) / pixels));

/** Colours a map into a box of an image, enlarged or reduced without mixing colours; `opacity`: 0…1. */
export function paintMap(
  { data, height, width, coloured = false }: MapCells,
  table: ColourTable,
  target: Uint8ClampedArray,
  box: PixelBox,
  opacity = 1,
): void {
  const colours = pixelsOf(table);
  const out = new Uint32Array(target.buffer, target.byteOffset, target.byteLength / 4);
  const rows = cellsUnder(box.height, height);
  const columns = cellsUnder(box.width, width);
  for (let y = 0; y < box.height; y += 1) {
    const first = (rows[y] as number) * width;
    const start = (box.top + y) * box.targetWidth + box.left;
    for (let x = 0; x < box.width; x += 1) {
      const cell = first + (columns[x] as number);
      if (!coloured) out[start + x] = colours[data[cell] as number] as number;
      else
        for (let part = 0; part < 4; part += 1) target[4 * (start + x) + part] = data[3 * cell + part] ?? 0;
      if (coloured || opacity < 1) target[4 * (start + x) + 3] = Math.round(255 * opacity);
    }
  }
}
