/**
 * A stand-in for the Python side: invented but plausible attention, answered as docs/protocol.md says.
 * Deterministic, so that what a test expects can be computed from `weight` itself.
 */

import type {
  Comparison,
  Head,
  HeadSelection,
  Layer,
  Lens,
  Other,
  SampleContent,
} from "../src/explorers/attention/types";
import type { ArrayHeader, Dtype } from "../src/kernel/messages";
import type { Token } from "../src/marks/tokens";
import type { Span } from "../src/marks/viewport";

const SENTENCE =
  "[CLS] the animal did not cross the street because it was too tired , and the driver of the car waited until it had moved on . [SEP]".split(
    " ",
  );

export interface Reply {
  content: object;
  arrays: Record<string, ArrayHeader>;
  buffer: ArrayBuffer;
}

type Source = {
  data: Uint8Array | Int32Array | Float32Array;
  shape: number[];
  range?: [number, number];
  note?: string;
};

/** Lays arrays behind each other, each at a multiple of eight bytes. */
export function pack(sources: Record<string, Source>): Pick<Reply, "arrays" | "buffer"> {
  const arrays: Record<string, ArrayHeader> = {};
  let offset = 0;
  for (const [name, { data, shape, range, note }] of Object.entries(sources)) {
    const dtype = data.constructor.name.replace("Array", "").toLowerCase() as Dtype;
    arrays[name] = { shape, dtype, offset, ...(range && { range, nonfinite: 0 }), ...(note && { note }) };
    offset = Math.ceil((offset + data.byteLength) / 8) * 8;
  }
  const buffer = new ArrayBuffer(offset);
  for (const [name, { data }] of Object.entries(sources)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    new Uint8Array(buffer).set(bytes, (arrays[name] as ArrayHeader).offset);
  }
  return { arrays, buffer };
}

function noise(...seeds: number[]): number {
  let hash = 2166136261;
  for (const seed of seeds) hash = Math.imul(hash ^ (seed + 0x9e37), 16777619) ^ (hash >>> 13);
  return ((hash >>> 0) % 10007) / 10007;
}

/** What one head prefers: the first token, the neighbourhood, the past, or a few columns. */
function score(
  sample: number,
  layer: number,
  head: number,
  query: number,
  key: number,
  last: number,
): number {
  const taste = noise(sample + 1, layer, head);
  const distance = query - key;
  let value = 2.4 * noise(layer, head, query % 37, key % 41) + 1.6 * noise(head, layer, key % 53);
  if (key === 0) value += 5 * noise(layer, head, 3);
  if (key === last) value += 2.5 * noise(layer, head, 4);
  if (taste < 0.3) value -= 0.35 * Math.abs(distance - 1);
  else if (taste < 0.55) value -= 0.08 * Math.abs(distance);
  return 1.3 * value;
}

export const CHANGE = {
  ...{ cosine: 0.98714, difference: 0.161, divergence: 0.25, position: 22 },
  ...{ classes: ["cat", "dog"], before: [0.75, 0.25], after: [0.4, 0.6] },
};

const PLAIN: Lens = { measure: "weights", units: "tokens", hide_sinks: false, ablated: [], target: null };

interface Comparing {
  other: Other;
  comparison: Comparison;
}

export class FakeKernel {
  /** Grows where the model changes. */
  revision = 1;
  /** Layers without thumbnails. */
  unread: number[] = [];
  private readonly cache = new Map<string, Float32Array>();

  constructor(
    readonly lengths: number[] = [28, 12],
    readonly layerCount = 6,
    readonly headCount = 12,
    /** Padded positions at the end of every sample. */
    readonly padded = 0,
  ) {}

  length(sample: number): number {
    return this.lengths[sample] as number;
  }

  /** All weights of a head, one row a query. */
  weights(sample: number, layer: number, head: Head): Float32Array {
    const key = `${sample} ${layer} ${head}`;
    const known = this.cache.get(key);
    if (known !== undefined) return known;
    const made =
      typeof head === "number" ? this.softmax(sample, layer, head) : this.combine(sample, layer, head);
    if (this.cache.size > 80) this.cache.clear();
    this.cache.set(key, made);
    return made;
  }

