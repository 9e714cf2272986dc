"""Reducing a matrix to the pixels of a picture: disjoint bins, mean or maximum."""

from __future__ import annotations

import bisect
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
    """The sum (for ``"mean"``) or maximum of each bin along ``axis``, which begins at the first."""
    bins = len(bin_edges) - 1
    count = values.shape[axis]
    if bins == count:
        return values
    lengths = {stop - start for start, stop in itertools.pairwise(bin_edges)}
    if len(lengths) == 1:
        folded = values.unflatten(axis, (bins, count // bins))
        return folded.sum(axis + 1) if reduce == "mean" else folded.amax(axis + 1)
    # As many cells a bin as the longest has: what a shorter one lacks is its last, again or as 0.
    first = torch.tensor(bin_edges, device=values.device)
    cells = torch.arange(max(lengths), device=values.device)
    inside = cells < first.diff()[:, None]
    index = torch.minimum(first[:-1, None] + cells, first[1:, None] - 1) - bin_edges[0]
    folded = values.index_select(axis, index.flatten()).unflatten(axis, index.shape)
    if reduce == "max":
        return folded.amax(axis + 1)
    inside = inside[:, :, None] if axis == 0 else inside
    return torch.where(inside, folded, 0).sum(axis + 1)


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
