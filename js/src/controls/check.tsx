interface CheckProps {
  label: string;
  checked: boolean;
  disabled: boolean;
  onToggle(checked: boolean, event: Event): void;
}

export function Check({ label, checked, disabled, onToggle }: CheckProps) {
  return (
    <label class="xw-check">
      <input
        type="checkbox"
        checked={checked}
        disabled={disabled}
        onChange={(event) => onToggle(event.currentTarget.checked, event)}
      />
      {label}
    </label>
  );
}
