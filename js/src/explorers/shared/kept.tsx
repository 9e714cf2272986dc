import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";

interface KeptProps {
  /** All that is drawn. */
  of: readonly unknown[];
  children: () => ComponentChildren;
}

/** Draws its part of an explorer anew only when something of it has changed: each answer changes a part. */
export function Kept({ of, children }: KeptProps) {
  return <>{useMemo(children, of)}</>;
}
