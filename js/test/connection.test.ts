import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { calibrate, median } from "../src/kernel/calibration";
import { Connection, GONE } from "../src/kernel/connection";
import { SlowTransport } from "./slow-transport";

const noEvents = () => ({
  activity: vi.fn(),
  lost: vi.fn(),
  found: vi.fn(),
  waiting: vi.fn(),
  notice: vi.fn(),
});

let transport: SlowTransport;
let events: ReturnType<typeof noEvents>;
let connection: Connection;

beforeEach(() => {
  vi.useFakeTimers();
  transport = new SlowTransport();
  events = noEvents();
  connection = new Connection(transport, events, { patience: 1000 });
});

afterEach(() => {
  connection.close();
  vi.useRealTimers();
});

function ask(head: number, kind = "head") {
  const handlers = { answer: vi.fn(), error: vi.fn(), waiting: vi.fn() };
  connection.ask(kind, { head }, handlers);
  return handlers;
}

const heads = () => transport.ofKind("head").map(({ selection }) => (selection as { head: number }).head);

describe("newest wins", () => {
  it("sends one request of a kind at a time and of those that wait only the newest", () => {
    const first = ask(0);
    const skipped = [1, 2, 3, 4].map((head) => ask(head));
    const newest = ask(5);
    expect(heads()).toEqual([0]);
    transport.reply(transport.last);
    expect(heads()).toEqual([0, 5]);
    transport.reply(transport.last);
    expect(heads()).toEqual([0, 5]);
    expect(first.answer).toHaveBeenCalledOnce();
    expect(newest.answer).toHaveBeenCalledOnce();
    for (const { answer } of skipped) expect(answer).not.toHaveBeenCalled();
  });

  it("lets kinds go side by side", () => {
    ask(0);
    ask(0, "grid");
    expect(transport.sent.map(({ kind }) => kind)).toEqual(["head", "grid"]);
  });

  it("goes on after an error, a superseded request and a stale id", () => {
    const failing = ask(0);
    ask(1);
    transport.tell({ id: transport.last.id, kind: "head", error: "No such head: pick 0 to 11." });
    expect(failing.error).toHaveBeenCalledWith("No such head: pick 0 to 11.");
    const stale = transport.sent[0] as { id: string; kind: string };
    const superseded = transport.last;
    transport.tell({ id: superseded.id, kind: "head", superseded: true });
    const third = ask(2);
    transport.reply({ ...stale, selection: {}, pad: 0 });
    expect(third.answer).not.toHaveBeenCalled();
    transport.reply(transport.last);
    expect(third.answer).toHaveBeenCalledOnce();
    expect(failing.answer).not.toHaveBeenCalled();
  });

  it("ignores answers to other views", () => {
    const handlers = ask(0);
    transport.tell({ id: "otherone:1", kind: "head", content: {}, arrays: {}, milliseconds: 1 });
    expect(handlers.answer).not.toHaveBeenCalled();
    expect(connection.isOpen("head")).toBe(true);
  });
});

describe("stepwise answers", () => {
  it("hands over partial answers under one id until the last", () => {
    const { answer } = ask(0);
    transport.reply(transport.last, { step: 1 }, { partial: true });
    transport.reply(transport.last, { step: 2 }, { partial: true });
    expect(connection.isOpen("head")).toBe(true);
    transport.reply(transport.last, { step: 3 });
    expect(answer.mock.calls.map(([{ content, partial }]) => [content.step, partial])).toEqual([
      [1, true],
      [2, true],
      [3, false],
    ]);
    expect(connection.isOpen("head")).toBe(false);
  });

  it("stops when a newer request waits, once, and draws nothing for the stopped one", () => {
    const stepwise = ask(0);
    const [request] = transport.sent;
    transport.reply(transport.last, {}, { partial: true });
    const newer = ask(1);
    ask(2);
    expect(transport.ofKind("stop").map(({ selection }) => selection)).toEqual([{ id: request?.id }]);
    transport.tell({ id: request?.id, kind: "head", content: { stopped: true }, arrays: {} });
    expect(stepwise.answer).toHaveBeenCalledTimes(1);
    expect(heads()).toEqual([0, 2]);
    expect(newer.answer).not.toHaveBeenCalled();
  });

  it("is stopped by hand and keeps its last picture", () => {
    const { answer } = ask(0);
    transport.reply(transport.last, {}, { partial: true });
    const id = transport.last.id;
    connection.stop("head");
    expect(transport.last).toMatchObject({ kind: "stop", selection: { id } });
    transport.tell({ id, kind: "head", content: { stopped: true }, arrays: {} });
    expect(answer).toHaveBeenCalledTimes(1);
    expect(connection.isOpen("head")).toBe(false);
  });
});

