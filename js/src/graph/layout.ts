import { shapeLabels } from "./labels";
import { INSIDE, type Laid, layered, type Ports, type Task } from "./layered";
import type { Box, Level, Segment, View } from "./view";

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export type Point = [x: number, y: number];

/** What passes between two parts of a box (null: into or out of it), as a line. */
export interface Line {
  /** Id of the box around it. */
  level: string | null;
  from: string | null;
  to: string | null;
  shapes: string[];
  points: Point[];
}

export interface Layout {
  rects: ReadonlyMap<string, Rect>;
  lines: Line[];
  width: number;
  height: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Pixels from the border of an open box to what it holds, and of its title. */
export const PADDING = 12;
export const TITLE = 26;

interface Placed {
  laid: Laid;
  size: Size;
  /** From the corner of the box to that of what it holds. */
  offset: Point;
  ports: Ports;
}

/**
 * Lays out views of one graph, group by group from the inside out.
 *
 * What was laid out once is kept by what it is made of: groups that are alike are laid out once, and when a
 * box opens, it and those around it are laid out again.
 */
export class Layouts {
  private readonly known = new Map<string, Laid>();
  /** How often something was laid out that was not known. */
  runs = 0;

  /**
   * `sizeOf`: of a closed box; of an open one: the least that its title needs. `shapesWidth`: of the words
   * beside a line.
   */
  constructor(
    private readonly sizeOf: (box: Box) => Size,
    private readonly shapesWidth: (words: string) => number,
  ) {}

  layout(view: View): Layout {
    const placed = new Map<string | null, Placed>();
    for (const level of [...view.levels].reverse()) placed.set(level.box, this.place(level, view, placed));
    return spreadOut(view, placed, this.sizeOf);
  }

  private place(level: Level, view: View, placed: Map<string | null, Placed>): Placed {
    const boxes = level.parts.map((id) => view.byId.get(id) as Box);
    const sizes = boxes.map((box): [number, number] => {
      const { width, height } = placed.get(box.id)?.size ?? this.sizeOf(box);
      return [width, height];
    });
    const number = new Map(level.parts.map((id, part) => [id, part]));
    const part = (id: string | null) => (id === null ? INSIDE : (number.get(id) ?? INSIDE));
    const task: Task = {
      ...{ sizes, inputs: level.inputs, outputs: level.outputs },
      segments: level.segments.map(({ from, fromPort, to, toPort }) => [
        ...([part(from), fromPort, part(to), toPort] as const),
      ]),
      ports: level.parts.map((id) => placed.get(id)?.ports ?? null),
      ...this.labels(level, part),
    };
    const laid = this.laid(task);
    const box = level.box === null ? undefined : view.byId.get(level.box);
    if (box === undefined) {
      return { laid, size: laid, offset: [0, 0], ports: laid };
    }
    return around(laid, this.sizeOf(box).width);
  }

  /** Room for the shapes: under each part, and where tensors come in. */
  private labels(level: Level, part: (id: string | null) => number): Pick<Task, "labels" | "inputLabel"> {
    const labels = level.parts.map(() => 0);
    let inputLabel = 0;
    for (const { words, lines, at } of shapeLabels(level.segments)) {
      const { from, to } = level.segments[lines[0] as number] as Segment;
      const width = Math.ceil(this.shapesWidth(words));
      const place = part(at === "begin" ? from : to);
      if (place !== INSIDE) labels[place] = Math.max(labels[place] as number, width);
      else if (at === "begin") inputLabel = width;
    }
    return { labels, inputLabel };
  }

  private laid(task: Task): Laid {
    const key = JSON.stringify(task);
    let laid = this.known.get(key);
    if (laid === undefined) {
      laid = layered(task);
      this.runs += 1;
      this.known.set(key, laid);
    }
    return laid;
  }
}

/** A box around what is laid out, wide enough for its title. */
function around(laid: Laid, least: number): Placed {
  const width = Math.max(laid.width + 2 * PADDING, least);
  const left = (width - laid.width) / 2;
  const above = TITLE + (laid.inputs.length > 0 ? 0 : PADDING);
  const below = laid.outputs.length > 0 ? 0 : PADDING;
  const shift = (ports: number[]) => ports.map((port) => port + left);
  return {
    laid,
    size: { width, height: above + laid.height + below },
    offset: [left, above],
    ports: { inputs: shift(laid.inputs), outputs: shift(laid.outputs) },
  };
}

/** From places within boxes to places in the whole. */
function spreadOut(view: View, placed: Map<string | null, Placed>, sizeOf: (box: Box) => Size): Layout {
  const rects = new Map<string, Rect>();
  const lines: Line[] = [];
  for (const level of view.levels) {
    const { laid, offset } = placed.get(level.box) as Placed;
    const corner = level.box === null ? { x: 0, y: 0 } : (rects.get(level.box) as Rect);
    const [left, top] = [corner.x + offset[0], corner.y + offset[1]];
    level.parts.forEach((id, part) => {
      const [x, y] = laid.corners[part] as Point;
      const { width, height } = placed.get(id)?.size ?? sizeOf(view.byId.get(id) as Box);
      rects.set(id, { x: left + x, y: top + y, width, height });
    });
    level.segments.forEach(({ from, to, shapes }, n) => {
      const points = (laid.lines[n] as Point[]).map(([x, y]): Point => [left + x, top + y]);
      lines.push({ level: level.box, from, to, shapes, points });
    });
  }
  const { width, height } = placed.get(null)?.size ?? { width: 0, height: 0 };
  return { rects, lines, width, height };
}

/** The path of a line: straight down within rows, curved between them. */
export function pathOf(points: Point[]): string {
  let path = "";
  points.forEach(([x, y], n) => {
    const [before, above] = points[n - 1] ?? [x, y];
    if (n === 0) path = `M${round(x)} ${round(y)}`;
    else if (Math.abs(before - x) < 0.5) path += `V${round(y)}`;
    else {
      const middle = round((above + y) / 2);
      path += `C${round(before)} ${middle} ${round(x)} ${middle} ${round(x)} ${round(y)}`;
    }
  });
  return path;
}

const round = (value: number) => Math.round(10 * value) / 10;
