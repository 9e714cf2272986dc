"""Looking on during one run: which module runs, what comes out of it, where gradients pass.

Every module of what runs (the twin) is called through a function of ours, only for the time of
the run; calls from other threads go on to the module at once. It sits where ``module.compile()``
puts its own: hooks would do the same, at three times the price.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from explain_widgets.live.attention.ablation import LayerAblation
from explain_widgets.live.clock import Clock
from explain_widgets.live.entries import MOST_CALLS, Call, entry_of
from explain_widgets.live.freshness import version
from explain_widgets.live.gradients import watched
from explain_widgets.live.modules import (
    ModuleRow,
    flat_tensors,
    in_call_order,
    memory,
    named_tensors,
    shape,
    with_tensor,
)

Spot: TypeAlias = tuple[str, str]
"""Where a tensor comes out: name of the call (``"block"``, ``"block:1"``) and of the entry."""


class Outputs(Protocol):
    """Looks at what every call returns, and may put something else in its place."""

    def __call__(self, call: str, output: Any, is_written: Callable[[Tensor], bool]) -> Any:
        """What goes on in the place of ``output``; None: itself.

        ``is_written``: whether a tensor of it is what the call was given and has written into, so
        that whoever gave it may go on with that, whatever is returned.
        """

    def check(self) -> None:
        """Called after the forward: raises where what was to happen has not."""


class Watcher(Protocol):
    """Is told of every call of a module, as it begins and as it ends; function modes look away."""

    def begun(self, modules: Sequence[tuple[str, nn.Module]]) -> None:
        """A run of these modules begins; one that was told of before does not count."""

    def entered(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A call begins."""

    def left(self, output: Any) -> None:
        """The innermost call has returned."""

    def failed(self, error: Exception) -> None:
        """The innermost call has raised."""

    def ended(self) -> None:
        """The forward is over; what is called from now on is no part of it."""


class EnoughError(BaseException):
    """Ends a run after the last call that is wanted; no model catches it by mistake."""


@dataclass
class Wanted:
    """What a run is to keep.

    ``activations``: called for each tensor that comes out of a module with its spot and its size in
    bytes, says whether a copy of it is kept; None: of none. ``shared``: says of a spot whether the
    tensor itself is kept in the place of a copy, if nobody writes into it in the forward.
    ``edges``: where gradients will be asked for; ``edges_along``: says whether they are wanted in
    another spot too, if looking there changes nothing. ``attention``: whether attention calls are
    recorded, and for each with the bytes of its queries and keys, whether those are kept; None: not
    recorded. ``gradients``: whether the gradients of those that are kept will be asked for, too.
    ``below_python``: look for it among basic operations alone. ``ablate``: what happens to the
    heads of some attention calls. ``beside``: is entered around the forward. ``entered``: called
    with the name of each call and the tensors that go in. ``seen``: called with every tensor that
    comes out. ``outputs``: what happens to what modules return. ``watcher``: is told of every call,
    in the place of all that is recorded otherwise. ``last``: name of the call after which the rest
    of the run is of no interest.
    """

    activations: Callable[[Spot, int], bool] | None = None
    shared: Callable[[Spot], bool] = field(default=lambda spot: False)
    edges: frozenset[Spot] = frozenset()
    edges_along: Callable[[Spot, int], bool] | None = None
    attention: Callable[[str, int], bool] | None = None
    gradients: bool = False
    below_python: bool = False
    ablate: Mapping[str, LayerAblation] = field(default_factory=dict)
    beside: AbstractContextManager[Any] | None = None
    entered: Callable[[str, list[Tensor]], None] | None = None
    seen: Callable[[Spot, Tensor], None] | None = None
    outputs: Outputs | None = None
    watcher: Watcher | None = None
    last: str | None = None


@dataclass
class _Running:
    row: ModuleRow
    call: Call
    started: Any
    inputs: list[tuple[Tensor, int]]  # with their versions; only where they are looked at


