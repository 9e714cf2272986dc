import type { DecodedArray } from "../../kernel/arrays";
import type { Scale } from "../../marks/colour";
import type { Token } from "../../marks/tokens";
import type { Span } from "../../marks/viewport";
import type { Change, How } from "../shared/change";
import type { SharedSelection, SharedState } from "../shared/store";
import type { Sort } from "../shared/table";
import type { HeadTable } from "./statistics";

/** An index, or all heads combined. */
export type Head = number | "mean" | "max";
export type View = "matrix" | "lines" | "text" | "table";
/** from: where a query looks; to: which queries look at a key. */
export type Direction = "from" | "to";

export type Measure = "weights" | "value-weighted" | "gradient";
export type Units = "tokens" | "words" | "sentences";
/** A head that is taken out of the forward. */
export type Ablated = [layer: number, head: number, how: How];

/** Through what the weights are looked at. */
export interface Lens {
  measure: Measure;
  units: Units;
  hide_sinks: boolean;
  ablated: Ablated[];
  /** Of the gradient: a class, the predicted one, or a function that only the kernel knows. */
  target: number | null | "custom";
}

/** The other side of a comparison; null where it is that of what is shown. Model 1: the other one. */
export type Compared = [sample: number | null, layer: number | null, head: Head | null, model: number];
/** side: both matrices; difference: A − B. */
export type Comparison = "side" | "difference";

/** Where the other side is read. */
export interface Other {
  sample: number;
  layer: number;
  head: Head;
  model: number;
}

/** The traits that the browser sets, under their own names. */
export interface Selection extends Lens, SharedSelection {
  padding: boolean;
  layer: number;
  head: Head;
  query: number | null;
  view: View;
  /** What colours the grid of heads: "weights", or the key of a statistic. */
  grid_by: string;
  scale: Scale;
  compared: Compared | null;
  comparison: Comparison;
  difference_colormap: string;
}

/** Positions that are patches of the image, row by row; the image covers the first of them. */
export interface ImageGrid {
  start: number;
  height: number;
  width: number;
  image_height: number;
  image_width: number;
}

export interface Layer {
  name: string;
  heads: number;
  queries: number;
  keys: number;
  kind: "self" | "cross";
  source: string;
  note: string;
  /** A rollout or flow: its heads are layers that it goes through. */
  is_derived: boolean;
  query_tokens: string | null;
  key_tokens: string | null;
  /** Shown positions: padding is left out unless it is asked for. */
  rows: Span;
  columns: Span;
  /** Queries of the prompt, where the steps of a generation were put together. */
  prompt: number | null;
  query_grid: ImageGrid | null;
  key_grid: ImageGrid | null;
}

export interface SampleContent {
  sample: number;
  title: string;
  layers: Layer[];
  tokens: Record<string, Token[]>;
  footer: string;
}

export interface Statistic {
  key: string;
  name: string;
  value: number | null;
  unit: string;
  definition: string;
  text: string;
}

export interface HeadContent {
  /** Names the state of the model that was read. */
  revision: number;
  rows: Span;
  keys: Span;
  /** What the numbers are called: "weight". */
  unit: string;
  statistics: Statistic[];
  footer: string;
  /** What of a long input is still to come, in words. */
  progress: string;
}

export interface HeadSelection {
  sample: number;
  padding: boolean;
  layer: number;
  head: Head;
  query: number | null;
  scale: Scale;
  rows: Span | null;
  keys: Span | null;
  size: [height: number, width: number];
  lens: Lens;
}

/** What there is to pick from on the other side. */
export interface OtherContent extends SampleContent {
  model: number;
}

/** The other side of a `compare` reply. */
export interface ComparedPicture {
  other: Other;
  /** Names the state of its model that was read. */
  revision: number;
  /** null: the picture's own matrix is the difference. */
  matrix: DecodedArray<"uint8"> | null;
  from: Float32Array | null;
  to: Float32Array | null;
}

/** One `head` reply with all that is needed to show it: what is on the screen is always of one selection. */
export interface Picture extends HeadContent {
  selection: HeadSelection;
  title: string;
  layer: Layer;
  queryTokens: Token[] | null;
  keyTokens: Token[] | null;
  matrix: DecodedArray<"uint8">;
  from: Float32Array | null;
  to: Float32Array | null;
  /** While two are compared: the matrix is A's in the range of both, or the difference. */
  compared: ComparedPicture | null;
  partial: boolean;
  payload: number;
  bytes: number;
  milliseconds: number;
}

export interface Grid {
  thumbnails: DecodedArray<"uint8">;
  /** How they were sampled, in words. */
  note: string;
  /** Layers whose heads are computed only once they are picked. */
  unread: number[];
  layers: Layer[];
}

/** The classes that may be a target. */
export interface Classes {
  sample: number;
  classes: string[];
  predicted: { index: number; name: string; probability: number | null } | null;
}

export interface State extends SharedState<Selection> {
  /** What there is to pick from in the sample that was read last. */
  content: SampleContent | null;
  picture: Picture | null;
  grid: Grid | null;
  classes: Classes | null;
  other: OtherContent | null;
  differenceTable: Uint8Array | null;
  /** Statistics of all heads, where they are looked at. */
  statistics: HeadTable | null;
  sort: Sort;
  /** What the ablated heads change in the output; note: why it is not known. */
  change: { change: Change | null; note: string } | null;
  /** How strongly weights cover the image, 0…100. */
  opacity: number;
  /** The part of the matrix looked at; null: all of it. */
  window: { rows: Span; keys: Span } | null;
  /** First position of the window of the lines view. */
  page: number;
  direction: Direction;
  /** The answer under way was given up: what is there stays as it is. */
  stopped: boolean;
  /** The same of the statistics of all heads. */
  statisticsStopped: boolean;
}
