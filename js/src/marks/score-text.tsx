import { type ColourTable, cssOf, inkOn, NOT_FINITE } from "./colour";
import { exact, short } from "./numbers";
import { shown, type Token, tip } from "./tokens";

interface ScoreTextProps {
  label: string;
  tokens: Token[];
  scores: Float32Array;
  /** The magnitude that the ends of the colour table stand for. */
  limit: number;
  table: ColourTable;
}

const ZERO = 127;

/** The colour of a signed number, and whether white is read better on it. */
export function colourOf(table: ColourTable, value: number, limit: number): [css: string, isDark: boolean] {
  const share = limit > 0 ? Math.max(-1, Math.min(1, value / limit)) : 0;
  return cssOf(table, Number.isFinite(value) ? Math.round(ZERO * (1 + share)) : NOT_FINITE);
}

/** Running text, each token coloured by its signed score and with the number under it. */
export function ScoreText({ label, tokens, scores, limit, table }: ScoreTextProps) {
  return (
    <div class="xw-text xw-scores" role="group" aria-label={label}>
      {tokens.map((token, position) => {
        const score = scores[position] ?? Number.NaN;
        const [background, isDark] = colourOf(table, score, limit);
        const joined = token[2] === 1 ? " xw-joined" : "";
        return (
          <span
            key={position}
            class={`xw-score${joined}${token[3] === 1 ? " xw-special" : ""}`}
            style={{ background, color: inkOn(isDark) }}
            title={`${exact(score)} · ${tip(tokens, position)}`}
          >
            {shown(tokens, position)}
            <small class="xw-number">{short(score)}</small>
          </span>
        );
      })}
    </div>
  );
}
