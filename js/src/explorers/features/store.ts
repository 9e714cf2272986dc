import { type Arrays, pick } from "../../kernel/arrays";
import type { Answer, ConnectionOptions } from "../../kernel/connection";
import { afterPaint, measure } from "../../kernel/measure";
import type { WidgetModel } from "../../kernel/model";
import type { Transport } from "../../kernel/transport";
import { pagesOf } from "../../marks/map-layout";
import { Ahead, AnswerCache } from "../shared/ahead";
import type { Change, How } from "../shared/change";
import { ExplorerStore } from "../shared/store";
import type {
  Across,
  AscentOptions,
  Channel,
  ChannelContent,
  InView,
  Layer,
  LayoutChoice,
  MapsContent,
  Maximised,
  Muted,
  Page,
  SampleContent,
  Selection,
  Sheet,
  State,
} from "./types";

const PLACE = ["sample", "layer", "entry", "map_layout", "slice", "show", "target", "muted"] as const;
const TRAITS = [...PLACE, "channel", "order", "scale", "colormap"] as const;
/** Kinds whose answers the user waits for. */
const SHOWN_KINDS = ["sample", "maps", "channel", "colormap", "image", "change"];

/** Samples that a channel is shown for. */
const ACROSS = 24;
/** Before anything was laid out. */
const FIRST_VIEW: InView = { places: [0, 64], width: 96, height: 96, columns: 8 };
const REST = 150;

const clamp = (value: number, count: number) => Math.max(0, Math.min(count - 1, value));

/** The layouts of the entry that is looked at, the chosen one first. */
export function layoutsOf(layer: Layer, { entry }: Pick<Selection, "entry">): LayoutChoice[] {
  return layer.layouts[entry] ?? layer.layouts[layer.entry] ?? [];
}

function channelsOf(layer: Layer | undefined, selection: Selection): number {
  if (layer === undefined) return 1;
  const layouts = layoutsOf(layer, selection);
  const picked = layouts.find(({ name }) => name === selection.map_layout) ?? layouts[0];
  return picked?.channels ?? layer.channels;
}

/** A request for maps, without what the browser knows already. */
type AskedPage = Pick<Selection, (typeof PLACE)[number] | "order" | "scale"> & {
  from: number;
  count: number;
  size: number[];
  channel?: number;
};

const anotherLayer = (layer: number) => ({ layer, entry: "", map_layout: "", slice: 0 });

/** Which layers may be picked next, the likeliest first: after a step one more of its kind. */
function nextLayers(now: number, before: number | null, count: number): number[] {
  const neighbours = before === now + 1 ? [now - 1, now + 1] : [now + 1, now - 1];
  return neighbours.filter((layer) => layer >= 0 && layer < count);
}

/** The feature explorer without its looks. */
export class FeatureStore extends ExplorerStore<Selection, State> {
  private inView = FIRST_VIEW;
  /** The page that was asked for last. */
  private asked = "";
  /** The search was given up: what is still on its way is its last picture. */
  private givenUp = false;
  private acrossTimer: ReturnType<typeof setTimeout> | undefined;
  /** First pages with their channel, all of one revision of the model. */
  private readonly known = new AnswerCache<AskedPage>();
  private revision: number | null = null;
  private readonly ahead: Ahead<AskedPage>;
  /** The layer that was looked at before, and that which the pointer is at. */
  private before: number | null = null;
  private pointed: number | null = null;

  constructor(model: WidgetModel, transport: Transport, options: ConnectionOptions = {}) {
    const initial = {
      content: null,
      sheet: null,
      channel: null,
      across: null,
      maximised: null,
      ascent: {},
      change: null,
      opacity: 60,
      read: new Map<string, number>(),
    };
    super(model, transport, TRAITS, SHOWN_KINDS, initial, options);
    this.ahead = new Ahead({
      isIdle: () => this.isIdle(),
      kernelBusy: this.kernelBusy,
      next: () => this.nextPages(),
      isKnown: (asked) => this.known.has(asked),
      read: (asked, done) => this.readAhead(asked, done),
    });
  }

