import { COLUMNS } from "./rows";
import type { StructureStore } from "./store";
import type { StructureContent } from "./types";

/** Under the graph: what the table says of the picked module, and the way to its values. */
export function PickedLine({ store, content }: { store: StructureStore; content: StructureContent }) {
  const { selection, lost } = store.state;
  const { rows } = content;
  const row = store.rowOf(selection.layer_name);
  if (row < 0) return null;
  const of = (key: string) => COLUMNS.find((column) => column.key === key);
  const said = ["parameters", "share", "flops", "seconds", "output_bytes"].map(of);
  return (
    <p class="xw-picked-line">
      <b>{selection.layer_name || "(model)"}</b>
      <span>{rows.type[row]}</span>
      {rows.calls[row] !== 0 && <span>{`${rows.input_shapes[row]} → ${rows.output_shapes[row]}`}</span>}
      {said.map(
        (column) =>
          column !== undefined && (
            <span key={column.key} class="xw-number" title={column.title(rows, row)}>
              {`${column.short} ${column.text(rows, row)}`}
            </span>
          ),
      )}
      {store.overlay !== null && (
        <span class="xw-number" title={store.overlay.titleOf(row)}>
          {`${store.overlay.label} ${store.overlay.textOf(row)}`}
        </span>
      )}
      <button
        type="button"
        class="xw-button"
        disabled={lost !== null}
        onClick={(event) => store.move({ view: "values" }, event)}
      >
        Values
      </button>
    </p>
  );
}
