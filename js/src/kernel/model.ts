/** What a host (JupyterLab, VS Code, marimo, Colab, an offline page) gives a view: the part of it used here. */
export interface WidgetModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
  on(event: string, callback: (...args: never[]) => void): void;
  off(event: string, callback: (...args: never[]) => void): void;
  widget_manager?: unknown;
}

export interface RenderContext {
  model: WidgetModel;
  el: HTMLElement;
  /** Given by anywidget ≥ 0.11; older hosts call the returned function instead. */
  signal?: AbortSignal;
}
