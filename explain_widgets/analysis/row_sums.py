"""What rows of scores are divided by in the softmax: computed in blocks, and kept."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from explain_widgets.analysis.score_steps import Span


def row_sums(scores: Tensor) -> Tensor:
    """(…, rows, 2): the largest score of a row, and log Σ exp (score − largest).

    Apart, since their sum would lose the second beside scores that are masked with a large number.
    Where all are −∞: 0 and −∞.
    """
    return sums_of_blocks([scores])


def sums_of_blocks(blocks: Iterable[Tensor]) -> Tensor:
    """`row_sums` of scores (…, rows, keys) that come in blocks of keys, of which at least one.

    The online softmax of Milakov and Gimelshein (2018).
    """
    top: Tensor | None = None
    total = torch.empty(0)
    for scores in blocks:
        block_top = (
            scores.amax(-1) if scores.shape[-1] else scores.new_full(scores.shape[:-1], -math.inf)
        )
        before, top = top, block_top if top is None else torch.maximum(top, block_top)
        shift = torch.where(top == -math.inf, 0.0, top)
        part = (scores - shift[..., None]).exp_().sum(-1)
        total = part if before is None else total * torch.exp(before - shift) + part
    assert top is not None
    return torch.stack([torch.where(top == -math.inf, 0.0, top), total.log()], -1)


def sums_of_parts(tops: Tensor, totals: Tensor) -> Tensor:
    """`row_sums` of rows that were summed up in parts: largest scores and Σ exp (score − largest).

    ``tops``, ``totals``: (…, rows, parts), of parts in which all scores are −∞: −∞ and 0.
    """
    top = tops.amax(-1)
    shift = torch.where(top == -math.inf, 0.0, top)
    total = (totals * torch.exp(tops - shift[..., None])).sum(-1)
    return torch.stack([shift, total.log()], -1)


def normalised(scores: Tensor, sums: Tensor) -> Tensor:
    """The weights exp (score − largest − log Σ): ``sums`` as of `row_sums`, for the same rows."""
    # Not in place from the start: what a step returned may be a view.
    return (scores - sums[..., :1]).sub_(sums[..., 1:]).exp_()


class RowSums:
    """`row_sums` of the heads and rows for which they are known."""

    def __init__(self) -> None:
        self._heads: dict[int, tuple[Tensor, bytearray]] = {}

    def known(self, head: int, rows: Span) -> Tensor | None:
        """(rows, 2), or None where some are not known."""
        sums, known = self._heads.get(head, (None, bytearray(1)))
        if sums is None or known.find(0, *rows) >= 0:
            return None
        return sums[slice(*rows)]

    def keep(self, head: int, rows: Span, sums: Tensor, queries: int) -> None:
        """Keep (rows, 2) of a head that has so many queries."""
        if head not in self._heads:
            self._heads[head] = (sums.new_zeros(queries, 2), bytearray(queries))
        kept, known = self._heads[head]
        kept[slice(*rows)] = sums
        known[slice(*rows)] = b"\x01" * (rows[1] - rows[0])