class Recorder:
    """Records one run of a module.

    Parameters
    ----------
    modules
        The modules that will run, by their paths, the root first.
    counts
        The numbers of parameters in each and below: see `parameter_counts`.
    wanted
        What to keep.
    may_end
        Whether an exception may end the run after the last call that is wanted.
    """

    def __init__(
        self,
        modules: Sequence[tuple[str, nn.Module]],
        counts: Mapping[str, int],
        wanted: Wanted,
        may_end: bool = False,
    ) -> None:
        self._modules = modules
        self._wanted = wanted
        self._may_end = may_end
        self._rows = [
            ModuleRow(path, type(module).__name__, parameters=counts[path])
            for path, module in modules
        ]
        self._stack: list[_Running] = []
        self._thread = threading.get_ident()
        self._clock = Clock(_device(modules))
        self._order = 0
        self._forwards = 0
        self._copies: dict[tuple[object, ...], tuple[weakref.ref[Tensor], Tensor]] = {}
        self._done = False
        self._views: dict[Spot, tuple[weakref.ref[Tensor], int]] = {}
        self._parted: list[tuple[Tensor, int]] = []
        self.has_parted = False  # copies made along have changed what the model computes
        self._shared: dict[Spot, int] = {}
        self.overwritten: set[Spot] = set()  # what was to be shared and was written into
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
        """Look on at every module, for the time of the run."""
        before = []
        watcher = self._wanted.watcher
        look = self._looked_at if watcher is None else self._watched
        try:
            for (_, module), row in zip(self._modules, self._rows, strict=True):
                fields = module.__dict__
                before.append((fields, fields.get(_CALL)))
                fields[_CALL] = look(module, row)
            if watcher is not None:
                watcher.begun(self._modules)
            yield self
        finally:
            for fields, call in before:
                fields[_CALL] = call
                if call is None:  # as the class has it
                    del fields[_CALL]
            self._copies.clear()
            self._stack.clear()
            self._parted.clear()

    def forward_ended(self) -> None:
        """Record no more: checkpointed modules are called again while gradients are computed."""
        self._done = True
        if self._wanted.watcher is not None:
            self._wanted.watcher.ended()
        for spot, (reference, before) in self._views.items():
            tensor = reference()
            if tensor is not None and version(tensor) != before:
                del self.edges[spot]  # written into since: it has another place in the graph
        for spot, before in self._shared.items():
            if version(self.activations[spot]) != before:
                del self.activations[spot]
                self.overwritten.add(spot)
        self.has_parted = any(version(alias) != before for alias, before in self._parted)
        self._parted.clear()

    def table(self) -> list[ModuleRow]:
        """The rows of this run in call order."""
        self._clock.settle()
        return in_call_order(self._rows)

    def _looked_at(self, module: nn.Module, row: ModuleRow) -> Callable[..., Any]:
        """What is called in the place of a module."""
        call = module.__dict__.get(_CALL) or module._call_impl
        thread = self._thread

        def looked_at(*args: Any, **kwargs: Any) -> Any:
            if self._done or threading.get_ident() != thread:
                return call(*args, **kwargs)
            # What is asked of tensors here is no part of the forward: modes that look on need not
            # see it, and would take longer over it than all the rest.
            with torch._C.DisableTorchFunction():
                self._enter(row, args, kwargs)
            try:
                output = call(*args, **kwargs)
            except Exception:
                self._leave(None)
                raise
            with torch._C.DisableTorchFunction():
                instead = self._leave(output)
            return output if instead is None else instead

        return looked_at

    def _watched(self, module: nn.Module, row: ModuleRow) -> Callable[..., Any]:
        """The same where a watcher is told, and nothing is recorded."""
        call, path, thread = module.__dict__.get(_CALL) or module._call_impl, row.name, self._thread
        watcher = self._wanted.watcher
        assert watcher is not None

        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._done or threading.get_ident() != thread:
                return call(*args, **kwargs)
            with torch._C.DisableTorchFunction():
                watcher.entered(path, args, kwargs)
            try:
                output = call(*args, **kwargs)
            except Exception as error:
                with torch._C.DisableTorchFunction():
                    watcher.failed(error)
                raise
            with torch._C.DisableTorchFunction():
                watcher.left(output)
            return output

        return watched

    def _enter(self, row: ModuleRow, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._stack:
            self._forwards += 1
        name = row.name if row.calls == 0 else f"{row.name}:{row.calls}"
        # Written for speed, as `_record` is: every call of every module comes here.
        inputs: list[Tensor] = []
        for value in (*args, *kwargs.values()) if kwargs else args:
            if isinstance(value, Tensor):
                inputs.append(value)
            elif value is not None:
                inputs.extend(flat_tensors(value))
        call = Call(name, row.name, tuple([shape(tensor) for tensor in inputs]), self._order)
        if row.calls == 0:
            row.order = self._order
            row.input_shapes = call.input_shapes
        self._order += 1
        row.calls += 1
        if len(self.calls) < MOST_CALLS:
            self.calls[name] = call
        if self._wanted.entered is not None:
            self._wanted.entered(name, inputs)
        is_watched = self._wanted.edges or self._wanted.outputs is not None
        versions = [(tensor, version(tensor)) for tensor in inputs] if is_watched else []
        self._stack.append(_Running(row, call, self._clock.now(), versions))

    def _leave(self, output: Any) -> Any:
        """Note the end of the innermost call; what is to take the place of its output, or None."""
        running, wanted = self._stack.pop(), self._wanted
        self._clock.add(running.row, running.started)
        instead = None
        if wanted.outputs is not None and output is not None:
            instead = wanted.outputs(
                running.call.name, output, lambda tensor: _is_written(tensor, running)
            )
        if self._may_end and running.call.name == wanted.last:
            raise EnoughError
        watched = self._record(running, output if instead is None else instead)
        return instead if watched is None else watched

    def _record(self, running: _Running, output: Any) -> Any:
        """Note what a call returned; what is to take its place, or None."""
        row, call, wanted = running.row, running.call, self._wanted
        tensors = {"": output} if isinstance(output, Tensor) else dict(named_tensors(output))
        named = tensors.items()
        for _, tensor in named:
            row.bytes += _bytes(tensor)
        call.entries = tuple([entry_of(name, tensor) for name, tensor in named])
        call.ended = self._order
        self._order += 1
        if row.calls == 1:
            row.output_shapes = tuple(entry.shape for entry in call.entries)
        if call.name not in self.calls:
            return None
        if wanted.activations is not None:
            for name, tensor in named:
                if wanted.activations((call.name, name), _bytes(tensor)):
                    self._keep((call.name, name), tensor)
        if wanted.seen is not None:
            for name, tensor in named:
                wanted.seen((call.name, name), tensor)
        return self._watch_gradients(running, output, tensors) if wanted.edges else None

    def _keep(self, spot: Spot, tensor: Tensor) -> None:
        """The tensor itself, where it may be shared and holds no larger one alive; else a copy."""
        # What this forward has computed; a parameter or a cache will be written into later.
        is_new = tensor.grad_fn is not None and tensor.layout == torch.strided
        if self._wanted.shared(spot) and is_new and _storage_bytes(tensor) == _bytes(tensor):
            self.activations[spot] = tensor.detach()
            self._shared[spot] = version(tensor)
        else:
            self.activations[spot] = self._kept_copy(tensor)

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
        """Remember where gradients will pass; what to go on with, None: the output as it is."""
        going_on, along = output, self._wanted.edges_along
        for name, tensor in tensors.items():
            spot = (running.call.name, name)
            if spot in self._wanted.edges:
                begun = self._watch_gradient(spot, tensor, running)
            elif along is not None and along(spot, _bytes(tensor)):
                begun = self._watch_gradient_along(spot, tensor, running)
                if begun is not tensor and not _is_replaceable(output, name):
                    del self.edges[spot]
                    continue
            else:
                continue
            if begun is not tensor:
                going_on = with_tensor(going_on, tensor, begun)
        return None if going_on is output else going_on

    def _watch_gradient(self, spot: Spot, tensor: Tensor, running: _Running) -> Tensor:
        # What a module hands on has another way out, beside the module.
        begun, edge = watched(tensor, _is_handed_on(tensor, running))
        if edge is not None:
            self.edges[spot] = edge
        return begun

    def _watch_gradient_along(self, spot: Spot, tensor: Tensor, running: _Running) -> Tensor:
        """The same where nothing was asked for: whether a copy has changed anything is noted."""
        if tensor.requires_grad and tensor._is_view():
            # It keeps its place in the graph until someone writes into it.
            self._views[spot] = weakref.ref(tensor), version(tensor)
            self.edges[spot] = get_gradient_edge(tensor)
            return tensor
        begun = self._watch_gradient(spot, tensor, running)
        inputs = {memory(given) for given, _ in running.inputs}
        if begun is not tensor and (tensor._is_view() or memory(tensor) in inputs):
            parted = (tensor.detach(), begun.detach())
            self._parted.extend((alias, version(alias)) for alias in parted)
        return begun


# Where a module keeps what `nn.Module.__call__` goes to in the place of its own code.
_CALL = "_compiled_call_impl"


def _device(modules: Sequence[tuple[str, nn.Module]]) -> torch.device:
    parameters = (p for _, module in modules for p in module.parameters(recurse=False))
    return next(parameters, torch.empty(0)).device


def _is_replaceable(output: Any, name: str) -> bool:
    """Whether nobody else can hold the container that an entry is replaced in."""
    return isinstance(output, Tensor) or (isinstance(output, tuple) and "." not in name)


def _is_handed_on(tensor: Tensor, running: _Running) -> bool:
    """Whether it is one of the module's inputs, as it was."""
    return any(given is tensor and version(given) == before for given, before in running.inputs)


def _is_written(tensor: Tensor, running: _Running) -> bool:
    """Whether it lies in the memory of an input that was written into while the module ran."""
    place = memory(tensor)
    return place != 0 and any(
        memory(given) == place and version(given) != before for given, before in running.inputs
    )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _storage_bytes(tensor: Tensor) -> int:
    """Size of the memory that a tensor looks at; −1: not known."""
    try:
        return tensor.untyped_storage().nbytes()
    except (RuntimeError, NotImplementedError):
        return -1
