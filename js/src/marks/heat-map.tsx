import type { CSSProperties } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { type ColourTable, paint } from "./colour";

interface HeatMapProps {
  cells: Uint8Array;
  shape: [height: number, width: number];
  table: ColourTable;
  label: string;
  /** What is drawn, for whoever has to know which picture is on the screen. */
  selection: object;
  /** Cells are smaller than pixels. */
  fine: boolean;
  style: CSSProperties;
}

/** Exactly one canvas pixel a cell; the size on the screen is a matter of style. */
export function HeatMap({ cells, shape, table, label, selection, fine, style }: HeatMapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [height, width] = shape;
  useLayoutEffect(() => {
    const target = canvas.current;
    const context = target?.getContext("2d");
    if (!target || !context) return;
    if (target.width !== width) target.width = width;
    if (target.height !== height) target.height = height;
    const image = context.createImageData(width, height);
    paint(cells, [height, width], table, image.data);
    context.putImageData(image, 0, 0);
    target.dataset.selection = JSON.stringify(selection);
  }, [cells, height, width, table, selection]);
  const className = fine ? "xw-heat-map xw-fine" : "xw-heat-map";
  return <canvas ref={canvas} class={className} role="img" aria-label={label} style={style} />;
}
