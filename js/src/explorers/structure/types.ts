import type { Description } from "../../graph/description";
import type { SharedSelection, SharedState } from "../shared/store";
import type { Sort } from "../shared/table";

export type View = "layers" | "graph" | "values";
export type Direction = "forward" | "backward";
export type OverlayName =
  | ""
  | "parameters"
  | "flops"
  | "seconds"
  | "backward_flops"
  | "backward_seconds"
  | "memory"
  | "deviation"
  | "gradient"
  | "dead"
  | "nonfinite";
/** A class, "custom" for a function set in Python, or null: the predicted class. */
export type Target = number | "custom" | null;

/** The traits that the browser sets, under their own names. */
export interface Selection extends SharedSelection {
  /** The picked call of a module: its path, or "path:1" for the second call; "": the model. */
  layer_name: string;
  view: View;
  overlay: OverlayName;
  target: Target;
  /** Ids of the boxes that are open; null: as at first sight. */
  opened: string[] | null;
  /** Which block of a fold is shown, by the id of the fold. */
  instances: Record<string, number>;
  /** Which graph is drawn. */
  graph: Direction;
}

/** The layer table by columns, modules in the order of the summary. */
export interface Rows {
  name: string[];
  type: string[];
  depth: number[];
  /** How often it ran; 0: never. */
  calls: number[];
  /** In words: "1 × 3 × 224 × 224; 1 × 10". */
  input_shapes: string[];
  output_shapes: string[];
  parameters: number[];
  trainable: number[];
  buffers: number[];
  /** Of all parameters of the model. */
  share: number[];
  flops: number[];
  seconds: number[];
  bytes: number[];
  output_bytes: number[];
  held: number[];
}

export interface Totals {
  parameters: number;
  trainable: number;
  buffers: number;
  flops: number;
  seconds: number;
  bytes: number;
  output_bytes: number;
}

/** Why a forward broke off, and where. */
export interface Failure {
  type: string;
  message: string;
  call: string;
  operation: string;
  /** Those that met there. */
  shapes: string[];
}

export interface OverlayChoice {
  name: OverlayName;
  label: string;
  definition: string;
}

/** Sizes and time of an answer, for the footer. */
export interface Answered {
  payload: number;
  bytes: number;
  milliseconds: number;
}

/** What `structure` answers. */
export interface StructureContent extends Answered {
  sample: number;
  title: string;
  graph: Description;
  /** Ids of the boxes that are open at first. */
  first_sight: string[];
  rows: Rows;
  totals: Totals;
  failure: Failure | null;
  overlays: OverlayChoice[];
  note: string;
  classes: string[];
  predicted: { index: number; name: string; probability: number | null } | null;
  revision: number;
  footer: string;
}

/** What `backward` answers. */
export interface Backward {
  graph: Description;
  first_sight: string[];
  note: string;
}

/** What `overlay` answers: a number for each row, NaN where it does not apply. */
export interface OverlayAnswer {
  overlay: OverlayName;
  label: string;
  unit: string;
  /** Whether the colours are on a logarithmic scale, zero apart. */
  log: boolean;
  note: string;
  values: Float32Array;
  partial: boolean;
  /** Steps that are done, of all; null: it is there. */
  progress: [done: number, total: number] | null;
}

/** Numbers of a tensor; null: it has none that is finite. */
export interface Numbers {
  mean: number | null;
  deviation: number | null;
  minimum: number | null;
  maximum: number | null;
  /** Share of zeros. */
  zeros: number | null;
  norm: number | null;
  nan: number;
  infinite: number;
}

/** A tensor of the picked module: what came out, a parameter, a gradient. */
export interface Quantity extends Numbers {
  name: string;
  kind: "output" | "parameter" | "gradient";
  shape: string;
  count: number;
  /** Borders of the bins; null: there is no histogram. */
  edges: Float32Array | null;
  counts: Int32Array | null;
  note: string;
}

/** What a parameter looks like, and what is expected of it. */
export interface InitialisationLine {
  parameter: string;
  looks_like: string;
  /** Deviations; null: none that is finite, none that is known. */
  found: number | null;
  expected: number | null;
  fan_in: number;
  fan_out: number;
  sentence: string;
  is_far: boolean;
}

/** A parameter tensor below a container, its name from the container on. */
export interface Part extends Numbers {
  name: string;
  shape: string;
  count: number;
}

export interface ValuesContent {
  layer_name: string;
  type: string;
  words: string;
  initialisation: InitialisationLine[];
  parts: Part[];
  parts_left_out: number;
  /** Why there is no gradient, or "". */
  gradient_note: string;
  footer: string;
}

export interface Values extends ValuesContent, Answered {
  sample: number;
  quantities: Quantity[];
}

/** Channels that were zero (or negative) for all samples so far. */
export interface Dead {
  layer_name: string;
  channels: number;
  dead: number;
  samples: number;
  of: number;
  /** The first of them. */
  names: string[];
  words: string;
  partial: boolean;
}

export interface Spectrum {
  parameter: string;
  shape: string;
  spectral_norm: number;
  effective_rank: number;
  stable_rank: number;
  rank_limit: number;
  definition: string;
  singular: Float32Array | null;
}

export interface State extends SharedState<Selection> {
  content: StructureContent | null;
  backward: Backward | null;
  /** The last answer, also of another overlay than the picked one. */
  overlayAnswer: OverlayAnswer | null;
  values: Values | null;
  dead: Dead | null;
  spectra: { layer_name: string; spectra: Spectrum[] } | null;
  /** What is searched for in names and types. */
  search: string;
  sort: Sort;
  /** Modules whose parts are folded away in the table. */
  folded: ReadonlySet<string>;
  /** What became of copying; "": nothing was copied. */
  copied: string;
}
