import { Histogram } from "../../marks/histogram";
import { whole } from "../../marks/numbers";
import { FailureStrip } from "./failure";
import { LayerTable } from "./layer-table";
import { NumbersTable } from "./numbers-table";
import type { StructureStore } from "./store";
import type { Quantity, StructureContent, Values } from "./types";
import { ValuesReading } from "./values-reading";

const title = ({ layer_name, type }: Values) => `${layer_name || "(model)"} · ${type}`;

function Histograms({ quantities }: { quantities: Quantity[] }) {
  return (
    <div class="xw-histograms">
      {quantities.map(({ name, edges, counts }) =>
        edges === null || counts === null ? null : (
          <div key={name}>
            <h4>{name}</h4>
            <Histogram edges={edges} counts={counts} unit="numbers" />
          </div>
        ),
      )}
    </div>
  );
}

/** All parameters below a container; a click goes to the module that has one. */
function Parts({ store, values }: { store: StructureStore; values: Values }) {
  const { parts, parts_left_out } = values;
  if (parts.length === 0) return null;
  return (
    <>
      <h3>{`${whole(parts.length + parts_left_out)} parameter tensors in it`}</h3>
      <NumbersTable
        label="Parameters in it"
        rows={parts.map((part) => ({
          key: part.name,
          name: (
            <button
              type="button"
              class="xw-link"
              disabled={store.state.lost !== null}
              onClick={(event) => store.pick(ownerOf(part.name), event)}
            >
              {part.name}
            </button>
          ),
          title: `Go to ${ownerOf(part.name) || "the model"}`,
          shape: part.shape,
          count: part.count,
          numbers: part,
        }))}
      />
      {parts_left_out > 0 && <p class="xw-note">{`${whole(parts_left_out)} more are not shown here.`}</p>}
    </>
  );
}

/** The module that a parameter belongs to. */
const ownerOf = (parameter: string) => parameter.slice(0, Math.max(0, parameter.lastIndexOf(".")));

/** In the middle: statistics and histograms of what the module holds and gives. */
function Numbers({ store, values }: { store: StructureStore; values: Values }) {
  const { words, quantities, gradient_note } = values;
  const notes = [...new Set(quantities.map(({ note }) => note)), gradient_note].filter(Boolean);
  return (
    <>
      {words !== "" && <p class="xw-note">{words}</p>}
      {quantities.length > 0 && (
        <NumbersTable
          label="Statistics"
          rows={quantities.map((quantity) => ({
            ...{ key: quantity.name, name: quantity.name, title: quantity.note || quantity.name },
            ...{ shape: quantity.shape, count: quantity.count, numbers: quantity },
          }))}
        />
      )}
      {notes.map((note) => (
        <p key={note} class="xw-note">
          {note}
        </p>
      ))}
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
        <h3>{values === null ? "Reading the values of the module…" : title(values)}</h3>
        {values !== null && <Numbers store={store} values={values} />}
      </section>
      <section class="xw-reading" aria-label="Initialisation and rank">
        {values !== null && <ValuesReading store={store} values={values} />}
      </section>
    </>
  );
}
