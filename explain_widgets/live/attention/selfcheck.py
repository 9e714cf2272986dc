"""Does what was captured explain what the call returned? Weights · value on a few rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Checked:
    """A few rows of a call, as they were returned and as they come from what was captured.

    ``theirs``, ``ours``: (heads, rows, channels); ``longest``: a scalar, of the longest value.
    All stay on the device: `differences` reads them once for all calls of a run.
    """

    theirs: Tensor
    ours: Tensor
    longest: Tensor


def checked(attention: Attention, value: Tensor, output: Tensor) -> Checked:
    """8 rows of all heads, spread over the second half, where causal queries see the most.

    Parameters
    ----------
    attention
        What was captured.
    value
        (value heads, keys, channels), as given to the call.
    output
        (heads, queries, channels), as returned by the call.
    """
    group = attention.heads // value.shape[0]
    norms = attention.value_norms
    longest = (lengths(value, -1) if norms is None else norms).max()
    if group > 1:
        value = value.repeat_interleave(group, 0)
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
    if not ours.numel():
        raise ValueError("an attention without queries or channels")
    # Not a view, which would keep the whole output.
    return Checked(output[:, slice(*rows, every)].to(ours.dtype, copy=True), ours, longest)


def differences(calls: Sequence[Checked]) -> list[float]:
    """Of each call the largest |weights · value − output|, relative to the longest value.

    As if the channels of the longest value were alike. A row that the model itself has as NaN is
    no difference.
    """
    found: dict[int, float] = {}
    alike: dict[tuple[object, ...], list[int]] = {}
    for n, call in enumerate(calls):
        kind = (call.ours.shape, call.ours.dtype, call.ours.device, call.longest.dtype)
        alike.setdefault(kind, []).append(n)
    for numbers in alike.values():  # most models have one kind
        theirs, ours = (
            torch.stack([getattr(calls[n], which) for n in numbers]) for which in ("theirs", "ours")
        )
        longest = torch.stack([calls[n].longest for n in numbers])
        same = ours.isnan() & theirs.isnan()
        largest = torch.where(same, 0, (ours - theirs).abs()).flatten(1).amax(1)
        scale = (longest / ours.shape[-1] ** 0.5).clamp_min(1e-30)
        found.update(zip(numbers, (largest / scale).tolist(), strict=True))
    return [found[n] for n in range(len(calls))]


def tolerance(dtype: torch.dtype) -> float:
    """The largest relative difference that rounding explains for a model of this dtype."""
    return _TOLERANCE.get(dtype, _HALF_TOLERANCE)
