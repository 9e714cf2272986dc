export interface WatchdogOptions {
  /** Milliseconds of silence before asking whether anybody is there, and again before giving up. */
  patience: number;
  ping(): void;
  silent(): void;
}

/** Tells a kernel that is gone from one that is slow: silence over an open request leads to a ping first. */
export class Watchdog {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: WatchdogOptions) {}

  /** A request is open. */
  expect(): void {
    this.timer ??= setTimeout(() => this.doubt(), this.options.patience);
  }

  /** Something came; `open`: there is more to come. */
  heard(open: boolean): void {
    this.rest();
    if (open) this.expect();
  }

  /** There is a reason to ask now whether anybody is there. */
  probe(): void {
    this.rest();
    this.doubt();
  }

  rest(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private doubt(): void {
    this.options.ping();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.options.silent();
    }, this.options.patience);
  }
}
