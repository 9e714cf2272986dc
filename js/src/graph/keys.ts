import type { Layout, Rect } from "./layout";
import type { View } from "./view";

/** Where an arrow key leads from a box: along edges, to what lies beside it, into it and out of it. */
export function step(view: View, layout: Layout, id: string, key: string): string | null {
  const box = view.byId.get(id);
  if (box === undefined) return view.boxes[0]?.id ?? null;
  const level = view.levels.find(({ parts }) => parts.includes(id));
  switch (key) {
    case "ArrowDown":
      return along(view, layout, id, "down");
    case "ArrowUp":
      return along(view, layout, id, "up");
    case "ArrowRight": {
      const inside = box.isOpen ? view.levels.find((one) => one.box === id)?.parts[0] : undefined;
      return inside ?? beside(layout, level?.parts ?? [], id, 1);
    }
    case "ArrowLeft":
      return beside(layout, level?.parts ?? [], id, -1) ?? box.parent;
    case "Home":
      return view.boxes[0]?.id ?? null;
    case "End":
      return view.boxes.at(-1)?.id ?? null;
    default:
      return null;
  }
}

const rectOf = (layout: Layout, id: string) => layout.rects.get(id) as Rect;
const middle = ({ x, width }: Rect) => x + width / 2;

/** The next box along an edge, out of boxes where none leads on within them. */
function along(view: View, layout: Layout, id: string, way: "down" | "up"): string | null {
  for (let at: string | null = id; at !== null; at = view.byId.get(at)?.parent ?? null) {
    const level = view.levels.find(({ parts }) => parts.includes(at as string));
    const found = (level?.segments ?? []).flatMap(({ from, to }) => {
      const [here, there] = way === "down" ? [from, to] : [to, from];
      return here === at && there !== null ? [there] : [];
    });
    if (found.length > 0) return nearest(layout, at, found, way);
  }
  return null;
}

/** Of several, the one in the next row, and there the one that lies straightest. */
function nearest(layout: Layout, id: string, others: string[], way: "down" | "up"): string {
  const here = rectOf(layout, id);
  const distance = (other: string) => {
    const rect = rectOf(layout, other);
    const down = way === "down" ? rect.y - here.y : here.y - rect.y;
    return down + Math.abs(middle(rect) - middle(here)) / 1000;
  };
  return others.reduce((best, other) => (distance(other) < distance(best) ? other : best));
}

/** What lies to the left or right in the same row. */
function beside(layout: Layout, parts: string[], id: string, sign: 1 | -1): string | null {
  const here = rectOf(layout, id);
  let best: { id: string; distance: number } | null = null;
  for (const other of parts) {
    const rect = rectOf(layout, other);
    const distance = sign * (middle(rect) - middle(here));
    const inRow = rect.y < here.y + here.height && here.y < rect.y + rect.height;
    if (other === id || !inRow || distance <= 0) continue;
    if (best === null || distance < best.distance) best = { id: other, distance };
  }
  return best?.id ?? null;
}
