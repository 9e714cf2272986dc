import type { Ref, RefObject } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { putPixels } from "./canvas";
import { type ColourTable, paint } from "./colour";
import { drawPicture } from "./image-overlay";
import {
  layOutMaps,
  layOutUnits,
  type MapLayout,
  placesInView,
  rowHeight,
  stepPlace,
  totalHeight,
} from "./map-layout";
import { useSize } from "./use-size";
import type { Span } from "./viewport";

/** Around the maps, for the frame of the picked one. */
const ROOM = 10;

/** The bytes of one map, and their height and width. */
export interface MapCells {
  data: Uint8Array;
  height: number;
  width: number;
  /** Red, green and blue of each pixel, instead of one byte for a colour table. */
  coloured?: boolean;
}

interface MapGridProps {
  label: string;
  count: number;
  /** Width / height of a map; null: units of one number each. */
  aspect: number | null;
  table: ColourTable;
  /** The map at a place; null: not read yet. */
  mapAt(place: number): MapCells | null;
  /** What stands under a map: its name and a number. */
  captionAt(place: number): [name: string, number: string];
  /** Places that are in view, the size of their maps on the screen, and how many lie side by side. */
  onView(view: { places: Span; width: number; height: number; columns: number }): void;
  /** Names what the maps are of, for whoever has to know which picture is on the screen. */
  selection: object;
  picked: number | null;
  muted(place: number): boolean;
  disabled: boolean;
  onPick(place: number, event: Event): void;
}

interface MapCanvasProps {
  cells: MapCells;
  table: ColourTable;
  name: string;
  held?: Ref<HTMLCanvasElement>;
}

/** One canvas pixel a number of the map. */
export function MapCanvas({ cells, table, name, held }: MapCanvasProps) {
  const canvas = useRef<HTMLCanvasElement | null>(null);
  const { data, height, width, coloured = false } = cells;
  useLayoutEffect(() => {
    const target = canvas.current;
    if (target === null) return;
    if (coloured) drawPicture(target, data, [height, width]);
    else putPixels(target, [height, width], (pixels) => paint(data, [height, width], table, pixels));
  }, [data, height, width, coloured, table]);
  const hold = (element: HTMLCanvasElement | null) => {
    canvas.current = element;
    if (typeof held === "function") held(element);
  };
  return <canvas ref={hold} data-map={name} />;
}

/** Keeps the picked place in sight when it is moved by keys or from outside. */
function useInSight(scroll: RefObject<HTMLElement | null>, picked: number | null, layout: MapLayout) {
  useLayoutEffect(() => {
    const box = scroll.current;
    if (box === null || picked === null) return;
    const top = Math.floor(picked / layout.columns) * rowHeight(layout);
    if (top < box.scrollTop) box.scrollTop = top;
    const bottom = top + rowHeight(layout);
    if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
  }, [picked, layout]);
}

function placeOf(place: number, layout: MapLayout) {
  const row = Math.floor(place / layout.columns);
  const column = place % layout.columns;
  return { left: column * (layout.width + layout.gap), top: row * rowHeight(layout) };
}

const MUTED = 0.35;

/**
 * Draws the maps in view, each from its own canvas, which is not shown itself.
 *
 * Every canvas that is shown is a layer of the page, which the browser keeps, sends and joins with all others
 * whenever anything changes: of 64 maps that took longer than all the rest of a change.
 */
function drawSheet(
  sheet: HTMLCanvasElement,
  places: number[],
  layout: MapLayout,
  canvases: ReadonlyMap<number, HTMLCanvasElement>,
  muted: (place: number) => boolean,
): void {
  const context = sheet.getContext("2d");
  if (!context) return;
  const ratio = window.devicePixelRatio || 1;
  const rows = Math.ceil(places.length / layout.columns);
  const top = placeOf(places[0] ?? 0, layout).top;
  const size = [layout.columns * (layout.width + layout.gap) - layout.gap, rows * rowHeight(layout)] as const;
  const [width, height] = size.map((side) => Math.max(1, Math.ceil(side * ratio))) as [number, number];
  if (sheet.width !== width) sheet.width = width;
  if (sheet.height !== height) sheet.height = height;
  sheet.style.cssText = `top:${top}px;width:${width / ratio}px;height:${height / ratio}px`;
  context.clearRect(0, 0, width, height);
  context.imageSmoothingEnabled = false;
  for (const place of places) {
    const canvas = canvases.get(place);
    if (canvas === undefined) continue;
    const { left, top: from } = placeOf(place, layout);
    const [x, y, right, bottom] = [left, from - top, left + layout.width, from - top + layout.height].map(
      (at) => Math.round(at * ratio),
    ) as [number, number, number, number];
    context.globalAlpha = muted(place) ? MUTED : 1;
    context.drawImage(canvas, x, y, right - x, bottom - y);
  }
}

