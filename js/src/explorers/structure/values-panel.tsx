import { Histogram } from "../../marks/histogram";
import { whole } from "../../marks/numbers";
import { FailureStrip } from "./failure";
import { LayerTable } from "./layer-table";
import { NumbersTable } from "./numbers-table";
import { moduleOf } from "./rows";
import type { StructureStore } from "./store";
import type { Quantity, StructureContent, Values } from "./types";
import { ValuesReading } from "./values-reading";

function Histograms({ quantities }: { quantities: Quantity[] }) {
  return (
    <div class="xw-histograms">
      {quantities.map(({ name, edges, counts, note }) =>
        edges === null || counts === null ? null : (
          <div key={name}>
            <h4>{name}</h4>
            <Histogram edges={edges} counts={counts} unit="numbers" />
            {note !== "" && <p class="xw-note">{note}</p>}
          </div>
        ),
      )}
    </div>
  );
}

/** All parameters below a container; a click goes to the module that has one. */
function Parts({ store, values }: { store: StructureStore; values: Values }) {
  const { parts, parts_left_out, layer_name } = values;
  if (parts.length === 0) return null;
  const around = moduleOf(layer_name);
  const rows = parts.map((part) => {
    const owner = [around, part.name.slice(0, Math.max(0, part.name.lastIndexOf(".")))]
      .filter(Boolean)
      .join(".");
    const name = (
      <button
        type="button"
        class="xw-link"
        disabled={store.state.lost !== null}
        onClick={(event) => store.pick(owner, event)}
      >
        {part.name}
      </button>
    );
    return { ...part, key: part.name, name, title: `${part.name}: go to ${owner}`, numbers: part };
  });
  return (
    <>
      <h3>{`${whole(parts.length + parts_left_out)} parameter tensors below`}</h3>
      <NumbersTable label="Parameters below" rows={rows} />
      {parts_left_out > 0 && <p class="xw-note">{`${whole(parts_left_out)} more are not shown here.`}</p>}
    </>
  );
}

/** Numbers that are not finite, in words. */
function NotFinite({ quantities }: { quantities: Quantity[] }) {
  const said = quantities.flatMap(({ name, nan, infinite, count }) => [
    ...(nan > 0 ? [`${name}: ${whole(nan)} of ${whole(count)} are NaN`] : []),
    ...(infinite > 0 ? [`${name}: ${whole(infinite)} of ${whole(count)} are infinite`] : []),
  ]);
  return said.length === 0 ? null : <p class="xw-warning">{said.join(" · ")}</p>;
}

/** In the middle: statistics and histograms of what the module holds and gives. */
function Numbers({ store, values, failed }: { store: StructureStore; values: Values; failed: boolean }) {
  const { words, quantities, gradient_note } = values;
  return (
    <>
      {words !== "" && <p class="xw-note">{words}</p>}
      {quantities.length > 0 && (
        <NumbersTable
          label="Statistics"
          rows={quantities.map((quantity) => ({
            ...{ ...quantity, key: quantity.name, title: quantity.name, numbers: quantity },
          }))}
        />
      )}
      <NotFinite quantities={quantities} />
      {gradient_note !== "" && !failed && <p class="xw-note">{gradient_note}</p>}
      <Histograms quantities={quantities} />
      <Parts store={store} values={values} />
    </>
  );
}

/** The numbers of the picked module, with the tree to pick another from. */
export function ValuesPanel({ store, content }: { store: StructureStore; content: StructureContent }) {
  const { values, selection } = store.state;
  const isOf = values?.layer_name === selection.layer_name && values.sample === content.sample;
  return (
    <>
      <section class="xw-overview" aria-label="Modules">
        <h3>{`${whole(content.rows.name.length)} modules`}</h3>
        <LayerTable store={store} content={content} isNarrow />
      </section>
      <section class="xw-view xw-values-view" aria-label="Values" aria-busy={!isOf}>
        {content.failure !== null && <FailureStrip failure={content.failure} store={store} />}
        <h3>{values === null ? "Reading the values of the module…" : values.layer_name || "(model)"}</h3>
        {values !== null && <Numbers store={store} values={values} failed={content.failure !== null} />}
      </section>
      <section class="xw-reading" aria-label="Initialisation and rank">
        {values !== null && <ValuesReading store={store} values={values} />}
      </section>
    </>
  );
}
