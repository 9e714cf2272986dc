import { pick } from "../../kernel/arrays";
import type { Answer } from "../../kernel/connection";
import type {
  Answered,
  Backward,
  Dead,
  OverlayAnswer,
  Quantity,
  Spectrum,
  StructureContent,
  Values,
  ValuesContent,
} from "./types";

/** What is said counts, too: most of these answers is no array. */
function sizes({ content, payload, bytes, milliseconds }: Answer): Answered {
  const said = JSON.stringify(content).length;
  return { payload: payload + said, bytes: bytes + said, milliseconds };
}

export function readStructure(answer: Answer): StructureContent {
  return { ...(answer.content as Omit<StructureContent, keyof Answered>), ...sizes(answer) };
}

export const readBackward = ({ content }: Answer) => content as Backward;

export function readOverlay({ content, arrays, partial }: Answer): OverlayAnswer {
  const values = pick(arrays, "values", "float32")?.data;
  if (values === undefined) throw new Error("it has no values");
  const said = content as Omit<OverlayAnswer, "values" | "partial" | "progress">;
  const { progress = null } = content as { progress?: [number, number] | null };
  return { ...said, values, partial, progress };
}

export function readValues(answer: Answer, sample: number): Values {
  const said = answer.content as ValuesContent & {
    quantities: (Omit<Quantity, "edges" | "counts"> & { histogram: number | null })[];
  };
  const quantities = said.quantities.map(({ histogram, ...quantity }) => ({
    ...quantity,
    edges: pick(answer.arrays, `edges_${histogram}`, "float32")?.data ?? null,
    counts: pick(answer.arrays, `counts_${histogram}`, "int32")?.data ?? null,
  }));
  return { ...said, sample, quantities, ...sizes(answer) };
}

export function readDead({ content, partial }: Answer, layer_name: string): Dead {
  return { ...(content as Omit<Dead, "partial">), layer_name, partial };
}

export function readSpectra({ content, arrays }: Answer): Spectrum[] {
  const { spectra } = content as { spectra: Omit<Spectrum, "singular">[] };
  return spectra.map((spectrum, k) => ({
    ...spectrum,
    singular: pick(arrays, `singular_${k}`, "float32")?.data ?? null,
  }));
}
