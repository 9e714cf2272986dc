import { useLayoutEffect, useMemo, useState } from "preact/hooks";
import { ColourBar } from "../../marks/colour-bar";
import { type Cell, MatrixView, zoomStep } from "../../marks/matrix-view";
import { exact } from "../../marks/numbers";
import { named } from "../../marks/tokens";
import type { Window } from "../../marks/viewport";
import { headName } from "./overview";
import { fullWindow } from "./selection";
import type { AttentionStore } from "./store";
import type { Picture } from "./types";

interface MatrixPanelProps {
  store: AttentionStore;
  picture: Picture;
  table: Uint8Array;
}

function Readout({ store, picture, cell }: { store: AttentionStore; picture: Picture; cell: Cell | null }) {
  const row = cell?.row ?? null;
  useLayoutEffect(() => {
    if (row !== null) store.read("from", row);
  }, [store, row, picture.selection]);
  if (cell === null) {
    return <div class="xw-readout xw-note">Point at a cell for its exact weight; click picks its query.</div>;
  }
  const weight = store.exact("from", cell.row)?.[cell.key];
  return (
    <div class="xw-readout" aria-live="polite">
      {named(picture.queryTokens, cell.row)} → {named(picture.keyTokens, cell.key)}{" "}
      <b class="xw-number">{exact(weight)}</b>
    </div>
  );
}

/** What the colours of a matrix stand for, on its scale. */
export function barLabel({ unit, selection: { scale } }: Picture): string {
  if (scale === "row") return "share of the row’s largest";
  return scale === "log" ? `${unit}, log` : unit;
}

export function ZoomButtons({ store, picture }: { store: AttentionStore; picture: Picture }) {
  const { window, lost } = store.state;
  const full = fullWindow(picture.layer);
  const step = (closer: boolean) => (event: Event) =>
    store.show({ window: zoomStep(window ?? full, full, closer) }, event);
  const disabled = lost !== null;
  return (
    <span class="xw-zoom" role="group" aria-label="Zoom">
      <button
        type="button"
        aria-label="Zoom in"
        title="Zoom in (Ctrl or ⌘ and wheel, or pinch, about the pointer; drag to move)"
        disabled={disabled}
        onClick={step(true)}
      >
        +
      </button>
      <button
        type="button"
        aria-label="Zoom out"
        title="Zoom out"
        disabled={disabled || window === null}
        onClick={step(false)}
      >
        −
      </button>
      <button
        type="button"
        aria-label="Show all"
        title="All of the matrix"
        disabled={disabled || window === null}
        onClick={(event) => store.show({ window: null }, event)}
      >
        Fit
      </button>
    </span>
  );
}

/** What all matrices of a picture share: the part looked at, the picked query, the cell pointed at. */
export function useMatrix(store: AttentionStore, picture: Picture) {
  const { window, lost } = store.state;
  const [pointed, setPointed] = useState<Cell | null>(null);
  const { selection, layer, matrix, rows, keys } = picture;
  const [height = 0, width = 0] = matrix.shape;
  const full = useMemo(() => fullWindow(layer), [layer]);
  // A picture of another size may have come under a pointer that did not move.
  const cell = pointed !== null && pointed.row < full.rows[1] && pointed.key < full.keys[1] ? pointed : null;
  return {
    received: { rows, keys, height, width },
    full,
    window,
    query: selection.query,
    begins: { row: layer.prompt, key: layer.kind === "self" ? layer.prompt : null },
    pointed: cell,
    disabled: lost !== null,
    onPoint: (next: Cell | null) =>
      setPointed((old) => (old?.row === next?.row && old?.key === next?.key ? old : next)),
    onQuery: (query: number, event: Event) => store.move({ query }, event),
    onWindow: (next: Window | null, event: Event) => store.show({ window: next }, event),
  };
}

export function MatrixPanel({ store, picture, table }: MatrixPanelProps) {
  const { selection, layer, matrix, queryTokens, keyTokens } = picture;
  const shared = useMatrix(store, picture);
  const [height, width] = matrix.shape;
  return (
    <>
      <MatrixView
        {...shared}
        cells={matrix.data}
        table={table}
        label={`Attention matrix of ${layer.name}, ${headName(selection.head, layer)}: ${height} × ${width} cells`}
        selection={selection}
        queryTokens={queryTokens}
        keyTokens={keyTokens}
      />
      <div class="xw-under">
        <Readout store={store} picture={picture} cell={shared.pointed} />
        {matrix.range !== null && (
          <ColourBar
            table={table}
            range={matrix.range}
            scale={selection.scale}
            label={barLabel(picture)}
            nonfinite={matrix.nonfinite}
          />
        )}
      </div>
    </>
  );
}
