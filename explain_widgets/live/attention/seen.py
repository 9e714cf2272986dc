"""An attention call as it was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from explain_widgets.analysis.score_steps import ScoreStep

Read: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], Any]
"""Reads an operation (function, arguments, keywords, result): what attention it was, or None."""


@dataclass(frozen=True)
class SeenCall:
    """One attention call as it was seen: what went in, what came out.

    ``query``, ``key``, ``value``, ``output``: (…, positions, channels) with any batch and head
    axes before; ``mask``: broadcastable to (…, queries, keys); ``steps``: after the mask.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    scale: float
    source: str
    mask: Tensor | None = None
    is_causal: bool = False
    dropout: float = 0.0
    empty_rows: float = 0.0
    same_source: bool | None = None
    steps: tuple[ScoreStep, ...] = ()


def lengths(values: Tensor, axis: int | list[int]) -> Tensor:
    """Euclidean lengths along an axis, in single precision at least."""
    dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
    return torch.linalg.vector_norm(values.detach(), dim=axis, dtype=dtype)


def folded(tensor: Tensor) -> Tensor:
    """(heads, positions, channels), detached: batch and head axes in one."""
    return tensor.detach().reshape(-1, *tensor.shape[-2:])


def folded_copy(tensor: Tensor) -> Tensor:
    """`folded`, as memory of its own.

    A view would keep a fused buffer alive, and caches write into their keys later.
    """
    return folded(tensor).clone(memory_format=torch.contiguous_format)
