"""Where the positions of a map lie on the input: index maps through windows, and the rule of it.

Along each axis a position is computed from one stretch of the input. `IndexMap` holds the stretch
of every position and is taken on through the operations of a forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Places: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class IndexMap:
    """For each position along an axis, the stretch of the input that it is computed from.

    Attributes
    ----------
    low, high
        (positions,) first and last pixel as if the input went on beyond its edges; NaN where a
        position is computed from nothing.
    seen_low, seen_high
        (positions,) the same of what is there, padding left out; NaN where it is padding alone.
    step
        Pixels between neighbouring positions.
    """

    low: Places
    high: Places
    seen_low: Places
    seen_high: Places
    step: float = 1.0

    @classmethod
    def identity(cls, count: int) -> IndexMap:
        """Of the input itself."""
        places = np.arange(count, dtype=np.float64)
        return cls(places, places, places, places)

    def __len__(self) -> int:
        return len(self.low)

    @property
    def centre(self) -> Places:
        """(positions,) middle of the stretch, in pixels; pixel 0 has its middle at 0."""
        return (self.low + self.high) / 2

    def through(
        self,
        first: npt.NDArray[np.int64],
        last: npt.NDArray[np.int64],
        step: float,
        seen: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None,
        spacing: int = 1,
    ) -> IndexMap:
        """After an operation whose position i is computed from positions first[i] to last[i].

        Parameters
        ----------
        first, last
            They may lie outside, in padding; where ``first > last`` there is nothing.
        step
            How many positions its neighbours are apart.
        seen
            The same of what is there, where that is not the part inside.
        spacing
            Of the positions between first and last, every so-manyth counts.
        """
        low, high = self._beyond(self.low, first), self._beyond(self.high, last)
        nothing = first > last
        low[nothing] = high[nothing] = np.nan
        begin, end = seen or (first, last)
        seen_low, seen_high = np.full((2, len(first)), np.nan)
        for ahead in range(0, int(np.max(end - begin, initial=-1)) + 1, spacing):
            place = begin + ahead
            there = (place <= end) & (place >= 0) & (place < len(self)) & ~nothing
            at = np.clip(place, 0, len(self) - 1)
            seen_low[there] = np.fmin(seen_low, self.seen_low[at])[there]
            seen_high[there] = np.fmax(seen_high, self.seen_high[at])[there]
        return IndexMap(low, high, seen_low, seen_high, self.step * step)

    def _beyond(self, ends: Places, places: npt.NDArray[np.int64]) -> Places:
        """``ends`` at positions that may be outside, where they go on with the same step."""
        inside = np.clip(places, 0, len(self) - 1)
        return ends[inside] + (places - inside) * self.step

    def taken(self, places: npt.NDArray[np.int64], step: float = 1.0) -> IndexMap:
        """After an operation that picks positions."""
        return self.through(places, places, step)

    def windows(
        self, kernel: int, stride: int, padding: int, dilation: int, count: int
    ) -> IndexMap:
        """After a convolution or pooling with ``count`` results.

        Examples
        --------
        >>> map = IndexMap.identity(9).windows(3, 2, 1, 1, 5)
        >>> map.low.tolist(), map.seen_low.tolist()
        ([-1.0, 1.0, 3.0, 5.0, 7.0], [0.0, 1.0, 3.0, 5.0, 7.0])
        """
        first = np.arange(count) * stride - padding
        return self.through(first, first + (kernel - 1) * dilation, stride, None, dilation)

    def transposed(
        self, kernel: int, stride: int, padding: int, dilation: int, count: int
    ) -> IndexMap:
        """After a transposed convolution: result o gets what lies under i·stride − padding + j."""
        reach = np.arange(count)[:, None] + padding - np.arange(kernel) * dilation
        places, fits = reach // stride, reach % stride == 0
        there = fits & (places >= 0) & (places < len(self))
        return self.through(*_ends(places, fits), 1 / stride, _ends(places, there))

    def adaptive(self, count: int) -> IndexMap:
        """After adaptive pooling to ``count`` results."""
        places = np.arange(count)
        first = places * len(self) // count
        last = -(-(places + 1) * len(self) // count) - 1
        return self.through(first, last, len(self) / count)

    def padded(self, before: int, after: int, mode: str = "constant") -> IndexMap:
        """After padding (negative: cropping) of this ``mode``."""
        count = len(self)
        places = np.arange(-before, count + after)
        if mode == "constant":
            return self.taken(places)
        seen = np.clip(places, 0, count - 1)
        if mode == "reflect":
            seen = np.where(places < 0, -places, np.minimum(places, 2 * (count - 1) - places))
        return self.through(places, places, 1.0, (seen, seen))

    def interpolated(
        self, source: npt.NDArray[np.floating], reach: tuple[int, int], is_clipped: bool
    ) -> IndexMap:
        """After resizing, each result from the positions around ``source``, a fraction.

        Parameters
        ----------
        source
            (results,) where each result lies among the positions.
        reach
            How many positions before and after are weighed, such as (0, 1) for linear; a result
            that lies on a position is that position alone.
        is_clipped
            Whether ``source`` is clipped at 0 before positions are taken, as for linear.
        """
        bounded = np.maximum(source, 0) if is_clipped else source
        step = float(np.diff(source).mean()) if len(source) > 1 else 1.0
        ends = []
        for place in (source, bounded):
            below = np.floor(place).astype(np.int64)
            between = place != below
            ends += [below - reach[0] * between, below + reach[1] * between]
        seen = np.clip(ends[2], 0, len(self) - 1), np.clip(ends[3], 0, len(self) - 1)
        return self.through(ends[0], ends[1], step, seen)

    def hull(self, other: IndexMap) -> IndexMap:
        """Of positions that are computed from both."""
        return IndexMap(
            np.fmin(self.low, other.low),
            np.fmax(self.high, other.high),
            np.fmin(self.seen_low, other.seen_low),
            np.fmax(self.seen_high, other.seen_high),
            self.step,
        )

    def apart(self, other: IndexMap) -> float:
        """How far the middles of two maps are from each other at most, in pixels."""
        distance = np.abs(self.centre - other.centre)
        return float(np.nanmax(distance)) if not np.isnan(distance).all() else 0.0


def _ends(
    places: npt.NDArray[np.int64], fits: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first and last of the places that fit in each row; 1 and 0 where there is none."""
    first = np.where(fits, places, np.iinfo(np.int64).max).min(1)
    last = np.where(fits, places, np.iinfo(np.int64).min).max(1)
    some = fits.any(1)
    return np.where(some, first, 1), np.where(some, last, 0)


