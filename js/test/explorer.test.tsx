import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../src/explorers/attention";
import type { HeadSelection } from "../src/explorers/attention/types";
import type { Request } from "../src/kernel/messages";
import { drawn, stubCanvas } from "./canvas";
import { FakeKernel } from "./fake-kernel";
import { FakeModel, traits } from "./fake-model";

let kernel: FakeKernel;
let model: FakeModel;
let el: HTMLElement;
let close: () => void;

const settled = () => vi.waitFor(() => expect(root().dataset.state).not.toBe("busy"));
const root = () => el.querySelector(".xw-explorer") as HTMLElement;
const matrix = () => el.querySelector('canvas[aria-label^="Attention matrix"]') as HTMLCanvasElement;
const selectionDrawn = (): HeadSelection => JSON.parse(matrix().dataset.selection as string);
const slider = (label: string) => el.querySelector(`input[aria-label="${label}"]`) as HTMLInputElement;
const alert = () => (el.querySelector('[role="alert"]') as HTMLElement).textContent;
const text = (selector: string) => el.querySelector(selector)?.textContent ?? "";
const segment = (value: string) => el.querySelector(`input[value="${value}"]`) as HTMLInputElement;

function answer(request: Request): void {
  setTimeout(() => {
    const { content, arrays, buffer } = kernel.answer(request.kind, request.selection);
    const message = { id: request.id, kind: request.kind, content, arrays, milliseconds: 6 };
    model.trigger("msg:custom", [message, [new DataView(buffer)]]);
  });
}

function slide(label: string, value: number): void {
  slider(label).value = String(value);
  slider(label).dispatchEvent(new Event("input", { bubbles: true }));
}

async function show(changes: Record<string, unknown> = {}, made = new FakeKernel()): Promise<void> {
  kernel = made;
  model = new FakeModel(traits({ sample_count: kernel.lengths.length, ...changes }));
  model.kernel = answer;
  close = widget.render({ model, el });
  await vi.waitFor(() => expect(matrix()?.dataset.selection).toBeDefined());
  await settled();
}

beforeAll(stubCanvas);

beforeEach(() => {
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  close();
  el.remove();
});

describe("the first picture", () => {
  it("is drawn one pixel a cell, in the colours of the table", async () => {
    await show();
    const image = drawn.get(matrix()) as ImageData;
    const weights = kernel.weights(0, 2, 7);
    const largest = Math.max(...weights);
    const table = new Uint8Array(kernel.answer("colormap", { name: "Blues" }).buffer);
    expect([image.width, image.height]).toEqual([28, 28]);
    for (const cell of [0, 27, 100, 28 * 22 + 5, 783]) {
      const byte = Math.round((254 * (weights[cell] as number)) / largest);
      expect([...image.data.slice(cell * 4, cell * 4 + 3)]).toEqual([...table.slice(byte * 3, byte * 3 + 3)]);
    }
  });

  it("says what it shows, of what and how", async () => {
    await show();
    expect(text(".xw-view h3")).toBe("encoder.layer.2.attention.self · head 7 · 28 × 28");
    expect(text(".xw-reading h3")).toBe("From “it” (query 22)");
    expect(text(".xw-statistics")).toContain("1.59 bits");
    expect(text(".xw-footer")).toMatch(/sdpa.*uint8 of 0….*1\.0 kB · 6 ms/);
    const row = kernel.weights(0, 2, 7).slice(22 * 28, 23 * 28);
    expect(text(".xw-strongest li .xw-number")).toBe(Math.max(...row).toFixed(3));
    expect(selectionDrawn()).toMatchObject({ sample: 0, layer: 2, head: 7 });
  });
});

