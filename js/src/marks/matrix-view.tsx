import { useMemo, useRef } from "preact/hooks";
import { Axis } from "./axis";
import type { ColourTable } from "./colour";
import { HeatMap } from "./heat-map";
import { labelRoom, thinLabels } from "./labels";
import { shown, type Token } from "./tokens";
import { positionAt, usePanZoom } from "./use-pan-zoom";
import { type Size, useSize } from "./use-size";
import { fitCells, length, pan, type Received, type Span, type Window, within, zoom } from "./viewport";

export interface Cell {
  row: number;
  key: number;
}

interface MatrixViewProps {
  cells: Uint8Array;
  received: Received;
  table: ColourTable;
  label: string;
  selection: object;
  full: Window;
  /** The part looked at; null: all of it. */
  window: Window | null;
  queryTokens: Token[] | null;
  keyTokens: Token[] | null;
  query: number | null;
  /** Where generated tokens begin, on each side; null: nowhere. */
  begins: { row: number | null; key: number | null };
  pointed: Cell | null;
  disabled: boolean;
  onPoint(cell: Cell | null): void;
  onQuery(query: number, event: Event): void;
  onWindow(window: Window | null, event: Event): void;
}

const ZOOM_STEP = 1.5;
const clamp = (value: number, [start, stop]: Span) => Math.max(start, Math.min(stop - 1, value));

export const middle = ({ rows, keys }: Window): Cell => ({
  row: (rows[0] + rows[1]) / 2,
  key: (keys[0] + keys[1]) / 2,
});

export const zoomStep = (window: Window, full: Window, closer: boolean) =>
  zoom(window, full, closer ? ZOOM_STEP : 1 / ZOOM_STEP, middle(window));

/** Room for the labels of one side: the same however far one has zoomed in, so that nothing jumps. */
function roomFor(tokens: Token[] | null, [start, stop]: Span, smallest: number, largest: number): number {
  if (tokens === null) return labelRoom([String(stop)], smallest, largest);
  const texts = tokens.slice(start, stop).map((_, index) => shown(tokens, start + index));
  // A long text shows positions until it is zoomed: less room is lost to its longest words.
  return labelRoom(texts, smallest, stop - start > 120 ? Math.min(68, largest) : largest);
}

/** Where everything lies, in pixels. */
function layOut(box: Size, full: Window, window: Window, left: number, top: number) {
  const fitted = fitCells(length(full.rows), length(full.keys), box.width - left - 2, box.height - top - 2);
  const width = Math.round(fitted.width * length(full.keys));
  const height = Math.round(fitted.height * length(full.rows));
  const cell = { width: width / length(window.keys), height: height / length(window.rows) };
  return { left, top, width, height, cell };
}

/** How far a span has to move to hold a whole position. */
const overshoot = ([start, stop]: Span, position: number) =>
  Math.min(0, position - start) + Math.max(0, position + 1 - stop);

function keyPress(event: KeyboardEvent, props: MatrixViewProps, window: Window): void {
  const { full, query, pointed, onPoint, onQuery, onWindow } = props;
  const row = query ?? pointed?.row ?? Math.floor(window.rows[0]);
  const key = pointed?.key ?? Math.floor(window.keys[0]);
  const reach = (cell: Cell) => {
    const rows = overshoot(window.rows, cell.row);
    const keys = overshoot(window.keys, cell.key);
    if (rows !== 0 || keys !== 0) onWindow(pan(window, full, rows, keys), event);
    onPoint(cell);
    if (cell.row !== query) onQuery(cell.row, event);
  };
  const arrows: Record<string, [number, number]> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  };
  const arrow = arrows[event.key];
  if (arrow !== undefined && event.shiftKey) {
    const step = ([start, stop]: Span) => Math.max(1, (stop - start) / 8);
    const moved = pan(window, full, arrow[0] * step(window.rows), arrow[1] * step(window.keys));
    if (props.window !== null) onWindow(moved, event);
  } else if (arrow !== undefined) {
    reach({ row: clamp(row + arrow[0], full.rows), key: clamp(key + arrow[1], full.keys) });
  } else if (event.key === "+" || event.key === "=") {
    onWindow(zoomStep(window, full, true), event);
  } else if (event.key === "-") {
    onWindow(zoomStep(window, full, false), event);
  } else if (event.key === "0") {
    onWindow(null, event);
  } else return;
  event.preventDefault();
}

/** The row of the query and the crosshair of the pointer, above the picture. */
function Overlay({
  window,
  cell,
  query,
  begins,
  pointed,
}: {
  window: Window;
  cell: { width: number; height: number };
  query: number | null;
  begins: MatrixViewProps["begins"];
  pointed: Cell | null;
}) {
  const top = (row: number) => `${(row - window.rows[0]) * cell.height}px`;
  const left = (key: number) => `${(key - window.keys[0]) * cell.width}px`;
  const [height, width] = [`${cell.height}px`, `${cell.width}px`];
  return (
    <>
      {begins.row !== null && <div class="xw-begins xw-across" style={{ top: top(begins.row) }} />}
      {begins.key !== null && <div class="xw-begins xw-down" style={{ left: left(begins.key) }} />}
      {pointed !== null && (
        <>
          <div class="xw-crosshair xw-across" style={{ top: top(pointed.row), height }} />
          <div class="xw-crosshair xw-down" style={{ left: left(pointed.key), width }} />
        </>
      )}
      {query !== null && <div class="xw-row-box" style={{ top: top(query), height }} />}
    </>
  );
}

