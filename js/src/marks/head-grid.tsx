import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { ColourTable } from "./colour";
import { columnsOf, type Mosaic, mosaicSize, moveBy, paintMosaic, shownRatio, thumbnailAt } from "./mosaic";

interface HeadGridProps {
  mosaic: Mosaic;
  cells: Uint8Array;
  table: ColourTable;
  /** Which heads are hatched, having nothing to be coloured by. */
  absent?: boolean[];
  /** What is said of a head beside its place. */
  describe?(place: { layer: number; head: number }): string;
  layerNames: string[];
  layer: number;
  /** null while heads are combined: the whole layer is framed. */
  head: number | null;
  /** Another head that is marked, as null of all of a layer; null: none. */
  other?: { layer: number; head: number | null } | null;
  /** Heads that are crossed out: the model runs without them. */
  ablated?: { layer: number; head: number }[];
  disabled: boolean;
  onPick(layer: number, head: number, event: Event): void;
  /** The pointer is at a head, or at none. */
  onPoint(place: { layer: number; head: number } | null): void;
}

const placeName = (layer: number, head: number | null) =>
  head === null ? `layer ${layer}, all heads` : `layer ${layer}, head ${head}`;

const percent = (share: number) => `${100 * share}%`;

function Numbers({
  count,
  every,
  picked,
  axis,
}: {
  count: number;
  every: number;
  picked: number | null;
  axis: "row" | "column";
}) {
  const side = axis === "row" ? "top" : "left";
  return (
    <div class={`xw-grid-${axis}s`} aria-hidden="true">
      {Array.from({ length: count }, (_, index) => index)
        .filter((index) => index % every === 0 || index === picked)
        .filter((index) => index === picked || picked === null || Math.abs(index - picked) >= every / 2)
        .map((index) => (
          <span
            key={index}
            class={index === picked ? "xw-picked-number" : ""}
            style={{ [side]: percent((index + 0.5) / count) }}
          >
            {index}
          </span>
        ))}
    </div>
  );
}

function usePainted(
  canvas: RefObject<HTMLCanvasElement | null>,
  mosaic: Mosaic,
  cells: Uint8Array,
  table: ColourTable,
  absent: boolean[] | undefined,
) {
  useLayoutEffect(() => {
    const target = canvas.current;
    const context = target?.getContext("2d");
    if (!target || !context) return;
    const { width, height } = mosaicSize(mosaic);
    target.width = width;
    target.height = height;
    const image = context.createImageData(width, height);
    paintMosaic(mosaic, cells, table, image.data, absent);
    context.putImageData(image, 0, 0);
  }, [canvas, mosaic, cells, table, absent]);
}

interface FrameProps {
  mosaic: Mosaic;
  layer: number;
  head: number | null;
  kind?: string;
}

/** A frame around the picked thumbnail, or around the layer whose heads are combined. */
function Frame({ mosaic, layer, head, kind = "xw-frame" }: FrameProps) {
  const columns = columnsOf(mosaic);
  const rows = mosaic.counts.length;
  const style = {
    left: percent((head ?? 0) / columns),
    top: percent(layer / rows),
    width: percent((head === null ? (mosaic.counts[layer] ?? 1) : 1) / columns),
    height: percent(1 / rows),
  };
  return <div class={kind} style={style} />;
}

function Thumbnails(props: HeadGridProps) {
  const { mosaic, cells, table, absent, describe, layerNames, layer, head, other = null } = props;
  const { ablated = [] } = props;
  const { disabled, onPick, onPoint } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  usePainted(canvas, mosaic, cells, table, absent);
  const under = (event: MouseEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    return thumbnailAt(
      mosaic,
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
    );
  };
  const click = (event: MouseEvent) => {
    const found = under(event);
    if (found !== null && !disabled) onPick(found.row, found.column, event);
  };
  const point = (event: MouseEvent) => {
    const found = under(event);
    const place = found === null ? null : { layer: found.row, head: found.column };
    (event.currentTarget as HTMLElement).title = place === null ? "" : (describe?.(place) ?? "");
    if (!disabled) onPoint(place);
  };
  const press = (event: KeyboardEvent) => {
    const next = moveBy(mosaic, { row: layer, column: head ?? 0 }, event.key);
    if (next === null || disabled) return;
    event.preventDefault();
    onPick(next.row, next.column, event);
  };
  const picked = placeName(layer, head);
  const marked = other === null ? "" : `; compared with ${placeName(other.layer, other.head)}`;
  const out = ablated.map((place) => `; without ${placeName(place.layer, place.head)}`).join("");
  return (
    <canvas
      ref={canvas}
      tabIndex={disabled ? -1 : 0}
      role="grid"
      aria-label={`All heads: ${picked} is picked${marked}${out}; arrow keys pick another`}
      aria-rowcount={mosaic.counts.length}
      aria-colcount={columnsOf(mosaic)}
      aria-disabled={disabled}
      onClick={click}
      onPointerMove={point}
      onPointerLeave={() => onPoint(null)}
      onKeyDown={press}
    >
      <div role="row" tabIndex={-1} aria-rowindex={layer + 1}>
        <div role="gridcell" tabIndex={-1} aria-colindex={(head ?? 0) + 1} aria-selected="true">
          {`${layerNames[layer] ?? ""}, ${picked}`}
          {head !== null && describe?.({ layer, head })}
        </div>
      </div>
    </canvas>
  );
}

/** All heads as one canvas: row = layer, column = head; click or arrow keys to pick. */
export function HeadGrid(props: HeadGridProps) {
  const { mosaic, layer, head, other = null, ablated = [] } = props;
  const columns = columnsOf(mosaic);
  const rows = mosaic.counts.length;
  return (
    <div class="xw-grid" style={{ "--xw-columns": columns, "--xw-ratio": shownRatio(mosaic) }}>
      <Numbers count={columns} every={Math.ceil(columns / 16)} picked={head} axis="column" />
      <Numbers count={rows} every={Math.ceil(columns / 20)} picked={layer} axis="row" />
      <div class="xw-grid-box">
        <Thumbnails {...props} />
        {ablated.map((place) => (
          <Frame key={`${place.layer} ${place.head}`} mosaic={mosaic} {...place} kind="xw-crossed-out" />
        ))}
        {other !== null && <Frame mosaic={mosaic} {...other} kind="xw-frame xw-dashed" />}
        {layer < rows && <Frame mosaic={mosaic} layer={layer} head={head} />}
      </div>
    </div>
  );
}
