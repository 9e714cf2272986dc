"""What one forward did: its operations, the tensors between them, the calls of modules they ran in.

Numbers are places in lists, so that nothing here refers to anything in circles, and a graph of any
depth can be gone through without recursion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import torch

from explain_widgets.analysis.statistics import TensorStatistics
from explain_widgets.live.modules import Shape

Origin: TypeAlias = Literal["operation", "input", "parameter", "buffer", "constant"]
Backward: TypeAlias = bool | Literal["memory"]
"""Whether a backward is run, or only what it would keep is counted."""
OUTSIDE = -1
"""In the place of a number: no call of a module, or no operation."""


class TracedTensor(NamedTuple):
    """A tensor of a forward, in one state of its memory: what writes into it makes another.

    Attributes
    ----------
    shape, dtype, device
        Of the tensor.
    origin
        Where it comes from: an ``"operation"`` of this forward, an ``"input"`` of the model, a
        ``"parameter"``, a ``"buffer"``, or none of these (``"constant"``).
    operation
        Number of the operation that made it, or `OUTSIDE`.
    name
        Of an input, parameter or buffer; else "".
    """

    shape: Shape
    dtype: torch.dtype
    device: torch.device
    origin: Origin
    operation: int
    name: str

    @property
    def bytes(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class Operation(NamedTuple):
    """One operation of a forward.

    Attributes
    ----------
    name
        As in torch: ``"linear"``, ``"add"``, ``"relu_"``. A module that computes nothing that can
        be seen counts as one: ``"identity"`` where it hands on what it was given, else its class.
    call
        Number of the call of a module that it ran in, or `OUTSIDE`.
    inputs, outputs
        Numbers of tensors.
    flops
        Floating-point operations: 2 for a multiplication with its addition, in matrix products,
        convolutions and attention; others count 0, as in ``torch.utils.flop_counter``.
    """

    name: str
    call: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    flops: int


@dataclass(slots=True)
class ModuleCall:
    """One call of a module.

    Attributes
    ----------
    name
        ``"block"``, and ``"block:1"`` for the second call.
    path, type
        Of the module: its path in the model, its class.
    parent
        Number of the call that it was made in, or `OUTSIDE`. Always smaller than its own.
    inputs, outputs
        Numbers of the tensors that went in and came out.
    seconds
        Inside it and what it called; on accelerators between events on the device.
    own_seconds
        The same without the calls made in it.
    flops
        Of all operations in it and in what it called.
    held
        Bytes that were kept for the backward in it and in what it called, each memory counted where
        it was kept first; 0 where no backward was asked for.
    backward_flops, backward_seconds
        Of the backward through it and through what it called; 0 where none was run.
    statistics
        Of the first tensor of floating point that came out, where they were asked for.
    settings
        See `settings`; beside these and its parameters calls of one type are alike.
    """

    name: str
    path: str
    type: str
    parent: int
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    seconds: float = 0.0
    own_seconds: float = 0.0
    flops: int = 0
    held: int = 0
    backward_flops: int = 0
    backward_seconds: float = 0.0
    statistics: TensorStatistics | None = None
    settings: tuple[Any, ...] = ()


class StoredTensor(NamedTuple):
    """A parameter or a buffer of the model.

    Attributes
    ----------
    name
        Its first path in the model.
    shape, dtype, device
        Of the tensor.
    trainable
        Whether it asks for gradients.
    owners
        Paths of all modules that hold it: several where it is shared.
    """

    name: str
    shape: Shape
    dtype: torch.dtype
    device: torch.device
    trainable: bool
    owners: tuple[str, ...]

    @property
    def numel(self) -> int:
        """Number of its elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its numbers."""
        return self.numel * self.dtype.itemsize


@dataclass(frozen=True)
class Failure:
    """Where and why a forward broke off.

    Attributes
    ----------
    type, message
        Class and text of the exception.
    traceback
        As Python prints it.
    call
        Number of the call of a module in which it was raised, or `OUTSIDE`.
    operation
        Name of the operation that raised it; "" where the model's own code did.
    shapes
        Of the tensors that met there: of the operation, else the inputs of the call.
    """

    type: str
    message: str
    traceback: str = field(repr=False)
    call: int
    operation: str
    shapes: tuple[Shape, ...]


class Trace:
    """What one forward of a model did.

    Attributes
    ----------
    operations
        In the order in which they ran.
    tensors
        All that went into or came out of them.
    calls
        The calls of modules, in the order in which they began.
    inputs
        Numbers of the tensors that the model was called with.
    parameters, buffers
        Of the model, each once however often it is shared; also those that were not used.
    backward
        Whether it was run in a way that a backward could follow: ``held`` of the calls counts.
    backward_flops
        Floating-point operations of that backward, by the parameters that ask for gradients.
    failure
        Why it broke off; None: it did not. All that is here is what ran until then.
    note
        What should be said of it, or "".
    begins
        What stands at its beginning, in a word: the ``"input"`` of the model, or the ``"target"``
        that is differentiated.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        tensors: Sequence[TracedTensor],
        calls: Sequence[ModuleCall],
        parameters: Sequence[StoredTensor] = (),
        buffers: Sequence[StoredTensor] = (),
        *,
        inputs: Sequence[int] = (),
        backward: bool = False,
        failure: Failure | None = None,
        note: str = "",
        begins: str = "input",
        backward_flops: int = 0,
    ) -> None:
        self.operations = tuple(operations)
        self.tensors = tuple(tensors)
        self.calls = tuple(calls)
        self.parameters = tuple(parameters)
        self.buffers = tuple(buffers)
        self.inputs = tuple(inputs)
        self.backward = backward
        self.backward_flops = backward_flops
        self.failure = failure
        self.note = note
        self.begins = begins

    def __repr__(self) -> str:
        end = "" if self.failure is None else f", failed: {self.failure.message}"
        return f"<Trace: {len(self.calls)} calls, {len(self.operations)} operations{end}>"

    @property
    def flops(self) -> int:
        """Floating-point operations of the forward."""
        return sum(operation.flops for operation in self.operations)

    @property
    def seconds(self) -> float:
        """Seconds in modules, all calls from outside together."""
        return sum(call.seconds for call in self.calls if call.parent == OUTSIDE)

    @property
    def backward_seconds(self) -> float:
        """Seconds of the backward through all calls from outside together."""
        return sum(call.backward_seconds for call in self.calls if call.parent == OUTSIDE)

    @property
    def held(self) -> int:
        """Bytes kept for the backward, beside parameters, buffers and inputs, each memory once."""
        return sum(call.held for call in self.calls if call.parent == OUTSIDE)

    @property
    def parameter_count(self) -> int:
        """Number of elements of the parameters, shared ones counted once."""
        return sum(parameter.numel for parameter in self.parameters)

    def edges(self) -> Iterator[tuple[int, int, int]]:
        """(from, to, tensor): which operation took a tensor that another had made."""
        for number, operation in enumerate(self.operations):
            for tensor in operation.inputs:
                source = self.tensors[tensor].operation
                if source != OUTSIDE:
                    yield source, number, tensor

    @cached_property
    def by_name(self) -> dict[str, ModuleCall]:
        """The calls by their names."""
        return {call.name: call for call in self.calls}

    @property
    def nbytes(self) -> int:
        """About how much memory this takes."""
        return 200 * (len(self.operations) + len(self.tensors) + 2 * len(self.calls))
