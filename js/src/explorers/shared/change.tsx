import { exact, short } from "../../marks/numbers";

/** What becomes of what is taken out: zero, or its mean. */
export type How = "zero" | "mean";

export const HOWS = [
  ["zero", "zero"],
  ["mean", "mean"],
] as const satisfies [How, string][];

/** How the model's output has changed without what was taken out of the forward. */
export interface Change {
  cosine: number | null;
  difference: number | null;
  /** KL(before ‖ after) of the classes, in bits. */
  divergence: number | null;
  /** Position of the largest change. */
  position: number | null;
  classes: string[];
  before: number[];
  after: number[];
}

interface ChangeNumbersProps {
  change: Change;
  /** Names a position of the output. */
  nameOf(position: number): string;
}

/** How much the output has moved, and its most probable classes before and after. */
export function ChangeNumbers({ change, nameOf }: ChangeNumbersProps) {
  const { cosine, difference, divergence, position, classes, before, after } = change;
  const rows: [string, string, string][] = [
    ["Cosine to original", cosine === null ? "n/a" : exact(cosine), "Of the output before and after."],
    ["Relative change", difference === null ? "n/a" : short(difference), "‖after − before‖ / ‖before‖"],
  ];
  if (divergence !== null)
    rows.push(["KL divergence", `${short(divergence)} bits`, "KL(before ‖ after) of the classes"]);
  if (position !== null)
    rows.push(["Largest change at", nameOf(position), "Position whose output moved the farthest"]);
  return (
    <>
      <dl class="xw-statistics">
        {rows.map(([name, value, title]) => (
          <div key={name} title={title}>
            <dt>{name}</dt>
            <dd class="xw-number">{value}</dd>
          </div>
        ))}
      </dl>
      {classes.length > 0 && (
        <table class="xw-change">
          <thead>
            <tr>
              <th scope="col">Class</th>
              <th scope="col">before</th>
              <th scope="col">after</th>
            </tr>
          </thead>
          <tbody>
            {classes.map((name, index) => (
              <tr key={index}>
                <th scope="row">{name}</th>
                <Probability value={before[index] ?? 0} />
                <Probability value={after[index] ?? 0} />
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function Probability({ value }: { value: number }) {
  return (
    <td class="xw-number">
      <span class="xw-track">
        <i style={{ width: `${100 * value}%` }} />
      </span>
      {short(value)}
    </td>
  );
}
