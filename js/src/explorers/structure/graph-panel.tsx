import { GraphCanvas } from "./graph-canvas";
import { GraphSwitch } from "./graph-tools";
import type { StructureStore } from "./store";
import { useGraph } from "./use-graph";

/** In the middle: the model as boxes within boxes, and what passes between them. */
export function GraphPanel({ store }: { store: StructureStore }) {
  const { selection, backward, error } = store.state;
  const shown = useGraph(store);
  const note = selection.graph === "backward" ? (backward?.note ?? "") : "";
  if (shown === null) {
    return (
      <div class="xw-graph-tools">
        <GraphSwitch store={store} />
        <p class="xw-note">{error === null ? "Reading the graph…" : "There is no graph to show."}</p>
      </div>
    );
  }
  return (
    <>
      <GraphCanvas key={selection.graph} store={store} shown={shown} />
      {note !== "" && <p class="xw-note">{note}</p>}
    </>
  );
}
