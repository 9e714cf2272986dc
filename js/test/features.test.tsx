/** What is drawn anew when something changes, and what stays until its answer is there. */
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import widget from "../src/explorers/features";
import type { Request } from "../src/kernel/messages";
import { stubCanvas } from "./canvas";
import { answer, FakeLayers } from "./fake-features";
import { pack, type Reply } from "./fake-kernel";
import { FakeModel } from "./fake-model";

let model: FakeModel;
let el: HTMLElement;
let close: () => void;
/** Answers that are held back, by kind. */
let held: Map<string, (() => void)[]>;

const captions = () => [...el.querySelectorAll(".xw-map-caption")].map((one) => one.textContent);
const legend = () => el.querySelector(".xw-under")?.textContent;

async function show(answers: (kind: string, selection: object) => Reply = answer): Promise<void> {
  el = document.createElement("div");
  document.body.append(el);
  held = new Map();
  model = new FakeModel({
    ...{ sample: 0, layer: 0, entry: "", map_layout: "", slice: 0, channel: 0, show: "activation" },
    ...{ target: null, order: "index", scale: "layer", muted: [], colormap: "RdBu_r", colormaps: [] },
    ...{ sample_count: 1, can_append: false },
  });
  model.kernel = ({ id, kind, selection }: Request) => {
    const send = () => {
      const { content, arrays, buffer } = answers(kind, selection);
      model.trigger("msg:custom", [{ id, kind, content, arrays, milliseconds: 1 }, [new DataView(buffer)]]);
    };
    const waiting = held.get(kind);
    if (waiting === undefined) setTimeout(send);
    else waiting.push(send);
  };
  close = widget.render({ model, el });
  await vi.waitFor(() => expect(captions()).toEqual(["0", "1"]));
  await ready();
}

const showGradient = () => (el.querySelector('input[value="gradient"]') as HTMLElement).click();
/** Long enough for an answer. */
const rest = () => new Promise((resolve) => setTimeout(resolve, 50));
const ready = () =>
  vi.waitFor(() => expect(el.querySelector(".xw-explorer")?.getAttribute("data-state")).toBe("ready"));

beforeAll(stubCanvas);
afterEach(() => {
  close();
  el.remove();
});

describe("the feature explorer", () => {
  it("says of its maps what they were asked for until others are there", async () => {
    await show();
    held.set("maps", []);
    const order = el.querySelector('select[aria-label="Order"]') as HTMLSelectElement;
    order.value = "zeros";
    order.dispatchEvent(new Event("change", { bubbles: true }));
    await vi.waitFor(() => expect(held.get("maps")).toHaveLength(1));
    expect(order.value).toBe("zeros");
    expect(captions()).toEqual(["0", "1"]);
    for (const send of held.get("maps") ?? []) send();
    await vi.waitFor(() => expect(captions()).toEqual(["00 %", "1-100 %"]));
    expect(legend()).toContain("activation");
  });

  it("asks once for the maps and the channel of another place, and for one of them where the other stays", async () => {
    await show();
    expect(model.ofKind("channel")).toHaveLength(0);
    expect(model.ofKind("maps").map(({ selection }) => selection)).toMatchObject([{ channel: 0 }]);
    showGradient();
    await vi.waitFor(() => expect(model.ofKind("maps")).toHaveLength(2));
    expect(model.ofKind("maps")[1]?.selection).toMatchObject({ show: "gradient", channel: 0 });
    await ready();
    const order = el.querySelector('select[aria-label="Order"]') as HTMLSelectElement;
    order.value = "mean";
    order.dispatchEvent(new Event("change", { bubbles: true }));
    await vi.waitFor(() => expect(model.ofKind("maps")).toHaveLength(3));
    expect(model.ofKind("maps")[2]?.selection).not.toHaveProperty("channel");
    expect(model.ofKind("channel")).toHaveLength(0);
    await ready();
    (el.querySelectorAll(".xw-map")[1] as HTMLElement).click();
    await vi.waitFor(() => expect(model.ofKind("channel")).toHaveLength(1));
    expect(model.ofKind("maps")).toHaveLength(3);
  });

  it("keeps the channel that was picked since where an older answer brings another", async () => {
    await show((kind, selection) => {
      const reply = answer(kind, selection);
      const { channel } = selection as { channel?: number };
      const named = { name: `channel ${channel}`, height: 1, width: 1, statistics: [], strongest: [] };
      const own = { ...named, overlay: null, alignment: "", reduced: "" };
      if (kind === "channel") return { ...reply, content: own };
      return kind === "maps" && channel !== undefined
        ? { ...reply, content: { ...reply.content, channel: own } }
        : reply;
    });
    const named = () => el.querySelector(".xw-reading h3")?.textContent;
    expect(named()).toBe("Channel 0");
    held.set("maps", []);
    showGradient();
    await vi.waitFor(() => expect(held.get("maps")).toHaveLength(1));
    (el.querySelectorAll(".xw-map")[1] as HTMLElement).click();
    await vi.waitFor(() => expect(named()).toBe("Channel 1"));
    for (const send of held.get("maps") ?? []) send();
    await ready();
    expect(named()).toBe("Channel 1");
  });

  it("shows each number that is read by itself once it is there", async () => {
    await show((kind, selection) =>
      kind === "value"
        ? { content: {}, ...pack({ value: { data: Float32Array.of(0.125), shape: [1] } }) }
        : answer(kind, selection),
    );
    const box = el.querySelector(".xw-reading .xw-image-box") as HTMLElement;
    box.getBoundingClientRect = () => new DOMRect(0, 0, 20, 20);
    const caption = () => el.querySelector(".xw-reading figcaption")?.textContent;
    for (const [x, place] of [
      [5, "row 0, column 0"],
      [15, "row 0, column 1"],
    ] as const) {
      box.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: 5, bubbles: true }));
      await vi.waitFor(() => expect(caption()).toBe(`${place} · 0.125`));
    }
    expect(model.ofKind("value")).toHaveLength(2);
  });
});

