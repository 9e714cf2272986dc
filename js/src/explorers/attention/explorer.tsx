import { useRef } from "preact/hooks";
import { short, whole } from "../../marks/numbers";
import { length } from "../../marks/viewport";
import { Footer, Frame, useStore } from "../shared/frame";
import { Bar } from "./bar";
import { LinesPanel } from "./lines-panel";
import { MatrixPanel, ZoomButtons } from "./matrix-panel";
import { headName, Overview } from "./overview";
import { Reading } from "./reading";
import type { AttentionStore } from "./store";
import { TextPanel } from "./text-panel";
import type { Picture } from "./types";

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

function Said({ picture }: { picture: Picture | null }) {
  return picture === null ? null : <Footer said={[picture.footer, drawnAs(picture)]} answer={picture} />;
}

export function Explorer({ store }: { store: AttentionStore }) {
  useStore(store);
  const lastHead = useRef(0);
  const { selection, picture } = store.state;
  if (typeof selection.head === "number") lastHead.current = selection.head;
  return (
    <Frame
      state={store.state}
      label="Attention explorer"
      bar={<Bar store={store} lastHead={lastHead.current} />}
      status={picture?.partial && <Progress store={store} progress={picture.progress} />}
      footer={<Said picture={picture} />}
    >
      <Overview store={store} />
      <View store={store} />
      <Reading store={store} />
    </Frame>
  );
}
