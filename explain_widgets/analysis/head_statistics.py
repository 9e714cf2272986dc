"""What an attention head does, in a few numbers, summed up block by block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from explain_widgets.analysis.score_steps import Span


@dataclass(frozen=True)
class HeadStatistics:
    """What one head does, over the rows and keys asked for; None where it does not apply.

    Attributes
    ----------
    entropy
        Mean over the queries of −Σ A log₂ A, in bits: 0 looks at one key, log₂ n at n alike.
    distance
        Mean over the queries of Σ A |query − key|, in positions (self-attention only).
    first, last
        Mean weight on the first and on the last key.
    sink
        Mean over the queries of the weight on the keys that are sinks; None: it was not said which.
    previous, same, following
        Mean weight of a query on the position before it, on its own, and on the one after it
        (self-attention only).
    induction
        Mean weight of a query on the token that followed the same token when it last came before,
        over the queries whose token came before (Olsson et al. 2022); None without token ids, or
        where no token comes twice.
    received
        (keys,): mean over the queries of the weight on each key.
    every
        All means are over each so-manyth query: 1 is exact.
    """

    entropy: float | None
    distance: float | None
    first: float
    last: float
    sink: float | None
    previous: float | None
    same: float | None
    following: float | None
    induction: float | None
    received: Tensor = field(repr=False, compare=False)
    every: int = 1


def induction_keys(tokens: Sequence[int] | Tensor) -> list[int]:
    """For each position the one after the last earlier place of its token; −1: there is none.

    Examples
    --------
    >>> induction_keys([5, 7, 9, 5, 7])
    [-1, -1, -1, 1, 2]
    """
    ids = tokens.tolist() if isinstance(tokens, Tensor) else list(tokens)
    latest: dict[int, int] = {}
    found = []
    for position, token in enumerate(ids):
        after = latest.get(token, -2) + 1
        found.append(after if 0 < after < position else -1)
        latest[token] = position
    return found


class HeadTotals:
    """Sums over blocks of weights, of which `HeadStatistics` are made.

    Parameters
    ----------
    rows
        The queries that are summed over.
    ends
        The keys whose weight is the first and the last.
    keys
        Number of keys.
    tokens
        Token ids of the positions, for induction.
    sinks
        (keys,) bool: the keys that are sinks.
    like
        A tensor of the weights' dtype and device.
    every
        Of the rows only each so-manyth is added.
    """

    def __init__(
        self,
        rows: Span,
        ends: tuple[int, int],
        keys: int,
        tokens: Sequence[int] | Tensor | None,
        sinks: Tensor | None,
        like: Tensor,
        every: int = 1,
    ) -> None:
        self._ends, self._every = ends, every
        self._queries = torch.arange(*rows, every, device=like.device)
        self._sinks = None if sinks is None else sinks.to(like.device)
        self._received = like.new_zeros(keys)
        # Entropy, distance, first, last, previous, same, following, induction; those of one block
        # of rows on the device, the sum of all on the host in double precision.
        self._block = like.new_zeros(8)
        self._sums = [0.0] * 8
        self._partners: Tensor | None = None
        if tokens is not None:
            self._partners = torch.tensor(induction_keys(tokens), device=like.device)

    def add(self, rows: Span, keys: Span, weights: Tensor) -> None:
        """Add a block of weights (rows, keys); a row's keys that were left out have none."""
        block, queries = self._block, torch.arange(*rows, self._every, device=weights.device)
        self._received[slice(*keys)] += weights.sum(0)
        block[0] += torch.special.entr(weights).sum()
        block[1] += _distance(weights, rows, keys, queries)
        for index, key in enumerate(self._ends, start=2):
            if keys[0] <= key < keys[1]:
                block[index] += weights[:, key - keys[0]].sum()
        for index, offset in enumerate((-1, 0, 1), start=4):
            block[index] += _taken(weights, queries + offset, keys)
        if self._partners is not None:
            block[7] += _taken(weights, self._partners[queries], keys)

    def end_rows(self) -> None:
        """Take what was added to the host; called after each block of rows."""
        self._sums = [a + b for a, b in zip(self._sums, self._block.tolist(), strict=True)]
        self._block.zero_()

    def statistics(self, is_self: bool, sums_to_one: bool) -> HeadStatistics:
        """The means. ``is_self``: queries and keys are the same positions."""
        count = len(self._queries)
        entropy, distance, first, last, previous, same, following, induction = self._sums
        partners = 0
        if self._partners is not None:
            partners = int((self._partners[self._queries] >= 0).sum())
        sink = None if self._sinks is None else float(self._received[self._sinks].sum()) / count
        return HeadStatistics(
            entropy / math.log(2) / count if sums_to_one else None,
            distance / count if is_self and sums_to_one else None,
            first / count,
            last / count,
            sink,
            previous / count if is_self else None,
            same / count if is_self else None,
            following / count if is_self else None,
            induction / partners if is_self and partners else None,
            self._received / count,
            self._every,
        )


def _taken(weights: Tensor, places: Tensor, keys: Span) -> Tensor:
    """The sum of one weight a row, that on the key ``places`` (rows,), where that is in a block."""
    inside = places - keys[0]
    is_here = (places >= 0) & (inside >= 0) & (inside < weights.shape[1])
    taken = weights.gather(1, inside.clamp(0, weights.shape[1] - 1)[:, None])[:, 0]
    return torch.where(is_here, taken, 0).sum()


def _distance(weights: Tensor, rows: Span, keys: Span, queries: Tensor) -> Tensor:
    """Σ A |query − key| over a block."""
    positions = torch.arange(*keys, device=weights.device)
    if keys[1] > rows[0] and keys[0] < rows[1]:  # on the diagonal
        return (weights * (positions - queries[:, None]).abs()).sum()
    # Beside it the difference has one sign: two small products instead of a matrix of distances.
    # Counted from the block's own corner, so that the difference of the two stays exact.
    places = torch.stack([torch.ones_like(positions), positions - keys[0]], 1)
    mass, place = (weights @ places.to(weights.dtype)).unbind(1)
    difference = (queries - keys[0]).to(weights.dtype) * mass - place
    return difference.sum() if rows[0] >= keys[1] else -difference.sum()
