/** Calls back at the second animation frame from now: what was drawn before is on the screen by then. */
export function afterPaint(callback: () => void): void {
  requestAnimationFrame(() => requestAnimationFrame(callback));
}

export function measure(kind: string, start: number, detail: object): void {
  performance.measure(`explain_widgets:${kind}`, { start, end: performance.now(), detail });
}
