import { useLayoutEffect, useRef } from "preact/hooks";
import { type ColourTable, cssOf, NOT_FINITE } from "../../marks/colour";
import { drawRamp } from "../../marks/colour-bar";
import { whole } from "../../marks/numbers";
import { EVEN, type Overlay, ZERO_COLOUR } from "./overlay";
import type { StructureStore } from "./store";

function Ramp({ table }: { table: ColourTable }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    if (canvas.current !== null) drawRamp(canvas.current, table);
  }, [table]);
  return <canvas ref={canvas} width={NOT_FINITE} height={1} />;
}

function Swatch({ colour, text }: { colour: string | null; text: string }) {
  return (
    <span class="xw-swatch">
      <i style={{ background: colour ?? "none" }} />
      {text}
    </span>
  );
}

/** What the colours of an overlay stand for. */
export function Legend({ store, overlay }: { store: StructureStore; overlay: Overlay }) {
  const { table, content } = store.state;
  const { label, unit, ends, log, zeros, missing, infinite, note } = overlay.legend;
  if (table === null) return null;
  const definition = content?.overlays.find(({ name }) => name === overlay.overlay)?.definition;
  const of = [unit, log ? "log scale" : ""].filter(Boolean).join(", ");
  return (
    <div class="xw-colour-bar xw-overlay-legend">
      <span title={definition}>
        <b>{label}</b>
        {of !== "" && ` (${of})`}
      </span>
      {ends === null && <span>nothing to colour</span>}
      {ends !== null && ends[0] === ends[1] && (
        <Swatch colour={cssOf(table, EVEN)[0]} text={`all ${ends[0]}`} />
      )}
      {ends !== null && ends[0] !== ends[1] && (
        <span class="xw-ramp" role="img" aria-label={`Colours from ${ends[0]} to ${ends[1]}`}>
          <span class="xw-number">{ends[0]}</span>
          <Ramp table={table} />
          <span class="xw-number">{ends[1]}</span>
        </span>
      )}
      {zeros > 0 && <Swatch colour={ZERO_COLOUR} text={`${whole(zeros)} zero`} />}
      {missing > 0 && <Swatch colour={null} text={`${whole(missing)} without one`} />}
      {infinite > 0 && <Swatch colour={cssOf(table, NOT_FINITE)[0]} text={`${whole(infinite)} not finite`} />}
      {note !== "" && <span class="xw-note">{note}</span>}
    </div>
  );
}
