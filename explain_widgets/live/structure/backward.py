"""The graph by which a target is differentiated: autograd's functions, and what they have saved.

What torchviz draws, by the modules whose forward made each function. Every function carries the
number that autograd's counter had when it was made: between those at the beginning and the end of a
call of a module lie the functions of that call.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from explain_widgets.live.modules import flat_tensors, memory, settings
from explain_widgets.live.structure.held import kept_size
from explain_widgets.live.structure.trace import OUTSIDE, ModuleCall, Operation, Trace, TracedTensor

MOST_FUNCTIONS = 20_000
"""So many functions are noted, those nearest to the target first."""

_LEAF = "AccumulateGrad"


class CallSpans:
    """Notes, as a `Watcher`, which of autograd's numbers belong to which call of a module.

    Attributes
    ----------
    calls
        The calls in the order in which they began.
    """

    def begun(self, modules: Sequence[tuple[str, nn.Module]]) -> None:
        """See `Watcher`."""
        self.calls: list[ModuleCall] = []
        self._times = dict.fromkeys((path for path, _ in modules), 0)
        self._types = {path: type(module).__name__ for path, module in modules}
        self._settings = {path: settings(module) for path, module in modules}
        self._stack: list[int] = []
        # From each number on, which call runs.
        self._starts: list[int] = [0]
        self._running: list[int] = [OUTSIDE]

    def entered(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """See `Watcher`."""
        nth = self._times[path]
        self._times[path] = nth + 1
        name = f"{path}:{nth}" if nth else path
        call = ModuleCall(name, path, self._types[path], self._place)
        call.settings = self._settings[path]
        self.calls.append(call)
        self._stack.append(len(self.calls) - 1)
        self._note()

    def left(self, output: Any) -> None:
        """See `Watcher`."""
        self._stack.pop()
        self._note()

    def failed(self, error: Exception) -> None:
        """See `Watcher`."""
        self.left(None)

    def ended(self) -> None:
        """See `Watcher`."""

    @property
    def _place(self) -> int:
        return self._stack[-1] if self._stack else OUTSIDE

    def _note(self) -> None:
        self._starts.append(torch._C._autograd._get_sequence_nr())
        self._running.append(self._place)

    def call_of(self, number: int) -> int:
        """The call in which the function with this number was made."""
        return self._running[bisect.bisect_right(self._starts, number) - 1]

    def around(self, call: int) -> list[int]:
        """A call and those that it was made in, the innermost first."""
        found = []
        while call != OUTSIDE:
            found.append(call)
            call = self.calls[call].parent
        return found


def backward_trace(scalar: Tensor, spans: CallSpans, stored: Mapping[str, Tensor]) -> Trace:
    """The functions that a backward of a scalar goes through, as the trace of a run.

    Parameters
    ----------
    scalar
        In the graph.
    spans
        Of the forward that made it.
    stored
        Parameters, buffers and inputs of the model by names: what is saved of these takes no
        memory of its own.

    Returns
    -------
    Trace
        Its operations are the functions in the order of a backward, and before each the tensors
        that it has saved (``"saved mat1"``); its tensors are the gradients between them, and what
        was saved. A parameter is an operation by its name within the module. ``held`` of the calls
        are the bytes that were saved in them, each memory once.
    """
    return _Reader(spans, stored).read(scalar)


class _Reader:
    """Reads one graph."""

    def __init__(self, spans: CallSpans, stored: Mapping[str, Tensor]) -> None:
        self._spans = spans
        self._names = {id(tensor): name for name, tensor in stored.items()}
        self._memories = {memory(tensor): name for name, tensor in stored.items()}
        self._operations: list[Operation] = []
        self._tensors: list[TracedTensor] = []
        self._incoming: dict[Node, list[int]] = {}
        self._kept: set[int] = set()

    def read(self, scalar: Tensor) -> Trace:
        """The trace of a scalar's backward."""
        assert scalar.grad_fn is not None
        functions, leaves = functions_from(scalar.grad_fn, MOST_FUNCTIONS)
        self._tensors.append(
            TracedTensor((), scalar.dtype, scalar.device, "input", OUTSIDE, "target")
        )
        self._incoming[scalar.grad_fn] = [0]
        for function in functions:
            call = self._spans.call_of(function._sequence_nr())
            saved = [self._save(*one, call) for one in _saved(function)]
            self._add(function, _name(function), call, saved)
            for leaf, _ in function.next_functions:
                if leaf is not None and leaf in leaves:
                    leaves[leaf] -= 1
                    if not leaves[leaf]:  # all that it is the sum of was passed on
                        self._add_leaf(leaf, call)
        self._sum_up()
        cut = len(functions) >= MOST_FUNCTIONS
        return Trace(
            self._operations,
            self._tensors,
            self._spans.calls,
            inputs=[0],
            backward=True,
            note=f"the {MOST_FUNCTIONS:,} functions nearest to the target" if cut else "",
            begins="target",
        )

    def _add(self, node: Node, name: str, call: int, saved: Sequence[int] = ()) -> None:
        number = len(self._operations)
        made = []
        for after, place in node.next_functions:
            if after is not None:
                made.append(self._gradient(after, place, number))
                self._incoming.setdefault(after, []).append(made[-1])
        inputs = (*self._incoming.get(node, ()), *saved)
        self._operations.append(Operation(name, call, inputs, tuple(made), 0))

    def _add_leaf(self, leaf: Node, call: int) -> None:
        """A parameter, in the module that has it where that is around its function."""
        name = self._names.get(id(_variable(leaf)), "leaf")
        owner = name.rpartition(".")[0]
        around = self._spans.around(call)
        call = next((one for one in around if self._spans.calls[one].path == owner), call)
        self._add(leaf, self._within(name, call), call)

    def _gradient(self, node: Node, place: int, operation: int) -> int:
        """The number of a new tensor: a gradient on its way into a function."""
        if _is_leaf(node):
            variable = _variable(node)
            shape, dtype, device = tuple(variable.shape), variable.dtype, variable.device
        else:
            seen = cast("Any", node)._input_metadata[place]
            shape, dtype, device = tuple(seen.shape), seen.dtype, seen.device
        self._tensors.append(TracedTensor(shape, dtype, device, "operation", operation, ""))
        return len(self._tensors) - 1

    def _save(self, name: str, tensor: Tensor, call: int) -> int:
        """Note a tensor that a function has saved, as an operation that hands it over."""
        address = memory(tensor)
        stored = self._memories.get(address) if address else None
        if stored is None and (address == 0 or address not in self._kept):
            self._kept.add(address)
            if call != OUTSIDE:
                self._spans.calls[call].held += kept_size(tensor)
        words = f"saved {name}" + (f" ({self._within(stored, call)})" if stored else "")
        number, operation = len(self._tensors), len(self._operations)
        self._tensors.append(
            TracedTensor(
                tuple(tensor.shape), tensor.dtype, tensor.device, "operation", operation, ""
            )
        )
        self._operations.append(Operation(words, call, (), (number,), 0))
        return number

    def _within(self, name: str, call: int) -> str:
        """A name from the module of a call: alike in blocks that are alike."""
        before = self._spans.calls[call].path + "." if call != OUTSIDE else ""
        return name.removeprefix(before) if before != "." else name

    def _sum_up(self) -> None:
        for call in reversed(self._spans.calls):
            if call.parent != OUTSIDE:
                self._spans.calls[call.parent].held += call.held


