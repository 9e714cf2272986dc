"""Taking attention heads out of a forward, to see what the model does without them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from torch import Tensor

How: TypeAlias = Literal["zero", "mean"]


class HeadAblation(NamedTuple):
    """A head that is taken out of the forward (Michel et al. 2019).

    Attributes
    ----------
    layer
        Name of the attention call, as in `AttentionLayer`, or its index.
    head
        Index of the head.
    how
        ``"zero"``: what the head returns becomes 0. ``"mean"``: it becomes its mean over the
        positions, so that it says the same at each.
    """

    layer: str | int
    head: int
    how: How = "zero"


Ablations: TypeAlias = frozenset[HeadAblation]
NONE: Ablations = frozenset()


@dataclass(frozen=True)
class LayerAblation:
    """What happens to the heads of one call: how many it has, and by index how some are ablated."""

    heads: int
    hows: Mapping[int, How]

    def of_output(self, output: Tensor) -> Tensor:
        """What a call returned, (…, heads, queries, channels), without the ablated heads.

        Heads that were packed into the queries (one query, grouped heads) are told apart as well.
        """
        folded = output.reshape(-1, *output.shape[-2:])
        if len(folded) % self.heads:
            folded = folded.reshape(-1, 1, output.shape[-1])
        return self._ablated(folded).reshape(output.shape)

    def of_weights(self, weights: Tensor) -> Tensor:
        """Weights, (…, heads, queries, keys): what they give is as without the ablated heads."""
        return self._ablated(weights.reshape(-1, *weights.shape[-2:])).reshape(weights.shape)

    def _ablated(self, folded: Tensor) -> Tensor:
        folded = folded.clone()
        for head, how in self.hows.items():
            # Windows, or entries of a batch, follow each other: the head is taken out of each.
            some = folded[head :: self.heads]
            folded[head :: self.heads] = some.mean(-2, keepdim=True) if how == "mean" else 0
        return folded


def by_layer(ablations: Ablations, heads: Mapping[str, int]) -> dict[str, LayerAblation]:
    """What happens to each call, by its name; ``heads``: how many each has."""
    found: dict[str, dict[int, How]] = {}
    for layer, head, how in sorted(ablations, key=str):
        found.setdefault(str(layer), {})[head] = how
    return {name: LayerAblation(heads[name], hows) for name, hows in found.items()}


def checked(given: Iterable[Any], heads: Mapping[str, int]) -> Ablations:
    """Heads to ablate as they were written, with layers by name.

    Parameters
    ----------
    given
        `HeadAblation` or tuples of that form.
    heads
        Name of each attention call, in order, and the number of its heads.

    Raises
    ------
    ValueError
        When there is no such layer, head or way.
    """
    names = list(heads)
    found = set()
    for one in given:
        layer, head, how = HeadAblation(*one)
        if isinstance(layer, int) and 0 <= layer < len(names):
            layer = names[layer]
        if layer not in heads:
            raise ValueError(f"ablate: there is no attention layer {layer!r}.")
        if not 0 <= head < heads[str(layer)]:
            raise ValueError(
                f"ablate: head {head} is out of range: {layer} has {heads[str(layer)]} heads."
            )
        if how not in get_args(How):
            raise ValueError(f'ablate: {how!r} is neither "zero" nor "mean".')
        found.add(HeadAblation(layer, int(head), how))
    if len({one[:2] for one in found}) < len(found):
        raise ValueError("ablate: a head is named twice.")
    return frozenset(found)
