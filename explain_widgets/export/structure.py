"""Matplotlib figures of the structure of a model: its layer table, the numbers of a module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from explain_widgets.export.figures import NotebookFigure, plain
from explain_widgets.live.structure.summary import Summary, SummaryRow, quantity

_MOST_ROWS = 40
_BAR, _NEGATIVE = "#4c72b0", "#c44e52"


def table_figure(summary: Summary, title: str) -> Figure:
    """The first rows of the layer table, with bars of parameters, FLOPs and time.

    Parameters
    ----------
    summary
        The table.
    title
        Above it.
    """
    rows = summary.rows[:_MOST_ROWS]
    figure = NotebookFigure(figsize=(9.5, 0.2 * len(rows) + 1.1), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    _bars(axes[0], [row.parameters for row in rows], "parameters")
    _bars(axes[1], [row.flops for row in rows], "FLOPs")
    _bars(axes[2], [1e3 * row.seconds for row in rows], "ms")
    axes[0].set_yticks(np.arange(len(rows)), [_label(row) for row in rows], fontsize=7, ha="left")
    axes[0].tick_params(axis="y", length=0, pad=4 + 3.9 * max(len(_label(row)) for row in rows))
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    left = len(summary.rows) - len(rows)
    said = [title] if left <= 0 else [title, f"the first {len(rows)} of {len(summary.rows):,} rows"]
    figure.suptitle(plain(" · ".join(said)), fontsize=9)
    return figure


def _bars(axes: Axes, values: Sequence[float], what: str) -> None:
    axes.barh(np.arange(len(values)), values, color=_BAR)
    most = max(values, default=0) or 1
    for place, value in enumerate(values):
        if value:
            milliseconds = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            text = milliseconds if what == "ms" else quantity(value)
            axes.text(value + 0.02 * most, place, text, va="center", fontsize=6)
    axes.set_xlim(0, 1.25 * most)
    axes.set_title(what, fontsize=8)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _label(row: SummaryRow) -> str:
    """Its name behind as many spaces as it is deep, and its class."""
    name = row.name.rpartition(".")[2] or "(model)"
    return plain(f"{'   ' * row.depth}{name}  {row.type}")


@dataclass(frozen=True, eq=False)
class Bars:
    """A histogram as it is drawn.

    Attributes
    ----------
    title
        Above it.
    edges, counts
        (bins + 1,) and (bins,).
    note
        Below it.
    """

    title: str
    edges: npt.NDArray[np.floating]
    counts: npt.NDArray[np.integer]
    note: str = ""


def values_figure(histograms: Sequence[Bars], title: str) -> Figure:
    """Histograms of the tensors of a module, side by side."""
    columns = max(1, min(3, len(histograms)))
    rows = max(1, -(-len(histograms) // columns))
    figure = NotebookFigure(figsize=(3.6 * columns, 2.4 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(histograms) :]:
        axes.set_axis_off()
    for axes, bars in zip(grid.flat, histograms, strict=False):
        middles = (bars.edges[:-1] + bars.edges[1:]) / 2
        colours = [_NEGATIVE if middle < 0 else _BAR for middle in middles]
        axes.bar(middles, bars.counts, np.diff(bars.edges), color=colours)
        axes.set_title(plain(bars.title), fontsize=8)
        axes.tick_params(labelsize=6)
        axes.set_xlabel(plain(bars.note), fontsize=6)
    figure.suptitle(plain(title), fontsize=9)
    return figure