def functions_from(root: Node, most: float = math.inf) -> tuple[list[Node], Counter[Node]]:
    """The functions from a root on in the order of a backward, and how often leaves are met."""
    found, leaves, waiting = {root: None}, Counter[Node](), [root]
    place = 0
    while place < len(waiting) and len(found) < most:
        for node, _ in waiting[place].next_functions:
            if node is not None and not _is_leaf(node) and node not in found:
                found[node] = None
                waiting.append(node)
        place += 1
    functions = sorted(found, key=lambda node: -node._sequence_nr())
    for function in functions:
        leaves.update(node for node, _ in function.next_functions if node and _is_leaf(node))
    return functions, leaves


def _is_leaf(node: Node) -> bool:
    return node.name().endswith(_LEAF)


def _variable(leaf: Node) -> Tensor:
    return cast("Tensor", cast("Any", leaf).variable)


def _name(function: Node) -> str:
    return function.name().rpartition("::")[2]


def _saved(function: Node) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a function has saved, with the names they go by in it."""
    kind = type(function)
    if kind not in _SAVED:
        _SAVED[kind] = [name for name in dir(function) if name.startswith("_saved_")]
    for attribute in _SAVED[kind]:
        yield from _named(attribute.removeprefix("_saved_"), _read(function, attribute))
    if not _SAVED[kind] and hasattr(function, "saved_tensors"):  # a function in Python
        yield from _named("tensor", _read(function, "saved_tensors"))


_SAVED: dict[type, list[str]] = {}


def _read(function: Node, attribute: str) -> Any:
    try:
        return getattr(function, attribute)
    except RuntimeError:  # written into since, or given back: it cannot be differentiated
        return None


def _named(name: str, value: Any) -> Iterable[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(name, value)] if value.numel() else []
    tensors = list(flat_tensors(value)) if isinstance(value, (tuple, list)) else []
    return [(f"{name} {n}" if len(tensors) > 1 else name, one) for n, one in enumerate(tensors)]