  override close(): void {
    clearTimeout(this.acrossTimer);
    this.ahead.close();
    super.close();
  }

  get layer(): Layer | null {
    return this.state.content?.layers[this.state.selection.layer] ?? null;
  }

  cover(opacity: number): void {
    this.update({ opacity });
  }

  /** Picks the channel at a place of the sheet. */
  pickPlace(place: number, event: Event): void {
    const channel = this.state.sheet?.order[place];
    if (channel !== undefined) this.move({ channel }, event);
  }

  /** Another layer: what was picked of the old one is not of this one. */
  pickLayer(layer: number, event?: Event): void {
    this.move(anotherLayer(layer), event);
  }

  /** The pointer rests on a layer: it may be picked next. */
  point(layer: number | null): void {
    this.pointed = layer;
    if (layer !== null) this.ahead.hint();
  }

  howMuted(layer: string, channel: number): How | null {
    return (
      this.state.selection.muted.find(([name, index]) => name === layer && index === channel)?.[2] ?? null
    );
  }

  /** Takes a channel out of the forward, in another way, or (null) puts it back. */
  mute(layer: string, channel: number, how: How | null, event: Event): void {
    const others = this.state.selection.muted.filter(([name, index]) => name !== layer || index !== channel);
    const muted: Muted[] = how === null ? others : [...others, [layer, channel, how]];
    this.move({ muted }, event);
  }

  mutePicked(event: Event): void {
    const name = this.layer?.name;
    if (name === undefined) return;
    const { channel } = this.state.selection;
    this.mute(name, channel, this.howMuted(name, channel) === null ? "zero" : null, event);
  }

  /** How the input that maximises a channel is sought. */
  get ascent(): AscentOptions | null {
    const { content, ascent } = this.state;
    return content === null ? null : { ...content.ascent, ...ascent };
  }

  /** Sets options of the search; those that are as the defaults are none. */
  setAscent(changes: Partial<AscentOptions>): void {
    const defaults = this.state.content?.ascent;
    if (defaults === undefined) return;
    const all = Object.entries({ ...this.state.ascent, ...changes }) as [keyof AscentOptions, unknown][];
    this.update({ ascent: Object.fromEntries(all.filter(([name, value]) => defaults[name] !== value)) });
  }

  resetAscent(): void {
    this.update({ ascent: {} });
  }

  /** Seeks the input that the picked channel answers to most, a step at a time. */
  maximise(event: Event): void {
    const { ascent } = this;
    if (ascent === null) return;
    const { layer, channel } = this.state.selection;
    const { seed } = ascent;
    const options = this.state.ascent;
    const asked = { ...this.place(), channel, ...ascent };
    this.givenUp = false;
    this.ask("maximise", asked, event.timeStamp, ({ content, arrays, partial }) => {
      const picture = pick(arrays, "picture", "uint8");
      if (picture === null) return;
      const found = content as Pick<Maximised, "step" | "steps" | "value" | "note">;
      const goesOn = partial && !this.givenUp;
      const maximised = { ...found, layer, channel, seed, options, picture, partial: goesOn };
      this.update({ maximised });
    });
  }

  /** Ends the search; its last picture stays. */
  stopMaximising(): void {
    const { maximised } = this.state;
    this.givenUp = true;
    this.connection.stop("maximise");
    if (maximised !== null) this.update({ maximised: { ...maximised, partial: false } });
  }

  /** Maps came into view: those that are not there yet are asked for. */
  see(view: InView): void {
    this.inView = view;
    this.askMissing(performance.now());
  }

