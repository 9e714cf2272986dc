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

/** Milliseconds of rest after which heads are read ahead, and that one may take if a second is to follow. */
const REST = 50;
const QUICK = 100;
const MOST = 2;

export interface AheadHost {
  /** Whether all that was asked for is there. */
  isIdle(): boolean;
  kernelBusy(): boolean;
  layers(): Layer[];
  /** What to ask for to show a head as things are looked at now; null place: the picked one. */
  selectionOf(place: Place | null): HeadSelection | null;
  isKnown(selection: HeadSelection): boolean;
  read(selection: HeadSelection, done: () => void): void;
}

/** Reads heads that may be looked at next, while nothing else is to be done. */
export class Ahead {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private before: Place | null = null;
  /** The head that the pointer is at, and is likely to be picked. */
  private pointed: Place | null = null;
  private left = 0;

  constructor(private readonly host: AheadHost) {}

  close(): void {
    clearTimeout(this.timer);
  }

  /** A picture is there: what may be next can be read. */
  begin(): void {
    this.left = MOST;
    this.soon();
  }

  /** A head that was looked at before: where the slider comes from. */
  leave(place: Place): void {
    this.before = place;
  }

  point(place: Place | null): void {
    this.pointed = place;
    if (place === null) return;
    this.left = Math.max(1, this.left);
    this.soon();
  }

  private soon(rest = REST): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), rest);
  }

  private look(): void {
    const { host } = this;
    const now = host.selectionOf(null);
    if (now === null || !host.isIdle() || this.left === 0) return;
    if (host.kernelBusy()) {
      this.soon(10 * REST);
      return;
    }
    const places = this.pointed === null ? [] : [this.pointed];
    const { layer, head } = now;
    if (typeof head === "number") places.push(...nextPlaces({ layer, head }, this.before, host.layers()));
    const wanted = places.map((place) => host.selectionOf(place));
    const next = wanted.find((selection) => selection !== null && !host.isKnown(selection));
    if (next) this.read(next);
  }

  private read(selection: HeadSelection): void {
    const asked = performance.now();
    this.left -= 1;
    this.host.read(selection, () => {
      if (performance.now() - asked < QUICK) this.soon();
    });
  }
}
