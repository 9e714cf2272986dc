"""Masks as they are given to an attention call, turned into small score steps."""

from __future__ import annotations

import torch
from torch import Tensor

from explain_widgets.analysis.score_steps import Bias, Causal, Masked, ScoreStep, as_ranges


def mask_steps(mask: Tensor | None, leading: torch.Size, is_causal: bool) -> tuple[ScoreStep, ...]:
    """The score steps of ``attn_mask`` and ``is_causal`` of an attention call.

    Parameters
    ----------
    mask
        Boolean (True: looks) or additive, broadcastable to (*leading, queries, keys).
    leading
        Batch and head axes of the scores, which are folded into one axis of heads.
    is_causal
        As in ``F.scaled_dot_product_attention``: query i looks at keys j ≤ i (top left aligned).
    """
    steps: list[ScoreStep] = [Causal()] if is_causal else []
    if mask is not None:
        steps.extend(_explicit(_folded(mask.detach(), leading)))
    return tuple(steps)


def _folded(mask: Tensor, leading: torch.Size) -> Tensor:
    """(heads or 1, queries or 1, keys), without the copies that broadcasting would make."""
    while mask.ndim < len(leading) + 2:
        mask = mask[None]
    for axis in range(mask.ndim - 1):
        if mask.shape[axis] > 1 and mask.stride(axis) == 0:  # expanded by the model
            mask = mask.narrow(axis, 0, 1)
    if all(size == 1 for size in mask.shape[:-2]):
        return mask.reshape(1, *mask.shape[-2:])
    return mask.expand(*leading, *mask.shape[-2:]).reshape(-1, *mask.shape[-2:])


def _explicit(mask: Tensor) -> list[ScoreStep]:
    if mask.dtype == torch.bool:
        return _boolean(mask, float("-inf"))
    for fill in (float("-inf"), torch.finfo(mask.dtype).min):
        hidden = mask == fill
        # Only where the other entries are 0 is it a mask; anything else is a bias. So is the lowest
        # number of float16 in a row of nothing else: scores added to it still tell keys apart.
        if bool((hidden | (mask == 0)).all()) and not (
            mask.dtype == torch.float16 and fill > float("-inf") and bool(hidden.all(-1).any())
        ):
            return _boolean(~hidden, fill)
    return [Bias(mask.clone())]


def _boolean(keep: Tensor, fill: float) -> list[ScoreStep]:
    if bool(keep.all()):
        return []
    queries, keys = keep.shape[-2:]
    if queries > 1:
        triangle = torch.ones(queries, keys, dtype=torch.bool, device=keep.device).tril()
        seen = keep.any(-2, keepdim=True)  # what any query looks at: the padding, if there is any
        if bool((keep == (triangle & seen)).all()):
            columns: list[ScoreStep] = [] if bool(seen.all()) else [Masked(seen.clone(), fill)]
            return [Causal(fill=fill), *columns]
        if bool((keep == seen).all()):
            keep = seen
        elif len(keep) == 1 and (ranges := as_ranges(keep[0], fill)) is not None:
            return list(ranges)
    return [Masked(keep.clone(), fill)]
