"""A page of samples as a matplotlib figure; pyplot's state is left alone."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from explain_widgets.export.figures import NotebookFigure

_WRONG = "#a40e26"
_COLUMNS = {True: 8, False: 3}
_LINES = 12


@dataclass(frozen=True)
class Captioned:
    """One sample: its picture, or lines of text, and what stands below."""

    image: npt.NDArray[np.uint8] | None
    text: str
    caption: str
    wrong: bool


def gallery_figure(samples: Sequence[Captioned], title: str) -> Figure:
    """Samples side by side with their captions; wrongly predicted ones are framed in red."""
    pictured = any(sample.image is not None for sample in samples)
    columns = max(1, min(_COLUMNS[pictured], len(samples)))
    rows = max(1, math.ceil(len(samples) / columns))
    width, height = (1.3, 1.65) if pictured else (3.4, 2.4)
    figure = NotebookFigure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    # What users call their classes is no mathematics, whatever its dollar signs.
    figure.suptitle(title, fontsize=10, parse_math=False)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, sample in zip(grid, samples, strict=False):
        _draw(axes, sample)
    for axes in grid[len(samples) :]:
        axes.set_axis_off()
    return figure


def _draw(axes: Axes, sample: Captioned) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if sample.image is not None:
        interpolation = "nearest" if max(sample.image.shape[:2]) <= 64 else "antialiased"
        axes.imshow(sample.image, cmap="gray", vmin=0, vmax=255, interpolation=interpolation)
    else:
        lines = [part for line in sample.text.splitlines() for part in textwrap.wrap(line, 46)]
        shown = "\n".join(lines[:_LINES])
        text = axes.text(0.03, 0.95, shown, fontsize=7, va="top", parse_math=False)
        text.set_transform(axes.transAxes)
    colour = _WRONG if sample.wrong else "black"
    axes.set_xlabel(sample.caption, fontsize=8, color=colour, parse_math=False)
    for spine in axes.spines.values():
        spine.set(color=_WRONG if sample.wrong else "#cccccc", linewidth=2 if sample.wrong else 0.5)
