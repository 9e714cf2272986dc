import { type Camera, meets, windowOf } from "../../graph/camera";
import { type Rect, type Size, TITLE } from "../../graph/layout";
import type { Box } from "../../graph/view";
import { PICKER, TRIANGLE } from "../../marks/graph-text";
import type { Shown } from "./use-graph";

interface BlockPickersProps {
  shown: Shown;
  camera: Camera;
  room: Size;
  disabled: boolean;
  onPick(box: Box, instance: number, event: Event): void;
}

/** Smaller ones could not be used. */
const SMALLEST_SCALE = 0.55;

/** In folded boxes: which of the blocks that are alike is shown. */
export function BlockPickers({ shown, camera, room, disabled, onPick }: BlockPickersProps) {
  const { view, layout } = shown;
  if (camera.scale < SMALLEST_SCALE) return null;
  const seen = windowOf(camera, room);
  const boxes = view.boxes.filter(
    ({ picksBlock, id }) => picksBlock && meets(layout.rects.get(id) as Rect, seen),
  );
  return (
    <>
      {boxes.map((box) => (
        <BlockPicker
          key={box.fold}
          {...{ box, camera, disabled }}
          ink={shown.marksOf(box, false).tint?.ink ?? null}
          rect={layout.rects.get(box.id) as Rect}
          onPick={(instance, event) => onPick(box, instance, event)}
        />
      ))}
    </>
  );
}

interface BlockPickerProps {
  box: Box;
  rect: Rect;
  camera: Camera;
  /** What is read on the colour of the box; null: it has none. */
  ink: string | null;
  disabled: boolean;
  onPick(instance: number, event: Event): void;
}

function BlockPicker({ box, rect, camera, ink, disabled, onPick }: BlockPickerProps) {
  const { scale } = camera;
  const last = box.repeats - 1;
  const right = (rect.x + rect.width - camera.x) * scale;
  const left = (rect.x + TRIANGLE - 6 - camera.x) * scale;
  const top = (rect.y + (box.isOpen ? (TITLE - 22) / 2 : rect.height - PICKER) - camera.y) * scale;
  const move = box.isOpen
    ? `translate(${right}px, ${top}px) scale(${scale}) translateX(-100%)`
    : `translate(${left}px, ${top}px) scale(${scale})`;
  const take = (event: Event) => {
    const input = event.currentTarget as HTMLInputElement;
    const instance = input.valueAsNumber;
    if (Number.isInteger(instance) && instance >= 0 && instance <= last) onPick(instance, event);
    else input.value = String(box.instance);
  };
  return (
    <label
      class="xw-graph-picker"
      style={{ transform: move, color: ink ?? undefined }}
      title={`Which of the blocks is shown: 0 to ${last}`}
    >
      block
      <input
        type="number"
        min={0}
        max={last}
        value={box.instance}
        disabled={disabled}
        aria-label={`Block that is shown of ${box.label}, 0 to ${last}`}
        onChange={take}
      />
      {`of ${box.repeats}`}
    </label>
  );
}
