import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../src/explorers/gallery";
import { isSharp, moved, rangeBetween, shownSize } from "../src/explorers/gallery/selection";
import type { Page } from "../src/explorers/gallery/types";
import type { Request } from "../src/kernel/messages";
import { drawn, stubCanvas } from "./canvas";
import { type Asked, FakeGallery } from "./fake-gallery";
import { FakeModel } from "./fake-model";

let kernel: FakeGallery;
let model: FakeModel;
let el: HTMLElement;
let close: () => void;
/** Requests that wait for the test to answer them. */
let held: Request[] | null;

const root = () => el.querySelector(".xw-explorer") as HTMLElement;
const settled = () => vi.waitFor(() => expect(root().dataset.state).toBe("ready"));
const cells = () => [...el.querySelectorAll<HTMLElement>('[role="gridcell"]')];
const cell = (index: number) => el.querySelector(`[data-index="${index}"]`) as HTMLElement;
const button = (name: string) => el.querySelector(`button[aria-label="${name}"]`) as HTMLButtonElement;
const named = (text: string) =>
  [...el.querySelectorAll("button")].find((found) => found.textContent === text) as HTMLButtonElement;
const lastAsked = () => model.ofKind("page").at(-1)?.selection as Asked;
const shownIndices = () => cells().map((found) => Number(found.dataset.index));

function reply(request: Request, changes: object = {}, partial = false): void {
  const { content, arrays, buffer } = kernel.answer(request.kind, request.selection);
  const message = { id: request.id, kind: request.kind, content: { ...content, ...changes }, arrays };
  const whole = { ...message, milliseconds: 6, ...(partial && { partial }) };
  model.trigger("msg:custom", [whole, [new DataView(buffer)]]);
}

const traits = (changes: object) => ({
  ...{ sample: 0, colormap: "Blues", picked: [0], page: 0, per_page: 12, size: null },
  ...{ order: "index", descending: false, label: null, prediction: null, wrong_only: false },
  ...{ sample_count: 30, colormaps: [], can_append: false },
  ...changes,
});

async function show(changes: object = {}, made = new FakeGallery()): Promise<void> {
  kernel = made;
  model = new FakeModel(traits(changes));
  model.kernel = (request) => setTimeout(() => (held === null ? reply(request) : held.push(request)));
  close = widget.render({ model, el });
  if (held === null) {
    await vi.waitFor(() => expect(cells().length).toBeGreaterThan(0));
    await settled();
  }
}

function press(target: HTMLElement, key: string, keys: KeyboardEventInit = {}): void {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...keys }));
}

function click(target: HTMLElement, keys: MouseEventInit = {}): void {
  target.dispatchEvent(new MouseEvent("click", { bubbles: true, ...keys }));
}

beforeAll(stubCanvas);

beforeEach(() => {
  held = null;
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  close();
  el.remove();
});

describe("a page", () => {
  it("is one request, and each picture is drawn pixel by pixel", async () => {
    await show({ page: 1 });
    expect(model.sent.map(({ kind }) => kind).filter((kind) => kind !== "ping")).toEqual(["page"]);
    expect(shownIndices()).toEqual([12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]);
    for (const index of [12, 23]) {
      const image = drawn.get(cell(index).querySelector("canvas") as HTMLCanvasElement) as ImageData;
      const grey = FakeGallery.grey(index);
      expect([image.width, image.height]).toEqual([4, 4]);
      expect([...image.data.slice(-4)]).toEqual([grey, grey, grey, 255]);
    }
  });

  it("marks what is wrong by a sign and in words", async () => {
    await show();
    expect(cell(3).textContent).toContain("✗ 0 → 1");
    expect(cell(3).getAttribute("aria-label")).toBe(
      "image 3 · label 0 · predicted 1 (wrong) · probability 0.625 · loss 0.375",
    );
    expect(cell(2).textContent).toBe("20.63");
    expect(el.querySelectorAll(".xw-wrong")).toHaveLength(3);
  });

  it("shows pictures at once and predictions as they come", async () => {
    held = [];
    await show();
    await vi.waitFor(() => expect(held).toHaveLength(1));
    const [request] = held as [Request];
    const nothing = Array<null>(12).fill(null);
    reply(request, { predictions: nothing, progress: "predicted 0 of 12", share: 0 }, true);
    await vi.waitFor(() => expect(cells()).toHaveLength(12));
    expect(cell(3).textContent).toBe("0…");
    expect(root().dataset.state).toBe("busy");
    // The last part brings no pictures: those that are there stay.
    const { content } = kernel.answer("page", request.selection);
    const last = { id: request.id, kind: "page", content, arrays: {}, milliseconds: 6 };
    model.trigger("msg:custom", [last, [new DataView(new ArrayBuffer(0))]]);
    await settled();
    expect(cell(3).textContent).toContain("0 → 1");
    expect(cell(3).querySelector("canvas")).not.toBeNull();
    expect(el.querySelector(".xw-footer")?.textContent).toContain("192 B");
  });

  it("shows texts as text, never as markup", async () => {
    await show({}, new FakeGallery(2, null, ["<b>bold</b>", "plain"]));
    expect(cell(0).textContent).toContain("<b>bold</b>");
    expect(cell(0).querySelector(".xw-excerpt b")).toBeNull();
  });
});

