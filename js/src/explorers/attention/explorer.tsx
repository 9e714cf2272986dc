import { useRef } from "preact/hooks";
import { short, whole } from "../../marks/numbers";
import { length } from "../../marks/viewport";
import { Footer, Frame, useStore } from "../shared/frame";
import { Bar } from "./bar";
import { isComparing } from "./comparison";
import { ComparisonPanel, comparedTitle } from "./comparison-panel";
import { ComparisonStrip, ComparisonSwitch } from "./comparison-strip";
import { TablePanel } from "./head-table";
import { LinesPanel } from "./lines-panel";
import { MatrixPanel, ZoomButtons } from "./matrix-panel";
import { headName, Overview } from "./overview";
import { Reading } from "./reading";
import { wantsStatistics } from "./statistics";
import type { AttentionStore } from "./store";
import { TextPanel } from "./text-panel";
import type { Picture } from "./types";

function View({ store }: { store: AttentionStore }) {
  const { picture, table, selection } = store.state;
  if (selection.view === "table") {
    return (
      <section class="xw-view" aria-label="Attention">
        <TablePanel store={store} />
      </section>
    );
  }
  if (picture === null || table === null) {
    return (
      <section class="xw-view" aria-label="Attention">
        <p class="xw-note">Reading attention from the model…</p>
      </section>
    );
  }
  const { layer } = picture;
  const Matrix = picture.compared === null ? MatrixPanel : ComparisonPanel;
  const size = `${whole(length(layer.rows))} × ${whole(length(layer.columns))}`;
  return (
    <section class="xw-view" aria-label="Attention">
      <div class="xw-view-head">
        <h3 title={layer.note || undefined}>
          {picture.compared === null
            ? `${layer.name} · ${headName(picture.selection.head, layer)} · ${size}`
            : comparedTitle(picture, size)}
        </h3>
        {isComparing(selection) && <ComparisonSwitch store={store} />}
        {selection.view === "matrix" && <ZoomButtons store={store} picture={picture} />}
      </div>
      {selection.compared !== null && <ComparisonStrip store={store} />}
      {selection.view === "matrix" && <Matrix store={store} picture={picture} table={table} />}
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

interface ProgressProps {
  label: string;
  progress: string;
  stopped: boolean;
  onStop(): void;
  onGoOn(event: Event): void;
}

/** What is still to come of a long answer, and what stops it. */
function Progress({ label, progress, stopped, onStop, onGoOn }: ProgressProps) {
  const share = /(\d+) %/.exec(progress)?.[1];
  return (
    <div>
      <span>{stopped ? `Stopped: ${progress}` : progress}</span>
      {share !== undefined && <progress value={share} max={100} aria-label={label} />}
      <button type="button" class="xw-button" onClick={stopped ? onGoOn : onStop}>
        {stopped ? "Go on" : "Stop"}
      </button>
    </div>
  );
}

function Status({ store }: { store: AttentionStore }) {
  const { picture, stopped, statistics, statisticsStopped, selection } = store.state;
  return (
    <>
      {picture?.partial && (
        <Progress
          label="Refined"
          progress={picture.progress}
          stopped={stopped}
          onStop={() => store.stop()}
          onGoOn={(event) => store.goOn(event)}
        />
      )}
      {statistics?.partial && wantsStatistics(selection) && (
        <Progress
          label="Statistics read"
          progress={`statistics of ${statistics.progress}`}
          stopped={statisticsStopped}
          onStop={() => store.stopStatistics()}
          onGoOn={(event) => store.readStatistics(event)}
        />
      )}
    </>
  );
}

function Said({ store }: { store: AttentionStore }) {
  const { picture, statistics, selection } = store.state;
  if (selection.view === "table" && statistics !== null) {
    return <Footer said={[statistics.footer]} answer={statistics} />;
  }
  return picture === null ? null : <Footer said={[picture.footer, drawnAs(picture)]} answer={picture} />;
}

export function Explorer({ store }: { store: AttentionStore }) {
  useStore(store);
  const lastHead = useRef(0);
  const { selection } = store.state;
  if (typeof selection.head === "number") lastHead.current = selection.head;
  return (
    <Frame
      state={store.state}
      label="Attention explorer"
      bar={<Bar store={store} lastHead={lastHead.current} />}
      status={<Status store={store} />}
      footer={<Said store={store} />}
    >
      <Overview store={store} />
      <View store={store} />
      <Reading store={store} />
    </Frame>
  );
}
