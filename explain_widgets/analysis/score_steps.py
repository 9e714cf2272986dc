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
    """Where a block of scores lies: heads, queries (rows) and keys, each [start, stop)."""

    heads: Span
    rows: Span
    keys: Span


class ScoreStep(Protocol):
    """One step on a block of scores of shape (heads, rows, keys)."""

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """The scores after this step; same shape, dtype and device."""

    def keys_stop(self, rows: Span, stop: int) -> int:
        """The end of the keys that any of ``rows`` can look at, at most ``stop``."""


@dataclass(frozen=True)
class Causal:
    """Query i looks at keys j ≤ i + ``offset``; other scores become ``fill``."""

    offset: int = 0
    fill: float = float("-inf")

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """See `ScoreStep`."""
        queries = torch.arange(*block.rows, device=scores.device)[:, None]
        keys = torch.arange(*block.keys, device=scores.device)
        return scores.masked_fill(keys > queries + self.offset, self.fill)

    def keys_stop(self, rows: Span, stop: int) -> int:
        """See `ScoreStep`."""
        # With a finite fill a row that is masked everywhere becomes uniform over all keys.
        if self.fill != float("-inf"):
            return stop
        return max(0, min(stop, rows[1] + self.offset))


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

    def keys_stop(self, rows: Span, stop: int) -> int:
        """See `ScoreStep`."""
        return stop


@dataclass(frozen=True)
class Bias:
    """``bias`` is added: floating point of shape (heads or 1, queries or 1, keys)."""

    bias: Tensor

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """See `ScoreStep`."""
        return scores + _part(self.bias, block).to(scores.dtype)

    def keys_stop(self, rows: Span, stop: int) -> int:
        """See `ScoreStep`."""
        return stop


def _part(tensor: Tensor, block: Block) -> Tensor:
    heads = slice(None) if tensor.shape[0] == 1 else slice(*block.heads)
    rows = slice(None) if tensor.shape[1] == 1 else slice(*block.rows)
    return tensor[heads, rows, slice(*block.keys)]
