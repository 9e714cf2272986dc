"""The highest, lowest or strongest number of each bin of many maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

_Compare: TypeAlias = Callable[..., Tensor]

# Of so few cells a bin, the processor is quicker to compare whole tensors.
_FEW = 8


def strongest_of_bins(maps: Tensor, rows: list[int], columns: list[int]) -> Tensor:
    """The number of largest magnitude in each bin, with its sign; of −a and a it is a.

    Parameters
    ----------
    maps
        (maps, height, width), without a gradient.
    rows, columns
        Borders of the bins along height and width, from 0: bins of one size of which the last may
        be smaller, or bins of one or two cells.

    Returns
    -------
    Tensor
        (maps, bins along the height, bins along the width). What is no number stays so.

    Examples
    --------
    >>> strongest_of_bins(torch.tensor([[[1.0, -3.0], [0.0, 2.0]]]), [0, 2], [0, 1, 2]).tolist()
    [[[1.0, -3.0]]]
    """
    highest = _of_bins(maps, rows, columns, torch.maximum)
    # Asked of few numbers first: most layers either are nowhere negative or soon seen to be.
    if not bool(maps[:, :1].amin() < 0) and bool(maps.amin() >= 0):
        return highest
    lowest = _of_bins(maps, rows, columns, torch.minimum)
    # By its size and its sign: choosing number by number, which `where` does, takes ten times as
    # long on a processor that guesses what is next. The sum has the sign of the stronger one, and
    # of −a and a it is 0, also where that is infinite.
    sign = (highest + lowest).nan_to_num_(0.0)
    return torch.maximum(highest, -lowest).copysign_(sign)


def _of_bins(maps: Tensor, rows: list[int], columns: list[int], compare: _Compare) -> Tensor:
    # Rows first: whole rows are compared at once, and less is left for the columns.
    return _along(_along(maps, rows, 1, compare), columns, 2, compare)


def _along(maps: Tensor, borders: list[int], axis: int, compare: _Compare) -> Tensor:
    """Bins along one axis, written to where they stay: joining them would copy them all."""
    size, bins = _size(borders), len(borders) - 1
    if bins == maps.shape[axis]:
        return maps
    if size is None:
        edges = torch.tensor(borders, device=maps.device)
        firsts, lasts = edges[:-1], edges[1:] - 1
        return compare(_picked(maps, axis, firsts), _picked(maps, axis, lasts))
    found = maps.new_empty([*maps.shape[:axis], bins, *maps.shape[axis + 1 :]])
    whole, rest = divmod(borders[-1], size)
    cells = maps.narrow(axis, 0, whole * size).unflatten(axis, (whole, size))
    _reduce(cells, axis + 1, compare, found.narrow(axis, 0, whole))
    if rest:
        _reduce(maps.narrow(axis, whole * size, rest), axis, compare, found.select(axis, whole))
    return found


def _picked(maps: Tensor, axis: int, places: Tensor) -> Tensor:
    """Some places along one axis; within rows `gather` takes a quarter of the time."""
    if axis < maps.ndim - 1:
        return maps.index_select(axis, places)
    return maps.gather(axis, places.expand(*maps.shape[:-1], -1))


def _size(borders: list[int]) -> int | None:
    """The size of all bins but the last, which may be smaller; None: they have one or two cells."""
    sizes = [stop - start for start, stop in itertools.pairwise(borders)]
    return sizes[0] if len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0] else None


def _reduce(cells: Tensor, axis: int, compare: _Compare, out: Tensor) -> None:
    if cells.shape[axis] > _FEW:
        whole = torch.amax if compare is torch.maximum else torch.amin
        whole(cells, axis, out=out)
        return
    first, *others = cells.unbind(axis)
    if not others:
        out.copy_(first)
        return
    compare(first, others[0], out=out)
    for cell in others[1:]:
        compare(out, cell, out=out)