describe("moving a control", () => {
  it("of the head sets the trait and redraws everything from one request", async () => {
    await show();
    const before = model.sent.length;
    slide("Head", 3);
    expect(model.traits.head).toBe(3);
    expect(model.saved).toBe(0); // not ahead of the request: the picture would wait for it
    await vi.waitFor(() => expect(selectionDrawn().head).toBe(3));
    await settled();
    expect(model.saved).toBe(1);
    const kinds = model.sent.slice(before).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind !== "ping")).toEqual(["head"]);
    expect(text(".xw-overview > div + div h3")).toBe("Layer 2 · head 3");
    const row = kernel.weights(0, 2, 3).slice(22 * 28, 23 * 28);
    expect(text(".xw-strongest li .xw-number")).toBe(Math.max(...row).toFixed(3));
  });

  it("quickly ends at the newest position without asking for those between", async () => {
    await show();
    const before = model.ofKind("head").length;
    for (const head of [1, 2, 3, 4, 5, 6, 8, 9, 10]) slide("Head", head);
    await vi.waitFor(() => expect(selectionDrawn().head).toBe(10));
    const asked = model.ofKind("head").slice(before);
    expect(asked.map(({ selection }) => (selection as HeadSelection).head)).toEqual([1, 10]);
  });

  it("to a neighbour is drawn at once, from what was read ahead, and checked", async () => {
    await show();
    await vi.waitFor(() => expect(model.ofKind("ahead")).toHaveLength(2));
    await settled();
    model.kernel = null; // the kernel is silent from here on
    for (const head of [8, 6]) {
      slide("Head", head);
      await vi.waitFor(() => expect(selectionDrawn().head).toBe(head));
      const row = kernel.weights(0, 2, head).slice(22 * 28, 23 * 28);
      expect(text(".xw-strongest li .xw-number")).toBe(Math.max(...row).toFixed(3));
    }
    expect(model.ofKind("head").at(-1)?.selection).toMatchObject({ head: 8, known: 1 });
    slide("Head", 3); // nobody has read this one
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(selectionDrawn().head).toBe(6);
  });

  it("to the head under the pointer is read ahead as well", async () => {
    await show();
    await vi.waitFor(() => expect(model.ofKind("ahead")).toHaveLength(2));
    const grid = el.querySelector('canvas[role="grid"]') as HTMLCanvasElement;
    grid.getBoundingClientRect = () => new DOMRect(0, 0, 120, 60);
    grid.dispatchEvent(new MouseEvent("pointermove", { bubbles: true, clientX: 35, clientY: 45 }));
    await vi.waitFor(() => expect(model.ofKind("ahead")).toHaveLength(3));
    expect(model.ofKind("ahead").at(-1)?.selection).toMatchObject({ layer: 4, head: 3 });
  });

  it("to heads without a thumbnail works, which are said to have none", async () => {
    await show();
    expect(el.textContent).not.toContain("Hatched");
    await settled();
    kernel.unread = [4];
    segment("log").click();
    await vi.waitFor(() => expect(el.textContent).toContain("Hatched: computed once it is picked."));
    const grid = el.querySelector('canvas[role="grid"]') as HTMLCanvasElement;
    grid.getBoundingClientRect = () => new DOMRect(0, 0, 120, 60);
    const point = (clientY: number) =>
      grid.dispatchEvent(new MouseEvent("pointermove", { bubbles: true, clientX: 35, clientY }));
    point(45);
    expect(grid.title).toContain("computed once it is picked");
    point(25);
    expect(grid.title).toBe("");
  });

  it("to a head that was read ahead of a changed model shows the model as it is", async () => {
    await show();
    await vi.waitFor(() => expect(model.ofKind("ahead")).toHaveLength(2));
    await settled();
    const grids = model.ofKind("grid").length;
    kernel.revision = 2;
    const old = kernel.weights(0, 2, 8);
    kernel.weights = () => old.slice().reverse();
    slide("Head", 8);
    const row = old
      .slice()
      .reverse()
      .slice(22 * 28, 23 * 28);
    await vi.waitFor(() => expect(text(".xw-strongest li .xw-number")).toBe(Math.max(...row).toFixed(3)));
    await vi.waitFor(() => expect(model.ofKind("grid")).toHaveLength(grids + 1));
  });

  it("of the scale asks for grid and head, of the colours for a table only", async () => {
    await show();
    let before = model.sent.length;
    segment("log").click();
    await vi.waitFor(() => expect(selectionDrawn().scale).toBe("log"));
    await settled();
    const kinds = () =>
      model.sent
        .slice(before)
        .map(({ kind }) => kind)
        .filter((kind) => kind !== "ping");
    expect(kinds().sort()).toEqual(["grid", "head"]);
    before = model.sent.length;
    model.set("colormap", "viridis");
    await settled();
    await vi.waitFor(() => expect(kinds()).toEqual(["colormap"]));
  });

  it("stays, also when the kernel echoes what was saved before it", async () => {
    await show();
    slide("Head", 3);
    model.set("head", 5); // the echo of an earlier place
    await vi.waitFor(() => expect(selectionDrawn().head).toBe(3));
    await settled();
    await vi.waitFor(() => expect(model.saved).toBe(1));
    expect([slider("Head").value, model.traits.head]).toEqual(["3", 3]);
    model.set("head", 5); // from Python
    await vi.waitFor(() => expect(selectionDrawn().head).toBe(5));
  });

  it("from Python moves the widget, several traits with one request", async () => {
    await show();
    const before = model.ofKind("head").length;
    model.set("layer", 4);
    model.set("head", "mean");
    await vi.waitFor(() => expect(selectionDrawn()).toMatchObject({ layer: 4, head: "mean" }));
    expect(model.ofKind("head").length).toBe(before + 1);
    expect(slider("Layer").value).toBe("4");
    expect(text(".xw-view h3")).toContain("mean of heads");
  });

  it("of the sample clamps the query to what the sample has", async () => {
    await show();
    slide("Sample", 1);
    await vi.waitFor(() => expect(selectionDrawn().sample).toBe(1));
    expect(model.traits.query).toBe(11);
    expect(text(".xw-view h3")).toContain("12 × 12");
  });
});

