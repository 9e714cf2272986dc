import { pick } from "../../kernel/arrays";
import { calibrate } from "../../kernel/calibration";
import { type Answer, Connection, type ConnectionOptions, type Handlers } from "../../kernel/connection";
import { afterPaint, measure } from "../../kernel/measure";
import type { WidgetModel } from "../../kernel/model";
import type { Transport } from "../../kernel/transport";
import type { Window } from "../../marks/viewport";
import { HeadCache, nextPlaces, type Place } from "./ahead";
import {
  around,
  clampSelection,
  fullWindow,
  headSelection,
  howAblated,
  keepWindow,
  lensOf,
  namedSides,
  neededWindow,
  occurrences,
  pageAt,
  pictureSuffices,
  thumbnailSize,
  withAblated,
} from "./selection";
import type {
  Change,
  Direction,
  HeadContent,
  HeadSelection,
  How,
  Layer,
  SampleContent,
  Selection,
  State,
  Units,
} from "./types";
import { WeightCache } from "./weights";

const LENS = ["measure", "units", "hide_sinks", "ablated"] as const;
const TRAITS = [
  ...(["sample", "padding", "layer", "head", "query", "view", "scale", "colormap"] as const),
  ...LENS,
] as const;
/** Kinds whose answers the user waits for. */
const SHOWN_KINDS = ["sample", "grid", "head", "colormap", "append", "image", "change"];

/** Milliseconds after which the kernel hears of moved traits, also while pictures follow each other. */
const SAVED_WITHIN = 200;

/** Milliseconds of rest after which heads are read ahead, and that one may take if a second is to follow. */
const REST = 50;
const QUICK = 100;
const MOST_AHEAD = 2;

type Changes = Partial<Selection>;

function readSelection(model: WidgetModel): Selection {
  return Object.fromEntries(TRAITS.map((name) => [name, model.get(name)])) as unknown as Selection;
}

/** The attention explorer without its looks: traits and controls in, requests out, pictures in. */
export class AttentionStore {
  state: State;
  readonly connection: Connection;
  private readonly listeners = new Set<() => void>();
  private readonly weights = new WeightCache();
  private readonly heads = new HeadCache();
  private revision: number | null = null;
  private readonly tables = new Map<string, Uint8Array>();
  private readonly undo: (() => void)[] = [];
  /** Traits are being set from here: the change events that follow are not news. */
  private moving = false;
  private traitsChanged = false;
  private unsaved: ReturnType<typeof setTimeout> | undefined;
  private calibration: ReturnType<typeof setTimeout> | undefined;
  /** Numbers of the latest `head` request, and of the one whose picture is drawn. */
  private askedHead = 0;
  private drawnHead = 0;
  private restTimer: ReturnType<typeof setTimeout> | undefined;
  private before: Place | null = null;
  /** The head that the pointer is at, and is likely to be picked. */
  private pointed: Place | null = null;
  private aheadLeft = 0;
  private readonly kernelBusy: () => boolean;
  private failure: { kind: string; asked: number } | null = null;
  /** Which padding the sample's content was read with. */
  private contentPadding = false;
  private contentUnits: Units = "tokens";

  constructor(
    private readonly model: WidgetModel,
    transport: Transport,
    options: ConnectionOptions = {},
  ) {
    this.kernelBusy = options.kernelBusy ?? (() => false);
    this.state = {
      selection: readSelection(model),
      content: null,
      picture: null,
      grid: null,
      table: null,
      image: null,
      change: null,
      opacity: 80,
      window: null,
      page: 0,
      direction: "from",
      stopped: false,
      error: null,
      waiting: null,
      busy: true,
      lost: null,
    };
    this.connection = new Connection(
      transport,
      {
        activity: () => this.noteActivity(),
        lost: (lost) => this.update({ lost, busy: false, waiting: null }),
        found: () => this.readAgain(),
        waiting: (waiting) => this.update({ waiting }),
        notice: (name) => name === "stale" && this.readAgain(),
      },
      options,
    );
    for (const name of TRAITS) this.follow(`change:${name}`, () => this.onTrait());
    for (const name of ["sample_count", "colormaps", "can_append"]) {
      this.follow(`change:${name}`, () => this.update({}));
    }
  }

  start(): void {
    this.askTable(performance.now());
    this.askSample(performance.now());
    this.askChange(performance.now());
  }

