import { Picker } from "../../controls/picker";
import { TextBox } from "../../controls/text-box";
import { ClassPicker } from "../shared/controls";
import type { AttributionStore } from "./store";
import type { Target } from "./types";

interface PickerProps<T> {
  store: AttributionStore;
  label: string;
  value: T;
  onPick(value: T, event: Event): void;
}

/** What is explained: the predicted class, another, a token of the vocabulary, a loss. */
export function TargetPicker({ store, label, value, onPick }: PickerProps<Target>) {
  const { content, lost, selection } = store.state;
  if (content === null) return null;
  return (
    <>
      <ClassPicker
        label={label}
        value={value}
        // At a position that was picked something else may be predicted: the title says what.
        predicted={selection.position === null ? content.predicted : null}
        classes={content.classes.map((name, index) => probable(store, index, name))}
        further={content.losses}
        disabled={lost !== null}
        onPick={onPick}
      />
      {content.has_vocabulary && (
        <TextBox
          label={`${label}: token`}
          action="Pick"
          keep
          disabled={lost !== null}
          onEnter={(text, event) => store.pickToken(text, event)}
        />
      )}
    </>
  );
}

function probable(store: AttributionStore, index: number, name: string): string {
  const probability = store.state.content?.probabilities[index];
  return probability === undefined ? name : `${name} · ${(100 * probability).toFixed(1)} %`;
}

/** All methods; those that cannot be used on this model say why when they are picked. */
export function MethodPicker({ store, label, value, onPick }: PickerProps<string>) {
  const { content, lost } = store.state;
  const methods = content?.methods ?? [];
  return (
    <Picker
      label={label}
      labelled
      value={value}
      options={methods.map(({ name, title, reason }) => [
        name,
        reason === "" ? title : `${title} (not here)`,
      ])}
      disabled={lost !== null}
      onPick={onPick}
    />
  );
}
