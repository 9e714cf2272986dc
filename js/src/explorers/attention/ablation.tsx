import { exact, short } from "../../marks/numbers";
import { named } from "../../marks/tokens";
import type { AttentionStore } from "./store";
import type { Ablated, Change, How } from "./types";

const HOWS = [
  ["zero", "zero"],
  ["mean", "mean"],
] as const satisfies [How, string][];

function AblatedHead({ store, one }: { store: AttentionStore; one: Ablated }) {
  const { lost } = store.state;
  const [layer, head, how] = one;
  const name = `layer ${layer}, head ${head}`;
  return (
    <li>
      <span>{`Layer ${layer} · head ${head}`}</span>
      <select
        aria-label={`What ${name} becomes`}
        title="What the head returns becomes zero, or its mean over the positions"
        value={how}
        disabled={lost !== null}
        onChange={(event) => store.ablate(layer, head, event.currentTarget.value as How, event)}
      >
        {HOWS.map(([value, text]) => (
          <option key={value} value={value} selected={value === how}>
            {text}
          </option>
        ))}
      </select>
      <button
        type="button"
        class="xw-button"
        aria-label={`Put ${name} back`}
        disabled={lost !== null}
        onClick={(event) => store.ablate(layer, head, null, event)}
      >
        ×
      </button>
    </li>
  );
}

function Numbers({ store, change }: { store: AttentionStore; change: Change }) {
  const { cosine, difference, divergence, position, classes, before, after } = change;
  const tokens = store.state.picture?.queryTokens ?? null;
  const rows: [string, string, string][] = [
    [
      "Cosine to original",
      cosine === null ? "n/a" : exact(cosine),
      "Of the output with and without the heads.",
    ],
    ["Relative change", difference === null ? "n/a" : short(difference), "‖after − before‖ / ‖before‖"],
  ];
  if (divergence !== null)
    rows.push(["KL divergence", `${short(divergence)} bits`, "KL(before ‖ after) of the classes"]);
  if (position !== null)
    rows.push(["Largest change at", named(tokens, position), "Position whose output moved the farthest"]);
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

/** The heads that are taken out of the forward, and what that changes in the output. */
export function Ablation({ store }: { store: AttentionStore }) {
  const { selection, change, lost } = store.state;
  const { ablated } = selection;
  if (ablated.length === 0) return null;
  return (
    <section class="xw-ablation" aria-label="Ablated heads">
      <h3>{ablated.length === 1 ? "Without this head" : `Without these ${ablated.length} heads`}</h3>
      <ul>
        {ablated.map((one) => (
          <AblatedHead key={`${one[0]} ${one[1]}`} store={store} one={one} />
        ))}
      </ul>
      {change?.change != null && <Numbers store={store} change={change.change} />}
      {change !== null && change.note !== "" && <p class="xw-note">{change.note}</p>}
      <button
        type="button"
        class="xw-button"
        disabled={lost !== null}
        onClick={(event) => store.move({ ablated: [] }, event)}
      >
        Put all back
      </button>
    </section>
  );
}
