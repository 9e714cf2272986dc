import { DirectionSwitch, readingTitle, Sides } from "./reading";
import type { AttentionStore } from "./store";
import type { Picture } from "./types";

/** The text or image itself: pick a part, and the rest is coloured by where it looks or what looks at it. */
export function TextPanel({ store, picture }: { store: AttentionStore; picture: Picture }) {
  return (
    <div class="xw-text-view">
      <div class="xw-text-head">
        <span class="xw-note">{readingTitle(picture, store.state.direction)}</span>
        <DirectionSwitch store={store} />
      </div>
      <Sides store={store} picture={picture} numbered />
    </div>
  );
}
