import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { putPixels } from "./canvas";
import { type ColourTable, NOT_FINITE, paint } from "./colour";
import { drawPicture } from "./image-overlay";
import { exact } from "./numbers";

/** The byte that stands for zero in a signed picture, and its largest distance from it. */
const ZERO = 127;

interface MapOverlayProps {
  /** The picture of the sample; null: the map is shown alone. */
  image: { data: Uint8Array; height: number; width: number } | null;
  /** The map as bytes, perhaps pooled; `height` and `width` are those of the bytes. */
  map: { data: Uint8Array; height: number; width: number };
  /** Height and width of the map itself, in numbers. */
  size: [height: number, width: number];
  /** Where the map lies on the picture, as shares of its sides; null: all over it. */
  place: { top: number; left: number; height: number; width: number } | null;
  table: ColourTable;
  /** 0…100 */
  opacity: number;
  valueAt(y: number, x: number): number | null;
  /** A position that is read elsewhere. */
  pointed: { y: number; x: number } | null;
  label: string;
}

const EVERYWHERE = { top: 0, left: 0, height: 1, width: 1 };

/** Over a picture zero leaves it as it is, and the strongest numbers cover it most. */
function drawMap(canvas: HTMLCanvasElement, props: MapOverlayProps): void {
  const { map, table, image } = props;
  const size = [map.height, map.width] as const;
  putPixels(canvas, size, (pixels) => {
    paint(map.data, size, table, pixels);
    if (image === null) return;
    for (let index = 0; index < map.data.length; index += 1) {
      const byte = map.data[index] as number;
      const strength = byte === NOT_FINITE ? 1 : Math.abs(byte - ZERO) / ZERO;
      pixels[4 * index + 3] = Math.round(255 * strength);
    }
  });
}

const percent = (share: number) => `${100 * share}%`;

/** One channel on the picture that it was computed from; pointing at it reads its numbers. */
export function MapOverlay(props: MapOverlayProps) {
  const { image, map, size, table, opacity, label, valueAt } = props;
  const picture = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const [under, setUnder] = useState<{ y: number; x: number } | null>(null);
  const place = image === null ? EVERYWHERE : (props.place ?? EVERYWHERE);
  useLayoutEffect(() => {
    if (picture.current && image) drawPicture(picture.current, image.data, [image.height, image.width]);
  }, [image?.data]); // the pixels: what holds them is another object in each render
  useLayoutEffect(() => {
    if (overlay.current) drawMap(overlay.current, props);
  }, [map.data, table, image === null]);
  const point = (event: MouseEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const share = (at: number, start: number, side: number, from: number, reach: number) =>
      ((at - start) / side - from) / reach;
    const y = Math.floor(share(event.clientY, box.top, box.height, place.top, place.height) * size[0]);
    const x = Math.floor(share(event.clientX, box.left, box.width, place.left, place.width) * size[1]);
    const isOn = y >= 0 && y < size[0] && x >= 0 && x < size[1];
    setUnder(isOn ? { y, x } : null);
  };
  const read = under ?? props.pointed;
  const sides = image === null ? size : [image.height, image.width];
  // Long rows (units, steps of time) are drawn as broad bands.
  const ratio = Math.min(12, Math.max(1 / 3, (sides[1] ?? 1) / (sides[0] ?? 1)));
  return (
    <figure class="xw-image">
      <div
        class="xw-image-box"
        style={{ "--xw-sides": String(ratio) }}
        onPointerMove={point}
        onPointerLeave={() => setUnder(null)}
      >
        {image !== null && <canvas ref={picture} role="img" aria-label="Picture of the sample" />}
        <canvas
          ref={overlay}
          class="xw-map-overlay"
          role="img"
          aria-label={label}
          style={{
            top: percent(place.top),
            left: percent(place.left),
            width: percent(place.width),
            height: percent(place.height),
            opacity: image === null ? 1 : opacity / 100,
          }}
        />
        {read !== null && (
          <div
            class="xw-patch"
            style={{
              top: percent(place.top + (place.height * read.y) / size[0]),
              left: percent(place.left + (place.width * read.x) / size[1]),
              height: percent(place.height / size[0]),
              width: percent(place.width / size[1]),
            }}
          />
        )}
      </div>
      <figcaption class="xw-note xw-number" aria-live="polite">
        {read === null
          ? "Point at the map for its exact numbers."
          : `row ${read.y}, column ${read.x} · ${exact(valueAt(read.y, read.x))}`}
      </figcaption>
    </figure>
  );
}
