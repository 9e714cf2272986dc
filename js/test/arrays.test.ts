import { describe, expect, it } from "vitest";
import { decode, payloadBytes, pick } from "../src/kernel/arrays";
import type { ArrayHeader } from "../src/kernel/messages";

const headers: Record<string, ArrayHeader> = {
  matrix: { shape: [1, 3], dtype: "uint8", offset: 0, range: [0, 0.5], nonfinite: 1 },
  from: { shape: [2], dtype: "float32", offset: 8 },
  index: { shape: [1], dtype: "int32", offset: 16 },
};

function filled(padding = 0): ArrayBuffer {
  const buffer = new ArrayBuffer(20 + padding);
  new Uint8Array(buffer, 0, 3).set([0, 254, 255]);
  new Float32Array(buffer, 8, 2).set([0.25, 0.75]);
  new Int32Array(buffer, 16, 1).set([-7]);
  return buffer;
}

describe("decode", () => {
  it("reads arrays at their offsets, and the padding behind them as nothing", () => {
    const arrays = decode(headers, filled(100));
    expect([...(pick(arrays, "matrix", "uint8")?.data ?? [])]).toEqual([0, 254, 255]);
    expect([...(pick(arrays, "from", "float32")?.data ?? [])]).toEqual([0.25, 0.75]);
    expect([...(pick(arrays, "index", "int32")?.data ?? [])]).toEqual([-7]);
    expect(arrays.matrix).toMatchObject({ range: [0, 0.5], nonfinite: 1, note: "" });
    expect(payloadBytes(headers)).toBe(20);
  });

  it("reads a view that starts at an odd byte of a larger buffer", () => {
    const larger = new Uint8Array(64);
    larger.set(new Uint8Array(filled()), 5);
    const arrays = decode(headers, new DataView(larger.buffer, 5, 20));
    expect([...(pick(arrays, "from", "float32")?.data ?? [])]).toEqual([0.25, 0.75]);
  });

  it("refuses what is too short, and a dtype that was not promised", () => {
    expect(() => decode(headers, new ArrayBuffer(10))).toThrow("bytes short");
    expect(() => pick(decode(headers, filled()), "from", "uint8")).toThrow("float32, not uint8");
    expect(pick({}, "to", "float32")).toBeNull();
  });
});
