"""What an attention call does to its scores between query · key and the softmax, step by step.

Each step is applied to a block of scores, so that no step ever needs the whole matrix.
"""

from __future__ import annotations

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
