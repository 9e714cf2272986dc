import type { ArrayHeader, Request } from "../src/kernel/messages";
import type { Listener, Transport } from "../src/kernel/transport";

/** A kernel that answers when the test says so. */
export class SlowTransport implements Transport {
  readonly sent: Request[] = [];
  private listener: Listener | null = null;

  send(request: Request): void {
    this.sent.push(request);
  }

  listen(listener: Listener): () => void {
    this.listener = listener;
    return () => {
      this.listener = null;
    };
  }

  get last(): Request {
    return this.sent.at(-1) as Request;
  }

  ofKind(kind: string): Request[] {
    return this.sent.filter((request) => request.kind === kind);
  }

  tell(message: object, buffer = new ArrayBuffer(0)): void {
    this.listener?.(message as never, [buffer]);
  }

  reply(
    { id, kind }: Request,
    content: object = {},
    { partial = false, arrays = {} as Record<string, ArrayHeader>, buffer = new ArrayBuffer(0) } = {},
  ): void {
    this.tell({ id, kind, content, arrays, milliseconds: 1, ...(partial && { partial }) }, buffer);
  }
}
