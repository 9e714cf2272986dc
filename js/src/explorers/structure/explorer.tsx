import { Footer, Frame, useStore } from "../shared/frame";
import { Bar } from "./bar";
import { FailureStrip } from "./failure";
import { GraphPanel } from "./graph-panel";
import { LayersPanel } from "./layers-panel";
import { Legend } from "./legend";
import { PickedLine } from "./picked-line";
import type { StructureStore } from "./store";
import { ValuesPanel } from "./values-panel";

const LABELS = { layers: "Layers", graph: "Graph", values: "Values" };

/** What the picked view shows. */
function View({ store }: { store: StructureStore }) {
  const { content, selection } = store.state;
  const { view } = selection;
  if (content === null) {
    return (
      <section class="xw-view" aria-label={LABELS[view]}>
        <p class="xw-note">Tracing the model…</p>
      </section>
    );
  }
  if (view === "values") return <ValuesPanel store={store} content={content} />;
  return (
    <section class={`xw-view xw-${view}-view`} aria-label={LABELS[view]}>
      {content.failure !== null && <FailureStrip failure={content.failure} store={store} />}
      {store.overlay !== null && <Legend store={store} overlay={store.overlay} />}
      {view === "layers" ? (
        <LayersPanel store={store} content={content} />
      ) : (
        <>
          <GraphPanel store={store} />
          <PickedLine store={store} content={content} />
        </>
      )}
    </section>
  );
}

/** What is still to come of a long answer, with what stops it. */
function Status({ store }: { store: StructureStore }) {
  const { overlay } = store;
  if (overlay === null || !overlay.partial || overlay.progress === null) return null;
  const [done, total] = overlay.progress;
  return (
    <div>
      <span>{`${overlay.label}: ${done} of ${total}`}</span>
      <progress value={done} max={total} aria-label={overlay.label} />
      <button type="button" class="xw-button" onClick={() => store.stopOverlay()}>
        Stop
      </button>
    </div>
  );
}

/** What was computed, of the answer that is shown. */
function Said({ store }: { store: StructureStore }) {
  const { content, values, selection, copied } = store.state;
  const answer = selection.view === "values" ? values : content;
  if (answer === null) return null;
  return <Footer said={[content?.title ?? "", answer.footer, copied]} answer={answer} />;
}

export function Explorer({ store }: { store: StructureStore }) {
  useStore(store);
  return (
    <Frame
      state={store.state}
      label="Structure explorer"
      bar={<Bar store={store} />}
      status={<Status store={store} />}
      footer={<Said store={store} />}
    >
      <View store={store} />
    </Frame>
  );
}
