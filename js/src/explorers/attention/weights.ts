import type { Direction, Head, Lens } from "./types";

/** Of which head a row or column is. */
export interface Place {
  sample: number;
  layer: number;
  head: Head;
  lens: Lens;
  /** Of the other side of a comparison: which model, and which state of it. */
  model?: number;
  revision?: number;
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

  /** Those that came with a picture. */
  keep(place: Place | null, position: number | null, lines: Record<Direction, Float32Array | null>): void {
    for (const direction of ["from", "to"] as const) {
      const weights = lines[direction];
      if (place !== null && position !== null && weights !== null)
        this.set(place, direction, position, weights);
    }
  }

  clear(): void {
    this.entries.clear();
  }

  private key(place: Place, direction: Direction, position: number): string {
    const { sample, layer, head, lens, model, revision } = place;
    return JSON.stringify([sample, layer, head, direction, position, lens, model, revision]);
  }
}
