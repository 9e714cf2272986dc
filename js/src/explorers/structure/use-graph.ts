import { useMemo, useRef } from "preact/hooks";
import type { Description } from "../../graph/description";
import { type Layout, Layouts } from "../../graph/layout";
import { inOtherBlock, revealed, type Sight, shownIn } from "../../graph/reveal";
import { type Box, type View, viewOf } from "../../graph/view";
import type { BoxMarks } from "../../marks/graph-box";
import { failedSize, nameOf, shapesWidth, sizeOf, typeOf } from "../../marks/graph-text";
import { quantity } from "../../marks/numbers";
import { moduleOf } from "./rows";
import type { StructureStore } from "./store";
import type { Failure } from "./types";

/** The graph that is drawn, and what can be done with it. */
export interface Shown {
  description: Description;
  sight: Sight;
  view: View;
  layout: Layout;
  /** The box in which the picked module is shown. */
  picked: { id: string; isItself: boolean } | null;
  marksOf(box: Box, focused: boolean): BoxMarks;
}

/** Which graph is drawn; null: it is not here yet. */
function drawnGraph(store: StructureStore): { graph: Description; first_sight: string[] } | null {
  const { content, backward, selection } = store.state;
  return selection.graph === "backward" ? backward : content;
}

/** Boxes, their places and how they are marked, each computed anew only when what it depends on changes. */
export function useGraph(store: StructureStore): Shown | null {
  const drawn = drawnGraph(store);
  const { content, selection } = store.state;
  const { opened: open, instances, layer_name } = selection;
  const description = drawn?.graph ?? null;
  const opened = open ?? drawn?.first_sight ?? NONE;
  const failure = selection.graph === "forward" ? (content?.failure ?? null) : null;
  const layouts = useRef<{ of: Description; layouts: Layouts } | null>(null);
  const view = useMemo(
    () => (description === null ? null : viewOf(description, opened, instances)),
    [description, opened, instances],
  );
  const layout = useMemo(() => {
    if (view === null || description === null) return null;
    if (layouts.current?.of !== description) {
      const size = (box: Box) => (box.id === failure?.call ? failedSize(box, metIn(failure)) : sizeOf(box));
      layouts.current = { of: description, layouts: new Layouts(size, shapesWidth) };
    }
    return layouts.current.layouts.layout(view);
  }, [view, description, failure]);
  const marks = useMemo(() => {
    if (description === null || view === null) return null;
    return marked(store, description, view, instances, layer_name, failure);
  }, [description, view, instances, layer_name, failure, store.overlay, store.found, content]);
  if (description === null || view === null || layout === null || marks === null) return null;
  return { description, sight: { opened, instances }, view, layout, ...marks };
}

const NONE: string[] = [];

/** The shapes that met where a forward broke off. */
const metIn = ({ shapes }: Failure) => shapes.join(" · ");

/** How the boxes of a view are marked. */
function marked(
  store: StructureStore,
  description: Description,
  view: View,
  instances: Sight["instances"],
  layer_name: string,
  failure: Failure | null,
): Pick<Shown, "picked" | "marksOf"> {
  const boxOf = (name: string) => shownIn(description, view, instances, name);
  // The whole model is what is picked at first: a frame around all would say nothing.
  const picked = layer_name === "" ? null : boxOf(layer_name);
  const found = foundIn(store.found, boxOf);
  const failed = failure === null ? null : failedBoxes(view, failure, boxOf(failure.call)?.id ?? null);
  return {
    picked,
    marksOf: (box, focused) => ({
      ...{ focused, tint: tintOf(store, box), found: found.get(box.id) ?? null },
      picked: picked?.id !== box.id ? null : picked.isItself ? "itself" : "inside",
      failure: failure !== null && failed?.has(box.id) ? metIn(failure) : null,
      words: failed?.has(box.id)
        ? `${wordsOf(store, box)}, failed with ${failure?.shapes.join(" and ")}: ${failure?.message}`
        : wordsOf(store, box),
    }),
  };
}

