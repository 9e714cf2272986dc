"""How an activation is laid out as channels of maps: decided here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from explain_widgets.analysis.layout_rules import (
    NAMED,
    Axes,
    Axis,
    Known,
    Place,
    Shape,
    axes_by_name,
    axes_by_role,
    axes_of,
)
from explain_widgets.analysis.layout_words import in_words
from explain_widgets.analysis.patches import ImageGrid

LAYOUTS = tuple(NAMED)
"""The names of layouts, for `choose_layout`."""

_NOTHING = Known()
_PLACES: tuple[Place, ...] = ("batch", "channel", "slice", "height", "width")


@dataclass(frozen=True)
class Layout:
    """How a tensor is laid out as channels of maps.

    Attributes
    ----------
    name
        One of `LAYOUTS`; ``"axes"`` for one that was given axis by axis.
    shape
        Of the tensor.
    axes
        Its axes in order; one may be split into several.
    grid
        Where its tokens are patches of an image: they become the maps.
    """

    name: str
    shape: Shape
    axes: tuple[Axis, ...]
    grid: ImageGrid | None = None

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return self._size("channel")

    @property
    def slices(self) -> int:
        """Maps of one channel: slices of a volume, or batch entries."""
        return self._size("slice")

    @property
    def height(self) -> int:
        """Rows of a map."""
        return self._size("height") if self.grid is None else self.grid.height

    @property
    def width(self) -> int:
        """Columns of a map."""
        return self._size("width") if self.grid is None else self.grid.width

    @property
    def words(self) -> str:
        """The layout in words: "512 channels of 14 × 14"."""
        return in_words(self.axes, self.grid)

    def axis(self, place: Place) -> int | None:
        """The axis of the tensor that is the ``"channel"``, ``"height"``, …, as a whole.

        None: there is none in that place, or several.
        """
        axes = {axis.of for axis in self.axes if axis.place == place}
        whole = self._size(place) == math.prod(self.shape[axis] for axis in axes)
        return axes.pop() if len(axes) == 1 and whole else None

    def channel_name(self, channel: int) -> str:
        """One channel in words: "channel 3", "unit 5, backward"."""
        names = []
        for axis in reversed([axis for axis in self.axes if axis.place == "channel"]):
            channel, index = divmod(channel, axis.size)
            is_way = axis.role == "direction"
            names.append(("forward", "backward")[index] if is_way else f"{axis.role} {index}")
        return ", ".join(names) or "map"

    def _size(self, place: Place) -> int:
        return math.prod(axis.size for axis in self.axes if axis.place == place)


def choose_layout(
    shape: Iterable[int],
    known: Known = _NOTHING,
    layout: str | Iterable[str] | Layout | None = None,
) -> Layout:
    """How a tensor is laid out as channels of maps.

    Parameters
    ----------
    shape
        Of the tensor.
    known
        What is known of it beside its shape.
    layout
        To have it otherwise: a name of `LAYOUTS`, or the role of each axis: ``"batch"``,
        ``"channel"``, ``"height"``, ``"width"``, ``"depth"``, ``"token"``, ``"step"`` and the
        other keys of `layout_rules.ROLES`. Several axes in one place are joined.

    Raises
    ------
    ValueError
        When ``layout`` does not fit the shape (the text says what does), or the tensor is empty
        or has no axes.

    Examples
    --------
    >>> choose_layout((1, 512, 14, 14)).words
    '512 channels of 14 × 14'
    >>> choose_layout((1, 14, 14, 512), layout=("batch", "height", "width", "channel")).words
    '512 channels of 14 × 14'
    """
    shape = tuple(shape)
    if not shape or 0 in shape:
        raise ValueError(f"A tensor of shape {shape} holds no maps.")
    if layout is None:
        return _layout(shape, axes_of(shape, known), known)
    if isinstance(layout, Layout):
        if layout.shape != shape:
            raise ValueError(f"The layout is of a tensor of shape {layout.shape}, not {shape}.")
        return layout
    if isinstance(layout, str):
        if layout not in NAMED:
            raise ValueError(
                f"There is no layout {layout!r}: write {', '.join(NAMED)}, or the role of each "
                "axis."
            )
        axes = axes_by_name(shape, known, layout)
        if axes is None:
            raise ValueError(f"layout={layout!r} does not fit: {_allowed(shape, known)}")
        return _layout(shape, axes, known)
    roles = tuple(layout)
    try:
        return _layout(shape, axes_by_role(shape, roles), known)
    except ValueError as error:
        raise ValueError(
            f"layout={roles!r} does not fit ({error}): {_allowed(shape, known)}"
        ) from None


def fitting_layouts(shape: Iterable[int], known: Known = _NOTHING) -> dict[str, Layout]:
    """The layouts that a shape allows, by their names, for a menu."""
    shape = tuple(shape)
    found = {name: axes_by_name(shape, known, name) for name in NAMED}
    return {name: _layout(shape, axes, known) for name, axes in found.items() if axes is not None}


def maps_of(tensor: Tensor, layout: Layout) -> Tensor:
    """A tensor as (channels, slices, height, width), a view of it where strides allow that.

    Patches are put back as the image; tokens that are no patches are in `outside`.

    Raises
    ------
    ValueError
        When the layout is of another shape.

    Examples
    --------
    >>> tensor = torch.randn(1, 6, 24, 20)
    >>> maps_of(tensor, choose_layout(tensor.shape)).shape
    torch.Size([6, 1, 24, 20])
    """
    maps = _in_places(tensor, layout)
    if layout.grid is None:
        return maps
    patches = maps[:, :, 0, layout.grid.start : layout.grid.stop]
    return patches.unflatten(2, (layout.grid.height, layout.grid.width))


def view(tensor: Tensor, layout: Layout, index: int = 0) -> Tensor:
    """Slice ``index`` of a tensor as (channels, height, width); most layouts have one slice."""
    return maps_of(tensor, layout)[:, index]


def outside(tensor: Tensor, layout: Layout) -> Tensor:
    """(channels, slices, tokens): the tokens that are no patches of the image, in their order."""
    tokens = _in_places(tensor, layout)[:, :, 0]
    if layout.grid is None:
        return tokens[..., :0]
    return torch.cat([tokens[..., : layout.grid.start], tokens[..., layout.grid.stop :]], -1)


def _in_places(tensor: Tensor, layout: Layout) -> Tensor:
    """(channels, slices, height, width), tokens in a row."""
    if tuple(tensor.shape) != layout.shape:
        raise ValueError(
            f"The layout is of a tensor of shape {layout.shape}, not {tuple(tensor.shape)}."
        )
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    split = tensor.reshape([axis.size for axis in layout.axes])
    order = [n for place in _PLACES for n, a in enumerate(layout.axes) if a.place == place]
    sizes = [layout._size(place) for place in _PLACES[1:]]
    return split.permute(order).reshape(sizes)


def _layout(shape: Shape, axes: Axes, known: Known) -> Layout:
    """With the grid, where the positions are the tokens that it is of."""
    inner = [axis for axis in axes.axes if axis.place in ("slice", "height", "width")]
    tokens = len(inner) == 1 and inner[0].role == "token"
    fits = tokens and known.grid is not None and known.grid.stop <= inner[0].size
    return Layout(axes.name, shape, axes.axes, known.grid if fits else None)


def _allowed(shape: Shape, known: Known) -> str:
    options = [f"{name!r} ({one.words})" for name, one in fitting_layouts(shape, known).items()]
    return (
        f"the shape {shape} allows {', '.join(options)}, or one role for each of its {len(shape)} "
        "axes."
    )
