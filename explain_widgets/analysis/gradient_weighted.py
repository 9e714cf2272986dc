"""Attention weights times their gradient: what of the attention speaks for a target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.derived import DerivedAttention, derived_from
from explain_widgets.analysis.score_steps import Span


@dataclass(frozen=True)
class GradientWeighted(DerivedAttention):
    """Gradient × attention of one call; see `gradient_weighted`.

    Attributes
    ----------
    gradient
        (heads, queries, channels), of the target by what the call returned; without ``value``
        (heads, queries, keys), by the weights themselves.
    value
        (value heads, keys, channels); None: see ``gradient``.
    """

    gradient: Tensor = field(default_factory=lambda: torch.empty(0, 0, 0), repr=False)
    value: Tensor | None = field(default=None, repr=False)

    @property
    def origin(self) -> str:
        """Where the measure comes from, in words."""
        return f"gradient × attention, (∇A ⊙ A)⁺, of {self.base.origin}"

    @property
    def sums_to_one(self) -> bool:
        """No: a query that the target does not depend on has nothing."""
        return False

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        held = 0 if self.value is None else self.value.nbytes
        return self.base.nbytes + self.gradient.nbytes + held

    def _rows(self, head: int, rows: Span, keys: Span, every: int) -> Tensor:
        weights = self.base.block((head, head + 1), rows, keys, every)[0]
        return torch.relu(weights * self._gradient(head, rows, keys, every))

    def _head_chunk(
        self, head: int, rows: Span, keys: Span, every: int, key_edges: list[int] | None
    ) -> Iterator[tuple[Span, Tensor]]:
        for span, weights in self.base._head_chunk(head, rows, keys, every, key_edges):
            yield span, torch.relu(weights * self._gradient(head, rows, span, every))

    def _gradient(self, head: int, rows: Span, keys: Span, every: int) -> Tensor:
        """∇A of some rows and keys of one head: what is returned is A · V, so it is ∇O · Vᵀ."""
        some = self.gradient[head, slice(*rows, every)].to(self._dtype)
        if self.value is None:
            return some[:, slice(*keys)]
        value = self.value[head // (self.heads // len(self.value)), slice(*keys)]
        return some @ value.to(self._dtype).mT


def gradient_weighted(
    attention: Attention, gradient: Tensor, value: Tensor | None = None
) -> Attention:
    """Gradient × attention of every head: (∇A ⊙ A)⁺ with ∇A = d target / d A.

    What of the weights raises the target: equation 5 of Chefer, Gur and Wolf (2021), "Generic
    Attention-model Explainability", before the mean over heads. Rows do not sum to one. With the
    values no n × n gradient is held: it is computed for the weights that are looked at.

    Parameters
    ----------
    attention
        The weights A.
    gradient
        (heads, queries, channels): d target / d output of the call, which is A · ``value``.
    value
        (value heads, keys, channels); with fewer value heads than heads as for keys. None:
        ``gradient`` is d target / d A itself, (heads, queries, keys).

    Examples
    --------
    >>> query, value = torch.randn(1, 3, 4), torch.randn(1, 3, 5)
    >>> attention, gradient = Attention(query, query, 0.5), torch.randn(1, 3, 5)
    >>> measure = gradient_weighted(attention, gradient, value).weights(0)
    >>> torch.allclose(measure, (gradient @ value.mT * attention.weights())[0].relu())
    True
    """
    return derived_from(attention, GradientWeighted, gradient=gradient, value=value)
