import type { RefObject } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useUniqueId } from "../../controls/use-unique-id";
import { centred, fitted, seeing, windowOf } from "../../graph/camera";
import { step } from "../../graph/keys";
import type { Rect, Size } from "../../graph/layout";
import { domIdOf, GraphDrawing } from "../../marks/graph-drawing";
import { GraphMap } from "../../marks/graph-map";
import { FONT } from "../../marks/graph-text";
import { useCamera } from "../../marks/use-camera";
import { useSize } from "../../marks/use-size";
import { BlockPickers } from "./block-pickers";
import { Tools } from "./graph-tools";
import type { StructureStore } from "./store";
import { type Actions, actionsOf, isFound, type Shown } from "./use-graph";

const LABEL =
  "Graph: arrow keys follow edges down and up, go to what lies beside, right into an open box and left out of it; " +
  "Enter opens and closes, space picks, plus and minus zoom, 0 shows all, shift and arrows pan";
/** With so many boxes, those out of sight are not drawn. */
const MANY_BOXES = 150;

type CameraHold = ReturnType<typeof useCamera>;

interface CanvasProps {
  store: StructureStore;
  shown: Shown;
}

/** The graph with all that moves and opens it. */
export function GraphCanvas({ store, shown }: CanvasProps) {
  const viewport = useRef<HTMLDivElement>(null);
  const tree = useRef<HTMLDivElement>(null);
  const room = useSize(viewport, { width: 800, height: 480 });
  const hold = useCamera(tree, shown.layout, room);
  const actions = useMemo(() => actionsOf(store, shown), [store, shown.view, shown.sight.opened]);
  const focus = useFocus(store, shown, hold, room);
  useShowPicked(store, shown, actions, hold, room);
  const { camera } = hold;
  const toggle = (id: string, event: Event) => {
    hold.hold(id);
    focus.put(id);
    actions.toggle(id, event);
  };
  const showAll = () => hold.set(fitted(shown.layout, room));
  return (
    <>
      <Tools {...{ store, shown, actions }} zoom={(factor) => hold.zoom(factor)} onFit={showAll} />
      <div class="xw-graph" ref={viewport}>
        <Drawing {...{ store, shown, tree, hold, room, focus, actions, toggle, showAll }} />
        <BlockPickers
          {...{ shown, camera, room }}
          disabled={store.state.lost !== null}
          onPick={(box, instance, event) => {
            const id = actions.showInstance(box, instance, event);
            hold.hold(box.id, id);
          }}
        />
        <GraphMap
          {...{ view: shown.view, layout: shown.layout, camera, room }}
          picked={shown.picked?.id ?? null}
          onMove={(x, y) =>
            hold.set({
              ...{ x: x - room.width / camera.scale / 2, y: y - room.height / camera.scale / 2 },
              scale: camera.scale,
            })
          }
        />
      </div>
    </>
  );
}

interface Focus {
  id: string;
  put(id: string): void;
  go(id: string): void;
}

/** The box that keys act on. */
function useFocus({ state }: StructureStore, shown: Shown, hold: CameraHold, room: Size): Focus {
  const { view, layout, picked } = shown;
  const [kept, put] = useState<string | null>(null);
  const id =
    kept !== null && view.byId.has(kept)
      ? kept
      : (picked?.id ?? view.boxes[0]?.id ?? state.selection.layer_name);
  return {
    ...{ id, put },
    go(next) {
      put(next);
      const rect = layout.rects.get(next);
      if (rect !== undefined) hold.set(seeing(hold.camera, rect, room));
    },
  };
}

/** A module picked elsewhere comes into sight; one that was searched for is opened, too. */
function useShowPicked(
  store: StructureStore,
  shown: Shown,
  actions: Actions,
  hold: CameraHold,
  room: Size,
): void {
  const { layer_name } = store.state.selection;
  const last = useRef(layer_name);
  const goal = useRef<string | null>(null);
  useEffect(() => {
    if (last.current === layer_name) return;
    last.current = layer_name;
    goal.current = layer_name;
    if (shown.picked !== null && !shown.picked.isItself && isFound(store)) actions.reveal(layer_name);
  }, [layer_name]);
  useEffect(() => {
    const rect = shown.picked === null ? undefined : shown.layout.rects.get(shown.picked.id);
    if (goal.current === null || rect === undefined) return;
    if (!shown.picked?.isItself && isFound(store)) return; // it is being opened
    goal.current = null;
    const seen = windowOf(hold.camera, room);
    const isSeen = rect.x >= seen.x && rect.x + rect.width <= seen.x + seen.width && rect.y >= seen.y;
    if (!isSeen || rect.y + Math.min(rect.height, 40) > seen.y + seen.height)
      hold.set(centred(hold.camera, rect, room));
  }, [layer_name, shown.layout, shown.picked]);
}

