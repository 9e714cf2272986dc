import type { DecodedArray } from "../../kernel/arrays";
import type { SharedSelection, SharedState } from "../shared/store";

export type Order = "index" | "label" | "prediction" | "confidence" | "loss";
export type Value = number | string;

/** Which samples are shown, and in which order. */
export interface View {
  order: Order;
  descending: boolean;
  label: Value | null;
  prediction: number | null;
  wrong_only: boolean;
}

/** The traits that the browser sets, under their own names. */
export interface Selection extends View, SharedSelection {
  picked: number[];
  page: number;
  per_page: number;
  /** Longer side of the pictures on the screen; null: as fits them. */
  size: number | null;
}

export type Size = [height: number, width: number];

export interface Card {
  index: number;
  title: string;
  label: string | null;
  /** How the picture was made of the values. */
  note: string;
  text: string | null;
  /** The first features of a row, and how many more there are. */
  names: string[];
  values: (number | null)[];
  more: number;
  shape: string;
  /** Why the sample could not be read. */
  problem: string;
  /** Which of the thumbnails it has, how large that is, and how large the image. */
  thumbnail: { place: number; size: Size; of: Size } | null;
}

export interface Prediction {
  /** null: the model returns a single number, the value. */
  class: string | null;
  /** The probability of the class; null: no finite number. */
  value: number | null;
  loss: number | null;
  wrong: boolean;
}

export interface Progress {
  /** What is still to come, in words; "": nothing. */
  progress: string;
  /** 0…1 */
  share: number | null;
}

export interface PageContent extends Progress {
  heading: string;
  page: number;
  /** Samples of the view. */
  total: number;
  /** All samples; null: not known before the data is read to its end. */
  count: number | null;
  /** How many there are, or were read so far. */
  there: number;
  cards: Card[];
  predictions: (Prediction | null)[];
  labels: [Value, string][];
  classes: [number, string][];
  orders: Order[];
  footer: string;
  problem: string;
}

/** One `page` reply with all that is needed to show it. */
export interface Page extends PageContent {
  view: View;
  /** (images, height, width, channels) */
  thumbnails: DecodedArray<"uint8"> | null;
  /** Pixels of the longer side that were asked for. */
  pixels: number;
  payload: number;
  bytes: number;
  milliseconds: number;
}

export interface State extends SharedState<Selection> {
  page: Page | null;
  progress: Progress | null;
  /** The work under way was given up: what is there is shown. */
  stopped: boolean;
}
