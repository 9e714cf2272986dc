import type { StructureStore } from "./store";

/** The numbers of the picked module. */
export function ValuesPanel({ store }: { store: StructureStore }) {
  const { values } = store.state;
  return (
    <section class="xw-view" aria-label="Values">
      <h3>
        {values === null
          ? "Reading the module's values…"
          : `${values.layer_name || "(model)"} · ${values.type}`}
      </h3>
    </section>
  );
}
