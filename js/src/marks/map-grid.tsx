import type { RefObject } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { putPixels } from "./canvas";
import type { ColourTable } from "./colour";
import {
  layOutMaps,
  layOutUnits,
  type MapLayout,
  placesInView,
  rowHeight,
  stepPlace,
  totalHeight,
} from "./map-layout";
import { type MapCells, paintMap } from "./map-pixels";
import { useSize } from "./use-size";
import type { Span } from "./viewport";

/** Around the maps, for the frame of the picked one. */
const ROOM = 10;

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
 * Paints the maps in view onto one canvas, pixel by pixel.
 *
 * Every canvas that is shown is a layer of the page, which the browser keeps, sends and joins with all others
 * whenever anything changes, and every one that is drawn from costs calls and memory of its own.
 */
function drawSheet(
  sheet: HTMLCanvasElement,
  places: number[],
  layout: MapLayout,
  { mapAt, muted, table }: Pick<MapGridProps, "mapAt" | "muted" | "table">,
): void {
  const ratio = window.devicePixelRatio || 1;
  const rows = Math.ceil(places.length / layout.columns);
  const top = placeOf(places[0] ?? 0, layout).top;
  const size = [rows * rowHeight(layout), layout.columns * (layout.width + layout.gap) - layout.gap] as const;
  const [height, width] = size.map((side) => Math.max(1, Math.ceil(side * ratio))) as [number, number];
  sheet.style.cssText = `top:${top}px;width:${width / ratio}px;height:${height / ratio}px`;
  putPixels(sheet, [height, width], (pixels) => {
    for (const place of places) {
      const cells = mapAt(place);
      if (cells === null) continue;
      const { left, top: from } = placeOf(place, layout);
      const [x, y, right, bottom] = [left, from - top, left + layout.width, from - top + layout.height].map(
        (at) => Math.round(at * ratio),
      ) as [number, number, number, number];
      const box = { left: x, top: y, width: right - x, height: bottom - y, targetWidth: width };
      paintMap(cells, table, pixels, box, muted(place) ? MUTED : 1);
    }
  });
}

/** All maps of a layer, of which those in view are read and drawn: scroll, click or arrow keys to pick. */
export function MapGrid(props: MapGridProps) {
  const { label, count, aspect, table, mapAt, muted, picked, disabled, selection, onPick, onView } = props;
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
  const click = (event: MouseEvent) => {
    const tile = (event.target as Element).closest<HTMLElement>("[data-place]");
    if (tile !== null && !disabled) onPick(Number(tile.dataset.place), event);
  };
  const places = Array.from({ length: last - first }, (_, index) => first + index);
  const sheet = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    if (sheet.current !== null) drawSheet(sheet.current, places, layout, props);
  }, [first, last, layout, table, mapAt, muted]);
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
      onClick={click}
    >
      <div class="xw-maps-sheet" style={{ height: `${totalHeight(count, layout)}px` }}>
        <div aria-hidden="true">
          <canvas ref={sheet} class="xw-maps-picture" />
        </div>
        {places.map((place) => (
          <MapTile key={place} place={place} layout={layout} grid={props} />
        ))}
      </div>
    </div>
  );
}

interface MapTileProps {
  place: number;
  layout: MapLayout;
  grid: MapGridProps;
}

/** What lies over one map: its frame and its caption. Most stay as they are while pictures change. */
function MapTile({ place, layout, grid }: MapTileProps) {
  const [name, number] = grid.captionAt(place);
  const isMuted = grid.muted(place);
  const isPicked = place === grid.picked;
  const isEmpty = grid.mapAt(place) === null;
  return useMemo(() => {
    const { left, top } = placeOf(place, layout);
    const classes = ["xw-map", isPicked && "xw-picked", isMuted && "xw-muted"].filter(Boolean).join(" ");
    return (
      <div
        class={classes}
        role="option"
        tabIndex={-1}
        aria-selected={isPicked}
        aria-label={`${name}${isMuted ? ", muted" : ""}, ${number}`}
        title={`${name} · ${number}${isMuted ? " · muted" : ""}`}
        style={`left:${left}px;top:${top}px;width:${layout.width}px`}
        data-place={place}
      >
        <div class={isEmpty ? "xw-map-box xw-empty" : "xw-map-box"} style={`height:${layout.height}px`} />
        {layout.caption > 0 && (
          <div class="xw-map-caption xw-number">
            <span>{isMuted ? `${name} muted` : name}</span>
            <span>{number}</span>
          </div>
        )}
      </div>
    );
  }, [place, layout, name, number, isMuted, isPicked, isEmpty]);
}
