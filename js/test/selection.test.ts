import { describe, expect, it } from "vitest";
import {
  clampSelection,
  headSelection,
  keepWindow,
  linesWindow,
  neededWindow,
  pageIn,
  thumbnailSize,
} from "../src/explorers/attention/selection";
import type { Layer, Lens, SampleContent, Selection } from "../src/explorers/attention/types";
import { WeightCache } from "../src/explorers/attention/weights";
import type { Window } from "../src/marks/viewport";

const layer = (heads: number, rows: [number, number], columns = rows): Layer => ({
  ...{
    name: "a",
    kind: "self",
    source: "sdpa",
    note: "",
    is_derived: false,
    query_tokens: "input",
    key_tokens: "input",
  },
  ...{
    heads,
    queries: rows[1],
    keys: columns[1],
    rows,
    columns,
    prompt: null,
    query_grid: null,
    key_grid: null,
  },
});
const content = (...layers: Layer[]): SampleContent => ({
  sample: 0,
  title: "",
  layers,
  tokens: {},
  footer: "",
});
const plain: Lens = { measure: "weights", units: "tokens", hide_sinks: false, ablated: [], target: null };
const selection: Selection = {
  ...plain,
  ...{ sample: 0, padding: false, layer: 0, head: 7, query: 22, view: "matrix", scale: "log" },
  ...{ colormap: "Blues", grid_by: "weights" },
  ...{ compared: null, comparison: "side", difference_colormap: "RdBu_r" },
};

describe("clamping", () => {
  it("moves layer, head and query into what is there", () => {
    const there = content(layer(12, [0, 28]), layer(4, [0, 10]));
    expect(clampSelection({ ...selection, layer: 1 }, there)).toMatchObject({ layer: 1, head: 3, query: 9 });
    expect(clampSelection({ ...selection, layer: 9 }, there)).toMatchObject({ layer: 1, head: 3 });
    expect(clampSelection(selection, there)).toEqual(selection);
  });
  it("leaves combined heads and no query alone, and hides padding from the query", () => {
    const there = content(layer(4, [3, 10]));
    expect(clampSelection({ ...selection, head: "max", query: null }, there)).toMatchObject({
      head: "max",
      query: null,
    });
    expect(clampSelection({ ...selection, query: 0 }, there).query).toBe(3);
  });
  it("lets a query name a key where keys are more", () => {
    expect(clampSelection(selection, content(layer(8, [0, 5], [0, 40]))).query).toBe(22);
  });
});

describe("head requests", () => {
  it("name no window where all is asked for", () => {
    const small = layer(12, [0, 28]);
    const asked = headSelection(selection, small, neededWindow(small, "matrix", null, 0));
    expect(asked).toEqual({
      ...{ sample: 0, padding: false, layer: 0, head: 7, query: 22, scale: "log" },
      ...{ rows: null, keys: null, size: [28, 28] },
      lens: plain,
    });
  });
  it("name the window of a long text that is looked at closely", () => {
    const long = layer(12, [0, 4096]);
    const asked = headSelection(selection, long, { rows: [1000, 1100], keys: [0, 100] });
    expect(asked.size).toEqual([512, 512]);
    expect(asked.keys).toEqual([0, 512]);
    expect(asked.rows?.[0]).toBeLessThanOrEqual(1000);
  });
  it("turn the lines to the picked query where it is in sight, else to where the matrix is", () => {
    const all = layer(1, [0, 1000]);
    const window: Window = { rows: [436.5, 564], keys: [0, 1000] };
    expect(pageIn(all, window, 500)).toBe(484);
    expect(pageIn(all, window, 440)).toBe(436);
    expect(pageIn(all, window, 900)).toBe(436);
    expect(pageIn(all, window, null)).toBe(436);
    expect(pageIn(all, null, 500)).toBe(484);
    expect(pageIn(all, null, null)).toBeNull();
    expect(pageIn(layer(1, [100, 1000]), { rows: [150, 400], keys: [100, 1000] }, 300)).toBe(184);
  });

  it("ask lines for their window only, the last one whole", () => {
    expect(linesWindow(layer(1, [0, 1000]), 990)).toEqual({ rows: [936, 1000], keys: [936, 1000] });
    expect(linesWindow(layer(1, [0, 1000], [0, 20]), 64)).toEqual({ rows: [64, 128], keys: [0, 20] });
  });
  it("give up a window that the layer has no room for", () => {
    const window = { rows: [0, 20] as [number, number], keys: [0, 20] as [number, number] };
    expect(keepWindow(window, layer(1, [0, 28]))).toBe(window);
    expect(keepWindow(window, layer(1, [0, 12]))).toBeNull();
  });
});

describe("thumbnails", () => {
  it("are no larger than the text, and smaller where heads are many", () => {
    expect(thumbnailSize([layer(12, [0, 28])])).toEqual([28, 28]);
    expect(thumbnailSize([layer(12, [0, 512])])).toEqual([32, 32]);
    const many = Array.from({ length: 80 }, () => layer(64, [0, 512]));
    const [side] = thumbnailSize(many);
    expect(80 * 64 * side * side).toBeLessThanOrEqual(1e6);
  });
});

describe("the cache of weights", () => {
  const place = { sample: 0, layer: 1, head: 2, lens: plain };
  it("keeps rows and columns of each head apart", () => {
    const cache = new WeightCache();
    cache.set(place, "from", 3, new Float32Array([1]));
    expect([...(cache.get(place, "from", 3) ?? [])]).toEqual([1]);
    expect(cache.get(place, "to", 3)).toBeNull();
    expect(cache.get({ ...place, head: "mean" }, "from", 3)).toBeNull();
    expect(cache.get({ ...place, sample: 1 }, "from", 3)).toBeNull();
  });
  it("drops what was not used for longest, and keeps its own copy", () => {
    const cache = new WeightCache(2);
    const weights = new Float32Array([1]);
    cache.set(place, "from", 0, weights);
    weights[0] = 9;
    cache.set(place, "from", 1, weights);
    cache.get(place, "from", 0);
    cache.set(place, "from", 2, weights);
    expect(cache.get(place, "from", 0)?.[0]).toBe(1);
    expect(cache.get(place, "from", 1)).toBeNull();
  });
});
