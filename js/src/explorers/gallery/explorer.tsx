import { Footer, Frame, useStore } from "../shared/frame";
import { Bar } from "./bar";
import { Cards } from "./grid";
import { isPlain, shownSize, tileSize } from "./selection";
import type { GalleryStore } from "./store";
import type { Page } from "./types";

/** To the page before and after; where the end of the data is not known, further on. */
function Turning({ store, page }: { store: GalleryStore; page: Page }) {
  const { selection, lost } = store.state;
  const isLast = selection.page >= store.pageCount - 1;
  const canRead = page.count === null && !isPlain(selection);
  const button = (name: string, sign: string, by: number, disabled: boolean) => (
    <button
      type="button"
      aria-label={name}
      title={name}
      disabled={lost !== null || disabled}
      onClick={(event) => store.turn(by, event)}
    >
      {sign}
    </button>
  );
  return (
    <span class="xw-zoom">
      {canRead && (
        <button type="button" disabled={lost !== null} onClick={(event) => store.readMore(event)}>
          Read more
        </button>
      )}
      {button("Previous page", "‹", -1, selection.page === 0)}
      {button("Next page", "›", 1, isLast)}
    </span>
  );
}

function View({ store }: { store: GalleryStore }) {
  const { page } = store.state;
  if (page === null) {
    return (
      <section class="xw-view" aria-label="Gallery">
        <p class="xw-note">Reading samples…</p>
      </section>
    );
  }
  return (
    <section class="xw-view" aria-label="Gallery">
      <div class="xw-view-head">
        <h3>{page.heading}</h3>
        <Turning store={store} page={page} />
      </div>
      {page.problem !== "" && <p class="xw-problem">{page.problem}</p>}
      <Cards store={store} page={page} />
    </section>
  );
}

/** How pictures were enlarged, what bars mean. */
function drawn({ cards }: Page, size: number | null): string[] {
  const tile = tileSize(cards, size);
  const pictures = cards.flatMap(({ thumbnail }) => (thumbnail === null ? [] : [thumbnail]));
  const times = [...new Set(pictures.map(({ of }) => shownSize(of, tile).repeated))].filter((n) => n > 1);
  const enlarged = times.length === 1 ? `pixels enlarged ${times[0]}×` : "small ones enlarged by pixel";
  const hasRows = cards.some(({ names }) => names.length > 0);
  return [
    times.length > 0 ? enlarged : "",
    hasRows ? "bars: from the lowest to the highest value on the page" : "",
  ];
}

/** What is still to come, and what stops it. */
function Progress({ store }: { store: GalleryStore }) {
  const { progress, stopped } = store.state;
  if (stopped) {
    return (
      <>
        <span>Stopped: this is what was read.</span>
        <button type="button" class="xw-button" onClick={(event) => store.goOn(event)}>
          Go on
        </button>
      </>
    );
  }
  if (progress === null) return null;
  return (
    <>
      <span>{progress.progress}</span>
      {progress.share !== null && <progress value={progress.share} max={1} aria-label="Done" />}
      <button type="button" class="xw-button" onClick={() => store.stop()}>
        Stop
      </button>
    </>
  );
}

export function Explorer({ store }: { store: GalleryStore }) {
  useStore(store);
  const { page, progress, stopped, selection } = store.state;
  // What is done in a moment is not worth a strip that comes and goes.
  const isUnderWay = stopped || (progress?.share ?? 0) > 0;
  return (
    <Frame
      state={store.state}
      label="Sample gallery"
      bar={<Bar store={store} />}
      status={isUnderWay && <Progress store={store} />}
      footer={page !== null && <Footer said={[page.footer, ...drawn(page, selection.size)]} answer={page} />}
    >
      <View store={store} />
    </Frame>
  );
}
