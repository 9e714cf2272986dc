import { TokenText } from "../../marks/token-text";
import { ColouredText, DirectionSwitch, readingTitle, sideOf } from "./reading";
import type { AttentionStore } from "./store";
import type { Picture } from "./types";

/** The text itself: pick a token, and the rest is coloured by where it looks or what looks at it. */
export function TextPanel({ store, picture }: { store: AttentionStore; picture: Picture }) {
  const { direction, lost } = store.state;
  const { layer, selection } = picture;
  const { own, others } = sideOf(picture, direction);
  return (
    <div class="xw-text-view">
      <div class="xw-text-head">
        <span class="xw-note">{readingTitle(picture, direction)}</span>
        <DirectionSwitch store={store} />
      </div>
      {own !== others && (
        <TokenText
          label={direction === "from" ? "Queries" : "Keys"}
          tokens={own}
          span={direction === "from" ? layer.rows : layer.columns}
          weights={null}
          scale={selection.scale}
          picked={selection.query}
          disabled={lost !== null}
          onPick={(query, event) => store.move({ query }, event)}
        />
      )}
      <ColouredText store={store} picture={picture} numbered />
    </div>
  );
}
