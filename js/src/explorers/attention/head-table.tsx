import type { RefObject } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { useUniqueId } from "../../controls/use-unique-id";
import { useSize } from "../../marks/use-size";
import type { Place } from "./ahead";
import {
  type HeadTable,
  headTitle,
  numberOf,
  rangeOf,
  rowOf,
  type Sort,
  sortedRows,
  textOf,
} from "./statistics";
import type { AttentionStore } from "./store";

/** Pixels of a row and of the header, as in the style sheet. */
const ROW = 26;
const HEADER = 42;
/** Rows that are drawn beyond those in sight. */
const SPARE = 6;

interface HeaderProps {
  sort: Sort;
  table: HeadTable;
  onSort(key: string | null): void;
}

function Header({ sort, table, onSort }: HeaderProps) {
  const all = [
    { key: null, short: "Head", unit: "", title: "As the model has them" },
    ...table.columns.map((column) => ({ ...column, title: `${column.name}: ${column.definition}` })),
  ];
  return (
    <div role="row" tabIndex={-1} class="xw-table-row xw-table-header" aria-rowindex={1}>
      {all.map(({ key, short, unit, title }) => {
        const sorted = sort.key === key && (sort.ascending ? "ascending" : "descending");
        return (
          <span key={key} role="columnheader" tabIndex={-1} aria-sort={sorted || "none"}>
            <button type="button" title={title} onClick={() => onSort(key)}>
              {short}
              <small>
                {unit}
                {sorted && <i aria-hidden="true">{sort.ascending ? " ▴" : " ▾"}</i>}
              </small>
            </button>
          </span>
        );
      })}
    </div>
  );
}

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
      <span role="rowheader" tabIndex={-1}>
        {headTitle(table.heads[row] as Place)}
      </span>
      {table.columns.map(({ key, name }, column) => {
        const share = numberOf(table, row, column) / (largest[column] || 1);
        return (
          <span
            key={key}
            role="gridcell"
            tabIndex={-1}
            class="xw-number"
            title={`${name}: ${textOf(table, row, column, true)}`}
            style={{ "--xw-share": share >= 0 && share <= 1 ? `${100 * share}%` : "0%" }}
          >
            {textOf(table, row, column)}
          </span>
        );
      })}
    </div>
  );
}

/** Where an arrow key leads to among `count` rows, `page` of which are in sight; null for other keys. */
export function rowAfter(key: string, at: number, count: number, page: number): number | null {
  const steps: Record<string, number> = {
    ...{ ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -count, End: count },
  };
  const step = steps[key];
  return step === undefined ? null : Math.max(0, Math.min(count - 1, at + step));
}

/** Scrolls to the row that is picked, and to the first one after sorting. */
function useScrolled(box: RefObject<HTMLElement | null>, at: number, row: number, room: number, sort: Sort) {
  useLayoutEffect(() => {
    if (box.current !== null) box.current.scrollTop = 0;
  }, [box, sort]);
  useLayoutEffect(() => {
    const target = box.current;
    if (target === null || row < 0) return;
    if (at * ROW < target.scrollTop) target.scrollTop = at * ROW;
    else if ((at + 1) * ROW > target.scrollTop + room) target.scrollTop = (at + 1) * ROW - room;
    // Where it stands changes with every part of a long answer: only its picking scrolls.
  }, [box, row, room]);
}

/** All heads as a table of which only the rows in sight are drawn; arrow keys pick the next. */
function Rows({ store, table }: { store: AttentionStore; table: HeadTable }) {
  const { selection, sort, lost } = store.state;
  const id = useUniqueId();
  const box = useRef<HTMLDivElement>(null);
  const room = useSize(box, { width: 600, height: 400 }).height - HEADER;
  const [top, setTop] = useState(0);
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
    const next = rowAfter(event.key, at, order.length, Math.floor(room / ROW));
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
  const first = Math.max(0, Math.floor(top / ROW) - SPARE);
  return (
    <div
      ref={box}
      class="xw-table"
      style={{ "--xw-columns": table.columns.length }}
      role="grid"
      tabIndex={0}
      aria-label="Statistics of all heads; arrow keys pick a head"
      aria-rowcount={order.length + 1}
      aria-activedescendant={row < 0 ? undefined : `${id}-${row}`}
      onScroll={(event) => setTop(ROW * Math.floor(event.currentTarget.scrollTop / ROW))}
      onClick={click}
      onKeyDown={press}
    >
      <Header table={table} sort={sort} onSort={(key) => store.sortBy(key)} />
      <div role="rowgroup" class="xw-table-body" style={{ height: `${ROW * order.length}px` }}>
        {order.slice(first, Math.ceil((top + room) / ROW) + SPARE).map((one, index) => (
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
