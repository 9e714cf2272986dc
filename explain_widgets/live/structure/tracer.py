"""Watches one forward: every operation that torch's functions do, and every call of a module.

What is done for each operation is little: a model may do thousands in a few milliseconds.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explain_widgets.analysis.statistics import TensorStatistics, tensor_statistics
from explain_widgets.live.attention.flex import flex_calls
from explain_widgets.live.attention.multihead import MULTIHEAD_FORWARD
from explain_widgets.live.attention.seen import SeenCall
from explain_widgets.live.clock import Clock
from explain_widgets.live.modules import Shape, flat_tensors, named_tensors, settings
from explain_widgets.live.structure.flops import FlopCount
from explain_widgets.live.structure.functions import FUNCTIONS, TorchFunction
from explain_widgets.live.structure.numbering import Numbering
from explain_widgets.live.structure.stored import stored_tensors
from explain_widgets.live.structure.trace import (
    OUTSIDE,
    Failure,
    ModuleCall,
    Operation,
    Trace,
)

MOST_OPERATIONS = 100_000
"""So many operations are noted: a generation of text may have millions."""


class Tracer(TorchFunctionMode):
    """Traces the forward that it is entered around, as a `Watcher` of the calls of its modules.

    Parameters
    ----------
    inputs
        What the model is called with: arguments and keywords.
    statistics
        Whether the output of every call is measured.
    """

    def __init__(
        self, inputs: tuple[tuple[Any, ...], dict[str, Any]], statistics: bool = False
    ) -> None:
        super().__init__()
        self._inputs = inputs
        self._measures = statistics
        self._modules: Sequence[tuple[str, nn.Module]] = ()
        self._reset()

    def _reset(self) -> None:
        self._operations: list[Operation] = []
        self._calls: list[ModuleCall] = []
        self._stack: list[int] = []
        self._started: list[Any] = []
        self._numbers = Numbering((), ())
        self._among = self._numbers.among
        self._given: list[int] = []
        self._failed: tuple[BaseException, str, int, tuple[Shape, ...]] | None = None
        self._uncounted: set[str] = set()
        self._measuring = 0.0
        self._measured: dict[int, TensorStatistics] = {}
        self._count: FlopCount | None = None
        self._counted_for = OUTSIDE
        self._is_on = False

    # --- what modules do: see `Watcher` ---------------------------------------------------------

    def begun(self, modules: Sequence[tuple[str, nn.Module]]) -> None:
        """See `Watcher`."""
        self._reset()
        self._modules = modules
        self._times = dict.fromkeys((path for path, _ in modules), 0)
        self._types = {path: type(module).__name__ for path, module in modules}
        self._settings = {path: settings(module) for path, module in modules}
        self._scripted = {p for p, m in modules if isinstance(m, torch.jit.ScriptModule)}
        args, kwargs = self._inputs
        named = named_tensors({**{str(n): value for n, value in enumerate(args)}, **kwargs})
        self._numbers = Numbering(modules, named)
        self._among = self._numbers.among
        self._given = self._among([tensor for _, tensor in named])
        tensors = self._numbers.named()
        self._clock = Clock(tensors[0].device if tensors else torch.device("cpu"))
        self._is_on = True

    def entered(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """See `Watcher`."""
        number = len(self._calls)
        inputs = self._inputs_of(args, kwargs) if self._is_on else []
        nth = self._times[path]
        self._times[path] = nth + 1
        name = f"{path}:{nth}" if nth else path
        call = ModuleCall(name, path, self._types[path], self.place, tuple(inputs))
        call.settings = self._settings[path]
        self._calls.append(call)
        self._stack.append(number)
        if path in self._scripted and self._count is None:
            # What runs inside calls no function of torch: below Python this mode sees it, too.
            self._count, self._counted_for = FlopCount(), number
            self._count.__enter__()
        self._started.append((self._clock.now(), len(self._operations), self._measuring))

    def left(self, output: Any) -> None:
        """See `Watcher`."""
        number, before = self._leave()
        made = self._calls[number]
        flops = self._scripted_flops(number)
        tensors = [output] if isinstance(output, Tensor) else [*flat_tensors(output)]
        if self._is_on:
            if before == len(self._operations) and tensors:
                self._add_unseen(number, tensors, flops)
            made.outputs = tuple(self._among(tensors))
        if self._measures and tensors:
            self._measure(made, tensors)

    def failed(self, error: Exception) -> None:
        """See `Watcher`."""
        number, _ = self._leave()
        self._scripted_flops(number)
        if self._failed is None or self._failed[0] is not error:
            shapes = self._numbers.shapes(self._calls[number].inputs)
            self._failed = error, "", number, shapes

    def ended(self) -> None:
        """See `Watcher`."""
        self._is_on = False

    def _leave(self) -> tuple[int, int]:
        number = self._stack.pop()
        started, before, measuring = self._started.pop()
        self._clock.add(self._calls[number], started)
        self._calls[number].seconds -= self._measuring - measuring
        return number, before

    def _scripted_flops(self, number: int) -> int:
        if self._count is None or number != self._counted_for:
            return 0
        count, self._count = self._count, None
        count.__exit__(None, None, None)
        return count.flops

    def _add_unseen(self, number: int, outputs: list[Tensor], flops: int) -> None:
        """A module without a visible operation: it hands on, or computes below Python."""
        call = self._calls[number]
        hands_on = all(self._numbers.is_known(tensor) for tensor in outputs)
        made = tuple([self._made(tensor) for tensor in outputs])
        name = "identity" if hands_on else call.type
        self._operations.append(Operation(name, number, call.inputs, made, flops))

    def _measure(self, call: ModuleCall, outputs: list[Tensor]) -> None:
        started = time.perf_counter()
        floating = ((n, t) for n, t in enumerate(outputs) if t.is_floating_point())
        place, tensor = next(floating, (0, None))
        if tensor is None or tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
            return
        # A block often returns what its last layer has: measured once.
        number = self._numbers.with_values(call.outputs[place]) if call.outputs else OUTSIDE
        call.statistics = self._measured.get(number) or tensor_statistics(tensor)
        if number != OUTSIDE:
            self._measured[number] = call.statistics
        if tensor.device.type == "cpu":  # the time of the calls around it is without this
            self._measuring += time.perf_counter() - started

    # --- what functions of torch do -------------------------------------------------------------

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if not self._is_on:
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with self:  # the operations inside are seen rather than it
                return MULTIHEAD_FORWARD(*args, **kwargs)
        function = FUNCTIONS[func]
        if function is None:
            return func(*args, **kwargs)
        inputs = self._inputs_of(args, kwargs)
        try:
            if function.hides and self._count is None:
                with FlopCount() as count:
                    result = func(*args, **kwargs)
                flops = count.flops
            else:
                result, flops = func(*args, **kwargs), 0
        except Exception as error:
            shapes = self._numbers.shapes(inputs)
            self._failed = error, function.name, self.place, shapes
            self._note(function.name, inputs, (), 0)
            raise
        if function.formula is not None:
            flops = self._flops(function, args, kwargs, result)
        self._note_result(function, inputs, args, result, flops)
        return result

    def _note_result(
        self,
        function: TorchFunction,
        inputs: list[int],
        args: tuple[Any, ...],
        result: Any,
        flops: int,
    ) -> None:
        if isinstance(result, Tensor):
            # Nothing has happened where it is what was given: `x.contiguous()` of one that is.
            if not (function.may_hand_on and args and result is args[0]):
                self._note(function.name, inputs, (self._made(result),), flops)
        elif function.name == "setitem":
            self._note(function.name, inputs, (self._made(args[0]),), flops)
        elif isinstance(result, (tuple, list)) and type(result) is not torch.Size:
            outputs = tuple([self._made(tensor) for tensor in flat_tensors(result)])
            if outputs:
                self._note(function.name, inputs, outputs, flops)

    def _flops(
        self, function: TorchFunction, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> int:
        assert function.formula is not None
        try:
            return function.formula(args, kwargs, result)
        except Exception:  # noqa: BLE001 (looking must not break the model's forward)
            self._uncounted.add(function.name)
            return 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look on in this thread: at functions of torch, and at flex attention by its names."""
        with flex_calls(self._modules[0][1], self._see_flex), self:
            yield

    def _see_flex(self, call: Callable[[], Any], read: Callable[[Any], SeenCall | None]) -> Any:
        # Compiled again for every mode that looks on: without it, it is the user's own kernel.
        is_on = torch.overrides._get_current_function_mode() is self
        with torch.overrides._pop_mode_temporarily() if is_on else nullcontext():
            result = call()
            seen = read(result) if self._is_on else None
        if seen is not None:
            inputs = self._among([seen.query, seen.key, seen.value])
            flops = 2 * seen.key.shape[-2] * (seen.query.numel() + seen.output.numel())
            self._note("flex_attention", inputs, (self._made(seen.output),), flops)
        return result

    def stored(self) -> list[Tensor]:
        """Parameters and buffers of what runs, and its inputs."""
        return self._numbers.named()

    @property
    def place(self) -> int:
        """Number of the innermost call that runs, or `OUTSIDE`."""
        return self._stack[-1] if self._stack else OUTSIDE

    def _inputs_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
        numbers = self._among(args)
        return numbers + self._among(kwargs.values()) if kwargs else numbers

    def _made(self, tensor: Tensor) -> int:
        """The number of what the operation that is noted next returns."""
        return self._numbers.made(tensor, len(self._operations))

    def _note(self, name: str, inputs: list[int], outputs: tuple[int, ...], flops: int) -> None:
        self._operations.append(Operation(name, self.place, tuple(inputs), outputs, flops))
        if len(self._operations) >= MOST_OPERATIONS:
            self._is_on = False

    # --- what it was ----------------------------------------------------------------------------

    def trace(self, held: Mapping[int, int] | None = None, error: Exception | None = None) -> Trace:
        """What was traced.

        Parameters
        ----------
        held
            Bytes kept for the backward by the call they were kept in; None: none was asked for.
        error
            What the forward raised.
        """
        self.ended()
        self._clock.settle()
        _sum_up(self._calls, self._operations, held or {})
        parameters, buffers = stored_tensors(self._modules)
        trace = Trace(
            self._operations,
            self._numbers.tensors(),
            self._calls,
            parameters,
            buffers,
            inputs=self._given,
            backward=held is not None,
            failure=None if error is None else self._failure(error),
            note=self._words(),
        )
        self._reset()
        self._modules = ()
        return trace

    def _words(self) -> str:
        parts = []
        if len(self._operations) >= MOST_OPERATIONS:
            parts.append(f"the first {MOST_OPERATIONS:,} operations")
        if self._uncounted:
            parts.append(f"FLOPs without those of {', '.join(sorted(self._uncounted))}")
        return "; ".join(parts)

    def _failure(self, error: BaseException) -> Failure:
        known = self._failed is not None and self._failed[0] is error
        _, operation, call, shapes = (
            self._failed if known and self._failed else (0, "", OUTSIDE, ())
        )
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        return Failure(type(error).__name__, str(error), "".join(lines), call, operation, shapes)


def _sum_up(
    calls: Sequence[ModuleCall], operations: Sequence[Operation], held: Mapping[int, int]
) -> None:
    """Give every call what those made in it have, the innermost first."""
    for operation in operations:
        if operation.call != OUTSIDE:
            calls[operation.call].flops += operation.flops
    for number, size in held.items():
        if number != OUTSIDE:
            calls[number].held += size
    for call in calls:
        call.own_seconds = call.seconds
    for call in reversed(calls):
        if call.parent != OUTSIDE:
            parent = calls[call.parent]
            parent.flops += call.flops
            parent.held += call.held
            parent.own_seconds -= call.seconds
    for call in calls:
        call.own_seconds = max(0.0, call.own_seconds)
