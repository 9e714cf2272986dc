"""Windows that slide over an input, and the map that their scores make."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

Window = tuple[slice, ...]


def windows(shape: Sequence[int], sizes: Sequence[int], strides: Sequence[int]) -> list[Window]:
    """All places of a window, the last along each axis cut off at the edge.

    Parameters
    ----------
    shape, sizes, strides
        Of the input, of the window, and its steps, along each axis.

    Raises
    ------
    ValueError
        When lengths differ, the window is larger than the input, or steps leave gaps.

    Examples
    --------
    >>> [window[0].start for window in windows((5,), (2,), (2,))]
    [0, 2, 4]
    """
    if not len(shape) == len(sizes) == len(strides):
        raise ValueError(
            f"An input of {len(shape)} axes needs as many sizes and strides of its window, not "
            f"{tuple(sizes)} and {tuple(strides)}."
        )
    if any(not 1 <= size <= length for size, length in zip(sizes, shape, strict=True)):
        raise ValueError(f"A window of {tuple(sizes)} does not fit into {tuple(shape)}.")
    if any(s < 1 or s > size for s, size in zip(strides, sizes, strict=True) if size > 0):
        raise ValueError(f"Strides {tuple(strides)} leave gaps between windows of {tuple(sizes)}.")
    along = [
        [
            slice(n * stride, min(n * stride + size, length))
            for n in range(-(-(length - size) // stride) + 1)
        ]
        for length, size, stride in zip(shape, sizes, strides, strict=True)
    ]
    return list(itertools.product(*along))


def coarser(shape: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Larger windows than ``sizes``, the largest first: each twice the next along moving axes."""
    found = []
    window = tuple(sizes)
    while True:
        window = tuple(
            length if size == length else min(2 * size, length)
            for size, length in zip(window, shape, strict=True)
        )
        moves = [n for n, size in enumerate(sizes) if size < shape[n]]
        if not moves or any(3 * window[n] > shape[n] for n in moves):
            break
        found.append(window)
    yield from reversed(found)


class WindowMap:
    """The mean over the windows that cover a place, of what was found for each.

    Parameters
    ----------
    like
        A tensor of the shape of the map.

    Examples
    --------
    >>> found = WindowMap(torch.zeros(3))
    >>> found.add((slice(0, 2),), 4.0)
    >>> found.add((slice(1, 3),), 2.0)
    >>> found.map
    tensor([4., 3., 2.])
    """

    def __init__(self, like: Tensor) -> None:
        self._sums = torch.zeros_like(like)
        self._counts = torch.zeros_like(like)
        self._coarse = torch.zeros_like(like)

    def add(self, window: Window, score: float) -> None:
        """What was found for one window."""
        self._sums[window] += score
        self._counts[window] += 1

    def finer(self) -> None:
        """What is there so far is coarse: it is shown where finer windows have not been yet."""
        self._coarse = self.map
        self._sums.zero_()
        self._counts.zero_()

    @property
    def map(self) -> Tensor:
        """The map as it is now."""
        means = self._sums / self._counts.clamp_min(1)
        return torch.where(self._counts > 0, means, self._coarse)