/** By the boxes: whether what was found is the box, or in it. */
function foundIn(
  names: string[],
  boxOf: (name: string) => { id: string; isItself: boolean } | null,
): Map<string, "itself" | "inside"> {
  const found = new Map<string, "itself" | "inside">();
  for (const name of names) {
    const box = boxOf(name);
    if (box !== null && found.get(box.id) !== "itself") found.set(box.id, box.isItself ? "itself" : "inside");
  }
  return found;
}

/** Where a forward broke off: the operation where it is shown, else the box of the call. */
function failedBoxes({ boxes, byId }: View, { operation }: Failure, call: string | null): Set<string> {
  const at = call === null ? undefined : byId.get(call);
  if (call === null || at === undefined) return new Set();
  const inside = boxes.filter(
    ({ parent, kind, label }) => parent === call && kind === "operation" && label === operation,
  );
  const last = inside.at(-1);
  return new Set([at.isOpen && last !== undefined ? last.id : call]);
}

function tintOf(store: StructureStore, box: Box): BoxMarks["tint"] {
  const { overlay } = store;
  const row = box.kind === "module" ? store.rowOf(box.id) : -1;
  const colour = overlay === null || row < 0 ? null : overlay.colourOf(row);
  if (overlay === null || colour === null) return null;
  return { colour, ink: overlay.inkOf(row), text: overlay.textOf(row) };
}

/** What is said of a box by a reader, and as a tip. */
function wordsOf(store: StructureStore, box: Box): string {
  const { content } = store.state;
  const said = [nameOf(box)];
  if (typeOf(box) !== "") said.push(typeOf(box));
  if (box.repeats > 1) said.push(`block ${box.instance} of ${box.repeats} that are alike`);
  if (box.kind === "bundle") said.push("bundled");
  if (box.kind === "operation") said.push("operation");
  const row = box.kind === "module" ? store.rowOf(box.id) : -1;
  if (content !== null && row >= 0) {
    const { parameters, output_shapes } = content.rows;
    if ((parameters[row] ?? 0) > 0) said.push(`${quantity(parameters[row] as number)} parameters`);
    if (output_shapes[row]) said.push(`gives ${output_shapes[row]}`);
    if (store.overlay !== null) said.push(store.overlay.titleOf(row));
  }
  return said.join(", ");
}

/** What a user does with the boxes; the traits follow. */
export function actionsOf(store: StructureStore, shown: Shown) {
  const { description, sight, view } = shown;
  return {
    toggle(id: string, event?: Event) {
      const isOpen = sight.opened.includes(id);
      store.open(isOpen ? sight.opened.filter((one) => one !== id) : [...sight.opened, id], event);
    },
    /** Picks a module; of all else the module around it. */
    pick(id: string, event?: Event) {
      let box = view.byId.get(id);
      while (box !== undefined && box.kind !== "module") box = view.byId.get(box.parent ?? "no box");
      if (box !== undefined) store.pick(box.id, event);
    },
    /** Shows another block of a fold, with the same boxes open; gives back what its first box is called then. */
    showInstance({ fold, id }: Box, instance: number, event?: Event) {
      if (fold === null) return id;
      const next = inOtherBlock(description, sight, fold, instance);
      store.move(next, event);
      return (
        viewOf(description, next.opened, next.instances).boxes.find((box) => box.fold === fold)?.id ?? id
      );
    },
    reveal(name: string, event?: Event) {
      const seen = ({ opened, instances }: Sight) => viewOf(description, opened, instances);
      store.move(revealed(description, seen, sight, name), event);
    },
    reset(event?: Event) {
      store.move({ opened: null, instances: {} }, event);
    },
  };
}

export type Actions = ReturnType<typeof actionsOf>;

/** Whether a search is under way that found the picked module: then it is opened. */
export function isFound(store: StructureStore): boolean {
  const name = moduleOf(store.state.selection.layer_name);
  return store.found.some((found) => found === name);
}
