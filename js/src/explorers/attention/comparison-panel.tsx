import { useLayoutEffect, useMemo } from "preact/hooks";
import { ColourBar } from "../../marks/colour-bar";
import { type Cell, MatrixView } from "../../marks/matrix-view";
import { exact, signed } from "../../marks/numbers";
import { named, type Token } from "../../marks/tokens";
import { joinedTokens, otherSides } from "./comparison";
import { useMatrix } from "./matrix-panel";
import { headName } from "./overview";
import type { AttentionStore } from "./store";
import type { Picture } from "./types";

interface PanelProps {
  store: AttentionStore;
  picture: Picture;
  table: Uint8Array;
}

export const comparedTitle = ({ compared }: Picture, size: string) =>
  `${compared?.matrix === null ? "A − B" : "A and B"} · ${size}`;

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

/** Both matrices, or their difference: one window, one pointer, one picked query. */
export function ComparisonPanel({ store, picture, table }: PanelProps) {
  const { selection, layer, matrix, compared } = picture;
  const { other: content, differenceTable } = store.state;
  const shared = useMatrix(store, picture);
  const theirs = useMemo(() => otherSides(picture, content), [picture, content]);
  const joined = useMemo(() => {
    const [mine, other] = [picture, theirs];
    const queryTokens = joinedTokens(mine.queryTokens, other.queryTokens);
    const isSame = mine.queryTokens === mine.keyTokens && other.queryTokens === other.keyTokens;
    return { queryTokens, keyTokens: isSame ? queryTokens : joinedTokens(mine.keyTokens, other.keyTokens) };
  }, [picture, theirs]);
  if (compared === null) return null;
  const { other } = compared;
  const mineName = `${layer.name} · ${headName(selection.head, layer)}`;
  const theirName = `${theirs.layer?.name ?? `layer ${other.layer}`} · ${headName(other.head, theirs.layer ?? undefined)}`;
  const isDifference = compared.matrix === null;
  const colours = isDifference ? differenceTable : table;
  if (colours === null) return <p class="xw-note">Reading the colours…</p>;
  const view = (label: string, cells: Uint8Array, selectionShown: object, tokens: Tokens) => (
    <MatrixView
      {...shared}
      cells={cells}
      table={colours}
      label={label}
      selection={selectionShown}
      queryTokens={tokens.queryTokens}
      keyTokens={tokens.keyTokens}
    />
  );
  return (
    <>
      {compared.matrix === null ? (
        view(
          `Difference of matrices A − B: ${mineName} − ${theirName}`,
          matrix.data,
          { ...selection, other },
          joined,
        )
      ) : (
        <div class="xw-pair">
          <figure>
            <figcaption>
              <b>A</b> {mineName}
            </figcaption>
            {view(`Matrix A: ${mineName}`, matrix.data, selection, picture)}
          </figure>
          <figure>
            <figcaption>
              <b>B</b> {theirName}
            </figcaption>
            {view(`Matrix B: ${theirName}`, compared.matrix.data, { ...selection, ...other }, theirs)}
          </figure>
        </div>
      )}
      <div class="xw-under xw-two-lines">
        <Readout store={store} picture={picture} theirs={theirs} cell={shared.pointed} />
        {matrix.range !== null && (
          <ColourBar
            table={colours}
            range={matrix.range}
            scale={selection.scale}
            nonfinite={matrix.nonfinite + (compared.matrix?.nonfinite ?? 0)}
            {...(isDifference && {
              difference: selection.scale === "row" ? "A − B, share of the row’s largest" : "A − B",
            })}
          />
        )}
      </div>
    </>
  );
}
