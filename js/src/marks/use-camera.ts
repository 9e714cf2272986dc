import type { RefObject } from "preact";
import { useEffect, useReducer, useRef } from "preact/hooks";
import { anchored, type Camera, opening, panBy, steadiest, zoomAt } from "../graph/camera";
import type { Layout, Point, Size } from "../graph/layout";

/** Pixels that a pointer may tremble in a click. */
const TREMBLE = 4;

interface Held {
  layout: Layout;
  room: Size;
  /** null: as at first, whatever the size of the view. */
  camera: Camera | null;
  /** The box that stays in its place in the next layout. */
  anchor: { before: string; after: string } | null;
}

/** What of a layout is in sight: kept in its place when the layout changes, moved by pointer and wheel. */
export function useCamera(viewport: RefObject<Element | null>, layout: Layout, room: Size) {
  const [, redraw] = useReducer<number, void>((count) => count + 1, 0);
  const held = useRef<Held>({ layout, room, camera: null, anchor: null });
  const { current } = held;
  if (current.layout !== layout) {
    const { camera, layout: before, anchor } = current;
    const seen = camera ?? opening(before, current.room);
    const steady = anchor ?? both(steadiest(seen, before, layout, room));
    // What was never moved and is small enough is shown whole again.
    if (steady !== null && (camera !== null || anchor !== null)) {
      current.camera = anchored(seen, before, layout, steady);
    }
    current.layout = layout;
    current.anchor = null;
  }
  current.room = room;
  const camera = current.camera ?? opening(layout, room);
  const set = (next: Camera | null) => {
    current.camera = next;
    redraw();
  };
  const latest = useRef({ camera, set });
  latest.current = { camera, set };
  useWheel(viewport, (factor, at) => latest.current.set(zoomAt(latest.current.camera, factor, at)));
  return {
    camera,
    set,
    /** A box (by its id before and after) stays in its place when the layout changes next. */
    hold(before: string, after = before) {
      current.anchor = { before, after };
    },
    zoom(factor: number) {
      set(zoomAt(camera, factor, [room.width / 2, room.height / 2]));
    },
    pan(dx: number, dy: number) {
      set(panBy(camera, dx, dy, layout, room));
    },
    drag: useDrag(camera, (from, dx, dy) => set(panBy(from, dx, dy, layout, room))),
  };
}

const both = (id: string | null) => (id === null ? null : { before: id, after: id });

/** The wheel with ctrl or meta, which is what pinching a touchpad gives, zooms about the pointer. */
function useWheel(viewport: RefObject<Element | null>, onZoom: (factor: number, at: Point) => void): void {
  const latest = useRef(onZoom);
  latest.current = onZoom;
  useEffect(() => {
    const element = viewport.current;
    if (element === null) return;
    const onWheel = (event: Event) => {
      const { ctrlKey, metaKey, deltaY, clientX, clientY } = event as WheelEvent;
      if (!ctrlKey && !metaKey) return;
      event.preventDefault();
      const { left, top } = element.getBoundingClientRect();
      latest.current(Math.exp(-Math.max(-120, Math.min(120, deltaY)) * 0.004), [
        clientX - left,
        clientY - top,
      ]);
    };
    // Not passive: the page must not zoom as well.
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, [viewport]);
}

/** Dragging moves what is seen; tells clicks from drags. */
function useDrag(camera: Camera, onPan: (from: Camera, dx: number, dy: number) => void) {
  const drag = useRef<{ x: number; y: number; camera: Camera; moved: boolean } | null>(null);
  return {
    onPointerDown(event: PointerEvent) {
      if (event.button === 0) drag.current = { x: event.clientX, y: event.clientY, camera, moved: false };
    },
    onPointerMove(event: PointerEvent) {
      const start = drag.current;
      if (start === null || event.buttons === 0) return;
      const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
      if (!start.moved && Math.hypot(dx, dy) < TREMBLE) return;
      if (!start.moved) (event.currentTarget as Element).setPointerCapture?.(event.pointerId);
      start.moved = true;
      onPan(start.camera, -dx, -dy);
    },
    /** Whether the click that just ended was the end of a drag. */
    wasDrag(): boolean {
      const moved = drag.current?.moved ?? false;
      drag.current = null;
      return moved;
    },
  };
}
