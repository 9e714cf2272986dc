import { describe, expect, it } from "vitest";
import {
  layOutMaps,
  layOutUnits,
  pagesOf,
  placesInView,
  rowHeight,
  stepPlace,
  totalHeight,
} from "../src/marks/map-layout";
import { paintMap } from "../src/marks/map-pixels";

describe("a map on a sheet", () => {
  const table = Uint8Array.from({ length: 768 }, (_, index) => Math.floor(index / 3));
  const cells = { data: Uint8Array.of(10, 20, 30, 40, 50, 60), height: 2, width: 3 };
  const painted = (map: Parameters<typeof paintMap>[0], size: [number, number], opacity?: number) => {
    const pixels = new Uint8ClampedArray(4 * 10 * 8);
    const box = { left: 2, top: 1, height: size[0], width: size[1], targetWidth: 10 };
    paintMap(map, table, pixels, box, opacity);
    const at = (y: number, x: number) => [...pixels.subarray(4 * (10 * y + x), 4 * (10 * y + x) + 4)];
    const inside = new Set<number>();
    for (let y = 1; y < 1 + size[0]; y += 1) for (let x = 2; x < 2 + size[1]; x += 1) inside.add(10 * y + x);
    for (let place = 0; place < 80; place += 1) {
      expect(at(Math.floor(place / 10), place % 10)[3] !== 0).toBe(inside.has(place));
    }
    return { at, row: (y: number) => Array.from({ length: size[1] }, (_, x) => at(y, 2 + x)[0]) };
  };

  it("has each number as often as fits, and of too many those that lie in the middle of a pixel", () => {
    const { row } = painted(cells, [4, 6]);
    expect([row(1), row(2), row(3), row(4)]).toEqual([
      [10, 10, 20, 20, 30, 30],
      [10, 10, 20, 20, 30, 30],
      [40, 40, 50, 50, 60, 60],
      [40, 40, 50, 50, 60, 60],
    ]);
    expect(painted(cells, [2, 7]).row(1)).toEqual([10, 10, 20, 20, 20, 30, 30]);
    expect(painted(cells, [1, 1]).row(1)).toEqual([50]);
  });

  it("is seen through where its channel is muted, and may have colours of its own", () => {
    expect(painted(cells, [2, 3], 0.35).at(1, 2)).toEqual([10, 10, 10, 89]);
    const coloured = { data: Uint8Array.of(1, 2, 3, 4, 5, 6), height: 1, width: 2, coloured: true };
    const { at } = painted(coloured, [1, 2]);
    expect([at(1, 2), at(1, 3)]).toEqual([
      [1, 2, 3, 255],
      [4, 5, 6, 255],
    ]);
  });
});

describe("maps of many channels", () => {
  it("are as large as all of them fit into the box", () => {
    for (const count of [1, 6, 16, 40]) {
      const box = { width: 640, height: 440 };
      const layout = layOutMaps(count, 1, box);
      expect(totalHeight(count, layout)).toBeLessThanOrEqual(box.height);
      const wide = layout.columns * layout.width + (layout.columns - 1) * layout.gap;
      expect(wide).toBeLessThanOrEqual(box.width + 0.01);
    }
    expect(layOutMaps(16, 1, { width: 640, height: 440 }).width).toBeGreaterThan(80);
  });

  it("are scrolled through where they do not fit, of which those in view are asked for", () => {
    const layout = layOutMaps(512, 1, { width: 640, height: 440 });
    expect(totalHeight(512, layout)).toBeGreaterThan(440);
    const [first, last] = placesInView(512, layout, 10 * rowHeight(layout), 440);
    expect(first).toBe(9 * layout.columns);
    expect(last).toBeLessThan(512);
    expect(last - first).toBeGreaterThanOrEqual(Math.floor(440 / rowHeight(layout)) * layout.columns);
    expect(placesInView(512, layout, totalHeight(512, layout) - 440, 440)[1]).toBe(512);
  });

  it("of a single number are a sheet of squares, long ones bands of the whole width", () => {
    expect(layOutUnits(120, { width: 640, height: 440 })).toMatchObject({ columns: 29, gap: 0, caption: 0 });
    expect(layOutMaps(4, 20, { width: 640, height: 440 })).toMatchObject({
      columns: 1,
      width: 640,
      height: 32,
    });
  });

  it("come in pages, and arrow keys stay among them", () => {
    expect(pagesOf([10, 35], 16)).toEqual([0, 16, 32]);
    expect(stepPlace(5, 20, 8, "ArrowDown")).toBe(13);
    expect(stepPlace(15, 20, 8, "ArrowDown")).toBe(15);
    expect(stepPlace(0, 20, 8, "ArrowLeft")).toBe(0);
    expect(stepPlace(3, 20, 8, "End")).toBe(19);
    expect(stepPlace(3, 20, 8, "x")).toBeNull();
  });
});
