import { shapeLabels } from "../graph/labels";
import { type Line, type Point, pathOf } from "../graph/layout";
import { fitText, MOST_SHAPES, SHAPE_INSET, SHAPE_SIZE } from "./graph-text";

interface GraphLinesProps {
  lines: Line[];
  /** Id of the box whose edges stand out. */
  picked: string | null;
}

interface Written {
  words: string;
  at: Point;
}

/** The shapes, each level by itself, beside the rightmost of the lines they are said of. */
function written(lines: Line[]): Written[] {
  const levels = new Map<string | null, Line[]>();
  for (const line of lines) levels.set(line.level, [...(levels.get(line.level) ?? []), line]);
  return [...levels.values()].flatMap((inside) =>
    shapeLabels(inside).map(({ words, lines: said, at }) => {
      const ends = said.map((n) => (inside[n] as Line).points.at(at === "begin" ? 0 : -1) as Point);
      const [x, y] = ends.reduce((best, end) => (end[0] > best[0] ? end : best));
      return { words, at: [x + SHAPE_INSET, at === "begin" ? y + 14 : y - 7] };
    }),
  );
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
      {written(lines).map(({ words, at: [x, y] }) => (
        <text key={`${words} ${x} ${y}`} x={x} y={y}>
          {fitText(words, MOST_SHAPES, SHAPE_SIZE)}
          <title>{words}</title>
        </text>
      ))}
    </g>
  );
}
