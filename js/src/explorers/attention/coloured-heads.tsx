import { useMemo, useState } from "preact/hooks";
import { Picker } from "../../controls/picker";
import { ColourBar } from "../../marks/colour-bar";
import { HeadGrid } from "../../marks/head-grid";
import { FLAT, flatCells } from "../../marks/mosaic";
import type { Place } from "./next-heads";
import { ablatedPlaces } from "./selection";
import { columnOf, type HeadTable, headTitle, levelsOf, rangeOf, rowOf, textOf, WEIGHTS } from "./statistics";
import type { AttentionStore } from "./store";

/** What the grid of heads is coloured by. */
export function GridBy({ store }: { store: AttentionStore }) {
  const { picture, selection, lost } = store.state;
  const statistics = picture?.statistics.map(({ key, name }) => [key, name] as const) ?? [];
  return (
    <Picker
      label="Colour by"
      labelled
      value={selection.grid_by}
      options={[[WEIGHTS, "weights"], ...statistics]}
      disabled={lost !== null}
      onPick={(value, event) => store.move({ grid_by: value }, event)}
    />
  );
}

interface HeadsProps {
  store: AttentionStore;
  statistics: HeadTable;
  table: Uint8Array;
  column: number;
}

function Heads({ store, statistics, table, column }: HeadsProps) {
  const { selection, lost } = store.state;
  const [pointed, setPointed] = useState<Place | null>(null);
  const { layers, heads, done, note, columns } = statistics;
  const { unit = "", absent: why = "" } = columns[column] ?? {};
  const { mosaic, cells, absent, nonfinite, range } = useMemo(() => {
    const { levels, ...rest } = levelsOf(statistics, column);
    const mosaic = { counts: layers.map((layer) => layer.heads), height: FLAT, width: FLAT };
    return { mosaic, cells: flatCells(mosaic, levels), range: rangeOf(statistics, column), ...rest };
  }, [statistics, layers, column]);
  const { layer } = selection;
  const head = typeof selection.head === "number" ? selection.head : null;
  const describe = (place: Place) => {
    const row = rowOf(statistics, place.layer, place.head);
    return `${headTitle(place)}: ${row < 0 ? "…" : textOf(statistics, row, column)}`;
  };
  const shown = pointed ?? (head === null || layer >= layers.length ? null : { layer, head });
  const missing = absent.slice(0, done).filter(Boolean).length;
  const said = [
    done < heads.length ? `${done} of ${heads.length} heads so far` : "",
    note === "" ? "" : `from ${note}`,
    missing > 0 ? `${missing} hatched: ${why}` : "",
  ];
  return (
    <>
      <HeadGrid
        {...{ mosaic, cells, table, absent, describe, layer, head }}
        layerNames={layers.map(({ name }) => name)}
        ablated={ablatedPlaces(selection)}
        disabled={lost !== null}
        onPick={(layer, head, event) => store.move({ layer, head }, event)}
        onPoint={(place) => {
          setPointed(place);
          store.point(place);
        }}
      />
      <div class="xw-readout xw-number" aria-live="polite">
        {shown === null ? "Point at a head for its number." : describe(shown)}
      </div>
      {range !== null && (
        <ColourBar {...{ table, range, nonfinite }} scale="linear" label={unit || "weight"} />
      )}
      {said.some(Boolean) && <p class="xw-note">{said.filter(Boolean).join(" · ")}</p>}
    </>
  );
}

/** The grid of heads, each in the colour of one of its statistics. */
export function ColouredHeads({ store }: { store: AttentionStore }) {
  const { statistics, table, selection } = store.state;
  const column = statistics === null ? -1 : columnOf(statistics, selection.grid_by);
  if (statistics === null || table === null || column < 0) {
    return <p class="xw-note">Reading the statistics of all heads…</p>;
  }
  return <Heads {...{ store, statistics, table, column }} />;
}
