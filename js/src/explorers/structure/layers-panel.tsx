import { Picker } from "../../controls/picker";
import { bytes, duration, quantity, whole } from "../../marks/numbers";
import { LayerTable } from "./layer-table";
import type { StructureStore } from "./store";
import type { StructureContent, Totals } from "./types";

/** In the place of a depth: modules were folded one by one. */
const SOME = "some";

/** How deep the tree is shown; deeper modules are folded away. */
function Depth({ store, content }: { store: StructureStore; content: StructureContent }) {
  const { folded, sort } = store.state;
  const { name, depth } = content.rows;
  const deepest = depth.reduce((a, b) => Math.max(a, b), 0);
  if (deepest < 2 || sort.key !== null) return null;
  const depths = Array.from({ length: deepest - 1 }, (_, at) => String(at + 1));
  const foldedAt = depths.find((one) => {
    const below = name.filter((_, row) => (depth[row] ?? 0) >= Number(one));
    return below.length === folded.size && below.every((module) => folded.has(module));
  });
  const picked = folded.size === 0 ? "" : (foldedAt ?? SOME);
  const options = [["", "all"], ...depths.map((one) => [one, one] as const)] as [string, string][];
  return (
    <Picker
      label="Depth"
      labelled
      value={picked}
      options={picked === SOME ? [...options, [SOME, "as folded"]] : options}
      disabled={false}
      onPick={(value) => value !== SOME && store.foldBelow(value === "" ? null : Number(value))}
    />
  );
}

function Total({ name, value, title }: { name: string; value: string; title: string }) {
  return (
    <span title={title}>
      {`${name} `}
      <b class="xw-number">{value}</b>
    </span>
  );
}

/** What all modules have together, parameters counted once. */
function TotalsLine({ totals }: { totals: Totals }) {
  const { parameters, trainable, buffers, flops, seconds, bytes: stored, output_bytes } = totals;
  return (
    <p class="xw-totals">
      <Total
        name="Parameters"
        value={quantity(parameters)}
        title={`${whole(parameters)} parameters, shared ones counted once`}
      />
      <Total
        name="trainable"
        value={quantity(trainable)}
        title={`${whole(trainable)} trainable, ${whole(parameters - trainable)} frozen`}
      />
      <Total name="buffers" value={quantity(buffers)} title={`${whole(buffers)} elements of buffers`} />
      <Total
        name="FLOPs"
        value={quantity(flops)}
        title={`${whole(flops)}; a multiplication with its addition counts 2`}
      />
      <Total name="time" value={duration(seconds)} title={`${1e3 * seconds} ms in modules`} />
      <Total
        name="weights"
        value={bytes(stored)}
        title={`${whole(stored)} bytes of parameters and buffers`}
      />
      <Total
        name="activations"
        value={bytes(output_bytes)}
        title={`${whole(output_bytes)} bytes of tensors that operations made, views too`}
      />
    </p>
  );
}

/** In the middle: the layer table, its totals, and what takes it elsewhere. */
export function LayersPanel({ store, content }: { store: StructureStore; content: StructureContent }) {
  const { sort, lost } = store.state;
  const { rows, totals, note } = content;
  return (
    <>
      <div class="xw-view-head">
        <h3>{`${whole(rows.name.length)} modules · click to pick`}</h3>
        <span class="xw-buttons">
          {sort.key !== null && (
            <button type="button" class="xw-button" onClick={() => store.sortBy(null)}>
              As a tree
            </button>
          )}
          <Depth store={store} content={content} />
          <button
            type="button"
            class="xw-button"
            disabled={lost !== null}
            onClick={(event) => store.copy("text", event)}
          >
            Copy text
          </button>
          <button
            type="button"
            class="xw-button"
            disabled={lost !== null}
            onClick={(event) => store.copy("csv", event)}
          >
            Copy CSV
          </button>
        </span>
      </div>
      <LayerTable store={store} content={content} />
      <TotalsLine totals={totals} />
      {note !== "" && <p class="xw-note">{note}</p>}
    </>
  );
}
