import { pick } from "../../kernel/arrays";
import type { Answer, ConnectionOptions } from "../../kernel/connection";
import { afterPaint, measure } from "../../kernel/measure";
import type { WidgetModel } from "../../kernel/model";
import type { Transport } from "../../kernel/transport";
import type { Window } from "../../marks/viewport";
import { Ahead, AnswerCache } from "../shared/ahead";
import type { Change, How } from "../shared/change";
import { ExplorerStore, offered } from "../shared/store";
import { sortedAnew } from "../shared/table";
import { clampCompared, contentOf, isComparing, OtherSide, otherOf, otherPlace } from "./comparison";
import { NextHeads, type Place } from "./next-heads";
import { pictureOf } from "./picture";
import {
  around,
  clampSelection,
  fullWindow,
  headSelection,
  howAblated,
  keepWindow,
  lensOf,
  neededWindow,
  occurrences,
  pageAt,
  pageIn,
  pictureSuffices,
  thumbnailSize,
  withAblated,
} from "./selection";
import { headTable, WEIGHTS, wantsStatistics } from "./statistics";
import type {
  Classes,
  Direction,
  Grid,
  HeadContent,
  HeadSelection,
  Layer,
  Other,
  SampleContent,
  Selection,
  State,
  Units,
} from "./types";
import { WeightCache, type Place as WeightPlace } from "./weights";

const LENS = ["measure", "units", "hide_sinks", "ablated", "target"] as const;
const TRAITS = [
  ...(["sample", "padding", "layer", "head", "query", "view", "grid_by", "scale", "colormap"] as const),
  ...LENS,
  ...(["compared", "comparison", "difference_colormap"] as const),
] as const;
/** Kinds whose answers the user waits for. */
const SHOWN_KINDS = [
  ...["sample", "grid", "head", "colormap", "append", "image", "change"],
  ...["compare", "other", "difference_colormap", "statistics", "classes"],
];

/** The attention explorer without its looks. */
export class AttentionStore extends ExplorerStore<Selection, State> {
  private readonly weights = new WeightCache();
  private readonly heads = new AnswerCache<HeadSelection>();
  private readonly ahead: Ahead<HeadSelection>;
  private readonly nextHeads = new NextHeads();
  private readonly other: OtherSide;
  private revision: number | null = null;
  /** Numbers of the latest `head` request, and of the one whose picture is drawn. */
  private askedHead = 0;
  private drawnHead = 0;
  /** Which padding the sample's content was read with. */
  private contentPadding = false;
  private contentUnits: Units = "tokens";
  /** Of which selection statistics of all heads are there, or on their way. */
  private statisticsOf: string | null = null;

  constructor(model: WidgetModel, transport: Transport, options: ConnectionOptions = {}) {
    const initial = {
      content: null,
      picture: null,
      grid: null,
      classes: null,
      other: null,
      differenceTable: null,
      statistics: null,
      sort: { key: null, ascending: true },
      change: null,
      opacity: 80,
      window: null,
      page: 0,
      direction: "from",
      stopped: false,
      statisticsStopped: false,
    } as const;
    super(model, transport, TRAITS, SHOWN_KINDS, initial, options, ["difference_colormaps"]);
    this.other = new OtherSide({
      ask: (...asked) => this.ask(...asked),
      update: (changes) => this.update(changes),
    });
    this.ahead = new Ahead({
      isIdle: () => this.isIdle(),
      kernelBusy: this.kernelBusy,
      next: () => this.nextSelections(),
      isKnown: (selection) => this.heads.has(selection),
      read: (selection, done) => this.readAhead(selection, done),
    });
  }

  override close(): void {
    this.ahead.close();
    super.close();
  }

  /** Whether there is another model to compare with. */
  get hasOther(): boolean {
    return this.model.get("other_model") === true;
  }

  get differenceColormaps(): string[] {
    return offered(this.model.get("difference_colormaps"), this.state.selection.difference_colormap);
  }

  look(direction: Direction): void {
    this.update({ direction });
  }

  /** Takes a head out of the forward, in another way, or (null) puts it back. */
  ablate(layer: number, head: number, how: How | null, event: Event): void {
    this.move({ ablated: withAblated(this.state.selection.ablated, layer, head, how) }, event);
  }

  /** Takes the picked head out, or puts it back. */
  ablatePicked(event: Event): void {
    const { layer, head, ablated } = this.state.selection;
    if (typeof head !== "number") return;
    this.ablate(layer, head, howAblated(ablated, layer, head) === null ? "zero" : null, event);
  }

  cover(opacity: number): void {
    this.update({ opacity });
  }

