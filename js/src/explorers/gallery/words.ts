import { exact } from "../../marks/numbers";
import type { Card, Prediction } from "./types";

const probability = (value: number | null) => (value === null ? "NaN" : value.toFixed(2));

/** Four digits, for captions and lists. */
export function compact(value: number): string {
  return exact(Number.isFinite(value) ? Number(value.toPrecision(4)) : value);
}

/** What is predicted, beside the label where it differs: "3 → 8". */
export function said({ label }: Card, prediction: Prediction | null): string {
  if (prediction === null) return label ?? "";
  const named = prediction.class ?? compact(prediction.value ?? Number.NaN);
  return label === null || label === named ? named : `${label} → ${named}`;
}

/** How sure the model is: "0.62"; empty where it predicts no class. */
export function sureness(prediction: Prediction | null): string {
  return prediction === null || prediction.class === null ? "" : probability(prediction.value);
}

/** All that is known of a sample, with exact numbers. */
export function described(card: Card, prediction: Prediction | null): string {
  const parts = [card.title];
  if (card.problem !== "") parts.push(card.problem);
  if (prediction !== null) parts.push(...predicted(prediction));
  return parts.join(" · ");
}

function predicted({ class: named, value, loss, wrong }: Prediction): string[] {
  const parts =
    named === null
      ? [`predicted ${exact(value ?? Number.NaN)}`]
      : [`predicted ${named}${wrong ? " (wrong)" : ""}`, `probability ${exact(value ?? Number.NaN)}`];
  return loss === null ? parts : [...parts, `loss ${exact(loss)}`];
}

/** What readers say of a card: all that is seen of it. */
export function spoken(card: Card, prediction: Prediction | null): string {
  const values = card.names.map((name, at) => `${name} ${exact(card.values[at] ?? Number.NaN)}`);
  const parts = [described(card, prediction), card.text ?? "", values.join(", ")];
  return parts.filter(Boolean).join(": ");
}
