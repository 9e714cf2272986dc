"""`F.multi_head_attention_forward`, run so that the operations inside it are seen."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor


@dataclass
class Multihead:
    """A call of `F.multi_head_attention_forward` that is under way."""

    same_source: bool
    dropout: float
    scores: tuple[Tensor, Tensor, Tensor | None] | None = None


def _without_override_check() -> Callable[..., Any]:
    """`F.multi_head_attention_forward` with the same code that does not hand over to modes.

    The function hands itself to an active mode as a whole; run again under the mode it would do
    so for ever, run without it nothing inside is seen. The same code with globals of its own, in
    which nothing is overridden, lets the operations inside reach the mode.
    """
    function = F.multi_head_attention_forward
    names = {**F.__dict__, "has_torch_function": lambda tensors: False}
    copied = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    return copied


MULTIHEAD_FORWARD = _without_override_check()
"""`F.multi_head_attention_forward`, to be called under a mode that looks inside."""

_SIGNATURE = inspect.signature(F.multi_head_attention_forward)


def multihead_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a call of `F.multi_head_attention_forward` was given, by name, defaults included."""
    given = _SIGNATURE.bind(*args, **kwargs)
    given.apply_defaults()
    return given.arguments
