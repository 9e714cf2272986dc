"""What is known of where the positions of one tensor lie on the input."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from explain_widgets.analysis.alignment import IndexMap, joined
from explain_widgets.live.modules import Shape


@dataclass(frozen=True)
class Factor:
    """A part of an axis: ``size`` positions that lie on an axis of the input, or nowhere."""

    size: int
    source: int | None = None
    map: IndexMap | None = None


@dataclass(frozen=True)
class TracedAxis:
    """An axis of a tensor, row by row of its factors, from position ``start`` on.

    Several factors: axes that were merged, as the height and width of patches in a row of tokens.
    What comes before ``start`` and after them lies nowhere on the input.
    """

    size: int
    factors: tuple[Factor, ...]
    start: int = 0

    @property
    def sources(self) -> frozenset[int]:
        """The axes of the input that it lies on."""
        return frozenset(f.source for f in self.factors if f.source is not None)

    @property
    def is_whole(self) -> bool:
        """Whether its factors are all of it."""
        return self.start == 0 and math.prod(f.size for f in self.factors) == self.size

    @property
    def plain(self) -> Factor | None:
        """The axis as one factor that lies on the input; None: it is none, or several."""
        if len(self.sources) != 1 or not self.is_whole:
            return None
        tracked = [n for n, factor in enumerate(self.factors) if factor.map is not None]
        if len(tracked) != 1:
            return None
        factor = self.factors[tracked[0]]
        assert factor.map is not None
        if len(self.factors) == 1:
            return factor
        behind = math.prod(f.size for f in self.factors[tracked[0] + 1 :])
        places = np.arange(self.size) // behind % factor.size
        return Factor(self.size, factor.source, factor.map.taken(places, 1 / behind))


@dataclass(frozen=True)
class Traced:
    """Where the positions of a tensor lie on the input, and what else they depend on.

    Attributes
    ----------
    axes
        One for each of its axes.
    whole
        Axes of the input that every number depends on as a whole.
    is_partial
        Whether there is an operation on the way that is not understood: it may depend on more.
    apart
        How far the middles of positions are from each other in branches that were joined, at most.
    """

    axes: tuple[TracedAxis, ...]
    whole: frozenset[int] = frozenset()
    is_partial: bool = False
    apart: float = 0.0

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return tuple(axis.size for axis in self.axes)

    @property
    def sources(self) -> frozenset[int]:
        """The axes of the input that it lies on, or depends on."""
        return self.whole.union(*(axis.sources for axis in self.axes))

    def with_axes(self, axes: Iterable[TracedAxis], mixed: Iterable[int] = ()) -> Traced:
        """The same with other axes; ``mixed``: those of the old ones that are mixed as a whole."""
        whole = self.whole.union(*(self.axes[n].sources for n in mixed))
        return replace(self, axes=tuple(axes), whole=whole)


def untraced(size: int) -> TracedAxis:
    """An axis that lies nowhere on the input."""
    return TracedAxis(size, (Factor(size),))


def plain_axis(factor: Factor) -> TracedAxis:
    """An axis of one factor."""
    return TracedAxis(factor.size, (factor,))


def input_traced(shape: Shape, axes: Iterable[int]) -> Traced:
    """The input itself, of which some axes are followed."""
    followed = set(axes)
    return Traced(
        tuple(
            plain_axis(Factor(size, n, IndexMap.identity(size)))
            if n in followed
            else untraced(size)
            for n, size in enumerate(shape)
        )
    )


def lost(shape: Shape, *inputs: Traced) -> Traced:
    """What came out of something that is not understood."""
    joint = together(*inputs)
    return Traced(tuple(map(untraced, shape)), joint.whole, True, joint.apart)


def together(*inputs: Traced) -> Traced:
    """What is said of several tensors, without axes."""
    return Traced(
        (),
        frozenset().union(*(traced.whole for traced in inputs)),
        any(traced.is_partial for traced in inputs),
        max((traced.apart for traced in inputs), default=0.0),
    )


def broadcast(shape: Shape, *inputs: Traced) -> Traced:
    """Of an operation on each number by itself, with the shape that comes out."""
    joint = together(*inputs)
    axes, whole, apart, is_partial = [], set(joint.whole), joint.apart, joint.is_partial
    for n, size in enumerate(shape):
        at = [t.axes[n - len(shape) + len(t.axes)] for t in inputs if len(t.axes) >= len(shape) - n]
        for axis in at:
            if axis.size == 1 != size:  # one position for all: each of them depends on it
                whole |= axis.sources
        found = untraced(size)
        for axis in (axis for axis in at if axis.size == size and axis.sources):
            if not found.sources:
                found = axis
            elif _same(found, axis):
                found, distance = _hull(found, axis)
                apart = max(apart, distance)
            else:
                is_partial = True
        axes.append(found)
    return Traced(tuple(axes), frozenset(whole), is_partial, apart)


def _same(one: TracedAxis, other: TracedAxis) -> bool:
    """Whether two axes are made of the same parts."""
    parts = [[(f.size, f.source) for f in axis.factors] for axis in (one, other)]
    return parts[0] == parts[1] and one.start == other.start


def _hull(one: TracedAxis, other: TracedAxis) -> tuple[TracedAxis, float]:
    factors, apart = [], 0.0
    for mine, theirs in zip(one.factors, other.factors, strict=True):
        if mine.map is None or theirs.map is None or mine.map is theirs.map:
            factors.append(mine)
            continue
        apart = max(apart, mine.map.apart(theirs.map))
        factors.append(replace(mine, map=mine.map.hull(theirs.map)))
    return replace(one, factors=tuple(factors)), apart


def concatenated(axes: list[TracedAxis | None], sizes: list[int]) -> TracedAxis | None:
    """Axes one after another; None among them: parts that lie nowhere. None: not understood."""
    total = sum(sizes)
    tracked = [n for n, axis in enumerate(axes) if axis is not None and axis.sources]
    if not tracked:
        return untraced(total)
    if len(tracked) == 1:
        axis = axes[tracked[0]]
        assert axis is not None
        return replace(axis, size=total, start=axis.start + sum(sizes[: tracked[0]]))
    plain = [axis.plain if axis is not None else None for axis in axes]
    known = [factor for factor in plain if factor is not None and factor.map is not None]
    if len(known) < len(axes) or len({factor.source for factor in known}) > 1:
        return None
    maps = [factor.map for factor in known if factor.map is not None]
    return plain_axis(Factor(total, known[0].source, joined(maps)))


def regrouped(traced: Traced, shape: Shape) -> Traced:
    """A tensor that is viewed in another shape.

    Axes are merged, and merged ones taken apart again; an axis that is cut in two is lost.
    """
    parts: list[TracedAxis] = []
    for axis in traced.axes:
        parts.extend(map(plain_axis, axis.factors) if axis.is_whole else [axis])
    # Where an axis of one position goes cannot be told: what is left is that all depends on it.
    single = frozenset[int]().union(*(part.sources for part in parts if part.size == 1))
    parts = [part for part in parts if part.size != 1]
    is_lost = False
    found: list[TracedAxis] = []
    while len(found) < len(shape):
        size = shape[len(found)]
        taken = _leading(parts, size)
        if taken is not None:
            merged = _merged(size, parts[:taken])
            is_lost = is_lost or bool(not merged.sources and any(p.sources for p in parts[:taken]))
            found.append(merged)
            del parts[:taken]
            continue
        # A part is cut: the next axes up to where old and new borders meet lie nowhere.
        mine, theirs = size, 1
        new = 1
        while mine != theirs:
            if mine > theirs:
                part = parts.pop(0)
                is_lost = is_lost or bool(part.sources)
                theirs *= part.size
            else:
                mine *= shape[len(found) + new]
                new += 1
        found += [untraced(s) for s in shape[len(found) : len(found) + new]]
    return replace(
        traced,
        axes=tuple(found),
        whole=traced.whole | single,
        is_partial=traced.is_partial or is_lost,
    )


def _merged(size: int, parts: list[TracedAxis]) -> TracedAxis:
    if len(parts) == 1:
        return parts[0]
    if not parts or not all(part.is_whole for part in parts):
        return untraced(size)
    return TracedAxis(size, tuple(factor for part in parts for factor in part.factors))


def _leading(parts: list[TracedAxis], size: int) -> int | None:
    """How many of the first parts are ``size`` together; None: a border lies within one."""
    product = 1
    for count in range(len(parts) + 1):
        if product == size:
            return count
        if product > size or count == len(parts):
            return None
        product *= parts[count].size
    return None
