interface PickerProps {
  label: string;
  labelled?: boolean;
  value: string;
  options: readonly (readonly [value: string, text: string])[];
  disabled: boolean;
  onPick(value: string, event: Event): void;
}

/** One of many, from a menu. */
export function Picker({ label, labelled = false, value, options, disabled, onPick }: PickerProps) {
  return (
    <label class="xw-picker">
      {labelled && <span class="xw-switch-label">{label}</span>}
      <select
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
