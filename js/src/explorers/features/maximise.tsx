import { useLayoutEffect, useRef } from "preact/hooks";
import { Picker } from "../../controls/picker";
import { drawPicture } from "../../marks/image-overlay";
import { short } from "../../marks/numbers";
import type { FeatureStore } from "./store";
import type { AscentOptions } from "./types";

const STARTS = [
  ["noise", "noise"],
  ["sample", "the sample"],
] as const satisfies [AscentOptions["start"], string][];
const PARAMETRISATIONS = [
  ["frequency", "frequencies"],
  ["pixels", "pixels"],
] as const satisfies [AscentOptions["parametrisation"], string][];

/** Options that are numbers: what they are, and what a number of theirs may be. */
interface NumberOption {
  name: "steps" | "learning_rate" | "jitter" | "blur" | "total_variation" | "seed";
  label: string;
  title: string;
  min: number;
  /** Of what it is a multiple; "any": of nothing. */
  step: number | "any";
}

const NUMBERS: NumberOption[] = [
  { name: "steps", label: "Steps", title: "How many steps uphill", min: 1, step: 1 },
  {
    ...{ name: "learning_rate", label: "Rate", title: "Learning rate of Adam" },
    ...{ min: 0.000001, step: "any" },
  },
  {
    ...{ name: "jitter", label: "Jitter", min: 0, step: 1 },
    title: "By how many pixels the picture is moved at random before each step; empty: as fits its size",
  },
  {
    ...{ name: "blur", label: "Blur", min: 0, step: "any" },
    title: "Standard deviation in pixels of the blur of the gradient; 0: none",
  },
  {
    ...{ name: "total_variation", label: "Smoothness", min: 0, step: "any" },
    title: "Weight of the total variation: the pull of neighbours on each other",
  },
  { name: "seed", label: "Seed", title: "Of all that is drawn at random", min: 0, step: 1 },
];

interface NumberBoxProps {
  option: NumberOption;
  value: number | null;
  disabled: boolean;
  onSet(value: number | null): void;
}

/** A number that is taken over when it is one that may be; else the old one comes back. */
function NumberBox({ option, value, disabled, onSet }: NumberBoxProps) {
  const { name, label, title, min, step } = option;
  const isOptional = name === "jitter";
  const take = (input: HTMLInputElement) => {
    const number = input.value === "" ? null : input.valueAsNumber;
    if (input.validity.valid && (number === null ? isOptional : Number.isFinite(number))) onSet(number);
    else input.value = value === null ? "" : String(value);
  };
  return (
    <label class="xw-option" title={title}>
      <span>{label}</span>
      <input
        type="number"
        aria-label={label}
        min={min}
        step={step}
        value={value ?? ""}
        placeholder={isOptional ? "auto" : undefined}
        disabled={disabled}
        onChange={(event) => take(event.currentTarget)}
      />
    </label>
  );
}

/** How the input is sought, folded away until it is asked for. */
function Options({ store, disabled }: { store: FeatureStore; disabled: boolean }) {
  const { ascent } = store;
  const count = Object.keys(store.state.ascent).length;
  if (ascent === null) return null;
  return (
    <details class="xw-options">
      <summary>
        {"Options"}
        {count > 0 && <span class="xw-note">{` · ${count} changed`}</span>}
      </summary>
      <div class="xw-option-grid">
        <Picker
          label="Begin with"
          labelled
          value={ascent.start}
          options={STARTS}
          disabled={disabled}
          onPick={(start) => store.setAscent({ start: start as AscentOptions["start"] })}
        />
        <Picker
          label="Learn"
          labelled
          value={ascent.parametrisation}
          options={PARAMETRISATIONS}
          disabled={disabled}
          onPick={(learnt) =>
            store.setAscent({ parametrisation: learnt as AscentOptions["parametrisation"] })
          }
        />
        {NUMBERS.map((option) => (
          <NumberBox
            key={option.name}
            option={option}
            value={ascent[option.name]}
            disabled={disabled}
            onSet={(value) => store.setAscent({ [option.name]: value })}
          />
        ))}
        <button
          type="button"
          class="xw-button"
          disabled={disabled || count === 0}
          onClick={() => store.resetAscent()}
        >
          Defaults
        </button>
      </div>
    </details>
  );
}

/** Where no number of the map is positive there are no squares of positive ones: its mean is sought. */
const soughtText = (value: number) =>
  value > 0 ? `mean square ${short(value)}` : `mean ${short(value)}, nothing is positive`;

/** The input that the channel answers to most: sought by gradient ascent, shown while it is. */
export function Maximise({ store }: { store: FeatureStore }) {
  const { maximised, selection, lost } = store.state;
  const canvas = useRef<HTMLCanvasElement>(null);
  const { layer, channel } = selection;
  const found = maximised?.layer === layer && maximised.channel === channel ? maximised : null;
  useLayoutEffect(() => {
    const [height = 0, width = 0] = found?.picture.shape ?? [];
    if (canvas.current && found) drawPicture(canvas.current, found.picture.data, [height, width]);
  }, [found]);
  // The same search again would find the same picture.
  const isAsFound = found !== null && found.options === store.state.ascent;
  const seek = (event: Event) => {
    if (isAsFound) store.setAscent({ seed: found.seed + 1 });
    store.maximise(event);
  };
  return (
    <section class="xw-maximise" aria-label="What maximises it">
      <h3>What maximises it</h3>
      {found !== null && (
        <>
          <canvas ref={canvas} class="xw-sample-picture" role="img" aria-label="Input that maximises it" />
          <p class="xw-note xw-number">
            {`step ${found.step} of ${found.steps} · ${soughtText(found.value)} · seed ${found.seed}`}
          </p>
          {found.partial && <progress value={found.step} max={found.steps} aria-label="Steps" />}
        </>
      )}
      <div class="xw-buttons">
        {found?.partial ? (
          <button type="button" class="xw-button" onClick={() => store.stopMaximising()}>
            Stop
          </button>
        ) : (
          <button type="button" class="xw-button" disabled={lost !== null} onClick={seek}>
            {isAsFound ? "Another seed" : "Seek"}
          </button>
        )}
      </div>
      <Options store={store} disabled={lost !== null} />
      {found !== null && !found.partial && <p class="xw-note">{found.note}</p>}
    </section>
  );
}
