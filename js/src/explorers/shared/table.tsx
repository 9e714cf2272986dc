import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { useSize } from "../../marks/use-size";

/** Pixels of a row and of the header, as in styles/table.css. */
export const ROW = 26;
export const HEADER = 42;
/** Rows that are drawn beyond those in sight. */
const SPARE = 6;

/** By which column rows are sorted; null: as the model has them. */
export interface Sort {
  key: string | null;
  ascending: boolean;
}

export interface TableColumn {
  key: string | null;
  /** What it is called where there is little room. */
  short: string;
  unit: string;
  title: string;
  /** Whether words stand in it, which begin at the left. */
  isWords?: boolean;
}

interface TableHeaderProps {
  columns: TableColumn[];
  sort: Sort;
  onSort(key: string | null): void;
}

/** Names of columns, each a button that sorts by it. */
export function TableHeader({ columns, sort, onSort }: TableHeaderProps) {
  const hasUnits = columns.some(({ unit }) => unit !== "");
  return (
    <div role="row" tabIndex={-1} class="xw-table-row xw-table-header" aria-rowindex={1}>
      {columns.map(({ key, short, unit, title, isWords }) => {
        const sorted = sort.key === key && (sort.ascending ? "ascending" : "descending");
        const arrow = sorted && <i aria-hidden="true">{sort.ascending ? " ▴" : " ▾"}</i>;
        return (
          <span
            key={key}
            role="columnheader"
            tabIndex={-1}
            class={isWords ? "xw-words" : undefined}
            aria-sort={sorted || "none"}
          >
            <button type="button" title={title} onClick={() => onSort(key)}>
              {short}
              {hasUnits ? (
                <small>
                  {unit}
                  {arrow}
                </small>
              ) : (
                arrow
              )}
            </button>
          </span>
        );
      })}
    </div>
  );
}

/** What a click on a column's name makes of the order: `first` says which way a new column goes. */
export function sortedAnew(old: Sort, key: string | null, first: boolean): Sort {
  return { key, ascending: old.key === key ? !old.ascending : first };
}

/** Where an arrow key leads to among `count` rows, `page` of which are in sight; null for other keys. */
export function rowAfter(key: string, at: number, count: number, page: number): number | null {
  const steps: Record<string, number> = {
    ...{ ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -count, End: count },
  };
  const step = steps[key];
  return step === undefined ? null : Math.max(0, Math.min(count - 1, at + step));
}

/** The rows of a table that are to be drawn, as it is scrolled. */
export interface InSight {
  first: number;
  last: number;
  /** Pixels from side to side. */
  width: number;
  /** Pixels, and whole rows, between the header and the lower edge. */
  room: number;
  page: number;
  onScroll(event: { currentTarget: HTMLElement }): void;
}

export function useInSight(box: RefObject<HTMLElement | null>): InSight {
  const { width, height } = useSize(box, { width: 1200, height: 400 });
  const room = height - HEADER;
  const [top, setTop] = useState(0);
  return {
    ...{ width, room, page: Math.floor(room / ROW) },
    first: Math.max(0, Math.floor(top / ROW) - SPARE),
    last: Math.ceil((top + room) / ROW) + SPARE,
    onScroll: ({ currentTarget }) => setTop(ROW * Math.floor(currentTarget.scrollTop / ROW)),
  };
}

/** Scrolls to the row that is picked, and to the first one after sorting. */
export function useScrolled(
  box: RefObject<HTMLElement | null>,
  at: number,
  row: number,
  room: number,
  sort: Sort,
): void {
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
