import { pick } from "../../kernel/arrays";
import type { Answer } from "../../kernel/connection";
import { comparedPicture } from "./comparison";
import { namedSides, tokenList } from "./selection";
import type { HeadContent, HeadSelection, Layer, Other, Picture, SampleContent } from "./types";

/** An answer with all that is needed to show it; `other`: what was compared, in a `compare` answer. */
export function pictureOf(
  answer: Answer,
  selection: HeadSelection,
  content: SampleContent,
  layer: Layer,
  other: Other | null,
): Picture {
  const { arrays, payload, bytes, milliseconds, partial } = answer;
  const matrix = ["matrix", "a", "difference"]
    .map((name) => pick(arrays, name, "uint8"))
    .find((found) => found !== null);
  if (matrix === undefined) throw new Error("it has no matrix");
  return {
    ...(answer.content as HeadContent),
    ...{ selection, layer, matrix, payload, bytes, milliseconds, partial },
    from: pick(arrays, "from", "float32")?.data ?? null,
    to: pick(arrays, "to", "float32")?.data ?? null,
    compared: other === null ? null : comparedPicture(answer, other),
    title: content.title,
    ...namedSides(layer, tokenList(content, layer.query_tokens), tokenList(content, layer.key_tokens)),
  };
}
