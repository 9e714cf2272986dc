import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { NOT_FINITE, type Scale, STRONGEST, strength } from "./colour";
import { short } from "./numbers";
import { largestOf, positionOf, roveFocus } from "./token-text";
import { shown, type Token, tip } from "./tokens";
import { useSize } from "./use-size";
import { type Span, within } from "./viewport";

const PITCH = 17;
/** Weaker lines than this share of the strongest would only grey the picture. */
const FAINTEST = 0.03;

export type Side = "query" | "key";
export interface Lone {
  side: Side;
  position: number;
}

const isSame = (a: Lone | null, b: Lone | null) => a?.side === b?.side && a?.position === b?.position;

interface Strengths {
  cells: Uint8Array;
  /** Positions that the cells lie at. */
  rows: Span;
  keys: Span;
}

interface TokenLinesProps {
  strengths: Strengths;
  queryTokens: Token[] | null;
  keyTokens: Token[] | null;
  /** Positions that are shown. */
  rows: Span;
  keys: Span;
  scale: Scale;
  /** The exact weights of one token's lines, or null until they are here. */
  weightsOf(lone: Lone): Float32Array | null;
  /** One token's lines are looked at: their exact weights are wanted. */
  onLone(lone: Lone): void;
  onPick(lone: Lone, event: Event): void;
  disabled: boolean;
}

interface Line {
  query: number;
  key: number;
  shade: number;
}

export function linesOf({ cells, rows, keys }: Strengths, shownRows: Span, shownKeys: Span): Line[] {
  const width = keys[1] - keys[0];
  const lines: Line[] = [];
  for (let query = Math.max(rows[0], shownRows[0]); query < Math.min(rows[1], shownRows[1]); query += 1) {
    for (let key = Math.max(keys[0], shownKeys[0]); key < Math.min(keys[1], shownKeys[1]); key += 1) {
      const byte = cells[(query - rows[0]) * width + key - keys[0]] as number;
      const shade = byte === NOT_FINITE ? 0 : byte / STRONGEST;
      if (shade >= FAINTEST) lines.push({ query, key, shade });
    }
  }
  return lines.sort((a, b) => a.shade - b.shade);
}

function loneLines({ side, position }: Lone, weights: Float32Array, other: Span, scale: Scale): Line[] {
  const largest = largestOf(weights, other);
  const lines: Line[] = [];
  for (let at = other[0]; at < Math.min(other[1], weights.length); at += 1) {
    const shade = strength(weights[at] as number, largest, scale);
    if (shade < FAINTEST) continue;
    lines.push(side === "query" ? { query: position, key: at, shade } : { query: at, key: position, shade });
  }
  return lines;
}

function draw(
  canvas: HTMLCanvasElement,
  lines: Line[],
  first: number,
  firstKey: number,
  width: number,
  height: number,
): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.scale(ratio, ratio);
  context.strokeStyle = getComputedStyle(canvas).color;
  for (const { query, key, shade } of lines) {
    context.globalAlpha = shade;
    context.lineWidth = 1 + shade;
    context.beginPath();
    context.moveTo(0, (query - first + 0.5) * PITCH);
    context.lineTo(width, (key - firstKey + 0.5) * PITCH);
    context.stroke();
  }
}

interface ColumnProps {
  side: Side;
  span: Span;
  tokens: Token[] | null;
  lone: Lone | null;
  /** Weights of the lone token of the other side. */
  weights: Float32Array | null;
  disabled: boolean;
  onPoint(lone: Lone | null): void;
  onPick(lone: Lone, event: Event): void;
}

function Column(props: ColumnProps) {
  const { side, tokens, lone, weights, disabled, onPoint, onPick } = props;
  const [start, stop] = props.span;
  const own = lone?.side === side ? lone.position : null;
  const focusable = own !== null && own >= start && own < stop ? own : start;
  const found = (event: Event): Lone | null => {
    const position = positionOf(event);
    return position === null ? null : { side, position };
  };
  const pick = (event: Event) => {
    const next = found(event);
    if (next !== null && !disabled) onPick(next, event);
  };
  return (
    <div
      class={`xw-lines-column xw-${side}`}
      role="group"
      aria-label={side === "query" ? "Queries" : "Keys"}
      onPointerOver={(event) => onPoint(found(event))}
      onPointerLeave={() => onPoint(null)}
      onFocusIn={(event) => onPoint(found(event))}
      onFocusOut={() => onPoint(null)}
      onClick={pick}
      onKeyDown={roveFocus}
    >
      {Array.from({ length: stop - start }, (_, index) => start + index).map((position) => {
        const weight = lone !== null && own === null ? weights?.[position] : undefined;
        return (
          <button
            key={position}
            type="button"
            class={position === own ? "xw-line-token xw-picked" : "xw-line-token"}
            tabIndex={position === focusable ? 0 : -1}
            aria-pressed={position === own}
            aria-disabled={disabled}
            title={tip(tokens, position)}
            data-position={position}
          >
            <span>{shown(tokens, position)}</span>
            {weight !== undefined && <small class="xw-number">{short(weight)}</small>}
          </button>
        );
      })}
    </div>
  );
}

/** The token whose lines alone are shown: pointed at, else picked; picking it again lets go. */
function useLone(rows: Span, keys: Span, onPick: TokenLinesProps["onPick"]) {
  const [pointed, setPointed] = useState<Lone | null>(null);
  const [kept, setKept] = useState<Lone | null>(null);
  const inSight = (candidate: Lone | null) =>
    candidate !== null && within(candidate.side === "query" ? rows : keys, candidate.position);
  const lone = inSight(pointed) ? pointed : inSight(kept) ? kept : null;
  const point = (next: Lone | null) => setPointed((old) => (isSame(old, next) ? old : next));
  const pick = (next: Lone, event: Event) => {
    const again = isSame(kept, next);
    setKept(again ? null : next);
    if (again) setPointed(null);
    else onPick(next, event);
  };
  return { lone, point, pick };
}

/** Queries on the left, keys on the right, lines as strong as the weight; one token's alone when it is pointed at. */
export function TokenLines(props: TokenLinesProps) {
  const { strengths, rows, keys, scale, queryTokens, keyTokens, weightsOf, onLone, disabled } = props;
  const middle = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width } = useSize(middle, { width: 200, height: 100 });
  const height = Math.max(rows[1] - rows[0], keys[1] - keys[0]) * PITCH;
  const { lone, point, pick } = useLone(rows, keys, props.onPick);
  const weights = lone === null ? null : weightsOf(lone);
  useLayoutEffect(() => {
    if (lone !== null && weights === null) onLone(lone);
  }, [lone, weights, onLone]);
  useLayoutEffect(() => {
    if (canvas.current === null) return;
    const lines =
      lone !== null && weights !== null
        ? loneLines(lone, weights, lone.side === "query" ? keys : rows, scale)
        : linesOf(strengths, rows, keys).filter((line) => lone === null || line[lone.side] === lone.position);
    draw(canvas.current, lines, rows[0], keys[0], width, height);
  });
  const both = { lone, weights, disabled, onPoint: point, onPick: pick };
  return (
    <div class="xw-lines">
      <Column side="query" span={rows} tokens={queryTokens} {...both} />
      <div class="xw-lines-middle" ref={middle} style={{ height: `${height}px` }}>
        <canvas ref={canvas} role="img" aria-label="Lines as strong as the weight" />
      </div>
      <Column side="key" span={keys} tokens={keyTokens} {...both} />
    </div>
  );
}
