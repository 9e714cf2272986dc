import { shapeLabels } from "../graph/labels";
import { type Line, type Point, pathOf } from "../graph/layout";
import { fitText, MOST_SHAPES, SHAPE_INSET, SHAPE_SIZE, textWidth } from "./graph-text";

interface GraphLinesProps {
  lines: Line[];
  /** Id of the box whose edges stand out. */
  picked: string | null;
}

interface Written {
  /** As written, and in full. */
  text: string;
  words: string;
  at: Point;
  isInside: boolean;
}

/** The shapes, each level by itself, beside the rightmost of the lines they are said of. */
function written(lines: Line[]): Written[] {
  const levels = new Map<string | null, Line[]>();
  for (const line of lines) levels.set(line.level, [...(levels.get(line.level) ?? []), line]);
  return [...levels.values()].flatMap((inside) =>
    shapeLabels(inside).map(({ words, lines: said, at }) => {
      const ends = said.map((n) => (inside[n] as Line).points.at(at === "begin" ? 0 : -1) as Point);
      const [x, y] = ends.reduce((best, end) => (end[0] > best[0] ? end : best));
      return {
        text: fitText(words, MOST_SHAPES, SHAPE_SIZE),
        words,
        // Below the edges of a box that stands for several.
        at: [x + SHAPE_INSET, at === "begin" ? y + 16 : y - 7],
        isInside: inside[0]?.level !== null,
      };
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

/** The shapes, above all boxes, on a ground of their own: lines pass behind them. */
export function GraphShapes({ lines }: { lines: Line[] }) {
  return (
    <g class="xw-graph-shapes" font-size={SHAPE_SIZE}>
      {written(lines).map(({ text, words, at: [x, y], isInside }) => (
        <g key={`${words} ${x} ${y}`} class={isInside ? "xw-inside" : ""}>
          <rect x={x - 1.5} y={y - 9} width={textWidth(text, SHAPE_SIZE) + 3} height={12} rx={2} />
          <text x={x} y={y}>
            {text}
            <title>{words}</title>
          </text>
        </g>
      ))}
    </g>
  );
}