  /** Picks a position of the queries or the keys; where both are the same the direction stays. */
  pickOn(side: "query" | "key", position: number, event: Event): void {
    const { picture } = this.state;
    if (picture !== null && picture.queryTokens !== picture.keyTokens) {
      this.look(side === "query" ? "from" : "to");
    }
    this.move({ query: position }, event);
  }

  /** Looks at a part of the matrix, and asks for it where what is there is coarser than need be. */
  show(view: { window?: Window | null; page?: number }, event?: Event): void {
    this.update(view);
    this.sharpen(event?.timeStamp ?? performance.now());
  }

  /** The pointer rests on a head: it may be picked next. */
  point(place: Place | null): void {
    this.nextHeads.pointed = place;
    if (place !== null) this.ahead.hint();
  }

  stop(): void {
    for (const kind of ["head", "compare"]) this.connection.stop(kind);
    this.update({ stopped: true });
  }

  /** Goes on where it was stopped. */
  goOn(event: Event): void {
    this.askHead(event.timeStamp);
  }

  stopStatistics(): void {
    this.connection.stop("statistics");
    this.update({ statisticsStopped: true });
  }

  /** Reads the statistics of all heads anew, or goes on where they were stopped. */
  readStatistics(event: Event): void {
    this.statisticsOf = null;
    this.askStatistics(event.timeStamp);
  }

  /** Sorts the table by a column, largest first; again: the other way round. */
  sortBy(key: string | null): void {
    this.update({ sort: sortedAnew(this.state.sort, key, key === null) });
  }

  /** Picks the next token of the text that is searched for, and moves the matrix there. */
  find(text: string, event: Event): { number: number; count: number } | null {
    const { picture, selection } = this.state;
    if (picture === null) return null;
    const places = occurrences(picture.queryTokens ?? [], picture.layer.rows, text);
    const next = places.findIndex((position) => position > (selection.query ?? -1));
    const number = next === -1 ? 0 : next;
    const query = places[number];
    if (query === undefined) return null;
    const full = fullWindow(picture.layer);
    this.update({
      window: around(this.state.window ?? full, full, query),
      page: pageAt(picture.layer, query),
    });
    this.move({ query }, event);
    this.sharpen(event.timeStamp);
    return { number, count: places.length };
  }

  /** The exact weights of the picture's head (or of the other side's) from a query or to a key, if read. */
  exact(direction: Direction, position: number, other = false): Float32Array | null {
    const place = this.placeOf(other);
    return place === null ? null : this.weights.get(place, direction, position);
  }

  /** Reads exact weights that are not here yet. */
  read(direction: Direction, position: number, other = false): void {
    const place = this.placeOf(other);
    if (place === null || this.weights.get(place, direction, position) !== null) return;
    const { sample, layer, head, lens, model } = place;
    const row = [other ? "other_row" : "row", "query"] as const;
    const [kind, name] = direction === "from" ? row : (["column", "key"] as const);
    this.connection.ask(
      kind,
      { sample, layer, head, lens, ...(other && { model }), [name]: position },
      {
        answer: ({ arrays }) => {
          const array = pick(arrays, direction, "float32");
          if (array !== null) this.weights.set(place, direction, position, array.data);
          this.update({});
        },
        error: (error) => this.fail(kind, error),
      },
    );
  }

  private placeOf(other: boolean): WeightPlace | null {
    const { picture } = this.state;
    return picture === null ? null : other ? otherPlace(picture) : picture.selection;
  }

  /** The head of another layer may not be there; another sample is not known yet. */
  protected override clamped(wanted: Selection): Selection {
    const { content } = this.state;
    const next = content?.sample === wanted.sample ? clampSelection(wanted, content) : wanted;
    const other = otherOf(next);
    const theirs = other === null ? null : contentOf(other, this.state.other);
    if (theirs === null || next.compared === null) return next;
    return { ...next, compared: clampCompared(next.compared, theirs) };
  }

  protected override askAll(began: number): void {
    this.askSample(began);
    this.askChange(began);
    this.askClasses(began);
    this.other.forget();
    this.other.follow(this.state.selection, began);
  }

  protected override changed(old: Selection, next: Selection, began: number): void {
    const differs = (...names: (keyof Selection)[]) =>
      names.some((name) => JSON.stringify(old[name]) !== JSON.stringify(next[name]));
    this.other.follow(next, began);
    if (differs("sample", "ablated")) this.askChange(began);
    if (differs("sample", "measure")) this.askClasses(began);
    // Words and sentences are other positions.
    if (differs("sample", "padding", "units")) this.askSample(began);
    else {
      if (differs("scale", "grid_by", ...LENS)) this.askGrid(began);
      if (differs("view", "grid_by", ...LENS)) this.askStatistics(began);
      if (differs("layer", "head", "query", "scale", "compared", "comparison", ...LENS)) this.askHead(began);
      else if (differs("view")) {
        this.turnTo(next);
        this.sharpen(began);
      }
    }
  }

