import type { Camera } from "../graph/camera";
import { windowOf } from "../graph/camera";
import type { Layout, Size } from "../graph/layout";
import type { View } from "../graph/view";

interface GraphMapProps {
  view: View;
  layout: Layout;
  camera: Camera;
  room: Size;
  picked: string | null;
  onMove(x: number, y: number): void;
}

const LARGEST: Size = { width: 120, height: 150 };
/** Long models would be a thread. */
const NARROWEST = 40;
const MOST_BOXES = 600;

/** All of the graph, small, with what is in sight: pressing or dragging moves there. */
export function GraphMap({ view, layout, camera, room, picked, onMove }: GraphMapProps) {
  const seen = windowOf(camera, room);
  const isAll =
    seen.x <= 0 &&
    seen.y <= 0 &&
    seen.x + seen.width >= layout.width &&
    seen.y + seen.height >= layout.height;
  if (isAll) return null;
  const scale = Math.min(LARGEST.width / layout.width, LARGEST.height / layout.height);
  const width = Math.max(NARROWEST, layout.width * scale);
  const height = layout.height * scale;
  const move = (event: PointerEvent) => {
    if (event.buttons === 0) return;
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    onMove(across * layout.width, ((event.clientY - box.top) / box.height) * layout.height);
  };
  const left = Math.max(0, seen.x);
  const top = Math.max(0, seen.y);
  // Boxes too small to be seen say nothing.
  const boxes = view.boxes.filter(({ id }) => (layout.rects.get(id)?.height ?? 0) * scale > 0.5);
  return (
    <svg
      class="xw-graph-map"
      {...{ width, height }}
      viewBox={`0 0 ${layout.width} ${layout.height}`}
      preserveAspectRatio="none"
      aria-hidden="true"
      focusable="false"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture?.(event.pointerId);
        move(event);
      }}
      onPointerMove={move}
    >
      {boxes.slice(0, MOST_BOXES).map(({ id, isOpen }) => (
        <rect
          key={id}
          class={id === picked ? "xw-map-picked" : isOpen ? "xw-map-open" : "xw-map-closed"}
          {...layout.rects.get(id)}
        />
      ))}
      <rect
        class="xw-map-window"
        x={left}
        y={top}
        width={Math.max(0, Math.min(layout.width, seen.x + seen.width) - left)}
        height={Math.max(0, Math.min(layout.height, seen.y + seen.height) - top)}
      />
    </svg>
  );
}