describe("a kernel that is gone", () => {
  it("is pinged after silence, and given up after more of it", () => {
    ask(0);
    vi.advanceTimersByTime(1001);
    expect(transport.last.kind).toBe("ping");
    expect(events.lost).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1001);
    expect(events.lost).toHaveBeenCalledOnce();
    ask(1);
    expect(heads()).toEqual([0]);
  });

  it("is not given up while it answers pings or says that it waits", () => {
    const { waiting } = ask(0);
    vi.advanceTimersByTime(1001);
    transport.reply(transport.last);
    vi.advanceTimersByTime(1001);
    transport.tell({ id: transport.sent[0]?.id, kind: "head", waiting: "A cell runs." });
    vi.advanceTimersByTime(1001);
    expect(waiting).toHaveBeenCalledWith("A cell runs.");
    expect(events.lost).not.toHaveBeenCalled();
  });

  it("is waited for while it is known to run a cell", () => {
    connection.close();
    connection = new Connection(transport, events, { patience: 1000, kernelBusy: () => true });
    ask(0);
    vi.advanceTimersByTime(10_000);
    expect(events.lost).not.toHaveBeenCalled();
    expect(events.waiting).toHaveBeenCalled();
  });

  it("comes back with its answer", () => {
    const { answer } = ask(0);
    const request = transport.last;
    vi.advanceTimersByTime(2002);
    expect(connection.isLost).toBe(true);
    transport.reply(request);
    expect(events.found).toHaveBeenCalledOnce();
    expect(answer).toHaveBeenCalledOnce();
    expect(connection.isLost).toBe(false);
  });

  it("is lost at once when the host says so, and asked again when it is back", () => {
    ask(0);
    connection.lose();
    expect(events.lost).toHaveBeenCalledWith(GONE);
    expect(connection.isOpen("head")).toBe(false);
    connection.find();
    expect(events.found).toHaveBeenCalledOnce();
    ask(1);
    expect(heads()).toEqual([0, 1]);
  });

  it("is pinged at once where the host leaves it in doubt", () => {
    connection.probe();
    expect(transport.last.kind).toBe("ping");
    vi.advanceTimersByTime(1001);
    expect(events.lost).toHaveBeenCalledOnce();
  });

  it("leaves no timer behind", () => {
    ask(0);
    connection.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("replies", () => {
  it("that cannot be decoded are errors and do not block", () => {
    const broken = ask(0);
    const arrays = { matrix: { shape: [4, 4], dtype: "float32" as const, offset: 0 } };
    transport.reply(transport.last, {}, { arrays, buffer: new ArrayBuffer(8) });
    expect(broken.error).toHaveBeenCalledWith(expect.stringContaining("bytes short"));
    expect(connection.isOpen("head")).toBe(false);
  });

  it("pass notices on", () => {
    transport.tell({ notice: "stale" });
    expect(events.notice).toHaveBeenCalledWith("stale");
  });
});

describe("calibration", () => {
  /** Answers pings after a time that depends on their padding. */
  async function run(small: number, padded: number) {
    const done = calibrate(connection);
    for (let round = 0; round < 6; round += 1) {
      await vi.advanceTimersByTimeAsync(0);
      await vi.advanceTimersByTimeAsync(transport.last.pad > 0 ? padded : small);
      transport.reply(transport.last);
    }
    await done;
  }

  it("asks for padding where padded replies are faster", async () => {
    await run(48, 15);
    expect(transport.sent.map(({ pad }) => pad)).toEqual([0, 66_000, 0, 66_000, 0, 66_000]);
    ask(0);
    expect(transport.last.pad).toBe(66_000);
  });

  it("does without where they are slower", async () => {
    await run(20, 90);
    ask(0);
    expect(transport.last.pad).toBe(0);
  });

  it("takes the median", () => expect(median([50, 1, 3])).toBe(3));
});
