"""What an attribution is, and how its values are put together for a picture, a text, a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from explain_widgets.analysis.feature_maps import Layout, maps_of

Channels: TypeAlias = Literal["sum", "mean", "max", "norm"]
Sign: TypeAlias = Literal["all", "absolute", "positive", "negative"]


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each part of an input, or of a layer, has to do with the target.

    Attributes
    ----------
    values
        Shaped as the input or the layer; an axis is 1 long where its parts were altered together.
        Of token ids: (1, tokens, channels) of their embeddings. Where the model takes several
        inputs a dict of them by name.
    method
        Its name.
    target
        What was attributed: a class index, a loss, a callable.
    layer
        Name of the call whose output was attributed to; None: the input.
    completeness_gap
        The sum of the values minus `expected_sum`; None where a method promises no sum.
    expected_sum
        What the values should sum to: target of the input minus target of the baseline.
    note
        What was approximated, chosen or left out, in words, or "".
    options
        How it was computed, by name.
    step, steps
        How far it is: of so many steps of work this many are done.

    Examples
    --------
    >>> one = Attribution(torch.tensor([[1.0, -3.0]]), "gradient", target=0)
    >>> one.total, one.is_final
    (-2.0, True)
    """

    values: Tensor | dict[str, Tensor]
    method: str
    target: int | str | Callable[[Any], Tensor] | None
    layer: str | None = None
    completeness_gap: float | None = None
    expected_sum: float | None = None
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    step: int = 1
    steps: int = 1

    @property
    def is_final(self) -> bool:
        """Whether all of its steps are done."""
        return self.step >= self.steps

    @property
    def total(self) -> float:
        """The sum of all values."""
        return total(self.values)

    @property
    def by_name(self) -> dict[str, Tensor]:
        """The values by the name of the input; ``""`` where there is one."""
        return self.values if isinstance(self.values, dict) else {"": self.values}


def total(values: Tensor | Mapping[str, Tensor]) -> float:
    """The sum of all values, in double precision."""
    parts = values.values() if isinstance(values, Mapping) else [values]
    return float(sum(part.sum(dtype=torch.float64) for part in parts))


def over_channels(values: Tensor, axis: int, channels: Channels | int = "sum") -> Tensor:
    """Values without their axis of channels.

    Parameters
    ----------
    values
        Of any shape.
    axis
        Of the channels.
    channels
        ``"sum"``, ``"mean"``; ``"max"``: that of the largest size, with its sign; ``"norm"``:
        √Σv²; or the index of one.

    Raises
    ------
    ValueError
        When ``channels`` is none of these, or there is no such channel.

    Examples
    --------
    >>> over_channels(torch.tensor([[1.0, -3.0]]), 1, "max")
    tensor([-3.])
    """
    if channels == "sum":
        return values.sum(axis)
    if channels == "mean":
        return values.mean(axis)
    if channels == "norm":
        return values.norm(dim=axis)
    if channels == "max":
        largest = values.abs().argmax(axis, keepdim=True)
        return values.gather(axis, largest).squeeze(axis)
    is_index = isinstance(channels, int)
    if is_index and 0 <= int(channels) < values.shape[axis]:
        return values.select(axis, int(channels))
    raise ValueError(
        f'channels={channels!r} must be "sum", "mean", "max", "norm" or the index of one of '
        f"{values.shape[axis]}."
    )


def with_sign(scores: Tensor, sign: Sign = "all") -> Tensor:
    """The scores of one sign: ``"positive"`` and ``"negative"`` (≤ 0) clip the others to 0.

    Raises
    ------
    ValueError
        When ``sign`` is none of them.
    """
    if sign == "absolute":
        return scores.abs()
    if sign == "positive":
        return scores.clamp_min(0)
    if sign == "negative":
        return scores.clamp_max(0)
    if sign != "all":
        raise ValueError(f'sign={sign!r} must be "all", "absolute", "positive" or "negative".')
    return scores


def token_scores(values: Tensor, channels: Channels | int = "sum", sign: Sign = "all") -> Tensor:
    """One score a token, (tokens,).

    Parameters
    ----------
    values
        (1, tokens, channels) or (1, tokens).
    channels, sign
        As in `over_channels` and `with_sign`, which come in this order.

    Examples
    --------
    >>> token_scores(torch.tensor([[[1.0, 2.0], [0.5, -4.0]]]))
    tensor([ 3.0000, -3.5000])
    """
    row = values[0]
    return with_sign(row if row.ndim == 1 else over_channels(row, -1, channels), sign)


def word_scores(scores: Tensor, edges: Sequence[int]) -> Tensor:
    """Scores of tokens summed by word: word i is the tokens [edges[i], edges[i + 1]).

    Examples
    --------
    >>> word_scores(torch.tensor([1.0, 2.0, 4.0]), [0, 2, 3])
    tensor([3., 4.])
    """
    sums = torch.cat([scores.new_zeros(1), scores.cumsum(0)])
    places = torch.as_tensor(list(edges), device=scores.device)
    return sums[places[1:]] - sums[places[:-1]]


def pixel_scores(
    values: Tensor, channels: Channels | int = "sum", sign: Sign = "all", axis: int = 1
) -> Tensor:
    """One score a pixel, (height, width).

    Parameters
    ----------
    values
        (1, channels, height, width), or with the channels at ``axis``.
    channels, sign
        As in `over_channels` and `with_sign`, which come in this order.

    Examples
    --------
    >>> pixel_scores(torch.ones(1, 3, 4, 5)).shape
    torch.Size([4, 5])
    """
    return with_sign(over_channels(values, axis, channels)[0], sign)


def channel_scores(values: Tensor, sign: Sign = "all", axis: int = 1) -> Tensor:
    """One score a channel, (channels,): the sums of its positions.

    Examples
    --------
    >>> channel_scores(torch.ones(1, 3, 4, 5))
    tensor([20., 20., 20.])
    """
    return with_sign(values[0].movedim(axis - 1, 0).flatten(1).sum(1), sign)


def grad_cam(activation: Tensor, gradient: Tensor, layout: Layout) -> Tensor:
    """Grad-CAM of a layer: Σ over channels of (mean of the gradient's map) × the map.

    Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2 without the ReLU. Of the tokens of a vision
    transformer only the patches count: a class token has no place in the picture.

    Parameters
    ----------
    activation, gradient
        Of one layer.
    layout
        How they are laid out as channels of maps.

    Returns
    -------
    Tensor
        (1, 1, height, width); (1, 1, positions) where the maps are rows; (1, 1, slices, height,
        width) where there are several slices.

    Examples
    --------
    >>> from explain_widgets.analysis.feature_maps import choose_layout
    >>> maps = torch.rand(1, 6, 4, 5)
    >>> grad_cam(maps, torch.ones_like(maps), choose_layout(maps.shape)).shape
    torch.Size([1, 1, 4, 5])
    """
    maps, slopes = maps_of(activation, layout), maps_of(gradient, layout)
    found = torch.tensordot(slopes.mean((1, 2, 3)), maps, 1)
    if len(found) == 1:
        found = found[0]
        is_row = layout.grid is None and not any(a.place == "height" for a in layout.axes)
        found = found[0] if is_row else found
    return found[None, None]
