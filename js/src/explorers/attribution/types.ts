import type { DecodedArray } from "../../kernel/arrays";
import type { Token } from "../../marks/tokens";
import type { SharedSelection, SharedState } from "../shared/store";

export type Sign = "all" | "absolute" | "positive" | "negative";
export type Channels = "sum" | "mean" | "max" | "norm";
export type Units = "tokens" | "words" | "sentences";
export type Show = "input" | "parameters";
export type ParameterMeasure = "norm" | "weight_x_gradient";
/** A class, the name of a loss, "custom" for a function set in Python, or null: the predicted class. */
export type Target = number | string | null;
export type Value = number | string | boolean | null;
export type Options = Record<string, Value>;

/** What the other side shows, where it is something else. */
export interface Other {
  method: string;
  target: Target;
}

/** The traits that the browser sets, under their own names. */
export interface Selection extends SharedSelection {
  layer: number;
  method: string;
  target: Target;
  position: number | null;
  options: Options;
  other: Other | null;
  show: Show;
  channels: Channels;
  sign: Sign;
  clip: number;
  units: Units;
  parameter_measure: ParameterMeasure;
  /** Methods that curves and agreement stand beside; none: no others, and a few quick ones. */
  compared: string[];
  agreement_samples: number;
}

/** One setting of a method. */
export interface MethodOption {
  name: string;
  title: string;
  kind: "number" | "integer" | "choice" | "flag";
  default: Value;
  low: number | null;
  high: number | null;
  choices: string[];
  definition: string;
}

export interface Method {
  name: string;
  title: string;
  definition: string;
  source: string;
  takes_layer: boolean;
  options: MethodOption[];
  /** Why it cannot be used here, or "". */
  reason: string;
}

export interface SampleContent {
  sample: number;
  title: string;
  has_image: boolean;
  classes: string[];
  /** Probabilities of the classes; empty where the output has none. */
  probabilities: number[];
  predicted: { index: number; name: string; probability: number | null } | null;
  /** Whether a token of the vocabulary may be the target. */
  has_vocabulary: boolean;
  /** Of the sample, where it is a text. */
  tokens: Token[];
  /** How many positions of the output have scores of their own; 0: there is one row. */
  positions: number;
  /** Name and title of the losses that this sample's label allows. */
  losses: [name: string, title: string][];
  methods: Method[];
  layers: { name: string; size: string }[];
  footer: string;
}

export interface Statistic {
  name: string;
  text: string;
  definition: string;
}

/** How an attribution is shown: a map (on a picture), coloured tokens, or bars by name. */
export type Form = "map" | "text" | "bars";

export interface AttributionContent {
  form: Form;
  title: string;
  words: string;
  height: number;
  width: number;
  /** Where the map lies on the picture, as shares of its sides; null: there is none. */
  overlay: { top: number; left: number; height: number; width: number } | null;
  tokens: Token[];
  names: string[];
  limit: number;
  /** Share of the numbers beyond the limit. */
  clipped: number;
  statistics: Statistic[];
  note: string;
  step: number;
  steps: number;
  footer: string;
}

export interface Shown extends AttributionContent {
  /** Of the image that it lies on. */
  sample: number;
  method: string;
  map: DecodedArray<"uint8"> | null;
  /** The numbers themselves, row by row. */
  values: Float32Array;
  partial: boolean;
  payload: number;
  bytes: number;
  milliseconds: number;
}

export interface Parameters {
  names: string[];
  modules: string[];
  /** "", "zero", "no gradient", "not finite". */
  states: string[];
  values: Float32Array;
  words: string;
  footer: string;
  payload: number;
  bytes: number;
  milliseconds: number;
}

export interface Curves {
  names: string[];
  /** Areas of each, deletion and insertion. */
  areas: [deletion: number, insertion: number][];
  /** What they are of, in words. */
  score: string;
  fractions: Float32Array;
  deletion: DecodedArray<"float32">;
  insertion: DecodedArray<"float32">;
  note: string;
  /** Share of the work that is done. */
  progress: number;
  partial: boolean;
}

export interface Randomised {
  layers: string[];
  signed: Float32Array;
  absolute: Float32Array;
  note: string;
  /** Share of the work that is done. */
  progress: number;
  partial: boolean;
}

export interface Measures {
  rows: Statistic[];
  note: string;
  /** Share of the work that is done. */
  progress: number;
  partial: boolean;
}

export interface Agreement {
  names: string[];
  matrix: Float32Array;
  note: string;
  /** Share of the work that is done. */
  progress: number;
  partial: boolean;
}

export type TrustKind = "curves" | "randomisation" | "measures" | "agreement";

export interface Trust {
  curves: Curves | null;
  randomisation: Randomised | null;
  measures: Measures | null;
  agreement: Agreement | null;
}

export interface State extends SharedState<Selection> {
  content: SampleContent | null;
  /** What is shown, and the other side where there is one. */
  shown: [Shown | null, Shown | null];
  /** What each side's method takes, in words; null: not known yet. */
  costs: [string | null, string | null];
  parameters: Parameters | null;
  trust: Trust;
  /** What is being measured, in the order it was asked for: all but the first wait. */
  measuring: TrustKind[];
  opacity: number;
}
