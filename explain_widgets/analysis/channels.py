"""Channels in numbers: statistics, order, histograms, strongest positions. On their device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

Order: TypeAlias = Literal["index", "mean", "maximum", "zeros", "variance", "activation_x_gradient"]
ORDERS: tuple[Order, ...] = (
    "index", "mean", "maximum", "zeros", "variance", "activation_x_gradient",
)  # fmt: skip
"""By what channels are ordered, see `channel_scores`."""


@dataclass(frozen=True)
class ChannelStatistics:
    """Statistics of each channel, over its finite numbers; each of shape (channels,).

    Attributes
    ----------
    minimum, maximum, mean
        NaN where no number is finite.
    positive, zeros
        Shares of numbers above 0, and of those that are 0.
    nonfinite
        How many numbers are not finite.
    """

    minimum: Tensor
    maximum: Tensor
    mean: Tensor
    positive: Tensor
    zeros: Tensor
    nonfinite: Tensor


def channel_statistics(values: Tensor) -> ChannelStatistics:
    """Statistics of every channel of (channels, …).

    Examples
    --------
    >>> found = channel_statistics(torch.tensor([[0.0, 2.0], [-1.0, 3.0]]))
    >>> found.positive.tolist(), found.zeros.tolist()
    ([0.5, 0.5], [0.5, 0.0])
    """
    flat = _floating(values).flatten(1)
    finite = flat.isfinite()
    count = finite.sum(1)
    nonfinite = flat.shape[1] - count
    total, lowest, highest = flat, flat, flat
    if bool(nonfinite.any()):
        total = torch.where(finite, flat, 0)
        lowest, highest = (
            torch.where(finite, flat, torch.inf),
            torch.where(finite, flat, -torch.inf),
        )
    nothing = torch.full_like(flat[:, 0], torch.nan)
    return ChannelStatistics(
        torch.where(count > 0, lowest.amin(1), nothing),
        torch.where(count > 0, highest.amax(1), nothing),
        total.sum(1) / count,
        ((flat > 0) & finite).sum(1) / count,
        (flat == 0).sum(1) / count,
        nonfinite,
    )


def finite_means(values: Tensor) -> Tensor:
    """The mean of the finite numbers of every channel of (channels, …), (channels,).

    That of `channel_statistics`, which takes several times as long to tell more.

    Examples
    --------
    >>> finite_means(torch.tensor([[0.0, 2.0], [torch.inf, 3.0]])).tolist()
    [1.0, 3.0]
    """
    flat = _floating(values).flatten(1)
    means = flat.mean(1)
    rows = (~means.isfinite()).nonzero().flatten()
    if len(rows):
        means[rows] = channel_statistics(flat[rows]).mean
    return means


def channel_scores(
    values: Tensor,
    order: Order,
    gradient: Tensor | None = None,
    means: Tensor | None = None,
) -> Tensor:
    """The number of each channel by which it is ordered, (channels,).

    Parameters
    ----------
    values
        (channels, …).
    order
        ``"mean"`` and ``"maximum"`` of its numbers, ``"zeros"``: the share of them that is 0,
        ``"variance"``: of its mean over samples, ``"activation_x_gradient"``: the sum of each
        number times its gradient, ``"index"``: its own, negative, so that the first comes first.
    gradient
        Of the target by ``values``; needed for ``"activation_x_gradient"``.
    means
        (samples, channels): the mean of each channel for each sample; needed for ``"variance"``.

    Raises
    ------
    ValueError
        When there is no such order, or what it needs is missing.

    Examples
    --------
    >>> channel_scores(torch.tensor([[1.0, 2.0], [5.0, 0.0]]), "maximum").tolist()
    [2.0, 5.0]
    """
    if order == "index":
        return -torch.arange(len(values), device=values.device, dtype=torch.float32)
    if order == "variance":
        if means is None:
            raise ValueError("The order by variance needs the means of the channels by sample.")
        return _floating(means).var(0, correction=0)
    if order == "activation_x_gradient":
        if gradient is None:
            raise ValueError("The order by activation × gradient needs the gradient.")
        return (_floating(values) * _floating(gradient)).flatten(1).sum(1)
    if order not in ORDERS:
        raise ValueError(f"There is no order {order!r}: write {', '.join(ORDERS)}.")
    found: Tensor = getattr(channel_statistics(values), order)
    return found


def ranked(scores: Tensor) -> Tensor:
    """Channels by their scores, the largest first; equals by index, what is no number last."""
    known = torch.where(scores.isnan(), -torch.inf, scores)
    return known.argsort(descending=True, stable=True)


def rank(scores: Tensor, index: int) -> int:
    """Place of one of ``scores`` among all, 1 for the largest; equals share the better place.

    Examples
    --------
    >>> rank(torch.tensor([0.3, 0.9, 0.5]), 2)
    2
    """
    return 1 + int((scores > scores[index]).sum())


def histogram_edges(values: Tensor, bins: int = 24, symmetric: bool = False) -> Tensor:
    """Borders of about ``bins`` equal bins over all finite ``values``; 0 is one of them.

    ``symmetric``: from −m to m, m the largest magnitude. Dtype float32, or float64 as ``values``.
    """
    floating = _floating(values)
    low, high = finite_range(floating) or (0.0, 0.0)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / bins
    if step == 0:
        return torch.tensor([-0.5, 0.5], dtype=floating.dtype, device=values.device)
    first, last = -math.ceil(-low / step - 1e-9), math.ceil(high / step - 1e-9)
    borders = step * torch.arange(first, last + 1, dtype=torch.float64)
    # Rounded to the dtype of the numbers, the ends must still hold the smallest and the largest.
    borders[0], borders[-1] = min(low, float(borders[0])), max(high, float(borders[-1]))
    return borders.to(floating.dtype).to(values.device)


def finite_range(values: Tensor) -> tuple[float, float] | None:
    """The smallest and the largest finite number; None: there is none."""
    if not values.numel():
        return None
    low, high = map(float, values.aminmax())  # one quick pass; NaN goes through
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    return finite_range(values[values.isfinite()])


def histogram(values: Tensor, borders: Tensor) -> Tensor:
    """How many of ``values`` are in each bin, int64 (bins,); what is outside is not counted.

    A bin holds its lower border, the last one both, as in ``numpy.histogram``.

    Examples
    --------
    >>> histogram(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.5, 1.0])).tolist()
    [1, 2]
    """
    flat = _floating(values).flatten()
    unknown = flat.isnan()  # which no search expects
    if bool(unknown.any()):
        flat = flat[~unknown]
    # On the CPU numpy sorts twenty times as fast.
    ordered = torch.from_numpy(np.sort(flat.numpy(force=True))) if flat.is_cpu else flat.sort()[0]
    places = torch.searchsorted(ordered, borders)
    places[-1:] = torch.searchsorted(ordered, borders[-1:], right=True)
    return places.diff()


class Position(NamedTuple):
    """A number of a map and where it is."""

    value: float
    slice: int
    y: int
    x: int


def strongest(channel: Tensor, count: int = 5) -> list[Position]:
    """The positions of the numbers of largest magnitude in one channel, strongest first.

    Parameters
    ----------
    channel
        (slices, height, width) or (height, width).
    count
        How many at most. What is not finite is left out.
    """
    volume = _floating(channel if channel.ndim == 3 else channel[None])
    flat = volume.flatten()
    sizes = torch.where(flat.isfinite(), flat.abs(), -1)
    top = sizes.topk(min(count, len(flat)))
    places = top.indices[top.values >= 0]
    _, height, width = volume.shape
    return [
        Position(value, place // (height * width), place // width % height, place % width)
        for value, place in zip(flat[places].tolist(), places.tolist(), strict=True)
    ]


def _floating(values: Tensor) -> Tensor:
    """In float64 if it is, else in float32."""
    return values if values.dtype == torch.float64 else values.float()
