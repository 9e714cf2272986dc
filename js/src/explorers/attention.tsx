import { render as draw } from "preact";
import { kernelBusy, watchKernel } from "../kernel/liveness";
import type { RenderContext } from "../kernel/model";
import { hideStill } from "../kernel/still";
import { modelTransport } from "../kernel/transport";
import "./attention.css";
import { Explorer } from "./attention/explorer";
import { AttentionStore } from "./attention/store";

/** One view of the attention explorer; the host ends it by its signal, or by calling what is returned. */
function render({ model, el, signal }: RenderContext): () => void {
  const store = new AttentionStore(model, modelTransport(model), { kernelBusy: () => kernelBusy(model) });
  const unwatch = watchKernel(model, (liveness) => {
    if (liveness === "alive") store.connection.find();
    else if (liveness === "gone") store.connection.lose();
    else store.connection.probe();
  });
  draw(<Explorer store={store} />, el);
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

export default { render };
