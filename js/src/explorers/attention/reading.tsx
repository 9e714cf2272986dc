import { Segmented } from "../../controls/segmented";
import { short, whole } from "../../marks/numbers";
import { TokenText } from "../../marks/token-text";
import { excerpt, named, shown, strongest, tip } from "../../marks/tokens";
import { length } from "../../marks/viewport";
import type { AttentionStore } from "./store";
import type { Direction, Picture } from "./types";

const DIRECTIONS = [
  ["from", "looks at"],
  ["to", "is looked at by"],
] as const satisfies [Direction, string][];

/** Tokens shown at once: more are read in parts. */
const EXCERPT = 400;
const STRONGEST = 5;

/** The weights of the query (or key) of a picture, and what they lie on. */
export function sideOf(picture: Picture, direction: Direction) {
  const { layer, queryTokens, keyTokens } = picture;
  return direction === "from"
    ? { weights: picture.from, own: queryTokens, others: keyTokens, span: layer.columns, role: "query" }
    : { weights: picture.to, own: keyTokens, others: queryTokens, span: layer.rows, role: "key" };
}

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
  return (
    <>
      <h3>{direction === "from" ? "Strongest keys" : "Strongest queries"}</h3>
      <ol class="xw-strongest">
        {ranked.map(({ position, value }) => (
          <li key={position} title={tip(others, position)}>
            <span class="xw-strongest-name">
              {others !== null && <b>{shown(others, position)}</b>} <small>{position}</small>
            </span>
            <span class="xw-track">
              <i style={{ width: `${largest > 0 ? (100 * value) / largest : 0}%` }} />
            </span>
            <span class="xw-number">{short(value)}</span>
          </li>
        ))}
      </ol>
    </>
  );
}

interface ColouredTextProps {
  store: AttentionStore;
  picture: Picture;
  numbered?: boolean;
}

/** The text of one side, coloured by the weights of the picked token. */
export function ColouredText({ store, picture, numbered = false }: ColouredTextProps) {
  const { direction, lost } = store.state;
  const { weights, others, own, span } = sideOf(picture, direction);
  const { query, scale } = picture.selection;
  const part = excerpt(span, query, EXCERPT);
  return (
    <>
      <TokenText
        label={direction === "from" ? "Keys" : "Queries"}
        tokens={others}
        span={part}
        weights={weights}
        scale={scale}
        picked={own === others ? query : null}
        numbered={numbered}
        disabled={lost !== null}
        onPick={(position, event) => store.move({ query: position }, event)}
      />
      {length(part) < length(span) && (
        <p class="xw-note">{`positions ${part[0]}–${part[1] - 1} of ${whole(length(span))}`}</p>
      )}
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
        <ColouredText store={store} picture={picture} />
      </div>
      <Strongest picture={picture} direction={direction} />
    </section>
  );
}
