import type { Answer } from "../../kernel/connection";

/** Answers by what was asked for, read or read ahead, the least recently used dropped first. */
export class AnswerCache<Asked extends object> {
  private readonly entries = new Map<string, Answer>();

  constructor(private readonly capacity = 8) {}

  has(asked: Asked): boolean {
    return this.entries.has(JSON.stringify(asked));
  }

  get(asked: Asked): Answer | null {
    const found = this.entries.get(JSON.stringify(asked)) ?? null;
    if (found !== null) this.set(asked, found);
    return found;
  }

  set(asked: Asked, answer: Answer): void {
    const key = JSON.stringify(asked);
    this.entries.delete(key);
    this.entries.set(key, answer);
    const [oldest] = this.entries.keys();
    if (this.entries.size > this.capacity && oldest !== undefined) this.entries.delete(oldest);
  }

  clear(): void {
    this.entries.clear();
  }
}

/** Milliseconds of rest after which answers are read ahead, and that one may take if a second is to follow. */
const REST = 50;
const QUICK = 100;
const MOST = 2;

export interface AheadHost<Asked extends object> {
  /** Whether all that was asked for is there. */
  isIdle(): boolean;
  kernelBusy(): boolean;
  /** What may be asked for next as things are looked at now, the likeliest first. */
  next(): Asked[];
  isKnown(asked: Asked): boolean;
  read(asked: Asked, done: () => void): void;
}

/** Reads what may be looked at next, while nothing else is to be done. */
export class Ahead<Asked extends object> {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private left = 0;

  constructor(private readonly host: AheadHost<Asked>) {}

  close(): void {
    clearTimeout(this.timer);
  }

  /** A picture is there: what may be next can be read. */
  begin(): void {
    this.left = MOST;
    this.soon();
  }

  /** It is likelier now what is next: the pointer rests on it. */
  hint(): void {
    this.left = Math.max(1, this.left);
    this.soon();
  }

  private soon(rest = REST): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), rest);
  }

  private look(): void {
    const { host } = this;
    if (!host.isIdle() || this.left === 0) return;
    if (host.kernelBusy()) {
      this.soon(2 * REST);
      return;
    }
    const next = host.next().find((asked) => !host.isKnown(asked));
    if (next !== undefined) this.read(next);
  }

  private read(asked: Asked): void {
    const began = performance.now();
    this.left -= 1;
    this.host.read(asked, () => {
      if (performance.now() - began < QUICK) this.soon();
    });
  }
}
