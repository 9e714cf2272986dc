/** Graphs that Python described, and what it sees of them: test/recorded/graphs.json. */
import type { Description } from "../src/graph/description";
import recording from "./recorded/graphs.json?raw";

export interface Seen {
  opened: string[];
  instances: Record<string, number>;
  /** id, kind, label, number of the box around it, is open, parts; of folded ones: repeats, instance, fold. */
  boxes: [string, string, string, number, number, number, number?, number?, string?][];
  /** Numbers of boxes, then of shapes. */
  edges: number[][];
}

export interface Recorded {
  graph: Description;
  views: Seen[];
}

export const recorded: Record<string, Recorded> = JSON.parse(recording);

export const recordedGraph = (name: string) => (recorded[name] as Recorded).graph;
