import type { ComponentChildren } from "preact";
import { useLayoutEffect, useReducer } from "preact/hooks";
import { bytes, milliseconds, whole } from "../../marks/numbers";
import type { ExplorerStore, SharedSelection, SharedState } from "./store";

type AnyStore = ExplorerStore<SharedSelection, SharedState<SharedSelection>>;

/** Keys typed into the widget are not commands of the notebook; shortcuts such as Ctrl+S and Shift+Enter are. */
function keepKeys(event: KeyboardEvent): void {
  const command = event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape";
  if (!command && !(event.shiftKey && event.key === "Enter")) event.stopPropagation();
}

/** Draws the component anew whenever the store has news. */
export function useStore<T>(store: T & Pick<AnyStore, "subscribe">): T {
  const [, redraw] = useReducer<number, void>((count) => count + 1, 0);
  useLayoutEffect(() => store.subscribe(() => redraw()), [store]);
  return store;
}

interface FrameProps {
  state: Pick<AnyStore["state"], "error" | "waiting" | "busy" | "lost">;
  label: string;
  bar: ComponentChildren;
  /** What is under way, with what stops it. */
  status?: ComponentChildren;
  footer: ComponentChildren;
  children: ComponentChildren;
}

/** What all explorers share: a bar of controls on top, what went wrong, the panels, a line at the bottom. */
export function Frame({ state, label, bar, status, footer, children }: FrameProps) {
  const { error, waiting, busy, lost } = state;
  return (
    <div
      class="xw-explorer"
      role="group"
      aria-label={label}
      data-state={lost !== null ? "lost" : busy ? "busy" : "ready"}
      onKeyDown={keepKeys}
    >
      <div class="xw-bar">{bar}</div>
      <div class="xw-strip xw-alert" role="alert">
        {lost ?? error}
      </div>
      <div class="xw-strip xw-status" role="status">
        {lost === null && waiting}
        {lost === null && status}
      </div>
      <div class="xw-body">{children}</div>
      <footer class="xw-footer">{footer}</footer>
    </div>
  );
}

interface FooterProps {
  said: string[];
  /** Of the answer that is shown. */
  answer: { payload: number; bytes: number; milliseconds: number };
}

/** What was computed, how large it is and how fast it came. */
export function Footer({ said, answer }: FooterProps) {
  return (
    <>
      <span>{said.filter(Boolean).join(" · ")}</span>
      <span class="xw-number" title={`${whole(answer.bytes)} bytes with padding; time in the kernel`}>
        {`${bytes(answer.payload)} · ${milliseconds(answer.milliseconds)}`}
      </span>
    </>
  );
}
