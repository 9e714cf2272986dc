import type { Direction, Head, Lens } from "./types";

/** Of which head a row or column is. */
export interface Place {
  sample: number;
  layer: number;
  head: Head;
  lens: Lens;
}

/** Exact rows and columns that were read, the least recently used dropped first. */
export class WeightCache {
  private readonly entries = new Map<string, Float32Array>();

  constructor(private readonly capacity = 256) {}

  get(place: Place, direction: Direction, position: number): Float32Array | null {
    const key = this.key(place, direction, position);
    const found = this.entries.get(key);
    if (found === undefined) return null;
    this.entries.delete(key);
    this.entries.set(key, found);
    return found;
  }

  set(place: Place, direction: Direction, position: number, weights: Float32Array): void {
    const key = this.key(place, direction, position);
    this.entries.delete(key);
    // A copy: the array may be a view that keeps a whole reply alive.
    this.entries.set(key, weights.slice());
    const [oldest] = this.entries.keys();
    if (this.entries.size > this.capacity && oldest !== undefined) this.entries.delete(oldest);
  }

  clear(): void {
    this.entries.clear();
  }

  private key({ sample, layer, head, lens }: Place, direction: Direction, position: number): string {
    return `${sample} ${layer} ${head} ${direction} ${position} ${JSON.stringify(lens)}`;
  }
}
