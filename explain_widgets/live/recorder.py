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
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from explain_widgets.live.attention.ablation import LayerAblation
from explain_widgets.live.entries import Call, entries_of
from explain_widgets.live.freshness import version
from explain_widgets.live.modules import (
    ModuleRow,
    empty_rows,
    flat_tensors,
    in_call_order,
    module_paths,
    named_tensors,
    shape,
    with_tensor,
)

Spot: TypeAlias = tuple[str, str]
"""Where a tensor comes out: name of the call (``"block"``, ``"block:1"``) and of the entry."""


class Outputs(Protocol):
    """Looks at what every call returns, and may put something else in its place."""

    def __call__(self, call: str, output: Any) -> Any:
        """What goes on in the place of ``output``; None: itself."""

    def check(self) -> None:
        """Called after the forward: raises where what was to happen has not."""


class EnoughError(BaseException):
    """Ends a run after the last call that is wanted; no model catches it by mistake."""


@dataclass
class Wanted:
    """What a run is to keep.

    ``activations``: called for each tensor that comes out of a module with its spot and its size
    in bytes, says whether a copy of it is kept. ``edges``: where gradients will be asked for;
    ``edges_along``: says whether they are wanted in another spot too, if looking there changes
    nothing. ``attention``: whether attention calls are recorded, and for each with the bytes of
    its queries and keys, whether those are kept; None: not recorded. ``below_python``: look for it
    among basic operations alone. ``ablate``: what happens to the heads of some attention calls.
    ``outputs``: what happens to what modules return. ``last``: name of the call after which the
    rest of the run is of no interest.
    """

    activations: Callable[[Spot, int], bool] = field(default=lambda spot, size: False)
    edges: frozenset[Spot] = frozenset()
    edges_along: Callable[[Spot, int], bool] | None = None
    attention: Callable[[str, int], bool] | None = None
    below_python: bool = False
    ablate: Mapping[str, LayerAblation] = field(default_factory=dict)
    outputs: Outputs | None = None
    last: str | None = None


@dataclass
class _Running:
    row: ModuleRow
    call: Call
    started: Any
    inputs: set[int]  # addresses of their memory


class Recorder:
    """Records one run of a module.

    Parameters
    ----------
    module
        The module that will run.
    wanted
        What to keep.
    may_end
        Whether an exception may end the run after the last call that is wanted.
    """

    def __init__(self, module: nn.Module, wanted: Wanted, may_end: bool = False) -> None:
        self._module = module
        self._wanted = wanted
        self._may_end = may_end
        self._rows = empty_rows(module)
        self._paths = module_paths(module)
        self._stack: list[_Running] = []
        self._thread = threading.get_ident()
        self._clock = _Clock(next(module.parameters(), torch.empty(0)).device)
        self._order = 0
        self._forwards = 0
        self._copies: dict[tuple[object, ...], tuple[weakref.ref[Tensor], Tensor]] = {}
        self._done = False
        self._views: dict[Spot, tuple[weakref.ref[Tensor], int | None]] = {}
        self.activations: dict[Spot, Tensor] = {}
        self.calls: dict[str, Call] = {}
        self.edges: dict[Spot, GradientEdge] = {}

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
        for spot, (reference, before) in self._views.items():
            tensor = reference()
            if tensor is not None and version(tensor) != before:
                del self.edges[spot]  # written into since: it has another place in the graph

    def table(self) -> list[ModuleRow]:
        """The rows of this run in call order."""
        self._clock.settle()
        return in_call_order(self._rows)

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._done or threading.get_ident() != self._thread:
            return
        if not self._stack:
            self._forwards += 1
        row = self._rows[self._paths[id(module)]]
        name = row.name if row.calls == 0 else f"{row.name}:{row.calls}"
        inputs = list(flat_tensors((args, kwargs)))
        call = Call(name, row.name, tuple(map(shape, inputs)), self._order)
        if row.calls == 0:
            row.order = self._order
            row.input_shapes = call.input_shapes
        self._order += 1
        row.calls += 1
        self.calls[name] = call
        memory = set(map(_memory, inputs)) if self._wanted.edges_along else set()
        self._stack.append(_Running(row, call, self._clock.now(), memory))

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if self._done or threading.get_ident() != self._thread or not self._stack:
            return None
        running = self._stack.pop()
        call = running.call
        self._clock.add(running.row, running.started)
        instead = None
        if self._wanted.outputs is not None and output is not None:
            instead = self._wanted.outputs(call.name, output)
        if self._may_end and call.name == self._wanted.last:
            raise EnoughError
        watched = self._record(running, output if instead is None else instead)
        return instead if watched is None else watched

    def _record(self, running: _Running, output: Any) -> Any:
        """Note what a call returned; what is to take its place, or None."""
        call = running.call
        tensors = dict(named_tensors(output))
        running.row.bytes += sum(map(_bytes, tensors.values()))
        call.entries = entries_of(output)
        call.ended = self._order
        self._order += 1
        if running.row.calls == 1:
            running.row.output_shapes = tuple(entry.shape for entry in call.entries)
        for name, tensor in tensors.items():
            if self._wanted.activations((call.name, name), _bytes(tensor)):
                self.activations[call.name, name] = self._kept_copy(tensor)
        return self._watch_gradients(running, output, tensors)

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

    def _watch_gradients(self, running: _Running, output: Any, tensors: dict[str, Tensor]) -> Any:
        """The output as the model goes on with it; None: as it is."""
        watched, along = output, self._wanted.edges_along
        for name, tensor in tensors.items():
            spot = (running.call.name, name)
            if spot in self._wanted.edges:
                begun = self._watch_gradient(spot, tensor)
            elif along is not None and along(spot, _bytes(tensor)):
                begun = self._watch_gradient_along(spot, tensor, running.inputs)
            else:
                continue
            watched = with_tensor(watched, tensor, begun)
        return None if watched is output else watched

    def _watch_gradient(self, spot: Spot, tensor: Tensor) -> Tensor:
        """Remember the place in the graph now: in-place operations may rebase the tensor later."""
        begun = tensor
        if tensor.requires_grad and tensor._is_view():
            # An in-place operation on a view takes this place out of the graph: go on with a copy.
            begun = tensor.clone()
        elif not tensor.requires_grad:
            if not torch.is_grad_enabled() or not _is_differentiable(tensor):
                return tensor
            # Nothing before this layer needs a gradient (frozen weights, token ids): begin here.
            # The copy is no leaf, so that in-place operations on it stay allowed.
            begun = tensor.detach().requires_grad_().clone()
        self.edges[spot] = get_gradient_edge(begun)
        return begun

    def _watch_gradient_along(self, spot: Spot, tensor: Tensor, inputs: set[int]) -> Tensor:
        """The same where nothing was asked for: no copy of what may be written through to others.

        A view keeps its place in the graph until someone writes into it.
        """
        if tensor.requires_grad and tensor._is_view():
            self._views[spot] = weakref.ref(tensor), version(tensor)
            self.edges[spot] = get_gradient_edge(tensor)
            return tensor
        if tensor.requires_grad or not (tensor._is_view() or _memory(tensor) in inputs):
            return self._watch_gradient(spot, tensor)
        return tensor


def _is_differentiable(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _memory(tensor: Tensor) -> int:
    """Address of the memory that a tensor looks at; 0: not known."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse, or inside torch.func
        return 0


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
