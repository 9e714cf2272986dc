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
