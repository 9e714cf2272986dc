import { type Line, type Point, pathOf } from "../graph/layout";
import { fitText, SHAPE_SIZE, textWidth } from "./graph-text";

interface GraphLinesProps {
  lines: Line[];
  /** Id of the box whose edges stand out. */
  picked: string | null;
}

/** Widest that shapes are written. */
const MOST = 150;

/** What is written beside a line. */
interface ShapeLabel {
  key: string;
  words: string;
  at: Point;
}

/**
 * Shapes under the box that tensors come from: one for all that take the same, else at the end of each line.
 */
export function shapeLabels(lines: Line[]): ShapeLabel[] {
  const bySource = new Map<string, Line[]>();
  for (const line of lines) {
    const begin = line.points[0] as Point;
    const key = `${line.from ?? `in ${line.level}`} ${Math.round(begin[0])}`;
    bySource.set(key, [...(bySource.get(key) ?? []), line]);
  }
  const labels: ShapeLabel[] = [];
  for (const [key, group] of bySource) {
    const words = new Set(group.map(({ shapes }) => shapes.join("; ")));
    if (words.size === 1) {
      const [x, y] = (group[0] as Line).points[0] as Point;
      labels.push({ key, words: [...words][0] as string, at: [x + 5, y + 12] });
    } else {
      for (const [n, { shapes, points }] of group.entries()) {
        const [x, y] = points.at(-1) as Point;
        labels.push({ key: `${key} ${n}`, words: shapes.join("; "), at: [x + 5, y - 5] });
      }
    }
  }
  return labels;
}

/** An arrow's head at the end of a line that goes down. */
const headOf = ([x, y]: Point) => `M${x - 3.5} ${y - 6}L${x} ${y}L${x + 3.5} ${y - 6}z`;

/** Edges from box to box, with the shapes of what passes. */
export function GraphLines({ lines, picked }: GraphLinesProps) {
  const touches = ({ from, to }: Line) => picked !== null && (from === picked || to === picked);
  return (
    <g class="xw-graph-lines">
      {lines.map((line, n) => (
        <g
          key={n}
          class={touches(line) ? "xw-graph-line xw-touched" : "xw-graph-line"}
          data-from={line.from ?? ""}
          data-to={line.to ?? ""}
        >
          <path d={pathOf(line.points)} />
          {line.to !== null && <path class="xw-graph-head" d={headOf(line.points.at(-1) as Point)} />}
          <title>{line.shapes.join("; ")}</title>
        </g>
      ))}
    </g>
  );
}

/** The shapes, above all boxes. */
export function GraphShapes({ lines }: { lines: Line[] }) {
  return (
    <g class="xw-graph-shapes" font-size={SHAPE_SIZE}>
      {shapeLabels(lines).map(({ key, words, at: [x, y] }) => (
        <text key={key} x={x} y={y}>
          {textWidth(words, SHAPE_SIZE) > MOST ? fitText(words, MOST, SHAPE_SIZE) : words}
          <title>{words}</title>
        </text>
      ))}
    </g>
  );
}
