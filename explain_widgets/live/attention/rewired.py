"""Attention calls of which something is replaced in the forward: what they return, or weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explain_widgets.live.attention.handwritten import BuiltWeights
from explain_widgets.live.attention.seen import SeenCall


class Operation(NamedTuple):
    """A function that was called, and with what."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def rewired(
    call: SeenCall | BuiltWeights,
    operation: Operation,
    result: Any,
    of_output: Callable[[Tensor], Tensor],
    of_weights: Callable[[Tensor], Tensor],
) -> Any:
    """What the forward goes on with instead of ``result``, the result of ``operation``.

    Parameters
    ----------
    of_output
        Makes a new tensor of what a call read from query and key has returned.
    of_weights
        Makes new weights of those that the model built, as it multiplied them with the values:
        they are multiplied again.
    """
    if isinstance(call, SeenCall):
        output = of_output(call.output)
        if output is call.output:
            return result
        return (output, *result[1:]) if isinstance(result, tuple) else output
    weights = of_weights(call.operand)
    if weights is call.operand:
        return result
    swap = lambda item: weights if item is call.operand else item  # noqa: E731
    args, kwargs = torch.utils._pytree.tree_map(swap, (operation.args, operation.kwargs))
    return operation.function(*args, **kwargs)
