import { digits, whole } from "../../marks/numbers";
import type { StructureStore } from "./store";
import type { InitialisationLine, Quantity, Spectrum, Values } from "./types";

function Initialisation({ line }: { line: InitialisationLine }) {
  const { parameter, looks_like, found, expected, fan_in, fan_out, sentence, is_far } = line;
  const numbers = [
    found !== null && `deviation ${digits(found)}`,
    expected !== null && `expected ${digits(expected)}`,
    fan_in > 0 && `fan-in ${whole(fan_in)}, fan-out ${whole(fan_out)}`,
  ];
  return (
    <li>
      <div class={is_far ? "xw-warning" : undefined}>
        {sentence || `${parameter} looks like ${looks_like}.`}
      </div>
      <div class="xw-number xw-note">{numbers.filter(Boolean).join(" · ")}</div>
    </li>
  );
}

/** What the parameters look as if they were drawn from. */
function Initialisations({ lines }: { lines: InitialisationLine[] }) {
  if (lines.length === 0) return null;
  return (
    <section aria-label="Initialisation">
      <h3>Initialisation it looks like</h3>
      <ul class="xw-initialisations">
        {lines.map((line) => (
          <Initialisation key={line.parameter} line={line} />
        ))}
      </ul>
    </section>
  );
}

/** Units that are silent for all samples, counted on demand. */
function DeadUnits({ store }: { store: StructureStore }) {
  const { dead, lost, selection } = store.state;
  const found = dead?.layer_name === selection.layer_name ? dead : null;
  return (
    <section aria-label="Dead units">
      <h3>Dead units</h3>
      {found !== null && (
        <>
          <p class="xw-number xw-sentence">{found.words}</p>
          {found.partial && <progress value={found.samples} max={found.of} aria-label="Samples read" />}
          {found.names.length > 0 && (
            <p class="xw-note">
              {`units ${found.names.join(", ")}`}
              {found.dead > found.names.length && ` and ${whole(found.dead - found.names.length)} more`}
            </p>
          )}
        </>
      )}
      <div class="xw-buttons">
        {found?.partial ? (
          <button type="button" class="xw-button" onClick={() => store.stopDead()}>
            Stop
          </button>
        ) : (
          <button
            type="button"
            class="xw-button"
            disabled={lost !== null}
            title="Runs the model on the samples, one after the other"
            onClick={(event) => store.countDead(event)}
          >
            {found === null ? "Count over the samples" : "Count again"}
          </button>
        )}
      </div>
    </section>
  );
}

/** Singular values as a line from the largest to the smallest. */
function Falling({ values, name }: { values: Float32Array; name: string }) {
  const [most = 1] = values;
  const ends = `${digits(most)} … ${digits(values[values.length - 1] ?? 0)}`;
  const points = Array.from(values, (value, at) => `${at / (values.length - 1)},${1 - value / (most || 1)}`);
  return (
    <figure class="xw-falling">
      <svg
        viewBox="0 0 1 1"
        preserveAspectRatio="none"
        role="img"
        aria-label={`Singular values of ${name}, the largest first: ${ends}`}
      >
        <polyline class="xw-curve" points={points.join(" ")} />
      </svg>
      <figcaption class="xw-note xw-number">{`the largest first: ${ends}`}</figcaption>
    </figure>
  );
}

function SpectrumOf({ spectrum }: { spectrum: Spectrum }) {
  const { parameter, shape, spectral_norm, effective_rank, stable_rank } = spectrum;
  const { rank_limit, definition, singular } = spectrum;
  const rows = [
    ["Spectral norm", digits(spectral_norm)],
    ["Effective rank", `${digits(effective_rank)} of ${whole(rank_limit)}`],
    ["Stable rank", digits(stable_rank)],
  ] as const;
  return (
    <>
      <h4>{`${parameter} · ${shape}`}</h4>
      <dl class="xw-statistics">
        {rows.map(([name, text]) => (
          <div key={name} title={definition}>
            <dt>{name}</dt>
            <dd class="xw-number">{text}</dd>
          </div>
        ))}
      </dl>
      {singular !== null && singular.length > 1 && <Falling values={singular} name={parameter} />}
    </>
  );
}

const isMatrix = ({ kind, shape }: Quantity) => kind === "parameter" && shape.includes("×");

/** Singular values of the weights, computed on demand. */
function Spectra({ store, values }: { store: StructureStore; values: Values }) {
  const { spectra, lost, selection } = store.state;
  const found = spectra?.layer_name === selection.layer_name ? spectra.spectra : null;
  if (!values.quantities.some(isMatrix)) return null;
  return (
    <section aria-label="Spectrum">
      <h3>Singular values</h3>
      {found?.map((spectrum) => (
        <SpectrumOf key={spectrum.parameter} spectrum={spectrum} />
      ))}
      {found === null && (
        <div class="xw-buttons">
          <button
            type="button"
            class="xw-button"
            disabled={lost !== null}
            title="Takes time that grows with the third power of the smaller side"
            onClick={(event) => store.readSpectrum(event)}
          >
            Spectral norm and rank
          </button>
        </div>
      )}
    </section>
  );
}

/** On the right: what the weights look like, and what is measured on demand. */
export function ValuesReading({ store, values }: { store: StructureStore; values: Values }) {
  return (
    <>
      <Initialisations lines={values.initialisation} />
      <DeadUnits store={store} />
      <Spectra store={store} values={values} />
    </>
  );
}
