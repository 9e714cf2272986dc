import { short } from "./numbers";

export interface Curve {
  name: string;
  y: Float32Array;
  /** Lies in the background: what the others are measured against. */
  quiet?: boolean;
}

interface CurvesProps {
  label: string;
  x: Float32Array;
  xLabel: string;
  yLabel: string;
  curves: Curve[];
}

const WIDTH = 300;
const HEIGHT = 130;
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];

/** Numbers over a share of 0…1, a line each; told apart by colour and dashes. */
export function Curves({ label, x, xLabel, yLabel, curves }: CurvesProps) {
  const all = curves.flatMap((curve) => Array.from(curve.y)).filter(Number.isFinite);
  const low = Math.min(...all);
  const high = Math.max(...all);
  const across = (value: number) => WIDTH * value;
  const down = (value: number) => (high > low ? HEIGHT * (1 - (value - low) / (high - low)) : HEIGHT / 2);
  const line = (y: Float32Array) =>
    Array.from(y, (value, index) => [across(x[index] ?? 0), down(value)])
      .filter(([, value]) => Number.isFinite(value))
      .map((point) => point.map((number) => number?.toFixed(1)).join(","))
      .join(" ");
  return (
    <figure class="xw-curves">
      <div class="xw-curves-box">
        <span class="xw-number xw-note">{all.length > 0 ? short(high) : ""}</span>
        <span class="xw-number xw-note">{all.length > 0 ? short(low) : ""}</span>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
          {low < 0 && high > 0 && <line class="xw-zero" x1={0} x2={WIDTH} y1={down(0)} y2={down(0)} />}
          {curves.map(({ name, y, quiet }, index) => (
            <polyline
              key={name}
              class={quiet ? "xw-curve xw-quiet" : `xw-curve xw-curve-${index % 4}`}
              stroke-dasharray={quiet ? "1 2" : DASHES[index % 4]}
              points={line(y)}
            />
          ))}
        </svg>
      </div>
      <figcaption class="xw-note">
        <span>{`${yLabel} over ${xLabel}`}</span>
        <span class="xw-curves-legend">
          {curves.map(({ name, quiet }, index) => (
            <span key={name}>
              <svg viewBox="0 0 20 6" aria-hidden="true">
                <line
                  class={quiet ? "xw-curve xw-quiet" : `xw-curve xw-curve-${index % 4}`}
                  stroke-dasharray={quiet ? "1 2" : DASHES[index % 4]}
                  x1={0}
                  x2={20}
                  y1={3}
                  y2={3}
                />
              </svg>
              {name}
            </span>
          ))}
        </span>
      </figcaption>
    </figure>
  );
}
