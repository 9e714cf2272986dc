"""The tensors in what a module returns, by name: "0", "1.0", "hidden_states.3", "logits"."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from explain_widgets.live.errors import LayerError
from explain_widgets.live.modules import Shape, shape


@dataclass(frozen=True)
class Entry:
    """One tensor of an output.

    Attributes
    ----------
    name
        The keys to it, ``"hidden_states.3"``; ``""`` where the output is the tensor itself.
    shape
        Of the tensor.
    dtype
        Of its numbers.
    strided
        Whether it is neither sparse nor nested.
    """

    name: str
    shape: Shape
    dtype: torch.dtype
    strided: bool = True

    @property
    def has_maps(self) -> bool:
        """Whether there is something to draw: real numbers with axes."""
        has_axes = bool(self.shape) and 0 not in self.shape
        return has_axes and self.strided and not self.dtype.is_complex


@dataclass
class Call:
    """One call of a module in a forward.

    Attributes
    ----------
    name
        ``"block"``, and ``"block:1"`` for the second call.
    path
        Of the module.
    input_shapes
        Shapes of the tensors that went in.
    started, ended
        Their place in the order of all beginnings and ends; ``ended`` is −1 before.
    entries
        The tensors that came out.
    """

    name: str
    path: str
    input_shapes: tuple[Shape, ...]
    started: int
    ended: int = -1
    entries: tuple[Entry, ...] = ()

    @property
    def default(self) -> Entry | None:
        """The entry that counts where none is named: the first of floating point."""
        floating = (e for e in self.entries if e.dtype.is_floating_point or e.dtype.is_complex)
        return next(floating, self.entries[0] if self.entries else None)


MOST_CALLS = 20_000
"""So many calls of a forward are remembered: a generation of text may have millions."""

Calls: TypeAlias = dict[str, Call]
"""The calls of a forward by name, in call order."""


def entry_of(name: str, tensor: Tensor) -> Entry:
    """The description of one tensor of an output."""
    strided = not tensor.is_nested and tensor.layout == torch.strided
    return Entry(name, shape(tensor), tensor.dtype, strided)


def pick_entry(call: Call, entry: int | str | None) -> Entry:
    """The entry of a call that a name or an index means; None: the default.

    Raises
    ------
    LayerError
        When there is none; the text names those that there are.
    """
    names = [found.name for found in call.entries]
    if call.default is None:
        raise LayerError(f"Layer {call.name!r} returns no tensor.")
    if entry is None:
        return call.default
    if isinstance(entry, int) and 0 <= entry < len(names):
        return call.entries[entry]
    if str(entry) in names:
        return call.entries[names.index(str(entry))]
    inside = [name for name in names if name.startswith(f"{entry}.")]
    if inside:
        raise LayerError(
            f"Entry {entry!r} of layer {call.name!r} holds {len(inside)} tensors: pick one, such "
            f"as {inside[0]!r}."
        )
    if names == [""]:
        raise LayerError(f"Layer {call.name!r} returns one tensor: there is no entry {entry!r}.")
    close = difflib.get_close_matches(str(entry), names, n=3, cutoff=0.3) or names[:5]
    raise LayerError(
        f"Layer {call.name!r} returns no entry {entry!r} but {len(names)} others, among them "
        f"{', '.join(map(repr, close))}."
    )