describe("another layer", () => {
  let layers: FakeLayers;
  const named = () => el.querySelector(".xw-reading h3")?.textContent;
  const names = () => [...el.querySelectorAll(".xw-layers [role=option]")] as HTMLElement[];
  const ahead = () => model.ofKind("ahead").map(({ selection }) => (selection as { layer: number }).layer);
  const press = (key: string) =>
    el.querySelector(".xw-layers")?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));

  async function showLayers(): Promise<void> {
    layers = new FakeLayers();
    await show((kind, selection) => layers.answer(kind, selection));
  }

  it("that is next to the picked one is drawn at once, from what was read ahead, and checked", async () => {
    await showLayers();
    await vi.waitFor(() => expect(ahead()).toEqual([1]));
    await rest();
    held.set("maps", []);
    press("ArrowDown");
    await vi.waitFor(() => expect(named()).toBe("Channel of conv1, revision 1"));
    expect(model.ofKind("maps").at(-1)?.selection).toMatchObject({ layer: 1, known: 1 });
    for (const send of held.get("maps") ?? []) send();
    held.delete("maps");
    // On in the direction that it came from; the one before is known.
    await vi.waitFor(() => expect(ahead()).toEqual([1, 2]));
    await ready();
    expect(named()).toBe("Channel of conv1, revision 1");
  });

  it("is read ahead while the pointer rests on it", async () => {
    await showLayers();
    await vi.waitFor(() => expect(ahead()).toEqual([1]));
    names()[2]?.dispatchEvent(new PointerEvent("pointerenter"));
    await vi.waitFor(() => expect(ahead()).toEqual([1, 2]));
    await rest();
    held.set("maps", []);
    names()[2]?.click();
    await vi.waitFor(() => expect(named()).toBe("Channel of conv2, revision 1"));
  });

  it("that was read ahead of a changed model is shown as the model is", async () => {
    await showLayers();
    await vi.waitFor(() => expect(ahead()).toEqual([1]));
    await rest();
    layers.revision = 2;
    press("ArrowDown");
    await vi.waitFor(() => expect(named()).toBe("Channel of conv1, revision 2"));
    held.set("maps", []);
    press("ArrowUp"); // what is known of the old state is not drawn again
    await rest();
    expect(named()).toBe("Channel of conv1, revision 2");
    for (const send of held.get("maps") ?? []) send();
    await vi.waitFor(() => expect(named()).toBe("Channel of conv0, revision 2"));
  });

  it("that was drawn at once stays where an older answer comes after it", async () => {
    await showLayers();
    await vi.waitFor(() => expect(ahead()).toEqual([1]));
    await rest();
    held.set("maps", []);
    names()[2]?.click(); // nobody has read this one
    await vi.waitFor(() => expect(held.get("maps")).toHaveLength(1));
    names()[1]?.click();
    await vi.waitFor(() => expect(named()).toBe("Channel of conv1, revision 1"));
    for (const send of held.get("maps") ?? []) send();
    await rest();
    expect(named()).toBe("Channel of conv1, revision 1");
    expect(el.querySelector(".xw-view")?.textContent).toContain("conv1");
  });
});
