import { useMemo } from "preact/hooks";
import { useUniqueId } from "../../controls/use-unique-id";
import { HeadGrid } from "../../marks/head-grid";
import { ColouredHeads, GridBy } from "./coloured-heads";
import { otherOf } from "./comparison";
import { ablatedPlaces } from "./selection";
import { WEIGHTS } from "./statistics";
import type { AttentionStore } from "./store";
import type { Head, Layer, Statistic } from "./types";

/** A head as it is called; of a rollout or flow it is the layers that it goes through. */
export function headName(head: Head, layer?: Layer): string {
  if (layer?.is_derived) return typeof head === "number" ? `layers 0–${head}` : `${head} of depths`;
  return typeof head === "number" ? `head ${head}` : `${head} of heads`;
}

function Statistics({ statistics }: { statistics: Statistic[] }) {
  const id = useUniqueId();
  return (
    <dl class="xw-statistics">
      {statistics.map(({ name, text, definition }, index) => (
        <div key={name}>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: its definition is read with the keyboard too */}
          <dt tabIndex={0} title={definition} aria-describedby={`${id}-${index}`}>
            {name}
            <span class="xw-definition" role="tooltip" id={`${id}-${index}`}>
              {definition}
            </span>
          </dt>
          <dd class="xw-number">{text}</dd>
        </div>
      ))}
    </dl>
  );
}

const single = (head: Head) => (typeof head === "number" ? head : null);

const UNREAD = "computed once it is picked";

/** The grid of heads, each a small picture of its weights. */
function Thumbnails({ store }: { store: AttentionStore }) {
  const { grid, table, selection, lost } = store.state;
  const mosaic = useMemo(() => {
    if (grid === null) return null;
    const [, height = 1, width = 1] = grid.thumbnails.shape;
    return { counts: grid.layers.map(({ heads }) => heads), height, width };
  }, [grid]);
  const absent = useMemo(
    () =>
      (grid?.layers ?? []).flatMap(({ heads }, layer) =>
        Array<boolean>(heads).fill(grid?.unread.includes(layer) ?? false),
      ),
    [grid],
  );
  if (mosaic === null || grid === null || table === null) return null;
  const other = otherOf(selection);
  return (
    <>
      {grid.note !== "" && <p class="xw-note">{`from ${grid.note}`}</p>}
      <HeadGrid
        mosaic={mosaic}
        cells={grid.thumbnails.data}
        table={table}
        absent={absent}
        describe={({ layer }) =>
          grid.unread.includes(layer) ? `${grid.layers[layer]?.name}: ${UNREAD}` : ""
        }
        layerNames={grid.layers.map(({ name }) => name)}
        layer={Math.min(selection.layer, mosaic.counts.length - 1)}
        head={single(selection.head)}
        other={other?.model === 0 ? { layer: other.layer, head: single(other.head) } : null}
        ablated={ablatedPlaces(selection)}
        disabled={lost !== null}
        onPick={(layer, head, event) => store.move({ layer, head }, event)}
        onPoint={(place) => store.point(place)}
      />
      {grid.unread.length > 0 && <p class="xw-note">{`Hatched: ${UNREAD}.`}</p>}
    </>
  );
}

/** On the left: all heads to pick from, and the numbers of the picked one. */
export function Overview({ store }: { store: AttentionStore }) {
  const { selection, picture } = store.state;
  return (
    <section class="xw-overview" aria-label="Heads">
      <div>
        <h3>All heads · click to pick</h3>
        <GridBy store={store} />
        {selection.grid_by === WEIGHTS ? <Thumbnails store={store} /> : <ColouredHeads store={store} />}
      </div>
      {picture !== null && (
        <div>
          <h3>{`${picture.layer.is_derived ? picture.layer.name : `Layer ${picture.selection.layer}`} · ${headName(picture.selection.head, picture.layer)}`}</h3>
          <Statistics statistics={picture.statistics} />
        </div>
      )}
    </section>
  );
}
