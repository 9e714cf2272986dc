"""A histogram as a bqplot figure."""

from __future__ import annotations

from dataclasses import dataclass

import bqplot
import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

# Below and above zero, as in the explorers; both are seen on white and on black.
_NEGATIVE, _POSITIVE, _QUIET = "#67a9cf", "#ef8a62", "#8c959f"


@dataclass(frozen=True)
class HistogramShown:
    """What a `HistogramChart` shows.

    Attributes
    ----------
    edges
        (bins + 1,): the borders of the bins, rising, all as wide.
    counts
        (bins,): how many are in each.
    title
        Above it.
    value, unit
        What lies along the axis, and what is counted.
    """

    edges: npt.NDArray[np.floating]
    counts: npt.NDArray[np.integer]
    title: str
    value: str
    unit: str


class HistogramChart:
    """Bars of counts, negative and positive values told apart, with a line at zero."""

    def __init__(self) -> None:
        along, up = bqplot.LinearScale(), bqplot.LinearScale(min=0.0)
        # The line is as high as the picture, whatever is counted.
        whole = bqplot.LinearScale(min=0.0, max=1.0)
        self._along = along
        # Stacked, so that each of the two sides of zero has its colour.
        self._bars = bqplot.Bars(
            x=[],
            y=[[], []],
            scales={"x": along, "y": up},
            colors=[_NEGATIVE, _POSITIVE],
            type="stacked",
            padding=0.06,
        )
        self._zero = bqplot.Lines(
            x=[0.0, 0.0],
            y=[0.0, 1.0],
            scales={"x": along, "y": whole},
            colors=[_QUIET],
            line_style="dashed",
            stroke_width=1.5,
            visible=False,
        )
        self._across = bqplot.Axis(
            scale=along, grid_lines="none", tick_format="~g", label_offset="34px"
        )
        self._upward = bqplot.Axis(
            scale=up, grid_lines="none", tick_format=",~g", label_offset="58px"
        )
        self._upward.orientation = "vertical"
        self._up = up
        self.figure = bqplot.Figure(
            marks=[self._bars, self._zero],
            axes=[self._across, self._upward],
            fig_margin={"top": 40, "bottom": 54, "left": 78, "right": 24},
            padding_x=0.0,
            padding_y=0.0,
            title_style={"font-size": "14px"},
            animation_duration=0,
        )
        # Its titles are orange in dark themes but for a rule of ours.
        self.figure.add_class("xw-chart")
        self.figure.layout.width, self.figure.layout.height = "420px", "300px"
        self._scales = [along, up, whole]

    def draw(self, shown: HistogramShown) -> None:
        """Show a histogram."""
        low, high = float(shown.edges[0]), float(shown.edges[-1])
        middles = (shown.edges[:-1] + shown.edges[1:]) / 2
        # Before the bars: bqplot draws them as wide as they are on the scale that there is.
        with self._along.hold_sync():
            self._along.min, self._along.max = low, high
        most = float(max(1, shown.counts.max()))
        self._up.max = 1.04 * most
        self._across.tick_values = _ticks(low, high)
        self._upward.tick_values = _ticks(0.0, most, integer=True)
        with self._bars.hold_sync():
            self._bars.x = middles
            self._bars.y = [np.where(side, shown.counts, 0) for side in (middles < 0, middles >= 0)]
        self._zero.visible = low < 0 < high
        self._across.label = shown.value
        self._upward.label = f"{shown.unit} per bin"
        self.figure.title = shown.title

    def say(self, sentence: str) -> None:
        """Show nothing but why there is nothing."""
        with self._bars.hold_sync():
            self._bars.x, self._bars.y = [], [[], []]
        self._zero.visible = False
        self.figure.title = sentence

    def close(self) -> None:
        """Close the figure and all widgets that it is made of."""
        figure = self.figure
        parts = [*figure.marks, *figure.axes, *self._scales, figure.scale_x, figure.scale_y]
        for part in [*parts, figure.layout, figure]:
            part.close()


def _ticks(low: float, high: float, integer: bool = False) -> npt.NDArray[np.float64]:
    """Some round numbers from ``low`` to ``high``: bqplot's own are not round on every axis."""
    ticks = np.asarray(MaxNLocator(5, integer=integer).tick_values(low, high))
    return ticks[(ticks >= low) & (ticks <= high)]
