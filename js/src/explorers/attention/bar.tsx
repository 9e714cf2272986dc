import { useState } from "preact/hooks";
import { Check } from "../../controls/check";
import { Picker } from "../../controls/picker";
import { Segmented } from "../../controls/segmented";
import { Slider } from "../../controls/slider";
import { TextBox } from "../../controls/text-box";
import type { Scale } from "../../marks/colour";
import { ClassPicker, ColourPicker, SampleSlider } from "../shared/controls";
import { CompareButton } from "./comparison-strip";
import { howAblated } from "./selection";
import type { AttentionStore } from "./store";
import type { Head, Layer, Measure, Units, View } from "./types";

const HEADS = [
  ["one", "one head"],
  ["mean", "mean"],
  ["max", "max"],
] as const;
const VIEWS = [
  ["matrix", "Matrix"],
  ["lines", "Lines"],
  ["text", "Text"],
  ["table", "Table"],
] as const satisfies [View, string][];
const SCALES = [
  ["linear", "Linear"],
  ["log", "Log"],
  ["row", "Row"],
] as const satisfies [Scale, string][];

const hidesPadding = ({ queries, keys, rows, columns }: Layer) =>
  rows[1] - rows[0] < queries || columns[1] - columns[0] < keys;

interface BarProps {
  store: AttentionStore;
  /** The head that was picked last, for the way back from mean and max. */
  lastHead: number;
}

function Position({ store, lastHead }: BarProps) {
  const { selection, content, lost } = store.state;
  const { layer, head } = selection;
  const disabled = lost !== null || content === null;
  const layers = content?.layers ?? [];
  const current = layers[layer];
  const combine = (choice: string, event: Event) =>
    store.move({ head: choice === "one" ? lastHead : (choice as Head) }, event);
  return (
    <>
      <SampleSlider store={store} />
      <Slider
        label="Layer"
        value={layer}
        count={layers.length}
        spoken={`${layer}, ${current?.name ?? ""}`}
        disabled={disabled}
        onMove={(value, event) => store.move({ layer: value }, event)}
      />
      <Slider
        label="Head"
        value={typeof head === "number" ? head : lastHead}
        count={current?.heads ?? 1}
        shown={String(head)}
        spoken={String(head)}
        disabled={disabled}
        onMove={(value, event) => store.move({ head: value }, event)}
      />
      <Picker
        label="Heads combined"
        value={typeof head === "number" ? "one" : head}
        options={HEADS}
        disabled={disabled}
        onPick={combine}
      />
    </>
  );
}

/** Finds a token and jumps to it; Enter again for the next. */
function Search({ store }: { store: AttentionStore }) {
  const [found, setFound] = useState("");
  const find = (text: string, event: Event) => {
    const place = store.find(text, event);
    setFound(place === null ? "not found" : `${place.number + 1} of ${place.count}`);
  };
  return (
    <>
      <TextBox label="Find token" action="Next" keep disabled={store.state.lost !== null} onEnter={find} />
      <span class="xw-note xw-found" role="status">
        {found}
      </span>
    </>
  );
}

const MEASURES = [
  ["weights", "weights"],
  ["value-weighted", "α‖v‖"],
  ["gradient", "gradient × attention"],
] as const satisfies [Measure, string][];
const UNITS = [
  ["tokens", "tokens"],
  ["words", "words"],
  ["sentences", "sentences"],
] as const satisfies [Units, string][];

/** What the gradient is of: the predicted class, or any other. */
function Target({ store }: { store: AttentionStore }) {
  const { classes, selection, lost } = store.state;
  const { target, sample } = selection;
  const found = classes?.sample === sample ? classes : null;
  if (target === null && (found === null || found.classes.length === 0)) return null;
  return (
    <ClassPicker
      value={target}
      predicted={found?.predicted}
      classes={found?.classes ?? []}
      disabled={lost !== null}
      onPick={(value, event) => store.move({ target: value }, event)}
    />
  );
}

/** Through what the weights are looked at. */
function LensControls({ store }: { store: AttentionStore }) {
  const { selection, content, lost } = store.state;
  const { measure, units, hide_sinks, ablated, layer, head } = selection;
  const disabled = lost !== null || content === null;
  const hasTokens = content?.layers[layer]?.key_tokens != null;
  const isAblated = howAblated(ablated, layer, head) !== null;
  return (
    <>
      <Picker
        label="Show"
        labelled
        value={measure}
        options={MEASURES}
        disabled={disabled}
        onPick={(value, event) => store.move({ measure: value as Measure }, event)}
      />
      {measure === "gradient" && <Target store={store} />}
      {hasTokens && (
        <Picker
          label="By"
          labelled
          value={units}
          options={UNITS}
          disabled={disabled}
          onPick={(value, event) => store.move({ units: value as Units }, event)}
        />
      )}
      {hasTokens && (
        <Check
          label="Hide sinks"
          checked={hide_sinks}
          disabled={disabled}
          onToggle={(checked, event) => store.move({ hide_sinks: checked }, event)}
        />
      )}
      <button
        type="button"
        class="xw-button"
        aria-pressed={isAblated}
        disabled={disabled || typeof head !== "number" || content?.layers[layer]?.is_derived === true}
        title="Run the model without this head; the model itself stays as it is"
        onClick={(event) => store.ablatePicked(event)}
      >
        {isAblated ? "Put head back" : "Ablate head"}
      </button>
    </>
  );
}

/** All controls, in one bar on top. */
export function Bar({ store, lastHead }: BarProps) {
  const { selection, content, lost } = store.state;
  const { view, scale, padding } = selection;
  const disabled = lost !== null || content === null;
  const hasTokens = content?.layers[selection.layer]?.query_tokens != null;
  const paddingMatters = padding || (content?.layers.some(hidesPadding) ?? false);
  return (
    <>
      <Position store={store} lastHead={lastHead} />
      <Segmented
        label="View"
        value={view}
        options={VIEWS}
        disabled={disabled}
        onPick={(value, event) => store.move({ view: value }, event)}
      />
      <Segmented
        label="Scale"
        labelled
        value={scale}
        options={SCALES}
        disabled={disabled}
        onPick={(value, event) => store.move({ scale: value }, event)}
      />
      <ColourPicker store={store} />
      {paddingMatters && (
        <Check
          label="Show padding"
          checked={padding}
          disabled={disabled}
          onToggle={(checked, event) => store.move({ padding: checked }, event)}
        />
      )}
      <LensControls store={store} />
      <CompareButton store={store} disabled={disabled} />
      {hasTokens && <Search store={store} />}
      {store.canAppend && (
        <TextBox
          label="New sentence"
          action="Add"
          disabled={lost !== null}
          onEnter={(text, event) => store.append(text, event)}
        />
      )}
    </>
  );
}
