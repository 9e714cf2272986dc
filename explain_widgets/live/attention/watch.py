"""Where gradients pass the attention calls of a run, for gradient × attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.built_attention import BuiltAttention
from explain_widgets.analysis.gradient_weighted import gradient_weighted
from explain_widgets.live.attention.handwritten import BuiltWeights
from explain_widgets.live.attention.rewired import Operation, rewired
from explain_widgets.live.attention.seen import SeenCall, folded, folded_copy
from explain_widgets.live.errors import GradientError
from explain_widgets.live.gradients import differentiated, watched

_NOT_CALLED = "The attention of {} was not called in a second run."
_NOT_RECORDED = (
    "The attention of {} was computed where no gradients are recorded (torch.no_grad, as in "
    "model.generate, or a checkpoint with use_reentrant=True): let the sample run a forward that "
    "records them."
)
_PUT_TOGETHER = (
    "The attention of {} is made of the steps of a generation, which have no gradient together: "
    "let the sample run one forward over the whole text instead."
)
_NO_DEPENDENCE = "The target does not depend on the attention of {}."


@dataclass
class _Call:
    """``value``: of a call; ``used``: weights as the model multiplied them with theirs."""

    edge: GradientEdge
    value: Tensor | None = None
    dropped: bool = False
    used: BuiltWeights | None = None
    gradient: Tensor | None = None


class GradientWatch:
    """Remembers what gradient × attention needs of each call of a run, and makes it.

    Of a call that is read from query and key the gradient is taken at what it returned, so that
    no n × n gradient is held; of weights that the model built, at these.
    """

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._reasons: dict[str, str] = {}

    def nbytes(self, call: SeenCall | BuiltWeights) -> int:
        """Bytes that a call will hold beside its queries and keys, or weights."""
        if isinstance(call, BuiltWeights):
            return call.weights.nbytes
        return call.value.nbytes + call.output.nbytes

    def begin(
        self, name: str, call: SeenCall | BuiltWeights, operation: Operation, result: Any
    ) -> Any:
        """Remember a call by its name; returns what the forward goes on with for its result."""
        if name in self._reasons:
            self._calls.pop(name, None)
            self._reasons[name] = _PUT_TOGETHER
            return result
        self._reasons[name] = _NOT_RECORDED

        def at_output(output: Tensor) -> Tensor:
            assert isinstance(call, SeenCall)
            begun, edge = watched(output)
            if edge is not None:
                self._calls[name] = _Call(edge, folded_copy(call.value), call.dropout > 0)
            return begun

        def at_weights(weights: Tensor) -> Tensor:
            assert isinstance(call, BuiltWeights)
            # They were used already: no later operation takes this place out of the graph.
            begun, edge = weights, get_gradient_edge(weights) if weights.requires_grad else None
            if edge is None and call.is_product:
                begun, edge = watched(weights)
            if edge is not None:
                self._calls[name] = _Call(edge, used=call)
            return begun

        return rewired(call, operation, result, at_output, at_weights)

    def differentiate(self, name: str, scalar: Callable[[], Tensor]) -> None:
        """Take the gradients of a scalar at all calls, in one backward.

        Parameters
        ----------
        name
            The call that matters: where it has no gradient the scalar is not asked for.

        Raises
        ------
        GradientError
            When no gradient passes that call, or any.
        """
        if name not in self._calls:
            raise GradientError(self.reason(name))
        edges = [call.edge for call in self._calls.values()]
        gradients = differentiated(scalar(), edges, "the attention")
        for (other, call), gradient in zip(self._calls.items(), gradients, strict=True):
            call.gradient = None if gradient is None else gradient.detach()
            self._reasons[other] = _NO_DEPENDENCE

    def reason(self, name: str) -> str:
        """Why a call has no measure, in a sentence."""
        return self._reasons.get(name, _NOT_CALLED).format(name or "the model")

    def measure(self, attention: Attention) -> Attention | None:
        """Gradient × attention of a call; None: it has no gradient."""
        call = self._calls.get(attention.name)
        if call is None or call.gradient is None:
            return None
        if call.used is None:
            if call.dropped:
                note = f"{attention.note}; gradient at the weights after dropout"
                attention = replace(attention, note=note)
            return gradient_weighted(attention, folded(call.gradient), call.value)
        if call.used.before_dropout:
            # ∇A ⊙ A is the same before a dropout and after it, where the gradient was taken.
            assert isinstance(attention, BuiltAttention)
            attention = replace(attention, built=_laid_out(call.used.operand, call.used))
        return gradient_weighted(attention, _laid_out(call.gradient, call.used))


def _laid_out(tensor: Tensor, weights: BuiltWeights) -> Tensor:
    """(heads, queries, keys) of a tensor whose axes lie as those of the operand."""
    return folded(tensor.permute(weights.order).reshape(weights.weights.shape))
