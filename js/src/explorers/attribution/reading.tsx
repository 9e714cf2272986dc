import { Check } from "../../controls/check";
import { inkOn } from "../../marks/colour";
import { Curves } from "../../marks/curves";
import { short } from "../../marks/numbers";
import { colourOf } from "../../marks/score-text";
import { NumberField } from "./options";
import type { AttributionStore } from "./store";
import type { Agreement, Curves as Drawn, MethodOption, Randomised, Statistic, TrustKind } from "./types";

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
  const { names, fractions, deletion, insertion, areas, score } = curves;
  const count = fractions.length;
  const of = (data: Float32Array) =>
    names.map((name, row) => ({ name, y: rowOf(data, count, row), quiet: name.startsWith("random") }));
  return (
    <>
      <Curves
        label={`Deletion curves of ${names.join(", ")}`}
        x={fractions}
        xLabel="share deleted, strongest first"
        yLabel={score}
        curves={of(deletion.data)}
      />
      <Curves
        label={`Insertion curves of ${names.join(", ")}`}
        x={fractions}
        xLabel="share inserted, strongest first"
        yLabel={score}
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
            <th scope="row" title={layer} class="xw-tail">
              {/* Names of layers differ at their end. */}
              <bdi dir="ltr">{layer}</bdi>
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

const titleOf = (kind: TrustKind) => KINDS.find(([one]) => one === kind)?.[1] ?? kind;

/** How far a measure is, or what it waits for. */
function Progress({ store, kind }: { store: AttributionStore; kind: TrustKind }) {
  const { measuring, trust } = store.state;
  const place = measuring.indexOf(kind);
  if (place < 0) return null;
  const before = measuring[place - 1];
  if (before !== undefined) return <p class="xw-note" role="status">{`waits for “${titleOf(before)}”`}</p>;
  const found = trust[kind];
  return (
    <div class="xw-progress">
      {/* Without a value it moves to and fro. */}
      <progress
        {...(found?.partial ? { value: found.progress } : {})}
        aria-label={`Progress: ${titleOf(kind)}`}
      />
      <span class="xw-note xw-number">
        {found?.partial ? `${Math.round(100 * found.progress)} %` : "measuring…"}
      </span>
    </div>
  );
}

function Kind({ store, kind }: { store: AttributionStore; kind: TrustKind }) {
  const { trust, lost, shown, measuring } = store.state;
  const [, title, definition] = KINDS.find(([one]) => one === kind) ?? [kind, kind, ""];
  const found = trust[kind];
  return (
    <div class="xw-trust-kind">
      <div class="xw-trust-head">
        <span title={definition}>{title}</span>
        {measuring.includes(kind) ? (
          <button
            type="button"
            class="xw-button"
            aria-label={`Stop: ${title}`}
            onClick={() => store.stopMeasure(kind)}
          >
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
      <Progress store={store} kind={kind} />
      <Found store={store} kind={kind} />
      {found !== null && found.note !== "" && <p class="xw-note">{found.note}</p>}
    </div>
  );
}

const SAMPLES: MethodOption = {
  ...{ name: "agreement_samples", title: "Agreement over", kind: "integer", default: 1, low: 1, high: null },
  ...{ choices: [], definition: "" },
};

/** Which methods what is shown is compared with. */
function Compared({ store }: { store: AttributionStore }) {
  const { content, selection, lost } = store.state;
  const { compared, agreement_samples: samples } = selection;
  const methods = content?.methods.filter(({ name, reason }) => reason === "" && !name.startsWith("neuron_"));
  const pick = (name: string, on: boolean, event: Event) => {
    const others = compared.filter((one) => one !== name);
    store.move({ compared: on ? [...others, name] : others }, event);
  };
  return (
    <details class="xw-compared">
      <summary title="Other methods beside what is shown, in the curves and in the agreement of methods">
        {compared.length === 0 ? "Compare with other methods" : `Compared with ${compared.length} methods`}
      </summary>
      <div class="xw-compared-methods">
        {methods?.map(({ name, title, definition }) => (
          <span key={name} title={definition}>
            <Check
              label={title}
              checked={compared.includes(name)}
              disabled={lost !== null}
              onToggle={(on, event) => pick(name, on, event)}
            />
          </span>
        ))}
      </div>
      <span class="xw-compared-samples" title="The sample that is shown and those that follow it">
        <NumberField
          option={SAMPLES}
          value={samples === 1 ? null : samples}
          disabled={lost !== null}
          onSet={(value, event) =>
            store.move({ agreement_samples: value === null ? 1 : Number(value) }, event)
          }
        />
        <span class="xw-note">{samples === 1 ? "sample" : "samples"}</span>
      </span>
    </details>
  );
}

/** Whether what is shown can be trusted: measured when asked for, in steps. */
function TrustPanel({ store }: { store: AttributionStore }) {
  return (
    <section class="xw-trust" aria-label="Trust">
      <h3>Can it be trusted?</h3>
      <Compared store={store} />
      <div class="xw-columns">
        {KINDS.map(([kind]) => (
          <Kind key={kind} store={store} kind={kind} />
        ))}
      </div>
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
      <div class="xw-columns">
        {mine !== null && (
          <div>
            <h3>{selection.other === null ? "Numbers" : `A: ${mine.title}`}</h3>
            <Statistics rows={mine.statistics} />
          </div>
        )}
        {selection.other !== null && theirs !== null && (
          <div>
            <h3>{`B: ${theirs.title}`}</h3>
            <Statistics rows={theirs.statistics} />
          </div>
        )}
      </div>
      <TrustPanel store={store} />
    </section>
  );
}
