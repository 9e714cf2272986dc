import { describe, expect, it } from "vitest";
import type { Message, Reply } from "../src/kernel/messages";
import { canonical, Replay } from "../src/kernel/replay";

const exchange = {
  request: { kind: "row", selection: { sample: 0, layer: 1, head: 2, query: 3 } },
  reply: {
    kind: "row",
    content: {},
    arrays: { from: { shape: [1], dtype: "float32" as const, offset: 0 } },
    milliseconds: 2,
  },
  buffer: btoa(String.fromCharCode(...new Uint8Array(new Float32Array([0.5]).buffer))),
};

function asked(selection: object, kind = "row"): Promise<[Message, ArrayBuffer[]]> {
  const replay = new Replay([exchange]);
  return new Promise((resolve) => {
    replay.listen((message, buffers) => resolve([message, buffers as ArrayBuffer[]]));
    replay.send({ id: "view:1", kind, selection, pad: 66_000 });
  });
}

describe("replay", () => {
  it("answers a recorded question under the new id, whatever the order of its names", async () => {
    const [message, [buffer]] = await asked({ query: 3, head: 2, layer: 1, sample: 0 });
    expect((message as Reply).id).toBe("view:1");
    expect([...new Float32Array(buffer as ArrayBuffer)]).toEqual([0.5]);
  });

  it("says that another position was not recorded, never shows a near one", async () => {
    const [message] = await asked({ sample: 0, layer: 1, head: 2, query: 4 });
    expect(message).toMatchObject({ id: "view:1", error: expect.stringContaining("not recorded") });
  });

  it("answers pings", async () => {
    const [message] = await asked({}, "ping");
    expect(message).toMatchObject({ id: "view:1", kind: "ping" });
  });

  it("spells equal selections alike", () => {
    expect(canonical({ b: [1, null], a: "x" })).toBe(canonical({ a: "x", b: [1, null] }));
    expect(canonical({ head: 1 })).not.toBe(canonical({ head: "1" }));
  });
});
