import { keptInside, type Label } from "./labels";
import { isGenerated, shown, type Token, tip } from "./tokens";

interface AxisProps {
  side: "rows" | "columns";
  labels: Label[];
  tokens: Token[] | null;
  /** Where the first position is, in positions, and how long a cell is in pixels. */
  start: number;
  pixels: number;
  /** Its own length in pixels. */
  room: number;
  picked: number | null;
  pointed: number | null;
  style: Record<string, string>;
}

/** The picked and the pointed-at token are always named; labels they would cover give way. */
function withNamed(labels: Label[], named: (number | null)[], pixels: number): Label[] {
  const extra = [...new Set(named.filter((position) => position !== null))];
  const free = labels.filter(({ position }) =>
    extra.every((other) => other === position || Math.abs(other - position) * pixels >= 12),
  );
  const missing = extra.filter((position) => !free.some((label) => label.position === position));
  return [
    ...free.map((label) => (extra.includes(label.position) ? { ...label, tick: false } : label)),
    ...missing.map((position) => ({ position, tick: false })),
  ];
}

export function Axis({ side, labels, tokens, start, pixels, room, picked, pointed, style }: AxisProps) {
  const inside = keptInside(labels, side, start, pixels, room);
  const property = side === "rows" ? "top" : "left";
  return (
    <div class={`xw-axis xw-axis-${side}`} style={style} aria-hidden="true">
      {withNamed(inside, [pointed ?? picked], pixels).map(({ position, tick }) => {
        const classes = ["xw-axis-label"];
        if (tick) classes.push("xw-tick");
        if (isGenerated(tokens, position)) classes.push("xw-generated");
        if (position === picked) classes.push("xw-picked-label");
        if (position === pointed) classes.push("xw-pointed-label");
        return (
          <span
            key={position}
            class={classes.join(" ")}
            style={{ [property]: `${(position + 0.5 - start) * pixels}px` }}
            title={tip(tokens, position)}
          >
            {tick ? position : shown(tokens, position)}
          </span>
        );
      })}
    </div>
  );
}
