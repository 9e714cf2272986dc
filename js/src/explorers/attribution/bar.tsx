import { Picker } from "../../controls/picker";
import { Segmented } from "../../controls/segmented";
import { Slider } from "../../controls/slider";
import { MethodOptions } from "./options";
import type { AttributionStore } from "./store";
import { MethodPicker, TargetPicker } from "./target";
import type { Channels, Sign } from "./types";

const SHOWN = [
  ["input", "Input"],
  ["parameters", "Parameters"],
] as const;
const SIGNS = [
  ["all", "signed"],
  ["absolute", "absolute"],
  ["positive", "positive only"],
  ["negative", "negative only"],
] as const satisfies [Sign, string][];
const CHANNELS = [
  ["sum", "sum"],
  ["mean", "mean"],
  ["max", "strongest"],
  ["norm", "length"],
] as const satisfies [Channels, string][];
const CLIPS = ["100", "99.9", "99", "95", "90"];
const MEASURES = [
  ["norm", "Gradient norm"],
  ["weight_x_gradient", "Weight × gradient"],
] as const;

/** How the numbers of an attribution become a picture. */
function Handling({ store }: { store: AttributionStore }) {
  const { selection, lost } = store.state;
  const { channels, sign, clip } = selection;
  const disabled = lost !== null;
  const clips = CLIPS.includes(String(clip)) ? CLIPS : [String(clip), ...CLIPS];
  return (
    <>
      <Picker
        label="Sign"
        labelled
        value={sign}
        options={SIGNS}
        disabled={disabled}
        onPick={(value, event) => store.move({ sign: value as Sign }, event)}
      />
      <Picker
        label="Channels"
        labelled
        value={channels}
        options={CHANNELS}
        disabled={disabled}
        onPick={(value, event) => store.move({ channels: value as Channels }, event)}
      />
      <Picker
        label="Clip at"
        labelled
        value={String(clip)}
        options={clips.map((one) => [one, one === "100" ? "largest" : `${one} %`])}
        disabled={disabled}
        onPick={(value, event) => store.move({ clip: Number(value) }, event)}
      />
    </>
  );
}

/** All controls, in one bar on top. */
export function Bar({ store }: { store: AttributionStore }) {
  const { selection, content, lost } = store.state;
  const { sample, layer, show, colormap, other, method, target } = selection;
  const disabled = lost !== null || content === null;
  const layers = content?.layers ?? [];
  const takesLayer = [method, other?.method ?? ""].some((name) => store.methodNamed(name)?.takes_layer);
  return (
    <>
      <Slider
        label="Sample"
        value={sample}
        count={store.sampleCount}
        spoken={content?.sample === sample ? `${sample}, ${content.title}` : String(sample)}
        disabled={disabled}
        onMove={(value, event) => store.move({ sample: value }, event)}
      />
      <Segmented
        label="Attribute to"
        labelled
        value={show}
        options={SHOWN}
        disabled={disabled}
        onPick={(value, event) => store.move({ show: value }, event)}
      />
      <TargetPicker
        store={store}
        label="Target"
        value={target}
        onPick={(value, event) => store.move({ target: value }, event)}
      />
      {show === "parameters" ? (
        <Segmented
          label="Measure"
          value={selection.parameter_measure}
          options={MEASURES}
          disabled={disabled}
          onPick={(value, event) => store.move({ parameter_measure: value }, event)}
        />
      ) : (
        <>
          <MethodPicker
            store={store}
            label="Method"
            value={method}
            onPick={(value, event) => store.pickMethod(value, event)}
          />
          {takesLayer && (
            <Picker
              label="Layer"
              labelled
              value={String(layer)}
              options={layers.map(({ name, size }, index) => [
                String(index),
                `${name || "(model)"} · ${size}`,
              ])}
              disabled={disabled}
              onPick={(value, event) => store.move({ layer: Number(value) }, event)}
            />
          )}
          <MethodOptions store={store} />
          <Handling store={store} />
          <Picker
            label="Colours"
            labelled
            value={colormap}
            options={store.colormaps.map((one) => [one, one])}
            disabled={disabled}
            onPick={(value, event) => store.move({ colormap: value }, event)}
          />
          <button
            type="button"
            class="xw-button"
            aria-pressed={other !== null}
            disabled={disabled}
            title="Another method or target beside this one"
            onClick={(event) => store.compare(other === null ? { method, target } : null, event)}
          >
            Compare
          </button>
        </>
      )}
    </>
  );
}