interface DrawingProps extends CanvasProps {
  tree: RefObject<HTMLDivElement | null>;
  hold: CameraHold;
  room: Size;
  focus: Focus;
  actions: Actions;
  toggle(id: string, event: Event): void;
  showAll(): void;
}

function Drawing(props: DrawingProps) {
  const { shown, tree, hold, room, focus, actions, toggle } = props;
  const { view, layout, marksOf, picked } = shown;
  const { camera, drag } = hold;
  const prefix = useUniqueId();
  const seen = view.boxes.length > MANY_BOXES ? around(windowOf(camera, room)) : null;
  const latest = useRef({ toggle, actions, focus });
  latest.current = { toggle, actions, focus };
  // The same element again is not compared with itself: moving what is seen costs one attribute.
  const drawing = useMemo(
    () => (
      <GraphDrawing
        {...{ view, layout, prefix, isStill: false, seen }}
        marksOf={(box) => marksOf(box, box.id === focus.id)}
        picked={picked?.id ?? null}
        onToggle={(id, event) => latest.current.toggle(id, event)}
        onPick={(id, event) => {
          latest.current.focus.put(id);
          latest.current.actions.pick(id, event);
        }}
      />
    ),
    [view, layout, marksOf, picked?.id, focus.id, prefix, seen && JSON.stringify(seen)],
  );
  const size = camera.scale < 0.3 ? " xw-tiny" : camera.scale < 0.6 ? " xw-small" : "";
  return (
    <div
      ref={tree}
      class={`xw-graph-tree${size}`}
      role="tree"
      tabIndex={0}
      aria-label={LABEL}
      aria-activedescendant={domIdOf(prefix, view, focus.id)}
      onPointerDown={(event) => drag.onPointerDown(event)}
      onPointerMove={(event) => drag.onPointerMove(event)}
      onClickCapture={(event) => drag.wasDrag() && event.stopPropagation()}
      onKeyDown={(event) => keyPress(event, props)}
    >
      <svg font-family={FONT}>
        <title>Graph</title>
        <g transform={`scale(${camera.scale}) translate(${-camera.x} ${-camera.y})`}>{drawing}</g>
      </svg>
    </div>
  );
}

/** A window in steps of half its size, and as much around it: what is drawn changes seldom. */
function around({ x, y, width, height }: Rect): Rect {
  const [across, down] = [width / 2, height / 2];
  const left = Math.floor(x / across) * across - across;
  const top = Math.floor(y / down) * down - down;
  return { x: left, y: top, width: 2.5 * width + across, height: 2.5 * height + down };
}

const PAN = 60;
const PANS: Record<string, [number, number]> = {
  ...{ ArrowLeft: [-PAN, 0], ArrowRight: [PAN, 0], ArrowUp: [0, -PAN], ArrowDown: [0, PAN] },
};

function keyPress(event: KeyboardEvent, props: DrawingProps): void {
  const { shown, hold, focus, actions, toggle, showAll } = props;
  const { key, shiftKey, ctrlKey, metaKey, altKey } = event;
  if (ctrlKey || metaKey || altKey || (shiftKey && key === "Enter")) return;
  const pan = shiftKey ? PANS[key] : undefined;
  if (pan !== undefined) hold.pan(...pan);
  else if (key === "+" || key === "=") hold.zoom(1.25);
  else if (key === "-") hold.zoom(1 / 1.25);
  else if (key === "0") showAll();
  else if (key === "Enter") {
    if ((shown.view.byId.get(focus.id)?.parts ?? 0) > 0) toggle(focus.id, event);
  } else if (key === " ") actions.pick(focus.id, event);
  else {
    const next = step(shown.view, shown.layout, focus.id, key);
    if (next === null) return;
    focus.go(next);
  }
  event.preventDefault();
}
