"""Maps of channels as a matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from explain_widgets.export.figures import NotebookFigure, plain


def maps_figure(
    maps: npt.NDArray[np.floating],
    names: Sequence[int],
    title: str,
    colormap: str,
    per_channel: bool = False,
) -> Figure:
    """Signed maps, (channels, height, width), side by side with zero in the middle of the colours.

    Parameters
    ----------
    maps, names
        The maps and their channels' indices.
    title
        Above all.
    colormap
        A diverging one of matplotlib, by name.
    per_channel
        Each to its own largest magnitude instead of that of all; then there is no colour bar.
    """
    count, height, width = maps.shape
    columns = max(1, min(count, math.ceil(math.sqrt(count * height / max(width, 1)))))
    rows = math.ceil(count / columns)
    cell = float(np.clip(8.0 / columns, 0.35, 2.0))
    aspect = float(np.clip(height / width, 0.1, 4.0))
    figure = NotebookFigure(figsize=(cell * columns + 1.0, (cell * aspect + 0.18) * rows + 0.7))
    grid = figure.subplots(rows, columns, squeeze=False)
    limit = _largest(maps)
    image = None
    for place, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if place >= count:
            continue
        most = (_largest(maps[place]) if per_channel else limit) or 1.0
        image = axes.imshow(
            maps[place],
            cmap=colormap,
            vmin=-most,
            vmax=most,
            interpolation="nearest",
            aspect="auto",
        )
        axes.set_title(str(names[place]), fontsize=6, pad=1.5)
    figure.suptitle(plain(title), fontsize=9)
    if image is not None and not per_channel:
        figure.colorbar(image, ax=grid.ravel().tolist(), shrink=0.6, label="value")
    return figure


def _largest(values: npt.NDArray[np.floating]) -> float:
    return float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))
