import type { Request } from "../src/kernel/messages";
import type { WidgetModel } from "../src/kernel/model";

type Callback = (...args: never[]) => void;

/** A host's model with its traits; what it sends goes to `kernel`, if there is one. */
export class FakeModel implements WidgetModel {
  readonly sent: Request[] = [];
  saved = 0;
  kernel: ((request: Request) => void) | null = null;
  private readonly callbacks = new Map<string, Set<Callback>>();

  constructor(readonly traits: Record<string, unknown>) {}

  get(name: string): unknown {
    return this.traits[name];
  }

  set(name: string, value: unknown): void {
    if (this.traits[name] === value) return;
    this.traits[name] = value;
    this.trigger(`change:${name}`);
  }

  save_changes(): void {
    this.saved += 1;
  }

  send(content: unknown): void {
    this.sent.push(content as Request);
    this.kernel?.(content as Request);
  }

  on(event: string, callback: Callback): void {
    const callbacks = this.callbacks.get(event) ?? new Set();
    this.callbacks.set(event, callbacks.add(callback));
  }

  off(event: string, callback: Callback): void {
    this.callbacks.get(event)?.delete(callback);
  }

  /** As hosts do, with the view as `this`. */
  trigger(event: string, args: unknown[] = [], view: object = {}): void {
    for (const callback of [...(this.callbacks.get(event) ?? [])]) callback.apply(view, args as never[]);
  }

  get listening(): number {
    return [...this.callbacks.values()].reduce((sum, callbacks) => sum + callbacks.size, 0);
  }

  ofKind(kind: string): Request[] {
    return this.sent.filter((request) => request.kind === kind);
  }
}

export const traits = (changes: Record<string, unknown> = {}) => ({
  ...{ sample: 0, layer: 2, layer_name: "", head: 7, query: 22, view: "matrix", scale: "linear" },
  grid_by: "weights",
  ...{ measure: "weights", units: "tokens", hide_sinks: false, ablated: [], target: null },
  ...{ colormap: "Blues", padding: false, sample_count: 2, colormaps: ["Blues", "viridis"] },
  ...{ compared: null, comparison: "side", difference_colormap: "RdBu_r", other_model: false },
  difference_colormaps: ["RdBu_r", "PRGn"],
  can_append: false,
  ...changes,
});
