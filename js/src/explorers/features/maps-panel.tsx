import { useMemo } from "preact/hooks";
import { ColourBar } from "../../marks/colour-bar";
import { MapGrid } from "../../marks/map-grid";
import type { MapCells } from "../../marks/map-pixels";
import { short } from "../../marks/numbers";
import type { FeatureStore } from "./store";
import type { Order, Sheet, Show } from "./types";

const SHOWN: Record<Show, string> = {
  activation: "activation",
  gradient: "gradient",
  activation_x_gradient: "act × grad",
  filters: "weight",
};

/** The number under a map, as it is ordered by. */
function scoreText(order: Order, show: Show, score: number | undefined): string {
  if (order === "index" && show === "filters" && score !== undefined) return `‖${short(score)}‖`;
  if (score === undefined || order === "index") return "";
  return order === "zeros" ? `${Math.round(100 * score)} %` : short(score);
}

function mapAt({ pages }: Sheet, place: number): MapCells | null {
  for (const { from, maps, rgb } of pages.values()) {
    const [count = 0, height = 0, width = 0] = maps.shape;
    if (place < from || place >= from + count) continue;
    const area = height * width;
    if (rgb !== null) {
      const data = rgb.data.subarray(3 * (place - from) * area, 3 * (place - from + 1) * area);
      return { data, height, width, coloured: true };
    }
    return { data: maps.data.subarray((place - from) * area, (place - from + 1) * area), height, width };
  }
  return null;
}

/** In the middle: all channels of the layer. */
export function MapsPanel({ store }: { store: FeatureStore }) {
  const { sheet, table, selection, lost } = store.state;
  const places = useMemo(() => {
    const order = sheet?.order ?? [];
    return new Map(Array.from(order, (channel, place) => [channel, place] as const));
  }, [sheet?.order]);
  const drawn = useMemo(
    () => ({ key: sheet?.key, revision: sheet?.revision }),
    [sheet?.key, sheet?.revision],
  );
  if (sheet === null || table === null) {
    return (
      <section class="xw-view" aria-label="Channels">
        <p class="xw-note">Reading the layer…</p>
      </section>
    );
  }
  const { height, width, channels, order, scores, words } = sheet;
  // What the maps were asked for: the controls may have moved on.
  const { layer, show, order: by, scale } = sheet.asked;
  const isUnits = height * width === 1;
  return (
    <section class="xw-view" aria-label="Channels">
      <h3 title={layer.type}>{`${layer.name || "(model)"} · ${words} · zero is white`}</h3>
      <MapGrid
        label={`Channels of ${layer.name || "the model"}`}
        count={channels}
        aspect={isUnits ? null : width / height}
        table={table}
        selection={drawn}
        mapAt={(place) => mapAt(sheet, place)}
        captionAt={(place) => [String(order[place] ?? ""), scoreText(by, show, scores[order[place] ?? 0])]}
        onView={(view) => store.see(view)}
        picked={places.get(selection.channel) ?? null}
        muted={(place) => store.howMuted(layer.name, order[place] ?? -1) !== null}
        disabled={lost !== null}
        onPick={(place, event) => store.pickPlace(place, event)}
      />
      <div class="xw-under">
        <span class="xw-note">{scale === "channel" ? "Each channel to its own largest magnitude." : ""}</span>
        <ColourBar
          table={table}
          range={sheet.range}
          scale="linear"
          label={scale === "channel" ? "share of the channel’s largest" : SHOWN[show]}
          nonfinite={sheet.nonfinite}
        />
      </div>
    </section>
  );
}
