import type { Buffer, Message, Request } from "./messages";
import type { WidgetModel } from "./model";

export type Listener = (message: Message, buffers: Buffer[]) => void;

/** Carries requests to a kernel, or to something that stands in for one, and its messages back. */
export interface Transport {
  send(request: Request): void;
  /** Returns what stops the listening. */
  listen(listener: Listener): () => void;
}

export function modelTransport(model: WidgetModel): Transport {
  return {
    send: (request) => model.send(request),
    listen(listener) {
      const onMessage = (message: Message, buffers?: Buffer[]) => listener(message, buffers ?? []);
      model.on("msg:custom", onMessage);
      return () => model.off("msg:custom", onMessage);
    },
  };
}
