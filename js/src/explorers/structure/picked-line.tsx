import { COLUMNS } from "./rows";
import type { StructureStore } from "./store";
import type { StructureContent } from "./types";

/** Keys of the columns that are said. */
const SAID = ["parameters", "share", "flops", "seconds", "output_bytes"];

/** Under the graph: what the table says of the picked module, and the way to its values. */
export function PickedLine({ store, content }: { store: StructureStore; content: StructureContent }) {
  const { selection, lost } = store.state;
  const { rows } = content;
  const row = store.rowOf(selection.layer_name);
  if (row < 0) return null;
  const { overlay } = store;
  const said = COLUMNS.filter(({ key }) => SAID.includes(key));
  return (
    <p class="xw-picked-line">
      <b>{selection.layer_name || "(model)"}</b>
      <span>{rows.type[row]}</span>
      {rows.calls[row] !== 0 && <span>{`${rows.input_shapes[row]} → ${rows.output_shapes[row]}`}</span>}
      {said.map(({ key, short, title, text }) => (
        <span key={key} class="xw-number" title={title(rows, row)}>
          {`${short} ${text(rows, row)}`}
        </span>
      ))}
      {overlay !== null && !SAID.includes(overlay.overlay) && (
        <span class="xw-number" title={overlay.titleOf(row)}>
          {`${overlay.label} ${overlay.textOf(row)}`}
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
