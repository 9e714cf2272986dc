import { meets } from "../graph/camera";
import type { Layout, Line, Rect } from "../graph/layout";
import type { Box, View } from "../graph/view";
import { type BoxMarks, GraphBox } from "./graph-box";
import { GraphLines, GraphShapes } from "./graph-lines";

export interface GraphDrawingProps {
  view: View;
  layout: Layout;
  /** How each box is marked. */
  marksOf(box: Box): BoxMarks;
  picked: string | null;
  /** What is drawn of it; null: all. */
  seen: Rect | null;
  /** Before the ids of elements. */
  prefix: string;
  /** A picture that nobody can handle. */
  isStill: boolean;
  onToggle(id: string, event: Event): void;
  onPick(id: string, event: Event): void;
}

/** Id of the element of a box. */
export const domIdOf = (prefix: string, view: View, id: string) =>
  `${prefix}-${view.boxes.findIndex((box) => box.id === id)}`;

/** How deep each box lies, from 1. */
function depthsOf({ boxes }: View): Map<string, number> {
  const depths = new Map<string, number>();
  for (const { id, parent } of boxes) depths.set(id, 1 + (parent === null ? 0 : (depths.get(parent) ?? 0)));
  return depths;
}

function rectOf({ points }: Line): Rect {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x: x - 4, y, width: Math.max(...xs) - x + 160, height: Math.max(...ys) - y + 1 };
}

/** Open boxes, then what passes between the parts, then these, then the shapes. */
export function GraphDrawing(props: GraphDrawingProps) {
  const { view, layout, marksOf, picked, seen, prefix, isStill, onToggle, onPick } = props;
  const depths = depthsOf(view);
  const isSeen = (rect: Rect) => seen === null || meets(rect, seen);
  const lines = layout.lines.filter((line) => isSeen(rectOf(line)));
  const draw = (isOpen: boolean) =>
    view.boxes.map((box, number) => {
      const rect = layout.rects.get(box.id) as Rect;
      const marks = marksOf(box);
      if (box.isOpen !== isOpen || !(isSeen(rect) || marks.focused)) return null;
      return (
        <GraphBox
          key={box.id}
          {...{ box, rect, isStill, onToggle, onPick, ...marks }}
          level={depths.get(box.id) ?? 1}
          domId={`${prefix}-${number}`}
        />
      );
    });
  return (
    <>
      {draw(true)}
      <GraphLines lines={lines} picked={picked} />
      {draw(false)}
      <GraphShapes lines={lines} />
    </>
  );
}
