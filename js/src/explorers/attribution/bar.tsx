import { Picker } from "../../controls/picker";
import { Segmented } from "../../controls/segmented";
import { shown } from "../../marks/tokens";
import { ColourPicker, SampleSlider } from "../shared/controls";
import { MethodOptions } from "./options";
import type { AttributionStore } from "./store";
import { MethodPicker, TargetPicker } from "./target";
import type { Channels, Sign, Units } from "./types";

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

const UNITS = [
  ["tokens", "tokens"],
  ["words", "words"],
  ["sentences", "sentences"],
] as const satisfies [Units, string][];

/** Of outputs with scores for each position: which one is explained. */
function OutputPosition({ store }: { store: AttributionStore }) {
  const { content, selection, lost } = store.state;
  if (content === null || content.positions < 2) return null;
  const { positions, tokens } = content;
  const all = Array.from({ length: positions }, (_, position) => [
    String(position),
    tokens.length === positions ? `${position} · ${shown(tokens, position)}` : String(position),
  ]);
  return (
    <Picker
      label="Output at"
      labelled
      value={selection.position === null ? "" : String(selection.position)}
      options={[["", "the last position"], ...(all as [string, string][])]}
      disabled={lost !== null}
      onPick={(value, event) => store.move({ position: value === "" ? null : Number(value) }, event)}
    />
  );
}

/** How the numbers of an attribution become a picture. */
function Handling({ store }: { store: AttributionStore }) {
  const { selection, lost } = store.state;
  const { channels, sign, clip, units } = selection;
  const disabled = lost !== null;
  const isText = store.state.shown[0]?.form === "text";
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
      {isText && (
        <Picker
          label="Sum by"
          labelled
          value={units}
          options={UNITS}
          disabled={disabled}
          onPick={(value, event) => store.move({ units: value as Units }, event)}
        />
      )}
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
  const { layer, show, other, method, target } = selection;
  const disabled = lost !== null || content === null;
  const layers = content?.layers ?? [];
  const takesLayer = [method, other?.method ?? ""].some((name) => store.methodNamed(name)?.takes_layer);
  return (
    <>
      <SampleSlider store={store} />
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
      <OutputPosition store={store} />
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
          <ColourPicker store={store} />
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
