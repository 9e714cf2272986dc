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

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  if (count < 1e6) return `${(count / 1e3).toFixed(1)} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

export function milliseconds(value: number): string {
  return value >= 9.95 ? `${Math.round(value).toLocaleString("en")} ms` : `${Number(value.toFixed(1))} ms`;
}

export const whole = (value: number) => value.toLocaleString("en");

const minus = (text: string) => text.replace("-", "−");
