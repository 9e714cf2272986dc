"""What a backward costs, by the calls of modules whose forward made its functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explain_widgets.live.clock import Clock
from explain_widgets.live.errors import GradientError
from explain_widgets.live.structure.backward import CallSpans, functions_from
from explain_widgets.live.structure.flops import FlopCount
from explain_widgets.live.structure.trace import OUTSIDE


@dataclass(slots=True)
class Cost:
    """Floating-point operations and seconds of a part of a backward."""

    flops: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class BackwardCosts:
    """What a backward costs.

    Attributes
    ----------
    flops
        Floating-point operations of all of it, counted as those of a forward.
    calls
        By the names of the calls of modules, with what was called in them.
    """

    flops: int
    calls: Mapping[str, Cost]


def backward_costs(scalar: Tensor, spans: CallSpans, parameters: Sequence[Tensor]) -> BackwardCosts:
    """Run the backward of a scalar by parameters, and measure it.

    Parameters
    ----------
    scalar
        In the graph.
    spans
        Of the forward that made it.
    parameters
        Leaves of their own: what is added up in them is given back at once.

    Raises
    ------
    GradientError
        When the scalar depends on none of them, or the forward allows no backward by them.
    """
    if scalar.grad_fn is None or not parameters:
        raise GradientError(_NOTHING)
    outside = Cost()
    costs = [Cost() for _ in spans.calls]
    measure = _Measure(Clock(parameters[0].device))
    functions = functions_from(scalar.grad_fn)[0]
    for function in functions:
        number = spans.call_of(function._sequence_nr())
        function.register_prehook(measure.begin(outside if number == OUTSIDE else costs[number]))
        function.register_hook(measure.end)
    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(measure.give_back)
    if any("CheckpointFunction" in function.name() for function in functions):
        raise GradientError(
            "The forward is checkpointed in a way that allows no backward by given parameters: "
            "call torch.utils.checkpoint.checkpoint(…, use_reentrant=False) in the model."
        )
    with measure.count:
        torch.autograd.backward(scalar, inputs=list(parameters))
    if not measure.has_reached:
        raise GradientError(_NOTHING)
    measure.clock.settle()
    for call, cost in reversed(list(zip(spans.calls, costs, strict=True))):
        if call.parent != OUTSIDE:
            costs[call.parent].flops += cost.flops
            costs[call.parent].seconds += cost.seconds
    names = (call.name for call in spans.calls)
    return BackwardCosts(measure.count.flops, dict(zip(names, costs, strict=True)))


_NOTHING = "The target depends on no parameter that asks for a gradient."


class _Measure:
    """Hooks around autograd's functions; each device has a thread that runs its own."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.count = FlopCount()
        self.has_reached = False  # any of the parameters
        self._thread = threading.local()

    def begin(self, cost: Cost) -> Callable[..., None]:
        """A hook before a function that adds to ``cost``."""

        def note(_gradients: Any) -> None:
            self._running.append((cost, self.clock.now(), self.count.flops))

        return note

    def end(self, _inputs: Any, _outputs: Any) -> None:
        """The hook after it."""
        cost, started, flops = self._running.pop()
        self.clock.add(cost, started)
        cost.flops += self.count.flops - flops

    def give_back(self, parameter: Tensor) -> None:
        """The hook after a gradient has come to a parameter."""
        self.has_reached = True
        parameter.grad = None

    @property
    def _running(self) -> list[tuple[Cost, Any, int]]:
        running: list[tuple[Cost, Any, int]] = self._thread.__dict__.setdefault("running", [])
        return running
