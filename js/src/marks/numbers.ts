/** All digits that a float32 is sure of: for reading a single weight. */
export function exact(value: number | null | undefined): string {
  if (value === null || value === undefined) return "…";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  return minus(String(Number(value.toPrecision(6))));
}

/** Three decimals, for lists and legends. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return exact(value);
  if (value === 0) return "0";
  return minus(Math.abs(value) < 0.0005 ? value.toExponential(1) : value.toFixed(3));
}

/** A written number with its sign, also a plus. */
export const signed = (text: string) => (/^[\d.∞]/.test(text) && Number(text) !== 0 ? `+${text}` : text);

function scaled(count: number, units: string[]): string {
  let place = 0;
  let value = count;
  // Rounded first: 999,960 is 1.0 M, not 1000.0 k.
  while (Number(value.toFixed(1)) >= 1000 && place < units.length - 1) {
    value /= 1000;
    place += 1;
  }
  return `${place > 0 ? value.toFixed(1) : Math.round(value)} ${units[place]}`.trim();
}

/** A number of bytes in a few digits: "12.6 MB". */
export const bytes = (count: number) => scaled(count, ["B", "kB", "MB", "GB", "TB", "PB"]);

/** A count in a few digits: "124.4 M". */
export const quantity = (count: number) => scaled(count, ["", "k", "M", "G", "T", "P"]);

/** A time in three digits: "12.3 ms". */
export function duration(seconds: number): string {
  const units: [size: number, unit: string][] = [
    [1, "s"],
    [1e-3, "ms"],
  ];
  const [size, unit] = units.find(([one]) => seconds >= 0.9995 * one) ?? [1e-6, "µs"];
  const value = seconds / size;
  return `${value >= 99.95 ? whole(Math.round(value)) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2)} ${unit}`;
}

/** A share as percents, small ones too. */
export function percent(share: number): string {
  if (share === 0 || share === 1) return `${100 * share} %`;
  return share < 0.0005 ? "< 0.1 %" : share > 0.9995 ? "> 99.9 %" : `${(100 * share).toFixed(1)} %`;
}

/** A number of any size in four digits: of deviations and norms, which differ by powers of ten. */
export function digits(value: number): string {
  if (!Number.isFinite(value) || value === 0) return exact(value);
  const size = Math.abs(value);
  return minus(size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(2));
}

export function milliseconds(value: number): string {
  return value >= 9.95 ? `${Math.round(value).toLocaleString("en")} ms` : `${Number(value.toFixed(1))} ms`;
}

export const whole = (value: number) => value.toLocaleString("en");

const minus = (text: string) => text.replaceAll("-", "−");
