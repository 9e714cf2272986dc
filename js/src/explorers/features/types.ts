import type { DecodedArray } from "../../kernel/arrays";
import type { Change, How } from "../shared/change";
import type { SharedSelection, SharedState } from "../shared/store";

export type Show = "activation" | "gradient" | "activation_x_gradient" | "filters";
export type Order = "index" | "mean" | "maximum" | "zeros" | "variance" | "activation_x_gradient";
export type MapScale = "layer" | "channel";
/** A channel that is taken out of the forward: name of the layer, index of the channel. */
export type Muted = [layer: string, channel: number, how: How];

/** The traits that the browser sets, under their own names. */
export interface Selection extends SharedSelection {
  layer: number;
  entry: string;
  map_layout: string;
  slice: number;
  channel: number;
  show: Show;
  target: number | null;
  order: Order;
  scale: MapScale;
  muted: Muted[];
}

export interface Layer {
  name: string;
  type: string;
  /** How it is laid out, in words. */
  words: string;
  size: string;
  channels: number;
  height: number;
  width: number;
  entries: string[];
  entry: string;
  /** Of each entry, the layouts that fit: the chosen one first, its name is "". */
  layouts: Record<string, LayoutChoice[]>;
}

export interface LayoutChoice {
  name: string;
  words: string;
  channels: number;
}

/** How the input that maximises a channel is sought. */
export interface AscentOptions {
  start: "noise" | "sample";
  parametrisation: "frequency" | "pixels";
  steps: number;
  learning_rate: number;
  /** In pixels; null: as fits the picture. */
  jitter: number | null;
  blur: number;
  total_variation: number;
  seed: number;
}

export interface SampleContent {
  sample: number;
  title: string;
  has_image: boolean;
  layers: Layer[];
  classes: string[];
  predicted: { index: number; name: string; probability: number | null } | null;
  /** The defaults. */
  ascent: AscentOptions;
  footer: string;
}

export interface MapsContent {
  words: string;
  channels: number;
  slices: number;
  height: number;
  width: number;
  from: number;
  footer: string;
  revision: number;
}

/** A page of maps, as it was answered. */
export interface Page {
  maps: DecodedArray<"uint8">;
  /** Filters of an image as coloured pictures; null: they are not. */
  rgb: DecodedArray<"uint8"> | null;
  from: number;
  payload: number;
  bytes: number;
  milliseconds: number;
}

/** What all pages share: of one selection, whatever page and size. */
export interface Sheet extends MapsContent {
  /** Names the selection. */
  key: string;
  /** What it shows: the selection may have moved on. */
  asked: { layer: Layer } & Pick<Selection, "show" | "order" | "scale">;
  order: Int32Array;
  scores: Float32Array;
  range: [number, number];
  nonfinite: number;
  note: string;
  pages: Map<number, Page>;
  latest: Page;
}

export interface Position {
  value: number;
  y: number;
  x: number;
  /** Of the input: top, left, bottom, right. */
  box: [number, number, number, number] | null;
}

export interface ChannelContent {
  name: string;
  height: number;
  width: number;
  statistics: { name: string; text: string; definition: string }[];
  strongest: Position[];
  /** Where the map lies on the input, as shares of its sides. */
  overlay: { top: number; left: number; height: number; width: number } | null;
  alignment: string;
  reduced: string;
}

export interface Channel extends ChannelContent {
  /** Names the selection. */
  key: string;
  channel: number;
  map: DecodedArray<"uint8">;
  edges: Float32Array;
  counts: Int32Array;
  /** The numbers themselves; null: the map is too large, they are asked for one by one. */
  values: Float32Array | null;
}

export interface Across {
  channel: number;
  samples: number[];
  values: number[];
  titles: string[];
  of: number;
  maps: DecodedArray<"uint8"> | null;
}

/** Which places of the sheet are in view, and how large their maps are drawn. */
export interface InView {
  places: [number, number];
  width: number;
  height: number;
  columns: number;
}

/** The input that a channel answers to most, as far as it was found. */
export interface Maximised {
  layer: number;
  channel: number;
  step: number;
  steps: number;
  value: number;
  note: string;
  seed: number;
  /** Those that were not the defaults. */
  options: Partial<AscentOptions>;
  picture: DecodedArray<"uint8">;
  partial: boolean;
}

export interface State extends SharedState<Selection> {
  content: SampleContent | null;
  sheet: Sheet | null;
  channel: Channel | null;
  across: Across | null;
  maximised: Maximised | null;
  /** Options of the search that are not the defaults. */
  ascent: Partial<AscentOptions>;
  change: { change: Change | null; note: string } | null;
  /** How strongly the map covers the image, 0…100. */
  opacity: number;
  /** Numbers that were read one by one, by "y x" of the channel looked at. */
  read: Map<string, number>;
}
