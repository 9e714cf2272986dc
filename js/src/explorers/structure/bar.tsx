import { Picker } from "../../controls/picker";
import { Segmented } from "../../controls/segmented";
import { TextBox } from "../../controls/text-box";
import { ClassPicker, ColourPicker, SampleSlider } from "../shared/controls";
import { OF_TARGET } from "./overlay";
import type { StructureStore } from "./store";
import type { OverlayName, View } from "./types";

const VIEWS = [
  ["layers", "Layers"],
  ["graph", "Graph"],
  ["values", "Values"],
] as const satisfies [View, string][];

/** What is differentiated, where gradients are looked at. */
function Target({ store }: { store: StructureStore }) {
  const { content, selection, lost } = store.state;
  const { target, view, overlay, graph } = selection;
  const isUsed = view === "values" || OF_TARGET.has(overlay) || (view === "graph" && graph === "backward");
  if (content === null || !isUsed || (content.classes.length === 0 && target === null)) return null;
  return (
    <ClassPicker
      value={target}
      predicted={content.predicted}
      classes={content.classes}
      disabled={lost !== null}
      onPick={(value, event) => store.move({ target: value }, event)}
    />
  );
}

/** One number of each module as its colour, in the table and in the graph. */
function OverlayPicker({ store }: { store: StructureStore }) {
  const { content, selection, lost } = store.state;
  const choices = content?.overlays ?? [{ name: "", label: "none", definition: "" }];
  return (
    <Picker
      label="Colour by"
      labelled
      value={selection.overlay}
      options={choices.map(({ name, label }) => [name, label] as const)}
      disabled={lost !== null || content === null}
      onPick={(overlay, event) => store.move({ overlay: overlay as OverlayName }, event)}
    />
  );
}

/** Finds modules by name or type; Enter picks the next. */
function Search({ store }: { store: StructureStore }) {
  const { search, selection, lost } = store.state;
  const { found } = store;
  const row = store.rowOf(selection.layer_name);
  const at = found.findIndex((name) => store.rowOf(name) === row);
  const count = at === -1 ? String(found.length) : `${at + 1} of ${found.length}`;
  return (
    <>
      <TextBox
        label="Find module"
        action="Next"
        keep
        disabled={lost !== null}
        onType={(text) => store.search(text)}
        onEnter={(_, event) => store.pickNext(event)}
      />
      <span class="xw-note xw-found" role="status">
        {search.trim() === "" ? "" : found.length === 0 ? "not found" : count}
      </span>
    </>
  );
}

/** All controls, in one bar on top. */
export function Bar({ store }: { store: StructureStore }) {
  const { selection, content, lost } = store.state;
  const { view, overlay } = selection;
  return (
    <>
      <SampleSlider store={store} />
      <Segmented
        label="View"
        value={view}
        options={VIEWS}
        disabled={lost !== null || content === null}
        onPick={(value, event) => store.move({ view: value }, event)}
      />
      {view !== "values" && <OverlayPicker store={store} />}
      <Target store={store} />
      {view !== "values" && overlay !== "" && <ColourPicker store={store} />}
      <Search store={store} />
    </>
  );
}
