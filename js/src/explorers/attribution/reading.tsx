import { inkOn } from "../../marks/colour";
import { Curves } from "../../marks/curves";
import { short } from "../../marks/numbers";
import { colourOf } from "../../marks/score-text";
import type { AttributionStore } from "./store";
import type { Agreement, Curves as Drawn, Randomised, Statistic, TrustKind } from "./types";

export function Statistics({ rows }: { rows: Statistic[] }) {
  return (
    <dl class="xw-statistics">
      {rows.map(({ name, text, definition }) => (
        <div key={name} title={definition}>
          <dt>{name}</dt>
          <dd class="xw-number">{text}</dd>
        </div>
      ))}
    </dl>
  );
}

const rowOf = (data: Float32Array, count: number, row: number) =>
  data.subarray(row * count, (row + 1) * count);

function CurvesOf({ curves }: { curves: Drawn }) {
  const { names, fractions, deletion, insertion, areas } = curves;
  const count = fractions.length;
  const of = (data: Float32Array) =>
    names.map((name, row) => ({ name, y: rowOf(data, count, row), quiet: name.startsWith("random") }));
  return (
    <>
      <Curves
        label={`Deletion curves of ${names.join(", ")}`}
        x={fractions}
        xLabel="share deleted, strongest first"
        yLabel="target"
        curves={of(deletion.data)}
      />
      <Curves
        label={`Insertion curves of ${names.join(", ")}`}
        x={fractions}
        xLabel="share inserted, strongest first"
        yLabel="target"
        curves={of(insertion.data)}
      />
      <table class="xw-change">
        <thead>
          <tr>
            <th scope="col">Area under</th>
            <th scope="col">deletion</th>
            <th scope="col">insertion</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name, row) => (
            <tr key={name}>
              <th scope="row" title={name}>
                {name}
              </th>
              <td class="xw-number">{short(areas[row]?.[0] ?? Number.NaN)}</td>
              <td class="xw-number">{short(areas[row]?.[1] ?? Number.NaN)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function RandomisedLayers({ found }: { found: Randomised }) {
  const { layers, signed, absolute } = found;
  return (
    <table class="xw-change">
      <thead>
        <tr>
          <th scope="col">Drawn anew down to</th>
          <th scope="col">ρ</th>
          <th scope="col">ρ of |·|</th>
        </tr>
      </thead>
      <tbody>
        {layers.map((layer, row) => (
          <tr key={`${row} ${layer}`}>
            <th scope="row" title={layer}>
              {layer}
            </th>
            <td class="xw-number">{short(signed[row] ?? Number.NaN)}</td>
            <td class="xw-number">{short(absolute[row] ?? Number.NaN)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function AgreementTable({ found, table }: { found: Agreement; table: Uint8Array | null }) {
  const { names, matrix } = found;
  return (
    <table class="xw-change xw-agreement">
      <tbody>
        {names.map((name, row) => (
          <tr key={name}>
            <th scope="row" title={name}>
              {name}
            </th>
            {names.map((other, column) => {
              const value = matrix[row * names.length + column] ?? Number.NaN;
              const [background, isDark] = table === null ? ["", false] : colourOf(table, value, 1);
              return (
                <td
                  key={other}
                  class="xw-number"
                  title={`${name} and ${other}`}
                  style={{ background, color: inkOn(isDark) }}
                >
                  {Number.isFinite(value) ? value.toFixed(2) : "n/a"}
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const KINDS: [kind: TrustKind, title: string, definition: string][] = [
  [
    "curves",
    "Deletion and insertion",
    "The target while the parts with the highest values are taken out, or put in, first (Petsiuk et al. 2018). A good explanation has a small area under deletion and a large one under insertion.",
  ],
  [
    "measures",
    "Infidelity, sensitivity",
    "Infidelity: how far the values miss the change of the target under random changes of the input; sensitivity: how far the explanation itself moves under small ones (Yeh et al. 2019). Less is better.",
  ],
  [
    "randomisation",
    "Randomise the model",
    "Rank correlation with the explanation of a copy whose layers are drawn anew, from the last to the first (Adebayo et al. 2018). One that stays near 1 does not depend on what the model has learnt.",
  ],
  [
    "agreement",
    "Agreement of methods",
    "Rank correlation (Spearman) between the explanations of several methods, from −1 to 1.",
  ],
];

function Found({ store, kind }: { store: AttributionStore; kind: TrustKind }) {
  const { trust, table } = store.state;
  if (kind === "curves") return trust.curves && <CurvesOf curves={trust.curves} />;
  if (kind === "measures") return trust.measures && <Statistics rows={trust.measures.rows} />;
  if (kind === "randomisation")
    return trust.randomisation && <RandomisedLayers found={trust.randomisation} />;
  return trust.agreement && <AgreementTable found={trust.agreement} table={table} />;
}

/** Whether what is shown can be trusted: measured when asked for, in steps. */
function TrustPanel({ store }: { store: AttributionStore }) {
  const { trust, lost, shown } = store.state;
  return (
    <section class="xw-trust" aria-label="Trust">
      <h3>Can it be trusted?</h3>
      {KINDS.map(([kind, title, definition]) => {
        const found = trust[kind];
        return (
          <div key={kind} class="xw-trust-kind">
            <div class="xw-trust-head">
              <span title={definition}>{title}</span>
              {found?.partial ? (
                <button type="button" class="xw-button" onClick={() => store.stopMeasure(kind)}>
                  Stop
                </button>
              ) : (
                <button
                  type="button"
                  class="xw-button"
                  aria-label={`Measure: ${title}`}
                  disabled={lost !== null || shown[0] === null}
                  onClick={(event) => store.measure(kind, event)}
                >
                  {found === null ? "Measure" : "Again"}
                </button>
              )}
            </div>
            <Found store={store} kind={kind} />
            {found !== null && found.note !== "" && <p class="xw-note">{found.note}</p>}
          </div>
        );
      })}
    </section>
  );
}

/** On the right: the numbers of what is shown, and whether to trust them. */
export function Reading({ store }: { store: AttributionStore }) {
  const { shown, selection } = store.state;
  if (selection.show === "parameters") return null;
  const [mine, theirs] = shown;
  return (
    <section class="xw-reading" aria-label="Reading">
      {mine !== null && (
        <>
          <h3>{selection.other === null ? "Numbers" : `A: ${mine.title}`}</h3>
          <Statistics rows={mine.statistics} />
        </>
      )}
      {selection.other !== null && theirs !== null && (
        <>
          <h3>{`B: ${theirs.title}`}</h3>
          <Statistics rows={theirs.statistics} />
        </>
      )}
      <TrustPanel store={store} />
    </section>
  );
}
