"""Reducing a matrix to the pixels of a picture: disjoint bins, mean or maximum."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Reduce: TypeAlias = Literal["mean", "max"]


def edges(span: tuple[int, int], bins: int) -> list[int]:
    """Borders of ``bins`` disjoint bins over [start, stop): bin i is [edges[i], edges[i + 1]).

    Examples
    --------
    >>> edges((0, 7), 3)
    [0, 2, 4, 7]
    """
    start, stop = span
    return [start + i * (stop - start) // bins for i in range(bins + 1)]


@dataclass(frozen=True)
class Window:
    """Which weights a picture shows, and the borders of its pixels.

    Attributes
    ----------
    first, every
        The first query that is looked at, and how many further on each next one is.
    row_edges
        Borders of the rows of pixels, counted in the queries that are looked at.
    key_edges
        Borders of the columns of pixels, in positions.
    reduce
        What a pixel shows of the weights within its borders.
    """

    first: int
    every: int
    row_edges: list[int]
    key_edges: list[int]
    reduce: Reduce

    @classmethod
    def of(
        cls,
        rows: tuple[int, int],
        keys: tuple[int, int],
        size: tuple[int, int],
        reduce: Reduce,
        every: int = 1,
    ) -> Window:
        """``rows`` × ``keys`` as a picture of ``size``, of which each row has a query to show.

        Examples
        --------
        >>> window = Window.of((0, 9), (0, 4), (2, 100), "mean", every=2)
        >>> window.first, window.row_edges, window.key_edges
        (1, [0, 2, 4], [0, 1, 2, 3, 4])
        """
        height = min(size[0], rows[1] - rows[0])
        width = min(size[1], keys[1] - keys[0])
        every = max(1, min(every, (rows[1] - rows[0]) // height))
        first = rows[0] + every // 2
        row_edges = [max(0, -((first - edge) // every)) for edge in edges(rows, height)]
        return cls(first, every, row_edges, edges(keys, width), reduce)

    @property
    def is_reduced(self) -> bool:
        """Whether some pixel shows more than one weight."""
        start, stop = self.keys
        height, width = len(self.row_edges) - 1, len(self.key_edges) - 1
        return (height, width) != (self.row_edges[-1], stop - start)

    @property
    def keys(self) -> tuple[int, int]:
        """The keys that are looked at, in positions."""
        return self.key_edges[0], self.key_edges[-1]

    def rows(self, some: tuple[int, int]) -> tuple[int, int]:
        """The positions, from the first to behind the last, of ``some`` queries looked at."""
        start, stop = some
        return self.first + start * self.every, self.first + (stop - 1) * self.every + 1


def pool(values: Tensor, row_edges: list[int], column_edges: list[int], reduce: Reduce) -> Tensor:
    """Reduce (rows, columns) to one value a bin, (len(row_edges) − 1, len(column_edges) − 1).

    ``values`` begins at the first edge of each axis. ``"mean"`` weighs all cells of a bin alike.
    """
    columns = gather_bins(values, column_edges, 1, reduce)
    pooled = gather_bins(columns, row_edges, 0, reduce)
    return pooled / bin_sizes(row_edges, column_edges, values) if reduce == "mean" else pooled


def bin_sizes(row_edges: list[int], column_edges: list[int], like: Tensor) -> Tensor:
    """(rows, columns) of bins: how many cells each has; dtype and device of ``like``."""
    heights, widths = (
        torch.tensor(bin_edges, device=like.device).diff().to(like.dtype)
        for bin_edges in (row_edges, column_edges)
    )
    return heights[:, None] * widths


def gather_bins(values: Tensor, bin_edges: list[int], axis: int, reduce: Reduce) -> Tensor:
    """The sum (for ``"mean"``) or maximum of each bin along ``axis``, counted from 0.

    The axis begins at the first edge; others stay as they are.
    """
    bins, count = len(bin_edges) - 1, values.shape[axis]
    if bins == count:
        return values
    lengths = [stop - start for start, stop in itertools.pairwise(bin_edges)]
    if len(set(lengths)) == 1:
        return _gathered(values.unflatten(axis, (bins, lengths[0])), axis + 1, reduce)
    if len(set(lengths[:-1])) == 1 and lengths[-1] < lengths[0]:
        body, rest = values.split([count - lengths[-1], lengths[-1]], axis)
        last = _gathered(rest, axis, reduce).unsqueeze(axis)
        return torch.cat([gather_bins(body, bin_edges[:-1], axis, reduce), last], axis)
    # What a shorter bin lacks is its last cell again, or 0.
    first = torch.tensor(bin_edges, device=values.device) - bin_edges[0]
    shape = (bins, *(1,) * (values.ndim - axis - 1))
    cells = []
    for number in range(max(lengths)):
        cell = values.index_select(axis, torch.minimum(first[:-1] + number, first[1:] - 1))
        if reduce == "mean" and number:
            cell = torch.where((first.diff() > number).view(shape), cell, 0)
        cells.append(cell)
    return _cell_by_cell(cells, reduce)


# Of so few cells a bin, the processor is quicker to compare whole tensors.
_FEW = 8


def _gathered(cells: Tensor, axis: int, reduce: Reduce) -> Tensor:
    if 1 < cells.shape[axis] <= _FEW:
        return _cell_by_cell(list(cells.unbind(axis)), reduce)
    if reduce == "mean":
        return cells.sum(axis)
    return cells.amax(axis)


def _cell_by_cell(cells: list[Tensor], reduce: Reduce) -> Tensor:
    found = cells[0]
    for cell in cells[1:]:
        found = found + cell if reduce == "mean" else torch.maximum(found, cell)
    return found


def clip_edges(bin_edges: list[int], span: tuple[int, int]) -> tuple[int, list[int]]:
    """The bins that reach into ``span``: index of the first, and their edges within the span.

    Examples
    --------
    >>> clip_edges([0, 2, 4, 7], (3, 6))
    (1, [3, 4, 6])
    """
    first = bisect.bisect_right(bin_edges, span[0]) - 1
    last = bisect.bisect_left(bin_edges, span[1])
    return first, [span[0], *bin_edges[first + 1 : last], span[1]]