  answer(kind: string, selection: object): Reply {
    const asked = selection as HeadSelection & { text: string; key: number; known?: number } & Comparing;
    switch (kind) {
      case "ping":
        return { content: {}, arrays: {}, buffer: new ArrayBuffer(0) };
      case "colormap":
      case "difference_colormap":
        return { content: {}, ...pack({ table: { data: this.blues(), shape: [256, 3] } }) };
      case "append":
        this.lengths.push(asked.text.split(/\s+/).length);
        return { content: { sample: this.lengths.length - 1 }, arrays: {}, buffer: new ArrayBuffer(0) };
      case "compare":
        return this.compare(asked);
      case "other":
      case "sample":
        return { content: this.sample(asked.sample, asked.padding), arrays: {}, buffer: new ArrayBuffer(0) };
      case "grid":
        return this.grid(asked.sample, asked.padding, asked.size);
      case "head":
        if (asked.known === this.revision) {
          return { content: { unchanged: true }, arrays: {}, buffer: new ArrayBuffer(0) };
        }
        return this.head(asked);
      case "ahead":
        return this.head(asked);
      case "statistics":
        return this.statistics(asked.sample);
      case "change":
        return { content: { change: CHANGE }, arrays: {}, buffer: new ArrayBuffer(0) };
      case "image":
        return { content: { note: "" }, ...pack({ image: { data: this.picture(), shape: [8, 8, 3] } }) };
      case "other_row":
      case "row":
        return { content: {}, ...pack(this.line("from", asked, asked.query as number)) };
      case "column":
        return { content: {}, ...pack(this.line("to", asked, asked.key)) };
      default:
        throw new Error(`There is no kind "${kind}".`);
    }
  }

  /** Grey, darker from left to right. */
  private picture(): Uint8Array {
    return Uint8Array.from({ length: 8 * 8 * 3 }, (_, index) => 200 - 10 * (Math.floor(index / 3) % 8));
  }

  sample(sample: number, padding: boolean): SampleContent {
    const count = this.length(sample);
    const shown: Span = [0, padding ? count : count - this.padded];
    const layer = (index: number): Layer => ({
      name: `encoder.layer.${index}.attention.self`,
      heads: this.headCount,
      queries: count,
      keys: count,
      kind: "self",
      source: "sdpa",
      note: "",
      is_derived: false,
      query_tokens: "input",
      key_tokens: "input",
      rows: shown,
      columns: shown,
      prompt: null,
      query_grid: null,
      key_grid: null,
    });
    return {
      sample,
      title: `sentence ${sample}`,
      layers: Array.from({ length: this.layerCount }, (_, index) => layer(index)),
      tokens: {
        input: Array.from({ length: count }, (_, position) => {
          const text = position === count - 1 ? "[SEP]" : (SENTENCE[position % 27] as string);
          const special = text.startsWith("[") ? 1 : 0;
          return [text, text, 0, special, 0] as Token;
        }),
      },
      footer: "",
    };
  }

  private softmax(sample: number, layer: number, head: number): Float32Array {
    const count = this.length(sample);
    const out = new Float32Array(count * count);
    for (let query = 0; query < count; query += 1) {
      let sum = 0;
      for (let key = 0; key < count; key += 1) {
        const value = Math.exp(score(sample, layer, head, query, key, count - 1));
        out[query * count + key] = value;
        sum += value;
      }
      for (let key = 0; key < count; key += 1) (out[query * count + key] as number) /= sum;
    }
    return out;
  }

  private combine(sample: number, layer: number, how: "mean" | "max"): Float32Array {
    const out = new Float32Array(this.length(sample) ** 2);
    for (let head = 0; head < this.headCount; head += 1) {
      this.softmax(sample, layer, head).forEach((value, index) => {
        const old = out[index] as number;
        out[index] = how === "max" ? Math.max(old, value) : old + value / this.headCount;
      });
    }
    return out;
  }

  private line(side: "from" | "to", place: { sample: number; layer: number; head: Head }, position: number) {
    const count = this.length(place.sample);
    const weights = this.weights(place.sample, place.layer, place.head);
    const at = (index: number) => (side === "from" ? position * count + index : index * count + position);
    return {
      [side]: {
        data: Float32Array.from({ length: count }, (_, index) => weights[at(index)] as number),
        shape: [count],
      },
    };
  }