/** All maps of a layer, of which those in view are read and drawn: scroll, click or arrow keys to pick. */
export function MapGrid(props: MapGridProps) {
  const { label, count, aspect, table, picked, disabled, selection, onPick, onView } = props;
  const scroll = useRef<HTMLDivElement>(null);
  const box = useSize(scroll, { width: 600, height: 460 });
  const [top, setTop] = useState(0);
  const layout = useMemo(() => {
    const room = { width: box.width - ROOM, height: box.height - ROOM };
    return aspect === null ? layOutUnits(count, room) : layOutMaps(count, aspect, room);
  }, [count, aspect, box]);
  const [first, last] = placesInView(count, layout, top, box.height);
  useInSight(scroll, picked, layout);
  useLayoutEffect(() => {
    onView({ places: [first, last], width: layout.width, height: layout.height, columns: layout.columns });
  }, [first, last, layout, selection]);
  const press = (event: KeyboardEvent) => {
    const next = stepPlace(picked ?? 0, count, layout.columns, event.key);
    if (next === null || disabled) return;
    event.preventDefault();
    if (next !== picked) onPick(next, event);
  };
  const places = Array.from({ length: last - first }, (_, index) => first + index);
  const canvases = useRef(new Map<number, HTMLCanvasElement>());
  const sheet = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    if (sheet.current !== null) drawSheet(sheet.current, places, layout, canvases.current, props.muted);
  });
  return (
    <div
      ref={scroll}
      class="xw-maps"
      role="listbox"
      aria-label={`${label}: click or arrow keys pick one`}
      tabIndex={disabled ? -1 : 0}
      data-selection={JSON.stringify(selection)}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown={press}
    >
      <div class="xw-maps-sheet" style={{ height: `${totalHeight(count, layout)}px` }}>
        <div aria-hidden="true">
          <canvas ref={sheet} class="xw-maps-picture" />
        </div>
        {places.map((place) => (
          <MapTile
            key={place}
            place={place}
            layout={layout}
            table={table}
            grid={props}
            held={(canvas) => {
              if (canvas === null) canvases.current.delete(place);
              else canvases.current.set(place, canvas);
            }}
          />
        ))}
      </div>
    </div>
  );
}

interface MapTileProps {
  place: number;
  layout: MapLayout;
  table: ColourTable;
  grid: MapGridProps;
  held(canvas: HTMLCanvasElement | null): void;
}

/** One map with its caption; of another layer only its picture is drawn anew where the rest stays. */
function MapTile({ place, layout, table, grid, held }: MapTileProps) {
  const { mapAt, captionAt, picked, muted, disabled, onPick } = grid;
  const cells = mapAt(place);
  const [name, number] = captionAt(place);
  const isMuted = muted(place);
  const isPicked = place === picked;
  const caption = useMemo(
    () => layout.caption > 0 && <Caption name={isMuted ? `${name} muted` : name} number={number} />,
    [layout.caption > 0, name, number, isMuted],
  );
  const { left, top } = placeOf(place, layout);
  const classes = ["xw-map", isPicked && "xw-picked", isMuted && "xw-muted"].filter(Boolean).join(" ");
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list takes the keys
    <div
      class={classes}
      role="option"
      tabIndex={-1}
      aria-selected={isPicked}
      aria-label={`${name}${isMuted ? ", muted" : ""}, ${number}`}
      title={`${name} · ${number}${isMuted ? " · muted" : ""}`}
      style={`left:${left}px;top:${top}px;width:${layout.width}px`}
      onClick={(event) => !disabled && onPick(place, event)}
    >
      <div class={cells === null ? "xw-map-box xw-empty" : "xw-map-box"} style={`height:${layout.height}px`}>
        {cells !== null && <MapCanvas cells={cells} table={table} name={name} held={held} />}
      </div>
      {caption}
    </div>
  );
}

const Caption = ({ name, number }: { name: string; number: string }) => (
  <div class="xw-map-caption xw-number">
    <span>{name}</span>
    <span>{number}</span>
  </div>
);
