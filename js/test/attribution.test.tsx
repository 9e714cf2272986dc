import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../src/explorers/attribution";
import { sortedBars } from "../src/explorers/attribution/picture-panel";
import type { Request } from "../src/kernel/messages";
import { lengths } from "../src/marks/bars";
import { colourOf } from "../src/marks/score-text";
import { stubCanvas } from "./canvas";
import { pack, type Reply } from "./fake-kernel";
import { FakeModel } from "./fake-model";

const METHODS = [
  ["gradient", "Gradient", false, []],
  [
    "occlusion",
    "Occlusion",
    false,
    [
      { name: "strides", title: "strides", kind: "integer", default: null, low: 1, high: null, choices: [] },
      {
        ...{ name: "baselines", title: "baselines", kind: "choice", default: null, low: null, high: null },
        choices: ["", "zero", "sample"],
      },
    ],
  ],
  ["grad_cam", "Grad-CAM", true, []],
].map(([name, title, takes_layer, options]) => ({
  ...{ name, title, takes_layer, definition: "", source: "", reason: "" },
  options: (options as object[]).map((one) => ({ ...one, definition: "" })),
}));

const SAMPLE = {
  ...{ sample: 0, title: "sentence 0", has_image: false, classes: ["bad", "good"] },
  ...{ probabilities: [0.25, 0.75], predicted: { index: 1, name: "good", probability: 0.75 } },
  ...{ has_vocabulary: false, losses: [["mse", "loss: mean squared error"]], methods: METHODS },
  ...{ layers: [{ name: "conv", size: "2 × 4 × 4" }], tokens: [], positions: 0, footer: "" },
};

interface Asked {
  method: string;
  target: number | string | null;
  options: Record<string, unknown>;
}

const shownAs = ({ method, target }: Asked, step: number) => ({
  ...{ form: "text", title: `${method} for ${target}`, words: method, height: 1, width: 2 },
  ...{
    overlay: null,
    tokens: [
      ["good", "good", 0, 0, 0],
      ["film", "film", 0, 0, 0],
    ],
    names: [],
  },
  ...{ limit: 2, clipped: 0, statistics: [], note: "", step, steps: 2, footer: "" },
});

function answer({ kind, selection }: Request): Reply {
  const table = { data: Uint8Array.from({ length: 768 }, (_, n) => Math.floor(n / 3)), shape: [256, 3] };
  if (kind === "sample") return { content: SAMPLE, ...pack({}) };
  if (kind === "colormap") return { content: {}, ...pack({ table }) };
  if (kind.endsWith("cost")) return { content: { words: "1 with a backward" }, ...pack({}) };
  if (kind === "curves") {
    const line = { data: Float32Array.of(1, 0, 1, 0.5), shape: [2, 2] };
    const fractions = { data: Float32Array.of(0, 1), shape: [2] };
    const names = [(selection as Asked).method, "random (mean)"];
    return {
      content: {
        names,
        areas: [
          [0.5, 0.5],
          [0.75, 0.75],
        ],
        score: "probability of class 1",
        note: "",
        progress: 0.25,
      },
      ...pack({ fractions, deletion: line, insertion: line }),
    };
  }
  if (kind === "measures") {
    const rows = [{ name: "Infidelity", text: "0.5", definition: "" }];
    return { content: { rows, note: "", progress: 1 }, ...pack({}) };
  }
  const values = { data: Float32Array.of(2, -1), shape: [1, 2] };
  return { content: shownAs(selection as Asked, 2), ...pack({ values }) };
}

let model: FakeModel;
let el: HTMLElement;
let close: () => void;
let held: Request[] | null;
const HELD = ["attribution", "curves", "measures"];

const text = () => el.textContent ?? "";
const asked = (kind: string) => model.ofKind(kind).map((request) => request.selection as Asked);
const button = (name: string) =>
  [...el.querySelectorAll("button")].find(
    (found) => found.textContent === name || found.getAttribute("aria-label") === name,
  ) as HTMLButtonElement;
const picker = (name: string) => el.querySelector(`select[aria-label="${name}"]`) as HTMLSelectElement;

function pick(name: string, value: string): void {
  picker(name).value = value;
  picker(name).dispatchEvent(new Event("change", { bubbles: true }));
}