  protected override fail(kind: string, error: string): void {
    if (kind === "statistics") this.statisticsOf = null;
    super.fail(kind, error);
  }

  protected override forget(): void {
    this.statisticsOf = null;
    this.weights.clear();
    this.heads.clear();
    this.update({ classes: null });
  }

  /** The lines begin where the matrix was looked at. */
  private turnTo({ view, query }: Selection): void {
    const { picture, window } = this.state;
    if (view !== "lines" || picture === null) return;
    const page = pageIn(picture.layer, window, query);
    if (page !== null) this.update({ page });
  }

  private askSample(began: number): void {
    const { sample, padding } = this.state.selection;
    const lens = lensOf(this.state.selection);
    this.ask("sample", { sample, padding, lens }, began, ({ content }) => {
      this.contentPadding = padding;
      this.contentUnits = lens.units;
      this.readSample(content as SampleContent, began);
    });
  }

  private readSample(content: SampleContent, began: number): void {
    const { selection, content: old } = this.state;
    const isSame = old?.sample === content.sample && this.isOfSize(old, content);
    this.update(isSame ? { content } : { content, window: null, page: 0 });
    if (selection.sample === content.sample) {
      const clamped = clampSelection(selection, content);
      this.setTraits(clamped);
      this.update({ selection: clamped });
    }
    this.askHead(began);
    this.askGrid(began);
    this.askStatistics(began);
    const hasPatches = content.layers.some(({ query_grid, key_grid }) => query_grid ?? key_grid);
    if (hasPatches) this.askImage(content.sample, began);
  }

  private isOfSize({ layers }: SampleContent, other: SampleContent): boolean {
    return layers.every((layer, index) => layer.keys === other.layers[index]?.keys);
  }

  /** What a gradient may be of. */
  private askClasses(began: number): void {
    const { sample, measure } = this.state.selection;
    if (measure !== "gradient" || this.state.classes?.sample === sample) return;
    this.ask("classes", { sample }, began, ({ content }) => {
      this.update({ classes: { ...(content as Omit<Classes, "sample">), sample } });
    });
  }

  /** What the ablated heads change in the output. */
  private askChange(began: number): void {
    const { sample } = this.state.selection;
    const lens = lensOf(this.state.selection);
    if (lens.ablated.length === 0) {
      this.update({ change: null });
      return;
    }
    this.ask("change", { sample, lens }, began, ({ content }) => {
      const { change, note = "" } = content as { change: Change | null; note?: string };
      if (this.state.selection.ablated.length > 0) this.update({ change: { change, note } });
    });
  }

  /** The selection within the sample that was read last: the slider may already stand elsewhere. */
  private readable(): { selection: Selection; content: SampleContent; layer: Layer } | null {
    const { content } = this.state;
    if (content === null) return null;
    const read = { sample: content.sample, padding: this.contentPadding, units: this.contentUnits };
    const here = { ...this.state.selection, ...read };
    const selection = clampSelection(here, content);
    const layer = content.layers[selection.layer];
    return layer === undefined ? null : { selection, content, layer };
  }

  private askGrid(began: number): void {
    const here = this.readable();
    if (here === null || here.selection.grid_by !== WEIGHTS) return;
    const { sample, padding, scale } = here.selection;
    const { layers } = here.content;
    this.ask(
      "grid",
      { sample, padding, scale, size: thumbnailSize(layers), lens: lensOf(here.selection) },
      began,
      ({ arrays, content }) => {
        const thumbnails = pick(arrays, "thumbnails", "uint8");
        const { note = "", unread = [] } = content as Partial<Grid>;
        if (thumbnails !== null) this.update({ grid: { thumbnails, note, unread, layers } });
      },
    );
  }

  /** The statistics of all heads, while they are looked at. */
  private askStatistics(began: number): void {
    const here = this.readable();
    if (here === null) return;
    if (!wantsStatistics(here.selection)) {
      if (this.connection.isOpen("statistics")) this.statisticsOf = null;
      this.connection.stop("statistics");
      return;
    }
    const { sample, padding } = here.selection;
    const asked = { sample, padding, lens: lensOf(here.selection) };
    const name = JSON.stringify(asked);
    if (name === this.statisticsOf) return;
    this.statisticsOf = name;
    this.update({ statisticsStopped: false });
    this.ask("statistics", asked, began, (answer) => {
      this.update({ statistics: headTable(answer, here.content.layers) });
    });
  }

