"""Where the maps of a forward lie on its input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import Tensor

from explain_widgets.analysis.alignment import Alignment, AxisAlignment, rule_of, stretched
from explain_widgets.analysis.feature_maps import Layout
from explain_widgets.analysis.layout_rules import Place
from explain_widgets.live.patches import image_in
from explain_widgets.live.tracing import Factor, Traced, Tracer, input_traced

_SIDES = ("depth", "height", "width")
_PLACES: tuple[Place, ...] = ("slice", "height", "width")
_ROW = ("token", "step", "position")


@dataclass(frozen=True)
class Followed:
    """The input that positions are traced back to.

    Attributes
    ----------
    tensor
        One of the tensors that go into the forward.
    axes
        Its axes that are followed: of an image the height and the width.
    """

    tensor: Tensor
    axes: tuple[int, ...]

    def tracer(self) -> Tracer:
        """What follows it through a forward."""
        return Tracer(self.tensor, input_traced(tuple(self.tensor.shape), self.axes))


def followed(inputs: Iterable[Tensor]) -> Followed | None:
    """The input to follow: the image, else the first that has positions."""
    tensors = list(inputs)
    image = image_in(tensors)
    if image is not None:
        is_last = image.shape[3] in (1, 3, 4) and image.shape[1] not in (1, 3, 4)
        return Followed(image, (1, 2) if is_last else (2, 3))
    first = next((tensor for tensor in tensors if 2 <= tensor.ndim <= 5), None)
    if first is None:
        return None
    return Followed(first, (2, 3, 4) if first.ndim == 5 else tuple(range(1, first.ndim)))


def alignment_of(layout: Layout, traced: Traced | None, source: Followed | None) -> Alignment:
    """Where the maps of a tensor lie on the input.

    Parameters
    ----------
    layout
        Of the tensor.
    traced
        What was found of it by following the input through the forward; None: nothing.
    source
        The input.
    """
    if source is None:
        return Alignment("shapes", None, None, None)
    unit = "pixels" if source.tensor.ndim >= 4 else "positions"
    if traced is not None and traced.shape != layout.shape:
        traced = None  # of another forward
    found = [_axis(layout, place, traced, source) for place in _PLACES]
    depth, height, width = (axis for axis, _ in found)
    is_computed = all(computed for _, computed in found)
    if traced is None or not is_computed or not (depth or height or width):
        return Alignment("shapes", depth, height, width, unit)
    notes = []
    if traced.is_partial:
        notes.append("a step on the way is not understood, so they may depend on more")
    if traced.apart > 0.5:
        notes.append(f"branches that were joined lie up to {traced.apart:.3g} {unit} apart")
    return Alignment("modules", depth, height, width, unit, "; ".join(notes))


def _axis(
    layout: Layout, place: Place, traced: Traced | None, source: Followed
) -> tuple[AxisAlignment | None, bool]:
    """How a place of the layout lies on the input, and whether that is computed, not guessed."""
    extents = tuple(source.tensor.shape)
    factor = None if traced is None else _factor(layout, place, traced)
    if traced is not None and factor is not None and factor.source is not None:
        assert factor.map is not None
        sees_all = factor.source in traced.whole
        return rule_of(factor.map, factor.source, extents[factor.source], sees_all), True
    axis = _input_axis(layout, place, source)
    if axis is None:
        return None, True
    count, covered = _counts(layout, place)
    guess = stretched(count, axis, extents[axis], covered)
    if count == 1 and traced is not None and axis in traced.whole:  # pooled as a whole
        return replace(guess, size=extents[axis], sees_all=True), True
    return guess, False


def _factor(layout: Layout, place: Place, traced: Traced) -> Factor | None:
    """The positions of a place of the layout, where they lie on one axis of the input."""
    if layout.grid is None:
        axis = layout.axis(place)
        return None if axis is None else traced.axes[axis].plain
    axis = layout.axis("width")  # that of the tokens
    if axis is None or place == "slice":
        return None
    tokens, grid = traced.axes[axis], layout.grid
    sizes = [factor.size for factor in tokens.factors if factor.map is not None]
    if (tokens.start, sizes) != (grid.start, [grid.height, grid.width]):
        return None
    return tokens.factors[("height", "width").index(place)]


def _input_axis(layout: Layout, place: Place, source: Followed) -> int | None:
    """The axis of the input that a place lies on by the shapes alone; None: on none."""
    roles = [axis.role for axis in layout.axes if axis.place not in ("batch", "channel")]
    if layout.grid is not None or (roles and set(roles) <= set(_SIDES)):
        sides: tuple[Place, ...] = _PLACES[-len(source.axes) :]
        has = layout.grid is not None or any(axis.place == place for axis in layout.axes)
        is_image = source.tensor.ndim >= 4
        return source.axes[sides.index(place)] if is_image and has and place in sides else None
    if len(roles) != 1 or roles[0] not in _ROW or place != "width" or source.tensor.ndim >= 4:
        return None
    sizes = [source.tensor.shape[axis] for axis in source.axes]
    if layout.width in sizes:
        return source.axes[sizes.index(layout.width)]
    return source.axes[-1] if layout.name == "channels_first" else source.axes[0]


def _counts(layout: Layout, place: Place) -> tuple[int, int | None]:
    """How many positions a place has, and how many of them lie on the input."""
    if layout.grid is not None:
        rows, columns = layout.grid.image_height, layout.grid.image_width
        return (layout.height, rows) if place == "height" else (layout.width, columns)
    return {"slice": layout.slices, "height": layout.height, "width": layout.width}[place], None
