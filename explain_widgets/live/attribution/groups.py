"""Features: the parts of an input that are replaced together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explain_widgets.analysis.quadrature import spread
from explain_widgets.analysis.windows import Window, coarser, windows
from explain_widgets.live.altered import Place
from explain_widgets.live.attribution.asked import Asked
from explain_widgets.live.attribution.inputs import Explained
from explain_widgets.live.canvas import arrangement

_GRID = 8
"""So many squares along the shorter side of an image are its features, and its windows."""

MOST_FEATURES = 4096


@dataclass(frozen=True, eq=False)
class Group:
    """One feature.

    Attributes
    ----------
    place
        Of the input that it is a part of.
    mask
        bool, True at its values; axes that are 1 long stand for all there.
    """

    place: Place
    mask: Tensor

    def replaced(self, value: Tensor, by: Tensor) -> Tensor:
        """(1, …): an input with this feature of another."""
        return torch.where(self.mask, by, value)


def groups_of(asked: Asked, feature_mask: Any) -> list[Group]:
    """The features of the inputs.

    Parameters
    ----------
    asked
        What is attributed to.
    feature_mask
        A tensor of whole numbers that broadcasts to the input, equal where values are one feature;
        a mapping from the name of an input to one; None: tokens, squares of an image, single
        values of anything else.

    Raises
    ------
    ValueError
        When the mask does not fit, or there are too many features.
    """
    masks = feature_masks(asked.inputs, feature_mask)
    groups = [
        Group(place, mask == number)
        for place, mask in masks.items()
        for number in mask.unique().tolist()
    ]
    if len(groups) > MOST_FEATURES:
        raise ValueError(
            f"The input has {len(groups):,} features, and no more than {MOST_FEATURES:,} can be "
            "replaced one by one: join some with feature_mask=…, a tensor of whole numbers that "
            "are equal where values belong together."
        )
    return groups


def feature_masks(inputs: tuple[Explained, ...], feature_mask: Any) -> dict[Place, Tensor]:
    """A tensor of the numbers of features for each input, numbered through over all."""
    given = (
        feature_mask
        if isinstance(feature_mask, Mapping)
        else {one.name: feature_mask for one in inputs}
    )
    masks: dict[Place, Tensor] = {}
    begun = 0
    for one in inputs:
        mask = given.get(one.name)
        mask = _default(one) if mask is None else _checked(torch.as_tensor(mask), one)
        numbers, mask = mask.unique(return_inverse=True)
        masks[one.place] = mask.to(one.value.device) + begun
        begun += len(numbers)
    return masks


def features_in(asked: Asked) -> int:
    """How many features or windows the work goes through; 0: it does not."""
    options = asked.options
    if "feature_mask" in options:
        masks = feature_masks(asked.inputs, options["feature_mask"])
        return sum(len(mask.unique()) for mask in masks.values())
    if "sliding_window_shapes" in options:
        sizes, strides = options["sliding_window_shapes"], options["strides"]
        levels = [level for one in asked.inputs for level in occluded(one.value[0], sizes, strides)]
        return sum(len(found) for found, _ in levels)
    return 0


def occluded(
    value: Tensor, sizes: Sequence[int] | None, strides: Sequence[int] | int | None
) -> Iterator[tuple[list[Window], bool]]:
    """The windows of a value without its batch axis: coarse levels first, the last is in full."""
    shape = tuple(value.shape)
    window = default_window(value[None]) if sizes is None else tuple(sizes)
    if strides is None:
        pairs = zip(window, shape, strict=False)
        steps = tuple(size if size == length else max(1, size // 2) for size, length in pairs)
    else:
        steps = (strides,) * len(shape) if isinstance(strides, int) else tuple(strides)
    last = windows(shape, window, steps)
    for larger in coarser(shape, window):
        level = windows(shape, larger, larger)
        if 4 * len(level) <= len(last):
            yield level, False
    yield [last[n] for n in spread(len(last))], True


def default_window(value: Tensor) -> tuple[int, ...]:
    """The window of an input (1, …), without its batch axis: a token, a square, one value."""
    arranged = arrangement(value)
    shape = tuple(value.shape[1:])
    if arranged.axes is not None:
        space = _space(value)
        side = max(1, round(min(shape[axis] for axis in space) / _GRID))
        return tuple(min(side, length) if axis in space else length
                     for axis, length in enumerate(shape))  # fmt: skip
    if len(shape) == 2:
        return (1, shape[1])
    return (1,) * len(shape)


def _default(one: Explained) -> Tensor:
    """Numbers of features by place; axes of channels are 1 long."""
    window = default_window(one.value)
    shape = tuple(one.value.shape[1:])
    number = torch.zeros((1,) * (len(shape) + 1), dtype=torch.int64)
    for axis, (size, length) in enumerate(zip(window, shape, strict=True)):
        if size == length and length > 1:
            continue
        along = torch.arange(length) // size
        number = number * (int(along[-1]) + 1) + along.reshape(-1, *[1] * (len(shape) - 1 - axis))
    return number


def _checked(mask: Tensor, one: Explained) -> Tensor:
    fits = mask.ndim <= one.value.ndim and not mask.is_floating_point()
    mask = mask.reshape((1,) * (one.value.ndim - mask.ndim) + tuple(mask.shape)) if fits else mask
    lengths = zip(mask.shape, one.value.shape, strict=False)
    if not fits or any(length not in (1, own) for length, own in lengths):
        raise ValueError(
            f"feature_mask has the shape {tuple(mask.shape)} and the type {mask.dtype}: it has to "
            f"be whole numbers that broadcast to the input {one.name!r}, {tuple(one.value.shape)}."
        )
    return mask


def _space(value: Tensor) -> set[int]:
    """The axes of space of an image, counted without the batch axis."""
    arranged = arrangement(value)
    assert arranged.axes is not None
    moved = len(arranged.shape) - value.ndim  # an axis of one channel that it has not
    return {axis - 1 - moved for axis in arranged.axes[2:]}
