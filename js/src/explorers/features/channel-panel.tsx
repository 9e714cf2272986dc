import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Slider } from "../../controls/slider";
import type { DecodedArray } from "../../kernel/arrays";
import { putPixels } from "../../marks/canvas";
import { type ColourTable, paint } from "../../marks/colour";
import { Histogram } from "../../marks/histogram";
import { MapOverlay } from "../../marks/map-overlay";
import { short } from "../../marks/numbers";
import { Without } from "../shared/change";
import { Maximise } from "./maximise";
import type { FeatureStore } from "./store";
import type { Channel, Position } from "./types";

function Picture({
  store,
  channel,
  pointed,
}: {
  store: FeatureStore;
  channel: Channel;
  pointed: Position | null;
}) {
  const { image, content, table, opacity, lost } = store.state;
  if (table === null) return null;
  const [, height = 1, width = 1] = channel.map.shape;
  const pixels = image !== null && image.sample === content?.sample ? image.pixels : null;
  const onImage = pixels !== null && channel.overlay !== null;
  const [imageHeight = 1, imageWidth = 1] = pixels?.shape ?? [];
  return (
    <>
      <MapOverlay
        image={onImage ? { data: pixels.data, height: imageHeight, width: imageWidth } : null}
        map={{ data: channel.map.data, height, width }}
        size={[channel.height, channel.width]}
        place={channel.overlay}
        table={table}
        opacity={opacity}
        valueAt={(y, x) => store.valueAt(y, x)}
        pointed={pointed}
        label={`Map of ${channel.name}`}
      />
      {onImage && (
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
      <p class="xw-note">{[channel.alignment, channel.reduced].filter(Boolean).join(" · ")}</p>
    </>
  );
}

function Statistics({ channel }: { channel: Channel }) {
  return (
    <dl class="xw-statistics">
      {channel.statistics.map(({ name, text, definition }) => (
        <div key={name} title={definition}>
          <dt>{name}</dt>
          <dd class="xw-number">{text}</dd>
        </div>
      ))}
    </dl>
  );
}

function Strongest({ channel, onPoint }: { channel: Channel; onPoint(position: Position | null): void }) {
  if (channel.height * channel.width < 2) return null;
  return (
    <>
      <h3>Strongest positions</h3>
      <ol class="xw-strongest-positions" onPointerLeave={() => onPoint(null)}>
        {channel.strongest.map((position) => {
          const { y, x, value, box } = position;
          return (
            <li
              key={`${y} ${x}`}
              title={
                box === null
                  ? undefined
                  : `computed from rows ${box[0]}–${box[2] - 1}, columns ${box[1]}–${box[3] - 1} of the input`
              }
              onPointerEnter={() => onPoint(position)}
            >
              <span>{`row ${y}, column ${x}`}</span>
              <span class="xw-number">{short(value)}</span>
            </li>
          );
        })}
      </ol>
    </>
  );
}

/** One of several maps, a canvas pixel a number. */
function OneOf({ maps, place, table }: { maps: DecodedArray<"uint8">; place: number; table: ColourTable }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const [, height = 1, width = 1] = maps.shape;
    const cells = maps.data.subarray(place * height * width, (place + 1) * height * width);
    if (canvas.current === null) return;
    putPixels(canvas.current, [height, width], (pixels) => paint(cells, [height, width], table, pixels));
  }, [maps, place, table]);
  return <canvas ref={canvas} />;
}

/** The same channel for other samples, those that drive it most first. */
function Across({ store }: { store: FeatureStore }) {
  const { across, table, selection, lost } = store.state;
  if (across === null || table === null || across.channel !== selection.channel) return null;
  const { samples, values, titles, maps, of } = across;
  if (samples.length < 2) return null;
  return (
    <>
      <h3>{`Samples that drive it most${of > samples.length ? ` (of the first ${samples.length})` : ""}`}</h3>
      <div class="xw-across">
        {samples.map((sample, place) => (
          <button
            key={sample}
            type="button"
            class={sample === selection.sample ? "xw-picked" : ""}
            disabled={lost !== null}
            title={`${titles[place]} · largest number ${short(values[place] ?? 0)}`}
            aria-label={`Sample ${sample}, ${titles[place]}, largest number ${short(values[place] ?? 0)}`}
            onClick={(event) => store.move({ sample }, event)}
          >
            {maps !== null && <OneOf maps={maps} place={place} table={table} />}
            <span class="xw-number">{sample}</span>
          </button>
        ))}
      </div>
    </>
  );
}

/** The channels that are taken out of the forward, and what that changes in the output. */
function MutedChannels({ store }: { store: FeatureStore }) {
  const { selection, change, lost } = store.state;
  return (
    <Without
      label="Muted channels"
      noun="channel"
      title="The channel becomes zero, or its mean over samples and positions"
      items={selection.muted.map(([layer, channel, how]) => ({
        text: `${layer || "(model)"} · channel ${channel}`,
        name: `${layer || "(model)"}, channel ${channel}`,
        how,
        put: (next, event) => store.mute(layer, channel, next, event),
      }))}
      change={change}
      disabled={lost !== null}
      nameOf={(position) => `position ${position}`}
      onRelease={(event) => store.move({ muted: [] }, event)}
    />
  );
}

/** On the right: the picked channel closely. */
export function ChannelPanel({ store }: { store: FeatureStore }) {
  const { channel, sheet } = store.state;
  const [pointed, setPointed] = useState<Position | null>(null);
  if (channel === null) return <section class="xw-reading" aria-label="Channel" />;
  const numbers = channel.height * channel.width;
  const bare = channel.name.charAt(0).toUpperCase() + channel.name.slice(1);
  return (
    <section class="xw-reading" aria-label="Channel">
      <MutedChannels store={store} />
      <h3>{channel.overlay === null ? bare : `${bare} on the input`}</h3>
      {numbers > 1 && <Picture store={store} channel={channel} pointed={pointed} />}
      {numbers > 1 && (
        <>
          <h3>Values</h3>
          <Histogram edges={channel.edges} counts={channel.counts} unit="numbers" />
        </>
      )}
      <Statistics channel={channel} />
      <Strongest channel={channel} onPoint={setPointed} />
      {sheet !== null && <Across store={store} />}
      <Maximise store={store} />
    </section>
  );
}
