"""Gradient ascent on an input: what it is made of, how it is moved, how smooth it is, the step.

A picture here is (1, channels, …space), 0…1, of one, two or three axes of space, or of none.
After Olah, Mordvintsev and Schubert, Feature Visualization, 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Reduce: TypeAlias = Literal["mean", "squares"]
Position: TypeAlias = tuple[int, ...]

# Principal colours of ImageNet (Krizhevsky et al. 2012): a column each, as long as the standard
# deviation along it, the longest 1.
_COLOURS = (
    torch.tensor(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    )
    * (torch.tensor([0.2175, 0.0188, 0.0045]) / 0.2175).sqrt()
)


def channel_value(
    maps: Tensor, channel: int, position: Position | None = None, reduce: Reduce = "mean"
) -> Tensor:
    """How active a channel is, or its unit at one position: a scalar in the graph.

    Parameters
    ----------
    maps
        (channels, slices, height, width), as `maps_of` gives them.
    channel
        Index along the first axis.
    position
        Along the other axes; None: all positions.
    reduce
        Of all positions: the mean, or the mean of the squares of those that are positive (where
        none is, the mean).

    Examples
    --------
    >>> channel_value(torch.arange(8.0).reshape(2, 1, 2, 2), 1, (0, 0, 1))
    tensor(5.)
    """
    if position is not None:
        return maps[channel][position]
    if reduce == "squares" and maps[channel].gt(0).any():
        return maps[channel].relu().square().mean()
    return maps[channel].mean()


def spectrum_scale(size: Sequence[int]) -> Tensor:
    """1 / frequency of each coefficient of `from_spectrum`: all frequencies are learnt alike.

    The amplitudes of photographs fall off like that. The frequency of the mean is taken as that
    of one wave along the longest axis.

    Parameters
    ----------
    size
        Lengths of the axes of space.

    Returns
    -------
    Tensor
        (…size, the last one halved).
    """
    grids = [torch.fft.fftfreq(length) for length in size[:-1]] + [torch.fft.rfftfreq(size[-1])]
    squares = torch.meshgrid(*(grid.square() for grid in grids), indexing="ij")
    return sum(squares, torch.zeros(())).sqrt().clamp_min(1 / max(size)).reciprocal()


def from_spectrum(spectrum: Tensor, scale: Tensor, size: Sequence[int]) -> Tensor:
    """Coefficients (1, channels, …scale.shape, real and imaginary) → values (1, channels, …size).

    A unitary inverse Fourier transform of the coefficients × ``scale``.
    """
    scaled = torch.view_as_complex(spectrum) * scale
    axes = tuple(range(-len(size), 0))
    return torch.fft.irfftn(scaled, s=tuple(size), dim=axes, norm="ortho")


def mixed_colours(values: Tensor) -> Tensor:
    """Values (1, 3, …) of uncorrelated channels as red, green and blue, which photographs mix."""
    return torch.einsum("rc,bc...->br...", _COLOURS.to(values), values)


def total_variation(picture: Tensor) -> Tensor:
    """Sum of |difference| of all neighbours along the axes of space: a scalar in the graph."""
    axes = range(2, picture.ndim)
    return sum((picture.diff(dim=axis).abs().sum() for axis in axes), picture.new_zeros(()))


def shifted(picture: Tensor, offsets: Sequence[int]) -> Tensor:
    """The picture moved by whole pixels along each axis of space; its border is drawn out."""
    for axis, offset in enumerate(offsets, 2):
        length = picture.shape[axis]
        index = torch.arange(length, device=picture.device) - offset
        picture = picture.index_select(axis, index.clamp(0, length - 1))
    return picture


def turned(picture: Tensor, degrees: float, scale: float) -> Tensor:
    """A picture of two axes, turned about its middle and enlarged; its border is drawn out."""
    height, width = picture.shape[-2:]
    cosine = math.cos(math.radians(degrees)) / scale
    sine = math.sin(math.radians(degrees)) / scale
    # Coordinates are −1…1 along either axis, however long it is.
    rows = [[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]]
    grid = F.affine_grid(picture.new_tensor([rows]), list(picture.shape), align_corners=False)
    return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)


def blurred(values: Tensor, deviation: float) -> Tensor:
    """A Gaussian blur along the axes of space; ``deviation``: its standard deviation in pixels."""
    reach = math.ceil(3 * deviation)
    distance = torch.arange(-reach, reach + 1, dtype=values.dtype, device=values.device)
    weights = (-0.5 * (distance / deviation).square()).exp()
    weights = weights / weights.sum()
    for axis in range(2, values.ndim):
        steps: list[Tensor] = []
        for weight, offset in zip(weights, range(-reach, reach + 1), strict=True):
            offsets = [offset if other == axis else 0 for other in range(2, values.ndim)]
            steps.append(weight * shifted(values, offsets))
        values = torch.stack(steps).sum(0)
    return values


@dataclass
class Adam:
    """Steps uphill (Kingma and Ba 2015).

    Not torch's own, which tells everybody who watches optimizers that a model is being trained.
    """

    learning_rate: float
    steps: int = 0
    mean: Tensor | None = None
    square: Tensor | None = None

    def stepped(self, values: Tensor, gradient: Tensor) -> Tensor:
        """Where ``values`` are after one more step."""
        zeros = torch.zeros_like(values)
        self.mean = (zeros if self.mean is None else self.mean).lerp(gradient, 0.1)
        self.square = (zeros if self.square is None else self.square).lerp(gradient.square(), 0.001)
        self.steps += 1
        mean = self.mean / (1 - 0.9**self.steps)
        square = self.square / (1 - 0.999**self.steps)
        return values + self.learning_rate * mean / (square.sqrt() + 1e-8)
