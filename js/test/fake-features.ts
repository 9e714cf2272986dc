/** The kernel side of a feature explorer, as far as its controls need it: one layer of two channels. */
import type { AscentOptions } from "../src/explorers/features/types";
import { pack, type Reply } from "./fake-kernel";

export const DEFAULTS: AscentOptions = {
  ...{ start: "noise", parametrisation: "frequency", steps: 128, learning_rate: 0.1 },
  ...{ jitter: null, blur: 0, total_variation: 0.3, seed: 0 },
};

const LAYER = {
  ...{ name: "conv", type: "Conv2d", words: "2 channels of 2 × 2", size: "2 × 2 × 2" },
  ...{ channels: 2, height: 2, width: 2, entries: [""], entry: "", layouts: { "": [] } },
};

const CHANNEL = {
  ...{ name: "channel 0", height: 2, width: 2, statistics: [], strongest: [], overlay: null },
  ...{ alignment: "", reduced: "" },
};

const SAMPLE = {
  ...{ sample: 0, title: "image 0", has_image: false, layers: [LAYER] },
  ...{ classes: [], predicted: null, ascent: DEFAULTS, footer: "" },
};

const SHEET = {
  ...{ words: LAYER.words, channels: 2, slices: 1, height: 2, width: 2, from: 0 },
  ...{ footer: "", revision: 1 },
};

const levels = (count: number, shape: number[]) => ({
  ...{ data: new Uint8Array(count).fill(127), shape, range: [-1, 1] as [number, number] },
});

/** The arrays of a channel. */
const ONE = {
  map: levels(4, [1, 2, 2]),
  edges: { data: Float32Array.of(0, 1), shape: [2] },
  counts: { data: Int32Array.of(4), shape: [1] },
};

export function answer(kind: string, selection: object): Reply {
  switch (kind) {
    case "sample":
      return { content: SAMPLE, ...pack({}) };
    case "colormap":
      return { content: {}, ...pack({ table: { data: new Uint8Array(768), shape: [256, 3] } }) };
    case "maps": {
      const isWhole = (selection as { channel?: number }).channel !== undefined;
      return {
        content: { ...SHEET, ...(isWhole && { channel: CHANNEL }) },
        ...pack({
          maps: levels(8, [2, 2, 2]),
          order: { data: Int32Array.of(0, 1), shape: [2] },
          scores: { data: Float32Array.of(0, -1), shape: [2] },
          ...(isWhole && ONE),
        }),
      };
    }
    case "channel":
      return { content: CHANNEL, ...pack(ONE) };
    case "maximise": {
      const { steps } = selection as AscentOptions;
      return {
        content: { step: steps, steps, value: 1, note: "" },
        ...pack({ picture: { data: new Uint8Array(12), shape: [2, 2, 3] } }),
      };
    }
    case "across":
      return { content: { samples: [0], values: [1], titles: ["image 0"], of: 1 }, ...pack({}) };
    default:
      return { content: {}, ...pack({}) };
  }
}

/** The same of three layers alike, each with the name of its channel; it knows what is read ahead. */
export class FakeLayers {
  revision = 1;

  answer(kind: string, selection: object): Reply {
    const { layer, known } = selection as { layer: number; known?: number };
    const reply = answer(kind === "ahead" ? "maps" : kind, selection);
    switch (kind) {
      case "sample": {
        const layers = [0, 1, 2].map((index) => ({ ...LAYER, name: `conv${index}` }));
        return { ...reply, content: { ...SAMPLE, layers } };
      }
      case "maps":
      case "ahead": {
        const isKnown = known === this.revision;
        if (kind === "maps" && isKnown) return { content: { unchanged: true }, ...pack({}) };
        if (kind === "ahead" && !isKnown) return { content: { skipped: true }, ...pack({}) };
        const channel = { ...CHANNEL, name: `channel of conv${layer}, revision ${this.revision}` };
        return { ...reply, content: { ...reply.content, revision: this.revision, channel } };
      }
      default:
        return reply;
    }
  }
}