describe("picking", () => {
  it("with arrow keys in the grid moves head and layer", async () => {
    await show();
    const grid = el.querySelector('[role="grid"]') as HTMLElement;
    expect(grid.getAttribute("aria-label")).toMatch(/^All heads: layer 2, head 7 is picked/);
    grid.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    await vi.waitFor(() => expect(selectionDrawn().head).toBe(8));
    grid.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true }));
    await vi.waitFor(() => expect(selectionDrawn()).toMatchObject({ layer: 1, head: 8 }));
  });

  it("a token of the reading makes it the query", async () => {
    await show();
    (el.querySelector('.xw-reading [data-position="3"]') as HTMLElement).click();
    await vi.waitFor(() => expect(text(".xw-reading h3")).toBe("From “did” (query 3)"));
    expect(model.traits.query).toBe(3);
  });

  it("reads a cell exactly: nothing until the row is here, then the number itself", async () => {
    await show();
    let row: Request | undefined;
    model.kernel = (request) => {
      if (request.kind === "row") row = request;
      else answer(request);
    };
    const viewport = el.querySelector(".xw-viewport") as HTMLElement;
    viewport.getBoundingClientRect = () => new DOMRect(0, 0, 280, 280);
    viewport.dispatchEvent(new PointerEvent("pointermove", { clientX: 55, clientY: 33, bubbles: true }));
    await vi.waitFor(() => expect(text(".xw-readout")).toBe("“did” (3) → “cross” (5) …"));
    answer(row as Request);
    const weight = kernel.weights(0, 2, 7)[3 * 28 + 5] as number;
    await vi.waitFor(() => expect(text(".xw-readout b")).toBe(String(Number(weight.toPrecision(6)))));
    viewport.dispatchEvent(new PointerEvent("pointermove", { clientX: 95, clientY: 33, bubbles: true }));
    await vi.waitFor(() => expect(text(".xw-readout")).toContain("(9)"));
    expect(model.ofKind("row").length).toBe(1);
  });

  it("the other direction shows who looks", async () => {
    await show();
    segment("to").click();
    await vi.waitFor(() => expect(text(".xw-reading h3")).toBe("To “it” (key 22)"));
    const column = Array.from(
      { length: 28 },
      (_, query) => kernel.weights(0, 2, 7)[query * 28 + 22] as number,
    );
    expect(text(".xw-strongest li .xw-number")).toBe(Math.max(...column).toFixed(3));
  });
});

