"""Matplotlib's colour maps as tables of 256 colours."""

from __future__ import annotations

import functools

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from explain_widgets.pictures.quantise import LEVELS

SEQUENTIAL = ("Blues", "Greens", "Oranges", "Purples", "Greys", "viridis", "magma", "cividis")
"""What the menu of a sequential picture offers; any other map of matplotlib can be set by name."""

DIVERGING = ("RdBu_r", "PuOr_r", "PRGn", "BrBG", "coolwarm", "seismic")
"""The same of signed pictures: the middle of the map is zero."""

# What is no number must not look like one: no map above has this colour.
NOT_FINITE_COLOUR = (255, 0, 170)


@functools.lru_cache
def colour_table(name: str) -> npt.NDArray[np.uint8]:
    """(256, 3) uint8: 255 colours of the map and, last, the colour of what is not finite.

    Raises
    ------
    ValueError
        When matplotlib has no such map.
    """
    check_colormap(name)
    colours = mpl.colormaps[name](np.linspace(0.0, 1.0, LEVELS + 1))[:, :3]
    table = np.rint(colours * 255).astype(np.uint8)
    return np.vstack([table, np.array([NOT_FINITE_COLOUR], dtype=np.uint8)])


def check_colormap(name: str) -> None:
    """Raise a ValueError that says what to write when matplotlib has no map of this name."""
    if name not in mpl.colormaps:
        raise ValueError(
            f"There is no colour map {name!r} in matplotlib; try {', '.join(SEQUENTIAL)}, or see "
            "list(matplotlib.colormaps)."
        )
