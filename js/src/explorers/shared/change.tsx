import { exact, short } from "../../marks/numbers";

/** What becomes of what is taken out: zero, or its mean. */
export type How = "zero" | "mean";

const HOWS = [
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
function ChangeNumbers({ change, nameOf }: ChangeNumbersProps) {
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

/** Something that is taken out of the forward. */
export interface TakenOut {
  /** As it is listed, and as it is said. */
  text: string;
  name: string;
  how: How;
  /** In another way, or (null) put back. */
  put(how: How | null, event: Event): void;
}

function TakenOutItem({ item, title, disabled }: { item: TakenOut; title: string; disabled: boolean }) {
  const { text, name, how, put } = item;
  return (
    <li>
      <span>{text}</span>
      <select
        aria-label={`What ${name} becomes`}
        title={title}
        value={how}
        disabled={disabled}
        onChange={(event) => put(event.currentTarget.value as How, event)}
      >
        {HOWS.map(([value, word]) => (
          <option key={value} value={value} selected={value === how}>
            {word}
          </option>
        ))}
      </select>
      <button
        type="button"
        class="xw-button"
        aria-label={`Put ${name} back`}
        disabled={disabled}
        onClick={(event) => put(null, event)}
      >
        ×
      </button>
    </li>
  );
}

interface WithoutProps {
  label: string;
  /** What each of them is: "head". */
  noun: string;
  /** What becomes of one. */
  title: string;
  items: TakenOut[];
  change: { change: Change | null; note: string } | null;
  disabled: boolean;
  nameOf(position: number): string;
  onRelease(event: Event): void;
}

/** What is taken out of the forward, and what that changes in the output. */
export function Without(props: WithoutProps) {
  const { label, noun, title, items, change, disabled, nameOf, onRelease } = props;
  if (items.length === 0) return null;
  return (
    <section class="xw-ablation" aria-label={label}>
      <h3>{items.length === 1 ? `Without this ${noun}` : `Without these ${items.length} ${noun}s`}</h3>
      <ul>
        {items.map((item) => (
          <TakenOutItem key={item.name} item={item} title={title} disabled={disabled} />
        ))}
      </ul>
      {change?.change != null && <ChangeNumbers change={change.change} nameOf={nameOf} />}
      {change !== null && change.note !== "" && <p class="xw-note">{change.note}</p>}
      <button type="button" class="xw-button" disabled={disabled} onClick={onRelease}>
        Put all back
      </button>
    </section>
  );
}
