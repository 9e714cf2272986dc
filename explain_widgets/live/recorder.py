"""Hooks for one run: which module runs, what comes out of it, and where gradients pass.

All hooks sit on the module that runs (the twin), only for the time of the run, and ignore calls
from other threads.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from explain_widgets.live.attention.ablation import LayerAblation
from explain_widgets.live.freshness import version
from explain_widgets.live.gradients import watched
from explain_widgets.live.modules import (
    ModuleRow,
    empty_rows,
    first_tensor,
    flat_tensors,
    in_call_order,
    module_paths,
    shape,
)


@dataclass
class Wanted:
    """What a run is to keep.

    ``activations``: called for each output with its call name (``"block"``, ``"block:1"``) and its
    size in bytes, says whether a copy of it is kept. ``edges``: call names at whose output
    gradients will be asked for. ``attention``: whether attention calls are recorded, and for each
    with the bytes of its queries and keys, whether those are kept; None: not recorded.
    ``gradients``: whether the gradients of those that are kept will be asked for, too.
    ``below_python``: look for it among basic operations alone. ``ablate``: what happens to the
    heads of some attention calls.
    """

    activations: Callable[[str, int], bool] = field(default=lambda name, size: False)
    edges: frozenset[str] = frozenset()
    attention: Callable[[str, int], bool] | None = None
    gradients: bool = False
    below_python: bool = False
    ablate: Mapping[str, LayerAblation] = field(default_factory=dict)


@dataclass
class _Call:
    row: ModuleRow
    name: str
    started: Any


class Recorder:
    """Records one run of a module.

    Parameters
    ----------
    module
        The module that will run.
    wanted
        What to keep.
    counts
        The numbers of parameters by module, where they are known.
    """

    def __init__(
        self, module: nn.Module, wanted: Wanted, counts: dict[str, int] | None = None
    ) -> None:
        self._module = module
        self._wanted = wanted
        self._rows = empty_rows(module, counts)
        self._paths = module_paths(module)
        self._stack: list[_Call] = []
        self._thread = threading.get_ident()
        self._clock = _Clock(next(module.parameters(), torch.empty(0)).device)
        self._order = 0
        self._forwards = 0
        self._copies: dict[tuple[object, ...], tuple[weakref.ref[Tensor], Tensor]] = {}
        self._done = False
        self.activations: dict[str, Tensor] = {}
        self.called: set[str] = set()
        self.tensorless: set[str] = set()
        self.edges: dict[str, GradientEdge] = {}

    @property
    def place(self) -> tuple[str, int] | None:
        """Where this thread is: path of the innermost module that runs, and in which forward.

        The first forward is 1: there are more where the model is called from outside several
        times, as for generated text. None: outside the model.
        """
        if threading.get_ident() != self._thread or not self._stack:
            return None
        return self._stack[-1].row.name, self._forwards

    @contextmanager
    def attached(self) -> Iterator[Recorder]:
        """Hooks on every module, for the time of the run."""
        handles = []
        try:
            # As functions of nn.Module: scripted modules take the same hooks, but not as methods.
            for module in self._module.modules():
                handles.append(
                    nn.Module.register_forward_pre_hook(
                        module, self._enter, prepend=True, with_kwargs=True
                    )
                )
                handles.append(
                    nn.Module.register_forward_hook(module, self._leave, always_call=True)
                )
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self._copies.clear()

    def forward_ended(self) -> None:
        """Record no more: checkpointed modules are called again while gradients are computed."""
        self._done = True

    def table(self) -> list[ModuleRow]:
        """The rows of this run in call order."""
        self._clock.settle()
        return in_call_order(self._rows)

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._done or threading.get_ident() != self._thread:
            return
        # What is asked of tensors here is no part of the forward: modes that look on need not see
        # it, and would take longer over it than all the rest.
        with torch._C.DisableTorchFunction():
            self._entered(module, args, kwargs)

    def _entered(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._stack:
            self._forwards += 1
        row = self._rows[self._paths[id(module)]]
        name = row.name if row.calls == 0 else f"{row.name}:{row.calls}"
        if row.calls == 0:
            row.order = self._order
            row.input_shapes = tuple(map(shape, flat_tensors((args, kwargs))))
        self._order += 1
        row.calls += 1
        self._stack.append(_Call(row, name, self._clock.now()))

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if self._done or threading.get_ident() != self._thread or not self._stack:
            return None
        with torch._C.DisableTorchFunction():
            return self._left(output)

    def _left(self, output: Any) -> Any:
        call = self._stack.pop()
        self.called.add(call.name)
        self._clock.add(call.row, call.started)
        tensors = list(flat_tensors(output))
        call.row.bytes += sum(t.numel() * t.element_size() for t in tensors)
        if call.row.calls == 1:
            call.row.output_shapes = tuple(map(shape, tensors))
        tensor = first_tensor(output)
        if tensor is None:
            self.tensorless.add(call.name)
            return None
        if self._wanted.activations(call.name, tensor.numel() * tensor.element_size()):
            self.activations[call.name] = self._kept_copy(tensor)
        if call.name in self._wanted.edges:
            return self._watch_gradient(call.name, output, tensor)
        return None

    def _kept_copy(self, tensor: Tensor) -> Tensor:
        """A copy, since in-place operations may follow; one for all modules that return it."""
        if tensor.is_nested or tensor.layout != torch.strided:
            return tensor.detach().clone()
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, version(tensor))
        original, kept = self._copies.get(key, (None, None))
        # Only while the tensor is alive: its memory may be another's by now.
        if kept is None or original is None or original() is None:
            kept = tensor.detach().clone()
            self._copies[key] = (weakref.ref(tensor), kept)
        return kept

    def _watch_gradient(self, name: str, output: Any, tensor: Tensor) -> Any:
        """Remember where the gradient of a module's output will pass; what to go on with."""
        begun, edge = watched(tensor)
        if edge is not None:
            self.edges[name] = edge
        return None if begun is tensor else _with_tensor(output, tensor, begun)


def _with_tensor(output: Any, old: Tensor, new: Tensor) -> Any:
    """``output`` with one of its tensors replaced."""
    if output is old:
        return new
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(_with_tensor(item, old, new) for item in output))
    if isinstance(output, (tuple, list)):
        return type(output)(_with_tensor(item, old, new) for item in output)
    if isinstance(output, dict):
        items = {key: _with_tensor(item, old, new) for key, item in output.items()}
        return type(output)(items) if type(output) is dict else type(output)(**items)
    if hasattr(output, "__dataclass_fields__"):
        fields = {name: getattr(output, name) for name in output.__dataclass_fields__}
        return replace(output, **{k: _with_tensor(v, old, new) for k, v in fields.items()})
    return output


class _Clock:
    """Wall time on the CPU, events on an accelerator, read once at the end."""

    def __init__(self, device: torch.device) -> None:
        self._events = torch.get_device_module(device).Event if device.type == "cuda" else None
        self._pending: list[tuple[ModuleRow, Any, Any]] = []

    def now(self) -> Any:
        if self._events is None:
            return time.perf_counter()
        event = self._events(enable_timing=True)
        event.record()
        return event

    def add(self, row: ModuleRow, started: Any) -> None:
        if self._events is None:
            row.seconds += time.perf_counter() - started
        else:
            self._pending.append((row, started, self.now()))

    def settle(self) -> None:
        if self._pending:
            self._pending[-1][2].synchronize()
        for row, started, ended in self._pending:
            row.seconds += started.elapsed_time(ended) / 1000
        self._pending.clear()
