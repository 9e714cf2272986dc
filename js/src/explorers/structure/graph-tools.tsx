import { render as draw } from "preact";
import { useRef, useState } from "preact/hooks";
import { Segmented } from "../../controls/segmented";
import { GraphDrawing } from "../../marks/graph-drawing";
import { pngFile, save, svgFile, svgText } from "../../marks/graph-export";
import { FONT } from "../../marks/graph-text";
import { whole } from "../../marks/numbers";
import type { StructureStore } from "./store";
import type { Direction } from "./types";
import type { Actions, Shown } from "./use-graph";

const DIRECTIONS = [
  ["forward", "Forward"],
  ["backward", "Backward"],
] as const satisfies [Direction, string][];

const nothing = () => {};

/** All of the graph as text, drawn out of sight once for its colours. */
function picture({ view, layout, picked, marksOf }: Shown, beside: Element): string {
  const host = document.createElement("div");
  host.className = "xw-graph xw-graph-still";
  beside.append(host);
  const id = picked?.id ?? null;
  draw(
    <svg font-family={FONT}>
      <title>Graph</title>
      <GraphDrawing
        {...{ view, layout, seen: null, prefix: "still", isStill: true, onToggle: nothing, onPick: nothing }}
        marksOf={(box) => marksOf(box, false)}
        picked={id}
      />
    </svg>,
    host,
  );
  const text = svgText(host.firstElementChild as SVGSVGElement, layout.width, layout.height);
  draw(null, host);
  host.remove();
  return text;
}

/** Saves what is shown, boxes out of sight too, as a picture. */
function Export({ store, shown }: { store: StructureStore; shown: Shown }) {
  const here = useRef<HTMLSpanElement>(null);
  const [said, say] = useState("");
  const name = `${shown.view.boxes[0]?.type || "model"} graph`.replaceAll(/\s+/g, "-").toLowerCase();
  const text = () => picture(shown, here.current as Element);
  const savePng = async () => {
    try {
      const { file, scale } = await pngFile(text());
      save(`${name}.png`, file);
      say(
        scale < 2 ? `PNG at ${scale.toFixed(2)} ×: browsers draw no larger picture; SVG has all of it.` : "",
      );
    } catch (error) {
      say(`No PNG: ${error instanceof Error ? error.message : String(error)}.`);
    }
  };
  const disabled = store.state.content === null;
  return (
    <span class="xw-graph-buttons" ref={here}>
      {said !== "" && (
        <span class="xw-note" role="status">
          {said}
        </span>
      )}
      <button
        type="button"
        class="xw-button"
        title="Save the graph as it is open now, as SVG"
        disabled={disabled}
        onClick={() => save(`${name}.svg`, svgFile(text()))}
      >
        Save SVG
      </button>
      <button
        type="button"
        class="xw-button"
        title="Save the graph as it is open now, as PNG"
        disabled={disabled}
        onClick={savePng}
      >
        Save PNG
      </button>
    </span>
  );
}

interface ToolsProps {
  store: StructureStore;
  shown: Shown;
  actions: Actions;
  zoom(factor: number): void;
  onFit(): void;
}

/** The way back to the first sight, zoom, and pictures to save. */
export function Tools({ store, shown, actions, zoom, onFit }: ToolsProps) {
  const { picked } = shown;
  const { layer_name } = store.state.selection;
  return (
    <div class="xw-graph-tools">
      <GraphSwitch store={store} />
      <span class="xw-zoom" role="group" aria-label="Zoom">
        <button
          type="button"
          aria-label="Zoom out"
          title="Zoom out (−; Ctrl or ⌘ and wheel)"
          onClick={() => zoom(1 / 1.25)}
        >
          −
        </button>
        <button
          type="button"
          aria-label="Zoom in"
          title="Zoom in (+; Ctrl or ⌘ and wheel)"
          onClick={() => zoom(1.25)}
        >
          +
        </button>
        <button type="button" title="All of the graph (0)" onClick={onFit}>
          Fit
        </button>
      </span>
      <button
        type="button"
        class="xw-button"
        title="Open what is open at first, and close the rest"
        disabled={store.state.selection.opened === null}
        onClick={(event) => actions.reset(event)}
      >
        Reset
      </button>
      {picked !== null && !picked.isItself && (
        <button
          type="button"
          class="xw-button"
          title={`Open what is around ${layer_name}`}
          onClick={(event) => actions.reveal(layer_name, event)}
        >
          Show picked
        </button>
      )}
      <span class="xw-note xw-graph-count">{`${whole(shown.view.boxes.length)} boxes`}</span>
      <Export store={store} shown={shown} />
    </div>
  );
}

/** Which graph is drawn: that of the forward, or that of the backward of the target. */
export function GraphSwitch({ store }: { store: StructureStore }) {
  const { selection, lost } = store.state;
  return (
    <Segmented
      label="Graph of"
      value={selection.graph}
      options={DIRECTIONS}
      disabled={lost !== null}
      onPick={(graph, event) => store.move({ graph }, event)}
    />
  );
}
