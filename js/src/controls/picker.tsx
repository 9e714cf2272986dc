import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface PickerProps {
  label: string;
  labelled?: boolean;
  value: string;
  options: readonly (readonly [value: string, text: string])[];
  disabled: boolean;
  onPick(value: string, event: Event): void;
}

/** Keeps a menu as wide as its options ask for: else the browser measures all of them at each pick. */
function useKeptWidth(menu: RefObject<HTMLSelectElement | null>, texts: string): void {
  useLayoutEffect(() => {
    if (menu.current === null) return;
    const { style } = menu.current;
    style.cssText = "flex: none; width: max-content";
    const { offsetWidth: width } = menu.current;
    style.cssText = width > 0 ? `width: ${width}px` : "";
  }, [texts]);
}

/** One of many, from a menu. */
export function Picker({ label, labelled = false, value, options, disabled, onPick }: PickerProps) {
  const menu = useRef<HTMLSelectElement>(null);
  useKeptWidth(menu, options.map(([, text]) => text).join("\n"));
  return (
    <label class="xw-picker">
      {labelled && <span class="xw-switch-label">{label}</span>}
      <select
        ref={menu}
        aria-label={label}
        value={value}
        disabled={disabled}
        onChange={(event) => onPick(event.currentTarget.value, event)}
      >
        {options.map(([option, text]) => (
          <option key={option} value={option} selected={option === value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