function reply(request: Request, partial = false): void {
  const { content, arrays, buffer } = answer(request);
  const message = { id: request.id, kind: request.kind, content, arrays, milliseconds: 1 };
  model.trigger("msg:custom", [{ ...message, ...(partial && { partial }) }, [new DataView(buffer)]]);
}

beforeAll(stubCanvas);

beforeEach(async () => {
  held = null;
  el = document.createElement("div");
  document.body.append(el);
  model = new FakeModel({
    ...{ sample: 0, layer: 0, method: "gradient", target: null, position: null, options: {} },
    ...{ other: null, show: "input", channels: "sum", sign: "all", clip: 99, units: "tokens" },
    ...{ compared: [], agreement_samples: 1 },
    ...{ parameter_measure: "norm", colormap: "RdBu_r", colormaps: [], sample_count: 2, can_append: false },
  });
  model.kernel = (request) =>
    setTimeout(() => (held !== null && HELD.includes(request.kind) ? held.push(request) : reply(request)));
  close = widget.render({ model, el });
  await vi.waitFor(() => expect(text()).toContain("gradient for null"));
});

afterEach(() => {
  close();
  el.remove();
});

describe("the attribution explorer", () => {
  it("picks a class from the list as the target", async () => {
    button("bad25.0 %").click();
    await vi.waitFor(() => expect(text()).toContain("gradient for 0"));
    expect(model.get("target")).toBe(0);
    expect(picker("Target").value).toBe("0");
  });

  it("drops the settings of the method before", async () => {
    pick("Method", "occlusion");
    await vi.waitFor(() => expect(text()).toContain("occlusion for null"));
    const field = el.querySelector('input[type="number"]') as HTMLInputElement;
    field.value = "3";
    field.dispatchEvent(new Event("change", { bubbles: true }));
    await vi.waitFor(() => expect(asked("attribution").at(-1)?.options).toEqual({ strides: 3 }));
    pick("Method", "gradient");
    await vi.waitFor(() => expect(asked("attribution").at(-1)?.options).toEqual({}));
  });

  it("takes the index of a sample as the baseline", async () => {
    pick("Method", "occlusion");
    await vi.waitFor(() => expect(text()).toContain("occlusion for null"));
    pick("baselines", "sample"); // another one than the sample that is shown
    await vi.waitFor(() => expect(asked("attribution").at(-1)?.options).toEqual({ baselines: 1 }));
    const field = [...el.querySelectorAll(".xw-field")].find((one) => one.textContent === "sample");
    const index = field?.querySelector("input") as HTMLInputElement;
    index.value = "7";
    index.dispatchEvent(new Event("change", { bubbles: true }));
    await vi.waitFor(() => expect(asked("attribution").at(-1)?.options).toEqual({ baselines: 7 }));
    pick("baselines", "");
    await vi.waitFor(() => expect(asked("attribution").at(-1)?.options).toEqual({}));
    expect(el.querySelectorAll(".xw-options-fields .xw-field")).toHaveLength(1);
  });

  it("offers a layer where the method takes one", async () => {
    expect(picker("Layer")).toBeNull();
    pick("Method", "grad_cam");
    await vi.waitFor(() => expect(picker("Layer")).not.toBeNull());
  });

  it("shows another method beside it, and asks for that side alone", async () => {
    button("Compare").click();
    await vi.waitFor(() => expect(asked("other")).toHaveLength(1));
    const before = asked("attribution").length;
    pick("B: method", "occlusion");
    await vi.waitFor(() => expect(text()).toContain("occlusion for null"));
    expect(asked("attribution")).toHaveLength(before);
    expect(model.get("other")).toEqual({ method: "occlusion", target: null });
  });

  it("shows how far it is, and stops", async () => {
    held = [];
    pick("Method", "occlusion");
    await vi.waitFor(() => expect(held).toHaveLength(1));
    const [request] = held as [Request];
    reply(request, true);
    await vi.waitFor(() => expect(button("Stop")).toBeTruthy());
    expect(text()).toContain("step 2 of 2");
    button("Stop").click();
    await vi.waitFor(() => expect(model.ofKind("stop").at(-1)?.selection).toEqual({ id: request.id }));
  });

  it("says what a method takes before it is begun, on either side", async () => {
    model.sent.length = 0;
    pick("Method", "occlusion");
    await vi.waitFor(() => expect(text()).toContain("occlusion for null"));
    const kinds = () => model.sent.map(({ kind }) => kind);
    expect(kinds().indexOf("cost")).toBeLessThan(kinds().indexOf("attribution"));
    button("Compare").click();
    await vi.waitFor(() => expect(kinds()).toContain("other"));
    expect(kinds().indexOf("other_cost")).toBeLessThan(kinds().indexOf("other"));
    await vi.waitFor(() => expect(text().match(/1 with a backward/g)).toHaveLength(2));
  });

  it("says what a measure waits for, and how far it is", async () => {
    held = [];
    button("Measure: Deletion and insertion").click();
    button("Measure: Infidelity, sensitivity").click();
    await vi.waitFor(() => expect(held).toHaveLength(2));
    const [curves, measures] = held as [Request, Request];
    const bar = (title: string) =>
      el.querySelector(`progress[aria-label="Progress: ${title}"]`) as HTMLProgressElement | null;
    expect(bar("Deletion and insertion")?.hasAttribute("value")).toBe(false);
    expect(bar("Infidelity, sensitivity")).toBeNull();
    expect(text()).toContain("waits for “Deletion and insertion”");
    reply(curves, true);
    await vi.waitFor(() => expect(bar("Deletion and insertion")?.value).toBe(0.25));
    expect(text()).toContain("probability of class 1 over share deleted");
    reply(curves);
    await vi.waitFor(() => expect(button("Measure: Deletion and insertion").textContent).toBe("Again"));
    expect(bar("Infidelity, sensitivity")).not.toBeNull();
    expect(text()).not.toContain("waits for");
    button("Stop: Infidelity, sensitivity").click();
    await vi.waitFor(() => expect(model.ofKind("stop").at(-1)?.selection).toEqual({ id: measures.id }));
    const stopped = { id: measures.id, kind: "measures", content: { stopped: true }, arrays: {} };
    model.trigger("msg:custom", [{ ...stopped, milliseconds: 1 }, []]);
    await vi.waitFor(() => expect(button("Measure: Infidelity, sensitivity").textContent).toBe("Measure"));
  });

  it("compares with the methods that are ticked, and forgets only what they stand beside", async () => {
    button("Measure: Deletion and insertion").click();
    button("Measure: Infidelity, sensitivity").click();
    await vi.waitFor(() => expect(text()).toContain("Area under"));
    await vi.waitFor(() => expect(text()).toContain("Infidelity0.5"));
    (el.querySelector('input[aria-label="Occlusion"]') as HTMLInputElement).click();
    await vi.waitFor(() => expect(model.get("compared")).toEqual(["occlusion"]));
    await vi.waitFor(() => expect(text()).not.toContain("Area under"));
    expect(text()).toContain("Infidelity0.5");
    button("Measure: Deletion and insertion").click();
    await vi.waitFor(() => expect(asked("curves").at(-1)).toMatchObject({ compared: ["occlusion"] }));
  });

  it("forgets what was measured when something else is shown", async () => {
    button("Measure: Deletion and insertion").click();
    await vi.waitFor(() => expect(text()).toContain("Area under"));
    pick("Sign", "absolute");
    await vi.waitFor(() => expect(text()).not.toContain("Area under"));
  });
});

