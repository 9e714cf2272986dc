import type { Answer, ConnectionOptions } from "../../kernel/connection";
import type { WidgetModel } from "../../kernel/model";
import type { Transport } from "../../kernel/transport";
import { copyText } from "../shared/clipboard";
import { ExplorerStore } from "../shared/store";
import { type Sort, sortedAnew } from "../shared/table";
import { readBackward, readDead, readOverlay, readSpectra, readStructure, readValues } from "./answers";
import { OF_TARGET, type Overlay, overlayOf } from "./overlay";
import { foundNames, moduleOf, parentsOf, rowsByName } from "./rows";
import type { OverlayAnswer, Rows, Selection, State, Target } from "./types";

const TRAITS = [
  ...(["sample", "layer_name", "view", "overlay", "target"] as const),
  ...(["opened", "instances", "graph", "colormap"] as const),
] as const;
/** Kinds whose answers the user waits for. */
const SHOWN_KINDS = ["structure", "overlay", "values", "backward", "colormap"];
const COPIED = { text: "The table was copied as text.", csv: "The table was copied as CSV." };
const REFUSED =
  "The browser did not let the table be copied: print(explorer.summary()) in a cell shows the same text.";
/** The order of the table that the model has. */
const AS_TREE: Sort = { key: null, ascending: true };

/** The structure explorer without its looks. */
export class StructureStore extends ExplorerStore<Selection, State> {
  private names: { rows: Rows; of: Map<string, number> } | null = null;
  private painted: { answer: OverlayAnswer; table: Uint8Array; overlay: Overlay } | null = null;
  private hits: { rows: Rows; search: string; names: string[] } | null = null;

  constructor(model: WidgetModel, transport: Transport, options: ConnectionOptions = {}) {
    const initial = {
      ...{ content: null, backward: null, overlayAnswer: null, values: null, dead: null, spectra: null },
      ...{ search: "", sort: AS_TREE, folded: new Set<string>(), copied: "" },
    };
    super(model, transport, TRAITS, SHOWN_KINDS, initial, options);
  }

  /** The colours of the picked overlay, as far as they are there. */
  get overlay(): Overlay | null {
    const { overlayAnswer: answer, table, selection } = this.state;
    if (answer === null || table === null || answer.overlay !== selection.overlay) return null;
    if (this.painted?.answer !== answer || this.painted.table !== table) {
      this.painted = { answer, table, overlay: overlayOf(answer, table) };
    }
    return this.painted.overlay;
  }

  /** Names of the modules that match what is searched for. */
  get found(): string[] {
    const { content, search } = this.state;
    if (content === null || search.trim() === "") return [];
    const { rows } = content;
    if (this.hits?.rows !== rows || this.hits.search !== search) {
      this.hits = { rows, search, names: foundNames(rows, search) };
    }
    return this.hits.names;
  }

  /** Index of the row of a module or of one of its calls ("path:1"), −1: none. */
  rowOf(callName: string): number {
    const { content } = this.state;
    if (content === null) return -1;
    if (this.names?.rows !== content.rows) {
      this.names = { rows: content.rows, of: rowsByName(content.rows) };
    }
    return this.names.of.get(callName) ?? this.names.of.get(moduleOf(callName)) ?? -1;
  }

  /** Picks a module, or one of its calls. */
  pick(callName: string, event?: Event): void {
    this.move({ layer_name: callName }, event);
  }

  /** Which boxes of the graph are open. */
  open(opened: string[], event?: Event): void {
    this.move({ opened }, event);
  }

  /** Which block of a fold is shown. */
  showInstance(fold: string, instance: number, event?: Event): void {
    this.move({ instances: { ...this.state.selection.instances, [fold]: instance } }, event);
  }

  /** Looks for modules by a part of their names or types. */
  search(text: string): void {
    this.update({ search: text });
  }

  /** Picks the next of the modules that were found, after the last one the first. */
  pickNext(event?: Event): void {
    const { found } = this;
    const picked = this.rowOf(this.state.selection.layer_name);
    const next = found.find((name) => this.rowOf(name) > picked) ?? found[0];
    if (next !== undefined) this.pick(next, event);
  }

  /** Sorts the table by a column, once more: the other way; null: as the tree. */
  sortBy(key: string | null): void {
    const isWords = key === "type" || key?.endsWith("shapes") === true;
    this.update({ sort: key === null ? AS_TREE : sortedAnew(this.state.sort, key, isWords) });
  }

  /** Folds the parts of a module away in the table, or shows them again. */
  fold(name: string, folded: boolean): void {
    const next = new Set(this.state.folded);
    if (folded) next.add(name);
    else next.delete(name);
    this.update({ folded: next });
  }

  /** Folds all modules that are so many modules deep; null: none. */
  foldBelow(depth: number | null): void {
    const { content } = this.state;
    if (content === null) return;
    const { rows } = content;
    const folded = rows.name.filter((_, row) => depth !== null && (rows.depth[row] ?? 0) >= depth);
    this.update({ folded: new Set(folded) });
  }

