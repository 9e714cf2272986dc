import { useCallback } from "preact/hooks";
import { whole } from "../../marks/numbers";
import { type Lone, type Side, TokenLines } from "../../marks/token-lines";
import { length } from "../../marks/viewport";
import { isReduced, LINES, linesWindow } from "./selection";
import type { AttentionStore } from "./store";
import type { Picture } from "./types";

const directionOf = (side: Side) => (side === "query" ? "from" : "to");

interface LinesPanelProps {
  store: AttentionStore;
  picture: Picture;
}

/** Turns the pages of a text that is longer than the window of the lines. */
function Pages({ store, picture }: LinesPanelProps) {
  const { page, lost } = store.state;
  const { rows, columns } = picture.layer;
  const longest = Math.max(length(rows), length(columns));
  if (longest <= LINES) return null;
  const last = longest - LINES;
  const shown = linesWindow(picture.layer, page);
  const turn = (to: number) => (event: Event) => store.show({ page: Math.max(0, Math.min(last, to)) }, event);
  return (
    <div class="xw-pages">
      <button
        type="button"
        class="xw-button"
        disabled={lost !== null || page === 0}
        onClick={turn(page - LINES)}
      >
        Earlier
      </button>
      <span class="xw-note">
        {`queries ${shown.rows[0]}–${shown.rows[1] - 1}, keys ${shown.keys[0]}–${shown.keys[1] - 1} of ${whole(longest)}`}
      </span>
      <button
        type="button"
        class="xw-button"
        disabled={lost !== null || page >= last}
        onClick={turn(page + LINES)}
      >
        Later
      </button>
    </div>
  );
}

export function LinesPanel({ store, picture }: LinesPanelProps) {
  const { page, lost } = store.state;
  const { matrix, rows, keys, layer, queryTokens, keyTokens, selection } = picture;
  const shown = linesWindow(layer, page);
  const readLone = useCallback(
    ({ side, position }: Lone) => store.read(directionOf(side), position),
    // Another picture has other weights.
    [store, selection],
  );
  const pick = ({ side, position }: Lone, event: Event) => {
    store.look(directionOf(side));
    store.move({ query: position }, event);
  };
  // Reduced cells stand for several tokens, those of a comparison are not in a range of their own: lines wait.
  const waits = isReduced(picture) || picture.compared !== null;
  const cells = waits ? new Uint8Array(0) : matrix.data;
  return (
    <>
      <Pages store={store} picture={picture} />
      <div class="xw-lines-scroll">
        <TokenLines
          strengths={{ cells, rows: cells.length > 0 ? rows : [0, 0], keys }}
          queryTokens={queryTokens}
          keyTokens={keyTokens}
          rows={shown.rows}
          keys={shown.keys}
          scale={selection.scale}
          weightsOf={({ side, position }) => store.exact(directionOf(side), position)}
          onLone={readLone}
          onPick={pick}
          disabled={lost !== null}
        />
      </div>
    </>
  );
}
