/** Puts pixels on a canvas of so many, one each, in main memory: as one that is read back often. */
export function putPixels(
  canvas: HTMLCanvasElement,
  [height, width]: readonly [height: number, width: number],
  colour: (pixels: Uint8ClampedArray) => void,
): void {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return;
  // Setting a size clears the canvas, also where it is the same.
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const image = context.createImageData(width, height);
  colour(image.data);
  context.putImageData(image, 0, 0);
}
