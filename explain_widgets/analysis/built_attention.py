"""Attention weights that the model itself has built, looked at like those from queries and keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.score_steps import Span


@dataclass(frozen=True)
class BuiltAttention(Attention):
    """One attention call of which the weights themselves are kept; see `built_attention`.

    Attributes
    ----------
    built
        (heads, queries, keys), in the model's own dtype, on its device.
    """

    built: Tensor = field(default_factory=lambda: torch.empty(0, 0, 0))

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return "weights as the model built them"

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.built.nbytes

    def block(self, heads: Span, rows: Span, keys: Span, every: int = 1) -> Tensor:
        """The weights of a block of heads, (each ``every``-th) query and keys, in that order."""
        return self.built[slice(*heads), slice(*rows, every), slice(*keys)].to(self._dtype)

    def sum_steps(self, head: Head) -> Iterator[float]:
        """Nothing: no weight needs the others of its row."""
        self._heads_of(head)
        yield from ()

    def _head_chunk(
        self, head: int, rows: Span, keys: Span, every: int, key_edges: list[int] | None
    ) -> Iterator[tuple[Span, Tensor]]:
        for span in self._key_spans(keys, key_edges):
            yield span, self.built[head, slice(*rows, every), slice(*span)].to(self._dtype)


def built_attention(
    weights: Tensor,
    *,
    name: str,
    kind: str,
    source: str,
    note: str,
    value_norms: Tensor | None = None,
) -> Attention:
    """An `Attention` of weights that exist already, (heads, queries, keys).

    Its queries and keys have no channels: they carry the numbers of heads and positions alone.

    Examples
    --------
    >>> weights = torch.rand(2, 3, 5).softmax(-1)
    >>> made = built_attention(weights, name="", kind="cross", source="", note="")
    >>> torch.equal(made.row(1, 2), weights[1, 2])
    True
    """
    heads, queries, keys = weights.shape
    return BuiltAttention(
        query=weights.new_empty(heads, queries, 0),
        key=weights.new_empty(heads, keys, 0),
        scale=1.0,
        name=name,
        kind=kind,
        source=source,
        check=0.0,  # they are what the model used
        note=note,
        value_norms=value_norms,
        built=weights,
    )
