"""How strongly the target depends on each tensor of parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from explain_widgets.live.model import LiveModel

PARAMETER_WORDS = {
    "norm": "Norm of the gradient by each tensor of parameters, logarithmic",
    "weight_x_gradient": "Σ |weight × gradient| of each tensor of parameters, logarithmic",
}
"""What is measured, by name, in words."""


@dataclass(frozen=True)
class ParameterRow:
    """One tensor of parameters.

    Attributes
    ----------
    module, name
        Path of its module, and its name there.
    value
        What was measured; NaN where there is no gradient.
    state
        ``""``, ``"zero"``, ``"no gradient"`` or ``"not finite"``.
    """

    module: str
    name: str
    value: float
    state: str


def parameter_norms(
    live: LiveModel, sample: int, target: Any, measure: str = "norm"
) -> list[ParameterRow]:
    """One number for each tensor of parameters, in the order of the model.

    Parameters
    ----------
    live, sample, target
        As in `LiveModel.parameter_gradients`.
    measure
        ``"norm"``: ‖g‖₂; ``"weight_x_gradient"``: Σ |w · g|, how far the target would move, to
        first order, if each weight were taken away.

    Raises
    ------
    ValueError
        When there is no such measure.
    """
    if measure not in PARAMETER_WORDS:
        raise ValueError(f"There is no measure {measure!r}: write {', '.join(PARAMETER_WORDS)}.")
    gradients = live.parameter_gradients(sample, target)
    weights = dict(live.model.named_parameters())
    rows = []
    for path, gradient in gradients.items():
        module, _, name = path.rpartition(".")
        value = _measured(gradient, weights.get(path), measure)
        state = "no gradient" if gradient is None else _state(value)
        rows.append(ParameterRow(module, name, value, state))
    return rows


def _measured(gradient: Tensor | None, weight: Tensor | None, measure: str) -> float:
    if gradient is None:
        return math.nan
    values = gradient.detach().double()
    if measure == "weight_x_gradient" and weight is not None:
        return float((values * weight.detach().double()).abs().sum())
    return float(values.norm())


def _state(value: float) -> str:
    if not math.isfinite(value):
        return "not finite"
    return "zero" if value == 0 else ""
