"""Score steps of flex attention: functions of one score and its place, applied to blocks.

Such a function is written for single numbers and may index tensors by them, one after another, so
that it is mapped over a block rather than given whole blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explain_widgets.analysis.score_steps import Block, Span


@dataclass(frozen=True)
class ScoreFunction:
    """Scores become ``function(score, batch, head, query, key)``.

    ``heads``: of one batch entry; batch entries follow each other as heads.
    """

    function: Callable[..., Any]
    heads: int

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """See `ScoreStep`."""
        batches, heads, queries, keys = _places(block, self.heads, scores.device)
        mapped = torch.vmap(self.function, (0, None, None, None, 0))
        mapped = torch.vmap(mapped, (0, None, None, 0, None))
        mapped = torch.vmap(mapped, (0, 0, 0, None, None))
        with _indexable():
            changed: Tensor = mapped(scores, batches, heads, queries, keys)
        return changed.to(scores.dtype)

    def keys_seen(self, rows: Span, keys: Span) -> Span:
        """See `ScoreStep`."""
        return keys


@dataclass(frozen=True)
class MaskFunction:
    """Scores where ``function(batch, head, query, key)`` is False become −∞.

    ``heads``: of one batch entry; batch entries follow each other as heads.
    """

    function: Callable[..., Any]
    heads: int

    def apply(self, scores: Tensor, block: Block) -> Tensor:
        """See `ScoreStep`."""
        mapped = torch.vmap(self.function, (None, None, None, 0))
        mapped = torch.vmap(mapped, (None, None, 0, None))
        mapped = torch.vmap(mapped, (0, 0, None, None))
        with _indexable():
            keep: Tensor = mapped(*_places(block, self.heads, scores.device))
        return scores.masked_fill(~keep, float("-inf"))

    def keys_seen(self, rows: Span, keys: Span) -> Span:
        """See `ScoreStep`."""
        return keys


def _places(block: Block, heads: int, device: torch.device) -> tuple[Tensor, ...]:
    """Batch entries and heads (as long as each other), queries and keys of a block."""
    folded = torch.arange(*block.heads, device=device)
    queries, keys = block.row_positions(device), block.key_positions(device)
    return folded // heads, folded % heads, queries, keys


def _indexable() -> AbstractContextManager[Any]:
    """Lets mapped functions write ``tensor[query]``, as flex attention itself lets them."""
    try:
        from torch._dynamo._trace_wrapped_higher_order_op import (  # noqa: PLC0415 (slow)
            TransformGetItemToIndex,
        )
    except ImportError:  # another torch: functions that index nothing still work
        return nullcontext()
    manager: AbstractContextManager[Any] = TransformGetItemToIndex()
    return manager
