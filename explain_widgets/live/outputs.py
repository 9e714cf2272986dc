"""How two outputs of a model differ, in numbers that a person reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from explain_widgets.live.errors import TargetError
from explain_widgets.live.modules import first_tensor
from explain_widgets.live.targets import logits

_MOST_CLASSES = 5


@dataclass(frozen=True)
class OutputChange:
    """How an output has changed.

    Attributes
    ----------
    cosine
        Between what was compared, before and after, all numbers in one vector: 1 is no change of
        direction.
    difference
        ‖after − before‖ / ‖before‖.
    position
        Along the second axis of a (1, positions, channels) output, where the change is largest;
        None: it has none.
    classes, before, after
        The most probable classes of either output, by their probability before, and their
        probabilities (softmax of the logits); empty where there are no logits.
    count
        How many classes there are; 0 without logits.
    divergence
        KL(before ‖ after) of all classes in bits; None without logits.
    note
        What the numbers rest on, in words, or "".
    """

    cosine: float
    difference: float
    position: int | None = None
    classes: tuple[int, ...] = ()
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    count: int = 0
    divergence: float | None = None
    note: str = ""


def output_change(before: Any, after: Any, last: int = -1) -> OutputChange:
    """How ``after`` differs from ``before``.

    Parameters
    ----------
    before, after
        Outputs of a model for one sample: their logits are compared, found as for a target, else
        their first tensors.
    last
        The last unpadded position, for logits of (1, time, vocabulary).

    Raises
    ------
    ValueError
        When the outputs hold no tensors, or of other shapes (text that was generated, say).

    Examples
    --------
    >>> change = output_change(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
    >>> change.classes, round(change.before[0], 3), round(change.after[0], 3)
    ((0, 1), 0.881, 0.119)
    """
    tensors = first_tensor(before), first_tensor(after)
    if tensors[0] is None or tensors[1] is None or tensors[0].shape != tensors[1].shape:
        raise ValueError("The outputs cannot be compared: they hold no tensors of one shape.")
    old, new = (tensor.double() for tensor in tensors if tensor is not None)
    try:
        scores = [logits(output, last).double() for output in (before, after)]
    except TargetError:
        scores = []
    if not scores or scores[0].numel() < 2:
        return _change(old, new)
    # Of one softmax, in log space: rare tokens count in the divergence.
    logs = [row.log_softmax(-1) for row in scores]
    count = min(_MOST_CLASSES, scores[0].numel())
    top = {int(index) for row in logs for index in row.topk(count).indices}
    classes = sorted(top, key=lambda index: -float(logs[0][index]))
    change = _change(*scores)
    probabilities = [tuple(float(row[index].exp()) for index in classes) for row in logs]
    nats = float((logs[0].exp() * (logs[0] - logs[1])).nansum())  # where both are −∞: no part of it
    return replace(
        change,
        classes=tuple(classes),
        before=probabilities[0],
        after=probabilities[1],
        count=scores[0].numel(),
        divergence=nats / math.log(2),
    )


def _change(old: Tensor, new: Tensor) -> OutputChange:
    change = new - old
    cosine = torch.nn.functional.cosine_similarity(old.flatten(), new.flatten(), 0)
    by_position = change.norm(dim=-1)[0] if change.ndim == 3 and len(change) == 1 else None
    return OutputChange(
        float(cosine),
        float(change.norm() / old.norm().clamp_min(1e-30)),
        None if by_position is None else int(by_position.argmax()),
    )
