"""Attention rollout: the attention of several layers, multiplied into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.layered import (
    LayeredAttention,
    layered,
    mean_steps,
    part_of,
    product_steps,
    with_residual,
)

MOST_POSITIONS = 1024
"""More positions than these are rolled out in groups of neighbours."""

NOTE = "product of ½ mean over heads + ½ I of layers 0 to the picked one"
_GRADIENT_NOTE = "product of I + mean over heads of (∇A ⊙ A)⁺ of layers 0 to the picked one"


@dataclass(frozen=True)
class Rollout(LayeredAttention):
    """Attention rolled out through a stack of layers; see `attention_rollout`.

    Attributes
    ----------
    is_gradient
        Whether the layers are gradient × attention.
    """

    is_gradient: bool = False
    _rolled: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return "rollout of gradient × attention" if self.is_gradient else "attention rollout"

    @property
    def sums_to_one(self) -> bool:
        """Whether the weights of a query sum to one."""
        return not self.is_gradient

    def _steps(self, depth: int) -> Iterator[float]:
        for layer in range(depth + 1):
            if layer not in self._rolled:
                for share in self._layer_steps(layer):
                    yield (layer + share) / (depth + 1)

    def _layer_steps(self, layer: int) -> Iterator[float]:
        """Roll out one layer more than is there."""
        mean = yield from part_of(mean_steps(self.layers[layer], self.edges), 0.0, 0.5)
        mean = mean.to(self.query.device)
        mixed = mean + torch.eye(len(mean)).to(mean) if self.is_gradient else with_residual(mean)
        if layer > 0:
            product = product_steps(mixed, self._rolled[layer - 1])
            mixed = yield from part_of(product, 0.5, 0.5)
        self._rolled[layer] = mixed

    def _between_groups(self, depth: int, wanted: Tensor) -> Tensor:
        for _ in self._steps(depth):
            pass
        return self._rolled[depth][wanted]

    def _spread(self, values: Tensor, group_of: Tensor) -> Tensor:
        return (values / self._sizes())[:, group_of]


def attention_rollout(
    layers: Sequence[Attention], borders: Sequence[int] | None = None, is_gradient: bool = False
) -> Attention:
    """How positions look at the input through all layers at once, one more layer a head.

    Rollout of Abnar and Zuidema (2020), "Quantifying Attention Flow in Transformers": of each layer
    Â = ½ mean of A over its heads + ½ I, each row divided by its sum, since half of what a position
    becomes is taken to be what it was; then Âᵢ · … · Â₁ · Â₀. Of gradient × attention the rules of
    Chefer, Gur and Wolf (2021) for self-attention (their equations 5 and 6): the product of
    I + mean of (∇A ⊙ A)⁺, not rescaled. A query without any key stays with itself.

    Parameters
    ----------
    layers
        The self-attention of each layer, over the same positions, from the input up.
    borders
        Of groups of neighbouring positions that are rolled out as one, see `group_borders`: it is
        approximate then, and says so. A group's weight is spread evenly over its positions. None:
        each position by itself.
    is_gradient
        Whether ``layers`` are `gradient_weighted`.

    Returns
    -------
    Attention
        With as many heads as there are layers: head i is rolled out through layers 0 to i.

    Examples
    --------
    >>> layers = [Attention(torch.randn(2, 5, 4), torch.randn(2, 5, 4), 0.5) for _ in range(3)]
    >>> rolled = attention_rollout(layers)
    >>> rolled.heads, torch.allclose(rolled.weights(2).sum(-1), torch.ones(5))
    (3, True)
    """
    note = _GRADIENT_NOTE if is_gradient else NOTE
    return layered(Rollout, layers, borders, "rollout", note, is_gradient=is_gradient)
