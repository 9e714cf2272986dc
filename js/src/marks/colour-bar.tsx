import { useLayoutEffect, useRef } from "preact/hooks";
import { type ColourTable, NOT_FINITE, paint, type Scale, STRONGEST } from "./colour";
import { short, signed, whole } from "./numbers";

interface ColourBarProps {
  table: ColourTable;
  range: [number, number];
  scale: Scale;
  /** What the numbers are, if not weights on that scale. */
  label?: string;
  nonfinite: number;
}

const RAMP = Uint8Array.from({ length: STRONGEST + 1 }, (_, byte) => byte);
const UNITS = { linear: "weight", log: "weight, log", row: "share of the row’s largest" };

/** All colours of a table from left to right, but that of what is not finite. */
export function drawRamp(canvas: HTMLCanvasElement, table: ColourTable): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(RAMP.length, 1);
  paint(RAMP, [1, RAMP.length], table, image.data);
  context.putImageData(image, 0, 0);
}

/** What the colours stand for. */
export function ColourBar({ table, range: [low, high], scale, label, nonfinite }: ColourBarProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    if (canvas.current !== null) drawRamp(canvas.current, table);
  }, [table]);
  const unit = label ?? UNITS[scale];
  const most = low < 0 ? signed(short(high)) : short(high);
  const colour = [...table.subarray(3 * NOT_FINITE)].join(" ");
  return (
    <div class="xw-colour-bar" role="img" aria-label={`Colours from ${short(low)} to ${most} (${unit})`}>
      <span>{unit}</span>
      <span class="xw-number">{short(low)}</span>
      <canvas ref={canvas} width={RAMP.length} height={1} />
      <span class="xw-number">{most}</span>
      {nonfinite > 0 && (
        <span class="xw-nonfinite">
          <i style={{ background: `rgb(${colour})` }} />
          {whole(nonfinite)} not finite
        </span>
      )}
    </div>
  );
}
