"""An attention call as it was seen."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from explain_widgets.analysis.score_steps import ScoreStep


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
