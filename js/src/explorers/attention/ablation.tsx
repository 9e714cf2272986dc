import { named } from "../../marks/tokens";
import { Without } from "../shared/change";
import type { AttentionStore } from "./store";

/** The heads that are taken out of the forward, and what that changes in the output. */
export function Ablation({ store }: { store: AttentionStore }) {
  const { selection, change, lost, picture } = store.state;
  return (
    <Without
      label="Ablated heads"
      noun="head"
      title="What the head returns becomes zero, or its mean over the positions"
      items={selection.ablated.map(([layer, head, how]) => ({
        text: `Layer ${layer} · head ${head}`,
        name: `layer ${layer}, head ${head}`,
        how,
        put: (next, event) => store.ablate(layer, head, next, event),
      }))}
      change={change}
      disabled={lost !== null}
      nameOf={(position) => named(picture?.queryTokens ?? null, position)}
      onRelease={(event) => store.move({ ablated: [] }, event)}
    />
  );
}
