import { Slider } from "../../controls/slider";
import { type Bar, Bars } from "../../marks/bars";
import { ColourBar } from "../../marks/colour-bar";
import { MapOverlay } from "../../marks/map-overlay";
import { ScoreText } from "../../marks/score-text";
import type { AttributionStore } from "./store";
import { MethodPicker, TargetPicker } from "./target";
import type { Other, Shown } from "./types";

/** More names than this are no list to read: the largest are shown. */
const MOST_BARS = 200;

function MapOf({ store, shown }: { store: AttributionStore; shown: Shown }) {
  const { image, table, opacity } = store.state;
  const { map, height, width, values, overlay, sample, title } = shown;
  if (map === null || table === null) return null;
  const pixels = image !== null && image.sample === sample && overlay !== null ? image.pixels : null;
  const [imageHeight = 1, imageWidth = 1] = pixels?.shape ?? [];
  const [drawnHeight = 1, drawnWidth = 1] = map.shape;
  return (
    <MapOverlay
      image={pixels === null ? null : { data: pixels.data, height: imageHeight, width: imageWidth }}
      map={{ data: map.data, height: drawnHeight, width: drawnWidth }}
      size={[height, width]}
      place={overlay}
      table={table}
      opacity={opacity}
      valueAt={(y, x) => values[y * width + x] ?? null}
      pointed={null}
      label={`Attribution map: ${title}`}
    />
  );
}

/** The largest first, as users read tables of importances. */
export function sortedBars(names: string[], values: Float32Array): Bar[] {
  const bars = Array.from(values, (value, index) => ({ name: names[index] ?? String(index), value }));
  const size = ({ value }: Bar) => (Number.isFinite(value) ? Math.abs(value) : Number.POSITIVE_INFINITY);
  return bars.sort((a, b) => size(b) - size(a));
}

function Attribution({ store, shown }: { store: AttributionStore; shown: Shown }) {
  const { table } = store.state;
  const { form, tokens, names, values, limit, title } = shown;
  if (form === "map") return <MapOf store={store} shown={shown} />;
  if (table === null) return null;
  if (form === "text") {
    return <ScoreText label={title} tokens={tokens} scores={values} limit={limit} table={table} />;
  }
  const bars = sortedBars(names, values);
  return (
    <>
      <Bars label={title} bars={bars.slice(0, MOST_BARS)} />
      {bars.length > MOST_BARS && (
        <p class="xw-note">{`the largest ${MOST_BARS} of ${bars.length.toLocaleString("en")}`}</p>
      )}
    </>
  );
}

function Progress({ store, shown }: { store: AttributionStore; shown: Shown }) {
  if (!shown.partial) return null;
  return (
    <div class="xw-progress">
      <progress value={shown.step} max={shown.steps} aria-label={`Steps of ${shown.title}`} />
      <span class="xw-note xw-number">{`step ${shown.step} of ${shown.steps}`}</span>
      <button type="button" class="xw-button" onClick={() => store.stop()}>
        Stop
      </button>
    </div>
  );
}

function Side({ store, shown, name }: { store: AttributionStore; shown: Shown; name: string }) {
  const { table } = store.state;
  return (
    <div class="xw-side" role="group" aria-label={name}>
      <h3>{shown.title}</h3>
      <Progress store={store} shown={shown} />
      <div class="xw-attribution">
        <Attribution store={store} shown={shown} />
      </div>
      <div class="xw-under">
        <span class="xw-note">{shown.note}</span>
        {table !== null && shown.form !== "bars" && (
          <ColourBar
            table={table}
            range={[-shown.limit, shown.limit]}
            scale="linear"
            label={shown.words}
            nonfinite={shown.map?.nonfinite ?? 0}
          />
        )}
      </div>
    </div>
  );
}

/** What the other side shows: of the same sample, by another method or for another target. */
function OtherControls({ store, other }: { store: AttributionStore; other: Other }) {
  const cost = store.state.costs[1];
  return (
    <div class="xw-other">
      <MethodPicker
        store={store}
        label="B: method"
        value={other.method}
        onPick={(method, event) => store.compare({ ...other, method }, event)}
      />
      <TargetPicker
        store={store}
        label="B: target"
        value={other.target}
        onPick={(target, event) => store.compare({ ...other, target }, event)}
      />
      {cost !== null && <span class="xw-note xw-number">{cost}</span>}
    </div>
  );
}

/** In the middle: the attribution, or two of them side by side. */
export function PicturePanel({ store }: { store: AttributionStore }) {
  const { shown, selection, lost, opacity } = store.state;
  const [mine, theirs] = shown;
  const { other } = selection;
  const hasOverlay = shown.some((one) => one?.form === "map" && one.overlay !== null);
  return (
    <section class="xw-view" aria-label="Attribution">
      {other !== null && <OtherControls store={store} other={other} />}
      <div class={other === null ? "xw-sides-of" : "xw-sides-of xw-two"}>
        {mine === null ? (
          <p class="xw-note">Computing…</p>
        ) : (
          <Side store={store} shown={mine} name="Attribution A" />
        )}
        {other !== null && theirs !== null && <Side store={store} shown={theirs} name="Attribution B" />}
      </div>
      {hasOverlay && (
        <Slider
          label="Overlay"
          value={opacity}
          count={101}
          shown={`${opacity} %`}
          spoken={`${opacity} percent`}
          disabled={lost !== null}
          onMove={(value) => store.cover(value)}
        />
      )}
    </section>
  );
}
