"""Matplotlib figures of attributions: maps on pictures, coloured tokens, bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from explain_widgets.export.figures import NotebookFigure, plain
from explain_widgets.live.samples.pixels import Pixels

_MOST_BARS = 30
_ACROSS = 12  # tokens of a line


@dataclass(frozen=True, eq=False)
class Side:
    """An attribution as it is drawn.

    Attributes
    ----------
    title
        What is over it.
    form
        A map, coloured tokens, or bars.
    values
        (height, width); one row for text and bars.
    names
        Of the tokens or bars.
    limit
        The magnitude that colours end at.
    on_image
        Whether a map lies on the picture.
    """

    title: str
    form: Literal["map", "text", "bars"]
    values: npt.NDArray[np.floating]
    names: Sequence[str]
    limit: float
    on_image: bool = False


def attribution_figure(sides: Sequence[Side], image: Pixels | None, colormap: str) -> Figure:
    """Attributions side by side.

    Parameters
    ----------
    sides
        What is drawn.
    image
        The picture that maps lie on; None: they stand alone.
    colormap
        A diverging colour map; zero is in its middle.
    """
    figure = NotebookFigure(figsize=(5.2 * len(sides), 4.2), layout="constrained")
    grid = figure.subplots(1, len(sides), squeeze=False)
    for axes, side in zip(grid.flat, sides, strict=True):
        axes.set_title(plain(side.title), fontsize=9)
        if side.form == "bars":
            _bars(axes, side.names, side.values[0])
            continue
        norm = Normalize(-(side.limit or 1.0), side.limit or 1.0)
        if side.form == "text":
            _tokens(axes, side.names, side.values[0], norm, colormap)
        else:
            _map(axes, side.values, norm, colormap, image if side.on_image else None)
        figure.colorbar(ScalarMappable(norm, colormap), ax=axes, shrink=0.8, label="attribution")
    return figure


def parameters_figure(names: list[str], values: npt.NDArray[np.floating], title: str) -> Figure:
    """One bar for each tensor of parameters, logarithmic, in the order of the model."""
    figure = NotebookFigure(figsize=(7, 0.16 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.barh(places, np.where(np.isfinite(values), values, 0.0), color="#c44e52")
    if (values > 0).any():
        axes.set_xscale("log")
    axes.set_yticks(places, [plain(name) for name in names], fontsize=6)
    axes.invert_yaxis()
    axes.set_title(plain(title), fontsize=9)
    return figure


def _map(
    axes: Axes,
    values: npt.NDArray[np.floating],
    norm: Normalize,
    colormap: str,
    image: Pixels | None,
) -> None:
    axes.set_axis_off()
    if image is None:
        axes.imshow(values, cmap=colormap, norm=norm, interpolation="nearest")
        return
    extent = (0.0, float(image.shape[1]), float(image.shape[0]), 0.0)
    axes.imshow(image, cmap="gray", extent=extent, vmin=0, vmax=255)
    strength = np.clip(np.abs(values) / (norm.vmax or 1.0), 0, 1)
    alpha = 0.75 * np.nan_to_num(strength, nan=1.0)
    axes.imshow(
        values, cmap=colormap, norm=norm, alpha=alpha, extent=extent, interpolation="nearest"
    )


def _tokens(
    axes: Axes,
    tokens: Sequence[str],
    values: npt.NDArray[np.floating],
    norm: Normalize,
    colormap: str,
) -> None:
    axes.set_axis_off()
    colours = mpl.colormaps[colormap]
    lines = -(-len(tokens) // _ACROSS)
    axes.set_xlim(0, min(_ACROSS, len(tokens)))
    axes.set_ylim(lines, 0)
    for position, (token, value) in enumerate(zip(tokens, values, strict=True)):
        line, column = divmod(position, _ACROSS)
        red, green, blue, _ = colours(norm(value))
        is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        axes.text(
            column + 0.5,
            line + 0.5,
            plain(token),
            ha="center",
            va="center",
            fontsize=7,
            color="white" if is_dark else "black",
            bbox={"facecolor": (red, green, blue), "edgecolor": "none", "pad": 2},
        )


def _bars(axes: Axes, names: Sequence[str], values: npt.NDArray[np.floating]) -> None:
    order = np.argsort(-np.abs(np.nan_to_num(values)), kind="stable")[:_MOST_BARS]
    colours = ["#4c72b0" if values[n] < 0 else "#c44e52" for n in order]
    axes.barh(np.arange(len(order)), values[order], color=colours)
    axes.set_yticks(np.arange(len(order)), [plain(names[n]) for n in order], fontsize=7)
    axes.invert_yaxis()
    axes.axvline(0, color="0.4", linewidth=0.8)
    if len(values) > len(order):
        axes.set_xlabel(f"the largest {len(order)} of {len(values):,}", fontsize=7)