  close(): void {
    this.save();
    for (const undo of this.undo) undo();
    clearTimeout(this.calibration);
    clearTimeout(this.restTimer);
    this.connection.close();
    this.listeners.clear();
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get sampleCount(): number {
    return Number(this.model.get("sample_count") ?? 1);
  }

  get colormaps(): string[] {
    const { colormap } = this.state.selection;
    const offered = (this.model.get("colormaps") as string[] | undefined) ?? [];
    return offered.includes(colormap) ? offered : [...offered, colormap];
  }

  get canAppend(): boolean {
    return this.model.get("can_append") === true;
  }

  /** A control moved: sets the traits and asks for what they change, once. */
  move(changes: Changes, event?: Event): void {
    if (this.state.lost !== null) return;
    const began = event?.timeStamp ?? performance.now();
    const { content } = this.state;
    const wanted = { ...this.state.selection, ...changes };
    // The head of another layer may not be there; another sample is not known yet.
    const next = content?.sample === wanted.sample ? clampSelection(wanted, content) : wanted;
    this.setTraits(next);
    this.apply(next, began);
    if (!this.state.busy) this.save();
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
    this.pointed = place;
    if (place === null) return;
    this.aheadLeft = Math.max(1, this.aheadLeft);
    this.lookAheadSoon();
  }

  append(text: string, event: Event): void {
    this.ask("append", { text }, event.timeStamp, ({ content }) => {
      this.move({ sample: (content as { sample: number }).sample });
    });
  }

  stop(): void {
    this.connection.stop("head");
    this.update({ stopped: true });
  }

  /** Goes on where it was stopped. */
  goOn(event: Event): void {
    this.askHead(event.timeStamp);
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

  /** The exact weights of the picture's head from a query or to a key, if they were read. */
  exact(direction: Direction, position: number): Float32Array | null {
    const place = this.state.picture?.selection;
    return place === undefined ? null : this.weights.get(place, direction, position);
  }

  /** Reads exact weights that are not here yet. */
  read(direction: Direction, position: number): void {
    const picture = this.state.picture;
    if (picture === null || this.exact(direction, position) !== null) return;
    const { sample, layer, head, lens } = picture.selection;
    const place = { sample, layer, head, lens };
    const [kind, name] = direction === "from" ? (["row", "query"] as const) : (["column", "key"] as const);
    this.connection.ask(
      kind,
      { ...place, [name]: position },
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

  private follow(event: string, callback: () => void): void {
    this.model.on(event, callback);
    this.undo.push(() => this.model.off(event, callback));
  }

  private update(changes: Partial<State>): void {
    this.state = { ...this.state, ...changes };
    for (const listener of this.listeners) listener();
  }

  private noteActivity(): void {
    const busy = SHOWN_KINDS.some((kind) => this.connection.isOpen(kind));
    if (!busy) this.save();
    if (busy !== this.state.busy) this.update({ busy });
  }

  private setTraits(next: Selection): void {
    this.moving = true;
    let changed = false;
    for (const name of TRAITS) {
      if (this.model.get(name) === next[name]) continue;
      this.model.set(name, next[name]);
      changed = true;
    }
    this.moving = false;
    if (changed) this.unsaved ??= setTimeout(() => this.save(), SAVED_WITHIN);
  }

  /**
   * Tells the kernel of the traits. A request carries its whole selection, and a trait message ahead of it
   * would make the picture wait for its handling and echo: so it goes after the answer, or soon in a drag.
   */
  private save(): void {
    if (this.unsaved === undefined) return;
    clearTimeout(this.unsaved);
    this.unsaved = undefined;
    this.model.save_changes();
  }

  private onTrait(): void {
    if (this.moving || this.traitsChanged) return;
    // Several traits set together arrive as several events: one request answers them all.
    this.traitsChanged = true;
    const began = performance.now();
    queueMicrotask(() => {
      this.traitsChanged = false;
      this.apply(readSelection(this.model), began);
    });
  }

  private apply(next: Selection, began: number): void {
    const old = this.state.selection;
    this.update({ selection: next });
    const differs = (...names: (keyof Selection)[]) => names.some((name) => old[name] !== next[name]);
    if (differs("colormap")) this.askTable(began);
    if (differs("sample", "ablated")) this.askChange(began);
    // Words and sentences are other positions.
    if (differs("sample", "padding", "units")) this.askSample(began);
    else {
      if (differs("scale", ...LENS)) this.askGrid(began);
      if (differs("layer", "head", "query", "scale", ...LENS)) this.askHead(began);
      else if (differs("view")) {
        this.turnTo(next);
        this.sharpen(began);
      }
    }
  }

  /** The lines begin where the matrix was looked at. */
  private turnTo({ view, query }: Selection): void {
    const { picture, window } = this.state;
    if (view !== "lines" || picture === null) return;
    const { layer } = picture;
    if (window !== null) this.update({ page: Math.floor(window.rows[0]) - layer.rows[0] });
    else if (query !== null) this.update({ page: pageAt(layer, query) });
  }

  private readAgain(): void {
    this.forget();
    this.update({ lost: null });
    this.askTable(performance.now());
    this.askSample(performance.now());
  }

  /** What was read holds no longer. */
  private forget(): void {
    this.weights.clear();
    this.heads.clear();
  }

  private ask(kind: string, selection: object, began: number, answer: (answer: Answer) => void): void {
    const asked = performance.now();
    const handlers: Handlers = {
      answer: (received) => {
        this.succeed(kind, asked);
        answer(received);
      },
      error: (sentence) => this.fail(kind, sentence),
      waiting: (waiting) => this.update({ waiting }),
    };
    this.connection.ask(kind, selection, handlers, { began });
  }

  private fail(kind: string, error: string): void {
    this.failure = { kind, asked: performance.now() };
    this.update({ error, waiting: null });
  }

  /** An error goes with the next good answer: of its kind, or to anything asked after it. */
  private succeed(kind: string, asked: number): void {
    const over = this.failure !== null && (this.failure.kind === kind || this.failure.asked <= asked);
    if (over) this.failure = null;
    this.update(over ? { error: null, waiting: null } : { waiting: null });
  }

  private askTable(began: number): void {
    const name = this.state.selection.colormap;
    const known = this.tables.get(name);
    if (known !== undefined) {
      this.update({ table: known });
      return;
    }
    this.ask("colormap", { name }, began, ({ arrays }) => {
      const table = pick(arrays, "table", "uint8")?.data.slice();
      if (table?.length !== 768) throw new Error("a colour table has 256 × 3 bytes");
      this.tables.set(name, table);
      if (this.state.selection.colormap === name) this.update({ table });
    });
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
    this.askImage(content, began);
  }

  private isOfSize({ layers }: SampleContent, other: SampleContent): boolean {
    return layers.every((layer, index) => layer.keys === other.layers[index]?.keys);
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

  private askImage({ sample, layers }: SampleContent, began: number): void {
    const isNeeded = layers.some((layer) => layer.query_grid !== null || layer.key_grid !== null);
    if (!isNeeded || this.state.image?.sample === sample) return;
    this.ask("image", { sample }, began, ({ arrays, content }) => {
      const pixels = pick(arrays, "image", "uint8");
      const { note = "" } = content as { note?: string };
      if (pixels !== null) this.update({ image: { sample, pixels, note } });
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
    if (here === null) return;
    const { sample, padding, scale } = here.selection;
    const { layers } = here.content;
    this.ask(
      "grid",
      { sample, padding, scale, size: thumbnailSize(layers), lens: lensOf(here.selection) },
      began,
      ({ arrays, content }) => {
        const thumbnails = pick(arrays, "thumbnails", "uint8");
        const { note = "" } = content as { note?: string };
        if (thumbnails !== null) this.update({ grid: { thumbnails, note, layers } });
      },
    );
  }

  private askHead(began: number): void {
    const here = this.readable();
    if (here === null) return;
    const { content, layer } = here;
    const window = keepWindow(this.state.window, layer);
    if (window !== this.state.window) this.update({ window });
    const needed = neededWindow(layer, here.selection.view, window, this.state.page);
    const selection = headSelection(here.selection, layer, needed);
    this.noteMove(selection);
    this.askedHead += 1;
    if (this.state.stopped) this.update({ stopped: false });
    const number = this.askedHead;
    const draw = (answer: Answer) => {
      this.drawnHead = number;
      this.drawHead(answer, selection, content, layer);
    };
    // What was read ahead is drawn at once, and the kernel asked whether it still holds.
    const kept = this.heads.get(selection);
    if (kept !== null) {
      draw(kept);
      const { bytes, milliseconds } = kept;
      afterPaint(() => measure("head", began, { bytes, milliseconds, ahead: true }));
    }
    this.ask("head", kept === null ? selection : { ...selection, known: this.revision }, began, (answer) => {
      const isNew = !("unchanged" in answer.content);
      if (isNew) this.keepHead(answer, selection);
      // An older head's answer may come after a newer head that was drawn from what was kept.
      if (isNew && number >= this.drawnHead) draw(answer);
      if (answer.partial) return;
      this.aheadLeft = MOST_AHEAD;
      this.lookAheadSoon();
    });
  }

  private noteMove({ layer, head }: HeadSelection): void {
    const last = this.state.picture?.selection;
    if (typeof last?.head !== "number" || (last.layer === layer && last.head === head)) return;
    this.before = { layer: last.layer, head: last.head };
  }

  private keepHead(answer: Answer, selection: HeadSelection): void {
    const { revision } = answer.content as HeadContent;
    if (revision !== this.revision) {
      const isFirst = this.revision === null;
      this.revision = revision;
      this.forget();
      // While a cell trains, each picture is of another state: the grid follows when it is over.
      if (!isFirst && !this.kernelBusy()) this.askGrid(performance.now());
      if (!isFirst) this.askChange(performance.now());
    }
    if (!answer.partial) this.heads.set(selection, answer);
  }

  private drawHead(answer: Answer, selection: HeadSelection, content: SampleContent, layer: Layer): void {
    const matrix = pick(answer.arrays, "matrix", "uint8");
    if (matrix === null) throw new Error("it has no matrix");
    const from = pick(answer.arrays, "from", "float32")?.data ?? null;
    const to = pick(answer.arrays, "to", "float32")?.data ?? null;
    if (selection.query !== null) {
      if (from !== null) this.weights.set(selection, "from", selection.query, from);
      if (to !== null) this.weights.set(selection, "to", selection.query, to);
    }
    const list = (name: string | null) => (name === null ? null : (content.tokens[name] ?? null));
    const { payload, bytes, milliseconds, partial } = answer;
    this.update({
      picture: {
        ...(answer.content as HeadContent),
        ...{ selection, layer, matrix, from, to, payload, bytes, milliseconds, partial },
        title: content.title,
        ...namedSides(layer, list(layer.query_tokens), list(layer.key_tokens)),
      },
    });
    if (!partial) this.calibrateOnce();
  }

  private sharpen(began: number): void {
    const { picture, selection, window, page } = this.state;
    if (picture === null) return;
    const needed = neededWindow(picture.layer, selection.view, window, page);
    if (!pictureSuffices(picture, needed)) this.askHead(began);
  }

  private lookAheadSoon(rest = REST): void {
    clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => this.lookAhead(), rest);
  }

  /** Reads a head that may be looked at next, while nothing else is to be done. */
  private lookAhead(): void {
    const here = this.readable();
    const { picture, busy, lost, window, page } = this.state;
    if (here === null || picture === null || picture.partial || busy || lost !== null) return;
    if (this.aheadLeft === 0) return;
    if (this.kernelBusy()) {
      this.lookAheadSoon(10 * REST);
      return;
    }
    const places = this.pointed === null ? [] : [this.pointed];
    const { layer: now, head } = here.selection;
    if (typeof head === "number")
      places.push(...nextPlaces({ layer: now, head }, this.before, here.content.layers));
    for (const place of places) {
      const layer = here.content.layers[place.layer];
      if (layer === undefined) continue;
      const needed = neededWindow(layer, here.selection.view, keepWindow(window, layer), page);
      const selection = headSelection({ ...here.selection, ...place }, layer, needed);
      if (this.heads.has(selection)) continue;
      this.readAhead(selection);
      return;
    }
  }

  private readAhead(selection: HeadSelection): void {
    const asked = performance.now();
    this.aheadLeft -= 1;
    this.connection.ask("ahead", selection, {
      answer: (answer) => {
        if ("skipped" in answer.content) return; // too long an input to be read for nothing
        this.keepHead(answer, selection);
        if (performance.now() - asked < QUICK) this.lookAheadSoon();
      },
    });
  }

  private calibrateOnce(): void {
    // After the picture is drawn and the grid is on its way.
    this.calibration ??= setTimeout(() => void calibrate(this.connection), 100);
  }
}
