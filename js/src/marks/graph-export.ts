/** What is written of each element, so that the picture needs no style sheet. */
const STYLES = [
  ...["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity"],
  ...["font-size", "font-weight", "font-style", "font-family", "paint-order", "display"],
];
/** Browsers refuse pictures with a longer side. */
const LONGEST_SIDE = 16_000;
const MOST_PIXELS = 200e6;
const MARGIN = 16;

/** A drawing that is in the page, as text that stands by itself: all colours and fonts written out. */
export function svgText(svg: SVGSVGElement, width: number, height: number): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const styled = [svg, ...svg.querySelectorAll("*")];
  const copies = [copy, ...copy.querySelectorAll("*")];
  copies.forEach((element, n) => {
    const computed = getComputedStyle(styled[n] as Element);
    const style = STYLES.map((name) => [name, computed.getPropertyValue(name)] as const).filter(
      ([, value]) => value !== "",
    );
    const keep = ["path", "rect", "text"].includes(element.tagName);
    for (const name of ["class", "id", "role", "style", ...dataNames(element)]) element.removeAttribute(name);
    if (keep) element.setAttribute("style", style.map(([name, value]) => `${name}:${value}`).join(";"));
  });
  const [across, down] = [Math.ceil(width + 2 * MARGIN), Math.ceil(height + 2 * MARGIN)];
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(across));
  copy.setAttribute("height", String(down));
  copy.setAttribute("viewBox", `${-MARGIN} ${-MARGIN} ${across} ${down}`);
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const background = getComputedStyle(svg).getPropertyValue("--xw-paper") || "white";
  const place = { x: -MARGIN, y: -MARGIN, width: across, height: down };
  for (const [name, value] of Object.entries(place)) ground.setAttribute(name, String(value));
  ground.setAttribute("style", `fill:${resolved(svg, background)}`);
  copy.prepend(ground);
  return new XMLSerializer().serializeToString(copy);
}

const dataNames = (element: Element) =>
  [...element.attributes].map(({ name }) => name).filter((name) => /^(data|aria)-/.test(name));

/** A colour without variables. */
function resolved(near: Element, colour: string): string {
  const probe = document.createElement("span");
  probe.style.color = colour;
  near.parentElement?.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Hands a file over to be saved. */
export function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const svgFile = (text: string) => new Blob([text], { type: "image/svg+xml" });

/** The picture of an SVG text, twice as fine, or as fine as a browser takes it. */
export async function pngFile(text: string, finer = 2): Promise<{ file: Blob; scale: number }> {
  const image = new Image();
  const url = URL.createObjectURL(svgFile(text));
  try {
    image.src = url;
    await image.decode();
    const { width, height } = image;
    const side = LONGEST_SIDE / Math.max(width, height);
    const scale = Math.min(finer, side, Math.sqrt(MOST_PIXELS / (width * height)));
    const canvas = document.createElement("canvas");
    canvas.width = Math.floor(width * scale);
    canvas.height = Math.floor(height * scale);
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    const file = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
    if (file === null) throw new Error("the browser makes no picture of this size; save it as SVG");
    return { file, scale };
  } finally {
    URL.revokeObjectURL(url);
  }
}
