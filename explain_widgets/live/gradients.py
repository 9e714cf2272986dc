"""Gradients of a scalar, with the reason where there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from explain_widgets.live.errors import GradientError
from explain_widgets.live.modules import flat_tensors


def floating_input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The first tensor of floating point that a model is called with, masks and biases left out."""
    named = [v for name, v in kwargs.items() if "mask" not in name and "bias" not in name]
    return next((t for t in flat_tensors((args, named)) if t.is_floating_point()), None)


def differentiated(scalar: Tensor, inputs: list[Any], what: str) -> tuple[Tensor | None, ...]:
    """D scalar / d input for each of ``inputs`` (tensors or edges); None where it does not depend.

    Raises
    ------
    GradientError
        When nothing can be differentiated; ``what`` names the inputs in the sentence.
    """
    if not scalar.requires_grad:
        raise GradientError(
            f"The target does not depend on {what} in a differentiable way (is part of the "
            "forward inside torch.no_grad, detached, or in integers?)."
        )
    try:
        return torch.autograd.grad(scalar, inputs, allow_unused=True)
    except RuntimeError as error:
        if "use_reentrant" not in str(error):
            raise
        raise GradientError(
            "The forward is checkpointed in a way that allows no gradients of single layers: "
            "call torch.utils.checkpoint.checkpoint(…, use_reentrant=False) in the model."
        ) from error
