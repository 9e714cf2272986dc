import { Slider } from "../../controls/slider";
import { ImageOverlay } from "../../marks/image-overlay";
import { whole } from "../../marks/numbers";
import { TokenText } from "../../marks/token-text";
import { excerpt } from "../../marks/tokens";
import { length, type Span } from "../../marks/viewport";
import { sideOf } from "./selection";
import type { AttentionStore } from "./store";
import type { ImageGrid, Picture } from "./types";

interface SideProps {
  store: AttentionStore;
  picture: Picture;
  side: "query" | "key";
  /** Coloured by the weights of the picked position on the other side; else there to pick from. */
  coloured: boolean;
  numbered?: boolean;
}

function Tokens({ store, picture, side, coloured, numbered = false, span }: SideProps & { span: Span }) {
  const { direction, lost } = store.state;
  const { weights } = sideOf(picture, direction);
  const { query, scale } = picture.selection;
  const tokens = side === "query" ? picture.queryTokens : picture.keyTokens;
  const isOwn = (side === "query") === (direction === "from") || picture.queryTokens === picture.keyTokens;
  return (
    <TokenText
      label={side === "query" ? "Queries" : "Keys"}
      tokens={tokens}
      span={span}
      weights={coloured ? weights : null}
      scale={scale}
      picked={isOwn ? query : null}
      numbered={numbered && coloured}
      disabled={lost !== null}
      onPick={(position, event) => store.pickOn(side, position, event)}
    />
  );
}

/** Tokens shown at once: more are read in parts. */
const EXCERPT = 400;

function TextSide(props: SideProps) {
  const { picture, side } = props;
  const span = side === "query" ? picture.layer.rows : picture.layer.columns;
  const part = excerpt(span, picture.selection.query, EXCERPT);
  return (
    <>
      <Tokens {...props} span={part} />
      {length(part) < length(span) && (
        <p class="xw-note">{`positions ${part[0]}–${part[1] - 1} of ${whole(length(span))}`}</p>
      )}
    </>
  );
}

function ImageSide(props: SideProps & { grid: ImageGrid }) {
  const { store, picture, side, coloured, grid } = props;
  const { image, table, opacity, direction, lost } = store.state;
  const { weights } = sideOf(picture, direction);
  const { query, scale } = picture.selection;
  const isOwn = (side === "query") === (direction === "from") || picture.queryTokens === picture.keyTokens;
  if (image === null || table === null || image.sample !== picture.selection.sample) {
    return <p class="xw-note">Reading the image…</p>;
  }
  const [height = 1, width = 1] = image.pixels.shape;
  const isPadded = grid.height > grid.image_height || grid.width > grid.image_width;
  const [first, last] = side === "query" ? picture.layer.rows : picture.layer.columns;
  const end = grid.start + grid.height * grid.width;
  return (
    <>
      <ImageOverlay
        label={side === "query" ? "Queries" : "Keys"}
        pixels={image.pixels.data}
        shape={[height, width]}
        grid={grid}
        weights={coloured ? weights : null}
        scale={scale}
        table={table}
        opacity={opacity}
        picked={isOwn ? query : null}
        disabled={lost !== null}
        onPick={(position, event) => store.pickOn(side, position, event)}
      />
      {coloured && (
        <Slider
          label="Opacity"
          value={opacity}
          count={101}
          shown={`${opacity} %`}
          spoken={`${opacity} percent`}
          disabled={lost !== null}
          onMove={(value) => store.cover(value)}
        />
      )}
      {image.note !== "" && <p class="xw-note">{`Picture: ${image.note}`}</p>}
      {isPadded && <p class="xw-note">{`The model pads it to ${grid.height} × ${grid.width} patches.`}</p>}
      {grid.start > first && <Tokens {...props} span={[first, grid.start]} />}
      {last > end && <Tokens {...props} span={[end, last]} />}
    </>
  );
}

/** Queries or keys as what they are: patches of the image, or text. */
export function Side(props: SideProps) {
  const { layer } = props.picture;
  const grid = props.side === "query" ? layer.query_grid : layer.key_grid;
  return grid === null ? <TextSide {...props} /> : <ImageSide {...props} grid={grid} />;
}
