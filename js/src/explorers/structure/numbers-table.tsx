import type { ComponentChildren } from "preact";
import { digits, percent, whole } from "../../marks/numbers";
import type { Numbers } from "./types";

interface Column {
  key: keyof Numbers;
  short: string;
  definition: string;
}

const COLUMNS: Column[] = [
  { key: "mean", short: "Mean", definition: "Of the finite numbers" },
  { key: "deviation", short: "Deviation", definition: "Standard deviation of the finite numbers" },
  { key: "minimum", short: "Min", definition: "The smallest finite number" },
  { key: "maximum", short: "Max", definition: "The largest finite number" },
  { key: "zeros", short: "Zeros", definition: "Share of numbers that are exactly zero" },
  { key: "norm", short: "Norm", definition: "√ of the sum of squares" },
  { key: "nan", short: "NaN", definition: "How many are not a number" },
  { key: "infinite", short: "Inf", definition: "How many are infinite" },
];

const isCount = (key: keyof Numbers) => key === "nan" || key === "infinite";

function textOf(key: keyof Numbers, value: number | null): string {
  if (value === null) return "n/a";
  if (isCount(key)) return whole(value);
  return key === "zeros" ? percent(value) : digits(value);
}

function Cell({ column, value }: { column: Column; value: number | null }) {
  const { key, short, definition } = column;
  const isAlarming = isCount(key) && value !== null && value > 0;
  return (
    <td
      class={isAlarming ? "xw-number xw-alarming" : "xw-number"}
      title={`${short}: ${value ?? "n/a"}. ${definition}.`}
    >
      {textOf(key, value)}
    </td>
  );
}

interface Row {
  key: string;
  name: ComponentChildren;
  title: string;
  shape: string;
  count: number;
  numbers: Numbers;
}

/** Statistics of tensors, a line each. */
export function NumbersTable({ label, rows }: { label: string; rows: Row[] }) {
  return (
    <div class="xw-numbers-box">
      <table class="xw-numbers" aria-label={label}>
        <thead>
          <tr>
            <th scope="col">Tensor</th>
            <th scope="col" class="xw-number">
              Shape
            </th>
            {COLUMNS.map(({ key, short, definition }) => (
              <th key={key} scope="col" class="xw-number" title={definition}>
                {short}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, name, title, shape, count, numbers }) => (
            <tr key={key}>
              <th scope="row" title={title}>
                {name}
              </th>
              <td class="xw-number" title={`${whole(count)} numbers`}>
                {shape}
              </td>
              {COLUMNS.map((column) => (
                <Cell key={column.key} column={column} value={numbers[column.key]} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
