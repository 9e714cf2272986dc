interface SliderProps {
  label: string;
  /** What it is called where the label alone does not tell. */
  name?: string;
  value: number;
  count: number;
  /** What stands beside the slider, if not the value itself. */
  shown?: string;
  /** Said by screen readers, if not the value itself. */
  spoken?: string;
  disabled: boolean;
  onMove(value: number, event: Event): void;
}

/** A native range from 0 to count − 1, with its label before and its value behind it. */
export function Slider({ label, name = label, value, count, shown, spoken, disabled, onMove }: SliderProps) {
  const last = Math.max(0, count - 1);
  return (
    <label class="xw-slider">
      <span class="xw-slider-label">{label}</span>
      <input
        type="range"
        aria-label={name}
        aria-valuetext={spoken ?? String(value)}
        min={0}
        max={last}
        step={1}
        value={Math.min(value, last)}
        disabled={disabled || count < 2}
        style={{ "--xw-filled": `${last === 0 ? 0 : (100 * Math.min(value, last)) / last}%` }}
        onInput={(event) => onMove(event.currentTarget.valueAsNumber, event)}
      />
      <output class="xw-slider-value" style={{ minWidth: `${String(last).length}ch` }}>
        {shown ?? value}
      </output>
    </label>
  );
}
