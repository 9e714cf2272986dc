import { pick } from "../../kernel/arrays";
import type { Answer, ConnectionOptions } from "../../kernel/connection";
import type { WidgetModel } from "../../kernel/model";
import type { Transport } from "../../kernel/transport";
import { ExplorerStore } from "../shared/store";
import type {
  Agreement,
  AttributionContent,
  Curves,
  Measures,
  Method,
  Other,
  Parameters,
  Randomised,
  SampleContent,
  Selection,
  Shown,
  State,
  Target,
  Trust,
  TrustKind,
  Value,
} from "./types";

/** What an attribution is of, and how its numbers are put together. */
const PLACE = ["sample", "layer", "method", "target", "position", "options"] as const;
const HOW = ["channels", "sign", "clip", "units"] as const;
const COMPARED = ["compared", "agreement_samples"] as const;
const TRAITS = [
  ...[...PLACE, ...HOW, ...COMPARED],
  ...(["other", "show", "parameter_measure", "colormap"] as const),
] as const;
/** Kinds whose answers the user waits for. */
const SHOWN_KINDS = ["sample", "attribution", "other", "parameters", "colormap", "image"];
const TRUST_KINDS = ["curves", "randomisation", "measures", "agreement"] as const;
/** Which of them stand beside the methods that are compared. */
const WITH_COMPARED = ["curves", "agreement"] as const;
const NO_TRUST: Trust = { curves: null, randomisation: null, measures: null, agreement: null };

/** The attribution explorer without its looks. */
export class AttributionStore extends ExplorerStore<Selection, State> {
  constructor(model: WidgetModel, transport: Transport, options: ConnectionOptions = {}) {
    const initial = {
      content: null,
      shown: [null, null] as [null, null],
      costs: [null, null] as [null, null],
      parameters: null,
      trust: NO_TRUST,
      measuring: [],
      opacity: 75,
    };
    super(model, transport, TRAITS, SHOWN_KINDS, initial, options);
  }

  get method(): Method | null {
    return this.methodNamed(this.state.selection.method);
  }

  methodNamed(name: string): Method | null {
    return this.state.content?.methods.find((method) => method.name === name) ?? null;
  }

  /** What a target is called. */
  targetName(target: Target): string {
    const { content } = this.state;
    if (target === null)
      return content?.predicted == null ? "predicted" : `predicted: ${content.predicted.name}`;
    if (typeof target === "number") return content?.classes[target] ?? `class ${target}`;
    return content?.losses.find(([name]) => name === target)?.[1] ?? target;
  }

  cover(opacity: number): void {
    this.update({ opacity });
  }

  /** Another method: settings are of one method. */
  pickMethod(method: string, event?: Event): void {
    this.move({ method, options: {} }, event);
  }

  /** Sets one setting of the method; null: back to what it is without being set. */
  setOption(name: string, value: Value, event: Event): void {
    const { [name]: _, ...others } = this.state.selection.options;
    this.move({ options: value === null ? others : { ...others, [name]: value } }, event);
  }

  /** Shows another method or target beside it, or (null) no longer. */
  compare(other: Other | null, event: Event): void {
    this.move({ other }, event);
  }

  /** Picks a token of the vocabulary as the target. */
  pickToken(text: string, event: Event): void {
    this.ask("token", { text }, event.timeStamp, ({ content }) => {
      this.move({ target: (content as { target: number }).target });
    });
  }

  stop(): void {
    for (const kind of ["attribution", "other"]) this.connection.stop(kind);
  }

  /** Begins one of the measures of trust; they are worked on one after the other. */
  measure(kind: TrustKind, event: Event): void {
    const asked = this.trusted();
    const key = JSON.stringify(asked);
    this.update({ measuring: [...this.state.measuring.filter((one) => one !== kind), kind] });
    this.ask(kind, asked, event.timeStamp, (answer) => {
      if ("stopped" in answer.content || key !== JSON.stringify(this.trusted())) return;
      this.update({ trust: { ...this.state.trust, [kind]: readTrust[kind](answer) } });
    });
  }

  stopMeasure(kind: TrustKind): void {
    this.connection.stop(kind);
    const found = this.state.trust[kind];
    if (found !== null) this.update({ trust: { ...this.state.trust, [kind]: { ...found, partial: false } } });
  }

  protected override noteActivity(): void {
    super.noteActivity();
    const measuring = this.state.measuring.filter((kind) => this.connection.isOpen(kind));
    if (measuring.length < this.state.measuring.length) this.update({ measuring });
  }

  protected override clamped(wanted: Selection): Selection {
    const { content } = this.state;
    if (content === null || content.sample !== wanted.sample) return wanted;
    const layers = content.layers.length;
    const { positions } = content;
    const position = wanted.position !== null && wanted.position < positions ? wanted.position : null;
    return { ...wanted, position, layer: Math.max(0, Math.min(layers - 1, wanted.layer)) };
  }

  protected override askAll(began: number): void {
    this.askSample(began);
  }

