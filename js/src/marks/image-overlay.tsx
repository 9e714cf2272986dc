import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { putPixels } from "./canvas";
import { type ColourTable, paint, type Scale, strength } from "./colour";
import { exact } from "./numbers";

interface ImageOverlayProps {
  label: string;
  pixels: Uint8Array;
  /** Height and width of the picture in pixels. */
  shape: [height: number, width: number];
  /** Patches: position `start + y * width + x`; the picture covers the first `image_…` of them. */
  grid: { start: number; height: number; width: number; image_height: number; image_width: number };
  /** Weight of each position; null: nothing is laid over the picture. */
  weights: Float32Array | null;
  scale: Scale;
  table: ColourTable;
  /** 0…100 */
  opacity: number;
  picked: number | null;
  disabled: boolean;
  onPick(position: number, event: Event): void;
}

const ARROWS: Record<string, [row: number, column: number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

// Enlarged, the pixels of smaller pictures stay squares, as the numbers laid over them do.
const COARSE = 128;

/** A picture of red, green and blue bytes, one canvas pixel a pixel. */
export function drawPicture(
  canvas: HTMLCanvasElement,
  pixels: Uint8Array,
  [height, width]: [number, number],
): void {
  canvas.style.imageRendering = Math.max(height, width) < COARSE ? "pixelated" : "";
  putPixels(canvas, [height, width], (data) => {
    for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) {
      data[to] = pixels[from] as number;
      data[to + 1] = pixels[from + 1] as number;
      data[to + 2] = pixels[from + 2] as number;
      data[to + 3] = 255;
    }
  });
}

/** One canvas pixel a patch: enlarged, each patch has one colour. */
function drawWeights(canvas: HTMLCanvasElement, props: ImageOverlayProps): void {
  const { grid, weights, scale, table } = props;
  const size = [grid.image_height, grid.image_width] as const;
  if (weights === null) {
    putPixels(canvas, size, () => {});
    return;
  }
  const cells = new Uint8Array(grid.image_width * grid.image_height);
  const strengths = new Float32Array(cells.length);
  const patches = weights.subarray(grid.start, grid.start + grid.width * grid.height);
  const largest = patches.reduce((most, value) => (value > most ? value : most), 0);
  for (let row = 0; row < grid.image_height; row += 1) {
    for (let column = 0; column < grid.image_width; column += 1) {
      const value = patches[row * grid.width + column] ?? 0;
      const place = row * grid.image_width + column;
      strengths[place] = strength(value, largest, scale);
      cells[place] = Math.round(254 * (strengths[place] as number)); // 255 stands for no number
    }
  }
  putPixels(canvas, size, (pixels) => {
    paint(cells, size, table, pixels);
    // What is not looked at stays as it is in the picture.
    strengths.forEach((value, place) => {
      pixels[4 * place + 3] = Math.round(255 * value);
    });
  });
}

/** The picture of a sample with its patches coloured by their weights: click or arrow keys pick one. */
export function ImageOverlay(props: ImageOverlayProps) {
  const { label, pixels, shape, grid, weights, scale, table, opacity, picked, disabled, onPick } = props;
  const { start, width, image_height, image_width } = grid;
  const picture = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  useLayoutEffect(() => {
    if (picture.current) drawPicture(picture.current, pixels, shape);
  }, [pixels, shape]);
  useLayoutEffect(() => {
    if (overlay.current) drawWeights(overlay.current, props);
  }, [weights, scale, table, grid]);
  const placeOf = (position: number | null) =>
    position === null || position < start
      ? null
      : { row: Math.floor((position - start) / width), column: (position - start) % width };
  const positionAt = (event: MouseEvent): number => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const part = (at: number, from: number, size: number, count: number) =>
      Math.max(0, Math.min(count - 1, Math.floor(((at - from) / size) * count)));
    const row = part(event.clientY, box.top, box.height, image_height);
    return start + row * width + part(event.clientX, box.left, box.width, image_width);
  };
  const step = (event: KeyboardEvent) => {
    const arrow = ARROWS[event.key];
    if (arrow === undefined || disabled) return;
    event.preventDefault();
    const { row, column } = placeOf(picked) ?? { row: 0, column: 0 };
    const next = [row + arrow[0], column + arrow[1]] as const;
    if (next[0] < 0 || next[0] >= image_height || next[1] < 0 || next[1] >= image_width) return;
    onPick(start + next[0] * width + next[1], event);
  };
  const box = (place: { row: number; column: number } | null, name: string) =>
    place === null || place.row >= image_height || place.column >= image_width ? null : (
      <div
        class={name}
        style={{
          left: `${(100 * place.column) / image_width}%`,
          top: `${(100 * place.row) / image_height}%`,
          width: `${100 / image_width}%`,
          height: `${100 / image_height}%`,
        }}
      />
    );
  const read = placeOf(pointed);
  return (
    <figure class="xw-image">
      <div
        class="xw-image-box"
        role="group"
        aria-label={`${label}: click or arrow keys pick a patch`}
        tabIndex={disabled ? -1 : 0}
        style={{ "--xw-sides": `${shape[1]} / ${shape[0]}` }}
        onPointerMove={(event) => setPointed(positionAt(event))}
        onPointerLeave={() => setPointed(null)}
        onClick={(event) => !disabled && onPick(positionAt(event), event)}
        onKeyDown={step}
      >
        <canvas ref={picture} role="img" aria-label="Picture of the sample" />
        <canvas
          ref={overlay}
          class="xw-image-weights"
          role="img"
          aria-label="Weights on the picture"
          style={{ opacity: weights === null ? 0 : opacity / 100 }}
        />
        {box(placeOf(picked), "xw-patch xw-patch-picked")}
        {box(read, "xw-patch")}
      </div>
      <figcaption class="xw-note xw-number" aria-live="polite">
        {read === null
          ? "Point at a patch; click picks it."
          : `row ${read.row}, column ${read.column}${weights === null ? "" : ` · ${exact(weights[pointed as number])}`}`}
      </figcaption>
    </figure>
  );
}
