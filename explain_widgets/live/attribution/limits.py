"""What a method cannot do on a model, said before it starts."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from explain_widgets.live.attribution.facts import Facts
from explain_widgets.live.errors import ExplainError


class CannotAttributeError(ExplainError, ValueError):
    """A method has no answer for this model, and why."""


# What Captum's rules of DeepLIFT are for, and the operations that these leave in a graph.
_RULED: dict[str, tuple[type, ...]] = {
    "Relu": (nn.ReLU,),
    "Elu": (nn.ELU,),
    "LeakyRelu": (nn.LeakyReLU,),
    "Sigmoid": (nn.Sigmoid,),
    "Tanh": (nn.Tanh,),
    "Softplus": (nn.Softplus,),
    "MaxPool2DWithIndices": (nn.MaxPool1d, nn.MaxPool2d),
    "MaxPool3DWithIndices": (nn.MaxPool3d,),
}
# Nonlinear operations that it has no rule for: it lets the gradient through.
_UNRULED = {
    "Gelu": "GELU",
    "Silu": "SiLU",
    "Mish": "Mish",
    "Hardswish": "Hardswish",
    "NativeLayerNorm": "layer norm",
    "NativeGroupNorm": "group norm",
    "Softmax": "softmax",
    "ScaledDotProductFlashAttentionForCpu": "attention",
    "ScaledDotProductFlashAttention": "attention",
    "ScaledDotProductEfficientAttention": "attention",
    "Bmm": "products of activations",
    "Pow": "powers",
}
# Modules that Captum's layer-wise relevance propagation has a rule for, or needs none.
_RELEVANCE = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.Conv2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
    nn.Linear, nn.BatchNorm2d, nn.ReLU, nn.Dropout, nn.Tanh,
)  # fmt: skip
LINEAR = (
    nn.Flatten, nn.Unflatten, nn.Conv1d, nn.Conv3d, nn.AvgPool1d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool3d, nn.BatchNorm1d, nn.BatchNorm3d,
)  # fmt: skip
"""Modules that it knows no rule for, and that the ε-rule holds for: linear in evaluation mode."""
HANDED_ON = (nn.Identity, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""The same, which return in evaluation mode the very tensor that they are given."""


def without_relus(facts: Facts) -> str:
    """Why guided backpropagation and deconvolution have no answer, or ""."""
    if facts.operations["Relu"] or facts.operations["ClampMin"] or facts.operations["Clamp"]:
        return ""
    return "this forward has no ReLU, so that it would be the plain gradient"


def without_deep_lift(facts: Facts) -> str:
    """Why DeepLIFT has no answer, or ""."""
    for operation, kinds in _RULED.items():
        modules = facts.modules_of(*kinds)
        calls, seen = sum(modules.values()), facts.operations[operation]
        if seen > calls:
            return (
                f"{seen - calls} of {seen} {operation} operations are functions, which its rules "
                f"do not see: write them as modules ({kinds[-1].__module__.partition('.')[0]}.nn."
                f"{kinds[-1].__name__})"
            )
        again = next((name for name, count in modules.items() if count > 1), None)
        if again is not None:
            return (
                f"module {again!r} is called {modules[again]} times, and its rules need a module "
                "for each"
            )
    return ""


def deep_lift_note(facts: Facts) -> str:
    """What DeepLIFT lets the plain gradient through for want of a rule, or ""."""
    found = {words for name, words in _UNRULED.items() if facts.operations[name]}
    return "no rule for " + ", ".join(sorted(found)) + ": plain gradient" if found else ""


def without_relevance(facts: Facts) -> str:
    """Why layer-wise relevance propagation has no answer, or ""."""
    for name, kind in facts.types.items():
        if kind not in (*_RELEVANCE, *LINEAR, *HANDED_ON):
            return f"there is no rule for {kind.__name__} ({name!r})"
    again = next((name for name, count in facts.calls.items() if count > 1), None)
    if again is not None:
        return f"module {again!r} is called {facts.calls[again]} times, and a rule is for one call"
    unseen = {"NativeLayerNorm", "Gelu", "Silu", "Softmax", "Sigmoid", "Bmm"}
    found = sorted(name for name in unseen if facts.operations[name])
    return f"there is no rule for the function {found[0]}" if found else ""


def checked(method: str, facts: Facts, limit: Callable[[Facts], str]) -> None:
    """Raise CannotAttributeError where a limit is met."""
    reason = limit(facts)
    if reason:
        raise CannotAttributeError(f"{method} cannot be computed here: {reason}.")