describe("picking", () => {
  it("with a click picks one, with Ctrl and Shift several", async () => {
    await show();
    click(cell(4));
    expect([model.traits.sample, model.traits.picked]).toEqual([4, [4]]);
    click(cell(6), { ctrlKey: true });
    expect([model.traits.sample, model.traits.picked]).toEqual([6, [4, 6]]);
    click(cell(8), { shiftKey: true });
    expect(model.traits.picked).toEqual([4, 6, 7, 8]);
    click(cell(8), { ctrlKey: true });
    expect([model.traits.sample, model.traits.picked]).toEqual([7, [4, 6, 7]]);
    await vi.waitFor(() => expect(cell(7).getAttribute("aria-selected")).toBe("true"));
    expect(cell(8).getAttribute("aria-selected")).toBe("false");
    expect(model.ofKind("page")).toHaveLength(1); // nothing has to be read for it
  });

  it("goes by keys: arrows move, Enter and space pick", async () => {
    await show();
    const start = cell(0);
    start.focus();
    press(start, "ArrowRight");
    press(document.activeElement as HTMLElement, "ArrowRight");
    expect(document.activeElement).toBe(cell(2));
    expect(model.traits.sample).toBe(0);
    await vi.waitFor(() => expect(cell(2).tabIndex).toBe(0));
    press(cell(2), "Enter");
    expect(model.traits.picked).toEqual([2]);
    press(cell(2), "End", { ctrlKey: true });
    await vi.waitFor(() => expect(cell(11).tabIndex).toBe(0));
    press(cell(11), " ", { ctrlKey: true });
    expect(model.traits.picked).toEqual([2, 11]);
    expect(cells().filter(({ tabIndex }) => tabIndex === 0)).toHaveLength(1);
    press(cell(11), "PageDown");
    await vi.waitFor(() => expect(shownIndices()[0]).toBe(12));
  });

  it("leaves Shift+Enter to the notebook", async () => {
    await show();
    const heard = vi.fn();
    el.addEventListener("keydown", heard);
    press(cell(1), "Enter", { shiftKey: true });
    expect(heard).toHaveBeenCalledOnce();
    expect(model.traits.picked).toEqual([0]);
    press(cell(1), " ");
    expect(heard).toHaveBeenCalledOnce();
  });

  it("elsewhere turns to the page of the sample", async () => {
    await show();
    model.set("sample", 17);
    await vi.waitFor(() => expect(shownIndices()[0]).toBe(12));
    expect(model.traits.page).toBe(1);
  });
});

