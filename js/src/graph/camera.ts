import type { Layout, Point, Rect, Size } from "./layout";

/** What of a graph is in sight: the point in the upper left corner, and pixels per unit. */
export interface Camera {
  x: number;
  y: number;
  scale: number;
}

/** Names of boxes are readable from here on. */
const READABLE = 0.7;
const SMALLEST = 0.05;
const LARGEST = 3;
const MARGIN = 16;

const clamp = (value: number, low: number, high: number) => Math.max(low, Math.min(high, value));

/** All of it in sight, never enlarged. */
export function fitted({ width, height }: Size, room: Size): Camera {
  const across = (room.width - 2 * MARGIN) / Math.max(1, width);
  const down = (room.height - 2 * MARGIN) / Math.max(1, height);
  const scale = clamp(Math.min(across, down, 1), SMALLEST, LARGEST);
  return { x: (width - room.width / scale) / 2, y: (height - room.height / scale) / 2, scale };
}

/** All of it where that can be read, else its upper end. */
export function opening(size: Size, room: Size): Camera {
  const all = fitted(size, room);
  if (all.scale >= READABLE) return all;
  const across = (room.width - 2 * MARGIN) / Math.max(1, size.width);
  const scale = clamp(across, READABLE, 1);
  return { x: (size.width - room.width / scale) / 2, y: -MARGIN / scale, scale };
}

/** Zooms so that what is under a point of the view stays under it. */
export function zoomAt(camera: Camera, factor: number, [x, y]: Point): Camera {
  const scale = clamp(camera.scale * factor, SMALLEST, LARGEST);
  return {
    x: camera.x + x / camera.scale - x / scale,
    y: camera.y + y / camera.scale - y / scale,
    scale,
  };
}

/** Moves what is seen by pixels; some of the graph stays in sight. */
export function panBy(camera: Camera, dx: number, dy: number, size: Size, room: Size): Camera {
  const { scale } = camera;
  const keep = 40 / scale;
  return {
    x: clamp(camera.x + dx / scale, keep - room.width / scale, size.width - keep),
    y: clamp(camera.y + dy / scale, keep - room.height / scale, size.height - keep),
    scale,
  };
}

/** Moves as little as brings a box into sight; of one too large, its upper left corner. */
export function seeing(camera: Camera, rect: Rect, room: Size): Camera {
  const { scale } = camera;
  const margin = MARGIN / scale;
  const along = (at: number, start: number, length: number, seen: number) => {
    if (length + 2 * margin > seen) return start - margin;
    return clamp(at, start + length + margin - seen, start - margin);
  };
  return {
    x: along(camera.x, rect.x, rect.width, room.width / scale),
    y: along(camera.y, rect.y, rect.height, room.height / scale),
    scale,
  };
}

/** The middle of a box in the middle of the view, large enough to be read. */
export function centred(camera: Camera, rect: Rect, room: Size): Camera {
  const scale = Math.max(camera.scale, READABLE);
  const x = rect.x + rect.width / 2 - room.width / scale / 2;
  const y = rect.y + Math.min(rect.height, room.height / scale) / 2 - room.height / scale / 2;
  return { x, y, scale };
}

/** The part of the graph that is in sight. */
export const windowOf = ({ x, y, scale }: Camera, { width, height }: Size): Rect => ({
  ...{ x, y, width: width / scale, height: height / scale },
});

export const meets = (a: Rect, b: Rect) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/** The camera for another layout in which a box stays where it was; `after`: its new id. */
export function anchored(
  camera: Camera,
  before: Layout,
  after: Layout,
  anchor: { before: string; after: string },
): Camera {
  const [was, is] = [before.rects.get(anchor.before), after.rects.get(anchor.after)];
  if (was === undefined || is === undefined) return camera;
  return { ...camera, x: camera.x + is.x - was.x, y: camera.y + is.y - was.y };
}

/** The smallest box in both layouts that lies nearest to the middle of what is seen. */
export function steadiest(camera: Camera, before: Layout, after: Layout, room: Size): string | null {
  const seen = windowOf(camera, room);
  const [x, y] = [seen.x + seen.width / 2, seen.y + seen.height / 3];
  let best: { id: string; distance: number } | null = null;
  for (const [id, rect] of before.rects) {
    if (!after.rects.has(id)) continue;
    const distance = Math.hypot(rect.x - x, rect.y - y);
    if (best === null || distance < best.distance) best = { id, distance };
  }
  return best?.id ?? null;
}
