import { Segmented } from "../../controls/segmented";
import { digits, short } from "../../marks/numbers";
import { named, shown, strongest, tip } from "../../marks/tokens";
import { Ablation } from "./ablation";
import { Differences } from "./differences";
import { sideOf } from "./selection";
import { Side } from "./sides";
import type { AttentionStore } from "./store";
import type { Direction, Picture } from "./types";

const DIRECTIONS = [
  ["from", "looks at"],
  ["to", "is looked at by"],
] as const satisfies [Direction, string][];

const STRONGEST = 5;

export function DirectionSwitch({ store }: { store: AttentionStore }) {
  return (
    <Segmented
      label="Direction"
      value={store.state.direction}
      options={DIRECTIONS}
      disabled={store.state.lost !== null}
      onPick={(direction) => store.look(direction)}
    />
  );
}

export function readingTitle(picture: Picture, direction: Direction): string {
  const { query } = picture.selection;
  if (query === null) return "No token picked";
  const { own, role } = sideOf(picture, direction);
  const text = own?.[query] === undefined ? "" : `“${shown(own, query)}” `;
  return `${direction === "from" ? "From" : "To"} ${text}(${role} ${query})`;
}

function Strongest({ picture, direction }: { picture: Picture; direction: Direction }) {
  const { weights, others, span } = sideOf(picture, direction);
  if (weights === null) return null;
  const ranked = strongest(weights, span, STRONGEST);
  const largest = ranked[0]?.value ?? 0;
  // Three decimals would say little of gradients, which are small.
  const text = largest < 0.01 ? digits : short;
  return (
    <>
      <h3>{`Strongest ${direction === "from" ? "keys" : "queries"}${picture.compared === null ? "" : " of A"}`}</h3>
      <ol class="xw-strongest">
        {ranked.map(({ position, value }) => (
          <li key={position} title={tip(others, position)}>
            <span class="xw-strongest-name">
              {others !== null && <b>{shown(others, position)}</b>} <small>{position}</small>
            </span>
            <span class="xw-track">
              <i style={{ width: `${largest > 0 ? (100 * value) / largest : 0}%` }} />
            </span>
            <span class="xw-number">{text(value)}</span>
          </li>
        ))}
      </ol>
    </>
  );
}

interface SidesProps {
  store: AttentionStore;
  picture: Picture;
  numbered?: boolean;
}

/** What the picked position looks at, coloured; and where the other side is another, that to pick from. */
export function Sides({ store, picture, numbered = false }: SidesProps) {
  const { own, others, role } = sideOf(picture, store.state.direction);
  const other = role === "query" ? "key" : "query";
  return (
    <>
      {own !== others && <Side store={store} picture={picture} side={role} coloured={false} />}
      <Side store={store} picture={picture} side={other} coloured numbered={numbered} />
    </>
  );
}

/** On the right: where the picked token looks, or what looks at it. */
export function Reading({ store }: { store: AttentionStore }) {
  const { picture, direction } = store.state;
  if (picture === null) return <section class="xw-reading" aria-label="Reading" />;
  const { query } = picture.selection;
  const { weights, own, role } = sideOf(picture, direction);
  return (
    <section class="xw-reading" aria-label="Reading">
      <h3>{readingTitle(picture, direction)}</h3>
      <DirectionSwitch store={store} />
      {query === null && <p class="xw-note">Click a row of the matrix or a token to read its weights.</p>}
      {query !== null && weights === null && (
        <p class="xw-note">
          {picture.partial ? "Being read…" : `${named(own, query)} is no ${role} of this layer.`}
        </p>
      )}
      <div class="xw-reading-text">
        <Sides store={store} picture={picture} />
      </div>
      <Strongest picture={picture} direction={direction} />
      <Differences store={store} picture={picture} />
      <Ablation store={store} />
    </section>
  );
}