describe("looking at others", () => {
  it("begins at the first page and carries the whole view", async () => {
    await show({ page: 2 });
    const box = [...el.querySelectorAll<HTMLInputElement>('input[type="checkbox"]')].at(
      -1,
    ) as HTMLInputElement;
    box.click();
    await vi.waitFor(() => expect(shownIndices()).toEqual([3, 7, 11, 15, 19, 23, 27]));
    expect(model.traits).toMatchObject({ wrong_only: true, page: 0 });
    expect(lastAsked()).toMatchObject({ page: 0, view: { wrong_only: true, order: "index" } });
    const label = el.querySelector('select[aria-label="Label"]') as HTMLSelectElement;
    label.value = "1";
    label.dispatchEvent(new Event("change", { bubbles: true }));
    expect(model.traits.label).toBe(1);
    label.value = "any";
    label.dispatchEvent(new Event("change", { bubbles: true }));
    expect(model.traits.label).toBe(null);
  });

  it("shows the last page where fewer are left", async () => {
    await show();
    model.set("page", 9);
    await vi.waitFor(() => expect(shownIndices()).toEqual([24, 25, 26, 27, 28, 29]));
    await settled();
    expect(model.traits.page).toBe(2);
    expect(button("Next page").disabled).toBe(true);
  });

  it("says how far it is, can be stopped, and shows what was read", async () => {
    await show();
    held = [];
    model.set("order", "loss");
    await vi.waitFor(() => expect(held).toHaveLength(1));
    const [request] = held as [Request];
    const content = { progress: "predicted 340 of 1,797", share: 0.19 };
    const part = { id: request.id, kind: "page", content, arrays: {}, milliseconds: 6, partial: true };
    model.trigger("msg:custom", [part, [new DataView(new ArrayBuffer(0))]]);
    await vi.waitFor(() => expect(root().textContent).toContain("predicted 340 of 1,797"));
    expect(el.querySelector("progress")?.value).toBeCloseTo(0.19);
    held = null;
    named("Stop").click();
    expect(model.ofKind("stop").at(-1)?.selection).toEqual({ id: request.id });
    const stopped = { id: request.id, kind: "page", content: { stopped: true }, arrays: {}, milliseconds: 0 };
    model.trigger("msg:custom", [stopped, []]);
    await vi.waitFor(() => expect(el.querySelector("h3")?.textContent).toBe("what was read"));
    expect(lastAsked()).toMatchObject({ goes_on: false, view: { order: "loss" } });
    // Other pages of it do not begin anew; that is asked for.
    button("Next page").click();
    await settled();
    expect(lastAsked()).toMatchObject({ goes_on: false, page: 1 });
    named("Go on").click();
    await settled();
    expect(lastAsked().goes_on).toBe(true);
    expect(named("Go on")).toBeUndefined();
  });

  it("reads data of unknown length on, by the next page or when asked to", async () => {
    await show({}, new FakeGallery(0, 12));
    button("Next page").click();
    await vi.waitFor(() => expect(shownIndices()[0]).toBe(12));
    await settled();
    expect(named("Read more")).toBeUndefined();
    model.set("descending", true);
    await vi.waitFor(() => expect(named("Read more")).toBeDefined());
    await settled();
    named("Read more").click();
    await settled();
    expect(lastAsked().read).toBe(36);
  });
});

describe("sizes", () => {
  it("of small images are whole multiples of their pixels", () => {
    expect(shownSize([28, 28], 96)).toEqual({ size: [84, 84], repeated: 3 });
    expect(shownSize([8, 8], 96)).toEqual({ size: [96, 96], repeated: 12 });
    expect(shownSize([427, 640], 192).size).toEqual([427 * 0.3, 192]);
    expect(shownSize([64, 64], 96)).toEqual({ size: [96, 96], repeated: 1 });
  });

  it("are asked for again only where pixels are missing", () => {
    const page = (size: [number, number], of: [number, number]) =>
      ({ pixels: 192, cards: [{ thumbnail: { place: 0, size, of } }] }) as unknown as Page;
    expect(isSharp(page([128, 192], [427, 640]), 96)).toBe(true);
    expect(isSharp(page([128, 192], [427, 640]), 320)).toBe(false);
    expect(isSharp(page([28, 28], [28, 28]), 320)).toBe(true);
  });

  it("leave arrow keys within the cards", () => {
    const key = (name: string) => new KeyboardEvent("keydown", { key: name });
    expect(moved(0, 10, 4, key("ArrowUp"))).toBe(0);
    expect(moved(1, 10, 4, key("ArrowDown"))).toBe(5);
    expect(moved(7, 10, 4, key("ArrowDown"))).toBe(7);
    expect(moved(9, 10, 4, key("ArrowRight"))).toBe(9);
    expect(moved(6, 10, 4, key("Home"))).toBe(4);
    expect(moved(9, 10, 4, key("End"))).toBe(9);
    expect(moved(9, 10, 4, key("x"))).toBe(null);
    expect(rangeBetween([5, 3, 9, 1], 9, 5)).toEqual([5, 3, 9]);
    expect(rangeBetween([5, 3], 8, 5)).toEqual([5]);
  });
});
