"""Channels of an activation taken out, and their means: as its layout has them."""

from __future__ import annotations

import torch
from torch import Tensor

from explain_widgets.analysis.feature_maps import Layout, maps_of, outside


def muted(tensor: Tensor, layout: Layout, channel: int, value: Tensor | float) -> Tensor:
    """A copy of ``tensor`` in which one channel has one value at all its positions.

    Parameters
    ----------
    tensor
        Of the shape of the layout.
    layout
        Where its channels are. Tokens that are no patches of an image count as positions too.
    channel
        Index of the channel.
    value
        What it becomes.

    Examples
    --------
    >>> tensor = torch.ones(1, 3)
    >>> muted(tensor, choose_layout(tensor.shape), 2, 0.0)
    tensor([[1., 1., 0.]])
    """
    copy = tensor.clone()
    axis = layout.axis("channel")
    if axis is not None:
        copy.select(axis, channel)[...] = value
        return copy
    # Channels in several axes, as the directions of a recurrent layer: element by element.
    places = torch.arange(tensor.numel(), device=tensor.device).reshape(tensor.shape)
    flat = copy.contiguous().flatten()
    flat[channels_of(places, layout)[channel]] = value
    return flat.reshape(tensor.shape)


def channels_of(tensor: Tensor, layout: Layout) -> Tensor:
    """(channels, positions): all that a tensor holds, tokens that are no patches last."""
    parts = maps_of(tensor, layout).flatten(1), outside(tensor, layout).flatten(1)
    return torch.cat(parts, 1) if layout.grid is not None else parts[0]


def channel_means(tensor: Tensor, layout: Layout) -> Tensor:
    """The mean of each channel over all positions, (channels,) in float64."""
    values = channels_of(tensor, layout)
    # A half is too short to sum in.
    kind = torch.promote_types(values.dtype, torch.float32)
    return values.mean(1, dtype=kind).double()
