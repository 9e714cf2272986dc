import { type Scale, strength } from "./colour";
import { exact, short } from "./numbers";
import { shown, type Token, tip } from "./tokens";
import { type Span, within } from "./viewport";

interface TokenTextProps {
  label: string;
  tokens: Token[] | null;
  span: Span;
  /** Weight of each position; null: not here yet, or nothing picked. */
  weights: Float32Array | null;
  scale: Scale;
  picked: number | null;
  /** Writes each weight under its token. */
  numbered?: boolean;
  disabled: boolean;
  onPick(position: number, event: Event): void;
}

const STEPS: Record<string, number | "first" | "last"> = {
  ArrowLeft: -1,
  ArrowUp: -1,
  ArrowRight: 1,
  ArrowDown: 1,
  Home: "first",
  End: "last",
};

/** Arrow keys move the focus along the tokens, so that a text is one stop of the Tab key. */
export function roveFocus(event: KeyboardEvent): void {
  const step = STEPS[event.key];
  if (step === undefined) return;
  const buttons = [...(event.currentTarget as Element).querySelectorAll<HTMLElement>("[data-position]")];
  const here = buttons.indexOf(event.target as HTMLElement);
  const to = step === "first" ? 0 : step === "last" ? buttons.length - 1 : here + step;
  event.preventDefault();
  buttons[to]?.focus();
}

/** The position of the token that an event happened on. */
export function positionOf(event: Event): number | null {
  const token = (event.target as Element).closest<HTMLElement>("[data-position]");
  return token === null ? null : Number(token.dataset.position);
}

export function largestOf(weights: Float32Array | null, [start, stop]: Span): number {
  let largest = 0;
  for (let position = start; weights !== null && position < stop; position += 1) {
    const value = weights[position] as number;
    if (value > largest && Number.isFinite(value)) largest = value;
  }
  return largest;
}

interface TokenChipProps {
  tokens: Token[] | null;
  position: number;
  weight: number | undefined;
  /** 0…1 */
  shade: number;
  picked: boolean;
  numbered: boolean;
  focusable: boolean;
  disabled: boolean;
}

function TokenChip(props: TokenChipProps) {
  const { tokens, position, weight, shade, picked, numbered, focusable, disabled } = props;
  const [, , joined, special, generated] = tokens?.[position] ?? [];
  const classes = ["xw-token"];
  if (joined === 1) classes.push("xw-joined");
  if (special === 1) classes.push("xw-special");
  if (generated === 1) classes.push("xw-generated");
  // From here on white is read better on it than the text colour of a light page.
  if (shade > 0.8) classes.push("xw-strong");
  if (numbered) classes.push("xw-numbered");
  if (picked) classes.push("xw-picked");
  return (
    <button
      type="button"
      class={classes.join(" ")}
      style={{ "--xw-shade": `${Math.round(100 * shade)}%` }}
      title={(weight === undefined ? "" : `${exact(weight)} · `) + tip(tokens, position)}
      tabIndex={focusable ? 0 : -1}
      aria-pressed={picked}
      aria-disabled={disabled}
      data-position={position}
    >
      {shown(tokens, position)}
      {numbered && weight !== undefined && <small class="xw-number">{short(weight)}</small>}
    </button>
  );
}

/** Running text, each token coloured by its weight; the number is in its tooltip. */
export function TokenText(props: TokenTextProps) {
  const { label, tokens, span, weights, scale, picked, numbered = false, disabled, onPick } = props;
  const [start, stop] = span;
  const largest = largestOf(weights, span);
  const focusable = picked !== null && within(span, picked) ? picked : start;
  const pick = (event: Event) => {
    const position = positionOf(event);
    if (position !== null && !disabled) onPick(position, event);
  };
  return (
    <div class="xw-text" role="group" aria-label={label} onClick={pick} onKeyDown={roveFocus}>
      {Array.from({ length: stop - start }, (_, index) => start + index).map((position) => {
        const weight = weights?.[position];
        return (
          <TokenChip
            key={position}
            tokens={tokens}
            position={position}
            weight={weight}
            shade={strength(weight ?? 0, largest, scale)}
            picked={position === picked}
            numbered={numbered && weight !== undefined}
            focusable={position === focusable}
            disabled={disabled}
          />
        );
      })}
    </div>
  );
}
