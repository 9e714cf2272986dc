import { pick } from "../../kernel/arrays";
import type { Answer } from "../../kernel/connection";
import type { Token } from "../../marks/tokens";
import { clampIndex, lensOf, namedSides, tokenList } from "./selection";
import type {
  Compared,
  ComparedPicture,
  Layer,
  Other,
  OtherContent,
  Picture,
  SampleContent,
  Selection,
  State,
} from "./types";
import type { Place } from "./weights";

/** The other side while this is looked at; null: nothing is compared. */
export function otherOf({ compared, sample, layer, head }: Selection): Other | null {
  if (compared === null) return null;
  const [otherSample, otherLayer, otherHead, model] = compared;
  return {
    ...{ sample: otherSample ?? sample, layer: otherLayer ?? layer, head: otherHead ?? head },
    model,
  };
}

/** Only matrices are compared: the lines and the text are those of A. */
export const isComparing = ({ compared, view }: Selection) => compared !== null && view === "matrix";

/** What is shown as the other side; of another model the same place, wherever that is. */
export const pinned = ({ sample, layer, head }: Selection, another: boolean): Compared =>
  another ? [null, null, null, 1] : [sample, layer, head, 0];

/** A where B is and B where A is; the models stay, and so does what follows. */
export function swapped(selection: Selection): Partial<Selection> {
  const other = otherOf(selection);
  if (other === null || selection.compared === null) return {};
  const { sample, layer, head } = other;
  const [followed] = selection.compared;
  const compared: Compared = [
    followed === null ? null : selection.sample,
    ...([selection.layer, selection.head, other.model] as const),
  ];
  return { sample, layer, head, compared };
}

/** The other side within what there is to pick from. */
export function clampCompared(compared: Compared, { layers }: SampleContent): Compared {
  const [sample, layer, head, model] = compared;
  const index = layer === null ? null : clampIndex(layer, layers.length);
  const heads = index === null ? 0 : (layers[index]?.heads ?? 0);
  const within = typeof head === "number" && heads > 0 ? clampIndex(head, heads) : head;
  return index === layer && within === head ? compared : [sample, index, within, model];
}

/** What was read of that side, if it is what is there now. */
export const contentOf = (other: Other, content: OtherContent | null): OtherContent | null =>
  content?.sample === other.sample && content.model === other.model ? content : null;

/** The layer and the tokens of the other side of a picture. */
export function otherSides(picture: Picture, content: OtherContent | null) {
  const other = picture.compared?.other;
  const found = other === undefined ? null : contentOf(other, content);
  const layer: Layer | null = found?.layers[other?.layer ?? 0] ?? null;
  if (found === null || layer === null) return { layer, queryTokens: null, keyTokens: null };
  return {
    layer,
    ...namedSides(layer, tokenList(found, layer.query_tokens), tokenList(found, layer.key_tokens)),
  };
}

/** One name a position; where the texts differ, both. */
export function joinedTokens(mine: Token[] | null, theirs: Token[] | null): Token[] | null {
  if (mine === null || theirs === null) return mine;
  return mine.map((token, position) => {
    const other = theirs[position]?.[0] ?? token[0];
    return other === token[0] ? token : [`${token[0]} / ${other}`, ...(token.slice(1) as Rest)];
  });
}
type Rest = [raw: string, joined: 0 | 1, special: 0 | 1, generated: 0 | 1];

/** The other side's part of an answer to a `compare` request. */
export function comparedPicture({ arrays, content }: Answer, other: Other): ComparedPicture {
  const line = (name: string) => pick(arrays, name, "float32")?.data ?? null;
  const { other_revision: revision } = content as { other_revision: number };
  const matrix = pick(arrays, "b", "uint8");
  return { other, revision, matrix, from: line("other_from"), to: line("other_to") };
}

/** Under what the other side's exact rows are kept. */
export function otherPlace({ selection, compared }: Picture): Place | null {
  if (compared === null) return null;
  return { ...compared.other, lens: selection.lens, revision: compared.revision };
}

interface OtherHost {
  ask(kind: string, selection: object, began: number, answer: (answer: Answer) => void): void;
  update(changes: Partial<State>): void;
}

/** Asks for what there is to pick from on the other side, and for the colours of differences. */
export class OtherSide {
  private asked = "";
  private table = "";

  constructor(private readonly host: OtherHost) {}

  forget(): void {
    this.asked = "";
  }

  follow(selection: Selection, began: number): void {
    const other = otherOf(selection);
    if (other === null) return;
    const { sample, model } = other;
    const { padding, units } = selection;
    const key = JSON.stringify([sample, model, padding, units]);
    if (key !== this.asked) {
      this.asked = key;
      this.host.ask("other", { sample, model, padding, lens: lensOf(selection) }, began, ({ content }) =>
        this.host.update({ other: { ...(content as SampleContent), model } }),
      );
    }
    if (selection.comparison === "difference") this.askTable(selection.difference_colormap, began);
  }

  private askTable(name: string, began: number): void {
    if (name === this.table) return;
    this.table = name;
    this.host.ask("difference_colormap", { name }, began, ({ arrays }) => {
      const table = pick(arrays, "table", "uint8")?.data.slice() ?? null;
      if (this.table === name) this.host.update({ differenceTable: table });
    });
  }
}
