import { describe, expect, it } from "vitest";
import { paint, strength } from "../src/marks/colour";
import { keptInside, labelRoom, niceStep, thinLabels } from "../src/marks/labels";
import { mosaicSize, moveBy, paintMosaic, shownRatio, thumbnailAt } from "../src/marks/mosaic";
import { exact, short } from "../src/marks/numbers";
import { excerpt, named, shown, strongest, type Token } from "../src/marks/tokens";

/** Red counts up, green counts down, so that every byte has its own colour. */
const table = Uint8Array.from({ length: 768 }, (_, i) => [i / 3, 255 - (i - 1) / 3, 7][i % 3] as number);
const pixel = (pixels: Uint8ClampedArray, index: number) => [...pixels.subarray(index * 4, index * 4 + 4)];

describe("paint", () => {
  it("gives every byte its colour, opaque, in reading order", () => {
    const cells = new Uint8Array([0, 1, 127, 254, 255, 3]);
    const pixels = new Uint8ClampedArray(24);
    paint(cells, [2, 3], table, pixels);
    cells.forEach((byte, index) => {
      expect(pixel(pixels, index)).toEqual([byte, 255 - byte, 7, 255]);
    });
  });

  it("paints thumbnails side by side and leaves the gaps and missing heads clear", () => {
    const mosaic = { counts: [2, 1], height: 1, width: 2 };
    const size = mosaicSize(mosaic);
    const pixels = new Uint8ClampedArray(size.width * size.height * 4);
    paintMosaic(mosaic, new Uint8Array([10, 11, 20, 21, 30, 31]), table, pixels);
    const reds = Array.from({ length: size.width * size.height }, (_, i) =>
      pixels[i * 4 + 3] === 255 ? pixels[i * 4] : null,
    );
    expect(size).toEqual({ width: 6, height: 4 });
    expect(reds.slice(0, 6)).toEqual([10, 11, null, 20, 21, null]);
    expect(reds.slice(12, 18)).toEqual([30, 31, null, null, null, null]);
  });
});

describe("the grid of heads", () => {
  const mosaic = { counts: [4, 2], height: 8, width: 8 };
  it("is shown as it is, and where thumbnails are threads at most twice as wide as high", () => {
    expect(shownRatio(mosaic)).toBe(4 / 2);
    expect(shownRatio({ ...mosaic, height: 1, width: 32 })).toBe((2 * 4) / 2);
    expect(shownRatio({ ...mosaic, height: 32, width: 1 })).toBe((0.5 * 4) / 2);
  });
  it("finds the thumbnail under a pointer, and none beside them", () => {
    expect(thumbnailAt(mosaic, 0.3, 0.2)).toEqual({ row: 0, column: 1 });
    expect(thumbnailAt(mosaic, 0.6, 0.9)).toBeNull();
    expect(thumbnailAt(mosaic, 0.1, 1.2)).toBeNull();
  });
  it("keeps arrow keys inside layers of different widths", () => {
    expect(moveBy(mosaic, { row: 0, column: 3 }, "ArrowDown")).toEqual({ row: 1, column: 1 });
    expect(moveBy(mosaic, { row: 1, column: 1 }, "ArrowRight")).toEqual({ row: 1, column: 1 });
    expect(moveBy(mosaic, { row: 0, column: 0 }, "ArrowUp")).toEqual({ row: 0, column: 0 });
    expect(moveBy(mosaic, { row: 0, column: 0 }, "x")).toBeNull();
  });
});

describe("labels", () => {
  const positions = (...args: Parameters<typeof thinLabels>) =>
    thinLabels(...args).map(({ position }) => position);
  it("names every token where there is room", () => {
    expect(positions([0, 4], 20, true)).toEqual([0, 1, 2, 3]);
  });
  it("names every k-th token where cells are small", () => {
    expect(positions([0, 7], 6, true)).toEqual([0, 2, 4, 6]);
  });
  it("counts positions where tokens would be too sparse or are not known", () => {
    const labels = thinLabels([0, 512], 0.8, true);
    expect(labels.every(({ tick }) => tick)).toBe(true);
    expect(labels.map(({ position }) => position)).toEqual(Array.from({ length: 11 }, (_, i) => i * 50));
    expect(thinLabels([0, 4], 40, false).every(({ tick }) => tick)).toBe(true);
  });
  it("stays inside a window that was panned by fractions", () => {
    expect(positions([2.6, 5.2], 20, true)).toEqual([3, 4]);
  });
  it("has nothing to label without room", () => expect(thinLabels([0, 4], 0, true)).toEqual([]));
  it("has no numbers over the end of an axis, but all tokens", () => {
    const tick = (position: number) => ({ position, tick: true });
    const labels = [tick(0), tick(220), tick(240)];
    expect(keptInside(labels, "columns", 0, 1.5, 361)).toEqual([tick(0), tick(220)]);
    expect(keptInside(labels, "rows", 0, 1.5, 361)).toEqual([tick(0), tick(220)]);
    expect(keptInside(labels, "columns", 0, 1.5, 400)).toEqual(labels);
    expect(keptInside(labels, "rows", 220, 1.5, 37)).toEqual(labels);
    const token = { position: 240, tick: false };
    expect(keptInside([token], "columns", 0, 1.5, 361)).toEqual([token]);
  });
  it("steps by 1, 2, 5, 10 …", () => expect([1, 3, 7, 11, 201].map(niceStep)).toEqual([1, 5, 10, 20, 500]));
  it("gives long tokens room within limits", () => {
    expect(labelRoom(["it"], 36, 96)).toBe(36);
    expect(labelRoom(["characteristically"], 36, 96)).toBe(96);
  });
});

describe("tokens", () => {
  const tokens: Token[] = [
    ["it", "it", 0, 0, 0],
    [" ", "Ġ", 0, 0, 0],
    ["\n", "Ċ", 1, 0, 1],
  ];
  it("makes white space visible and falls back to positions", () => {
    expect([0, 1, 2, 9].map((position) => shown(tokens, position))).toEqual(["it", "␣", "↵", "9"]);
    expect(named(tokens, 0)).toBe("“it” (0)");
    expect(named(null, 4)).toBe("4");
  });
  it("ranks the strongest of the shown positions and leaves out what is no number", () => {
    const weights = new Float32Array([0.9, 0.1, 0.3, Number.NaN, 0.3, 0.2]);
    expect(strongest(weights, [1, 6], 3).map(({ position }) => position)).toEqual([2, 4, 5]);
  });
  it("shows a part of a long text around a token", () => {
    expect(excerpt([0, 50], 10, 100)).toEqual([0, 50]);
    expect(excerpt([0, 1000], 500, 100)).toEqual([450, 550]);
    expect(excerpt([0, 1000], 990, 100)).toEqual([900, 1000]);
  });
});

describe("numbers", () => {
  it("shows a float32 to its last sure digit, and a dot-dot-dot for what is not here", () => {
    expect(exact(new Float32Array([0.6823456])[0])).toBe("0.682346");
    expect(exact(undefined)).toBe("…");
    expect(exact(Number.NaN)).toBe("NaN");
  });
  it("keeps small weights from rounding to zero", () => {
    expect([0, 0.04362, 0.00002].map(short)).toEqual(["0", "0.044", "2.0e−5"]);
  });
  it("strength is in proportion, or by decades", () => {
    expect(strength(0.25, 0.5, "linear")).toBe(0.5);
    expect(strength(0.05, 0.5, "log")).toBeCloseTo(2 / 3);
    expect(strength(Number.NaN, 0.5, "linear")).toBe(0);
    expect(strength(0, 0, "log")).toBe(0);
  });
});
