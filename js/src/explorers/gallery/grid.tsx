import { useMemo, useRef, useState } from "preact/hooks";
import { useSize } from "../../marks/use-size";
import { Content, extentsOf } from "./card";
import { highest, moved, tileSize } from "./selection";
import type { Adding, GalleryStore } from "./store";
import type { Page } from "./types";
import { described, spoken } from "./words";

const GAP = 12;
/** Room for captions and frames beside a picture; least widths of texts and rows. */
const BESIDE = 8;
const TEXT = 250;
const ROW = 240;

const addingOf = ({ shiftKey, ctrlKey, metaKey }: MouseEvent | KeyboardEvent): Adding =>
  shiftKey ? "range" : ctrlKey || metaKey ? "toggle" : "alone";

function widthOf(page: Page, tile: number): number {
  const { cards } = page;
  if (cards.some(({ thumbnail }) => thumbnail !== null)) return tile + BESIDE;
  return cards.some(({ text, problem }) => text !== null || problem !== "") ? TEXT : ROW;
}

function inRows<T>(items: T[], columns: number): T[][] {
  const rows = Math.ceil(items.length / columns);
  return Array.from({ length: rows }, (_, row) => items.slice(row * columns, (row + 1) * columns));
}

interface CellsProps {
  store: GalleryStore;
  page: Page;
  columns: number;
  tile: number;
  onPoint(position: number | null): void;
}

/** All cards in rows: click, Enter or space pick one; with Ctrl or Shift several. */
function Cells({ store, page, columns, tile, onPoint }: CellsProps) {
  const grid = useRef<HTMLDivElement>(null);
  const { selection, lost, progress } = store.state;
  const { cards, predictions } = page;
  const [focused, setFocused] = useState<number | null>(null);
  const extents = useMemo(() => extentsOf(cards), [cards]);
  const height = highest(cards, tile);
  const current = cards.findIndex(({ index }) => index === selection.sample);
  const stop = Math.min(focused ?? Math.max(0, current), cards.length - 1);
  const disabled = lost !== null;
  const pick = (position: number, event: MouseEvent | KeyboardEvent) => {
    const card = cards[position];
    if (card !== undefined && !disabled) store.pickSample(card.index, addingOf(event), event);
  };
  const focus = (position: number) => {
    setFocused(position);
    (grid.current?.querySelector(`[data-position="${position}"]`) as HTMLElement | null)?.focus();
  };
  const press = (event: KeyboardEvent) => {
    // Of keys that follow each other quickly, each goes on from the card that has the focus by then.
    const at = (event.target as HTMLElement).closest<HTMLElement>("[data-position]")?.dataset.position;
    const position = Number(at ?? stop);
    const next = moved(position, cards.length, columns, event);
    // Shift and Ctrl with Enter run the notebook's cell.
    const picks = event.key === " " || (event.key === "Enter" && addingOf(event) === "alone");
    if (next !== null) focus(next);
    else if (picks) pick(position, event);
    else if (event.key === "PageDown") store.turn(1, event);
    else if (event.key === "PageUp") store.turn(-1, event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const cell = (position: number) => {
    const card = cards[position] as Page["cards"][number];
    const prediction = predictions[position] ?? null;
    const isPicked = selection.picked.includes(card.index);
    const names = ["xw-card"];
    if (prediction?.wrong) names.push("xw-wrong");
    if (isPicked) names.push("xw-picked-card");
    return (
      // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the grid's
      <div
        key={card.index}
        class={names.join(" ")}
        role="gridcell"
        tabIndex={position === stop && !disabled ? 0 : -1}
        aria-selected={isPicked}
        aria-label={spoken(card, prediction)}
        aria-colindex={(position % columns) + 1}
        data-position={position}
        data-index={card.index}
        title={described(card, prediction)}
        onClick={(event) => {
          setFocused(position);
          pick(position, event);
        }}
        onFocus={() => onPoint(position)}
        onPointerEnter={() => onPoint(position)}
      >
        <Content
          card={card}
          prediction={prediction}
          awaited={prediction === null && progress !== null && card.problem === ""}
          order={page.view.order}
          thumbnails={page.thumbnails}
          tile={tile}
          height={height}
          extents={extents}
        />
      </div>
    );
  };
  const positions = cards.map((_, position) => position);
  return (
    <div
      ref={grid}
      class="xw-cards"
      role="grid"
      aria-label="Samples"
      aria-multiselectable="true"
      aria-rowcount={Math.ceil(cards.length / columns)}
      aria-colcount={columns}
      aria-disabled={disabled}
      style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`, gap: `${GAP}px` }}
      onKeyDown={press}
      onPointerLeave={() => onPoint(null)}
    >
      {inRows(positions, columns).map((row, at) => (
        <div key={row[0]} role="row" tabIndex={-1} class="xw-cards-row" aria-rowindex={at + 1}>
          {row.map(cell)}
        </div>
      ))}
    </div>
  );
}

/** The cards of a page, and below them all about the one that is pointed at, else the picked one. */
export function Cards({ store, page }: { store: GalleryStore; page: Page }) {
  const box = useRef<HTMLDivElement>(null);
  const { width } = useSize(box, { width: 600, height: 400 });
  const [pointed, setPointed] = useState<number | null>(null);
  const { sample, picked, size } = store.state.selection;
  const { cards, predictions } = page;
  const tile = Math.min(tileSize(cards, size), Math.max(16, width - BESIDE));
  const wanted = Math.min(widthOf(page, tile), width);
  const columns = Math.max(1, Math.floor((width + GAP) / (wanted + GAP)));
  const at = pointed ?? cards.findIndex(({ index }) => index === sample);
  const card = cards[at];
  return (
    <div ref={box} class="xw-cards-box">
      {cards.length === 0 && <p class="xw-note">No sample is like this.</p>}
      {cards.length > 0 && (
        <Cells store={store} page={page} columns={columns} tile={tile} onPoint={setPointed} />
      )}
      <p class="xw-note xw-readout">
        {card === undefined
          ? "Point at a sample to read it; click picks it."
          : described(card, predictions[at] ?? null)}
        {picked.length > 1 && ` · ${picked.length} picked`}
      </p>
    </div>
  );
}
