"""Taking channels out of a forward, to see what the model does without them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias, get_args

from torch import Tensor

from explain_widgets.analysis.feature_maps import Layout
from explain_widgets.analysis.muting import muted
from explain_widgets.live.attention.ablation import How
from explain_widgets.live.entries import Call, pick_entry
from explain_widgets.live.errors import ChannelError, RunError
from explain_widgets.live.lookup import called, layer_name
from explain_widgets.live.modules import ModuleRow, named_tensors, with_tensor
from explain_widgets.live.recorder import Spot


class Mute(NamedTuple):
    """A channel that is taken out of the forward.

    Attributes
    ----------
    layer
        Name or index of a module, as in `LiveModel.activation`.
    channel
        Index of the channel, as `LiveModel.layout` lays them out.
    how
        ``"zero"``: the channel becomes 0 at all positions. ``"mean"``: it becomes its mean over
        the samples (64 of them at most) and all positions, one number, so that it says nothing of
        this sample.
    entry
        Of several tensors in the output, the one by this name or index; None: the first of
        floating point.
    layout
        To have the channels otherwise, as in `LiveModel.layout`.
    every
        In all calls of a module that is called more than once, not in this one alone.
    """

    layer: str | int
    channel: int
    how: How = "zero"
    entry: int | str | None = None
    layout: str | tuple[str, ...] | None = None
    every: bool = False

    @property
    def spot(self) -> Spot:
        """Where it is, of a mute that was checked."""
        return str(self.layer), str(self.entry)


Mutes: TypeAlias = frozenset[Mute]

LayoutOf: TypeAlias = Callable[[Mute], Layout]
"""How the tensor of a checked mute is laid out."""


def checked(
    given: Iterable[Any], rows: list[ModuleRow], calls: dict[str, Call], layout_of: LayoutOf
) -> Mutes:
    """Channels to mute as they were written, each with its call and entry by name.

    Parameters
    ----------
    given
        `Mute` or tuples of that form.
    rows, calls
        The module table and the calls of a forward.
    layout_of
        The layouts there.

    Raises
    ------
    LayerError
        When there is no such layer or entry.
    ChannelError
        When there is no such channel or way, or a channel is named twice.
    """
    found: list[Mute] = []
    for one in given:
        mute = Mute(*one)
        if mute.how not in get_args(How):
            raise ChannelError(f'mute: {mute.how!r} is neither "zero" nor "mean".')
        for call in _calls(mute, rows, calls):
            entry = pick_entry(call, mute.entry)
            if not (entry.has_maps and entry.dtype.is_floating_point):
                raise ChannelError(
                    f"mute: {call.name!r} returns no numbers of floating point with channels."
                )
            roles = mute.layout if isinstance(mute.layout, str | None) else tuple(mute.layout)
            named = mute._replace(layer=call.name, entry=entry.name, layout=roles)
            channel = checked_channel(named.channel, layout_of(named).channels, call.name)
            found.append(named._replace(channel=channel))
    if len({(mute.spot, mute.channel) for mute in found}) < len(found):
        raise ChannelError("mute: a channel is named twice.")
    return frozenset(found)


def _calls(mute: Mute, rows: list[ModuleRow], calls: dict[str, Call]) -> list[Call]:
    one = called(layer_name(mute.layer, rows), calls)
    return [call for call in calls.values() if call.path == one.path] if mute.every else [one]


def checked_channel(channel: Any, count: int, call: str) -> int:
    """The index of a channel of a call that has ``count``; ChannelError: there is none."""
    try:
        index = operator.index(channel)
    except TypeError:
        raise ChannelError(f"channel={channel!r} is no index of a channel.") from None
    if not 0 <= index < count:
        raise ChannelError(
            f"channel {index} is out of range: {call!r} has {count} channels (0 to {count - 1})."
        )
    return index


class Muting:
    """Mutes channels in one run; given to it as `Wanted.outputs`.

    Parameters
    ----------
    mutes
        Which, checked.
    layout_of
        Their layouts.
    means
        What those become that are muted to their mean, (channels,) each.
    """

    def __init__(
        self, mutes: Mutes, layout_of: LayoutOf, means: Mapping[Mute, Tensor] | None = None
    ) -> None:
        self._mutes: dict[Spot, list[tuple[Mute, Layout, Tensor | float]]] = {}
        for mute in mutes:
            value = 0.0 if mute.how == "zero" else (means or {})[mute][mute.channel]
            self._mutes.setdefault(mute.spot, []).append((mute, layout_of(mute), value))
        self._missed = set(self._mutes)
        self._every = {_path(str(mute.layer)) for mute in mutes if mute.every}
        self._wrong: ChannelError | None = None

    def __call__(self, call: str, output: Any, is_written: Callable[[Tensor], bool]) -> Any:
        """What goes on in the place of ``output``; None: itself."""
        spots = [spot for spot in self._mutes if spot[0] == call]
        if not spots:
            self._check_extra(call)
            return None
        try:
            for spot in spots:
                output = self._without(spot, output, is_written)
        except ChannelError as error:  # raised after the run: it is not the model's own
            self._wrong = self._wrong or error
        self._missed.difference_update(spots)
        return output

    def check(self) -> None:
        """A channel that was to be muted and was not would show as no change at all."""
        if self._wrong is not None:
            raise self._wrong
        if self._missed:
            names = ", ".join(sorted({repr(call) for call, _ in self._missed}))
            raise RunError(f"mute: {names} was not called in this run.")

    def _check_extra(self, call: str) -> None:
        path = _path(call)
        if path in self._every:
            self._wrong = self._wrong or ChannelError(
                f"mute: {path!r} is called more often without its channels: mute its calls one by "
                "one instead."
            )

    def _without(self, spot: Spot, output: Any, is_written: Callable[[Tensor], bool]) -> Any:
        tensor = dict(named_tensors(output)).get(spot[1])
        for mute, layout, value in self._mutes[spot]:
            if tensor is None or tuple(tensor.shape) != layout.shape:
                raise ChannelError(f"mute: {spot[0]!r} returned another shape than before.")
            found = value.to(tensor) if isinstance(value, Tensor) else value
            new = muted(tensor, layout, mute.channel, found)
            if is_written(tensor):
                # A module that works in place may be called as a statement: what goes on is its
                # input, in which the channel has to be muted as it was computed, in place.
                tensor.copy_(new)
            else:
                output, tensor = with_tensor(output, tensor, new), new
        if not any(found is tensor for _, found in named_tensors(output)):
            raise ChannelError(
                f"mute: {spot[0]!r} returns a {type(output).__name__}, in which no tensor can be "
                "replaced: mute a module inside it instead."
            )
        return output


def _path(call: str) -> str:
    """The module of a call."""
    path, colon, number = call.rpartition(":")
    return path if colon and number.isdigit() else call
