import { useLayoutEffect, useRef } from "preact/hooks";
import { type ColourTable, NOT_FINITE, paint, type Scale, STRONGEST } from "./colour";
import { short, signed, whole } from "./numbers";

interface ColourBarProps {
  table: ColourTable;
  range: [number, number];
  scale: Scale;
  nonfinite: number;
  /** What is drawn, if not weights; it has signs. */
  difference?: string;
}

const RAMP = Uint8Array.from({ length: STRONGEST + 1 }, (_, byte) => byte);
const UNITS = { linear: "weight", log: "weight, log", row: "share of the row’s largest" };

/** What the colours stand for. */
export function ColourBar({ table, range: [low, high], scale, nonfinite, difference }: ColourBarProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(RAMP.length, 1);
    paint(RAMP, [1, RAMP.length], table, image.data);
    context.putImageData(image, 0, 0);
  }, [table]);
  const unit = difference ?? UNITS[scale];
  const most = difference === undefined ? short(high) : signed(short(high));
  const label = `Colours from ${short(low)} to ${most} (${unit})`;
  const colour = [...table.subarray(3 * NOT_FINITE)].join(" ");
  return (
    <div class="xw-colour-bar" role="img" aria-label={label}>
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
