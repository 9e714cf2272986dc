import type { DecodedArray } from "../../kernel/arrays";
import type { Scale } from "../../marks/colour";
import type { Token } from "../../marks/tokens";
import type { Span } from "../../marks/viewport";
import type { SharedSelection, SharedState } from "../shared/store";

/** An index, or all heads combined. */
export type Head = number | "mean" | "max";
export type View = "matrix" | "lines" | "text";
/** from: where a query looks; to: which queries look at a key. */
export type Direction = "from" | "to";

export type Measure = "weights" | "value-weighted";
export type Units = "tokens" | "words" | "sentences";
export type How = "zero" | "mean";
/** A head that is taken out of the forward. */
export type Ablated = [layer: number, head: number, how: How];

/** Through what the weights are looked at. */
export interface Lens {
  measure: Measure;
  units: Units;
  hide_sinks: boolean;
  ablated: Ablated[];
}

/** The traits that the browser sets, under their own names. */
export interface Selection extends Lens, SharedSelection {
  padding: boolean;
  layer: number;
  head: Head;
  query: number | null;
  view: View;
  scale: Scale;
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

/** How the model's output has changed without the ablated heads. */
export interface Change {
  cosine: number | null;
  difference: number | null;
  /** KL(before ‖ after) of the classes, in bits. */
  divergence: number | null;
  /** Position of the largest change. */
  position: number | null;
  classes: string[];
  before: number[];
  after: number[];
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
  partial: boolean;
  payload: number;
  bytes: number;
  milliseconds: number;
}

export interface Grid {
  thumbnails: DecodedArray<"uint8">;
  /** How they were sampled, in words. */
  note: string;
  layers: Layer[];
}

export interface State extends SharedState<Selection> {
  /** What there is to pick from in the sample that was read last. */
  content: SampleContent | null;
  picture: Picture | null;
  grid: Grid | null;
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
}
