import type { WidgetModel } from "./model";

interface Signal<T> {
  connect(slot: (sender: unknown, value: T) => void): void;
  disconnect(slot: (sender: unknown, value: T) => void): void;
}

/** The part of JupyterLab's kernel connection used here; other hosts have none. */
interface KernelConnection {
  status?: string;
  statusChanged?: Signal<string>;
  disposed?: Signal<unknown>;
}

const DEAD = new Set(["dead", "restarting", "autorestarting", "terminating"]);

export function kernelOf(model: WidgetModel): KernelConnection | null {
  const manager = model.widget_manager as { kernel?: KernelConnection | null } | undefined;
  return manager?.kernel ?? null;
}

export const kernelBusy = (model: WidgetModel) => kernelOf(model)?.status === "busy";

export type Liveness = "alive" | "gone" | "unsure";

/** Follows the comm and the manager's kernel; returns what ends the watch. */
export function watchKernel(model: WidgetModel, listener: (liveness: Liveness) => void): () => void {
  // Hosts call back with the view as `this`; its model knows whether the comm is live.
  function onComm(this: { model?: { comm_live?: boolean } } | undefined) {
    const live = this?.model?.comm_live;
    listener(live === undefined ? "unsure" : live ? "alive" : "gone");
  }
  const onStatus = (_: unknown, status: string) => {
    if (DEAD.has(status)) listener("gone");
  };
  const onDisposed = () => listener("gone");
  const kernel = kernelOf(model);
  model.on("comm_live_update", onComm);
  kernel?.statusChanged?.connect(onStatus);
  kernel?.disposed?.connect(onDisposed);
  return () => {
    model.off("comm_live_update", onComm);
    kernel?.statusChanged?.disconnect(onStatus);
    kernel?.disposed?.disconnect(onDisposed);
  };
}
