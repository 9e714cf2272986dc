import { useLayoutEffect, useMemo } from "preact/hooks";
import { ColourBar } from "../../marks/colour-bar";
import { type Cell, MatrixView } from "../../marks/matrix-view";
import { exact, signed } from "../../marks/numbers";
import { named, type Token } from "../../marks/tokens";
import { contentOf, joinedTokens, otherSides } from "./comparison";
import { barLabel, useMatrix } from "./matrix-panel";
import { headName } from "./overview";
import type { AttentionStore } from "./store";
import type { OtherContent, Picture } from "./types";

interface PanelProps {
  store: AttentionStore;
  picture: Picture;
  table: Uint8Array;
}

export const comparedTitle = ({ compared }: Picture, size: string) =>
  `${compared?.matrix === null ? "A − B" : "A and B"} · ${size}`;

/** What A and B are, as far as their samples and models differ with these. */
function sideNames({ selection, layer, title, compared }: Picture, content: OtherContent | null): string[] {
  if (compared === null) return [];
  const { other } = compared;
  const theirs = contentOf(other, content);
  const mine = [layer.name, headName(selection.head, layer)];
  const others = [
    theirs?.layers[other.layer]?.name ?? `layer ${other.layer}`,
    headName(other.head, theirs?.layers[other.layer]),
  ];
  if (selection.sample !== other.sample) {
    mine.push(title);
    others.push(theirs?.title ?? `sample ${other.sample}`);
  }
  if (other.model === 1) others.unshift("other model");
  return [mine, others].map((parts) => parts.join(" · "));
}

interface Tokens {
  queryTokens: Token[] | null;
  keyTokens: Token[] | null;
}

const cellName = ({ queryTokens, keyTokens }: Tokens, { row, key }: Cell) =>
  `${named(queryTokens, row)} → ${named(keyTokens, key)}`;

/** The weights of the cell pointed at, and their difference: “0.231 − 0.114 = +0.117”. */
function Readout({ store, picture, theirs, cell }: Omit<PanelProps, "table"> & ReadoutProps) {
  const row = cell?.row ?? null;
  useLayoutEffect(() => {
    if (row === null) return;
    store.read("from", row);
    store.read("from", row, true);
  }, [store, row, picture.selection, picture.compared]);
  if (cell === null) {
    return <div class="xw-readout xw-note">Point at a cell for both weights; click picks its query.</div>;
  }
  const [mine, other] = [false, true].map((side) => store.exact("from", cell.row, side)?.[cell.key]);
  const difference = mine === undefined || other === undefined ? "…" : signed(exact(mine - other));
  const [name, otherName] = [picture, theirs].map((side) => cellName(side, cell));
  return (
    <div class="xw-readout" aria-live="polite">
      {name}
      {theirs.queryTokens !== null && otherName !== name && ` / ${otherName}`}
      <br />
      <b class="xw-number">{`${exact(mine)} − ${exact(other)} = ${difference}`}</b>
    </div>
  );
}

interface ReadoutProps {
  theirs: Tokens;
  cell: Cell | null;
}

interface MatricesProps {
  picture: Picture;
  content: OtherContent | null;
  theirs: Tokens;
  table: Uint8Array;
  shared: ReturnType<typeof useMatrix>;
}

/** Both matrices, each with its own tokens, or one of their difference, with those of both. */
function Matrices({ picture, content, theirs, table, shared }: MatricesProps) {
  const { selection, matrix, compared } = picture;
  const joined = useMemo(() => {
    const queryTokens = joinedTokens(picture.queryTokens, theirs.queryTokens);
    const isSame = [picture, theirs].every((side) => side.queryTokens === side.keyTokens);
    return {
      queryTokens,
      keyTokens: isSame ? queryTokens : joinedTokens(picture.keyTokens, theirs.keyTokens),
    };
  }, [picture, theirs]);
  // Kept: a canvas with another selection is drawn anew.
  const places = useMemo(() => {
    const other = compared?.other;
    return { b: { ...selection, ...other }, difference: { ...selection, other } };
  }, [selection, compared]);
  if (compared === null) return null;
  const [mine, other] = sideNames(picture, content);
  const view = (label: string, cells: Uint8Array, shown: object, { queryTokens, keyTokens }: Tokens) => (
    <MatrixView {...{ ...shared, cells, table, label, queryTokens, keyTokens }} selection={shown} />
  );
  if (compared.matrix === null) {
    return view(`Difference of matrices A − B: ${mine} − ${other}`, matrix.data, places.difference, joined);
  }
  return (
    <div class="xw-pair">
      <figure>
        <figcaption title={mine}>
          <b>A</b> {mine}
        </figcaption>
        {view(`Matrix A: ${mine}`, matrix.data, selection, picture)}
      </figure>
      <figure>
        <figcaption title={other}>
          <b>B</b> {other}
        </figcaption>
        {view(`Matrix B: ${other}`, compared.matrix.data, places.b, theirs)}
      </figure>
    </div>
  );
}

/** What is compared: one window, one pointer, one picked query. */
export function ComparisonPanel({ store, picture, table }: PanelProps) {
  const { selection, matrix, compared } = picture;
  const { other: content, differenceTable } = store.state;
  const shared = useMatrix(store, picture);
  const theirs = useMemo(() => otherSides(picture, content), [picture, content]);
  const isDifference = compared?.matrix === null;
  const colours = isDifference ? differenceTable : table;
  if (compared === null || colours === null) return <p class="xw-note">Reading the colours…</p>;
  const rowWise = selection.scale === "row" ? ", share of the row’s largest" : "";
  return (
    <>
      <Matrices picture={picture} content={content} theirs={theirs} table={colours} shared={shared} />
      <div class="xw-under xw-two-lines">
        <Readout store={store} picture={picture} theirs={theirs} cell={shared.pointed} />
        {matrix.range !== null && (
          <ColourBar
            table={colours}
            range={matrix.range}
            scale={selection.scale}
            nonfinite={matrix.nonfinite + (compared.matrix?.nonfinite ?? 0)}
            label={isDifference ? `A − B${rowWise}` : barLabel(picture)}
          />
        )}
      </div>
    </>
  );
}
