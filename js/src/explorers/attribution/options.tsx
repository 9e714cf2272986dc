import { Check } from "../../controls/check";
import { Picker } from "../../controls/picker";
import { useUniqueId } from "../../controls/use-unique-id";
import type { AttributionStore } from "./store";
import type { MethodOption, Value } from "./types";

interface FieldProps {
  option: MethodOption;
  value: Value;
  disabled: boolean;
  /** A sample that is not the one that is shown. */
  another: number;
  onSet(value: Value, event: Event): void;
}

/** A number within its range; an empty field is what it is without being set. */
export function NumberField({ option, value, disabled, onSet }: Omit<FieldProps, "another">) {
  const id = useUniqueId();
  const { title, low, high, kind, default: usual } = option;
  return (
    <span class="xw-field">
      <label for={id}>{title}</label>
      <input
        id={id}
        type="number"
        value={value === null ? "" : String(value)}
        placeholder={usual === null ? "" : String(usual)}
        min={low ?? undefined}
        max={high ?? undefined}
        step={kind === "integer" ? 1 : "any"}
        disabled={disabled}
        onChange={(event) => {
          const { value: text, valueAsNumber: number, validity } = event.currentTarget;
          if (text === "") onSet(null, event);
          else if (validity.valid && Number.isFinite(number)) onSet(number, event);
          else event.currentTarget.reportValidity();
        }}
      />
    </span>
  );
}

const NAMES: Record<string, string> = { "": "as usual for the input", sample: "a sample" };

/** A choice that stands for the index of a sample, which has a field of its own beside it. */
const SAMPLE = "sample";

function SampleField({ option, value, disabled, onSet }: FieldProps) {
  const index = { ...option, title: "sample", kind: "integer" as const, default: null, low: 0, high: null };
  return (
    <NumberField option={index} {...{ value, disabled }} onSet={(to, event) => onSet(to ?? value, event)} />
  );
}

function Field(props: FieldProps) {
  const { option, value, disabled, another, onSet } = props;
  const { title, kind, choices } = option;
  const now = value ?? option.default;
  if (kind === "flag") {
    return <Check label={title} checked={now === true} disabled={disabled} onToggle={onSet} />;
  }
  if (kind === "choice") {
    const isSample = typeof now === "number";
    const picked = isSample ? SAMPLE : String(now ?? "");
    // Python may set what no menu holds.
    const offered = choices.includes(picked) ? choices : [...choices, picked];
    const meant = (choice: string) => (choice === "" ? null : choice === SAMPLE ? another : choice);
    return (
      <>
        <Picker
          label={title}
          labelled
          value={picked}
          options={offered.map((choice) => [choice, NAMES[choice] ?? choice])}
          disabled={disabled}
          onPick={(picked, event) => onSet(meant(picked), event)}
        />
        {isSample && <SampleField {...props} value={now} />}
      </>
    );
  }
  return <NumberField {...props} />;
}

/** The settings of the method, folded away. */
export function MethodOptions({ store }: { store: AttributionStore }) {
  const { method } = store;
  const { selection, lost } = store.state;
  if (method === null || method.options.length === 0) return null;
  const set = Object.keys(selection.options).length;
  return (
    <details class="xw-options">
      <summary>{set === 0 ? "Options" : `Options (${set} set)`}</summary>
      <div class="xw-options-fields">
        {method.options.map((option) => (
          <div key={`${method.name} ${option.name}`} title={option.definition}>
            <Field
              option={option}
              value={selection.options[option.name] ?? null}
              disabled={lost !== null}
              another={selection.sample === 0 ? 1 : 0}
              onSet={(value, event) => store.setOption(option.name, value, event)}
            />
          </div>
        ))}
      </div>
    </details>
  );
}
