import { type DecodedArray, pick } from "../../kernel/arrays";
import { calibrate } from "../../kernel/calibration";
import { type Answer, Connection, type ConnectionOptions, type Handlers } from "../../kernel/connection";
import { afterPaint } from "../../kernel/measure";
import type { WidgetModel } from "../../kernel/model";
import type { Transport } from "../../kernel/transport";

/** Milliseconds after which the kernel hears of moved traits, also while pictures follow each other. */
const SAVED_WITHIN = 200;

/** What the controls of every explorer set. */
export interface SharedSelection {
  sample: number;
  colormap: string;
}

/** The picture of a sample. */
export interface SampleImage {
  sample: number;
  pixels: DecodedArray<"uint8">;
  note: string;
}

export interface SharedState<S extends SharedSelection> {
  /** Where the controls stand. */
  selection: S;
  table: Uint8Array | null;
  image: SampleImage | null;
  error: string | null;
  waiting: string | null;
  busy: boolean;
  lost: string | null;
}

/** What a menu offers, and what is picked where that is something else. */
export function offered(menu: unknown, picked: string): string[] {
  const names = (menu as string[] | undefined) ?? [];
  return names.includes(picked) ? names : [...names, picked];
}

/** An explorer without its looks: traits and controls in, requests out, answers in. */
export abstract class ExplorerStore<S extends SharedSelection, T extends SharedState<S>> {
  readonly connection: Connection;
  protected readonly kernelBusy: () => boolean;
  private readonly listeners = new Set<() => void>();
  private readonly tables = new Map<string, Uint8Array>();
  private readonly undo: (() => void)[] = [];
  /** Traits are being set from here: the change events that follow are not news. */
  private moving = false;
  private traitsChanged = false;
  private unsaved: ReturnType<typeof setTimeout> | undefined;
  /** Traits that have moved since the kernel was told. */
  private readonly unsavedTraits = new Set<keyof S>();
  private calibration: ReturnType<typeof setTimeout> | undefined;
  private failure: { kind: string; asked: number } | null = null;

  /**
   * `traits`: those that the browser sets. `shownKinds`: kinds whose answers the user waits for.
   * `watched`: further traits that controls show.
   */
  constructor(
    protected readonly model: WidgetModel,
    transport: Transport,
    private readonly traits: readonly (keyof S & string)[],
    private readonly shownKinds: readonly string[],
    initial: Omit<T, keyof SharedState<S>>,
    options: ConnectionOptions = {},
    watched: readonly string[] = [],
  ) {
    this.kernelBusy = options.kernelBusy ?? (() => false);
    const shared: SharedState<S> = {
      selection: this.readSelection(),
      table: null,
      image: null,
      error: null,
      waiting: null,
      busy: true,
      lost: null,
    };
    this.state = { ...initial, ...shared } as unknown as T;
    this.connection = new Connection(
      transport,
      {
        activity: () => this.noteActivity(),
        lost: (lost) => this.update({ lost, busy: false, waiting: null } as Partial<T>),
        found: () => this.readAgain(),
        waiting: (waiting) => this.update({ waiting } as Partial<T>),
        notice: (name) => name === "stale" && this.readAgain(),
      },
      options,
    );
    for (const name of traits) this.follow(`change:${name}`, () => this.onTrait(name));
    for (const name of ["sample_count", "colormaps", "can_append", ...watched]) {
      this.follow(`change:${name}`, () => this.update({}));
    }
  }

  state: T;

  /** Asks for all that is shown. */
  protected abstract askAll(began: number): void;

  /** Asks for what a moved selection changes. */
  protected abstract changed(old: S, next: S, began: number): void;

  /** What was read holds no longer. */
  protected abstract forget(): void;

  /** A selection within what there is to pick from. */
  protected clamped(wanted: S): S {
    return wanted;
  }

  start(): void {
    const began = performance.now();
    this.askTable(began);
    this.askAll(began);
  }

  close(): void {
    this.save();
    for (const undo of this.undo) undo();
    clearTimeout(this.calibration);
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
    return offered(this.model.get("colormaps"), this.state.selection.colormap);
  }

  get canAppend(): boolean {
    return this.model.get("can_append") === true;
  }

  /** A control moved: sets the traits and asks for what they change, once. */
  move(changes: Partial<S>, event?: Event): void {
    if (this.state.lost !== null) return;
    const began = event?.timeStamp ?? performance.now();
    const next = this.clamped({ ...this.state.selection, ...changes });
    this.setTraits(next);
    this.apply(next, began);
    if (!this.state.busy) this.save();
  }

  /** Takes in a new sentence and picks it. */
  append(text: string, event: Event): void {
    this.ask("append", { text }, event.timeStamp, ({ content }) => {
      this.move({ sample: (content as { sample: number }).sample } as Partial<S>);
    });
  }

