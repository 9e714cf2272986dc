import { ROW } from "../shared/table";
import type { Column, Lines } from "./rows";
import type { Rows } from "./types";

/** Pixels by which each module stands further in than the one around it. */
const INDENT = 14;

/** A text in which what is searched for is marked. */
export function Marked({ text, search }: { text: string; search: string }) {
  const sought = search.trim().toLowerCase();
  const at = sought === "" ? -1 : text.toLowerCase().indexOf(sought);
  if (at === -1) return <>{text}</>;
  return (
    <>
      {text.slice(0, at)}
      <mark>{text.slice(at, at + sought.length)}</mark>
      {text.slice(at + sought.length)}
    </>
  );
}

/** What is said of a module beside its name: that it never ran, or ran several times. */
function callsText(calls: number, used: boolean): string {
  if (!used) return "never called";
  return calls > 1 ? `called ${calls} times` : "";
}

interface LayerRowProps {
  id: string;
  rows: Rows;
  lines: Lines;
  columns: Column[];
  row: number;
  /** Where it stands among those that are shown. */
  at: number;
  isTree: boolean;
  search: string;
  /** Whether it, or a part of it, ran. */
  used: boolean;
  picked: boolean;
  /** Whether it stands for the picked one, which is folded away in it. */
  stands: boolean;
  folded: boolean;
}

function Name(props: LayerRowProps) {
  const { rows, lines, row, isTree, search, used, folded } = props;
  const name = rows.name[row] ?? "";
  const depth = rows.depth[row] ?? 0;
  const said = callsText(rows.calls[row] ?? 0, used);
  const hasParts = lines.hasParts[row] === 1;
  return (
    <span
      role="rowheader"
      tabIndex={-1}
      title={[name || "the model", said].filter(Boolean).join(" · ")}
      style={isTree ? { paddingLeft: `${8 + INDENT * depth}px` } : undefined}
    >
      {isTree && (
        <i class={hasParts ? "xw-fold" : "xw-no-fold"} aria-hidden="true">
          {hasParts ? (folded ? "▸" : "▾") : ""}
        </i>
      )}
      <Marked text={isTree ? lines.names[row] || "(model)" : name || "(model)"} search={search} />
      {said !== "" && <small class={used ? "xw-note" : "xw-unused"}>{said}</small>}
    </span>
  );
}

/** A module in the layer table. */
export function LayerRow(props: LayerRowProps) {
  const { id, rows, lines, columns, row, at, isTree, search, used, picked, stands, folded } = props;
  const hasParts = lines.hasParts[row] === 1;
  const classes = ["xw-table-row"];
  if (picked) classes.push("xw-picked-row");
  if (stands) classes.push("xw-standing-row");
  if (!used) classes.push("xw-unused-row");
  return (
    <div
      id={`${id}-${row}`}
      role="row"
      tabIndex={-1}
      class={classes.join(" ")}
      style={{ top: `${at * ROW}px` }}
      aria-rowindex={at + 2}
      aria-level={isTree ? (rows.depth[row] ?? 0) + 1 : undefined}
      aria-expanded={isTree && hasParts ? !folded : undefined}
      aria-selected={picked}
      data-row={row}
    >
      <Name {...props} />
      {columns.slice(1).map((column, place) => {
        const share = column.hasBar ? lines.share(place + 1, row) : 0;
        const text = column.text(rows, row);
        return (
          <span
            key={column.key}
            role="gridcell"
            tabIndex={-1}
            class={column.isWords ? "xw-words" : "xw-number"}
            title={column.title(rows, row)}
            style={{ "--xw-share": `${100 * share}%`, ...column.colours?.(row) }}
          >
            {column.key === "type" ? <Marked text={text} search={search} /> : text}
          </span>
        );
      })}
    </div>
  );
}
