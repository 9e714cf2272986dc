import { describe, expect, it } from "vitest";
import { anchored, centred, fitted, opening, panBy, seeing, windowOf, zoomAt } from "../src/graph/camera";
import { step } from "../src/graph/keys";
import { Layouts, type Rect } from "../src/graph/layout";
import { inOtherBlock, revealed, type Sight, shownIn } from "../src/graph/reveal";
import { type Box, viewOf } from "../src/graph/view";
import { recordedGraph } from "./graph-recorded";

const sizeOf = ({ label, isOpen }: Box) => ({ width: 60 + 6 * label.length, height: isOpen ? 0 : 36 });
const shapesWidth = (words: string) => 5 * words.length;
const gpt2 = recordedGraph("GPT-2");
const seenIn = (graph: typeof gpt2) => (sight: Sight) => viewOf(graph, sight.opened, sight.instances);

function shown(opened: string[], graph = gpt2) {
  const view = viewOf(graph, opened);
  return { view, layout: new Layouts(sizeOf, shapesWidth).layout(view) };
}

describe("arrow keys in a graph", () => {
  const { view, layout } = shown(["", "transformer", "transformer.h.0"]);
  const labelled = (label: string) => view.boxes.find((box) => box.label === label)?.id as string;
  const go = (id: string, ...keys: string[]) =>
    keys.reduce((at, key) => step(view, layout, at, key) ?? at, id);

  it("follow edges down and up", () => {
    expect(go(labelled("wte"), "ArrowDown", "ArrowDown")).toBe("transformer.drop");
    expect(go("transformer.drop", "ArrowDown")).toBe("transformer.h.0");
    expect(go("transformer.h.0", "ArrowUp")).toBe("transformer.drop");
    expect(go("transformer.h.0", "ArrowDown")).toBe("transformer.ln_f");
  });
  it("lead into an open box and out of it", () => {
    const first = go("transformer.h.0", "ArrowRight");
    expect(view.byId.get(first)?.parent).toBe("transformer.h.0");
    expect(go(first, "ArrowLeft")).toBe("transformer.h.0");
    // The last in a box leads to what follows the box.
    const last = view.levels.find(({ box }) => box === "transformer.h.0")?.parts.at(-1) as string;
    expect(go(last, "ArrowDown")).toBe("transformer.ln_f");
  });
  it("go to the first and last box, and stay where nothing follows", () => {
    expect(go("transformer.h.0", "Home")).toBe("");
    expect(go("transformer.h.0", "End")).toBe("(output)");
    expect(step(view, layout, "(output)", "ArrowDown")).toBeNull();
    expect(step(view, layout, "", "x")).toBeNull();
  });
});

describe("what has to be open", () => {
  it("for a module in any block: all around it, and the block it is in", () => {
    const name = "transformer.h.2.mlp.c_fc";
    const before = { opened: [""], instances: {} };
    const sight = revealed(gpt2, seenIn(gpt2), before, name);
    const view = viewOf(gpt2, sight.opened, sight.instances);
    expect(view.byId.get(name)?.label).toBe("c_fc");
    expect(before).toEqual({ opened: [""], instances: {} });
    expect(shownIn(gpt2, view, sight.instances, name)).toEqual({ id: name, isItself: true });
  });
  it("for a module in a bundle: the bundle", () => {
    const graph = recordedGraph("uneven");
    const sight = revealed(graph, seenIn(graph), { opened: [], instances: {} }, "layers.20");
    expect(sight.opened.some((id) => id.includes("["))).toBe(true);
    expect(viewOf(graph, sight.opened).byId.has("layers.20")).toBe(true);
  });
  it("stays as it was for a name that is not there", () => {
    const sight = { opened: [""], instances: {} };
    expect(revealed(gpt2, seenIn(gpt2), sight, "nothing")).toEqual(sight);
    expect(shownIn(gpt2, viewOf(gpt2, [""]), {}, "nothing")).toBeNull();
  });
  it("says in which closed box a module is", () => {
    const view = viewOf(gpt2, ["", "transformer"]);
    expect(shownIn(gpt2, view, {}, "transformer.h.3.attn")).toEqual({
      id: "transformer.h.0",
      isItself: false,
    });
  });
  it("is the same in another block", () => {
    const fold = viewOf(gpt2, ["", "transformer"]).boxes.find(({ repeats }) => repeats > 1)?.fold as string;
    const opened = ["", "transformer", "transformer.h.0", "transformer.h.0.mlp", "transformer.h.3.attn"];
    const next = inOtherBlock(gpt2, { opened, instances: {} }, fold, 2);
    expect(next.opened).toEqual([
      ...["", "transformer", "transformer.h.2", "transformer.h.2.mlp", "transformer.h.3.attn"],
    ]);
    expect(next.instances).toEqual({ [fold]: 2 });
    const back = inOtherBlock(gpt2, next, fold, 0);
    expect(viewOf(gpt2, back.opened, back.instances)).toEqual(viewOf(gpt2, opened));
  });
});

describe("the camera", () => {
  const room = { width: 800, height: 500 };
  const size = { width: 1000, height: 4000 };
  it("shows all, and at first the readable upper end", () => {
    const all = windowOf(fitted(size, room), room);
    expect(all.y).toBeLessThanOrEqual(0);
    expect(all.y + all.height).toBeGreaterThanOrEqual(4000);
    const first = opening(size, room);
    expect(first.scale).toBeGreaterThanOrEqual(0.7);
    expect(first.y).toBeLessThan(0);
    expect(opening({ width: 300, height: 200 }, room).scale).toBe(1);
  });
  it("keeps what is under the pointer there, and some of the graph in sight", () => {
    const camera = { x: 100, y: 50, scale: 0.8 };
    const next = zoomAt(camera, 1.5, [200, 300]);
    expect(next.x + 200 / next.scale).toBeCloseTo(camera.x + 200 / camera.scale);
    expect(next.y + 300 / next.scale).toBeCloseTo(camera.y + 300 / camera.scale);
    const far = windowOf(panBy(camera, 1e6, -1e6, size, room), room);
    expect(far.x).toBeLessThan(1000);
    expect(far.y + far.height).toBeGreaterThan(0);
  });
  it("moves as little as brings a box into sight", () => {
    const camera = { x: 0, y: 0, scale: 1 };
    expect(seeing(camera, { x: 100, y: 100, width: 50, height: 50 }, room)).toEqual(camera);
    const below = windowOf(seeing(camera, { x: 100, y: 900, width: 50, height: 50 }, room), room);
    expect(below.x).toBe(0);
    expect(below.y + below.height).toBeGreaterThanOrEqual(950);
    const middle = windowOf(
      centred({ ...camera, scale: 0.1 }, { x: 100, y: 900, width: 50, height: 50 }, room),
      room,
    );
    expect(middle.x + middle.width / 2).toBeCloseTo(125);
    expect(middle.width).toBeLessThan(2000);
  });
  it("leaves a box where it is when it opens", () => {
    const [before, after] = [shown(["", "transformer"]), shown(["", "transformer", "transformer.h.0"])];
    const camera = { x: 10, y: 20, scale: 0.9 };
    const anchor = { before: "transformer.h.0", after: "transformer.h.0" };
    const next = anchored(camera, before.layout, after.layout, anchor);
    const [was, is] = [before, after].map(({ layout }) => layout.rects.get(anchor.after) as Rect) as [
      Rect,
      Rect,
    ];
    expect(is.x - next.x).toBeCloseTo(was.x - camera.x);
    expect(is.y - next.y).toBeCloseTo(was.y - camera.y);
  });
});
