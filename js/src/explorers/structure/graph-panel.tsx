import type { StructureStore } from "./store";

/** In the middle: the model as boxes within boxes. */
export function GraphPanel({ store }: { store: StructureStore }) {
  const { content } = store.state;
  return <p class="xw-note">{`${content?.graph.groups.length ?? 0} groups`}</p>;
}
