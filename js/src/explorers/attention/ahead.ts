import type { Answer } from "../../kernel/connection";
import type { HeadSelection, Layer } from "./types";

export interface Place {
  layer: number;
  head: number;
}

/** Answers to `head` requests, read or read ahead, the least recently used dropped first. */
export class HeadCache {
  private readonly entries = new Map<string, Answer>();

  constructor(private readonly capacity = 8) {}

  has(selection: HeadSelection): boolean {
    return this.entries.has(JSON.stringify(selection));
  }

  get(selection: HeadSelection): Answer | null {
    const found = this.entries.get(JSON.stringify(selection)) ?? null;
    if (found !== null) this.set(selection, found);
    return found;
  }

  set(selection: HeadSelection, answer: Answer): void {
    const key = JSON.stringify(selection);
    this.entries.delete(key);
    this.entries.set(key, answer);
    const [oldest] = this.entries.keys();
    if (this.entries.size > this.capacity && oldest !== undefined) this.entries.delete(oldest);
  }

  clear(): void {
    this.entries.clear();
  }
}

/** Where a slider may go next: first on in the direction that it came from. */
export function nextPlaces(now: Place, before: Place | null, layers: Layer[]): Place[] {
  const layerStep = Math.sign(now.layer - (before ?? now).layer);
  const headStep = layerStep === 0 ? Math.sign(now.head - (before ?? now).head) : 0;
  const on = { layer: now.layer + layerStep, head: now.head + headStep };
  const around = [1, -1].map((step) => ({ ...now, head: now.head + step }));
  const isThere = ({ layer, head }: Place) => head >= 0 && head < (layers[layer]?.heads ?? 0);
  const isNow = ({ layer, head }: Place) => layer === now.layer && head === now.head;
  return [on, ...around].filter((place) => isThere(place) && !isNow(place));
}
