"""What an attention call does to its scores between query · key and the softmax, step by step.

Each step is applied to a block of scores, so that no step ever needs the whole matrix.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Span = tuple[int, int]
"""A range of positions, [start, stop)."""


@dataclass(frozen=True)
class Block:
    """Where a block of scores lies: heads, queries (rows) and keys, each [start, stop).

    ``every``: of the rows only each ``every``-th, from the first on.
    """

    heads: Span
    rows: Span
    keys: Span
    every: int = 1

    def row_positions(self, device: torch.device) -> Tensor:
        """The positions of the block's rows."""
        return torch.arange(*self.rows, self.every, device=device)

    def key_positions(self, device: torch.device) -> Tensor:
        """The positions of the block's keys."""
        return torch.arange(*self.keys, device=device)


class ScoreStep(Protocol):
    """One step on a block of scores of shape (heads, rows, keys)."""

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """The scores after this step; same shape, dtype and device."""

    def keys_seen(self, rows: Span, keys: Span) -> Span:
        """The part of ``keys`` outside of which none of ``rows`` looks at any."""


@dataclass(frozen=True)
class Causal:
    """Query i looks at keys j ≤ i + ``offset``; other scores become ``fill``."""

    offset: int = 0
    fill: float = float("-inf")

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """See `ScoreStep`."""
        if block.keys[1] <= block.rows[0] + self.offset + 1:  # all of it below the diagonal
            return scores
        queries = block.row_positions(scores.device)[:, None]
        keys = block.key_positions(scores.device)
        return scores.masked_fill(keys > queries + self.offset, self.fill)

    def keys_seen(self, rows: Span, keys: Span) -> Span:
        """See `ScoreStep`."""
        # With a finite fill a row that is masked everywhere becomes uniform over all keys.
        if self.fill != float("-inf"):
            return keys
        return keys[0], max(keys[0], min(keys[1], rows[1] + self.offset))


@dataclass(frozen=True)
class Ranges:
    """Query i looks at keys ``starts[i]`` ≤ j < ``stops[i]``; other scores become ``fill``.

    ``starts``, ``stops``: int64 of shape (queries,), in the host's memory: they say which blocks
    need not be looked at.
    """

    starts: Tensor
    stops: Tensor
    fill: float = float("-inf")

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """See `ScoreStep`."""
        rows = slice(*block.rows, block.every)
        starts, stops = self.starts[rows], self.stops[rows]
        if int(starts.max()) <= block.keys[0] and int(stops.min()) >= block.keys[1]:
            return scores
        keys = block.key_positions(scores.device)
        starts, stops = starts.to(scores.device)[:, None], stops.to(scores.device)[:, None]
        return scores.masked_fill((keys < starts) | (keys >= stops), self.fill)

    def keys_seen(self, rows: Span, keys: Span) -> Span:
        """See `ScoreStep`."""
        if self.fill != float("-inf"):
            return keys
        start = max(keys[0], min(keys[1], int(self.starts[slice(*rows)].min())))
        return start, max(start, min(keys[1], int(self.stops[slice(*rows)].max())))


@dataclass(frozen=True)
class Masked:
    """Scores where ``keep`` is False become ``fill``.

    ``keep``: bool of shape (heads or 1, queries or 1, keys).
    """

    keep: Tensor
    fill: float = float("-inf")

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """See `ScoreStep`."""
        return scores.masked_fill(~_part(self.keep, block), self.fill)

    def keys_seen(self, rows: Span, keys: Span) -> Span:
        """See `ScoreStep`."""
        return keys


@dataclass(frozen=True)
class Bias:
    """``bias`` is added: floating point of shape (heads or 1, queries or 1, keys)."""

    bias: Tensor

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """See `ScoreStep`."""
        return scores + _part(self.bias, block).to(scores.dtype)

    def keys_seen(self, rows: Span, keys: Span) -> Span:
        """See `ScoreStep`."""
        return keys


@dataclass(frozen=True)
class Part:
    """Some queries that look at some of the keys, by steps of their own.

    ``rows``, ``keys``: where they lie in the whole; ``steps`` count from their starts.
    """

    rows: Span
    keys: Span
    steps: tuple[ScoreStep, ...]