describe("long texts", () => {
  it("are asked for in at most 512 cells a side, and closer when zoomed in", async () => {
    await show({ query: 0, layer: 0, head: 0 }, new FakeKernel([1100], 1, 2));
    const asked = () => model.ofKind("head").at(-1)?.selection as HeadSelection;
    expect(asked()).toMatchObject({ rows: null, keys: null, size: [512, 512] });
    expect(text(".xw-footer")).toContain("weights per pixel");
    for (let step = 0; step < 3; step += 1) {
      (el.querySelector('[aria-label="Zoom in"]') as HTMLElement).click();
      await settled();
    }
    await vi.waitFor(() => expect(asked().rows).not.toBeNull());
    await settled();
    expect((asked().rows as [number, number])[1] - (asked().rows as [number, number])[0]).toBe(512);
    expect(drawn.get(matrix())?.width).toBe(512);
    const before = model.ofKind("head").length;
    (el.querySelector('[aria-label="Show all"]') as HTMLElement).click();
    await vi.waitFor(() => expect(model.ofKind("head").length).toBe(before + 1));
  });
});

describe("what goes wrong", () => {
  it("is said in one sentence, the picture stays, and the next good answer ends it", async () => {
    await show();
    model.kernel = ({ id, kind }) =>
      model.trigger("msg:custom", [{ id, kind, error: "Out of memory: ask for less." }, []]);
    slide("Head", 3);
    await vi.waitFor(() => expect(alert()).toBe("Out of memory: ask for less."));
    expect(selectionDrawn().head).toBe(7);
    expect(slider("Head").disabled).toBe(false);
    model.kernel = answer;
    slide("Head", 4);
    await vi.waitFor(() => expect(selectionDrawn().head).toBe(4));
    expect(alert()).toBe("");
  });

  it("a long input is shown as a preview that says so, until it is exact or stopped", async () => {
    await show();
    const send = (request: Request, progress: string, partial: boolean) => {
      const { content, arrays, buffer } = kernel.answer("head", request.selection);
      const message = {
        id: request.id,
        kind: "head",
        content: { ...content, progress },
        arrays,
        milliseconds: 6,
      };
      model.trigger("msg:custom", [partial ? { ...message, partial } : message, [new DataView(buffer)]]);
    };
    model.kernel = null;
    slide("Head", 3);
    const asked = model.ofKind("head").at(-1) as Request;
    send(asked, "preview from 1 of 64 queries, 25 % refined", true);
    await vi.waitFor(() => expect(selectionDrawn().head).toBe(3));
    expect(text(".xw-status")).toContain("preview from 1 of 64 queries, 25 % refined");
    expect((el.querySelector("progress") as HTMLProgressElement).value).toBe(25);
    const stop = el.querySelector(".xw-status button") as HTMLButtonElement;
    stop.click();
    await vi.waitFor(() => expect(text(".xw-status")).toMatch(/^Stopped: preview/));
    expect(model.ofKind("stop").at(-1)?.selection).toEqual({ id: asked.id });
    model.trigger("msg:custom", [{ id: asked.id, kind: "head", content: { stopped: true }, arrays: {} }, []]);
    (el.querySelector(".xw-status button") as HTMLButtonElement).click(); // go on
    await vi.waitFor(() => expect(model.ofKind("head").at(-1)).not.toBe(asked));
    send(model.ofKind("head").at(-1) as Request, "", false);
    await vi.waitFor(() => expect(text(".xw-status")).toBe(""));
  });

  it("a waiting kernel says why", async () => {
    await show();
    model.kernel = ({ id, kind }) =>
      model.trigger("msg:custom", [{ id, kind, waiting: "The model runs when the cell is done." }, []]);
    slide("Head", 3);
    const status = () => text(".xw-status");
    await vi.waitFor(() => expect(status()).toBe("The model runs when the cell is done."));
    answer(model.ofKind("head").at(-1) as Request);
    await vi.waitFor(() => expect(selectionDrawn().head).toBe(3));
    expect(status()).toBe("");
  });

  it("a lost kernel leaves the last picture and dead controls, and can come back", async () => {
    await show();
    model.trigger("comm_live_update", [], { model: { comm_live: false } });
    await vi.waitFor(() => expect(root().dataset.state).toBe("lost"));
    expect(alert()).toMatch(/^The kernel is gone.*run the cell again\.$/);
    expect(slider("Head").disabled).toBe(true);
    expect(selectionDrawn().head).toBe(7);
    model.trigger("comm_live_update", [], { model: { comm_live: true } });
    await vi.waitFor(() => expect(root().dataset.state).toBe("ready"));
    expect(slider("Head").disabled).toBe(false);
    expect(alert()).toBe("");
  });

  it("new tokens of a generation are told from the prompt", async () => {
    const made = new FakeKernel();
    const sample = made.sample.bind(made);
    made.sample = (index, padding) => {
      const content = sample(index, padding);
      content.tokens.input = (content.tokens.input ?? []).map(([text, raw], position) => [
        ...([text, raw, 0, 0] as const),
        position < 20 ? 0 : 1,
      ]);
      return { ...content, layers: content.layers.map((layer) => ({ ...layer, prompt: 20 })) };
    };
    await show({}, made);
    expect(el.querySelectorAll(".xw-begins")).toHaveLength(2);
    const tokens = [...el.querySelectorAll(".xw-reading .xw-token")];
    expect(tokens.map((token) => token.classList.contains("xw-generated"))).toEqual(
      tokens.map((_, position) => position >= 20),
    );
    expect((tokens.at(-1) as HTMLElement).title).toContain("generated");
  });

  it("patches lie on the picture, are picked there, and what is not looked at stays visible", async () => {
    const made = new FakeKernel([17]);
    const sample = made.sample.bind(made);
    const grid = { start: 1, height: 4, width: 4, image_height: 4, image_width: 3 };
    made.sample = (index, padding) => {
      const content = sample(index, padding);
      const patches = { query_tokens: null, key_tokens: null, query_grid: grid, key_grid: grid };
      return {
        ...content,
        tokens: {},
        layers: content.layers.map((layer) => ({ ...layer, ...patches })),
      };
    };
    await show({ query: 6 }, made);
    expect(text(".xw-reading h3")).toBe("From “1,1” (query 6)");
    const canvas = (label: string) => el.querySelector(`canvas[aria-label="${label}"]`) as HTMLCanvasElement;
    const picture = drawn.get(canvas("Picture of the sample")) as ImageData;
    expect([picture.width, picture.data[0], picture.data[4]]).toEqual([8, 200, 190]);
    const row = kernel.weights(0, 2, 7).slice(6 * 17, 7 * 17);
    const patches = row.slice(1);
    const overlay = drawn.get(canvas("Weights on the picture")) as ImageData;
    expect([overlay.width, overlay.height]).toEqual([3, 4]);
    for (const [y, x] of [
      [0, 0],
      [2, 1],
      [3, 2],
    ] as const) {
      const expected = Math.round((255 * (patches[4 * y + x] as number)) / Math.max(...patches));
      expect(overlay.data[4 * (3 * y + x) + 3]).toBe(expected);
    }
    // The class token is no patch; it is there to pick as well.
    expect(text(".xw-reading .xw-token")).toBe("class");
    const box = el.querySelector(".xw-image-box") as HTMLElement;
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
    await vi.waitFor(() => expect(model.traits.query).toBe(10));
    slide("Opacity", 25);
    await vi.waitFor(() => expect(canvas("Weights on the picture").style.opacity).toBe("0.25"));
    expect(text(".xw-reading")).toContain("pads it to 4 × 4 patches");
  });

  it("an ablated head is named, what changes is told, and it is put back", async () => {
    await show();
    const button = (name: string) =>
      [...el.querySelectorAll("button")].find((one) => one.textContent === name) as HTMLButtonElement;
    button("Ablate head").click();
    await vi.waitFor(() => expect(text(".xw-ablation")).toContain("0.98714"));
    expect(model.traits.ablated).toEqual([[2, 7, "zero"]]);
    expect(model.ofKind("head").at(-1)?.selection).toMatchObject({ lens: { ablated: [[2, 7, "zero"]] } });
    expect(text(".xw-ablation")).toContain("Layer 2 · head 7");
    const crossedOut = () => el.querySelectorAll<HTMLElement>(".xw-grid .xw-crossed-out");
    expect(crossedOut()).toHaveLength(1);
    expect(crossedOut()[0]?.style.left).toBe(`${(100 * 7) / 12}%`);
    expect(el.querySelector(".xw-grid canvas")?.getAttribute("aria-label")).toContain(
      "without layer 2, head 7",
    );
    expect(text(".xw-ablation")).toContain("“it” (22)");
    const cells = [...el.querySelectorAll(".xw-change tbody tr")].map((row) => row.textContent);
    expect(cells).toEqual(["cat0.7500.400", "dog0.2500.600"]);
    expect(button("Put head back").getAttribute("aria-pressed")).toBe("true");
    const how = el.querySelector(".xw-ablation select") as HTMLSelectElement;
    how.value = "mean";
    how.dispatchEvent(new Event("change", { bubbles: true }));
    await vi.waitFor(() => expect(model.traits.ablated).toEqual([[2, 7, "mean"]]));
    slide("Head", 3);
    await vi.waitFor(() => expect(selectionDrawn().head).toBe(3));
    button("Ablate head").click();
    await vi.waitFor(() => expect(text(".xw-ablation h3")).toBe("Without these 2 heads"));
    button("Put all back").click();
    await vi.waitFor(() => expect(model.traits.ablated).toEqual([]));
    await settled();
    expect(el.querySelector(".xw-ablation")).toBeNull();
    expect(crossedOut()).toHaveLength(0);
  });

  it("what is shown of the weights is asked for with everything, words as other positions", async () => {
    await show();
    const pickIn = (label: string, value: string) => {
      const picker = el.querySelector(`select[aria-label="${label}"]`) as HTMLSelectElement;
      picker.value = value;
      picker.dispatchEvent(new Event("change", { bubbles: true }));
    };
    const samples = () => model.ofKind("sample").length;
    const before = samples();
    pickIn("Show", "value-weighted");
    await vi.waitFor(() => expect(selectionDrawn().lens.measure).toBe("value-weighted"));
    for (const kind of ["head", "grid"]) {
      expect(model.ofKind(kind).at(-1)?.selection).toMatchObject({ lens: { measure: "value-weighted" } });
    }
    expect(samples()).toBe(before);
    pickIn("By", "words");
    await vi.waitFor(() => expect(selectionDrawn().lens.units).toBe("words"));
    expect(samples()).toBe(before + 1);
    expect(model.ofKind("sample").at(-1)?.selection).toMatchObject({ lens: { units: "words" } });
  });

  it("text of the user is never markup", async () => {
    const evil = '<img src=x onerror="window.hacked=1">';
    const made = new FakeKernel();
    const sample = made.sample.bind(made);
    made.sample = (index, padding) => {
      const content = sample(index, padding);
      content.tokens.input = (content.tokens.input ?? []).map(() => [evil, evil, 0, 0, 0]);
      return content;
    };
    await show({}, made);
    for (const view of ["lines", "text", "matrix"]) {
      segment(view).click();
      await vi.waitFor(() => expect(model.traits.view).toBe(view));
    }
    expect(text(".xw-reading")).toContain(evil);
    expect(el.querySelector("img")).toBeNull();
  });
});

