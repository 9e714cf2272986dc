/** The kernel side of a structure explorer: a small model, or one of many modules. */
import type { Rows, StructureContent, Totals } from "../src/explorers/structure/types";
import { pack, type Reply } from "./fake-kernel";

interface Module {
  name: string;
  type: string;
  calls?: number;
  parameters?: number;
  trainable?: number;
  flops?: number;
  seconds?: number;
}

const MODULES: Module[] = [
  { name: "", type: "Net", parameters: 1_234_567, trainable: 1_000_000, flops: 5000, seconds: 0.0123 },
  { name: "stem", type: "Conv2d", parameters: 234_567, trainable: 0, flops: 3000, seconds: 0.0031 },
  { name: "blocks", type: "ModuleList", calls: 0, parameters: 900_000, trainable: 900_000, flops: 2000 },
  { name: "blocks.0", type: "Block", parameters: 400_000, trainable: 400_000, flops: 500 },
  { name: "blocks.0.linear", type: "Linear", parameters: 400_000, trainable: 400_000, flops: 500 },
  { name: "blocks.1", type: "Block", parameters: 500_000, trainable: 500_000, flops: 1500 },
  { name: "blocks.1.linear", type: "Linear", calls: 2, parameters: 500_000, trainable: 500_000, flops: 1500 },
  { name: "unused", type: "Linear", calls: 0, parameters: 100_000, trainable: 100_000 },
];

/** Many layers below one list. */
export const deepModel = (count: number): Module[] => [
  { name: "", type: "Deep" },
  { name: "layers", type: "ModuleList", calls: 0 },
  ...Array.from({ length: count }, (_, at) => ({ name: `layers.${at}`, type: "Linear", parameters: at })),
];

export function rowsOf(modules: Module[]): Rows {
  const total = modules[0]?.parameters || 1;
  const all = <T>(value: (module: Module) => T) => modules.map(value);
  return {
    name: all(({ name }) => name),
    type: all(({ type }) => type),
    depth: all(({ name }) => (name === "" ? 0 : name.split(".").length)),
    calls: all(({ calls = 1 }) => calls),
    input_shapes: all(({ calls = 1 }) => (calls > 0 ? "1 × 3 × 8 × 8" : "")),
    output_shapes: all(({ calls = 1 }) => (calls > 0 ? "1 × 10" : "")),
    parameters: all(({ parameters = 0 }) => parameters),
    trainable: all(({ trainable = 0 }) => trainable),
    buffers: all(() => 0),
    share: all(({ parameters = 0 }) => parameters / total),
    flops: all(({ flops = 0 }) => flops),
    seconds: all(({ seconds = 0 }) => seconds),
    bytes: all(({ parameters = 0 }) => 4 * parameters),
    output_bytes: all(({ calls = 1 }) => 40 * calls),
    held: all(() => 0),
  };
}

const TOTALS: Totals = {
  ...{ parameters: 1_234_567, trainable: 1_000_000, buffers: 12, flops: 5000, seconds: 0.0123 },
  ...{ bytes: 4_938_316, output_bytes: 400 },
};

const OVERLAYS: StructureContent["overlays"] = [
  { name: "", label: "none", definition: "" },
  { name: "flops", label: "FLOPs", definition: "Floating-point operations" },
  { name: "backward_seconds", label: "Time of backward", definition: "Seconds of the backward" },
  { name: "deviation", label: "Output deviation", definition: "Standard deviation of what comes out" },
  { name: "gradient", label: "Gradient norm", definition: "L2 norm of d target / d output" },
  { name: "dead", label: "Dead share", definition: "Share of channels that are zero for all samples" },
];

const numbers = {
  ...{ mean: 0.25, deviation: 0.0201234, minimum: -1.5, maximum: 2, zeros: 0.5, norm: 12.75 },
  ...{ nan: 0, infinite: 0 },
};

/** What may be answered otherwise. */
export interface Fake {
  modules?: Module[];
  failure?: StructureContent["failure"];
  /** By the name of an overlay; NaN where it does not apply. */
  overlays?: Record<string, number[]>;
}

