"""Altered inputs of a sample: where they stand, and what comes out for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from explain_widgets.live.errors import LayerError
from explain_widgets.live.modules import named_tensors, with_tensor
from explain_widgets.live.recorder import Spot

Place: TypeAlias = str | Spot
"""An argument of the model by name ("0", "input_ids"), or what comes out of a call."""

Altered: TypeAlias = Mapping[Place, Tensor]
"""What stands in the places of a sample's own tensors, (entries, …) each."""


class Noted:
    """Puts tensors in the place of what calls return, and keeps what one of them returned."""

    def __init__(self, instead: dict[Spot, Tensor], kept: Spot | None) -> None:
        self._instead, self._kept = instead, kept
        self._missing = {call for call, _ in instead} | ({kept[0]} if kept else set())
        self.tensor: Tensor | None = None
        self.is_needed = bool(self._missing)

    def __call__(self, call: str, output: Any, is_written: Callable[[Tensor], bool]) -> Any:
        """What goes on in the place of ``output``; None: itself."""
        if call not in self._missing:
            return None
        self._missing.discard(call)
        going_on = output
        for name, tensor in named_tensors(output):
            new = self._instead.get((call, name))
            if new is not None and is_written(tensor):
                tensor.copy_(new)  # what goes on may be the input, whatever is returned
            elif new is not None:
                # A clone, since in-place operations may follow.
                going_on = with_tensor(going_on, tensor, new.to(tensor.dtype).clone())
            if (call, name) == self._kept:
                # Before in-place operations follow.
                self.tensor = tensor.clone()
        return None if going_on is output else going_on

    def check(self) -> None:
        """Raise where a call that was meant has not been."""
        if self._missing:
            raise LayerError(f"Layer {min(self._missing)!r} was not called in this run.")


class UnsplitError(Exception):
    """An output has no entry for each of the inputs."""


def arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors that a model is called with, by name; positional ones by their number."""
    return dict(named_tensors({**{str(n): value for n, value in enumerate(args)}, **kwargs}))


def entries_of(altered: Altered) -> int:
    """How many versions of the sample these are."""
    return len(next(iter(altered.values())))


def first_of(altered: Altered) -> Altered:
    """The first of them alone."""
    return {place: tensor[:1] for place, tensor in altered.items()}


def repeated(tensor: Tensor, entries: int) -> Tensor:
    """A copy, the same for every entry, where the first axis is the batch."""
    if tensor.ndim == 0 or tensor.shape[0] != 1:
        return tensor.clone()
    return tensor.repeat(entries, *[1] * (tensor.ndim - 1))


def split(output: Any, entries: int) -> list[Any]:
    """An output as if each entry had been run by itself."""
    if entries == 1:
        return [output]
    tensors = [tensor for _, tensor in named_tensors(output)]
    if not any(tensor.ndim and len(tensor) == entries for tensor in tensors):
        raise UnsplitError

    def entry(n: int) -> Any:
        cut = lambda t: t[n : n + 1] if t.ndim and len(t) == entries else t  # noqa: E731
        return torch.utils._pytree.tree_map_only(Tensor, cut, output)

    return [entry(n) for n in range(entries)]
