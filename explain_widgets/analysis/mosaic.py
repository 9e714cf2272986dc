"""Many maps reduced to the pixels of their pictures."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from explain_widgets.analysis.extremes import strongest_of_bins
from explain_widgets.analysis.pooling import bin_sizes, edges, gather_bins

MapReduce: TypeAlias = Literal["mean", "strongest"]
"""What stands for the numbers of a pixel: their mean, or the one of largest magnitude."""


def mosaic(
    maps: Tensor,
    channels: list[int] | Tensor | None = None,
    size: tuple[int, int] = (64, 64),
    reduce: MapReduce = "strongest",
) -> Tensor:
    """Maps of channels, each pooled to at most ``size``.

    Parameters
    ----------
    maps
        (channels, height, width).
    channels
        Which of them, in which order; None: all.
    size
        (height, width) that is not exceeded. Smaller maps stay as they are.
    reduce
        ``"mean"`` of the numbers in a pixel, or the ``"strongest"``: the one of largest magnitude,
        with its sign, so that single strong activations survive; of −a and a it is a.

    Returns
    -------
    Tensor
        (channels, h, w) of float32 (of float64 for float64), on the same device. What is not
        finite stays so.

    Examples
    --------
    >>> mosaic(torch.tensor([[[1.0, -3.0], [0.0, 2.0]]]), size=(1, 2)).tolist()
    [[[1.0, -3.0]]]
    """
    rows, columns = (bin_edges(n, most) for n, most in zip(maps.shape[1:], size, strict=True))
    if channels is None:
        return _pooled(maps, rows, columns, reduce)
    chosen = torch.as_tensor(channels, dtype=torch.int64, device=maps.device)
    # Of large maps a copy takes as long as pooling them: most of them are rather pooled first.
    if 2 * len(chosen) > len(maps):
        return _pooled(maps, rows, columns, reduce).index_select(0, chosen)
    return _pooled(maps.index_select(0, chosen), rows, columns, reduce)


# Numbers that are pooled at once: what lies between shall stay in the processor's cache.
_BLOCK = 2**20


def _pooled(maps: Tensor, rows: list[int], columns: list[int], reduce: MapReduce) -> Tensor:
    if (len(rows) - 1, len(columns) - 1) == maps.shape[1:]:
        return _floating(maps)
    pool = _means if reduce == "mean" else strongest_of_bins
    blocks = maps.detach().split(max(1, _BLOCK // (rows[-1] * columns[-1])))
    pooled = [pool(_floating(block), rows, columns) for block in blocks]
    return torch.cat(pooled) if len(pooled) > 1 else pooled[0]


def _floating(maps: Tensor) -> Tensor:
    return maps if maps.dtype == torch.float64 else maps.float()


def _means(maps: Tensor, rows: list[int], columns: list[int]) -> Tensor:
    sums = gather_bins(gather_bins(maps, rows, 1, "mean"), columns, 2, "mean")
    return sums / bin_sizes(rows, columns, maps)


def bin_edges(count: int, most: int) -> list[int]:
    """Borders of at most ``most`` disjoint bins over ``count`` cells, with as many in each.

    But for the last, which may have fewer; where that would cost more than a tenth of the pixels,
    as of less than two cells each, bins of one or two cells rather than halve the picture.

    Examples
    --------
    >>> bin_edges(7, 3), bin_edges(4, 3), len(bin_edges(112, 57))
    ([0, 3, 6, 7], [0, 1, 2, 4], 57)
    """
    if count <= most:
        return list(range(count + 1))
    if most * _LEAST < -(-count // 2) or count >= 2 * most:
        return [*range(0, count, -(-count // most)), count]
    return edges((0, count), most)


# Of the pixels that there is room for, so many are used at least where each can have two cells.
_LEAST = 0.9


def fitting_size(count: int, height: int, width: int, most: int = 400 * 1024) -> tuple[int, int]:
    """(height, width) for ``count`` maps that together are at most so many pixels, for `mosaic`.

    Examples
    --------
    >>> fitting_size(64, 224, 224)
    (80, 80)
    """
    scale = min(1.0, (most / (count * height * width)) ** 0.5)
    rows = max(1, int(height * scale))
    return rows, max(1, min(width, int(width * scale), most // (count * rows)))