  /** One number of the picked channel; null: it is being read. */
  valueAt(y: number, x: number): number | null {
    const { channel, read } = this.state;
    if (channel === null) return null;
    if (channel.values !== null) return channel.values[y * channel.width + x] ?? null;
    const known = read.get(`${y} ${x}`);
    if (known === undefined) this.readValue(y, x);
    return known ?? null;
  }

  protected override clamped(wanted: Selection): Selection {
    const { content } = this.state;
    const layers = content?.sample === wanted.sample ? content.layers : [];
    if (layers.length === 0) return wanted;
    const layer = clamp(wanted.layer, layers.length);
    return { ...wanted, layer, channel: clamp(wanted.channel, channelsOf(layers[layer], wanted)) };
  }

  protected override askAll(began: number): void {
    this.askSample(began);
    this.askChange(began);
  }

  protected override changed(old: Selection, next: Selection, began: number): void {
    const differs = (...names: (keyof Selection)[]) => names.some((name) => old[name] !== next[name]);
    if (differs("sample", "muted")) this.askChange(began);
    if (differs("sample")) {
      this.askSample(began);
      return;
    }
    if (differs("layer")) this.before = old.layer;
    if (differs(...PLACE, "order", "scale")) this.askMaps(began);
    else if (differs("channel")) this.askChannel(began);
    if (differs("layer", "entry", "map_layout", "slice", "channel")) this.askAcrossSoon();
  }

  protected override forget(): void {
    this.known.clear();
    this.update({ sheet: null, across: null });
  }

  private askSample(began: number): void {
    const { sample } = this.state.selection;
    this.ask("sample", { sample }, began, ({ content: answered }) => {
      const content = answered as SampleContent;
      this.update({ content });
      if (this.state.selection.sample === content.sample) {
        const selection = this.clamped(this.state.selection);
        this.setTraits(selection);
        this.update({ selection });
      }
      this.askMaps(began);
      if (content.has_image) this.askImage(content.sample, began);
      if (this.state.across === null) this.askAcrossSoon();
    });
  }

  /** Where in the model a request looks, and at what. */
  private place(selection: Selection = this.state.selection) {
    const { content } = this.state;
    const { layer, entry, map_layout, slice, show, target, muted } = this.clamped({
      ...selection,
      sample: content?.sample ?? selection.sample,
    });
    return {
      sample: content?.sample ?? selection.sample,
      layer,
      entry,
      map_layout,
      slice,
      show,
      target,
      muted,
    };
  }

  /** The first page, and the picked channel with it where another is shown: they are drawn together. */
  private askMaps(began: number): void {
    const isNews = this.state.sheet === null || this.state.channel?.key !== this.channelKey();
    if (this.layer !== null) this.askPage(0, this.sizeOfPage(), began, isNews);
  }

  /** How many maps a page has: those in view, in whole rows. */
  private sizeOfPage(): number {
    const { places, columns } = this.inView;
    return Math.max(columns, Math.ceil((places[1] - places[0]) / columns) * columns);
  }

  private askMissing(began: number): void {
    const { sheet } = this.state;
    if (sheet === null || sheet.key !== this.sheetKey()) return;
    const size = this.sizeOfPage();
    const [start, stop] = this.inView.places;
    const isThere = (from: number) => {
      const page = sheet.pages.get(from);
      return page !== undefined && page.maps.shape[0] === Math.min(size, sheet.channels - from);
    };
    const missing = pagesOf([start, Math.min(stop, sheet.channels)], size).filter((from) => !isThere(from));
    const [next] = missing;
    if (next !== undefined && !(this.connection.isOpen("maps") && this.asked === `${next} ${sheet.key}`)) {
      this.askPage(next, size, began);
    }
  }

  private sheetKey(): string {
    const { order, scale } = this.state.selection;
    return JSON.stringify({ ...this.place(), order, scale });
  }

