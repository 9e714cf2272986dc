/** A stand-in for the Python side of the gallery, answered as docs/protocol.md says. */

import type { Card, PageContent, Prediction, View } from "../src/explorers/gallery/types";
import { pack, type Reply } from "./fake-kernel";

const SIDE = 4;

export interface Asked {
  view: View;
  page: number;
  per_page: number;
  pixels: number;
  read: number;
  goes_on: boolean;
}

/** Pictures of 4 × 4 pixels, each of one grey; every fourth is predicted wrongly. */
export class FakeGallery {
  constructor(
    readonly count = 30,
    /** Where the end of the data is not known, how many were read. */
    public there: number | null = null,
    readonly texts: string[] | null = null,
  ) {}

  static grey(index: number): number {
    return (7 * index) % 256;
  }

  card(index: number, place: number): Card {
    const text = this.texts?.[index] ?? null;
    const label = String(index % 3);
    return {
      ...{ index, title: `image ${index} · label ${label}`, label, note: "", text, problem: "" },
      ...{ names: [], values: [], more: 0, shape: "1 × 4 × 4 float32" },
      thumbnail: text === null ? { place, size: [SIDE, SIDE], of: [SIDE, SIDE] } : null,
    };
  }

  prediction(index: number): Prediction {
    const wrong = index % 4 === 3;
    return { class: String((index + (wrong ? 1 : 0)) % 3), value: 0.625, loss: index / 8, wrong };
  }

  answer(kind: string, selection: object): Reply {
    if (kind !== "page") return { content: {}, arrays: {}, buffer: new ArrayBuffer(0) };
    const asked = selection as Asked;
    if (this.there !== null) {
      this.there = Math.max(this.there, asked.read, (asked.page + 1) * asked.per_page);
    }
    const known = this.there ?? this.count;
    const all = Array.from({ length: known }, (_, index) => index);
    const shown = all.filter((index) => !asked.view.wrong_only || this.prediction(index).wrong);
    if (asked.view.descending) shown.reverse();
    const page = Math.min(asked.page, Math.max(0, Math.ceil(shown.length / asked.per_page) - 1));
    const indices = shown.slice(page * asked.per_page, (page + 1) * asked.per_page);
    const greys = indices.flatMap((index) => Array<number>(SIDE * SIDE).fill(FakeGallery.grey(index)));
    const thumbnails = { data: Uint8Array.from(greys), shape: [indices.length, SIDE, SIDE, 1] };
    return { content: this.content(asked, page, shown.length, indices), ...pack({ thumbnails }) };
  }

  private content(asked: Asked, page: number, total: number, indices: number[]): PageContent {
    return {
      ...{ heading: `${total} images`, page, total, count: this.there === null ? this.count : null },
      there: this.there ?? this.count,
      cards: indices.map((index, place) => this.card(index, place)),
      predictions: indices.map((index) => this.prediction(index)),
      labels: [0, 1, 2].map((value) => [value, `class ${value}`]),
      classes: [0, 1, 2].map((value) => [value, `class ${value}`]),
      orders: ["index", "label", "prediction", "confidence", "loss"],
      ...{ footer: "probabilities: softmax", problem: "", progress: "", share: null },
      ...(asked.goes_on ? {} : { heading: "what was read" }),
    };
  }
}