  protected override changed(old: Selection, next: Selection, began: number): void {
    const differs = (...names: (keyof Selection)[]) => names.some((name) => old[name] !== next[name]);
    // What was measured is of what was shown.
    if (differs(...PLACE, ...HOW, "other")) this.dropTrust(TRUST_KINDS);
    else if (differs("compared")) this.dropTrust(WITH_COMPARED);
    else if (differs("agreement_samples")) this.dropTrust(["agreement"]);
    if (differs("sample")) {
      this.askSample(began);
      return;
    }
    if (next.show === "parameters") {
      if (differs("show", "target", "position", "parameter_measure")) this.askParameters(began);
      return;
    }
    const same = !differs("show", "layer", "position", ...HOW);
    if (!same || differs("method", "target", "options")) this.askAttribution(began);
    if (!same || differs("other")) this.askOther(began);
  }

  protected override forget(): void {
    this.dropTrust(TRUST_KINDS);
    this.update({ parameters: null });
  }

  private dropTrust(kinds: readonly TrustKind[]): void {
    for (const kind of kinds) this.connection.stop(kind);
    const gone = Object.fromEntries(kinds.map((kind) => [kind, null])) as Partial<Trust>;
    this.update({ trust: { ...this.state.trust, ...gone } });
  }

  private askSample(began: number): void {
    const { sample } = this.state.selection;
    this.ask("sample", { sample }, began, ({ content: answered }) => {
      const content = answered as SampleContent;
      this.update({ content });
      if (content.has_image) this.askImage(content.sample, began);
      if (this.state.selection.show === "parameters") {
        this.askParameters(began);
      } else {
        this.askAttribution(began);
        this.askOther(began);
      }
    });
  }

  private place(other: Other | null = null) {
    const { sample, layer, method, target, position, options } = this.clamped(this.state.selection);
    if (other === null) return { sample, layer, method, target, position, options };
    // Settings are of one method.
    const own = other.method === method ? options : {};
    return { sample, layer, method: other.method, target: other.target, position, options: own };
  }

  private how() {
    const { channels, sign, clip, units } = this.state.selection;
    return { channels, sign, clip, units };
  }

  private trusted() {
    const { other, compared, agreement_samples } = this.state.selection;
    return { ...this.place(), ...this.how(), other, compared, agreement_samples };
  }

  private askAttribution(began: number): void {
    this.askSide(0, null, began);
  }

  private askOther(began: number): void {
    const { other } = this.state.selection;
    if (other === null) {
      this.connection.stop("other");
      this.show(1, null);
    } else {
      this.askSide(1, other, began);
    }
  }

  private askSide(side: 0 | 1, other: Other | null, began: number): void {
    const asked = { ...this.place(other), ...this.how() };
    // What it takes is said before it is begun.
    this.ask(side === 0 ? "cost" : "other_cost", this.place(other), began, ({ content }) => {
      const { words } = content as { words: string };
      const [a, b] = this.state.costs;
      this.update({ costs: side === 0 ? [words, b] : [a, words] });
    });
    this.ask(side === 0 ? "attribution" : "other", asked, began, (answer) => {
      const before = this.state.shown[side];
      if ("stopped" in answer.content) {
        if (before !== null) this.show(side, { ...before, partial: false });
        return;
      }
      this.show(side, readShown(answer, asked.sample, asked.method));
      this.calibrateOnce();
    });
  }

  private show(side: 0 | 1, shown: Shown | null): void {
    const [a, b] = this.state.shown;
    this.update({ shown: side === 0 ? [shown, b] : [a, shown] });
  }

  private askParameters(began: number): void {
    const { sample, target, position, parameter_measure: measure } = this.state.selection;
    this.ask("parameters", { sample, target, position, measure }, began, (answer) => {
      const { content, payload, bytes, milliseconds } = answer;
      const said = content as Pick<Parameters, "names" | "modules" | "states" | "words" | "footer">;
      const values = numbers(answer.arrays, "values");
      this.update({ parameters: { ...said, values, payload, bytes, milliseconds } });
      this.calibrateOnce();
    });
  }
}

function numbers(arrays: Answer["arrays"], name: string): Float32Array {
  const found = pick(arrays, name, "float32");
  if (found === null) throw new Error(`the answer has no ${name}`);
  return found.data;
}

function readShown(answer: Answer, sample: number, method: string): Shown {
  const { arrays, content, partial, payload, bytes, milliseconds } = answer;
  return {
    ...(content as AttributionContent),
    ...{ sample, method, partial, payload, bytes, milliseconds },
    map: pick(arrays, "map", "uint8"),
    values: numbers(arrays, "values"),
  };
}

const readTrust = {
  curves({ arrays, content, partial }: Answer): Curves {
    const deletion = pick(arrays, "deletion", "float32");
    const insertion = pick(arrays, "insertion", "float32");
    if (deletion === null || insertion === null) throw new Error("the answer has no curves");
    const said = content as Omit<Curves, "fractions" | "deletion" | "insertion" | "partial">;
    return { ...said, fractions: numbers(arrays, "fractions"), deletion, insertion, partial };
  },
  randomisation({ arrays, content, partial }: Answer): Randomised {
    const said = content as Pick<Randomised, "layers" | "note" | "progress">;
    return { ...said, signed: numbers(arrays, "signed"), absolute: numbers(arrays, "absolute"), partial };
  },
  measures({ content, partial }: Answer): Measures {
    return { ...(content as Pick<Measures, "rows" | "note" | "progress">), partial };
  },
  agreement({ arrays, content, partial }: Answer): Agreement {
    return {
      ...(content as Pick<Agreement, "names" | "note" | "progress">),
      matrix: numbers(arrays, "matrix"),
      partial,
    };
  },
};
