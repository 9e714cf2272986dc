import { Picker } from "../../controls/picker";
import { Segmented } from "../../controls/segmented";
import { Slider } from "../../controls/slider";
import { ClassPicker, ColourPicker, SampleSlider } from "../shared/controls";
import { type FeatureStore, layoutsOf } from "./store";
import type { Layer, MapScale, Order, Show } from "./types";

const SHOWN = [
  ["activation", "Activation"],
  ["gradient", "Gradient"],
  ["activation_x_gradient", "Act × grad"],
  ["filters", "Filters"],
] as const satisfies [Show, string][];
const ORDERS = [
  ["index", "index"],
  ["maximum", "maximum"],
  ["mean", "mean"],
  ["zeros", "share of zeros"],
  ["variance", "variance over samples"],
  ["activation_x_gradient", "act × grad"],
] as const satisfies [Order, string][];
const SCALES = [
  ["layer", "Layer"],
  ["channel", "Channel"],
] as const satisfies [MapScale, string][];

const layerText = ({ name, size }: Layer) => `${name || "(model)"} · ${size}`;

/** What is differentiated. */
function Target({ store }: { store: FeatureStore }) {
  const { content, selection, lost } = store.state;
  if (content === null || content.classes.length === 0) return null;
  return (
    <ClassPicker
      value={selection.target}
      predicted={content.predicted}
      classes={content.classes}
      disabled={lost !== null}
      onPick={(target, event) => store.move({ target }, event)}
    />
  );
}

/** Of layers that return several tensors, or that can be laid out in several ways: which. */
function Parts({ store }: { store: FeatureStore }) {
  const { selection, sheet, lost } = store.state;
  const { layer } = store;
  const disabled = lost !== null;
  const layouts = layer === null ? [] : layoutsOf(layer, selection);
  return (
    <>
      {layer !== null && layer.entries.length > 1 && (
        <Picker
          label="Entry"
          labelled
          value={selection.entry || layer.entry}
          options={layer.entries.map((name) => [name, name])}
          disabled={disabled}
          onPick={(entry, event) => store.move({ entry, map_layout: "", slice: 0 }, event)}
        />
      )}
      {layouts.length > 1 && selection.show !== "filters" && (
        <Picker
          label="Layout"
          labelled
          value={layouts.some(({ name }) => name === selection.map_layout) ? selection.map_layout : ""}
          options={layouts.map(({ name, words }) => [name, words])}
          disabled={disabled}
          onPick={(map_layout, event) => store.move({ map_layout, slice: 0 }, event)}
        />
      )}
      {sheet !== null && sheet.slices > 1 && (
        <Slider
          label={selection.show === "filters" ? "Input" : "Slice"}
          value={selection.slice}
          count={sheet.slices}
          disabled={disabled}
          onMove={(slice, event) => store.move({ slice }, event)}
        />
      )}
    </>
  );
}

/** All controls, in one bar on top. */
export function Bar({ store }: { store: FeatureStore }) {
  const { selection, content, lost } = store.state;
  const { layer, show, order, scale, channel } = selection;
  const disabled = lost !== null || content === null;
  const layers = content?.layers ?? [];
  const name = store.layer?.name;
  const isMuted = name !== undefined && store.howMuted(name, channel) !== null;
  return (
    <>
      <SampleSlider store={store} />
      <Picker
        label="Layer"
        labelled
        value={String(layer)}
        options={layers.map((one, index) => [String(index), layerText(one)])}
        disabled={disabled}
        onPick={(value, event) => store.pickLayer(Number(value), event)}
      />
      <Segmented
        label="Show"
        labelled
        value={show}
        options={SHOWN}
        disabled={disabled}
        onPick={(value, event) => store.move({ show: value }, event)}
      />
      {(show === "gradient" || show === "activation_x_gradient" || order === "activation_x_gradient") && (
        <Target store={store} />
      )}
      <Picker
        label="Order"
        labelled
        value={order}
        options={ORDERS}
        disabled={disabled}
        onPick={(value, event) => store.move({ order: value as Order }, event)}
      />
      <Segmented
        label="Scale by"
        labelled
        value={scale}
        options={SCALES}
        disabled={disabled}
        onPick={(value, event) => store.move({ scale: value }, event)}
      />
      <Parts store={store} />
      <ColourPicker store={store} />
      <button
        type="button"
        class="xw-button"
        aria-pressed={isMuted}
        disabled={disabled}
        title="Run the model without this channel; the model itself stays as it is"
        onClick={(event) => store.mutePicked(event)}
      >
        {isMuted ? "Put channel back" : "Mute channel"}
      </button>
    </>
  );
}