interface Asked {
  sample: number;
  overlay: string;
  layer_name: string;
  count: number;
}

function structure({ sample }: Asked, { modules = MODULES, failure = null }: Fake): object {
  const groups = [{ type: "", items: [], edges: [], repeats: [] }];
  return {
    ...{ sample, title: `image ${sample}`, first_sight: [], rows: rowsOf(modules), totals: TOTALS, failure },
    graph: {
      ...{ groups, root: 0, begins: "input", shapes: [] },
      calls: { name: [], flops: [], microseconds: [], held: [], bytes: [] },
    },
    ...{ overlays: OVERLAYS, note: "", classes: ["cat", "dog"], revision: 1, footer: "" },
    predicted: { index: 1, name: "dog", probability: 0.75 },
  };
}

function overlay({ overlay: name }: Asked, { modules = MODULES, overlays = {} }: Fake): Reply {
  const values = overlays[name] ?? rowsOf(modules).flops;
  const label = OVERLAYS.find((one) => one.name === name)?.label ?? "";
  return {
    content: { overlay: name, label, unit: "", log: name !== "dead", note: "" },
    ...pack({ values: { data: Float32Array.from(values), shape: [values.length] } }),
  };
}

function values({ layer_name }: Asked): Reply {
  const isContainer = layer_name === "blocks";
  const quantity = (name: string, kind: string) => ({
    ...{ name, kind, shape: "10 × 20", count: 200, note: "", histogram: 0 },
    ...numbers,
  });
  return {
    content: {
      ...{ layer_name, type: isContainer ? "ModuleList" : "Linear", words: "", footer: "" },
      quantities: isContainer
        ? []
        : [quantity("output", "output"), { ...quantity("weight", "parameter"), nan: 3 }],
      initialisation: isContainer
        ? []
        : [
            {
              ...{ parameter: "weight", looks_like: "normal", found: 0.02, expected: 0.2, is_far: true },
              ...{
                fan_in: 50,
                fan_out: 64,
                sentence: "weight looks like normal. Deviation 0.02 is 0.1 times the 0.2 of He.",
              },
            },
          ],
      parts: isContainer ? [{ name: "1.linear.weight", shape: "10 × 20", count: 200, ...numbers }] : [],
      ...{ parts_left_out: 0, gradient_note: "" },
    },
    ...pack({
      edges_0: { data: Float32Array.of(-1, 0, 1), shape: [3] },
      counts_0: { data: Int32Array.of(80, 120), shape: [2] },
    }),
  };
}

const TABLE = Uint8Array.from({ length: 768 }, (_, at) => Math.floor(at / 3));

export function answer(kind: string, selection: object, fake: Fake = {}): Reply {
  const asked = selection as Asked;
  switch (kind) {
    case "structure":
      return { content: structure(asked, fake), ...pack({}) };
    case "colormap":
      return { content: {}, ...pack({ table: { data: TABLE, shape: [256, 3] } }) };
    case "overlay":
      return overlay(asked, fake);
    case "values":
      return values(asked);
    case "dead":
      return {
        content: {
          ...{ layer_name: asked.layer_name, channels: 10, dead: 2, samples: 2, of: 2 },
          ...{ names: ["3", "7"], words: "2 of 10 channels are zero for all 2 samples" },
        },
        ...pack({}),
      };
    case "spectrum":
      return {
        content: {
          spectra: [
            {
              ...{
                parameter: "weight",
                shape: "10 × 20",
                spectral_norm: 3.5,
                effective_rank: 7.25,
                stable_rank: 2,
              },
              ...{ rank_limit: 10, definition: "" },
            },
          ],
        },
        ...pack({ singular_0: { data: Float32Array.of(3.5, 1, 0.5), shape: [3] } }),
      };
    case "text":
      return { content: { text: "Layer  Params", csv: "name,type" }, ...pack({}) };
    default:
      return { content: {}, ...pack({}) };
  }
}
