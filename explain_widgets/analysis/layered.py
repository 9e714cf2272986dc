"""Attention of several layers, looked at as one from the top of them to their input.

Long inputs are treated in groups of neighbouring positions: what a group looks at is the mean over
its queries and the sum over keys, as in `derived.grouped`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.derived import DerivedAttention
from explain_widgets.analysis.pooling import clip_edges, edges, gather_bins
from explain_widgets.analysis.score_steps import Span

# Weights that are averaged in one step, and products that are summed: some 10 ms of a core.
_CPU_WEIGHTS, _CPU_PRODUCTS = 2**19, 2**27
_WEIGHTS, _PRODUCTS = 2**25, 2**34


@dataclass(frozen=True)
class LayeredAttention(DerivedAttention):
    """Attention through a stack of layers; its head i is what comes through layers 0 to i.

    All of it is computed when it is asked for, and kept.

    Attributes
    ----------
    layers
        The self-attention of each layer, over the same positions, from the input up.
    edges
        Borders of the groups of neighbouring positions that are treated as one: group i is
        [edges[i], edges[i + 1]).
    """

    layers: tuple[Attention, ...] = field(default=(), repr=False)
    edges: tuple[int, ...] = field(default=(), repr=False)

    @property
    def groups(self) -> int:
        """Number of groups: as many as there are positions where nothing is pooled."""
        return len(self.edges) - 1

    @property
    def nbytes(self) -> int:
        """Bytes held once all is computed."""
        own = self.heads * self.groups**2 * self._dtype.itemsize
        return own + sum(layer.nbytes for layer in self.layers)

    def prepare_steps(self, head: Head) -> Iterator[float]:
        """All of ``head``, in steps that yield the share that is done: after it, it is there."""
        depths = range(*self._heads_of(head))
        for number, depth in enumerate(depths):
            for share in self._steps(depth):
                yield (number + share) / len(depths)

    def sum_steps(self, head: Head) -> Iterator[float]:
        """Nothing more than `prepare_steps`."""
        yield from self.prepare_steps(head)

    def _rows(self, head: int, rows: Span, keys: Span, every: int) -> Tensor:
        group_of = self._group_of()
        wanted, places = group_of[slice(*rows, every)].unique_consecutive(return_inverse=True)
        values = self._between_groups(head, wanted)
        return self._spread(values, group_of)[:, slice(*keys)][places]

    def _group_of(self) -> Tensor:
        """(positions,): the group of each."""
        sizes = self._sizes()
        return torch.arange(self.groups, device=sizes.device).repeat_interleave(sizes)

    def _sizes(self) -> Tensor:
        return torch.tensor(self.edges, device=self.query.device).diff()

    # What each kind of it has of its own.

    def _steps(self, depth: int) -> Iterator[float]:
        """Compute all of one depth, in steps that yield the share that is done."""
        raise NotImplementedError

    def _between_groups(self, depth: int, wanted: Tensor) -> Tensor:
        """(wanted, groups): how some groups, at the top, look at all at the input."""
        raise NotImplementedError

    def _spread(self, values: Tensor, group_of: Tensor) -> Tensor:
        """(rows, groups) put on all positions: (rows, positions)."""
        raise NotImplementedError


Kind = TypeVar("Kind", bound=LayeredAttention)
Returned = TypeVar("Returned")


def layered(
    kind: type[Kind],
    layers: Sequence[Attention],
    borders: Sequence[int] | None,
    source: str,
    note: str,
    **fields: object,
) -> Kind:
    """A ``kind`` of attention through ``layers``, with fields of its own.

    ``borders``: of groups; None: each position by itself.

    Raises
    ------
    ValueError
        When the layers are not about the same positions.
    """
    counts = {count for layer in layers for count in (layer.queries, layer.keys)}
    if len(counts) != 1:
        raise ValueError("The layers are no self-attention over the same positions.")
    (count,) = counts
    note = pooled_note(note, count, borders)
    borders = range(count + 1) if borders is None else borders
    empty = layers[0].query.new_empty(len(layers), count, 0)
    return kind(
        query=empty,
        key=empty,
        scale=1.0,
        source=source,
        note=note,
        prompt=layers[0].prompt,
        base=layers[-1],
        layers=tuple(layers),
        edges=tuple(borders),
        **fields,  # type: ignore[arg-type]
    )


def pooled_note(note: str, count: int, borders: Sequence[int] | None) -> str:
    """The note, and before it whether what it is said of is approximate."""
    if borders is None or len(borders) - 1 == count:
        return note
    return f"approximate: {count} positions in {len(borders) - 1} groups of neighbours; {note}"


def group_borders(count: int, most: int, alone: int = 1, valid: Span | None = None) -> list[int]:
    """Borders of at most ``most`` groups of neighbours among ``count`` positions.

    Parameters
    ----------
    alone
        So many of the first positions stay by themselves: class tokens, what comes before.
    valid
        The positions that are no padding; what lies before and after is one group each.

    Examples
    --------
    >>> group_borders(10, 5, alone=1, valid=(0, 8))
    [0, 1, 3, 5, 8, 10]
    """
    if count <= most:
        return list(range(count + 1))
    start, stop = valid or (0, count)
    padding = int(start > 0) + int(stop < count)
    first = min(start + alone, stop, start + most // 2)
    left = max(1, min(stop - first, most - padding - (first - start)))
    borders = [*range(start, first), *edges((first, stop), left)]
    return sorted({0, *borders, count})


def part_of(
    steps: Generator[float, None, Returned], done: float, part: float
) -> Generator[float, None, Returned]:
    """The same steps as ``part`` of more work, of which ``done`` comes before; returns the same."""
    while True:
        try:
            share = next(steps)
        except StopIteration as stop:
            returned: Returned = stop.value
            return returned
        yield done + part * share


def mean_steps(attention: Attention, borders: Sequence[int]) -> Generator[float, None, Tensor]:
    """The mean over all heads, in steps that yield the share that is done; it is returned.

    Returns
    -------
    Tensor
        (groups, groups): the sum over the keys of a group, the mean over its queries. A query
        without any key has nothing, also where the model has NaN for it.
    """
    borders, count = list(borders), attention.keys
    at_once = _CPU_WEIGHTS if attention.query.device.type == "cpu" else _WEIGHTS
    heads_at_once, rows_at_once = max(1, at_once // count**2), max(1, at_once // count)
    sizes = torch.tensor(borders, device=attention.query.device).diff()
    total = attention.query.new_zeros(len(sizes), len(sizes), dtype=attention._dtype)
    for head in range(0, attention.heads, heads_at_once):
        heads = head, min(head + heads_at_once, attention.heads)
        for start in range(0, count, rows_at_once):
            rows = start, min(start + rows_at_once, count)
            weights = attention.block(heads, rows, (0, count)).nan_to_num(0.0).sum(0)
            first, clipped = clip_edges(borders, rows)
            pooled = gather_bins(gather_bins(weights, borders, 1, "mean"), clipped, 0, "mean")
            total[first : first + len(pooled)] += pooled
            yield (head + (heads[1] - head) * rows[1] / count) / attention.heads
    return total / (attention.heads * sizes[:, None])


def with_residual(mean: Tensor) -> Tensor:
    """½ A + ½ I, each row divided by its sum: half of a position comes from the residual branch."""
    mixed = mean.clone()
    mixed.diagonal().add_(1.0)
    return mixed / mixed.sum(-1, keepdim=True)


def product_steps(matrix: Tensor, other: Tensor) -> Generator[float, None, Tensor]:
    """``matrix`` · ``other``, both square, in steps that yield the share done; it is returned."""
    at_once = _CPU_PRODUCTS if matrix.device.type == "cpu" else _PRODUCTS
    count = len(matrix)
    step = max(1, at_once // count**2)
    product = torch.empty_like(other)
    for start in range(0, count, step):
        torch.matmul(matrix[start : start + step], other, out=product[start : start + step])
        yield min(1.0, (start + step) / count)
    return product
