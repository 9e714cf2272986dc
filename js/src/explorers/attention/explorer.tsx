import { useLayoutEffect, useReducer, useRef } from "preact/hooks";
import { bytes, milliseconds, short, whole } from "../../marks/numbers";
import { length } from "../../marks/viewport";
import { Bar } from "./bar";
import { LinesPanel } from "./lines-panel";
import { MatrixPanel, ZoomButtons } from "./matrix-panel";
import { headName, Overview } from "./overview";
import { Reading } from "./reading";
import type { AttentionStore } from "./store";
import { TextPanel } from "./text-panel";
import type { Picture } from "./types";

/** Keys typed into the widget are not commands of the notebook; shortcuts such as Ctrl+S and Shift+Enter are. */
function keepKeys(event: KeyboardEvent): void {
  const command = event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape";
  if (!command && !(event.shiftKey && event.key === "Enter")) event.stopPropagation();
}

function View({ store }: { store: AttentionStore }) {
  const { picture, table, selection } = store.state;
  if (picture === null || table === null) {
    return (
      <section class="xw-view" aria-label="Attention">
        <p class="xw-note">Reading attention from the model…</p>
      </section>
    );
  }
  const { layer } = picture;
  const size = `${whole(length(layer.rows))} × ${whole(length(layer.columns))}`;
  return (
    <section class="xw-view" aria-label="Attention">
      <div class="xw-view-head">
        <h3 title={layer.note || undefined}>
          {`${layer.name} · ${headName(picture.selection.head)} · ${size}`}
        </h3>
        {selection.view === "matrix" && <ZoomButtons store={store} picture={picture} />}
      </div>
      {selection.view === "matrix" && <MatrixPanel store={store} picture={picture} table={table} />}
      {selection.view === "lines" && <LinesPanel store={store} picture={picture} />}
      {selection.view === "text" && <TextPanel store={store} picture={picture} />}
    </section>
  );
}

function drawnAs({ matrix, partial, progress }: Picture): string {
  const [low, high] = matrix.range ?? [0, 0];
  const note = matrix.note || `${matrix.dtype} of ${short(low)}…${short(high)}`;
  return partial && !progress.startsWith("exact") ? `${note} · ${progress}` : note;
}

function Footer({ picture }: { picture: Picture | null }) {
  return (
    <footer class="xw-footer">
      {picture !== null && (
        <>
          <span>{[picture.footer, drawnAs(picture)].filter(Boolean).join(" · ")}</span>
          <span class="xw-number" title={`${whole(picture.bytes)} bytes with padding; time in the kernel`}>
            {`${bytes(picture.payload)} · ${milliseconds(picture.milliseconds)}`}
          </span>
        </>
      )}
    </footer>
  );
}

/** What is still to come of a long input, and what stops it. */
function Progress({ store, progress }: { store: AttentionStore; progress: string }) {
  const { stopped } = store.state;
  const share = /(\d+) %/.exec(progress)?.[1];
  return (
    <>
      <span>{stopped ? `Stopped: ${progress}` : progress}</span>
      {share !== undefined && <progress value={share} max={100} aria-label="Refined" />}
      {stopped ? (
        <button type="button" class="xw-button" onClick={(event) => store.goOn(event)}>
          Go on
        </button>
      ) : (
        <button type="button" class="xw-button" onClick={() => store.stop()}>
          Stop
        </button>
      )}
    </>
  );
}

function Strips({ store }: { store: AttentionStore }) {
  const { error, waiting, lost, picture } = store.state;
  return (
    <>
      <div class="xw-strip xw-alert" role="alert">
        {lost ?? error}
      </div>
      <div class="xw-strip xw-status" role="status">
        {lost === null && waiting}
        {lost === null && picture?.partial && <Progress store={store} progress={picture.progress} />}
      </div>
    </>
  );
}

export function Explorer({ store }: { store: AttentionStore }) {
  const [, redraw] = useReducer<number, void>((count) => count + 1, 0);
  useLayoutEffect(() => store.subscribe(() => redraw()), [store]);
  const lastHead = useRef(0);
  const { selection, busy, lost, picture } = store.state;
  if (typeof selection.head === "number") lastHead.current = selection.head;
  const state = lost !== null ? "lost" : busy ? "busy" : "ready";
  return (
    <div
      class="xw-explorer"
      role="group"
      aria-label="Attention explorer"
      data-state={state}
      onKeyDown={keepKeys}
    >
      <Bar store={store} lastHead={lastHead.current} />
      <Strips store={store} />
      <div class="xw-body">
        <Overview store={store} />
        <View store={store} />
        <Reading store={store} />
      </div>
      <Footer picture={picture} />
    </div>
  );
}