describe("searching for a token", () => {
  const search = async (wanted: string) => {
    const box = el.querySelector('input[aria-label="Find token"]') as HTMLInputElement;
    box.value = wanted;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    await vi.waitFor(() => expect(box.form?.querySelector("button")?.disabled).toBe(false));
    box.form?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
    await settled();
  };

  it("picks one after the other, also over several tokens, and says how many there are", async () => {
    await show({ query: 0 });
    for (const [query, place] of [
      [1, "1 of 4"],
      [6, "2 of 4"],
      [15, "3 of 4"],
    ] as const) {
      await search("the");
      expect(model.traits.query).toBe(query);
      expect(text(".xw-found")).toBe(place);
    }
    await search("Of the car");
    expect(model.traits.query).toBe(17);
    await search("nowhere");
    expect(text(".xw-found")).toBe("not found");
    expect(model.traits.query).toBe(17);
  });

  it("moves a long input's matrix there, closely", async () => {
    await show({ query: 0, layer: 0, head: 0 }, new FakeKernel([600], 1, 2));
    await search("moved");
    expect(model.traits.query).toBe(24);
    await vi.waitFor(() => expect(selectionDrawn().rows).not.toBeNull());
    const { rows, keys } = selectionDrawn();
    expect(rows).toEqual(keys);
    expect(rows?.[0]).toBeLessThanOrEqual(24);
    expect(rows?.[1]).toBeLessThanOrEqual(512);
  });
});

