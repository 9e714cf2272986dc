"""Gradients of a scalar: where they pass while a model runs, and why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from explain_widgets.live.errors import GradientError, LayerError
from explain_widgets.live.modules import flat_tensors, named_tensors


def floating_input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The first tensor of floating point that a model is called with, masks and biases left out."""
    named = [v for name, v in kwargs.items() if "mask" not in name and "bias" not in name]
    return next((t for t in flat_tensors((args, named)) if t.is_floating_point()), None)


def input_tensor(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], entry: int | str | None
) -> Tensor:
    """The input that gradients are taken of: the first of floating point, or the one named."""
    named = dict(named_tensors({**{str(n): value for n, value in enumerate(args)}, **kwargs}))
    floating = {name: tensor for name, tensor in named.items() if tensor.is_floating_point()}
    if not floating:
        raise GradientError(
            "The input holds no tensor of floating point (token ids have no gradient): ask for "
            "the gradient at the embedding layer instead."
        )
    if entry is None:
        return next(iter(floating.values()))
    if str(entry) not in floating:
        raise LayerError(
            f"The input has no entry {entry!r} of floating point, only "
            f"{', '.join(map(repr, floating))}."
        )
    return floating[str(entry)]


def swapped(inputs: Any, old: Tensor, new: Tensor) -> Any:
    """Arguments, however nested, with one of their tensors in the place of another."""
    swap = lambda value: new if value is old else value  # noqa: E731
    return torch.utils._pytree.tree_map_only(Tensor, swap, inputs)


def differentiated(
    scalar: Tensor, inputs: list[Any], what: str, keep: bool = False
) -> tuple[Tensor | None, ...]:
    """D scalar / d input for each of ``inputs`` (tensors or edges); None where it does not depend.

    ``keep``: what was kept for the backward is needed once more.

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
        return torch.autograd.grad(scalar, inputs, retain_graph=keep or None, allow_unused=True)
    except RuntimeError as error:
        if "use_reentrant" not in str(error):
            raise
        raise GradientError(
            "The forward is checkpointed in a way that allows no gradients of single layers: "
            "call torch.utils.checkpoint.checkpoint(…, use_reentrant=False) in the model."
        ) from error


def watched(tensor: Tensor, copied: bool = False) -> tuple[Tensor, GradientEdge | None]:
    """What a forward goes on with for ``tensor``, and the place where its gradient will pass.

    The place is remembered now, since in-place operations may rebase the tensor later; None: no
    gradients are recorded, or the tensor holds integers. ``copied``: go on with a copy in any case,
    so that the gradient is of what goes on here, not of the tensor elsewhere.
    """
    if tensor.requires_grad and not (copied or tensor._is_view()):
        return tensor, get_gradient_edge(tensor)
    if tensor.requires_grad:
        # An in-place operation on a view takes this place out of the graph: go on with a copy.
        begun = tensor.clone()
        return begun, get_gradient_edge(begun)
    if not torch.is_grad_enabled() or not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor, None
    # Nothing before it needs a gradient (frozen weights, token ids): begin here. The copy is no
    # leaf, so that in-place operations on it stay allowed.
    begun = tensor.detach().requires_grad_().clone()
    return begun, get_gradient_edge(begun)