def joined(maps: Sequence[IndexMap]) -> IndexMap:
    """The positions of several maps one after another."""
    return IndexMap(
        np.concatenate([one.low for one in maps]),
        np.concatenate([one.high for one in maps]),
        np.concatenate([one.seen_low for one in maps]),
        np.concatenate([one.seen_high for one in maps]),
        maps[0].step,
    )


@dataclass(frozen=True, eq=False)
class AxisAlignment:
    """How one axis of a map lies on one axis of the input.

    Position i of the map is centred at ``start + i · step``, in pixels of the input (pixel 0 has
    its middle at 0), and is computed from ``size`` of them.

    Attributes
    ----------
    axis
        The axis of the input.
    extent
        Pixels of the input along it.
    start, step
        The rule.
    size
        Pixels that a position is computed from, also beyond the edges; None: not known.
    is_exact
        Whether the rule holds for every position, not on average alone (as for adaptive pooling).
    sees_all
        Whether every position may depend on the whole axis (attention, normalisation over it).
    map
        The stretch of each position.
    """

    axis: int
    extent: int
    start: float
    step: float
    size: float | None
    is_exact: bool = True
    sees_all: bool = False
    map: IndexMap | None = field(default=None, repr=False)

    def stretch(self, index: int) -> tuple[int, int]:
        """(start, stop) of the pixels that position ``index`` covers, within the input.

        What it is computed from by its place: where it `sees_all` too, not what it depends on.
        (0, 0): nothing.
        """
        if self.map is not None:
            low, high = self.map.seen_low[index], self.map.seen_high[index]
            return (0, 0) if np.isnan(low) else (int(low), int(high) + 1)
        half, centre = self.step / 2, self.start + index * self.step
        if centre > self.extent - 0.5:  # padding behind the input
            return 0, 0
        start = int(np.clip(round(centre - half + 0.5), 0, self.extent - 1))
        return start, int(np.clip(round(centre + half + 0.5), start + 1, self.extent))


def rule_of(index_map: IndexMap, axis: int, extent: int, sees_all: bool) -> AxisAlignment:
    """The rule of an index map: exact where positions are evenly spaced and of one size."""
    centre, sizes = index_map.centre, index_map.high - index_map.low + 1
    steps = np.diff(centre)
    even = bool(len(centre) == 1 or (np.ptp(steps) < 1e-9 and np.ptp(sizes) < 1e-9))
    known = np.flatnonzero(~np.isnan(centre))
    if not len(known):
        return stretched(len(index_map), axis, extent)
    first, last = known[0], known[-1]
    apart = (centre[last] - centre[first]) / (last - first) if last > first else index_map.step
    start = centre[first] - first * apart
    size = float(np.nanmax(sizes))
    return AxisAlignment(axis, extent, start, apart, size, even, sees_all, index_map)


def stretched(count: int, axis: int, extent: int, covered: int | None = None) -> AxisAlignment:
    """A map of ``count`` positions stretched over the whole input, for want of better knowledge.

    ``covered``: how many of the positions lie on the input, the others are padding behind it.
    """
    step = extent / (covered or count)
    return AxisAlignment(axis, extent, (step - 1) / 2, step, None)


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where the positions of a layer's maps lie on the input.

    Attributes
    ----------
    source
        ``"modules"``: computed from kernel sizes, strides, padding and dilation on the way from
        the input. ``"shapes"``: the way is not understood; the map is stretched over the input.
    depth, height, width
        Of the axes of the maps; None: the map has no such axis, or it does not lie on the input.
    unit
        What positions of the input are: ``"pixels"``, or ``"positions"`` (of a sequence).
    note
        What should be said with it, or "".
    """

    source: str
    depth: AxisAlignment | None
    height: AxisAlignment | None
    width: AxisAlignment | None
    unit: str = "pixels"
    note: str = ""

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) in pixels of the input that position (y, x) covers."""
        top, bottom = (0, 1) if self.height is None else self.height.stretch(y)
        left, right = (0, 1) if self.width is None else self.width.stretch(x)
        return top, left, bottom, right

    @property
    def words(self) -> str:
        """How it was found and what it says, in words."""
        axes = [axis for axis in (self.depth, self.height, self.width) if axis is not None]
        if not axes:
            return "positions do not lie on the input"
        steps = " × ".join(f"{axis.step:.4g}" for axis in axes)
        every = f"{steps} {self.unit}" if set(steps) - set("1 ×") else self.unit.removesuffix("s")
        if self.source == "shapes":
            text = f"stretched over the input by the shapes: every {every}"
        else:
            sees = " × ".join("all" if a.sees_all else f"{a.size:.4g}" for a in axes)
            about = "" if all(axis.is_exact for axis in axes) else "about "
            text = f"computed from the modules: every {about}{every}, each from {sees}"
        return "; ".join(part for part in (text, self.note) if part)
