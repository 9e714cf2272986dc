"""Curves over a share of 0…1 as a bqplot figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import bqplot
import numpy as np
import numpy.typing as npt

# As in the explorers, told apart by dashes as well; all are seen on white and on black.
_COLOURS = ["#3b82f6", "#e0762f", "#3fa45b", "#a371f7"]
_DASHES = ["solid", "dashed", "dotted", "dash_dotted"]
_QUIET = "#8c959f"
# The dashes in the list of names.
_DRAWN = {"solid": "──", "dashed": "╶╶", "dotted": "┈┈", "dash_dotted": "─·"}
_NAMES_APART = 0.075


@dataclass(frozen=True)
class CurvesShown:
    """What a `CurvesChart` shows.

    Attributes
    ----------
    x
        (points,), 0…1.
    y
        (curves, points); the last is what the others are measured against.
    names
        Of the curves.
    title
        Above them.
    along, up
        What the axes are.
    names_at
        Where the curves leave room for their names, on the right.
    """

    x: npt.NDArray[np.floating]
    y: npt.NDArray[np.floating]
    names: Sequence[str]
    title: str
    along: str
    up: str
    names_at: Literal["top", "bottom"] = "top"


class CurvesChart:
    """A line for each curve, and a list of their names.

    The last of the marks is that list: bqplot's own legend keeps an em for each character, and lies
    over the curves.
    """

    def __init__(self) -> None:
        along, up = bqplot.LinearScale(min=0.0, max=1.0), bqplot.LinearScale()
        self._scales = [along, up]
        self._whole = [bqplot.LinearScale(min=0.0, max=1.0) for _ in range(2)]
        self._axes = [
            bqplot.Axis(scale=along, grid_lines="none", tick_format="~g", label_offset="34px"),
            bqplot.Axis(scale=up, grid_lines="none", tick_format="~g", label_offset="52px"),
        ]
        self._axes[1].orientation = "vertical"
        self.figure = bqplot.Figure(
            axes=self._axes,
            fig_margin={"top": 40, "bottom": 54, "left": 72, "right": 24},
            title_style={"font-size": "14px"},
            animation_duration=0,
        )
        # Its titles are orange in dark themes but for a rule of ours.
        self.figure.add_class("xw-chart")
        self.figure.layout.width, self.figure.layout.height = "420px", "300px"

    def draw(self, shown: CurvesShown) -> None:
        """Show curves."""
        old = self.figure.marks
        lines = [
            self._line(shown, row, is_last=row == len(shown.names) - 1)
            for row in range(len(shown.names))
        ]
        self.figure.marks = [*lines, self._names(shown, lines)]
        for mark in old:
            mark.close()
        self._axes[0].label, self._axes[1].label = shown.along, shown.up
        self.figure.title = shown.title

    def _names(self, shown: CurvesShown, lines: list[bqplot.Lines]) -> bqplot.Label:
        rows = np.arange(len(lines))
        first = 0.97 if shown.names_at == "top" else 0.05 + _NAMES_APART * rows[-1]
        return bqplot.Label(
            x=np.full(len(lines), 0.99),
            y=first - _NAMES_APART * rows,
            text=[f"{_DRAWN[line.line_style]} {line.labels[0]}" for line in lines],
            colors=[line.colors[0] for line in lines],
            scales={"x": self._whole[0], "y": self._whole[1]},
            align="end",
            default_size=12,
            font_weight="normal",
        )

    def _line(self, shown: CurvesShown, row: int, is_last: bool) -> bqplot.Lines:
        scales = {"x": self._scales[0], "y": self._scales[1]}
        return bqplot.Lines(
            x=shown.x,
            y=shown.y[row],
            scales=scales,
            colors=[_QUIET if is_last else _COLOURS[row % len(_COLOURS)]],
            line_style="dotted" if is_last else _DASHES[row % len(_DASHES)],
            labels=[shown.names[row]],
        )

    def say(self, sentence: str) -> None:
        """Show nothing but why there is nothing."""
        old, self.figure.marks = self.figure.marks, []
        for mark in old:
            mark.close()
        self.figure.title = sentence

    def close(self) -> None:
        """Close the figure and all widgets that it is made of."""
        figure = self.figure
        scales = [*self._scales, *self._whole, figure.scale_x, figure.scale_y]
        parts = [*figure.marks, *self._axes, *scales]
        for part in [*parts, figure.layout, figure]:
            part.close()
