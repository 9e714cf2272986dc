import { useState } from "preact/hooks";

interface TextBoxProps {
  label: string;
  /** What its button says. */
  action: string;
  /** The text stays, to be handed over again. */
  keep?: boolean;
  disabled: boolean;
  /** Hears of every change of the text. */
  onType?(text: string): void;
  onEnter(text: string, event: Event): void;
}

/** A line of text that is handed over with Enter or its button. */
export function TextBox({ label, action, keep = false, disabled, onType, onEnter }: TextBoxProps) {
  const [text, setText] = useState("");
  const enter = (event: Event) => {
    event.preventDefault();
    if (text.trim() === "") return;
    onEnter(text, event);
    if (!keep) setText("");
  };
  return (
    <form class={keep ? "xw-textbox xw-narrow" : "xw-textbox"} onSubmit={enter}>
      <input
        type="text"
        aria-label={label}
        placeholder={label}
        value={text}
        disabled={disabled}
        onInput={(event) => {
          setText(event.currentTarget.value);
          onType?.(event.currentTarget.value);
        }}
      />
      <button type="submit" class="xw-button" disabled={disabled || text.trim() === ""}>
        {action}
      </button>
    </form>
  );
}
