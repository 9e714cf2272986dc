"""Tensors of a forward by numbers: which one an operation takes, and in which state of its memory.

Nothing that the model computes is kept: tensors go by the identity of their objects while these are
alive, and by the address of their memory where one comes back in another object.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from explain_widgets.live.modules import Shape, flat_tensors, memory
from explain_widgets.live.structure.stored import own_tensors
from explain_widgets.live.structure.trace import OUTSIDE, Origin, TracedTensor

# Plain tuples in the place of classes: they are made for every tensor of a forward.
_Known: TypeAlias = tuple["weakref.ref[Tensor]", int, int]
"""A tensor that was seen: its object, its number, and its version when it got that."""
_Seen: TypeAlias = tuple[Shape, torch.dtype, torch.device, Origin, int, str]
"""What becomes a `TracedTensor`."""


class Numbering:
    """Gives numbers to the tensors of one forward.

    Parameters
    ----------
    modules
        What runs, by paths: parameters and buffers have names.
    inputs
        The tensors that the model is called with, by names.
    """

    def __init__(
        self, modules: Iterable[tuple[str, nn.Module]], inputs: Iterable[tuple[str, Tensor]]
    ) -> None:
        self._tensors: list[_Seen] = []
        self._shapes: dict[Shape, Shape] = {}  # one tuple for all tensors of a shape
        self._known: dict[int, _Known] = {}
        self._written: dict[int, int] = {}  # address of a memory → number of what wrote there last
        self._unchanged: dict[int, int] = {}
        self._recent: deque[_Known] = deque(maxlen=_RECENT)
        self._names: dict[int, tuple[Origin, str, Tensor]] = {}
        for path, module in modules:
            stored = own_tensors(module)
            if any(stored):
                before = f"{path}." if path else ""
                for origin, tensors in zip(_ORIGINS, stored, strict=True):
                    for name, tensor in tensors.items():
                        if tensor is not None:
                            self._names.setdefault(id(tensor), (origin, before + name, tensor))
        for name, tensor in inputs:
            self._names.setdefault(id(tensor), ("input", name, tensor))

    def named(self) -> list[Tensor]:
        """Parameters, buffers and inputs."""
        return [tensor for _, _, tensor in self._names.values()]

    def tensors(self) -> list[TracedTensor]:
        """What has a number, by it."""
        return [*map(TracedTensor._make, self._tensors)]

    def shapes(self, numbers: Iterable[int]) -> tuple[Shape, ...]:
        """Shapes of tensors by their numbers."""
        return tuple(self._tensors[number][0] for number in numbers)

    def is_known(self, tensor: Tensor) -> bool:
        """Whether a tensor has a number."""
        known = self._known.get(id(tensor))
        return known is not None and known[0]() is tensor

    def among(self, values: Iterable[Any]) -> list[int]:
        """The numbers of the tensors among values, as they are now, in order and in containers."""
        # Written for speed: the arguments of every operation come here.
        numbers = []
        for value in values:
            if isinstance(value, Tensor):
                known = self._known.get(id(value))
                if known is None or known[0]() is not value:
                    numbers.append(self._first_seen(value))
                elif known[2] == _version(value):
                    numbers.append(known[1])
                else:
                    numbers.append(self._rewritten(value, known))
            elif type(value) in _SEQUENCES:
                numbers += self.among(value)
            elif type(value) not in _PLAIN:
                numbers += self.among(flat_tensors(value))
        return numbers

    def _rewritten(self, tensor: Tensor, known: _Known) -> int:
        # Written into through another view of its memory: what reads it takes what was written.
        writer = self._written.get(memory(tensor), -1)
        if writer < known[1]:
            return known[1]
        return self._add(tensor, "operation", self._tensors[writer][4], self._tensors[known[1]][5])

    def made(self, tensor: Tensor, operation: int) -> int:
        """A new number for what an operation returns."""
        before = self._known.get(id(tensor))
        number = self._add(tensor, "operation", operation, "")
        known = self._known[id(tensor)]
        self._recent.append(known)
        if before is not None and before[0]() is tensor:
            if before[2] != known[2]:
                self._written[memory(tensor)] = number
            elif known[2] >= 0:
                self._unchanged[number] = self.with_values(before[1])
        return number

    def with_values(self, number: int) -> int:
        """The first number of what a tensor is unchanged since: dropout may hand it on."""
        return self._unchanged.get(number, number)

    def _first_seen(self, tensor: Tensor) -> int:
        named = self._names.get(id(tensor))
        if named is not None and named[2] is tensor:
            return self._add(tensor, named[0], OUTSIDE, named[1])
        source = self._came_back(tensor)
        if source is not None:
            return self._add(tensor, "operation", source, "")
        return self._add(tensor, "constant", OUTSIDE, "")

    def _came_back(self, tensor: Tensor) -> int | None:
        """The operation that made a tensor which is in another object now.

        `autograd.Function` returns such ones, say.
        """
        address = memory(tensor)
        for recent in reversed(self._recent) if address else ():
            other = recent[0]()
            if other is not None and memory(other) == address:
                return self._tensors[recent[1]][4]
        return None

    def _add(self, tensor: Tensor, origin: Origin, operation: int, name: str) -> int:
        number = len(self._tensors)
        size = _packed(tensor).shape if tensor.is_nested else tensor.shape
        shape = self._shapes.get(size)
        if shape is None:
            shape = self._shapes[size] = tuple(size)
        self._tensors.append((shape, tensor.dtype, tensor.device, origin, operation, name))
        self._known[id(tensor)] = (weakref.ref(tensor), number, _version(tensor))
        return number


# Types of arguments that hold no tensors.
_PLAIN = frozenset(
    {type(None), bool, int, float, str, slice, torch.Size, torch.dtype, torch.device}
)
_SEQUENCES = frozenset({tuple, list})
_RECENT = 32
_ORIGINS: tuple[Origin, Origin] = ("parameter", "buffer")


def _version(tensor: Tensor) -> int:
    """As `freshness.version`, for tensors that hardly ever have none."""
    try:
        return tensor._version
    except RuntimeError:  # made in inference mode
        return -1


def _packed(tensor: Tensor) -> Tensor:
    """The numbers of a nested tensor in one, which has a shape."""
    return tensor.values() if tensor.layout == torch.jagged else tensor.to_padded_tensor(0.0)