describe("what belongs to some samples only", () => {
  it("is the switch for padding, which asks for the sample anew", async () => {
    await show({}, new FakeKernel([28, 28], 2, 4, 5));
    const box = () => el.querySelector('input[type="checkbox"]') as HTMLInputElement;
    expect(text(".xw-view h3")).toContain("23 × 23");
    box().click();
    await vi.waitFor(() => expect(text(".xw-view h3")).toContain("28 × 28"));
    expect(model.ofKind("sample").at(-1)?.selection).toMatchObject({ sample: 0, padding: true });
    expect(model.ofKind("head").at(-1)?.selection).toMatchObject({ padding: true });
  });

  it("is the box for a new sentence, which picks what it made", async () => {
    await show({ can_append: true });
    expect(text(".xw-bar")).not.toContain("Show padding");
    const box = el.querySelector('input[aria-label="New sentence"]') as HTMLInputElement;
    box.value = "the cat sat";
    box.dispatchEvent(new Event("input", { bubbles: true }));
    await vi.waitFor(() => expect(box.form?.querySelector("button")?.disabled).toBe(false));
    box.form?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
    await vi.waitFor(() => expect(selectionDrawn().sample).toBe(2));
    expect(model.traits.sample).toBe(2);
  });
});

describe("the end of a view", () => {
  it("undoes everything, by the signal or by the returned function", async () => {
    await show();
    expect(model.listening).toBeGreaterThan(0);
    close();
    expect(model.listening).toBe(0);
    expect(el.childElementCount).toBe(0);
    const controller = new AbortController();
    widget.render({ model, el, signal: controller.signal });
    controller.abort();
    expect(model.listening).toBe(0);
    expect(el.childElementCount).toBe(0);
  });

  it("two views of one model answer to their own requests only", async () => {
    await show();
    const other = document.createElement("div");
    document.body.append(other);
    const closeOther = widget.render({ model, el: other });
    await vi.waitFor(() =>
      expect(other.querySelector(".xw-explorer")?.getAttribute("data-state")).toBe("ready"),
    );
    expect(new Set(model.ofKind("sample").map(({ id }) => id.split(":")[0])).size).toBe(2);
    closeOther();
    other.remove();
    expect(selectionDrawn().head).toBe(7);
  });
});
