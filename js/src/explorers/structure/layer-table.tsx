import { useMemo, useRef } from "preact/hooks";
import { useUniqueId } from "../../controls/use-unique-id";
import { ROW, rowAfter, TableHeader, useInSight, useScrolled } from "../shared/table";
import { LayerRow } from "./layer-row";
import {
  type Column,
  columnsWith,
  fitting,
  leastWidth,
  linesOf,
  NARROW,
  sortedRows,
  treeRows,
  usedRows,
} from "./rows";
import type { StructureStore } from "./store";
import type { StructureContent } from "./types";

/** Widths of the columns: least pixels in sight, and shares of what is left. */
function widths(columns: Column[]) {
  return {
    "--xw-grid": columns.map(({ width: [least, share] }) => `minmax(${least}px, ${share}fr)`).join(" "),
    "--xw-least": `${leastWidth(columns)}px`,
  };
}

interface LayerTableProps {
  store: StructureStore;
  content: StructureContent;
  /** Names and types only, to pick from. */
  isNarrow?: boolean;
}

/** The modules as a tree, or sorted by a column; only the rows in sight are drawn. */
export function LayerTable({ store, content, isNarrow = false }: LayerTableProps) {
  const { selection, sort, folded, lost, search } = store.state;
  const { rows } = content;
  const { overlay } = store;
  const id = useUniqueId();
  const box = useRef<HTMLDivElement>(null);
  const { width, room, page, first, last, onScroll } = useInSight(box);
  const all = useMemo(() => (isNarrow ? NARROW : columnsWith(overlay)), [overlay, isNarrow]);
  const columns = useMemo(() => fitting(all, width, sort.key), [all, width, sort.key]);
  const lines = useMemo(() => linesOf(rows, columns), [rows, columns]);
  const used = useMemo(() => usedRows(rows), [rows]);
  const isTree = sort.key === null;
  const order = useMemo(
    () => (isTree ? treeRows(rows, folded) : sortedRows(rows, sort, columns)),
    [rows, sort, folded, columns, isTree],
  );
  const picked = store.rowOf(selection.layer_name);
  const at = lines.placeIn(order, picked);
  useScrolled(box, at, picked, room, sort);
  const pick = (row: number | undefined, event: Event) => {
    const name = rows.name[row ?? -1];
    if (name !== undefined && lost === null) store.pick(name, event);
  };
  const fold = (row: number, wanted: boolean) => store.fold(rows.name[row] ?? "", wanted);
  const press = (event: KeyboardEvent) => {
    if ((event.target as Element).closest("button") !== null) return; // of the header
    const row = order[at];
    const sideways = { ArrowLeft: true, ArrowRight: false }[event.key];
    const next = rowAfter(event.key, at, order.length, page);
    if (next === null && (sideways === undefined || !isTree || row === undefined)) return;
    event.preventDefault();
    if (next !== null) return pick(order[next], event);
    if (sideways === undefined || row === undefined) return;
    const isFolded = folded.has(rows.name[row] ?? "");
    if (lines.hasParts[row] && isFolded !== sideways) fold(row, sideways);
    else if (!sideways && lines.hasParts[row]) pick(order[at + 1], event);
    else if (sideways) pick(lines.parents[row], event);
  };
  const click = (event: Event) => {
    const target = event.target as Element;
    const row = Number(target.closest<HTMLElement>("[data-row]")?.dataset.row ?? -1);
    if (row < 0) return;
    box.current?.focus(); // the row itself may be gone as soon as the table is scrolled
    if (target.closest(".xw-fold") !== null) fold(row, !folded.has(rows.name[row] ?? ""));
    else pick(row, event);
  };
  const leftOut = all.filter((column) => !columns.includes(column)).map(({ short }) => short);
  return (
    <>
      <div
        ref={box}
        class="xw-table xw-layer-table"
        style={widths(columns)}
        role="treegrid"
        tabIndex={0}
        aria-label={`Modules; up and down pick one${isTree ? ", left and right fold and unfold" : ""}`}
        aria-rowcount={order.length + 1}
        aria-activedescendant={order[at] === undefined ? undefined : `${id}-${order[at]}`}
        onScroll={onScroll}
        onClick={click}
        onKeyDown={press}
      >
        <TableHeader columns={lines.headers} sort={sort} onSort={(key) => store.sortBy(key)} />
        <div role="rowgroup" class="xw-table-body" style={{ height: `${ROW * order.length}px` }}>
          {order.slice(first, last).map((row, index) => (
            <LayerRow
              key={row}
              {...{ id, rows, lines, columns, row, isTree, search }}
              at={first + index}
              used={used[row] === 1}
              picked={row === picked}
              stands={row !== picked && first + index === at}
              folded={folded.has(rows.name[row] ?? "")}
            />
          ))}
        </div>
      </div>
      {!isNarrow && leftOut.length > 0 && (
        <p class="xw-note">{`No room here for ${leftOut.join(", ")}: the copied table has all columns.`}</p>
      )}
    </>
  );
}
