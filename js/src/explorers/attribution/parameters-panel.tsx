import { Bars } from "../../marks/bars";
import type { AttributionStore } from "./store";

/** In the middle: every tensor of parameters, by layer, in the order of the model. */
export function ParametersPanel({ store }: { store: AttributionStore }) {
  const { parameters } = store.state;
  if (parameters === null) {
    return (
      <section class="xw-view xw-parameters" aria-label="Parameters">
        <p class="xw-note">Computing…</p>
      </section>
    );
  }
  const { names, modules, states, values, words } = parameters;
  const bars = names.map((name, index) => ({
    name,
    value: values[index] ?? Number.NaN,
    group: modules[index] ?? "",
    ...(states[index] ? { absent: states[index] } : {}),
  }));
  return (
    <section class="xw-view xw-parameters" aria-label="Parameters">
      <h3>{words}</h3>
      <div class="xw-attribution">
        <Bars label={words} bars={bars} logarithmic />
      </div>
    </section>
  );
}
