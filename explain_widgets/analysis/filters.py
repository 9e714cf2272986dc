"""The weights of convolutions and linear layers, laid out for pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from explain_widgets.analysis.feature_maps import Layout, maps_of
from explain_widgets.analysis.layout_words import counted


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a layer: one for each of its outputs.

    Attributes
    ----------
    weights
        (filters, inputs of one, depth, height, width). A linear layer after a map has the sides of
        that map; other linear layers see their inputs in a row, as the width of one input.
    inputs
        (filters, inputs of one) int64: which input channels each filter sees. Those of a grouped
        convolution see some of them, those of a depthwise one a single one.
    is_rgb
        Whether the inputs are the red, green and blue of the image.
    is_linear
        Whether they are the rows of a linear layer.
    note
        What should be said with them, or "".
    """

    weights: Tensor
    inputs: Tensor
    is_rgb: bool = False
    is_linear: bool = False
    note: str = ""

    @property
    def count(self) -> int:
        """How many filters there are."""
        return len(self.weights)

    @property
    def depth(self) -> int:
        """Slices of a filter for one input: more than 1 for volumes."""
        return self.weights.shape[2]

    @property
    def channels(self) -> int:
        """How many input channels the layer has."""
        return int(self.inputs.max()) + 1

    @property
    def norms(self) -> Tensor:
        """(filters,) L2 norm of each filter."""
        flat = self.weights.flatten(1)
        return (flat if flat.dtype == torch.float64 else flat.float()).norm(dim=1)

    @property
    def words(self) -> str:
        """The filters in words: "64 filters of 3 × 11 × 11 (red, green, blue)"."""
        inputs, depth, height, width = self.weights.shape[1:]
        if self.is_linear and height == 1:
            return f"{counted(self.count, 'unit')} with {counted(width, 'weight')} each"
        sides = [side for side in (depth, height) if side > 1 or (side is height and depth > 1)]
        size = " × ".join(f"{n:,}" for n in (inputs, *sides, width))
        return f"{counted(self.count, 'filter')} of {size}" + " (red, green, blue)" * self.is_rgb

    def rgb(self) -> Tensor:
        """(filters, 3, height, width): as coloured pictures.

        Raises
        ------
        ValueError
            When they do not see an image.
        """
        if not self.is_rgb:
            raise ValueError("These filters do not see the red, green and blue of an image.")
        return self.weights[:, :, 0]

    def of_output(self, output: int, depth: int = 0) -> Tensor:
        """(inputs of one, height, width): one filter, a picture for each input that it sees."""
        return self.weights[output, :, depth]

    def of_input(self, channel: int, depth: int = 0) -> tuple[Tensor, Tensor]:
        """The filters that see an input channel.

        Returns
        -------
        outputs, pictures
            (n,) int64: which they are; (n, height, width): what they make of the channel.
        """
        outputs, places = (self.inputs == channel).nonzero(as_tuple=True)
        return outputs, self.weights[outputs, places, depth]


def convolution_filters(
    weight: Tensor, groups: int = 1, is_transposed: bool = False, is_rgb: bool = False
) -> Filters:
    """The filters of a convolution in 1, 2 or 3 dimensions.

    Parameters
    ----------
    weight
        (out, in ÷ groups, …), of a transposed one (in, out ÷ groups, …), as torch keeps them. A
        transposed one is shown as the stamp that it puts down.
    groups, is_transposed
        Of the convolution.
    is_rgb
        Whether it sees the red, green and blue of an image.

    Examples
    --------
    >>> filters = convolution_filters(torch.randn(8, 1, 3, 3), groups=4)
    >>> filters.inputs[:, 0].tolist()
    [0, 0, 1, 1, 2, 2, 3, 3]
    """
    if is_transposed:  # the inputs of a group come first, then its outputs
        weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    missing = 5 - weight.ndim
    weight = weight.reshape(*weight.shape[:2], *(1,) * missing, *weight.shape[2:])
    outputs, inputs = weight.shape[:2]
    group = torch.arange(outputs, device=weight.device) // (outputs // groups)
    seen = group[:, None] * inputs + torch.arange(inputs, device=weight.device)
    return Filters(weight, seen, is_rgb)


def linear_filters(weight: Tensor, before: Layout | None = None) -> Filters:
    """The rows of a linear layer.

    Parameters
    ----------
    weight
        (out, in).
    before
        The layout of the tensor that was flattened to be its input; each row is laid out as that.

    Examples
    --------
    >>> linear_filters(torch.randn(10, 84)).words
    '10 units with 84 weights each'
    """
    if before is None:
        laid_out = weight[:, None, None, None]
        note = ""
    else:
        size = math.prod(before.shape)
        places = maps_of(torch.arange(size, device=weight.device).view(before.shape), before)
        laid_out = weight[:, places]
        note = f"laid out as the map before: {before.words}"
    seen = torch.arange(laid_out.shape[1], device=weight.device).expand(len(weight), -1)
    return Filters(laid_out, seen, is_linear=True, note=note)
