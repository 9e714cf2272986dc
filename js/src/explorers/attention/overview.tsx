import { useMemo } from "preact/hooks";
import { useUniqueId } from "../../controls/use-unique-id";
import { HeadGrid } from "../../marks/head-grid";
import { otherOf } from "./comparison";
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

/** On the left: all heads to pick from, and the numbers of the picked one. */
export function Overview({ store }: { store: AttentionStore }) {
  const { grid, table, selection, picture, lost } = store.state;
  const mosaic = useMemo(() => {
    if (grid === null) return null;
    const [, height = 1, width = 1] = grid.thumbnails.shape;
    return { counts: grid.layers.map(({ heads }) => heads), height, width };
  }, [grid]);
  const other = otherOf(selection);
  return (
    <section class="xw-overview" aria-label="Heads">
      <div>
        <h3>All heads · click to pick</h3>
        {grid !== null && grid.note !== "" && <p class="xw-note">{`from ${grid.note}`}</p>}
        {mosaic !== null && grid !== null && table !== null && (
          <HeadGrid
            mosaic={mosaic}
            cells={grid.thumbnails.data}
            table={table}
            layerNames={grid.layers.map(({ name }) => name)}
            layer={Math.min(selection.layer, mosaic.counts.length - 1)}
            head={single(selection.head)}
            other={other?.model === 0 ? { layer: other.layer, head: single(other.head) } : null}
            disabled={lost !== null}
            onPick={(layer, head, event) => store.move({ layer, head }, event)}
            onPoint={(place) => store.point(place)}
          />
        )}
      </div>
      {picture !== null && (
        <div>
          <h3>{`Layer ${picture.selection.layer} · ${headName(picture.selection.head, picture.layer)}`}</h3>
          <Statistics statistics={picture.statistics} />
        </div>
      )}
    </section>
  );
}
