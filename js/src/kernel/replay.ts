import type { Message, Reply, Request } from "./messages";
import type { Listener, Transport } from "./transport";

/** One question and its answer; `buffer` in base64, padding left out. */
export interface RecordedExchange {
  request: { kind: string; selection: object };
  reply: Omit<Reply, "id">;
  buffer: string;
}

/** JSON with sorted keys: the same selection has one spelling, whoever wrote it. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`).join(",")}}`;
}

function bytesOf(base64: string): ArrayBuffer {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes.buffer;
}

/** A recorded conversation that stands in for the kernel: the same questions get the same answers. */
export class Replay implements Transport {
  private readonly answers = new Map<string, RecordedExchange>();
  private readonly listeners = new Set<Listener>();

  constructor(recorded: RecordedExchange[]) {
    for (const exchange of recorded) this.answers.set(this.key(exchange.request), exchange);
  }

  send({ id, kind, selection }: Request): void {
    const exchange = this.answers.get(this.key({ kind, selection }));
    // Later, as from a kernel: whoever asks is not yet ready to be answered.
    if (exchange !== undefined) {
      setTimeout(() => this.tell({ ...exchange.reply, id }, [bytesOf(exchange.buffer)]));
    } else if (kind === "ping") {
      setTimeout(() => this.tell({ id, kind, content: {}, arrays: {}, milliseconds: 0 }, []));
    } else {
      const error = "This position was not recorded: run the notebook to see it.";
      setTimeout(() => this.tell({ id, kind, error }, []));
    }
  }

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private key({ kind, selection }: { kind: string; selection: object }): string {
    return `${kind} ${canonical(selection)}`;
  }

  private tell(message: Message, buffers: ArrayBuffer[]): void {
    for (const listener of this.listeners) listener(message, buffers);
  }
}
