import type { Layer, Selection } from "./types";

export interface Place {
  layer: number;
  head: number;
}

/** Which heads may be picked next. */
export class NextHeads {
  /** The head that was looked at before: where the slider comes from. */
  before: Place | null = null;
  /** The head that the pointer is at. */
  pointed: Place | null = null;

  /** The likeliest first. */
  after({ layer, head }: Pick<Selection, "layer" | "head">, layers: Layer[]): Place[] {
    const pointed = this.pointed === null ? [] : [this.pointed];
    if (typeof head !== "number") return pointed;
    return [...pointed, ...nextPlaces({ layer, head }, this.before, layers)];
  }
}

/** Where a slider may go next: first on in the direction that it came from. */
function nextPlaces(now: Place, before: Place | null, layers: Layer[]): Place[] {
  const layerStep = Math.sign(now.layer - (before ?? now).layer);
  const headStep = layerStep === 0 ? Math.sign(now.head - (before ?? now).head) : 0;
  const on = { layer: now.layer + layerStep, head: now.head + headStep };
  const around = [1, -1].map((step) => ({ ...now, head: now.head + step }));
  const isThere = ({ layer, head }: Place) => head >= 0 && head < (layers[layer]?.heads ?? 0);
  const isNow = ({ layer, head }: Place) => layer === now.layer && head === now.head;
  return [on, ...around].filter((place) => isThere(place) && !isNow(place));
}
