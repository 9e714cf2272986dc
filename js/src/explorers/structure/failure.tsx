import type { StructureStore } from "./store";
import type { Failure } from "./types";

/** The forward broke off: where, at which shapes, and with which exception. */
export function FailureStrip({ store, failure }: { store: StructureStore; failure: Failure }) {
  const { type, message, call, operation, shapes } = failure;
  const met = shapes.length === 0 ? "" : ` of ${shapes.map((shape) => `[${shape}]`).join(" and ")}`;
  return (
    <p class="xw-failure" role="alert">
      {"The forward failed in "}
      <button
        type="button"
        class="xw-link"
        disabled={store.state.lost !== null}
        onClick={(event) => store.pick(call, event)}
      >
        {call || "the model"}
      </button>
      {`: ${operation || "its own code"}${met} raised ${type}: ${message}`}
    </p>
  );
}
