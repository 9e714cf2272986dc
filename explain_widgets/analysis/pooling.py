"""Reducing a matrix to the pixels of a picture: disjoint bins, mean or maximum."""

from __future__ import annotations

import itertools
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


def pool(values: Tensor, row_edges: list[int], column_edges: list[int], reduce: Reduce) -> Tensor:
    """Reduce (rows, columns) to one value a bin, (len(row_edges) − 1, len(column_edges) − 1).

    ``values`` begins at the first edge of each axis. ``"mean"`` weighs all cells of a bin alike.
    """
    return _pool(_pool(values, column_edges, 1, reduce), row_edges, 0, reduce)


def _pool(values: Tensor, bin_edges: list[int], axis: int, reduce: Reduce) -> Tensor:
    bins = len(bin_edges) - 1
    count = values.shape[axis]
    if bins == count:
        return values
    if len({stop - start for start, stop in itertools.pairwise(bin_edges)}) == 1:
        folded = values.unflatten(axis, (bins, count // bins))
        return folded.mean(axis + 1) if reduce == "mean" else folded.amax(axis + 1)
    lengths = torch.tensor(bin_edges, device=values.device).diff()
    index = torch.repeat_interleave(torch.arange(bins, device=values.device), lengths)
    shape = [*values.shape]
    shape[axis] = bins
    if reduce == "max":
        lowest = values.new_full(shape, float("-inf"))
        return lowest.index_reduce_(axis, index, values, "amax")
    sums = values.new_zeros(shape).index_add_(axis, index, values)
    return sums / lengths.unsqueeze(1 - axis)
