"""Does what was captured explain what the call returned? Weights · value on a few rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.score_steps import Block
from explain_widgets.live.attention.seen import lengths

_ROWS = 8

# Differences that rounding explains, relative to the longest value: half types round their own
# intermediate results, where ours are in single precision.
_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
_HALF_TOLERANCE = 2e-2


def relative_difference(attention: Attention, value: Tensor, output: Tensor) -> Tensor:
    """Largest |weights · value − output| over 8 rows and all heads, relative to the longest value.

    Parameters
    ----------
    attention
        What was captured.
    value
        (value heads, keys, channels), as given to the call.
    output
        (heads, queries, channels), as returned by the call.

    Returns
    -------
    Tensor
        A scalar on the device: reading it is left to the end of the run.
    """
    group = attention.heads // value.shape[0]
    # By the longest value, as if its channels were alike: this must cost little beside the forward.
    norms = attention.value_norms
    longest = (lengths(value, -1) if norms is None else norms).max()
    scale = (longest / value.shape[-1] ** 0.5).clamp_min(1e-30)
    if group > 1:
        value = value.repeat_interleave(group, 0)
    # Spread over the second half, where causal queries see the most, and up to the last.
    every = max(1, attention.queries // 2 // _ROWS)
    rows = (max(0, attention.queries - 1 - (_ROWS - 1) * every), attention.queries)
    if attention.queries <= _ROWS:
        rows, every = (0, attention.queries), 1
    scores = attention.scores(Block((0, attention.heads), rows, (0, attention.keys), every))
    weights = scores.softmax(-1)  # of whole rows, and few: no need of blocks
    if attention.steps:
        is_empty = (scores == -math.inf).all(-1, keepdim=True)
        weights = torch.where(is_empty, attention.empty_rows, weights)
    ours = weights @ value.to(weights.dtype)
    theirs = output[:, slice(*rows, every)]
    # A row that the model itself has as NaN is no difference.
    same = ours.isnan() & theirs.isnan()
    return torch.where(same, 0, (ours - theirs.to(ours.dtype)).abs()).max() / scale


def tolerance(dtype: torch.dtype) -> float:
    """The largest relative difference that rounding explains for a model of this dtype."""
    return _TOLERANCE.get(dtype, _HALF_TOLERANCE)
