"""The mode that looks on while a model runs and follows where positions lie on the input."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from explain_widgets.live.dispatch import DispatchMode
from explain_widgets.live.modules import flat_tensors, shape
from explain_widgets.live.tracing import mixing, shapes, windows
from explain_widgets.live.tracing.operation import RULES, Operation, is_pointwise
from explain_widgets.live.tracing.traced import Traced, broadcast, lost

__all__ = ["Tracer", "mixing", "shapes", "windows"]  # the last three register their rules


class Tracer(DispatchMode):
    """Follows one input through everything that runs under it in this thread.

    It sees the basic operations below Python. Those in `RULES` are understood exactly; what comes
    out of any other counts as lost, never as something it is not.

    Parameters
    ----------
    tensor
        The input that is followed.
    traced
        What is known of it.
    """

    def __init__(self, tensor: Tensor, traced: Traced) -> None:
        super().__init__()
        self._traced = WeakIdKeyDictionary()
        self._traced[tensor] = traced

    def of(self, tensor: Tensor) -> Traced | None:
        """What is known of a tensor; None: it does not depend on the input."""
        return self._traced.get(tensor)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        before = {id(t): self.of(t) for t in flat_tensors((args, kwargs))}
        result = func(*args, **kwargs)
        inputs = [traced for traced in before.values() if traced is not None]
        if inputs:
            self._follow(Operation(func, args, kwargs, result, before), inputs)
        return result

    def _follow(self, operation: Operation, inputs: list[Traced]) -> None:
        name = operation.name
        try:
            if is_pointwise(operation):
                out = broadcast(shape(operation.first_result), *inputs)
                found: list[Traced | None] = [out]
            else:
                found = RULES[name](operation) if name in RULES else []
        except Exception:  # noqa: BLE001 (looking on must not break the forward: it is lost then)
            found = []
        for number, tensor in enumerate(operation.results):
            traced = found[number] if number < len(found) else None
            if traced is None or traced.shape != shape(tensor):
                traced = lost(shape(tensor), *inputs)
            self._traced[tensor] = traced
        for tensor in operation.written:
            # Written through to what it is a view of: there the rest is not followed.
            if tensor._is_view() and tensor._base is not None:
                self._traced[tensor._base] = lost(shape(tensor._base), *inputs)