type Layout = ReturnType<typeof layOut>;

const inWindow = (span: Span, position: number | null | undefined) =>
  position !== null && position !== undefined && within(span, position) ? position : null;

/** The tokens (or positions) along both sides. */
function Axes({ props, window, layout }: { props: MatrixViewProps; window: Window; layout: Layout }) {
  const { queryTokens, keyTokens, query, pointed } = props;
  const { left, top, width, height, cell } = layout;
  const { rows, keys } = window;
  const rowLabels = useMemo(
    () => thinLabels(rows, cell.height, queryTokens !== null),
    [rows, cell.height, queryTokens],
  );
  const keyLabels = useMemo(
    () => thinLabels(keys, cell.width, keyTokens !== null),
    [keys, cell.width, keyTokens],
  );
  return (
    <>
      <Axis
        side="columns"
        labels={keyLabels}
        tokens={keyTokens}
        start={keys[0]}
        pixels={cell.width}
        room={width}
        picked={null}
        pointed={inWindow(keys, pointed?.key)}
        style={{ left: `${left}px`, width: `${width}px`, height: `${top}px` }}
      />
      <Axis
        side="rows"
        labels={rowLabels}
        tokens={queryTokens}
        start={rows[0]}
        pixels={cell.height}
        room={height}
        picked={inWindow(rows, query)}
        pointed={inWindow(rows, pointed?.row)}
        style={{ top: `${top}px`, width: `${left}px`, height: `${height}px` }}
      />
    </>
  );
}

/** The canvas, laid so that the window looked at fills the viewport. */
function Cells({ props, window, cell }: { props: MatrixViewProps; window: Window; cell: Layout["cell"] }) {
  const { cells, received, table, label, selection } = props;
  const width = length(received.keys) * cell.width;
  const height = length(received.rows) * cell.height;
  return (
    <HeatMap
      cells={cells}
      shape={[received.height, received.width]}
      table={table}
      label={label}
      selection={selection}
      fine={width < received.width || height < received.height}
      style={{
        left: `${(received.keys[0] - window.keys[0]) * cell.width}px`,
        top: `${(received.rows[0] - window.rows[0]) * cell.height}px`,
        width: `${width}px`,
        height: `${height}px`,
      }}
    />
  );
}

function Viewport({ props, window, layout }: { props: MatrixViewProps; window: Window; layout: Layout }) {
  const { full, query, begins, pointed, disabled, onPoint, onQuery, onWindow } = props;
  const { left, top, width, height, cell } = layout;
  const viewport = useRef<HTMLDivElement>(null);
  const panZoom = usePanZoom({ viewport, window, full, onWindow });
  const cellAt = (event: MouseEvent): Cell => {
    const { row, key } = positionAt(event, event.currentTarget as Element, window);
    return { row: clamp(Math.floor(row), full.rows), key: clamp(Math.floor(key), full.keys) };
  };
  return (
    <div
      ref={viewport}
      class={props.window === null ? "xw-viewport" : "xw-viewport xw-zoomed"}
      role="group"
      tabIndex={disabled ? -1 : 0}
      aria-label="Matrix: arrow keys read cells and pick the query, plus and minus zoom, 0 shows all, shift and arrows pan"
      style={{ left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` }}
      onPointerDown={(event) => panZoom.onPointerDown(event)}
      onPointerMove={(event) => {
        panZoom.onPointerMove(event);
        onPoint(cellAt(event));
      }}
      onPointerLeave={() => onPoint(null)}
      onClick={(event) => {
        if (!panZoom.wasDrag() && !disabled) onQuery(cellAt(event).row, event);
      }}
      onKeyDown={(event) => !disabled && keyPress(event, props, window)}
    >
      <Cells props={props} window={window} cell={cell} />
      <Overlay
        window={window}
        cell={cell}
        query={inWindow(full.rows, query)}
        begins={begins}
        pointed={pointed}
      />
    </div>
  );
}

/** The matrix with its tokens: pointing reads a cell, clicking picks its query, zooming looks closer. */
export function MatrixView(props: MatrixViewProps) {
  const { full, queryTokens, keyTokens } = props;
  const window = props.window ?? full;
  const box = useRef<HTMLDivElement>(null);
  const size = useSize(box, { width: 520, height: 440 });
  const narrow = Math.min(96, size.width * 0.22);
  const leftRoom = useMemo(() => roomFor(queryTokens, full.rows, 36, narrow), [queryTokens, full, narrow]);
  const topRoom = useMemo(() => roomFor(keyTokens, full.keys, 24, 84), [keyTokens, full]);
  const layout = layOut(size, full, window, leftRoom, topRoom);
  const { left, top, width, height } = layout;
  return (
    <div class="xw-matrix" ref={box}>
      <div class="xw-matrix-inner" style={{ width: `${left + width}px`, height: `${top + height}px` }}>
        <Axes props={props} window={window} layout={layout} />
        <Viewport props={props} window={window} layout={layout} />
      </div>
    </div>
  );
}
