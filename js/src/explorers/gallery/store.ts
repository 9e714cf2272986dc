import { pick } from "../../kernel/arrays";
import type { Answer, ConnectionOptions } from "../../kernel/connection";
import type { WidgetModel } from "../../kernel/model";
import type { Transport } from "../../kernel/transport";
import { ExplorerStore } from "../shared/store";
import { isPlain, isSharp, pageCount, pixelsFor, rangeBetween, viewOf } from "./selection";
import type { Page, PageContent, Progress, Selection, State } from "./types";

const VIEW = ["order", "descending", "label", "prediction", "wrong_only"] as const;
const TRAITS = ["sample", "colormap", "picked", "page", "per_page", "size", ...VIEW] as const;
/** Kinds whose answers the user waits for. */
const SHOWN_KINDS = ["page", "append"];

/** How a click or key adds to what is picked. */
export type Adding = "alone" | "toggle" | "range";

/** The sample gallery without its looks. */
export class GalleryStore extends ExplorerStore<Selection, State> {
  /** Of data of unknown length, how many samples are to be read at least. */
  private read = 0;

  constructor(model: WidgetModel, transport: Transport, options: ConnectionOptions = {}) {
    const initial = { page: null, progress: null, stopped: false };
    super(model, transport, TRAITS, SHOWN_KINDS, initial, options);
  }

  /** Pictures are shown in their own colours: no colour table is asked for. */
  override start(): void {
    this.askAll(performance.now());
  }

  get pageCount(): number {
    const { page, selection } = this.state;
    return page === null ? 1 : pageCount(page, selection);
  }

  /** Shows other samples, or the same in another order, from the first page on. */
  look(changes: Partial<Selection>, event: Event): void {
    this.move({ ...changes, page: 0 }, event);
  }

  turn(by: number, event: Event): void {
    const next = this.state.selection.page + by;
    if (next >= 0 && next < this.pageCount) this.move({ page: next }, event);
  }

  /** Another number on a page: what was first stays in sight. */
  fill(perPage: number, event: Event): void {
    const { page, per_page } = this.state.selection;
    this.move({ per_page: perPage, page: Math.floor((page * per_page) / perPage) }, event);
  }

  pickSample(sample: number, adding: Adding, event: Event): void {
    const { picked, sample: last } = this.state.selection;
    if (adding === "alone") {
      this.move({ sample, picked: [sample] }, event);
      return;
    }
    if (adding === "toggle" && picked.includes(sample)) {
      const rest = picked.filter((other) => other !== sample);
      this.move({ picked: rest.length > 0 ? rest : picked, sample: rest.at(-1) ?? sample }, event);
      return;
    }
    const shown = this.state.page?.cards.map(({ index }) => index) ?? [];
    const added = adding === "range" ? rangeBetween(shown, last, sample) : [sample];
    this.move({ sample, picked: [...new Set([...picked, ...added])] }, event);
  }

  /** Reads data of unknown length further. */
  readMore(event: Event): void {
    const { page, selection } = this.state;
    if (page === null) return;
    this.read = page.there + selection.per_page;
    this.goOn(event);
  }

  /** Gives up the work under way, and shows what is there. */
  stop(): void {
    this.connection.stop("page");
    this.update({ stopped: true });
    this.askPage(performance.now());
  }

  /** Goes on where it was stopped. */
  goOn(event: Event): void {
    this.update({ stopped: false });
    this.askPage(event.timeStamp);
  }

  /** Takes in a new sentence and picks it. */
  override append(text: string, event: Event): void {
    this.ask("append", { text }, event.timeStamp, ({ content }) => {
      const { sample } = content as { sample: number };
      this.move({ sample, picked: [sample] });
      this.askPage(event.timeStamp);
    });
  }

  protected override askAll(began: number): void {
    this.askPage(began);
  }

  protected override changed(old: Selection, next: Selection, began: number): void {
    const differs = (...names: (keyof Selection)[]) => names.some((name) => old[name] !== next[name]);
    const page = this.state.page;
    if (differs("page", "per_page", ...VIEW)) {
      // Other pages of what was stopped show what was read of it.
      if (differs(...VIEW) || isPlain(next)) this.update({ stopped: false });
      this.askPage(began);
    } else if (differs("size") && page !== null && !isSharp(page, pixelsFor(next.size))) this.askPage(began);
    else if (differs("sample") && isPlain(next)) this.turnTo(next);
  }

  protected override forget(): void {}

  /** A sample that was picked elsewhere is shown. */
  private turnTo({ sample, page, per_page }: Selection): void {
    const at = Math.floor(sample / per_page);
    if (at !== page) this.move({ page: at });
  }

  private askPage(began: number): void {
    const { selection, stopped } = this.state;
    const { page, per_page, size } = selection;
    const asked = { view: viewOf(selection), page, per_page };
    const pixels = pixelsFor(size);
    let thumbnails: Page["thumbnails"] = null;
    let payload = 0;
    const more = { pixels, read: this.read, goes_on: !stopped };
    this.ask("page", { ...asked, ...more }, began, (answer) => {
      // Pictures come once, in the first part of the answer.
      thumbnails = pick(answer.arrays, "thumbnails", "uint8") ?? thumbnails;
      payload += answer.payload;
      if ("cards" in answer.content) {
        this.draw(answer, { view: asked.view, thumbnails, pixels, payload });
        if (!answer.partial) this.settle(page, (answer.content as PageContent).page);
      } else this.update({ progress: answer.content as Progress });
    });
  }

  private draw(answer: Answer, asked: Pick<Page, "view" | "thumbnails" | "pixels" | "payload">): void {
    const content = answer.content as PageContent;
    const { bytes, milliseconds, partial } = answer;
    const payload = asked.payload || JSON.stringify(content).length;
    this.update({
      page: { ...content, ...asked, payload, bytes, milliseconds },
      progress: partial ? content : null,
    });
  }

  /** Where fewer pages are left than was thought the last one is shown, and the slider follows. */
  private settle(asked: number, page: number): void {
    const { selection } = this.state;
    if (page < asked && selection.page === asked) {
      this.setTraits({ ...selection, page });
      this.update({ selection: { ...selection, page } });
    }
    this.calibrateOnce();
  }
}
