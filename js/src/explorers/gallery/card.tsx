import { useLayoutEffect, useRef } from "preact/hooks";
import type { DecodedArray } from "../../kernel/arrays";
import { exact } from "../../marks/numbers";
import { shownSize } from "./selection";
import type { Card, Order, Prediction, Size } from "./types";
import { compact, said, sureness } from "./words";

/** Copies one of the thumbnails, at the top left of its place, into an image of its own size. */
function copyPixels(
  { data, shape }: DecodedArray<"uint8">,
  place: number,
  [height, width]: Size,
  target: Uint8ClampedArray,
): void {
  const [, rows = 0, columns = 0, channels = 1] = shape;
  let to = 0;
  for (let row = 0; row < height; row += 1) {
    let from = (place * rows + row) * columns * channels;
    for (let column = 0; column < width; column += 1, from += channels, to += 4) {
      for (let colour = 0; colour < 3; colour += 1) {
        target[to + colour] = data[from + (channels === 3 ? colour : 0)] as number;
      }
      target[to + 3] = 255;
    }
  }
}

interface PictureProps {
  thumbnails: DecodedArray<"uint8">;
  thumbnail: NonNullable<Card["thumbnail"]>;
  tile: number;
}

function Picture({ thumbnails, thumbnail, tile }: PictureProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { place, size, of } = thumbnail;
  const [height, width] = size;
  useLayoutEffect(() => {
    const target = canvas.current;
    const context = target?.getContext("2d");
    if (!target || !context) return;
    target.width = width;
    target.height = height;
    const image = context.createImageData(width, height);
    copyPixels(thumbnails, place, [height, width], image.data);
    context.putImageData(image, 0, 0);
  }, [thumbnails, place, height, width]);
  const shown = shownSize(of, tile);
  return (
    <canvas
      ref={canvas}
      class={shown.repeated > 1 ? "xw-crisp" : ""}
      role="img"
      aria-label="Picture"
      style={{ width: `${shown.size[1]}px`, height: `${shown.size[0]}px` }}
    />
  );
}

/** Lowest and highest value of each feature on the page, by name. */
export type Extents = Map<string, [low: number, high: number]>;

export function extentsOf(cards: Card[]): Extents {
  const extents: Extents = new Map();
  for (const { names, values } of cards) {
    names.forEach((name, at) => {
      const value = values[at];
      if (value === null || value === undefined) return;
      const [low, high] = extents.get(name) ?? [value, value];
      extents.set(name, [Math.min(low, value), Math.max(high, value)]);
    });
  }
  return extents;
}

function Row({ card, extents }: { card: Card; extents: Extents }) {
  return (
    <ul class="xw-features">
      {card.names.map((name, at) => {
        const value = card.values[at] ?? Number.NaN;
        const [low, high] = extents.get(name) ?? [0, 0];
        const share = high > low ? (value - low) / (high - low) : 0;
        return (
          <li key={name} title={`${name}: ${exact(value)}`}>
            <span class="xw-feature-name">{name}</span>
            <span class="xw-track">
              <i style={{ width: `${Number.isNaN(share) ? 0 : 100 * share}%` }} />
            </span>
            <span class="xw-number">{compact(value)}</span>
          </li>
        );
      })}
      {card.more > 0 && <li class="xw-note">{`… ${card.more.toLocaleString("en")} more`}</li>}
    </ul>
  );
}

interface CaptionProps {
  card: Card;
  prediction: Prediction | null;
  /** A prediction is still to come. */
  awaited: boolean;
  order: Order;
}

/** Label and prediction in words; a wrong one has its mark. */
function Caption({ card, prediction, awaited, order }: CaptionProps) {
  const sure = sureness(prediction);
  const loss = order === "loss" ? prediction?.loss : null;
  if (card.label === null && prediction === null && !awaited) return null;
  return (
    <div class="xw-caption">
      <span class="xw-said">
        {prediction?.wrong && <b>✗ </b>}
        {said(card, prediction)}
      </span>
      {awaited && <span class="xw-note">…</span>}
      {sure !== "" && <span class="xw-number xw-note">{sure}</span>}
      {loss !== null && loss !== undefined && (
        <span class="xw-number xw-note">{`loss ${loss.toFixed(2)}`}</span>
      )}
    </div>
  );
}

interface ContentProps extends CaptionProps {
  thumbnails: DecodedArray<"uint8"> | null;
  tile: number;
  /** Of the highest picture on the page. */
  height: number;
  extents: Extents;
}

/** What is seen of a sample: its picture, its text, its row of numbers, or its shape; and the caption. */
export function Content({ thumbnails, tile, height, extents, ...rest }: ContentProps) {
  const { card } = rest;
  const { thumbnail, text, names, shape, problem } = card;
  const hasPicture = thumbnail !== null && thumbnails !== null;
  return (
    <>
      {hasPicture && (
        <div class="xw-picture" style={{ minHeight: `${height}px` }}>
          <Picture thumbnails={thumbnails} thumbnail={thumbnail} tile={tile} />
        </div>
      )}
      {problem !== "" && <p class="xw-problem">{problem}</p>}
      {text !== null && (
        <div class="xw-excerpt">
          <p>{text}</p>
        </div>
      )}
      {names.length > 0 && <Row card={card} extents={extents} />}
      {!hasPicture && text === null && names.length === 0 && problem === "" && <p class="xw-note">{shape}</p>}
      <Caption {...rest} />
    </>
  );
}