describe("marks", () => {
  it("sorts bars by magnitude, what is no number first", () => {
    const bars = sortedBars(["a", "b", "c", "d"], Float32Array.of(1, -3, Number.NaN, 2));
    expect(bars.map(({ name }) => name)).toEqual(["c", "b", "d", "a"]);
  });

  it("makes bars as long as their numbers, or their logarithms", () => {
    expect(lengths([2, -4, 0], false)).toEqual([0.5, 1, 0]);
    const [least = 0, middle = 0, most = 0] = lengths([0.01, 1, 100], true);
    expect(most).toBe(1);
    expect(middle - least).toBeCloseTo(most - middle);
    expect(least).toBeGreaterThan(0);
    expect(lengths([0, Number.NaN], true)).toEqual([0, 0]);
  });

  it("colours zero with the middle of the table and both signs alike", () => {
    const table = Uint8Array.from({ length: 768 }, (_, n) => Math.floor(n / 3));
    expect(colourOf(table, 0, 2)[0]).toBe("rgb(127 127 127)");
    expect(colourOf(table, 2, 2)[0]).toBe("rgb(254 254 254)");
    expect(colourOf(table, -5, 2)[0]).toBe("rgb(0 0 0)");
    expect(colourOf(table, Number.NaN, 2)[0]).toBe("rgb(255 255 255)");
  });
});