  /** Two samples of one length, without reducing. */
  private compare(asked: HeadSelection & Comparing): Reply {
    const { other, comparison, query } = asked;
    const [count, theirCount] = [this.length(asked.sample), this.length(other.sample)];
    if (count !== theirCount) throw new Error(`sample ${other.sample} has ${theirCount} tokens`);
    const mine = this.weights(asked.sample, asked.layer, asked.head);
    const theirs = this.weights(other.sample, other.layer, other.head);
    const { content } = this.head(asked);
    const lines: Record<string, Source> = {};
    if (query !== null) {
      for (const side of ["from", "to"] as const) {
        Object.assign(lines, this.line(side, asked, query));
        lines[`other_${side}`] = this.line(side, other, query)[side] as Source;
      }
    }
    const shape = [count, count];
    const largest = [...mine, ...theirs].reduce((a, b) => Math.max(a, b), 0);
    const side = (weights: Float32Array): Source => ({
      ...{ data: Uint8Array.from(weights, (value) => Math.round((254 * value) / largest)), shape },
      ...{ range: [0, largest], note: "uint8 of both" },
    });
    const differences = mine.map((value, index) => value - (theirs[index] as number));
    const limit = differences.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const data = Uint8Array.from(differences, (value) => Math.round(127 + (127 * value) / limit));
    const difference: Source = { data, shape, range: [-limit, limit] };
    const pictures = comparison === "side" ? { a: side(mine), b: side(theirs) } : { difference };
    return { content: { ...content, other_revision: 1 }, ...pack({ ...pictures, ...lines }) };
  }

  private reduced(selection: HeadSelection): Source & { data: Uint8Array } {
    const { sample, layer, head, scale, size } = selection;
    const count = this.length(sample);
    const all: Span = [0, selection.padding ? count : count - this.padded];
    const [rows, keys] = [selection.rows ?? all, selection.keys ?? all];
    const height = Math.min(size[0], rows[1] - rows[0]);
    const width = Math.min(size[1], keys[1] - keys[0]);
    const means = meanPool(this.weights(sample, layer, head), count, rows, keys, height, width);
    const per = [(rows[1] - rows[0]) / height, (keys[1] - keys[0]) / width].map((cells) =>
      Number(cells.toFixed(2)),
    );
    const note = per.every((cells) => cells === 1) ? "" : `mean of ${per.join(" × ")} weights per pixel`;
    return { ...quantise(means, width, scale), shape: [height, width], note };
  }

  private grid(sample: number, padding: boolean, size: [number, number]): Reply {
    const heads = this.layerCount * this.headCount;
    const data = new Uint8Array(heads * size[0] * size[1]);
    for (let index = 0; index < heads; index += 1) {
      const [layer, head] = [Math.floor(index / this.headCount), index % this.headCount];
      const place = {
        sample,
        padding,
        layer,
        head,
        query: null,
        scale: "linear",
        rows: null,
        keys: null,
        size,
        lens: PLAIN,
      } as const;
      data.set(this.reduced({ ...place, size }).data, index * size[0] * size[1]);
    }
    const { unread } = this;
    return { content: { note: "", unread }, ...pack({ thumbnails: { data, shape: [heads, ...size] } }) };
  }

  /** Entropy of every head; an induction score, which heads of the first layer have not. */
  statisticsValues(sample: number): [entropy: number, induction: number][] {
    const heads = Array.from({ length: this.layerCount * this.headCount }, (_, index) => index);
    return heads.map((index) => {
      const [layer, head] = [Math.floor(index / this.headCount), index % this.headCount];
      const terms = this.weights(sample, layer, head).map((a) => (a > 0 ? -a * Math.log2(a) : 0));
      const entropy = terms.reduce((sum, term) => sum + term, 0) / this.length(sample);
      return [Math.fround(entropy), layer === 0 ? Number.NaN : Math.fround(noise(layer, head, 9))];
    });
  }

