import { useState } from "preact/hooks";

/** Unlike Preact's own useId, different in every widget of a page: radio buttons of one name are one group. */
export function useUniqueId(): string {
  return useState(() => `xw-${Math.random().toString(36).slice(2)}`)[0];
}
