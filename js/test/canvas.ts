/** happy-dom draws nothing: this keeps what was put on each canvas, to be read back. */
export const drawn = new WeakMap<HTMLCanvasElement, ImageData>();

export function stubCanvas(): void {
  HTMLCanvasElement.prototype.getContext = function getContext(this: HTMLCanvasElement) {
    return {
      createImageData: (width: number, height: number) => ({
        width,
        height,
        data: new Uint8ClampedArray(width * height * 4),
      }),
      putImageData: (image: ImageData) => drawn.set(this, image),
      ...{
        scale() {},
        beginPath() {},
        moveTo() {},
        lineTo() {},
        stroke() {},
        clearRect() {},
        drawImage() {},
      },
    };
  } as never;
}
