import { Check } from "../../controls/check";
import { Picker } from "../../controls/picker";
import { Slider } from "../../controls/slider";
import { TextBox } from "../../controls/text-box";
import { tileSize } from "./selection";
import type { GalleryStore } from "./store";
import type { Order, Value } from "./types";

const PER_PAGE = [12, 24, 48, 96];
const SIZES = [32, 48, 64, 80, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512];
const ANY = "any";

interface ChoiceProps<T extends Value> {
  store: GalleryStore;
  label: string;
  value: T | null;
  choices: [T, string][];
  onPick(value: T | null, event: Event): void;
}

/** One of the labels or classes, or any: menus hold texts, and values may be numbers. */
function Choice<T extends Value>({ store, label, value, choices, onPick }: ChoiceProps<T>) {
  const known = choices.some(([choice]) => choice === value) || value === null;
  const offered = known ? choices : [...choices, [value, String(value)] as [T, string]];
  if (offered.length === 0) return null;
  const at = offered.findIndex(([choice]) => choice === value);
  const options = [
    [ANY, ANY] as const,
    ...offered.map(([, text], position) => [String(position), text] as const),
  ];
  return (
    <Picker
      label={label}
      labelled
      value={at === -1 ? ANY : String(at)}
      options={options}
      disabled={store.state.lost !== null}
      onPick={(picked, event) =>
        onPick(picked === ANY ? null : (offered[Number(picked)]?.[0] ?? null), event)
      }
    />
  );
}

function Filters({ store }: { store: GalleryStore }) {
  const { selection, page, lost } = store.state;
  const { label, prediction, wrong_only } = selection;
  const labels = page?.labels ?? [];
  const classes = page?.classes ?? [];
  const canBeWrong = wrong_only || (page?.orders.includes("loss") ?? false);
  return (
    <>
      <Choice
        store={store}
        label="Label"
        value={label}
        choices={labels}
        onPick={(value, event) => store.look({ label: value }, event)}
      />
      <Choice
        store={store}
        label="Predicted"
        value={prediction}
        choices={classes}
        onPick={(value, event) => store.look({ prediction: value }, event)}
      />
      {canBeWrong && (
        <Check
          label="Wrong only"
          checked={wrong_only}
          disabled={lost !== null}
          onToggle={(checked, event) => store.look({ wrong_only: checked }, event)}
        />
      )}
    </>
  );
}

function Sorting({ store }: { store: GalleryStore }) {
  const { selection, page, lost } = store.state;
  const { order, descending } = selection;
  const orders = [...new Set<Order>([...(page?.orders ?? ["index"]), order])];
  return (
    <>
      <Picker
        label="Sort by"
        labelled
        value={order}
        options={orders.map((name) => [name, name] as const)}
        disabled={lost !== null || page === null}
        onPick={(value, event) => store.look({ order: value as Order }, event)}
      />
      <Check
        label="Descending"
        checked={descending}
        disabled={lost !== null || page === null}
        onToggle={(checked, event) => store.look({ descending: checked }, event)}
      />
    </>
  );
}

function Layout({ store }: { store: GalleryStore }) {
  const { selection, page, lost } = store.state;
  const { per_page, size } = selection;
  const counts = [...new Set([...PER_PAGE, per_page])].sort((a, b) => a - b);
  const hasPictures = page?.thumbnails != null;
  const shown = tileSize(page?.cards ?? [], size);
  const at = SIZES.findIndex((side) => side >= shown);
  return (
    <>
      <Picker
        label="Per page"
        labelled
        value={String(per_page)}
        options={counts.map((count) => [String(count), String(count)] as const)}
        disabled={lost !== null}
        onPick={(value, event) => store.fill(Number(value), event)}
      />
      {hasPictures && (
        <Slider
          label="Size"
          value={at === -1 ? SIZES.length - 1 : at}
          count={SIZES.length}
          shown={`${shown} px`}
          spoken={`${shown} pixels`}
          disabled={lost !== null}
          onMove={(value, event) => store.move({ size: SIZES[value] ?? null }, event)}
        />
      )}
    </>
  );
}

/** All controls, in one bar on top. */
export function Bar({ store }: { store: GalleryStore }) {
  const { selection, lost } = store.state;
  return (
    <>
      <Slider
        label="Page"
        value={selection.page}
        count={store.pageCount}
        spoken={`${selection.page} of ${store.pageCount}`}
        disabled={lost !== null}
        onMove={(value, event) => store.move({ page: value }, event)}
      />
      <Sorting store={store} />
      <Filters store={store} />
      <Layout store={store} />
      {store.canAppend && (
        <TextBox
          label="New sentence"
          action="Add"
          disabled={lost !== null}
          onEnter={(text, event) => store.append(text, event)}
        />
      )}
    </>
  );
}
