import { useLayoutEffect, useRef } from "preact/hooks";
import { drawPicture } from "../../marks/image-overlay";
import type { AttributionStore } from "./store";

const MOST_CLASSES = 8;

/** The classes by their probability, to pick the target from. */
function Classes({ store }: { store: AttributionStore }) {
  const { content, selection, lost } = store.state;
  if (content === null || content.probabilities.length < 2) return null;
  const { classes, probabilities, predicted } = content;
  const order = probabilities
    .map((_, index) => index)
    .sort((a, b) => (probabilities[b] ?? 0) - (probabilities[a] ?? 0));
  const target = selection.target === null ? predicted?.index : selection.target;
  return (
    <div>
      <h3>Classes</h3>
      <ul class="xw-classes" aria-label="Classes by probability">
        {order.slice(0, MOST_CLASSES).map((index) => (
          <li key={index}>
            <button
              type="button"
              class={index === target ? "xw-on" : ""}
              aria-pressed={index === target}
              disabled={lost !== null}
              title="Explain this class"
              onClick={(event) => store.move({ target: index }, event)}
            >
              <span>{classes[index]}</span>
              <span class="xw-track">
                <i style={{ width: `${100 * (probabilities[index] ?? 0)}%` }} />
              </span>
              <span class="xw-number">{`${(100 * (probabilities[index] ?? 0)).toFixed(1)} %`}</span>
            </button>
          </li>
        ))}
      </ul>
      {order.length > MOST_CLASSES && <p class="xw-note">{`of ${order.length} classes`}</p>}
    </div>
  );
}

/** What the method is, where it comes from, and what it costs. */
function About({ store }: { store: AttributionStore }) {
  const { method } = store;
  const { costs, selection } = store.state;
  if (method === null || selection.show === "parameters") return null;
  return (
    <div class="xw-about">
      <h3>{method.title}</h3>
      <p>{method.definition}</p>
      <p class="xw-note">{method.source}</p>
      {costs[0] !== null && <p class="xw-note xw-number">{costs[0]}</p>}
    </div>
  );
}

/** On the left: the sample, what the model says of it, and the method. */
export function SamplePanel({ store }: { store: AttributionStore }) {
  const { content, image } = store.state;
  const canvas = useRef<HTMLCanvasElement>(null);
  const pixels = image !== null && image.sample === content?.sample ? image.pixels : null;
  useLayoutEffect(() => {
    const [height = 0, width = 0] = pixels?.shape ?? [];
    if (canvas.current && pixels) drawPicture(canvas.current, pixels.data, [height, width]);
  }, [pixels]);
  return (
    <section class="xw-overview" aria-label="Sample and method">
      <div class="xw-sample">
        <h3>{content?.title}</h3>
        {pixels !== null && (
          <canvas
            ref={canvas}
            class="xw-sample-picture"
            role="img"
            aria-label={`Picture of ${content?.title}`}
          />
        )}
      </div>
      <Classes store={store} />
      <About store={store} />
    </section>
  );
}
