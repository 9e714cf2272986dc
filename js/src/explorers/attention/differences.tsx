import { short, signed } from "../../marks/numbers";
import { shown, strongest, tip } from "../../marks/tokens";
import { joinedTokens, otherSides } from "./comparison";
import { sideOf } from "./selection";
import type { AttentionStore } from "./store";
import type { Picture } from "./types";

const STRONGEST = 5;

/** Where the picked position's weights differ most between A and B. */
export function Differences({ store, picture }: { store: AttentionStore; picture: Picture }) {
  const { direction, other: content } = store.state;
  const { weights, others, span } = sideOf(picture, direction);
  const theirs = picture.compared?.[direction] ?? null;
  if (weights === null || theirs === null) return null;
  const sides = otherSides(picture, content);
  const names = joinedTokens(others, direction === "from" ? sides.keyTokens : sides.queryTokens);
  const sizes = weights.map((weight, position) => Math.abs(weight - (theirs[position] ?? 0)));
  return (
    <section class="xw-differences" aria-label="Strongest differences">
      <h3>Strongest differences</h3>
      <table class="xw-change">
        <thead>
          <tr>
            <th scope="col">{direction === "from" ? "Key" : "Query"}</th>
            <th scope="col">A</th>
            <th scope="col">B</th>
            <th scope="col">A − B</th>
          </tr>
        </thead>
        <tbody>
          {strongest(sizes, span, STRONGEST).map(({ position }) => {
            const [mine = 0, other = 0] = [weights[position], theirs[position]];
            return (
              <tr key={position}>
                <th scope="row" title={tip(others, position)}>
                  {names !== null && `${shown(names, position)} `}
                  <small>{position}</small>
                </th>
                <td class="xw-number">{short(mine)}</td>
                <td class="xw-number">{short(other)}</td>
                <td class="xw-number">{signed(short(mine - other))}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
