/** The options of the search for what maximises a channel: what a user sets is what is asked. */
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import widget from "../src/explorers/features";
import type { AscentOptions } from "../src/explorers/features/types";
import type { Request } from "../src/kernel/messages";
import { stubCanvas } from "./canvas";
import { answer, DEFAULTS } from "./fake-features";
import { FakeModel } from "./fake-model";

let model: FakeModel;
let el: HTMLElement;
let close: () => void;

const section = () => el.querySelector(".xw-maximise") as HTMLElement;
const button = (text: string) =>
  [...section().querySelectorAll("button")].find((one) => one.textContent === text) as HTMLButtonElement;
const box = (label: string) => section().querySelector(`input[aria-label="${label}"]`) as HTMLInputElement;
const picker = (label: string) =>
  section().querySelector(`select[aria-label="${label}"]`) as HTMLSelectElement;
const asked = () => model.ofKind("maximise").at(-1)?.selection as AscentOptions;
const redrawn = () => new Promise((resolve) => setTimeout(resolve, 10));

async function set(field: HTMLInputElement | HTMLSelectElement, value: string): Promise<void> {
  field.value = value;
  field.dispatchEvent(new Event("change", { bubbles: true }));
  await redrawn();
}

async function seek(): Promise<void> {
  const before = model.ofKind("maximise").length;
  (button("Seek") ?? button("Another seed")).click();
  await vi.waitFor(() => expect(model.ofKind("maximise").length).toBe(before + 1));
  await vi.waitFor(() => expect(button("Another seed")).toBeTruthy());
}

async function show(): Promise<void> {
  el = document.createElement("div");
  document.body.append(el);
  model = new FakeModel({
    ...{ sample: 0, layer: 0, entry: "", map_layout: "", slice: 0, channel: 0, show: "activation" },
    ...{ target: null, order: "index", scale: "layer", muted: [], colormap: "RdBu_r", colormaps: [] },
    ...{ sample_count: 1, can_append: false },
  });
  model.kernel = ({ id, kind, selection }: Request) =>
    setTimeout(() => {
      const { content, arrays, buffer } = answer(kind, selection);
      model.trigger("msg:custom", [{ id, kind, content, arrays, milliseconds: 1 }, [new DataView(buffer)]]);
    });
  close = widget.render({ model, el });
  await vi.waitFor(() => expect(button("Seek")).toBeTruthy());
}

beforeAll(stubCanvas);
afterEach(() => {
  close();
  el.remove();
});

describe("what maximises a channel", () => {
  it("is sought with the defaults of the kernel, which the folded options show", async () => {
    await show();
    const options = section().querySelector("details") as HTMLDetailsElement;
    expect(options.open).toBe(false);
    expect(box("Steps").value).toBe("128");
    expect(box("Jitter").value).toBe("");
    expect(picker("Begin with").value).toBe("noise");
    expect(button("Defaults").disabled).toBe(true);
    await seek();
    expect(asked()).toMatchObject({ ...DEFAULTS, channel: 0 });
    expect(section().textContent).toContain("seed 0");
  });

  it("is sought with what was set", async () => {
    await show();
    await set(picker("Begin with"), "sample");
    await set(picker("Learn"), "pixels");
    await set(box("Steps"), "32");
    await set(box("Rate"), "0.05");
    await set(box("Jitter"), "3");
    await set(box("Blur"), "1.5");
    await set(box("Smoothness"), "0");
    await set(box("Seed"), "11");
    expect(section().querySelector("summary")?.textContent).toBe("Options · 8 changed");
    await seek();
    expect(asked()).toMatchObject({
      ...{ start: "sample", parametrisation: "pixels", steps: 32, learning_rate: 0.05 },
      ...{ jitter: 3, blur: 1.5, total_variation: 0, seed: 11 },
    });
    expect(section().textContent).toContain("seed 11");
    button("Defaults").click();
    await redrawn();
    await seek();
    expect(asked()).toMatchObject(DEFAULTS);
  });

  it("keeps the number before one that cannot be", async () => {
    await show();
    await set(box("Steps"), "0");
    expect(box("Steps").value).toBe("128");
    await set(box("Seed"), "");
    expect(box("Seed").value).toBe("0");
    await seek();
    expect(asked()).toMatchObject(DEFAULTS);
  });

  it("takes another seed the next time, and the same one with other options", async () => {
    await show();
    await seek();
    await seek();
    expect(asked().seed).toBe(1);
    expect(box("Seed").value).toBe("1");
    await set(box("Blur"), "2");
    expect(button("Another seed")).toBeFalsy();
    await seek();
    expect(asked()).toMatchObject({ seed: 1, blur: 2 });
  });
});
