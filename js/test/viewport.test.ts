import { describe, expect, it } from "vitest";
import { fitCells, pan, requestWindow, suffices, type Window, zoom } from "../src/marks/viewport";

const full: Window = { rows: [0, 2000], keys: [0, 2000] };

describe("zoom and pan", () => {
  it("keeps the position under the pointer in its place", () => {
    const anchor = { row: 500, key: 1500 };
    const window = zoom(full, full, 2, anchor) as Window;
    expect(window.rows[1] - window.rows[0]).toBe(1000);
    expect((anchor.row - window.rows[0]) / 1000).toBeCloseTo(0.25);
    expect((anchor.key - window.keys[0]) / 1000).toBeCloseTo(0.75);
  });
  it("ends in the whole matrix, and before a single cell", () => {
    const near = zoom(full, full, 1e9, { row: 7, key: 7 }) as Window;
    expect(near.rows[1] - near.rows[0]).toBeCloseTo(4);
    expect(zoom(near, full, 1e-9, { row: 7, key: 7 })).toBeNull();
  });
  it("stays inside", () => {
    const window: Window = { rows: [10, 20], keys: [10, 20] };
    expect(pan(window, full, -50, 5000)).toEqual({ rows: [0, 10], keys: [1990, 2000] });
  });
});

describe("requests", () => {
  it("never ask for more than 512 cells a side, nor for more than there are", () => {
    expect(requestWindow(full, full).size).toEqual([512, 512]);
    const small: Window = { rows: [0, 28], keys: [0, 300] };
    expect(requestWindow(small, small)).toEqual({ ...small, size: [28, 300] });
  });
  it("take in the surroundings that come for nothing", () => {
    const { rows, size } = requestWindow({ rows: [100.4, 299.6], keys: [0, 2000] }, full);
    expect(rows[1] - rows[0]).toBe(512);
    expect(rows[0]).toBeLessThanOrEqual(100);
    expect(rows[1]).toBeGreaterThanOrEqual(300);
    expect(size).toEqual([512, 512]);
  });
  it("are made only when they would show more", () => {
    const overview = { ...full, height: 512, width: 512 };
    expect(suffices(overview, full, full)).toBe(true);
    const near: Window = { rows: [600, 700], keys: [600, 700] };
    expect(suffices(overview, near, full)).toBe(false);
    const detail = { rows: [400, 912], keys: [400, 912], height: 512, width: 512 } as const;
    const received = {
      ...detail,
      rows: [400, 912] as [number, number],
      keys: [400, 912] as [number, number],
    };
    expect(suffices(received, near, full)).toBe(true);
    expect(suffices(received, { rows: [390, 500], keys: [600, 700] }, full)).toBe(false);
  });
});

describe("cells", () => {
  it("are square where both sides stay readable", () => {
    expect(fitCells(28, 28, 560, 560)).toEqual({ width: 20, height: 20 });
  });
  it("are stretched where one side would be a thread", () => {
    const { width, height } = fitCells(10, 1000, 500, 400);
    expect(width).toBe(0.5);
    expect(height).toBe(14);
  });
});
