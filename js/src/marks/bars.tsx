import { exact } from "./numbers";

export interface Bar {
  name: string;
  value: number;
  /** What is said in the place of a bar: "no gradient". */
  absent?: string;
  /** Rows of one group stand together under its name. */
  group?: string;
  title?: string;
}

interface BarsProps {
  label: string;
  bars: Bar[];
  /** Lengths by the logarithm: of magnitudes that differ by powers of ten. */
  logarithmic?: boolean;
}

/** How long each bar is, 0…1: by magnitude; logarithmic over the decades that there are, at most eight. */
export function lengths(values: number[], logarithmic: boolean): number[] {
  const sizes = values.map((value) => (Number.isFinite(value) ? Math.abs(value) : 0));
  const largest = Math.max(0, ...sizes);
  if (largest === 0) return sizes.map(() => 0);
  if (!logarithmic) return sizes.map((size) => size / largest);
  const smallest = Math.max(Math.min(...sizes.filter((size) => size > 0)), largest / 1e8);
  const decades = Math.max(1, Math.log10(largest / smallest));
  return sizes.map((size) =>
    size > 0 ? Math.max(0.02, 1 + Math.log10(size / largest) / (decades * 1.05)) : 0,
  );
}

/** Named numbers as bars: positive ones to the right of the middle, negative ones to the left. */
export function Bars({ label, bars, logarithmic = false }: BarsProps) {
  const shares = lengths(
    bars.map((bar) => bar.value),
    logarithmic,
  );
  const isSigned = bars.some((bar) => bar.value < 0);
  let group: string | undefined;
  return (
    <ul class={isSigned ? "xw-bars xw-signed" : "xw-bars"} aria-label={label}>
      {bars.map((bar, index) => {
        const heading = bar.group !== group ? bar.group : undefined;
        group = bar.group;
        const length = `${100 * (shares[index] ?? 0)}%`;
        return (
          <li key={index} title={bar.title}>
            {heading !== undefined && <h4>{heading || "(model)"}</h4>}
            <span class="xw-bars-name">{bar.name}</span>
            <span class="xw-bars-room">
              <i
                class={bar.value < 0 ? "xw-bars-bar xw-negative" : "xw-bars-bar"}
                style={{ "--xw-length": length }}
              />
            </span>
            <span class="xw-number">{bar.absent ?? exact(bar.value)}</span>
          </li>
        );
      })}
    </ul>
  );
}
