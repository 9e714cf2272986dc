import { type Arrays, decode, payloadBytes } from "./arrays";
import { afterPaint, measure } from "./measure";
import type { Buffer, Message, Reply } from "./messages";
import type { Transport } from "./transport";
import { Watchdog } from "./watchdog";

export interface Answer {
  content: object;
  arrays: Arrays;
  /** Bytes received, with padding. */
  bytes: number;
  /** Bytes of the arrays alone. */
  payload: number;
  milliseconds: number;
  partial: boolean;
}

export interface Handlers {
  answer(answer: Answer): void;
  error?(sentence: string): void;
  waiting?(sentence: string): void;
}

interface Pending {
  id: string;
  kind: string;
  selection: object;
  handlers: Handlers;
  began: number;
  pad: number | null;
  /** Has sent a partial answer: stepwise work that a newer request has to stop. */
  stepwise: boolean;
  stopping: boolean;
}

interface Channel {
  current: Pending | null;
  next: Pending | null;
}

export interface ConnectionOptions {
  patience?: number;
  /** Whether the kernel is known to run a cell: its silence then says nothing. */
  kernelBusy?: () => boolean;
}

export interface ConnectionEvents {
  /** Requests began or ended. */
  activity(): void;
  lost(sentence: string): void;
  /** The kernel is back after it was lost. */
  found(): void;
  waiting(sentence: string): void;
  notice(name: string): void;
}

export const GONE = "The kernel is gone: this is its last picture; run the cell again.";
const SILENT = "The kernel does not answer: this is its last picture; if it is gone, run the cell again.";
const BUSY = "The kernel is running a cell; the answer follows.";

const newView = () => Math.random().toString(36).slice(2, 10).padEnd(8, "0");

/**
 * Requests of one view. Each kind has at most one request on its way and at most one waiting, and a newer
 * one replaces the waiting one, so that a slider cannot run ahead of the kernel.
 */
export class Connection {
  readonly view = newView();
  /** Replies are asked to be filled up to this many bytes (see calibration). */
  pad = 0;
  isLost = false;
  private sent = 0;
  private readonly channels = new Map<string, Channel>();
  private readonly unlisten: () => void;
  private readonly watchdog: Watchdog;
  private readonly kernelBusy: () => boolean;

  constructor(
    private readonly transport: Transport,
    private readonly events: ConnectionEvents,
    { patience = 20_000, kernelBusy = () => false }: ConnectionOptions = {},
  ) {
    this.kernelBusy = kernelBusy;
    this.unlisten = transport.listen((message, buffers) => this.receive(message, buffers));
    this.watchdog = new Watchdog({
      patience,
      ping: () => this.transport.send({ id: this.newId(), kind: "ping", selection: {}, pad: 0 }),
      silent: () => this.fallSilent(),
    });
  }

  /** `began`: when the control moved; `pad` overrides the connection's own. */
  ask(
    kind: string,
    selection: object,
    handlers: Handlers,
    { began = performance.now(), pad = null }: { began?: number; pad?: number | null } = {},
  ): void {
    if (this.isLost) return;
    const id = this.newId();
    const pending = { id, kind, selection, handlers, began, pad, stepwise: false, stopping: false };
    const channel = this.channel(kind);
    if (channel.current === null) {
      this.begin(channel, pending);
    } else {
      channel.next = pending;
      if (channel.current.stepwise) this.stop(kind);
    }
    this.events.activity();
  }

  /** Gives up a stepwise answer; its last picture stays. */
  stop(kind: string): void {
    const current = this.channel(kind).current;
    if (current === null || current.stopping) return;
    current.stopping = true;
    this.transport.send({ id: this.newId(), kind: "stop", selection: { id: current.id }, pad: 0 });
  }

  isOpen(kind: string): boolean {
    return this.channel(kind).current !== null;
  }

  /** The kernel may be gone: it is lost if it does not answer a ping. */
  probe(): void {
    if (!this.isLost) this.watchdog.probe();
  }

  /** The kernel is known to be gone: nothing that was asked will be answered. */
  lose(sentence = GONE): void {
    this.forget();
    this.isLost = true;
    this.events.lost(sentence);
    this.events.activity();
  }

  /** The host says that the kernel is connected again. */
  find(): void {
    if (!this.isLost) return;
    this.forget();
    this.isLost = false;
    this.events.found();
  }

  close(): void {
    this.forget();
    this.unlisten();
  }

  private newId(): string {
    this.sent += 1;
    return `${this.view}:${this.sent}`;
  }

  private forget(): void {
    this.channels.clear();
    this.watchdog.rest();
  }

  private channel(kind: string): Channel {
    let channel = this.channels.get(kind);
    if (channel === undefined) {
      channel = { current: null, next: null };
      this.channels.set(kind, channel);
    }
    return channel;
  }

  private begin(channel: Channel, pending: Pending): void {
    channel.current = pending;
    channel.next = null;
    const { id, kind, selection, pad } = pending;
    this.watchdog.expect();
    this.transport.send({ id, kind, selection, pad: pad ?? this.pad });
  }

  private settle(channel: Channel): void {
    channel.current = null;
    if (channel.next !== null) this.begin(channel, channel.next);
    this.watchdog.heard([...this.channels.values()].some(({ current }) => current !== null));
    this.events.activity();
  }

  private receive(message: Message, buffers: Buffer[]): void {
    if ("notice" in message) {
      this.events.notice(message.notice);
      return;
    }
    if (typeof message.id !== "string" || !message.id.startsWith(`${this.view}:`)) return;
    if (this.isLost) {
      this.isLost = false;
      this.events.found();
    }
    this.watchdog.heard([...this.channels.values()].some(({ current }) => current !== null));
    const channel = this.channel(message.kind);
    const current = channel.current;
    if (current === null || current.id !== message.id) return;
    if ("waiting" in message) {
      current.handlers.waiting?.(message.waiting);
    } else if ("error" in message) {
      current.handlers.error?.(message.error);
      this.settle(channel);
    } else if ("superseded" in message) {
      this.settle(channel);
    } else {
      this.receiveReply(message, buffers[0], current, channel);
    }
  }

  private receiveReply(reply: Reply, buffer: Buffer | undefined, current: Pending, channel: Channel): void {
    const stopped = "stopped" in reply.content;
    try {
      if (!stopped) this.deliver(reply, buffer, current);
    } catch (error) {
      current.handlers.error?.(`The answer could not be drawn: ${(error as Error).message}`);
    }
    if (!reply.partial) {
      this.settle(channel);
    } else {
      current.stepwise = true;
      if (channel.next !== null) this.stop(current.kind);
    }
  }

  private deliver(reply: Reply, buffer: Buffer | undefined, { kind, began, handlers }: Pending): void {
    const bytes = buffer?.byteLength ?? 0;
    const { content, milliseconds } = reply;
    handlers.answer({
      content,
      arrays: decode(reply.arrays, buffer),
      bytes,
      payload: payloadBytes(reply.arrays),
      milliseconds,
      partial: reply.partial === true,
    });
    // Pings draw nothing: calibration measures them itself. Nor does what was read ahead, or known.
    if (!reply.partial && kind !== "ping" && kind !== "ahead" && !("unchanged" in content)) {
      afterPaint(() => measure(kind, began, { bytes, milliseconds }));
    }
  }

  private fallSilent(): void {
    if (this.kernelBusy()) {
      this.events.waiting(BUSY);
      this.watchdog.expect();
      return;
    }
    // Open requests stay open: a word from the kernel after all brings the view back.
    this.isLost = true;
    this.events.lost(SILENT);
    this.events.activity();
  }
}
