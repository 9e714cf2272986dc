"""A matplotlib figure of one number a head."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from explain_widgets.export.figures import NotebookFigure

_ABSENT = "#b0b0b0"


def heads_figure(
    values: list[npt.NDArray[np.floating]], title: str, label: str, colormap: str
) -> Figure:
    """One number a head as a heat map, layers downwards; hatched where there is none.

    Parameters
    ----------
    values
        (heads,) of each layer; NaN where it does not apply.
    title, label
        Above the figure, and at its colour bar.
    colormap
        Any of matplotlib's.
    """
    columns = max(map(len, values))
    cells = np.full((len(values), columns), np.nan)
    for row, some in zip(cells, values, strict=True):
        row[: len(some)] = some
    size = np.clip(0.32 * columns + 2.2, 4.5, 12.0), np.clip(0.32 * len(values) + 1.4, 2.6, 14.0)
    figure = NotebookFigure(figsize=(float(size[0]), float(size[1])), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(
        np.ma.masked_invalid(cells), cmap=colormap, aspect="equal", interpolation="nearest"
    )
    for layer, some in enumerate(values):
        for head in np.flatnonzero(~np.isfinite(some)):
            corner = head - 0.5, layer - 0.5
            hatched = Rectangle(corner, 1, 1, fill=False, hatch="////", edgecolor=_ABSENT)
            hatched.set_linewidth(0)
            axes.add_patch(hatched)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8)
    if np.isfinite(cells).any():
        figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    return figure
