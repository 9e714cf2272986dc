import type { Size } from "../graph/layout";
import type { Box } from "../graph/view";

/** Type sizes in a graph, in its own units. */
export const NAME_SIZE = 12;
export const TYPE_SIZE = 10.5;
export const SHAPE_SIZE = 10;

/** From a line to the shapes beside it, and the widest that these are written. */
export const SHAPE_INSET = 5;
export const MOST_SHAPES = 150;

/** Heights of closed boxes: of a module, of all else, and of the line in which a block is picked. */
const MODULE = 38;
const PILL = 24;
export const PICKER = 26;
/** Width that the choice of a block needs. */
const PICKER_WIDTH = 148;
const MOST_LABEL = 220;
/** Left of the name: the triangle, or the stripe alone. */
export const TRIANGLE = 20;
export const INSET = 10;

let context: CanvasRenderingContext2D | null | undefined;
const widths = new Map<string, number>();

/** Pixels that a text needs; estimated where nothing can be measured. */
export function textWidth(text: string, size: number, bold = false): number {
  const key = `${size}${bold}${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    context ??= document.createElement("canvas").getContext("2d");
    if (context === null || typeof context.measureText !== "function") width = 0.56 * size * [...text].length;
    else {
      context.font = `${bold ? 600 : 400} ${size}px ${FONT}`;
      width = context.measureText(text)?.width ?? 0.56 * size * [...text].length;
    }
    // Fonts of hosts differ a little.
    width *= 1.04;
    widths.set(key, width);
  }
  return width;
}

/** Also in exported pictures, which have no host. */
export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif';

/** A text with its middle left out where it is too wide. */
export function fitText(text: string, width: number, size: number, bold = false): string {
  if (textWidth(text, size, bold) <= width) return text;
  const characters = [...text];
  let kept = Math.floor((characters.length * width) / textWidth(text, size, bold));
  const cut = () =>
    `${characters.slice(0, Math.ceil(kept / 2)).join("")}…${characters.slice(characters.length - Math.floor(kept / 2)).join("")}`;
  while (kept > 1 && textWidth(cut(), size, bold) > width) kept -= 1;
  return cut();
}

/** What a box is called: the model by its class. */
export const nameOf = ({ label, type }: Box) => label || type;

/** What is said under or behind the name. */
export const typeOf = ({ label, type }: Box) => (label === "" ? "" : type);

/** "× 12" of a box that stands for several. */
export const timesOf = ({ repeats }: Box) => (repeats > 1 ? `× ${repeats}` : "");

export const timesWidth = (box: Box) => (box.repeats > 1 ? textWidth(timesOf(box), TYPE_SIZE, true) + 18 : 0);

/** The size of a closed box; of an open one the width that its title needs. */
export function sizeOf(box: Box): Size {
  const name = Math.min(MOST_LABEL, textWidth(nameOf(box), NAME_SIZE, box.kind === "module"));
  const type = Math.min(MOST_LABEL, textWidth(typeOf(box), TYPE_SIZE));
  const times = timesWidth(box);
  const before = box.parts > 0 ? TRIANGLE : INSET;
  const picker = box.picksBlock ? PICKER_WIDTH : 0;
  if (box.isOpen) return { width: before + name + 10 + type + times + picker + 12, height: 0 };
  if (box.kind !== "module") return { width: Math.max(44, before + name + times + 12), height: PILL };
  const width = Math.max(96, before + name + times + 10, before + type + 10, picker);
  return { width, height: MODULE + (box.picksBlock ? PICKER : 0) };
}

/** What is written in a closed module in which the forward failed. */
export const failedText = (shapes: string) => `✕ ${shapes}`;

/** The size of such a module. */
export function failedSize(box: Box, shapes: string): Size {
  const { width, height } = sizeOf(box);
  const text = textWidth(failedText(shapes), TYPE_SIZE, true) + TRIANGLE + 12;
  return { width: box.isOpen ? width : Math.max(width, Math.min(2 * MOST_LABEL, text)), height };
}

/** Pixels to the right of a line that its shapes need. */
export const shapesWidth = (words: string) =>
  SHAPE_INSET + Math.min(MOST_SHAPES, textWidth(words, SHAPE_SIZE));

const KINDS: [RegExp, string][] = [
  [/embed/i, "embedding"],
  [/attention|attn/i, "attention"],
  [/conv/i, "convolution"],
  [/norm/i, "norm"],
  [/relu|gelu|silu|swish|tanh|sigmoid|softmax|activation|glu/i, "activation"],
  [/pool/i, "pool"],
  [/dropout|droppath/i, "dropout"],
  [/linear|dense|bilinear/i, "linear"],
];

/** A family of modules by the name of the class: a stripe in its colour, beside the name that says it. */
export function familyOf({ type, kind }: Box): string {
  if (kind !== "module") return kind;
  return KINDS.find(([pattern]) => pattern.test(type))?.[1] ?? "module";
}
