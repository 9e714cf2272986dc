import { useState } from "preact/hooks";
import { short, whole } from "./numbers";

interface HistogramProps {
  /** Borders of the bins, one more than there are bins, rising. */
  edges: Float32Array;
  counts: Int32Array;
  /** What is counted: "positions". */
  unit: string;
}

const WIDTH = 300;
const HEIGHT = 84;
const LETTERS = 40;

/** Bars of counts on a linear scale, negative and positive values told apart by place and colour. */
export function Histogram({ edges, counts, unit }: HistogramProps) {
  const [pointed, setPointed] = useState<number | null>(null);
  const low = edges[0] ?? 0;
  const high = edges[edges.length - 1] ?? 0;
  const most = counts.reduce((a, b) => Math.max(a, b), 1);
  const place = (value: number) => (high > low ? (WIDTH * (value - low)) / (high - low) : WIDTH / 2);
  // Not over the numbers at the ends, of which a letter takes about 1/40 of the width.
  const share = (place(0) / WIDTH) * LETTERS;
  const hasRoom = share > short(low).length + 1 && LETTERS - share > short(high).length + 1;
  const bin = (index: number) =>
    `${short(edges[index] ?? 0)} … ${short(edges[index + 1] ?? 0)}: ${whole(counts[index] ?? 0)} ${unit}`;
  return (
    <figure class="xw-histogram">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Histogram of ${short(low)} to ${short(high)}, at most ${whole(most)} ${unit} a bin`}
        onPointerLeave={() => setPointed(null)}
      >
        {Array.from(counts, (count, index) => {
          const left = place(edges[index] ?? 0);
          const right = place(edges[index + 1] ?? 0);
          const height = (HEIGHT * count) / most;
          const isNegative = (edges[index] ?? 0) + (edges[index + 1] ?? 0) < 0;
          return (
            <g key={index} onPointerEnter={() => setPointed(index)}>
              <rect class="xw-bin-room" x={left} y={0} width={Math.max(0, right - left)} height={HEIGHT} />
              <rect
                class={isNegative ? "xw-bin xw-negative" : "xw-bin"}
                x={left + 0.5}
                y={HEIGHT - height}
                width={Math.max(0.5, right - left - 1)}
                height={height}
              />
            </g>
          );
        })}
        {low < 0 && high > 0 && <line class="xw-zero" x1={place(0)} x2={place(0)} y1={0} y2={HEIGHT} />}
      </svg>
      <div class="xw-histogram-axis xw-number">
        <span>{short(low)}</span>
        {low < 0 && high > 0 && hasRoom && <span style={{ left: `${(100 * place(0)) / WIDTH}%` }}>0</span>}
        <span>{short(high)}</span>
      </div>
      <figcaption class="xw-note xw-number" aria-live="polite">
        {pointed === null ? `at most ${whole(most)} ${unit} a bin` : bin(pointed)}
      </figcaption>
    </figure>
  );
}
