/** 256 colours as red, green, blue; the last is that of cells that are not finite. */
export type ColourTable = Uint8Array;

export type Scale = "linear" | "log" | "row";

/** The byte of the strongest finite value: 255 is kept for "not a finite number". */
export const STRONGEST = 254;
export const NOT_FINITE = 255;

const tables = new WeakMap<ColourTable, Uint32Array>();

/** The table as whole pixels: one read and one write a cell. */
export function pixelsOf(table: ColourTable): Uint32Array {
  let pixels = tables.get(table);
  if (pixels === undefined) {
    const bytes = new Uint8Array(256 * 4);
    for (let index = 0; index < 256; index += 1) {
      bytes.set(table.subarray(index * 3, index * 3 + 3), index * 4);
      bytes[index * 4 + 3] = 255;
    }
    pixels = new Uint32Array(bytes.buffer);
    tables.set(table, pixels);
  }
  return pixels;
}

/** Colours `width` × `height` cells into `target`, an image `targetWidth` wide, at (left, top). */
export function paint(
  cells: Uint8Array,
  [height, width]: readonly [number, number],
  table: ColourTable,
  target: Uint8ClampedArray,
  { left = 0, top = 0, targetWidth = width } = {},
): void {
  const colours = pixelsOf(table);
  const out = new Uint32Array(target.buffer, target.byteOffset, target.byteLength / 4);
  for (let row = 0; row < height; row += 1) {
    let to = (top + row) * targetWidth + left;
    let from = row * width;
    for (let column = 0; column < width; column += 1) out[to++] = colours[cells[from++] as number] as number;
  }
}

/** The colour of a byte, and whether white is read better on it. */
export function cssOf(table: ColourTable, byte: number): [css: string, isDark: boolean] {
  const [red = 0, green = 0, blue = 0] = table.subarray(3 * byte, 3 * byte + 3);
  // Perceived lightness (Rec. 601) of 0…255.
  return [`rgb(${red} ${green} ${blue})`, 0.299 * red + 0.587 * green + 0.114 * blue < 140];
}

/** Text on a colour: white, or nearly black. */
export const inkOn = (isDark: boolean) => (isDark ? "#ffffff" : "#1f2328");

/** How strongly a weight is coloured, 0…1, where no byte of the kernel's says it. */
export function strength(value: number, largest: number, scale: Scale): number {
  if (!(value > 0) || !(largest > 0)) return 0;
  if (scale !== "log") return Math.min(1, value / largest);
  // Three decades, so that one strong key does not hide the rest.
  return Math.max(0, Math.min(1, 1 + Math.log10(value / largest) / 3));
}