  stopOverlay(): void {
    this.connection.stop("overlay");
    const { overlayAnswer } = this.state;
    if (overlayAnswer !== null) this.update({ overlayAnswer: { ...overlayAnswer, partial: false } });
  }

  /** Counts the units of the picked module that are zero for all samples, sample by sample. */
  countDead(event: Event): void {
    const { layer_name } = this.state.selection;
    this.ask("dead", { layer_name, count: this.sampleCount }, event.timeStamp, (answer) => {
      const { dead } = this.state;
      if (isStopped(answer)) {
        if (dead !== null) this.update({ dead: { ...dead, partial: false } });
      } else if (layer_name === this.state.selection.layer_name) {
        this.update({ dead: readDead(answer, layer_name) });
      }
    });
  }

  stopDead(): void {
    this.connection.stop("dead");
    const { dead } = this.state;
    if (dead !== null) this.update({ dead: { ...dead, partial: false } });
  }

  /** Reads the singular values of the picked module's weights. */
  readSpectrum(event: Event): void {
    const { layer_name } = this.state.selection;
    this.ask("spectrum", { layer_name }, event.timeStamp, (answer) => {
      if (layer_name !== this.state.selection.layer_name) return;
      this.update({ spectra: { layer_name, spectra: readSpectra(answer) } });
    });
  }

  /** Copies the layer table, as plain text or as CSV. */
  copy(form: "text" | "csv", event: Event): void {
    this.update({ copied: "" });
    this.ask("text", this.place, event.timeStamp, async ({ content }) => {
      const isCopied = await copyText((content as { text: string; csv: string })[form]);
      this.update({ copied: isCopied ? COPIED[form] : REFUSED });
    });
  }

  protected override askAll(began: number): void {
    this.askStructure(began);
  }

  protected override changed(old: Selection, next: Selection, began: number): void {
    const differs = (...names: (keyof Selection)[]) => names.some((name) => old[name] !== next[name]);
    if (this.state.copied !== "") this.update({ copied: "" });
    if (differs("layer_name")) {
      this.dropMeasured();
      this.unfoldTo(next.layer_name);
    }
    if (differs("sample")) {
      this.askStructure(began);
      return;
    }
    const { overlay } = next;
    if (differs("overlay") || (OF_TARGET.has(overlay) && differs("target"))) this.askOverlay(began);
    if (differs("view", "layer_name", "target")) this.askValues(began);
    if (differs("view", "graph", "target")) this.askBackward(began);
  }

  /** Opens what a picked module is folded away in. */
  private unfoldTo(callName: string): void {
    const { content, folded } = this.state;
    if (content === null || folded.size === 0) return;
    const parents = parentsOf(content.rows);
    const next = new Set(folded);
    let row = parents[this.rowOf(callName)] ?? -1;
    for (; row >= 0; row = parents[row] ?? -1) next.delete(content.rows.name[row] ?? "");
    if (next.size < folded.size) this.update({ folded: next });
  }

  protected override forget(): void {
    this.dropMeasured();
    this.update({ backward: null, overlayAnswer: null, values: null });
  }

  /** What was measured on demand is of one module. */
  private dropMeasured(): void {
    for (const kind of ["dead", "spectrum"]) this.connection.stop(kind);
    this.update({ dead: null, spectra: null });
  }

  private askStructure(began: number): void {
    const { sample } = this.state.selection;
    this.ask("structure", { sample }, began, (answer) => {
      this.update({ content: readStructure(answer), backward: null });
      this.askOverlay(began);
      this.askValues(began);
      this.askBackward(began);
      this.calibrateOnce();
    });
  }

  /** What an answer is of, while it is of the sample that is shown. */
  private get place(): { sample: number; target: Target } {
    const { content, selection } = this.state;
    return { sample: content?.sample ?? selection.sample, target: selection.target };
  }

  private askOverlay(began: number): void {
    const { overlay } = this.state.selection;
    if (overlay === "") this.connection.stop("overlay");
    if (overlay === "" || this.state.content === null) return;
    this.ask("overlay", { ...this.place, overlay }, began, (answer) => {
      if (isStopped(answer)) this.stopOverlay();
      else this.update({ overlayAnswer: readOverlay(answer) });
    });
  }

  private askValues(began: number): void {
    const { view, layer_name } = this.state.selection;
    if (view !== "values" || this.state.content === null) return;
    this.ask("values", { ...this.place, layer_name }, began, (answer) => {
      this.update({ values: readValues(answer, this.place.sample) });
    });
  }

  private askBackward(began: number): void {
    const { view, graph } = this.state.selection;
    if (view !== "graph" || graph !== "backward" || this.state.content === null) return;
    this.ask("backward", this.place, began, (answer) => {
      this.update({ backward: readBackward(answer) });
    });
  }
}

const isStopped = ({ content }: Answer) => "stopped" in content;
