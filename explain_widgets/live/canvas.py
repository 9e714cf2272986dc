"""The input that is sought by gradient ascent: what is a picture in it, and which values it has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from explain_widgets.live.samples.pixels import Scaling, picture_in

# Nothing in a picture of a model's own inputs is blacker or whiter: a sigmoid takes it there.
_MARGIN = 0.02


class Arrangement(NamedTuple):
    """How the axes of an input are put in the order (1, channels, …space).

    ``axes``: a permutation; None: all its numbers are channels, and there is no space.
    """

    axes: tuple[int, ...] | None
    shape: tuple[int, ...]

    def picture(self, tensor: Tensor) -> Tensor:
        """The values of an input, arranged."""
        if self.axes is None:
            return tensor.reshape(1, -1)
        return tensor.reshape(self.shape).permute(self.axes)

    def tensor(self, picture: Tensor, like: Tensor) -> Tensor:
        """Back again, as ``like``."""
        if self.axes is not None:
            back = [self.axes.index(axis) for axis in range(len(self.axes))]
            picture = picture.permute(back)
        return picture.reshape(like.shape).to(like.dtype)


def arrangement(tensor: Tensor) -> Arrangement:
    """Images as the gallery sees them; else the axes behind the second are space, if there are two.

    Of (1, frames, channels, height, width) the frames are space.
    """
    shape = tuple(tensor.shape)
    if tensor.ndim < 3 or shape[0] != 1 or (tensor.ndim == 3 and picture_in((tensor,), {}) is None):
        return Arrangement(None, shape)
    if tensor.ndim == 3:
        shape = (1, *shape)
    is_colour = [length in (1, 3, 4) for length in shape]
    order = tuple(range(len(shape)))
    if len(shape) == 4 and not is_colour[1] and is_colour[3]:
        order = (0, 3, 1, 2)
    if len(shape) == 5 and not is_colour[1] and is_colour[2]:
        order = (0, 2, 1, 3, 4)
    return Arrangement(order, shape)


class Seen(NamedTuple):
    """Smallest, largest and mean values, arranged, without space: (1, channels, 1, …).

    Of an input that has no space a value each, (1, channels), or one for all where they are many
    or not the same for all samples.
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    samples: int = 1


def seen(tensors: Iterable[Tensor]) -> Seen:
    """What values one argument has in some samples; what is not finite does not count."""
    parts = [_seen_in(tensor.detach()) for tensor in tensors]
    if len({part.mean.shape for part in parts}) > 1:
        parts = [_of_all(part) for part in parts]
    low, high, mean = (torch.cat(side) for side in list(zip(*parts, strict=True))[:3])
    return Seen(low.amin(0, True), high.amax(0, True), mean.mean(0, True), len(parts))


def _of_all(part: Seen) -> Seen:
    low, high, mean = part.low.amin(), part.high.amax(), part.mean.mean()
    return Seen(low.reshape(1, 1), high.reshape(1, 1), mean.reshape(1, 1))


_MOST_VALUES = 2**16


def _seen_in(tensor: Tensor) -> Seen:
    values = arrangement(tensor).picture(tensor)
    axes = list(range(2, values.ndim)) or ([1] if values.numel() > _MOST_VALUES else [])
    known = values.isfinite()
    low, high, mean = (
        torch.where(known, values, torch.inf),
        torch.where(known, values, -torch.inf),
        torch.where(known, values, torch.nan),
    )
    if axes:
        low, high = low.amin(axes, keepdim=True), high.amax(axes, keepdim=True)
        mean = mean.nanmean(axes, keepdim=True)
    return Seen(low, high, mean.nan_to_num())


@dataclass(frozen=True)
class Canvas:
    """What an input may be, as a picture (1, channels, …space) of 0…1.

    Attributes
    ----------
    like
        The input of the sample.
    black, white
        The values that are 0 and 1, with the axes of the picture.
    usual
        What is usual in a picture of the samples, with the axes of the picture.
    is_colour
        Whether the channels are red, green and blue.
    note
        What the values are kept to, in words.
    """

    like: Tensor
    black: Tensor
    white: Tensor
    usual: Tensor
    is_colour: bool
    note: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, channels, …space) of the picture; there may be no space."""
        return tuple(arrangement(self.like).picture(self.like).shape)

    def picture(self) -> Tensor:
        """The input of the sample."""
        values = arrangement(self.like).picture(self.like).to(self.black.dtype)
        width = self.white - self.black
        found = (values - self.black) / torch.where(width == 0, 1, width)
        return found.nan_to_num().clamp(_MARGIN, 1 - _MARGIN)

    def tensor(self, picture: Tensor) -> Tensor:
        """A picture as the model gets it, in the graph."""
        values = self.black + picture * (self.white - self.black)
        return arrangement(self.like).tensor(values, self.like)


def canvas(like: Tensor, values: Seen, scaling: Scaling | None, read: str) -> Canvas:
    """The canvas for an input.

    Parameters
    ----------
    like
        The input of the sample.
    values
        What was seen of it in some samples.
    scaling
        How its image is painted; None: unknown, or no image.
    read
        How many samples were seen, in words.
    """
    kept = torch.promote_types(like.dtype, torch.float32)
    black, white, mean = (part.to(like.device, kept) for part in values[:3])
    note = f"values within those of {read}"
    is_picture = mean.ndim == 4 and picture_in((like,), {}) is not None
    is_known = is_picture and scaling is not None and scaling.known
    if scaling is not None and is_known and len(scaling.black) in (1, mean.shape[1]):
        black, white = (
            mean.new_tensor(side).reshape(1, -1, 1, 1) for side in (scaling.black, scaling.white)
        )
        note = f"values of pictures ({scaling.note})"
    width = white - black
    usual = (mean - black) / torch.where(width == 0, 1, width)
    return Canvas(
        like,
        black,
        white,
        usual.clamp(_MARGIN, 1 - _MARGIN),
        is_known and mean.shape[1] == 3,
        note,
    )
