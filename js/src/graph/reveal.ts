import { blockOf, type Description, holds, shownOf } from "./description";
import type { Nest, Place } from "./nest";
import { foldOf, nestOf, type View } from "./view";

/** Which boxes are open, and which block of each fold is shown. */
export interface Sight {
  opened: string[];
  instances: Record<string, number>;
}

/** Id of the bundle, open or not, in which the item at a place is shown; null: it is in none. */
function bundleOf(nest: Nest, view: View, place: Place, index: number): string | null {
  const before = `${nest.name(place.call)}[`;
  for (const { id, kind } of view.boxes) {
    if (kind !== "bundle" || !id.startsWith(before)) continue;
    const range = /^(\d+):(\d+)\]$/.exec(id.slice(before.length));
    if (range !== null && index >= Number(range[1]) && index < Number(range[2])) return id;
  }
  return null;
}

/** The box in which a call is shown: its own, or the closed one around it, or the same place in another block. */
export function shownIn(
  description: Description,
  view: View,
  instances: Sight["instances"],
  name: string,
): { id: string; isItself: boolean } | null {
  const nest = nestOf(description);
  const call = nest.callOf(name);
  if (call < 0) return null;
  let shown: Place = nest.root;
  let found: string | null = null;
  for (const { index } of nest.routeTo(call)) {
    const run = nest.group(shown.group).repeats.find((one) => holds(one, index));
    const place = run === undefined ? index : shownOf(run, index, instances[foldOf(nest, shown, run)] ?? 0);
    const inner = nest.within(shown, place);
    if (inner === null) break;
    const id = nest.name(inner.call);
    if (!view.byId.has(id)) {
      found = bundleOf(nest, view, shown, place) ?? found;
      break;
    }
    found = id;
    shown = inner;
  }
  return found === null ? null : { id: found, isItself: found === name };
}

/** What has to be open, and which blocks to be shown, for a call to have a box of its own. */
export function revealed(
  description: Description,
  viewOf: (sight: Sight) => View,
  { opened, instances }: Sight,
  name: string,
): Sight {
  const nest = nestOf(description);
  const sight: Sight = { opened: [...opened], instances: { ...instances } };
  const call = nest.callOf(name);
  for (const { place, index } of call < 0 ? [] : nest.routeTo(call)) {
    if (place.call >= 0) sight.opened.push(nest.name(place.call));
    const run = nest.group(place.group).repeats.find((one) => holds(one, index));
    if (run !== undefined) sight.instances[foldOf(nest, place, run)] = blockOf(run, index);
    const bundle = bundleOf(nest, viewOf(sight), place, index);
    if (bundle !== null) sight.opened.push(bundle);
  }
  sight.opened = [...new Set(sight.opened)];
  return sight;
}

/** The same boxes open in another block of a fold; its place: the group that the fold is in. */
export function inOtherBlock(description: Description, sight: Sight, fold: string, instance: number): Sight {
  const nest = nestOf(description);
  const at = placeOfFold(nest, fold);
  const instances = { ...sight.instances, [fold]: instance };
  if (at === null) return { ...sight, instances };
  const { place, run } = at;
  const [start, period] = run;
  const before = sight.instances[fold] ?? 0;
  const names = new Map<string, string>();
  for (let n = 0; n < period; n += 1) {
    const from = nest.within(place, start + before * period + n);
    const to = nest.within(place, start + instance * period + n);
    if (from === null || to === null) continue;
    const count = nest.callsIn(from.group);
    for (let call = 0; call <= count; call += 1)
      names.set(nest.name(from.call + call), nest.name(to.call + call));
  }
  const opened = sight.opened.map((id) => {
    const bundle = /^(.*)(\[\d+:\d+\])$/.exec(id);
    return bundle === null
      ? (names.get(id) ?? id)
      : (names.get(bundle[1] as string) ?? bundle[1]) + (bundle[2] as string);
  });
  return { opened, instances };
}

function placeOfFold(nest: Nest, fold: string) {
  const [, name = "", start] = /^(.*)\*(\d+)$/.exec(fold) ?? [];
  const call = nest.callOf(name);
  const route = nest.routeTo(call);
  const last = route.at(-1);
  const candidates = [last === undefined ? null : nest.within(last.place, last.index), nest.root];
  for (const place of candidates) {
    const run =
      place === null ? undefined : nest.group(place.group).repeats.find((one) => one[0] === Number(start));
    if (place !== null && run !== undefined && foldOf(nest, place, run) === fold) return { place, run };
  }
  return null;
}