  private askHead(began: number): void {
    const here = this.readable();
    if (here === null) return;
    const { content, layer } = here;
    const window = keepWindow(this.state.window, layer);
    if (window !== this.state.window) this.update({ window });
    const needed = neededWindow(layer, here.selection.view, window, this.state.page);
    const selection = headSelection(here.selection, layer, needed);
    // One request for all that is shown, also while two are compared.
    const { comparison } = here.selection;
    const other = isComparing(here.selection) ? otherOf(here.selection) : null;
    const asked = other === null ? selection : { ...selection, other, comparison };
    const kind = other === null ? "head" : "compare";
    this.connection.stop(other === null ? "compare" : "head");
    this.noteMove(selection);
    this.askedHead += 1;
    if (this.state.stopped) this.update({ stopped: false });
    const number = this.askedHead;
    const draw = (answer: Answer) => {
      this.drawnHead = number;
      this.drawHead(answer, selection, content, layer, other);
    };
    // What was read ahead is drawn at once, and the kernel asked whether it still holds.
    const kept = other === null ? this.heads.get(selection) : null;
    if (kept !== null) {
      draw(kept);
      const { bytes, milliseconds } = kept;
      afterPaint(() => measure("head", began, { bytes, milliseconds, ahead: true }));
    }
    this.ask(kind, kept === null ? asked : { ...asked, known: this.revision }, began, (answer) => {
      if ("preparing" in answer.content) {
        this.update({ waiting: String(answer.content.preparing) });
        return;
      }
      const isNew = !("unchanged" in answer.content);
      if (isNew) this.keepHead(answer, other === null ? selection : null);
      // An older head's answer may come after a newer head that was drawn from what was kept.
      if (isNew && number >= this.drawnHead) draw(answer);
      if (answer.partial) return;
      this.ahead.begin();
    });
  }

  private noteMove({ layer, head }: HeadSelection): void {
    const last = this.state.picture?.selection;
    if (typeof last?.head !== "number" || (last.layer === layer && last.head === head)) return;
    this.nextHeads.before = { layer: last.layer, head: last.head };
  }

  /** null: only the revision is noted. */
  private keepHead(answer: Answer, selection: HeadSelection | null): void {
    const { revision } = answer.content as HeadContent;
    if (revision !== this.revision) {
      const isFirst = this.revision === null;
      this.revision = revision;
      if (!isFirst) this.readAnew(performance.now());
    }
    if (!answer.partial && selection !== null) this.heads.set(selection, answer);
  }

  /** The model has changed: what was read beside the picked head is of another state. */
  private readAnew(began: number): void {
    this.forget();
    this.askChange(began);
    this.askClasses(began);
    // While a cell trains, each picture is of another state: the heads follow when it is over.
    if (this.kernelBusy()) return;
    this.askGrid(began);
    this.askStatistics(began);
  }

  private drawHead(
    answer: Answer,
    selection: HeadSelection,
    content: SampleContent,
    layer: Layer,
    other: Other | null,
  ): void {
    const picture = pictureOf(answer, selection, content, layer, other);
    this.update({ picture });
    this.weights.keep(picture.selection, selection.query, picture);
    if (picture.compared !== null) {
      this.weights.keep(otherPlace(picture), selection.query, picture.compared);
    }
    if (!answer.partial) this.calibrateOnce();
  }

  private sharpen(began: number): void {
    const { picture, selection, window, page } = this.state;
    if (picture === null) return;
    const needed = neededWindow(picture.layer, selection.view, window, page);
    const isOther = (picture.compared !== null) !== isComparing(selection);
    if (isOther || !pictureSuffices(picture, needed)) this.askHead(began);
  }

  private isIdle(): boolean {
    const { picture, busy, lost } = this.state;
    return picture !== null && !picture.partial && !busy && lost === null;
  }

  /** What to ask for to show heads that may be picked next where this one is looked at. */
  private nextSelections(): HeadSelection[] {
    const here = this.readable();
    if (here === null || isComparing(here.selection)) return [];
    const { selection, content } = here;
    const { window, page } = this.state;
    return this.nextHeads.after(selection, content.layers).flatMap((place) => {
      const layer = content.layers[place.layer];
      if (layer === undefined) return [];
      const needed = neededWindow(layer, selection.view, keepWindow(window, layer), page);
      return [headSelection({ ...selection, ...place }, layer, needed)];
    });
  }

  private readAhead(selection: HeadSelection, done: () => void): void {
    this.connection.ask("ahead", selection, {
      answer: (answer) => {
        if ("skipped" in answer.content) return; // too long an input to be read for nothing
        this.keepHead(answer, selection);
        done();
      },
    });
  }
}
