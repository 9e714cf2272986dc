interface CheckProps {
  label: string;
  /** What it is called where the label alone does not tell. */
  name?: string;
  checked: boolean;
  disabled: boolean;
  onToggle(checked: boolean, event: Event): void;
}

export function Check({ label, name = label, checked, disabled, onToggle }: CheckProps) {
  return (
    <label class="xw-check">
      <input
        type="checkbox"
        aria-label={name}
        checked={checked}
        disabled={disabled}
        onChange={(event) => onToggle(event.currentTarget.checked, event)}
      />
      {label}
    </label>
  );
}