@dataclass(frozen=True)
class Stacked:
    """Queries by part, each with its own steps and keys; all other keys are hidden.

    ``parts``: in the order of their rows, without gaps.
    """

    parts: tuple[Part, ...]

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """See `ScoreStep`."""
        result = torch.full_like(scores, float("-inf"))
        start, _, every = *block.rows, block.every
        for part in self._looked_at(block.rows):
            first = max(0, -((start - part.rows[0]) // every))
            stop = min(scores.shape[1], max(0, -((start - part.rows[1]) // every)))
            left, right = _within(part.keys, block.keys)
            if first >= stop or left >= right:
                continue
            place = slice(left - block.keys[0], right - block.keys[0])
            some = scores[:, first:stop, place]
            rows = start + first * every - part.rows[0], start + (stop - 1) * every + 1
            inner = Block(
                block.heads,
                (rows[0], rows[1] - part.rows[0]),
                (left - part.keys[0], right - part.keys[0]),
                every,
            )
            for step in part.steps:
                some = step.apply(some, inner)
            result[:, first:stop, place] = some
        return result

    def keys_seen(self, rows: Span, keys: Span) -> Span:
        """See `ScoreStep`."""
        spans = [_within(part.keys, keys) for part in self._looked_at(rows)]
        start = min((span[0] for span in spans), default=keys[0])
        return start, max((span[1] for span in spans), default=start)

    def _looked_at(self, rows: Span) -> tuple[Part, ...]:
        first = bisect.bisect_right(self.parts, rows[0], key=lambda part: part.rows[1])
        stop = bisect.bisect_left(self.parts, rows[1], key=lambda part: part.rows[0])
        return self.parts[first:stop]


def stacked(parts: Sequence[Part], keys: int) -> tuple[ScoreStep, ...]:
    """The steps of queries by part; two numbers a query where that says it all.

    Parameters
    ----------
    parts
        In the order of their rows, without gaps.
    keys
        How many keys there are in the whole.

    Examples
    --------
    >>> parts = [Part((0, 2), (0, 2), (Causal(),)), Part((2, 3), (0, 3), ())]
    >>> ranges, = stacked(parts, 3)
    >>> ranges.stops.tolist()
    [1, 2, 3]
    """
    ranges = [_part_ranges(part) for part in parts]
    if any(found is None for found in ranges):
        return (Stacked(tuple(parts)),)
    starts, stops = (torch.cat([found[n] for found in ranges if found]) for n in (0, 1))
    return () if bool(((starts == 0) & (stops == keys)).all()) else (Ranges(starts, stops),)


def _part_ranges(part: Part) -> tuple[Tensor, Tensor] | None:
    """Which keys each query of a part looks at, in the whole: starts and stops; None: no range."""
    count, keys = part.rows[1] - part.rows[0], part.keys[1] - part.keys[0]
    starts, stops = torch.zeros(count, dtype=torch.long), torch.full((count,), keys)
    for step in part.steps:
        if isinstance(step, Causal):
            others = torch.zeros_like(starts), torch.arange(count) + step.offset + 1
        elif isinstance(step, Ranges):
            others = step.starts, step.stops
        elif isinstance(step, Masked) and step.keep.shape[:2] == (1, 1):
            seen = step.keep[0, 0].nonzero().flatten().cpu()
            if len(seen) == 0 or int(seen[-1] - seen[0]) + 1 != len(seen):
                return None
            others = seen[:1], seen[-1:] + 1
        else:
            return None
        starts, stops = torch.maximum(starts, others[0]), torch.minimum(stops, others[1])
        # A query that looks at none of its keys has what the fill says, which is not a range's.
        if bool((starts >= stops).any()) and step.fill != float("-inf"):
            return None
    return starts + part.keys[0], torch.maximum(starts, stops) + part.keys[0]


def _within(span: Span, other: Span) -> Span:
    start = min(max(span[0], other[0]), other[1])
    return start, max(start, min(span[1], other[1]))


def _part(tensor: Tensor, block: Block) -> Tensor:
    heads = slice(None) if tensor.shape[0] == 1 else slice(*block.heads)
    rows = slice(None) if tensor.shape[1] == 1 else slice(*block.rows, block.every)
    return tensor[heads, rows, slice(*block.keys)]


def as_ranges(keep: Tensor, fill: float = float("-inf")) -> tuple[ScoreStep, ...] | None:
    """The steps of a mask in which each query looks at one stretch of keys that are not padding.

    That is the form of causal, sliding and padded masks: two numbers a query then stand for a row.

    Parameters
    ----------
    keep
        bool of shape (queries, keys): True where a query looks.
    fill
        What hidden scores become.

    Returns
    -------
    tuple of steps or None
        `Ranges`, and `Masked` for keys that no query looks at; None: it has another form.

    Examples
    --------
    >>> keep = torch.ones(4, 4, dtype=torch.bool).tril().triu(-1)
    >>> ranges, = as_ranges(keep)
    >>> ranges.starts.tolist(), ranges.stops.tolist()
    ([0, 0, 1, 2], [1, 2, 3, 4])
    """
    valid = keep.any(0)
    queries, keys = keep.shape
    starts = keep.to(torch.uint8).argmax(1)
    stops = keys - keep.flip(1).to(torch.uint8).argmax(1)
    stops = torch.where(keep.any(1), stops, starts)
    positions = torch.arange(keys, device=keep.device)
    step = max(1, 2**24 // max(1, keys))
    for first in range(0, queries, step):
        some = slice(first, first + step)
        inside = (positions >= starts[some, None]) & (positions < stops[some, None]) & valid
        if not torch.equal(inside, keep[some]):
            return None
    ranges = Ranges(starts.cpu(), stops.cpu(), fill)
    return (ranges,) if bool(valid.all()) else (ranges, Masked(valid[None, None].clone(), fill))