  protected update(changes: Partial<T>): void {
    this.state = { ...this.state, ...changes };
    for (const listener of this.listeners) listener();
  }

  protected setTraits(next: S): void {
    this.moving = true;
    let changed = false;
    for (const name of this.traits) {
      if (this.model.get(name) === next[name]) continue;
      this.model.set(name, next[name]);
      this.unsavedTraits.add(name);
      changed = true;
    }
    this.moving = false;
    if (changed) this.unsaved ??= setTimeout(() => this.save(), SAVED_WITHIN);
  }

  protected ask(kind: string, selection: object, began: number, answer: (answer: Answer) => void): void {
    const asked = performance.now();
    const handlers: Handlers = {
      answer: (received) => {
        this.succeed(kind, asked);
        answer(received);
      },
      error: (sentence) => this.fail(kind, sentence),
      waiting: (waiting) => this.update({ waiting } as Partial<T>),
    };
    this.connection.ask(kind, selection, handlers, { began });
  }

  protected fail(kind: string, error: string): void {
    this.failure = { kind, asked: performance.now() };
    this.update({ error, waiting: null } as Partial<T>);
  }

  protected askImage(sample: number, began: number): void {
    if (this.state.image?.sample === sample) return;
    this.ask("image", { sample }, began, ({ arrays, content }) => {
      const pixels = pick(arrays, "image", "uint8");
      const { note = "" } = content as { note?: string };
      if (pixels !== null) this.update({ image: { sample, pixels, note } } as Partial<T>);
    });
  }

  /** Measures the way to the kernel, after the picture is drawn and the rest is on its way. */
  protected calibrateOnce(): void {
    this.calibration ??= setTimeout(() => void calibrate(this.connection), 100);
  }

  private readSelection(): S {
    return Object.fromEntries(this.traits.map((name) => [name, this.model.get(name)])) as unknown as S;
  }

  private follow(event: string, callback: () => void): void {
    this.model.on(event, callback);
    this.undo.push(() => this.model.off(event, callback));
  }

  protected noteActivity(): void {
    const busy = this.shownKinds.some((kind) => this.connection.isOpen(kind));
    // The kernel's and the page's work for it would hold up the picture that has just come.
    if (!busy) afterPaint(() => this.save());
    if (busy !== this.state.busy) this.update({ busy } as Partial<T>);
  }

  /**
   * Tells the kernel of the traits. A request carries its whole selection, and a trait message ahead of it
   * would make the picture wait for its handling and echo: so it goes after the answer, or soon in a drag.
   */
  private save(): void {
    if (this.unsaved === undefined) return;
    clearTimeout(this.unsaved);
    this.unsaved = undefined;
    this.unsavedTraits.clear();
    this.model.save_changes();
  }

  private onTrait(name: keyof S & string): void {
    if (this.moving) return;
    if (this.unsavedTraits.has(name)) {
      // The kernel's echo of what was saved before: the control has moved on, and stays.
      this.moving = true;
      this.model.set(name, this.state.selection[name]);
      this.moving = false;
      return;
    }
    if (this.traitsChanged) return;
    // Several traits set together arrive as several events: one request answers them all.
    this.traitsChanged = true;
    const began = performance.now();
    queueMicrotask(() => {
      this.traitsChanged = false;
      this.apply(this.readSelection(), began);
    });
  }

  private apply(next: S, began: number): void {
    const old = this.state.selection;
    this.update({ selection: next } as Partial<T>);
    if (old.colormap !== next.colormap) this.askTable(began);
    this.changed(old, next, began);
  }

  private readAgain(): void {
    this.forget();
    this.update({ lost: null } as Partial<T>);
    this.start();
  }

  /** An error goes with the next good answer: of its kind, or to anything asked after it. */
  private succeed(kind: string, asked: number): void {
    const over = this.failure !== null && (this.failure.kind === kind || this.failure.asked <= asked);
    if (over) this.failure = null;
    this.update((over ? { error: null, waiting: null } : { waiting: null }) as Partial<T>);
  }

  private askTable(began: number): void {
    const name = this.state.selection.colormap;
    const known = this.tables.get(name);
    if (known !== undefined) {
      this.update({ table: known } as Partial<T>);
      return;
    }
    this.ask("colormap", { name }, began, ({ arrays }) => {
      const table = pick(arrays, "table", "uint8")?.data.slice();
      if (table?.length !== 768) throw new Error("a colour table has 256 × 3 bytes");
      this.tables.set(name, table);
      if (this.state.selection.colormap === name) this.update({ table } as Partial<T>);
    });
  }
}
