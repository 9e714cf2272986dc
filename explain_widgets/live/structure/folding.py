"""Repeated blocks in a sequence: twelve layers of a transformer are one with "× 12"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST = 64
_FEW = 4


@dataclass(frozen=True)
class Repeat:
    """A run of blocks that are alike.

    Attributes
    ----------
    start
        Place of the first item of the first block.
    period
        How many items a block has.
    count
        How many blocks there are.
    """

    start: int
    period: int
    count: int

    @property
    def stop(self) -> int:
        """The place after the last block."""
        return self.start + self.period * self.count

    def holds(self, place: int) -> bool:
        """Whether an item is in one of the blocks."""
        return self.start <= place < self.stop

    def shown(self, place: int, instance: int) -> int:
        """The item that stands for the one at ``place`` where one block stands for all."""
        return self.start + instance * self.period + (place - self.start) % self.period

    def block(self, place: int) -> int:
        """Number of the block that an item is in."""
        return (place - self.start) // self.period


def repeats(
    kinds: Sequence[int], sources: Sequence[Sequence[int]], is_block: Sequence[bool]
) -> list[Repeat]:
    """Runs of blocks with the same items, taken from each other in the same way.

    Parameters
    ----------
    kinds
        What each item is: alike where equal.
    sources
        The items that each takes something from, by their places; −1: from outside.
    is_block
        Whether an item is made of others. Two blocks with such an item are folded; of single
        layers and operations only four or more.

    Returns
    -------
    list of Repeat
        In order, none within another.

    Examples
    --------
    >>> repeats([1, 2, 3, 2, 3, 4], [[-1], [0], [1], [2], [3], [4]], [True] * 6)
    [Repeat(start=1, period=2, count=2)]
    """
    found = []
    place = 0
    while place < len(kinds):
        best: Repeat | None = None
        for period in range(1, min(_LONGEST, (len(kinds) - place) // 2) + 1):
            if kinds[place + period] != kinds[place]:
                continue
            repeat = Repeat(place, period, _blocks(kinds, sources, place, period))
            if _is_worth(repeat, is_block) and (best is None or repeat.stop > best.stop):
                best = repeat
        if best is None:
            place += 1
        else:
            found.append(best)
            place = best.stop
    return found


def _is_worth(repeat: Repeat, is_block: Sequence[bool]) -> bool:
    if repeat.count < 2:
        return False
    return repeat.count >= _FEW or any(is_block[repeat.start : repeat.start + repeat.period])


def _blocks(kinds: Sequence[int], sources: Sequence[Sequence[int]], start: int, period: int) -> int:
    """How many blocks of a length follow each other that are like the first."""
    first = kinds[start : start + period]
    inside = [_within(sources[start + n], start) for n in range(period)]
    count = 1
    while True:
        begin = start + count * period
        if kinds[begin : begin + period] != first or len(kinds) < begin + period:
            return count
        if any(_within(sources[begin + n], begin) != inside[n] for n in range(period)):
            return count
        count += 1


def _within(sources: Sequence[int], begin: int) -> list[int]:
    """What is taken from the same block, by places in it; from outside: −1."""
    return [source - begin if source >= begin else -1 for source in sources]
