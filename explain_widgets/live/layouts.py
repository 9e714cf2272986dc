"""How the activations of a forward are laid out: what their modules and neighbours tell."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from explain_widgets.analysis.feature_maps import Layout, choose_layout, fitting_layouts
from explain_widgets.analysis.layout_rules import Axes, Known, axes_by_kind, axes_of
from explain_widgets.analysis.patches import ImageGrid
from explain_widgets.live.entries import Call, Calls
from explain_widgets.live.modules import ModuleRow, Shape, library_classes
from explain_widgets.live.patches import Patches, image_in, image_tokens, text_lengths
from explain_widgets.live.recorder import Spot


class Layouts:
    """The layouts of all tensors that come out of modules in one forward.

    What the type of a module says is certain. Other modules (activation functions, dropout,
    containers, a user's own) hand on what they were given: their tensors are laid out as the last
    of the same shape before them, else as the next module takes its input, else by the shape and
    the sizes that are seen elsewhere.

    Parameters
    ----------
    calls
        The calls of the forward.
    rows
        Its module table.
    module
        The model.
    inputs
        The tensors that went into the forward.
    """

    def __init__(
        self, calls: Calls, rows: list[ModuleRow], module: nn.Module, inputs: list[Tensor]
    ) -> None:
        self.calls = calls
        self._image_tokens = image_tokens(module, inputs)
        self._started = sorted(calls.values(), key=lambda call: call.started)
        self._modules = dict(module.named_modules())
        self._patches = None if image_in(inputs) is None else Patches(module, rows, inputs)
        self._lengths = text_lengths(inputs)
        self._axes: dict[Spot, Axes] = {}
        self._known: dict[Spot, Known] = {}
        self._chosen: dict[Spot, Layout] = {}
        self._decide()

    def fits(self, calls: Calls, module: nn.Module, inputs: list[Tensor]) -> bool:
        """Whether these are the layouts of another sample too: of the same calls and text."""
        same = calls is self.calls or calls == self.calls
        return same and image_tokens(module, inputs) == self._image_tokens

    def layout(self, call: str, entry: str, layout: Any = None) -> Layout:
        """The layout of an entry of a call, or another one as `choose_layout` takes it.

        Raises
        ------
        ValueError
            When ``layout`` does not fit the shape, or the tensor is empty.
        """
        if layout is not None:
            return choose_layout(*self._facts(call, entry), layout)
        if (call, entry) not in self._chosen:
            self._chosen[call, entry] = choose_layout(*self._facts(call, entry))
        return self._chosen[call, entry]

    def fitting(self, call: str, entry: str) -> dict[str, Layout]:
        """The layouts of an entry by name: the chosen one under "", and all that fit.

        Hidden states and attention weights alone where it may be some.
        """
        shape, known = self._facts(call, entry)
        chosen = self.layout(call, entry)
        found = fitting_layouts(shape, known)
        may_be = {"states": known.kind == "states", "heads": known.kind in ("attention", "other")}
        fitting = {n: one for n, one in found.items() if may_be.get(n, True) or n == chosen.name}
        return {"": chosen, **fitting}

    def _facts(self, call: str, entry: str) -> tuple[Shape, Known]:
        """The shape of an entry, and what is known of it beside."""
        found = next(e for e in self.calls[call].entries if e.name == entry)
        known = self._known.get((call, entry), Known())
        return found.shape, replace(known, grid=self._grid(call, found.shape))

    def _decide(self) -> None:
        ended = sorted((c for c in self.calls.values() if c.ended >= 0), key=lambda c: c.ended)
        for call in ended:
            for number, entry in enumerate(call.entries):
                spot = (call.name, entry.name)
                known = output_known(self._modules[call.path], number)
                axes = axes_by_kind(entry.shape, known) if entry.has_maps else None
                if axes is not None:
                    self._axes[spot], self._known[spot] = axes, known
        around = self._around()
        latest: dict[Shape, Axes] = {}
        for call in ended:
            for entry in call.entries:
                spot = (call.name, entry.name)
                if spot not in self._axes and entry.has_maps:
                    like = latest.get(entry.shape) or self._next_input(call, entry.shape)
                    self._known[spot] = replace(around, like=like)
                    self._axes[spot] = axes_of(entry.shape, self._known[spot])
                if entry.has_maps:
                    latest[entry.shape] = self._axes[spot]

    def _around(self) -> Known:
        """Sizes that are seen in what is certain."""
        axes = [axis for found in self._axes.values() for axis in found.axes]
        maps = [
            (down.size, right.size)
            for found in self._axes.values()
            for down, right in zip(found.axes, found.axes[1:], strict=False)
            if (down.role, right.role) == ("height", "width")
        ]
        grids = [] if self._patches is None else self._patches.grids
        return Known(
            features=frozenset(a.size for a in axes if a.role in ("channel", "feature")),
            tokens=frozenset({a.size for a in axes if a.role == "token"} | self._lengths),
            maps=frozenset([*maps, *grids]),
        )

    def _next_input(self, call: Call, shape: Shape) -> Axes | None:
        """How the next module whose type tells takes a tensor of this shape."""
        for following in self._started:
            if following.started > call.ended and shape in following.input_shapes:
                axes = axes_by_kind(shape, input_known(self._modules[following.path]))
                if axes is not None:
                    return axes
        return None

    def _grid(self, call: str, shape: Shape) -> ImageGrid | None:
        """The image that the one row of positions of a tensor is, if it is one."""
        counts = [size for size in shape[:-1] if size > 1]
        if self._patches is None or len(shape) > 3 or len(counts) != 1:
            return None
        return self._patches.grid(counts[0], self._patches.sees_image(call))


def output_known(module: Any, number: int = 0) -> Known:
    """What a module tells of the tensor that it returns as the one of this ``number``."""
    kind = _kind(module)
    if kind in ("LSTM", "GRU", "RNN"):
        return Known(
            "recurrent" if number == 0 else "states",
            batch_first=module.batch_first,
            directions=1 + module.bidirectional,
            layers=module.num_layers,
        )
    if kind == "MultiheadAttention":
        return Known(("features_last", "attention")[min(number, 1)], batch_first=module.batch_first)
    if number > 0:
        return Known()
    return _known(kind, module, ("out_channels", "out_features", "embedding_dim", "nf"))


def input_known(module: Any) -> Known:
    """What a module tells of the tensor that it takes."""
    kind = _kind(module)
    if kind == "Embedding":
        return Known()
    if kind in ("LSTM", "GRU", "RNN"):
        return Known("recurrent", channels=module.input_size, batch_first=module.batch_first)
    if kind == "MultiheadAttention":
        return Known("features_last", channels=module.embed_dim, batch_first=module.batch_first)
    return _known(kind, module, ("in_channels", "in_features", "nx"))


_SPATIAL = re.compile(r"(?!Dropout)\w*([123])d$")
_FIRST = ("GroupNorm", "LocalResponseNorm", "Upsample", "PixelShuffle", "PixelUnshuffle")
_SEQUENCES = ("LSTM", "GRU", "RNN", "MultiheadAttention")
_LAST = ("Linear", "Bilinear", "Embedding", "LSTMCell", "GRUCell", "RNNCell", "Conv1D")


def _known(kind: str, module: nn.Module, sizes: tuple[str, ...]) -> Known:
    """``sizes``: names of attributes that may hold the number of channels."""
    channels = next((v for v in (getattr(module, name, None) for name in sizes) if v), None)
    match = _SPATIAL.match(kind)
    if match is not None:
        batched = "BatchNorm" in kind
        same = getattr(module, "num_features", None) if batched else channels
        return Known("channels_first", int(match[1]), same, batched)
    if kind in _FIRST:
        return Known("channels_first", None, getattr(module, "num_channels", None), batched=True)
    if kind in _LAST:
        return Known("features_last", channels=channels)
    if kind == "Norm":
        return _norm_known(module)
    return Known()


def _norm_known(module: nn.Module) -> Known:
    """Of layer norm and its like: over the last axis, or by their own word over the channels."""
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    shape: Any = getattr(module, "normalized_shape", None if weight is None else weight.shape)
    if shape is None or len(shape) != 1:
        return Known()
    if getattr(module, "data_format", "") == "channels_first":
        return Known("channels_first", None, int(shape[0]), batched=True)
    return Known("features_last", channels=int(shape[0]))


def _kind(module: nn.Module) -> str:
    """The name of the class that says how tensors are laid out; ``""``: none does."""
    names = library_classes(module)
    known = (*_FIRST, *_LAST, *_SEQUENCES)
    found = next((name for name in names if name in known or _SPATIAL.match(name)), "")
    is_norm = any(base.__name__.endswith("Norm") for base in type(module).__mro__)
    return found or "Norm" * is_norm
