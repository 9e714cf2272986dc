import { named } from "../../marks/tokens";
import { ChangeNumbers, HOWS, type How } from "../shared/change";
import type { AttentionStore } from "./store";
import type { Ablated } from "./types";

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

/** The heads that are taken out of the forward, and what that changes in the output. */
export function Ablation({ store }: { store: AttentionStore }) {
  const { selection, change, lost, picture } = store.state;
  const nameOf = (position: number) => named(picture?.queryTokens ?? null, position);
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
      {change?.change != null && <ChangeNumbers change={change.change} nameOf={nameOf} />}
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
