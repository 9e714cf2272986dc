import { type ComponentType, render as draw } from "preact";
import type { ConnectionOptions } from "../../kernel/connection";
import { kernelBusy, watchKernel } from "../../kernel/liveness";
import type { RenderContext, WidgetModel } from "../../kernel/model";
import { hideStill } from "../../kernel/still";
import { modelTransport, type Transport } from "../../kernel/transport";
import type { ExplorerStore, SharedSelection, SharedState } from "./store";

// biome-ignore lint/suspicious/noExplicitAny: of whatever selection and state
type AnyStore = ExplorerStore<any, SharedState<any> & { selection: SharedSelection }>;
type Made<S> = new (model: WidgetModel, transport: Transport, options: ConnectionOptions) => S;

/**
 * A widget that shows views of a store; a host ends one by its signal, or by calling what is returned.
 *
 * @param name that of its bundle: the build lets its style sheet apply to nothing else.
 */
export function widgetOf<S extends AnyStore>(
  name: string,
  Store: Made<S>,
  View: ComponentType<{ store: S }>,
) {
  function render({ model, el, signal }: RenderContext): () => void {
    const store = new Store(model, modelTransport(model), { kernelBusy: () => kernelBusy(model) });
    const unwatch = watchKernel(model, (liveness) => {
      if (liveness === "alive") store.connection.find();
      else if (liveness === "gone") store.connection.lose();
      else store.connection.probe();
    });
    el.classList.add(`xw-of-${name}`);
    draw(<View store={store} />, el);
    store.start();
    const showStill = hideStill(String(model.get("still")));
    const close = () => {
      showStill();
      unwatch();
      store.close();
      draw(null, el);
    };
    signal?.addEventListener("abort", close, { once: true });
    return close;
  }
  return { render };
}
