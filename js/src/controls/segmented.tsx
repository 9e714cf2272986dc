import { useUniqueId } from "./use-unique-id";

interface SegmentedProps<T extends string> {
  label: string;
  /** Shows the label before the switch. */
  labelled?: boolean;
  value: T;
  options: readonly (readonly [value: T, text: string])[];
  disabled: boolean;
  onPick(value: T, event: Event): void;
}

/** One of a few, all in sight: radio buttons, so that arrow keys and readers know what it is. */
export function Segmented<T extends string>(props: SegmentedProps<T>) {
  const { label, labelled = false, value, options, disabled, onPick } = props;
  const name = useUniqueId();
  return (
    <div class="xw-switch" role="radiogroup" aria-label={label}>
      {labelled && (
        <span class="xw-switch-label" aria-hidden="true">
          {label}
        </span>
      )}
      <span class="xw-switch-box">
        {options.map(([option, text]) => (
          <label key={option} class={option === value ? "xw-segment xw-on" : "xw-segment"}>
            <input
              type="radio"
              class="xw-unseen"
              name={name}
              value={option}
              checked={option === value}
              disabled={disabled}
              onChange={(event) => onPick(option, event)}
            />
            {text}
          </label>
        ))}
      </span>
    </div>
  );
}
