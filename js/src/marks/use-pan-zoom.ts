import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { length, pan, type Window, zoom } from "./viewport";

interface PanZoom {
  viewport: RefObject<HTMLElement | null>;
  window: Window;
  full: Window;
  onWindow(window: Window | null, event: Event): void;
}

/** Where in the matrix an event happened, in positions. */
export function positionAt(event: MouseEvent, element: Element, { rows, keys }: Window) {
  const box = element.getBoundingClientRect();
  return {
    row: rows[0] + ((event.clientY - box.top) / box.height) * length(rows),
    key: keys[0] + ((event.clientX - box.left) / box.width) * length(keys),
  };
}

/** Pixels that a pointer may tremble in a click. */
const TREMBLE = 4;

interface Drag {
  x: number;
  y: number;
  window: Window;
  moved: boolean;
}

/** Wheel with ctrl or meta zooms about the pointer; dragging pans. Tells clicks from drags. */
export function usePanZoom({ viewport, window, full, onWindow }: PanZoom) {
  const drag = useRef<Drag | null>(null);
  const latest = useRef({ window, full, onWindow });
  latest.current = { window, full, onWindow };

  useEffect(() => {
    const element = viewport.current;
    if (element === null) return;
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const { window, full, onWindow } = latest.current;
      const factor = Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) * 0.004);
      onWindow(zoom(window, full, factor, positionAt(event, element, window)), event);
    };
    // Not passive: the page must not zoom as well.
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, [viewport]);

  return {
    onPointerDown(event: PointerEvent) {
      const zoomed = length(window.rows) < length(full.rows) || length(window.keys) < length(full.keys);
      if (event.button !== 0 || !zoomed) return;
      drag.current = { x: event.clientX, y: event.clientY, window, moved: false };
    },
    onPointerMove(event: PointerEvent) {
      const start = drag.current;
      const element = viewport.current;
      if (start === null || element === null || event.buttons === 0) return;
      const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
      if (!start.moved && Math.hypot(dx, dy) < TREMBLE) return;
      if (!start.moved) element.setPointerCapture?.(event.pointerId);
      start.moved = true;
      const { width, height } = element.getBoundingClientRect();
      const rows = (-dy / height) * length(start.window.rows);
      const keys = (-dx / width) * length(start.window.keys);
      onWindow(pan(start.window, full, rows, keys), event);
    },
    /** Whether the click that just ended was the end of a drag. */
    wasDrag(): boolean {
      const moved = drag.current?.moved ?? false;
      drag.current = null;
      return moved;
    },
  };
}
