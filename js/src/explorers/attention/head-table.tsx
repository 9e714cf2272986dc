import { useMemo, useRef } from "preact/hooks";
import { useUniqueId } from "../../controls/use-unique-id";
import { ROW, rowAfter, type TableColumn, TableHeader, useInSight, useScrolled } from "../shared/table";
import type { Place } from "./next-heads";
import {
  decimalsOf,
  type HeadTable,
  headTitle,
  numberOf,
  rangeOf,
  rowOf,
  sortedRows,
  textOf,
} from "./statistics";
import type { AttentionStore } from "./store";

const headersOf = ({ columns }: HeadTable): TableColumn[] => [
  { key: null, short: "Head", unit: "", title: "Layer · head: in the order of the model" },
  ...columns.map((column) => ({ ...column, title: `${column.name}: ${column.definition}` })),
];

interface RowProps {
  id: string;
  table: HeadTable;
  row: number;
  /** Where it stands among the sorted ones. */
  at: number;
  picked: boolean;
  /** Largest value of each column. */
  largest: number[];
}

function Row({ id, table, row, at, picked, largest }: RowProps) {
  const place = table.heads[row] as Place;
  return (
    <div
      id={`${id}-${row}`}
      role="row"
      tabIndex={-1}
      class={picked ? "xw-table-row xw-picked-row" : "xw-table-row"}
      style={{ top: `${at * ROW}px` }}
      aria-rowindex={at + 2}
      aria-selected={picked}
      data-row={row}
    >
      <span role="rowheader" tabIndex={-1} aria-label={headTitle(place)} title={headTitle(place)}>
        {`${place.layer} · ${place.head}`}
      </span>
      {table.columns.map((described, column) => {
        const { key, name } = described;
        const most = largest[column] ?? 0;
        const share = numberOf(table, row, column) / (most || 1);
        return (
          <span
            key={key}
            role="gridcell"
            tabIndex={-1}
            class="xw-number"
            title={`${name}: ${textOf(table, row, column)}`}
            style={{ "--xw-share": share >= 0 && share <= 1 ? `${100 * share}%` : "0%" }}
          >
            {textOf(table, row, column, decimalsOf(described, most))}
          </span>
        );
      })}
    </div>
  );
}

/** All heads as a table of which only the rows in sight are drawn; arrow keys pick the next. */
function Rows({ store, table }: { store: AttentionStore; table: HeadTable }) {
  const { selection, sort, lost } = store.state;
  const id = useUniqueId();
  const box = useRef<HTMLDivElement>(null);
  const { room, page, first, last, onScroll } = useInSight(box);
  const order = useMemo(() => sortedRows(table, sort), [table, sort]);
  const largest = useMemo(() => table.columns.map((_, at) => rangeOf(table, at)?.[1] ?? 0), [table]);
  const row = rowOf(table, selection.layer, selection.head);
  const at = order.indexOf(row);
  useScrolled(box, at, row, room, sort);
  const pick = (next: number | undefined, event: Event) => {
    const place = table.heads[next ?? -1];
    if (place !== undefined && lost === null) store.move({ ...place }, event);
  };
  const press = (event: KeyboardEvent) => {
    if ((event.target as Element).closest("button") !== null) return; // of the header
    const next = rowAfter(event.key, at, order.length, page);
    if (next === null) return;
    event.preventDefault();
    pick(order[next], event);
  };
  const click = (event: Event) => {
    const found = (event.target as Element).closest<HTMLElement>("[data-row]")?.dataset.row;
    if (found === undefined) return;
    box.current?.focus(); // the row itself may be gone as soon as the table is scrolled
    pick(Number(found), event);
  };
  return (
    <div
      ref={box}
      class="xw-table xw-head-table"
      style={{ "--xw-columns": table.columns.length }}
      role="grid"
      tabIndex={0}
      aria-label="Statistics of all heads; arrow keys pick a head"
      aria-rowcount={order.length + 1}
      aria-activedescendant={row < 0 ? undefined : `${id}-${row}`}
      onScroll={onScroll}
      onClick={click}
      onKeyDown={press}
    >
      <TableHeader columns={headersOf(table)} sort={sort} onSort={(key) => store.sortBy(key)} />
      <div role="rowgroup" class="xw-table-body" style={{ height: `${ROW * order.length}px` }}>
        {order.slice(first, last).map((one, index) => (
          <Row key={one} {...{ id, table, largest }} row={one} at={first + index} picked={one === row} />
        ))}
      </div>
    </div>
  );
}

/** In the middle: the statistics of all heads. */
export function TablePanel({ store }: { store: AttentionStore }) {
  const { statistics } = store.state;
  if (statistics === null) return <p class="xw-note">Reading the statistics of all heads…</p>;
  const { heads, note } = statistics;
  return (
    <>
      <div class="xw-view-head">
        <h3>{`Statistics of ${heads.length} heads · click to pick`}</h3>
        {note !== "" && <span class="xw-note">{`from ${note}`}</span>}
      </div>
      <Rows store={store} table={statistics} />
    </>
  );
}
