import type { Card, Page, Selection, Size, View } from "./types";

/** Longer side of the pictures where none is set: digits and icons, photographs. */
const SMALL = 96;
const LARGE = 192;
const SMALL_IMAGE = 64;

export function viewOf({ order, descending, label, prediction, wrong_only }: View): View {
  return { order, descending, label, prediction, wrong_only };
}

/** Whether samples are shown as they come. */
export function isPlain({ order, descending, label, prediction, wrong_only }: View): boolean {
  return order === "index" && !descending && label === null && prediction === null && !wrong_only;
}

/** Pages to turn to: one more than read, where the end of the data is not known. */
export function pageCount(page: Page, selection: Selection): number {
  const { per_page } = selection;
  const isOpen = page.count === null && isPlain(selection);
  const known = Math.ceil((isPlain(selection) ? (page.count ?? page.there) : page.total) / per_page);
  return Math.max(1, known + (isOpen ? 1 : 0));
}

const density = () => Math.min(2, globalThis.devicePixelRatio || 1);

/** Pixels of the longer side of pictures shown at a size. */
export const pixelsFor = (size: number | null): number => Math.round((size ?? LARGE) * density());

/** Whether the pictures of a page have the pixels for a size, or all that there are. */
export function isSharp(page: Page, pixels: number): boolean {
  const isWhole = ({ thumbnail }: Card) => thumbnail === null || thumbnail.size[0] === thumbnail.of[0];
  return page.pixels >= pixels || page.cards.every(isWhole);
}

/** Longer side of the pictures of a page on the screen. */
export function tileSize(cards: Card[], size: number | null): number {
  if (size !== null) return size;
  const longest = Math.max(0, ...cards.map(({ thumbnail }) => Math.max(...(thumbnail?.of ?? [0]))));
  return longest > SMALL_IMAGE ? LARGE : SMALL;
}

/** How large an image is on the screen, and how often each of its pixels was repeated (1: it was not). */
export function shownSize(of: Size, tile: number): { size: Size; repeated: number } {
  const longest = Math.max(...of);
  const whole = Math.floor((tile * density()) / longest);
  // Of small images each pixel is a square of the same size: nothing is smoothed.
  const factor = whole >= 2 ? whole / density() : tile / longest;
  return { size: [of[0] * factor, of[1] * factor], repeated: whole >= 2 ? whole : 1 };
}

/** Height of the highest picture on the screen: captions stand in line. */
export function highest(cards: Card[], tile: number): number {
  const heights = cards.map(({ thumbnail }) =>
    thumbnail === null ? 0 : shownSize(thumbnail.of, tile).size[0],
  );
  return Math.max(0, ...heights);
}

/** From one sample to another, as they are shown; the other alone where the first is not. */
export function rangeBetween(shown: number[], from: number, to: number): number[] {
  const [start, stop] = [shown.indexOf(from), shown.indexOf(to)];
  if (start === -1) return [to];
  return shown.slice(Math.min(start, stop), Math.max(start, stop) + 1);
}

/** Where a key leads to among cards in rows; null for other keys. */
export function moved(position: number, count: number, columns: number, event: KeyboardEvent): number | null {
  const row = position - (position % columns);
  const last = count - 1;
  const within = (next: number) => (next < 0 || next > last ? position : next);
  switch (event.key) {
    case "ArrowLeft":
      return Math.max(0, position - 1);
    case "ArrowRight":
      return Math.min(last, position + 1);
    case "ArrowUp":
      return within(position - columns);
    case "ArrowDown":
      return within(position + columns);
    case "Home":
      return event.ctrlKey ? 0 : row;
    case "End":
      return event.ctrlKey ? last : Math.min(last, row + columns - 1);
    default:
      return null;
  }
}
