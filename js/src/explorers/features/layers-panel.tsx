import { useLayoutEffect, useRef } from "preact/hooks";
import { drawPicture } from "../../marks/image-overlay";
import { short } from "../../marks/numbers";
import type { FeatureStore } from "./store";

/** The sample and what the model says of it. */
function Sample({ store }: { store: FeatureStore }) {
  const { content, image } = store.state;
  const canvas = useRef<HTMLCanvasElement>(null);
  const pixels = image !== null && image.sample === content?.sample ? image.pixels : null;
  useLayoutEffect(() => {
    const [height = 0, width = 0] = pixels?.shape ?? [];
    if (canvas.current && pixels) drawPicture(canvas.current, pixels.data, [height, width]);
  }, [pixels]);
  if (content === null) return null;
  const { title, predicted } = content;
  return (
    <div class="xw-sample">
      <h3>{title}</h3>
      {pixels !== null && (
        <canvas ref={canvas} class="xw-sample-picture" role="img" aria-label={`Picture of ${title}`} />
      )}
      {predicted !== null && (
        <p>
          {predicted.probability === null ? "Output " : "Predicted "}
          <b>{predicted.name}</b>
          {predicted.probability !== null && (
            <span class="xw-note xw-number">{` · ${short(predicted.probability)}`}</span>
          )}
        </p>
      )}
    </div>
  );
}

/** All layers to pick from, in call order. */
function Layers({ store }: { store: FeatureStore }) {
  const { content, selection, lost } = store.state;
  const list = useRef<HTMLDivElement>(null);
  const layers = content?.layers ?? [];
  useLayoutEffect(() => {
    list.current?.children[selection.layer]?.scrollIntoView?.({ block: "nearest" });
  }, [selection.layer, layers.length]);
  const step = (event: KeyboardEvent) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const next = selection.layer + (by ?? 0);
    if (by === undefined || lost !== null || next < 0 || next >= layers.length) return;
    event.preventDefault();
    store.pickLayer(next, event);
  };
  return (
    <div>
      <h3>Layers</h3>
      <div
        ref={list}
        class="xw-layers"
        role="listbox"
        aria-label="Layers: click or arrow keys pick one"
        tabIndex={0}
        onKeyDown={step}
        onPointerLeave={() => store.point(null)}
      >
        {layers.map((layer, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the list takes the keys
          <div
            key={index}
            role="option"
            tabIndex={-1}
            aria-selected={index === selection.layer}
            class={index === selection.layer ? "xw-on" : ""}
            title={`${layer.type} · ${layer.words}`}
            onPointerEnter={() => store.point(index)}
            onClick={(event) => lost === null && store.pickLayer(index, event)}
          >
            <span>{layer.name || "(model)"}</span>
            <span class="xw-number xw-note">{layer.size}</span>
          </div>
        ))}
      </div>
    </div>
  );
}

/** On the left: the sample, and the layers. */
export function LayersPanel({ store }: { store: FeatureStore }) {
  return (
    <section class="xw-overview" aria-label="Sample and layers">
      <Sample store={store} />
      <Layers store={store} />
    </section>
  );
}