  private askPage(from: number, count: number, began: number, withChannel = false): void {
    const { layer } = this;
    if (layer === null) return;
    const { selection } = this.state;
    const asked = this.page(selection, from, count, withChannel);
    const keys = { sheet: this.sheetKey(), channel: this.channelKey() };
    this.asked = `${from} ${keys.sheet}`;
    const draw = (answer: Answer) => this.drawPage(answer, { ...selection, layer }, asked.channel, keys);
    // What was read ahead is drawn at once, and the kernel asked whether it still holds.
    const known = this.known.get(asked);
    if (known !== null) {
      draw(known);
      const { bytes, milliseconds } = known;
      afterPaint(() => measure("maps", began, { bytes, milliseconds, ahead: true }));
    }
    this.ask("maps", known === null ? asked : { ...asked, known: this.revision }, began, (answer) => {
      if (!("unchanged" in answer.content)) {
        this.keepPage(asked, answer);
        draw(answer);
      }
      this.askMissing(performance.now());
      this.calibrateOnce();
      this.ahead.begin();
    });
  }

  /** What to ask for to show a page of maps, and the picked channel with it. */
  private page(at: Selection, from: number, count: number, withChannel: boolean): AskedPage {
    const { order, scale } = at;
    const { width, height } = this.inView;
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    const size = [Math.ceil(height * ratio), Math.ceil(width * ratio)];
    const asked = { ...this.place(at), order, scale, from, count, size };
    return withChannel ? { ...asked, channel: this.channelAt(at) } : asked;
  }

  private drawPage(
    answer: Answer,
    of: Sheet["asked"],
    channel: number | undefined,
    keys: { sheet: string; channel: string },
  ): void {
    const { channel: one = null, ...content } = answer.content as MapsContent & { channel?: ChannelContent };
    const { layer, show, order, scale } = of;
    const sheet = this.pageRead(answer, content, keys.sheet, { layer, show, order, scale });
    const read = channel === undefined ? {} : this.channelRead(one, answer.arrays, channel, keys.channel);
    // An older answer may come after another place that was drawn from what is known.
    const now = this.sheetKey();
    const isOld = keys.sheet !== now && this.state.sheet?.key === now;
    this.update(isOld ? read : { sheet, ...read });
  }

  private keepPage(asked: AskedPage, answer: Answer): void {
    const { revision } = answer.content as MapsContent;
    if (revision !== this.revision) this.known.clear();
    this.revision = revision;
    if (asked.channel !== undefined) this.known.set(asked, answer);
  }

  private isIdle(): boolean {
    const { sheet, busy, lost } = this.state;
    return sheet !== null && !busy && lost === null;
  }

  /** What to ask for to show layers that may be picked next. */
  private nextPages(): AskedPage[] {
    const { selection, content } = this.state;
    const next = nextLayers(selection.layer, this.before, content?.layers.length ?? 0);
    const layers = this.pointed === null || this.pointed === selection.layer ? next : [this.pointed, ...next];
    return layers.map((layer) =>
      this.page(this.clamped({ ...selection, ...anotherLayer(layer) }), 0, this.sizeOfPage(), true),
    );
  }

  private readAhead(asked: AskedPage, done: () => void): void {
    const { revision } = this;
    this.connection.ask(
      "ahead",
      { ...asked, known: revision },
      {
        answer: (answer) => {
          // It would take a forward, or the model has changed meanwhile.
          if ("skipped" in answer.content || revision !== this.revision) return;
          this.known.set(asked, answer);
          done();
        },
      },
    );
  }

  private pageRead(answer: Answer, content: MapsContent, key: string, asked: Sheet["asked"]): Sheet {
    const maps = pick(answer.arrays, "maps", "uint8");
    const order = pick(answer.arrays, "order", "int32")?.data;
    const scores = pick(answer.arrays, "scores", "float32")?.data;
    if (maps === null || order === undefined || scores === undefined) throw new Error("it has no maps");
    const { payload, bytes, milliseconds } = answer;
    const rgb = pick(answer.arrays, "rgb", "uint8");
    const page: Page = { maps, rgb, from: content.from, payload, bytes, milliseconds };
    const { sheet: old } = this.state;
    const isOn = old !== null && old.key === key && old.revision === content.revision;
    const pages = new Map(isOn ? old.pages : []).set(content.from, page);
    return {
      ...content,
      ...{ key, asked, order, scores, pages, latest: page },
      range: maps.range ?? [0, 0],
      nonfinite: maps.nonfinite,
      note: maps.note,
    };
  }

