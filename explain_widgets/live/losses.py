"""Losses as targets: what the sample's label says of the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from explain_widgets.live.errors import TargetError
from explain_widgets.live.modules import first_tensor
from explain_widgets.live.samples import Sample
from explain_widgets.live.targets import logits, scores_in

LOSSES = {
    "cross_entropy": "cross-entropy of the softmax of the logits with the label's class",
    "mse": "mean squared difference of the output and the label",
    "binary_cross_entropy": "binary cross-entropy of the sigmoid of the logits with the label",
}
"""The losses by name, with what they are."""


def loss_of(name: str, sample: Sample, last: int = -1) -> Callable[[Any], Tensor]:
    """A loss with the label of a sample, as a callable from the output to a scalar.

    Parameters
    ----------
    name
        One of `LOSSES`.
    sample
        Whose label counts.
    last
        The last unpadded position, for outputs of shape (batch, time, vocabulary).

    Raises
    ------
    TargetError
        When there is no such loss, or no label that it could be taken with.

    Examples
    --------
    >>> from explain_widgets.live.samples import Samples
    >>> sample = Samples(torch.rand(1, 4), labels=[1])[0]
    >>> loss_of("cross_entropy", sample)(torch.tensor([[0.0, 0.0]]))
    tensor(0.6931)
    """
    if name not in LOSSES:
        listed = ", ".join(f'"{loss}"' for loss in LOSSES)
        raise TargetError(f"target={name!r} is no loss: write {listed}, or a callable.")
    if sample.label is None:
        raise TargetError(
            f"target={name!r} needs a label and sample {sample.index} has none: pass labels=…."
        )
    if name == "cross_entropy":
        return lambda output: F.cross_entropy(
            logits(output, last)[None], _classes(sample, logits(output, last))
        )
    if name == "mse":
        return lambda output: F.mse_loss(_tensor(output), _label(sample, _tensor(output)))
    return lambda output: F.binary_cross_entropy_with_logits(
        _tensor(output), _label(sample, _tensor(output))
    )


def _classes(sample: Sample, row: Tensor) -> Tensor:
    """(1,) index of the label's class, or (1, classes) probabilities."""
    index = sample.label_index
    if index is not None:
        if not 0 <= index < len(row):
            raise TargetError(f"The label {index} is none of the classes 0 to {len(row) - 1}.")
        return torch.tensor([index], device=row.device)
    return _label(sample, row)[None]


def _tensor(output: Any) -> Tensor:
    found = first_tensor(scores_in(output))
    if found is None:
        raise TargetError("The output holds no tensor that a loss could be taken of.")
    return found


def _label(sample: Sample, like: Tensor) -> Tensor:
    """The label in the shape of the output; a class among several as 0 and 1."""
    try:
        label = torch.as_tensor(sample.label, dtype=like.dtype, device=like.device)
    except (TypeError, ValueError) as error:
        index = sample.label_index
        if index is None:
            raise TargetError(f"The label {sample.label!r} is no number and no class.") from error
        label = torch.tensor(float(index), dtype=like.dtype, device=like.device)
    if label.numel() == like.numel():
        return label.reshape(like.shape)
    index = sample.label_index
    if label.numel() == 1 and index is not None and 0 <= index < like.shape[-1]:
        one = torch.zeros(like.shape[-1], dtype=like.dtype, device=like.device)
        one[index] = 1
        return one.expand(like.shape)
    raise TargetError(
        f"The label has {label.numel()} values and the output {like.numel()}: pass a callable."
    )
