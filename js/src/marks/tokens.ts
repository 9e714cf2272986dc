/**
 * text as shown, raw as in the vocabulary, joined: no space before it, special: [CLS] and its like,
 * generated: written by the model itself.
 */
export type Token = [text: string, raw: string, joined: 0 | 1, special: 0 | 1, generated: 0 | 1];

export const isGenerated = (tokens: Token[] | null, position: number) => tokens?.[position]?.[4] === 1;

/** A token's text; white space made visible; positions where there are no tokens. */
export function shown(tokens: Token[] | null, position: number): string {
  const text = tokens?.[position]?.[0];
  if (text === undefined) return String(position);
  if (text.trim() !== "") return text;
  return text.includes("\n") ? "↵" : "␣";
}

/** “it” (22), or only the number. */
export function named(tokens: Token[] | null, position: number): string {
  return tokens?.[position] === undefined ? String(position) : `“${shown(tokens, position)}” (${position})`;
}

/** What the vocabulary calls it, and where it stands. */
export function tip(tokens: Token[] | null, position: number): string {
  const token = tokens?.[position];
  if (token === undefined) return `position ${position}`;
  return `${token[1]} · position ${position}${token[4] === 1 ? " · generated" : ""}`;
}

export interface Ranked {
  position: number;
  value: number;
}

/** The strongest `count` positions of a span, strongest first; ties in reading order. */
export function strongest(values: Float32Array, [start, stop]: [number, number], count: number): Ranked[] {
  const best: Ranked[] = [];
  for (let position = start; position < Math.min(stop, values.length); position += 1) {
    const value = values[position] as number;
    const last = best[best.length - 1];
    if (Number.isNaN(value) || (best.length === count && last !== undefined && value <= last.value)) continue;
    let at = best.length;
    while (at > 0 && (best[at - 1] as Ranked).value < value) at -= 1;
    best.splice(at, 0, { position, value });
    if (best.length > count) best.pop();
  }
  return best;
}

/** A part of a long text around one position, so that a page never holds ten thousand tokens. */
export function excerpt(full: [number, number], around: number | null, limit: number): [number, number] {
  const [start, stop] = full;
  if (stop - start <= limit) return full;
  const first = Math.max(start, Math.min(stop - limit, Math.round((around ?? start) - limit / 2)));
  return [first, first + limit];
}
