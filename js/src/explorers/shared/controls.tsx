import { Picker } from "../../controls/picker";
import { Slider } from "../../controls/slider";
import type { ExplorerStore, SharedSelection, SharedState } from "./store";

interface ShownSample {
  content: { sample: number; title: string } | null;
}
type WithSample<S extends SharedSelection> = Pick<
  ExplorerStore<S, SharedState<S> & ShownSample>,
  "sampleCount" | "colormaps"
> & {
  state: SharedState<S> & ShownSample;
  move(changes: Partial<SharedSelection>, event?: Event): void;
};
interface ControlProps<S extends SharedSelection> {
  store: WithSample<S>;
}

/** Which sample is looked at. */
export function SampleSlider<S extends SharedSelection>({ store }: ControlProps<S>) {
  const { content, selection, lost } = store.state;
  const { sample } = selection;
  return (
    <Slider
      label="Sample"
      value={sample}
      count={store.sampleCount}
      spoken={content?.sample === sample ? `${sample}, ${content.title}` : String(sample)}
      disabled={lost !== null || content === null}
      onMove={(value, event) => store.move({ sample: value }, event)}
    />
  );
}

/** By which colour map numbers are coloured. */
export function ColourPicker<S extends SharedSelection>({ store }: ControlProps<S>) {
  const { content, selection, lost } = store.state;
  return (
    <Picker
      label="Colours"
      labelled
      value={selection.colormap}
      options={store.colormaps.map((name) => [name, name])}
      disabled={lost !== null || content === null}
      onPick={(colormap, event) => store.move({ colormap }, event)}
    />
  );
}

interface ClassPickerProps<T extends number | string | null> {
  label?: string;
  value: T;
  predicted: { name: string } | null | undefined;
  classes: readonly string[];
  /** Beside the classes: what else may be differentiated. */
  further?: readonly (readonly [value: string, text: string])[];
  disabled: boolean;
  onPick(value: T, event: Event): void;
}

const CUSTOM = "custom";

/** What is differentiated or explained: the predicted class, another, or a function set in Python. */
export function ClassPicker<T extends number | string | null>(props: ClassPickerProps<T>) {
  const { label = "Target", value, predicted, classes, further = [], disabled, onPick } = props;
  const picked = value === null ? "" : String(value);
  const options: (readonly [string, string])[] = [
    ["", predicted == null ? "predicted" : `predicted: ${predicted.name}`],
    ...classes.map((name, index) => [String(index), name] as const),
    ...further,
  ];
  // A class that is in no menu, or a function that was set in Python.
  if (!options.some(([option]) => option === picked)) {
    const name =
      picked === CUSTOM ? "function set in Python" : /^-?\d+$/.test(picked) ? `class ${picked}` : picked;
    options.push([picked, name]);
  }
  const read = (option: string) =>
    (option === "" ? null : /^-?\d+$/.test(option) ? Number(option) : option) as T;
  return (
    <Picker
      label={label}
      labelled
      value={picked}
      options={options}
      disabled={disabled}
      onPick={(option, event) => onPick(read(option), event)}
    />
  );
}
