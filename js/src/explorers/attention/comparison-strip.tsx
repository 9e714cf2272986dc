import { Check } from "../../controls/check";
import { Picker } from "../../controls/picker";
import { Segmented } from "../../controls/segmented";
import { Slider } from "../../controls/slider";
import { contentOf, otherOf, pinned, swapped } from "./comparison";
import { headName } from "./overview";
import type { AttentionStore } from "./store";
import type { Compared, Comparison, Head, Other, SampleContent, Selection } from "./types";

const COMPARISONS = [
  ["side", "Side by side"],
  ["difference", "Difference"],
] as const satisfies [Comparison, string][];
const MODELS = [
  ["0", "this model"],
  ["1", "other model"],
] as const;

interface Place {
  sample: number;
  layer: number;
  head: Head;
}

function placeName({ sample, layer, head }: Place, content: SampleContent | null): string {
  const title = content?.sample === sample ? content.title : `sample ${sample}`;
  return `layer ${layer} · ${headName(head)} · ${title}`;
}

/** Keeps what is shown as B: from then on the controls move A. */
export function CompareButton({ store, disabled }: { store: AttentionStore; disabled: boolean }) {
  const { selection } = store.state;
  const isOn = selection.compared !== null;
  const compare = (event: Event) =>
    store.move(
      isOn ? { compared: null } : { compared: pinned(selection, store.hasOther), view: "matrix" },
      event,
    );
  return (
    <button
      type="button"
      class="xw-button"
      aria-pressed={isOn}
      disabled={disabled}
      title="Keep what is shown as B, and compare it with what is picked from now on"
      onClick={compare}
    >
      Compare
    </button>
  );
}

/** Side by side or as a difference, and the colours of that. */
export function ComparisonSwitch({ store }: { store: AttentionStore }) {
  const { selection, lost } = store.state;
  const { comparison, difference_colormap } = selection;
  const disabled = lost !== null;
  return (
    <>
      <Segmented
        label="Comparison"
        value={comparison}
        options={COMPARISONS}
        disabled={disabled}
        onPick={(next, event) => store.move({ comparison: next }, event)}
      />
      {comparison === "difference" && (
        <Picker
          label="Colours of the difference"
          value={difference_colormap}
          options={store.differenceColormaps.map((name) => [name, name] as const)}
          disabled={disabled}
          onPick={(name, event) => store.move({ difference_colormap: name }, event)}
        />
      )}
    </>
  );
}

/** The same place in the other model, wherever that is. */
const FOLLOWING = { sample: null, layer: null, head: null, model: 1 };

interface OtherProps {
  store: AttentionStore;
  other: Other;
  compared: Compared;
}

/** Where B is: its own controls, and what of it follows A. */
function OtherControls({ store, other, compared }: OtherProps) {
  const { content, other: read, lost } = store.state;
  const { layers = [] } = contentOf(other, read) ?? content ?? {};
  const { sample, layer, head, model } = other;
  const [ownSample, ownLayer, ownHead] = compared;
  const disabled = lost !== null;
  const set = (changes: Partial<Record<keyof Other, Head | null>>, event: Event) => {
    const next = { sample: ownSample, layer: ownLayer, head: ownHead, model, ...changes };
    store.move({ compared: [next.sample, next.layer, next.head, next.model] as Compared }, event);
  };
  const slider = (name: keyof Other, label: string, value: Head, count: number) => (
    <Slider
      label={label}
      name={`B: ${name}`}
      value={typeof value === "number" ? value : 0}
      count={count}
      shown={String(value)}
      spoken={String(value)}
      disabled={disabled}
      onMove={(next, event) => set({ [name]: next }, event)}
    />
  );
  const follow = (what: string, isSame: boolean, own: Partial<Other>) => (
    <Check
      label={isSame ? `same ${what}` : "same"}
      name={`B: same ${what}`}
      checked={isSame}
      disabled={disabled}
      onToggle={(same, event) => {
        const none = Object.fromEntries(Object.keys(own).map((name) => [name, null]));
        set(same ? none : own, event);
      }}
    />
  );
  return (
    <>
      {store.hasOther && (
        <Picker
          label="B: model"
          value={String(model)}
          options={MODELS}
          disabled={disabled}
          onPick={(picked, event) => set(picked === "1" ? FOLLOWING : { ...other, model: 0 }, event)}
        />
      )}
      {ownLayer !== null && slider("layer", "Layer", layer, layers.length)}
      {ownHead !== null && slider("head", "Head", head, layers[layer]?.heads ?? 1)}
      {model === 1 && follow("head", ownLayer === null, { layer, head })}
      {ownSample !== null && slider("sample", "Sample", sample, store.sampleCount)}
      {store.sampleCount > 1 && follow("sample", ownSample === null, { sample })}
    </>
  );
}

/** What is compared with what. */
export function ComparisonStrip({ store }: { store: AttentionStore }) {
  const { selection, content, other: read, lost } = store.state;
  const { compared, view } = selection;
  const other = otherOf(selection);
  if (other === null || compared === null) return null;
  const isSamePlace = (["sample", "layer", "head"] as const).every((name) => other[name] === selection[name]);
  const button = (text: string, title: string, changes: Partial<Selection>, disabled = false) => (
    <button
      type="button"
      class="xw-button"
      title={title}
      disabled={disabled || lost !== null}
      onClick={(event) => store.move(changes, event)}
    >
      {text}
    </button>
  );
  return (
    <div class="xw-compare" role="group" aria-label="Comparison">
      <div>
        <span class="xw-place">
          <b>A</b>: {placeName(selection, content)}
        </span>
        {view !== "matrix" && <span class="xw-note">shown alone; Matrix compares</span>}
        {button("Swap", "A where B is, and B where A is", swapped(selection), isSamePlace)}
        {button("Close", "End the comparison", { compared: null })}
      </div>
      <div>
        <span class="xw-place">
          <b>B</b>: {placeName(other, contentOf(other, read))}
        </span>
        <OtherControls store={store} other={other} compared={compared} />
      </div>
    </div>
  );
}
