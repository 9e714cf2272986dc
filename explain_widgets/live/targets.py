"""The target: the scalar of a model's output that gradients are taken of."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from explain_widgets.live.errors import TargetError

Target: TypeAlias = int | str | Callable[[Any], Tensor] | None


class _Same:
    """A target by identity; held, so that no other can take its address."""

    def __init__(self, target: object) -> None:
        self._target = target

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._target is other._target

    def __hash__(self) -> int:
        return id(self._target)


def target_key(target: Target) -> Hashable:
    """By what an answer is kept: indices and losses by value, callables by identity."""
    if target is None or isinstance(target, str):
        return target
    try:
        return operator.index(target)  # type: ignore[arg-type]
    except TypeError:
        return _Same(target)


def kept_by(target: Target) -> int | str | None:
    """What numbers by this target are kept under; None: not, a callable may answer otherwise."""
    if target is None:
        return "predicted"
    if isinstance(target, str):
        return f"loss {target}"
    try:
        return operator.index(target)  # type: ignore[arg-type]
    except TypeError:
        return None


def target_value(output: Any, target: Target, last: int = -1) -> Tensor:
    """The scalar that ``target`` picks from ``output``.

    Parameters
    ----------
    output
        What the model returned for one sample (a batch of 1).
    target
        A class (or vocabulary) index, a callable from the output to a scalar tensor, or None: the
        predicted class, or the predicted next token. Losses by name are made callables before,
        see `losses.loss_of`.
    last
        The last unpadded position, for outputs of shape (batch, time, vocabulary).

    Returns
    -------
    Tensor
        A scalar (0 axes), still in the graph.

    Raises
    ------
    TargetError
        When the output has no logits that can be told, or the index is out of range.
    """
    if callable(target):
        value: Any = target(output)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise TargetError("The target callable must return a tensor with a single element.")
        return value.reshape(())
    row = logits(output, last)
    if target is None:
        return row[row.argmax()]
    try:
        index = operator.index(target)  # type: ignore[arg-type]
    except TypeError as error:
        raise TargetError(
            f"target={target!r} is neither a class index nor a callable from the output to a "
            "scalar, nor None (the predicted class)."
        ) from error
    if not -row.numel() <= index < row.numel():
        raise TargetError(
            f"target={target} is out of range: the output has classes 0 to {row.numel() - 1}."
        )
    return row[index]


def fixed_target(output: Any, target: Target, last: int = -1) -> Target:
    """The target with what is predicted here as its class, for other inputs to be held against."""
    return int(logits(output, last).argmax()) if target is None else target


def scores_in(output: Any) -> Any:
    """The part of an output that holds the scores of classes: its logits, else all of it."""
    if isinstance(output, Mapping) and "logits" in output:
        return output["logits"]
    return getattr(output, "logits", output)


def logits(output: Any, last: int = -1) -> Tensor:
    """The scores that classes are predicted from, of shape (classes,); see `target_value`."""
    scores = scores_in(output)
    # Complex numbers have no largest, and truth values no gradient.
    if isinstance(scores, Tensor) and not scores.is_complex() and scores.dtype != torch.bool:
        if scores.numel() == 1:
            return scores.reshape(1)
        if scores.ndim == 2 and len(scores) == 1:
            return scores[0]
        if scores.ndim == 3 and len(scores) == 1:
            # Outputs of another length than the input have their own last position.
            return scores[0, last if last < scores.shape[1] else -1]
    found = type(output).__name__
    if isinstance(scores, Tensor):
        kind = "" if scores.is_floating_point() else f" of {str(scores.dtype)[6:]}"
        found = f"a tensor{kind} of shape {tuple(scores.shape)}"
    raise TargetError(
        f"No class scores can be told in the model's output ({found}): pass target as a callable "
        "from the output to a scalar, such as target=lambda output: output[0].sum()."
    )
