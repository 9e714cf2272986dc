"""What is maximised by gradient ascent: a channel, a unit, a class, or whatever a callable says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from torch import Tensor

from explain_widgets.analysis.ascent import Position, Reduce, channel_value
from explain_widgets.analysis.feature_maps import Layout, maps_of
from explain_widgets.live.errors import ChannelError
from explain_widgets.live.muting import checked_channel
from explain_widgets.live.recorder import Spot
from explain_widgets.live.targets import target_value


@dataclass(frozen=True)
class Goal:
    """What is maximised.

    Attributes
    ----------
    channel
        Index of a channel, of the output of a class; or a callable from the activation (or output)
        to a scalar.
    spot
        Where the channel is; None: in the model's output.
    layout
        How the channels lie there.
    position
        Of a unit on the map of the channel: (row, column), after the slice where there are
        several; a number where there is one row. None: all.
    reduce
        Of all positions.
    """

    channel: int | Callable[[Any], Tensor] | None
    spot: Spot | None = None
    layout: Layout | None = None
    position: int | Position | None = None
    reduce: Reduce = "mean"

    def __post_init__(self) -> None:
        if self.reduce not in get_args(Reduce):
            raise ValueError(f'reduce={self.reduce!r} must be "mean" or "squares".')
        if self.position is not None and (callable(self.channel) or self.layout is None):
            raise ChannelError("A position is that of a channel of a layer, given by its index.")
        if self.layout is not None and self.spot is not None and not callable(self.channel):
            checked_channel(self.channel, self.layout.channels, self.spot[0])
            _position(self.position, self.layout)
        elif self.channel is None:  # the class that is predicted changes on the way
            raise ChannelError("channel=None is neither an index nor a callable.")

    def value(self, activation: Tensor) -> Tensor:
        """The scalar, in the graph."""
        if callable(self.channel):
            return target_value(activation, self.channel)
        assert self.channel is not None
        assert self.layout is not None
        maps = maps_of(activation, self.layout)
        position = _position(self.position, self.layout)
        return channel_value(maps, self.channel, position, self.reduce)


def _position(position: int | Position | None, layout: Layout) -> Position | None:
    """(slice, row, column) of a position as it was written."""
    if position is None:
        return None
    size = layout.slices, layout.height, layout.width
    given = (position,) if isinstance(position, int) else tuple(position)
    # What is left out is the only one there is.
    full = (0,) * (3 - len(given)) + given
    left_out = size[: 3 - len(given)]
    inside = all(0 <= index < length for index, length in zip(full, size, strict=False))
    if len(given) > 3 or not inside or any(length > 1 for length in left_out):
        raise ChannelError(
            f"position {position!r} is out of range: a channel has {' × '.join(map(str, size))} "
            "positions (slices, rows, columns)."
        )
    return full
