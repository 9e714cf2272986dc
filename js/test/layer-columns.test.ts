import { describe, expect, it } from "vitest";
import { COLUMNS, type Column, fitting, leastWidth } from "../src/explorers/structure/rows";

const keys = (columns: Column[]) => columns.map(({ key }) => key);

describe("columns of the layer table", () => {
  it("are all there where they have room", () => {
    expect(fitting(COLUMNS, leastWidth(COLUMNS), null)).toEqual(COLUMNS);
  });

  it("go one by one where there is less, until the others fit", () => {
    for (const pixels of [900, 800, 600, 480, 300]) {
      const left = fitting(COLUMNS, pixels, null);
      expect(leastWidth(left)).toBeLessThanOrEqual(pixels);
      expect(keys(left)).toEqual(keys(COLUMNS).filter((key) => keys(left).includes(key)));
    }
    expect(keys(fitting(COLUMNS, 900, null))).not.toContain("trainable");
    expect(keys(fitting(COLUMNS, 100, null))).toEqual(["name", "parameters"]);
  });

  it("stay where they are sorted by or coloured", () => {
    expect(keys(fitting(COLUMNS, 600, "trainable"))).toContain("trainable");
    const coloured = COLUMNS.map((one) => (one.key === "share" ? { ...one, colours: () => undefined } : one));
    expect(keys(fitting(coloured, 300, null))).toEqual(["name", "parameters", "share"]);
  });
});
