"""What is made of attention weights: sinks left out, values weighed in, tokens grouped.

Each is an `Attention` again, so that whatever shows weights shows these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.pooling import clip_edges, gather_bins
from explain_widgets.analysis.row_sums import RowSums
from explain_widgets.analysis.score_steps import Masked, Span


@dataclass(frozen=True)
class DerivedAttention(Attention):
    """Attention made of another, a few rows at a time.

    Attributes
    ----------
    base
        What it is made of.
    """

    base: Attention = field(default_factory=lambda: Attention(*2 * (torch.empty(1, 1, 1),), 1.0))

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return self.base.origin

    @property
    def sums_to_one(self) -> bool:
        """Whether the weights of a query sum to one."""
        return self.base.sums_to_one

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.base.nbytes

    def block(self, heads: Span, rows: Span, keys: Span, every: int = 1) -> Tensor:
        """The weights of a block of heads, (each ``every``-th) query and keys, in that order."""
        return torch.stack([self._rows(head, rows, keys, every) for head in range(*heads)])

    def prepare_steps(self, head: Head) -> Iterator[float]:
        """What must be there before anything; see `Attention.prepare_steps`."""
        yield from self.base.prepare_steps(head)

    def sum_steps(self, head: Head) -> Iterator[float]:
        """What columns need of all queries; see `Attention.sum_steps`."""
        yield from self.base.sum_steps(head)

    def _head_chunk(
        self, head: int, rows: Span, keys: Span, every: int, key_edges: list[int] | None
    ) -> Iterator[tuple[Span, Tensor]]:
        for span in self._key_spans(keys, key_edges):
            yield span, self._rows(head, rows, span, every)

    def _rows(self, head: int, rows: Span, keys: Span, every: int) -> Tensor:
        """(rows, keys) of one head."""
        raise NotImplementedError


@dataclass(frozen=True)
class _ValueWeighted(DerivedAttention):
    norms: Tensor = field(default_factory=lambda: torch.empty(0, 0))

    @property
    def sums_to_one(self) -> bool:
        return False

    def _rows(self, head: int, rows: Span, keys: Span, every: int) -> Tensor:
        weights = self.base.block((head, head + 1), rows, keys, every)[0]
        return weights * self._norms_of(head)[slice(*keys)]

    def _head_chunk(
        self, head: int, rows: Span, keys: Span, every: int, key_edges: list[int] | None
    ) -> Iterator[tuple[Span, Tensor]]:
        for span, weights in self.base._head_chunk(head, rows, keys, every, key_edges):
            yield span, weights * self._norms_of(head)[slice(*span)]

    def _norms_of(self, head: int) -> Tensor:
        return self.norms[head // (self.heads // len(self.norms))]


def value_weighted(attention: Attention) -> Attention:
    """Weights times the length of what they weigh, α‖v‖ (Kobayashi et al. 2020).

    A key may be looked at and give nothing: separators have short values. The lengths are those of
    the head's own values, before the output projection mixes the heads.

    Raises
    ------
    ValueError
        When the values were not seen.

    Examples
    --------
    >>> query, value = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    >>> attention = Attention(query, query, 0.5, value_norms=value.norm(dim=-1))
    >>> weighted = value_weighted(attention).weights(0)
    >>> torch.allclose(weighted, attention.weights(0) * value[0].norm(dim=-1))
    True
    """
    norms = attention.value_norms
    if norms is None:
        raise ValueError(f"The values of {attention.name or 'this call'} were not seen.")
    return derived_from(attention, _ValueWeighted, norms=norms.to(attention._dtype))


@dataclass(frozen=True)
class _Rescaled(DerivedAttention):
    keep: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.bool))

    def _rows(self, head: int, rows: Span, keys: Span, every: int) -> Tensor:
        weights = self.base.block((head, head + 1), rows, (0, self.keys), every)[0]
        weights = torch.where(self.keep, weights, 0)
        if self.base.sums_to_one:
            total = weights.sum(-1, keepdim=True)
            weights = torch.where(total > 0, weights / total, 0)
        return weights[:, slice(*keys)]


def without_keys(attention: Attention, hidden: Tensor) -> Attention:
    """Attention with some keys hidden and the rest rescaled to sum to one.

    Weights times the length of values, which sum to nothing known, are not rescaled.

    Parameters
    ----------
    hidden
        (keys,) bool: True where a key is hidden.

    Examples
    --------
    >>> attention = Attention(torch.randn(1, 3, 4), torch.randn(1, 3, 4), scale=0.5)
    >>> rest = without_keys(attention, torch.tensor([True, False, False])).weights(0)
    >>> rest[:, 0].tolist(), torch.allclose(rest.sum(-1), torch.ones(3))
    ([0.0, 0.0, 0.0], True)
    """
    keep = ~hidden.to(attention.query.device)
    if type(attention) is Attention:
        # The softmax over the others is the same weights, rescaled; rows without any are empty.
        step = Masked(keep[None, None])
        return replace(attention, steps=(*attention.steps, step), empty_rows=0.0, _sums=RowSums())
    return derived_from(attention, _Rescaled, keep=keep)


@dataclass(frozen=True)
class _Grouped(DerivedAttention):
    row_edges: tuple[int, ...] = ()
    key_edges: tuple[int, ...] = ()

    def sum_steps(self, head: Head) -> Iterator[float]:
        """Nothing more than anything else: groups read whole rows."""
        yield from self.prepare_steps(head)

    def _rows(self, head: int, rows: Span, keys: Span, every: int) -> Tensor:
        edges = list(self.key_edges[keys[0] : keys[1] + 1])
        first = edges[0]
        parts = []
        for group in range(rows[0], rows[1], every):
            start, stop = self.row_edges[group : group + 2]
            total: Tensor | None = None
            for some in self.base._row_chunks((start, stop)):
                weights = self.base.block((head, head + 1), some, (first, edges[-1]))[0]
                part = gather_bins(weights, clip_edges(edges, (first, edges[-1]))[1], 1, "mean")
                total = part.sum(0) if total is None else total + part.sum(0)
            assert total is not None
            parts.append(total / (stop - start))
        return torch.stack(parts)


def grouped(attention: Attention, row_edges: list[int], key_edges: list[int]) -> Attention:
    """Attention between groups of neighbours, such as words or sentences.

    How much a group of queries looks at a group of keys: the sum over its keys, the mean over its
    queries, so that rows still sum to one.

    Parameters
    ----------
    row_edges, key_edges
        Borders of the groups: group i is [edges[i], edges[i + 1]); from 0 to the last position.

    Examples
    --------
    >>> attention = Attention(torch.randn(1, 4, 8), torch.randn(1, 4, 8), scale=0.3)
    >>> words = grouped(attention, [0, 1, 3, 4], [0, 1, 3, 4])
    >>> torch.allclose(words.weights(0)[1, 1], attention.weights(0)[1:3, 1:3].sum(1).mean())
    True
    """
    return derived_from(
        attention,
        _Grouped,
        sizes=(len(row_edges) - 1, len(key_edges) - 1),
        row_edges=tuple(row_edges),
        key_edges=tuple(key_edges),
    )


def derived_from(
    base: Attention,
    kind: type[DerivedAttention],
    sizes: tuple[int, int] | None = None,
    **fields: object,
) -> Attention:
    """A ``kind`` of attention that is made of ``base``, with fields of its own.

    ``sizes``: numbers of queries and keys, where they are no longer the positions of ``base``.
    """
    queries, keys = (base.queries, base.keys) if sizes is None else sizes
    empty = base.query.new_empty
    made: Attention = kind(
        query=empty(base.heads, queries, 0),
        key=empty(base.heads, keys, 0),
        scale=base.scale,
        name=base.name,
        kind=base.kind,
        source=base.source,
        check=base.check,
        note=base.note,
        prompt=base.prompt if sizes is None else None,
        value_norms=base.value_norms if sizes is None else None,
        base=base,
        **fields,  # type: ignore[arg-type]
    )
    return made