  /** The picked channel, if the layer has so many. */
  private channelAt(at: Selection): number {
    const layer = this.state.content?.layers[at.layer];
    return layer === undefined ? 0 : clamp(at.channel, channelsOf(layer, at));
  }

  private channelKey(): string {
    const { selection } = this.state;
    const channel = this.channelAt(selection);
    return JSON.stringify({ ...this.place(), channel, scale: selection.scale });
  }

  private askChannel(began: number): void {
    if (this.layer === null) return;
    const { selection } = this.state;
    const { scale } = selection;
    const channel = this.channelAt(selection);
    const key = this.channelKey();
    this.ask("channel", { ...this.place(), channel, scale }, began, ({ arrays, content }) => {
      this.update(this.channelRead(content as ChannelContent, arrays, channel, key));
    });
  }

  /** What an answer says of the channel; nothing where the one that is picked by now is shown already. */
  private channelRead(
    content: ChannelContent | null,
    arrays: Arrays,
    channel: number,
    key: string,
  ): Partial<Pick<State, "channel" | "read">> {
    const now = this.channelKey();
    if (key !== now && this.state.channel?.key === now) return {};
    const read = new Map<string, number>();
    if (content === null) return { channel: null, read };
    const map = pick(arrays, "map", "uint8");
    const edges = pick(arrays, "edges", "float32")?.data;
    const counts = pick(arrays, "counts", "int32")?.data;
    if (map === null || edges === undefined || counts === undefined) throw new Error("it has no map");
    const values = pick(arrays, "values", "float32")?.data ?? null;
    const found: Channel = { ...content, key, channel, map, edges, counts, values };
    return { channel: found, read };
  }

  private readValue(y: number, x: number): void {
    const { channel } = this.state.selection;
    const { read } = this.state;
    this.connection.ask(
      "value",
      { ...this.place(), channel, y, x },
      {
        answer: ({ arrays }) => {
          const value = pick(arrays, "value", "float32")?.data[0];
          if (value === undefined || read !== this.state.read) return;
          this.update({ read: read.set(`${y} ${x}`, value) });
        },
        error: (error) => this.fail("value", error),
      },
    );
  }

  /** The channel for all samples, once the slider rests: it takes a forward for each. */
  private askAcrossSoon(): void {
    clearTimeout(this.acrossTimer);
    this.acrossTimer = setTimeout(() => this.askAcross(), REST);
  }

  private askAcross(): void {
    if (this.layer === null || this.state.lost !== null) return;
    if (this.kernelBusy()) {
      this.askAcrossSoon();
      return;
    }
    const { channel } = this.state.selection;
    this.connection.ask(
      "across",
      { ...this.place(), channel, count: ACROSS },
      {
        answer: ({ arrays, content }) => {
          const found = content as Omit<Across, "channel" | "maps">;
          this.update({ across: { ...found, channel, maps: pick(arrays, "maps", "uint8") } });
        },
        error: (error) => this.fail("across", error),
      },
    );
  }

  /** What the muted channels change in the output. */
  private askChange(began: number): void {
    const { sample, muted } = this.state.selection;
    if (muted.length === 0) {
      this.update({ change: null });
      return;
    }
    this.ask("change", { sample, muted }, began, ({ content }) => {
      const { change, note = "" } = content as { change: Change | null; note?: string };
      if (this.state.selection.muted.length > 0) this.update({ change: { change, note } });
    });
  }
}