  /** `done`: how many heads are there yet. */
  statistics(sample: number, done = this.layerCount * this.headCount, note = ""): Reply {
    const all = this.statisticsValues(sample);
    const data = Float32Array.from(all.flatMap((row, index) => (index < done ? row : [NaN, NaN])));
    const column = (key: string, name: string, unit: string, absent: string) => ({
      ...{ key, name, short: name, unit, decimals: 2, definition: `What ${name} is.`, absent },
    });
    const progress = done < all.length ? `${done} of ${all.length} heads, 25 %` : "";
    return {
      content: {
        columns: [
          column("entropy", "Entropy", "bits", ""),
          column("induction", "Induction", "", "n/a here."),
        ],
        ...{ done, note, progress, footer: "statistics of all heads · exact" },
      },
      ...pack({ statistics: { data, shape: [all.length, 2] } }),
    };
  }

  private head(selection: HeadSelection): Reply {
    const { query, sample } = selection;
    const count = this.length(sample);
    const all: Span = [0, selection.padding ? count : count - this.padded];
    const lines =
      query === null ? {} : { ...this.line("from", selection, query), ...this.line("to", selection, query) };
    const statistic = (key: string, name: string, text: string, definition: string) => ({
      key,
      name,
      value: Number.parseFloat(text),
      unit: "",
      definition,
      text,
    });
    return {
      content: {
        revision: this.revision,
        rows: selection.rows ?? all,
        keys: selection.keys ?? all,
        statistics: [
          statistic(
            "entropy",
            "Entropy",
            "1.59 bits",
            "Mean over queries of the entropy of their weights: 0 when each looks at one key.",
          ),
          statistic(
            "distance",
            "Mean distance",
            "12.3 tokens",
            "Mean over queries of the weighted distance to the keys.",
          ),
          statistic(
            "sink",
            "Mass on [CLS]+[SEP]",
            "0.81",
            "Share of all weight that lies on special tokens.",
          ),
          statistic("induction", "Induction score", "0.04", "Mean weight of what followed."),
        ],
        footer: "sdpa · weights recomputed from Q·K for the picked head",
        unit: "weight",
        progress: "",
      },
      ...pack({ matrix: this.reduced(selection), ...lines }),
    };
  }

  /** Near matplotlib's Blues. */
  private blues(): Uint8Array {
    const stops = [
      [247, 251, 255],
      [198, 219, 239],
      [107, 174, 214],
      [33, 113, 181],
      [8, 48, 107],
    ] as const;
    const table = new Uint8Array(768);
    for (let index = 0; index < 255; index += 1) {
      const place = (index / 254) * 4;
      const low = stops[Math.min(3, Math.floor(place))] as readonly number[];
      const high = stops[Math.min(3, Math.floor(place)) + 1] as readonly number[];
      const share = place - Math.min(3, Math.floor(place));
      for (let channel = 0; channel < 3; channel += 1) {
        const [from, to] = [low[channel] as number, high[channel] as number];
        table[index * 3 + channel] = Math.round(from + share * (to - from));
      }
    }
    table.set([255, 0, 255], 255 * 3);
    return table;
  }
}

function meanPool(
  weights: Float32Array,
  count: number,
  rows: Span,
  keys: Span,
  height: number,
  width: number,
) {
  const out = new Float32Array(height * width);
  const edge = ([start, stop]: Span, cells: number, index: number) =>
    start + Math.floor(((stop - start) * index) / cells);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      let sum = 0;
      let cells = 0;
      for (let q = edge(rows, height, row); q < edge(rows, height, row + 1); q += 1) {
        for (let k = edge(keys, width, column); k < edge(keys, width, column + 1); k += 1) {
          sum += weights[q * count + k] as number;
          cells += 1;
        }
      }
      out[row * width + column] = sum / cells;
    }
  }
  return out;
}

function quantise(
  values: Float32Array,
  width: number,
  scale: string,
): { data: Uint8Array; range: [number, number] } {
  const largest = values.reduce((a, b) => Math.max(a, b), 0);
  const data = new Uint8Array(values.length);
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] as number;
    const start = index - (index % width);
    const share =
      scale === "row"
        ? value / values.subarray(start, start + width).reduce((a, b) => Math.max(a, b), 0)
        : scale === "log"
          ? Math.max(0, 1 + Math.log10(value / largest) / 3)
          : value / largest;
    data[index] = Math.round(254 * share);
  }
  return {
    data,
    range: scale === "row" ? [0, 1] : scale === "log" ? [largest / 1000, largest] : [0, largest],
  };
}
