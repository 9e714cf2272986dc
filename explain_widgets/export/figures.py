"""Matplotlib figures of what an explorer shows, for papers; pyplot's state is left alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from explain_widgets.pictures.quantise import Scale

Labels: TypeAlias = Sequence[str] | None


# More labels than this on an axis cannot be read.
_MOST_LABELS = 64


class NotebookFigure(Figure):
    """A figure that a notebook shows by itself, also where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=90, bbox_inches="tight")
        return buffer.getvalue()


def attention_figure(
    weights: npt.NDArray[np.floating],
    query_labels: Labels,
    key_labels: Labels,
    title: str,
    scale: Scale,
    colormap: str,
    unit: str = "weight",
) -> Figure:
    """Attention weights, (queries, keys), with their tokens on the axes and a colour bar.

    ``unit``: what the numbers are called.
    """
    rows, columns = weights.shape
    side = float(np.clip(0.22 * max(rows, columns), 3.5, 9.0))
    figure = NotebookFigure(figsize=(side + 1.5, side * rows / max(columns, 1) + 1.0))
    weights = _scaled(weights, scale)
    norm = _norm(weights, scale)
    axes, labels = figure.add_subplot(), (query_labels, key_labels)
    image = _draw(axes, weights, norm, colormap, labels, title)
    figure.colorbar(image, ax=axes, label=_bar_label(unit, scale), shrink=0.8)
    return figure


def comparison_figure(
    weights: npt.NDArray[np.floating],
    labels: Sequence[tuple[Labels, Labels]],
    titles: Sequence[str],
    scale: Scale,
    colormaps: tuple[str, str],
    unit: str = "weight",
) -> Figure:
    """Two matrices of weights, (2, queries, keys), in one range of colours, and their difference.

    ``labels``: of the queries and keys of both. ``titles``: of the three. ``colormaps``: of weights
    and of differences.
    """
    rows, columns = weights.shape[1:]
    side = float(np.clip(0.2 * max(rows, columns), 3.5, 7.0))
    size = (3 * (side + 1.6), side * rows / max(columns, 1) + 1.2)
    figure = NotebookFigure(figsize=size, layout="constrained")
    axes = figure.subplots(1, 3)
    difference = _scaled(weights[0] - weights[1], scale)
    weights = _scaled(weights, scale)
    norm = _norm(weights, scale)
    for panel, values, both, title in zip(axes, weights, labels, titles, strict=False):
        image = _draw(panel, values, norm, colormaps[0], both, title)
        figure.colorbar(image, ax=panel, label=_bar_label(unit, scale), shrink=0.8)
    limit = float(np.max(np.abs(difference), initial=0.0, where=np.isfinite(difference))) or 1.0
    common = _common(labels[0][0], labels[1][0]), _common(labels[0][1], labels[1][1])
    image = _draw(axes[2], difference, Normalize(-limit, limit), colormaps[1], common, titles[2])
    figure.colorbar(image, ax=axes[2], label=_bar_label("A − B", scale), shrink=0.8)
    return figure


def _bar_label(unit: str, scale: Scale) -> str:
    return f"{unit} ÷ largest of its row" if scale == "row" else unit


def _scaled(values: npt.NDArray[np.floating], scale: Scale) -> npt.NDArray[np.floating]:
    """On the scale of rows: each row of (…, rows, columns) ÷ its largest."""
    if scale != "row":
        return values
    top = np.abs(values).max(axis=-1, keepdims=True)
    return values / np.where(top > 0, top, 1.0)


def _draw(
    axes: Axes,
    values: npt.NDArray[np.floating],
    norm: Normalize,
    colormap: str,
    labels: tuple[Labels, Labels],
    title: str,
) -> AxesImage:
    # Each cell in its own colour: nothing is smoothed, also where cells are smaller than pixels.
    image = axes.imshow(values, cmap=colormap, norm=norm, aspect="equal", interpolation="nearest")
    _label(axes, *labels)
    axes.set_xlabel("key")
    axes.set_ylabel("query")
    axes.set_title(title, fontsize=10)
    return image


def _common(first: Labels, second: Labels) -> Labels:
    """One label a position; where the texts differ, both."""
    if first is None or second is None or len(first) != len(second):
        return None
    return [a if a == b else f"{a} / {b}" for a, b in zip(first, second, strict=True)]


def _norm(weights: npt.NDArray[np.floating], scale: Scale) -> Normalize:
    largest = float(np.nanmax(weights, initial=0.0))
    if scale == "log" and largest > 0:
        smallest = float(np.min(weights, initial=largest, where=weights > 0))
        low = max(smallest, largest / 1e4)
        return LogNorm(low, largest, clip=True) if low < largest else Normalize(0.0, largest)
    return Normalize(0.0, largest or 1.0)


def _label(axes: Axes, query_labels: Labels, key_labels: Labels) -> None:
    if query_labels is not None and len(query_labels) <= _MOST_LABELS:
        axes.set_yticks(range(len(query_labels)), [plain(label) for label in query_labels])
    if key_labels is not None and len(key_labels) <= _MOST_LABELS:
        labels = [plain(label) for label in key_labels]
        axes.set_xticks(range(len(key_labels)), labels, rotation=90)
    axes.tick_params(labelsize=7, length=0)


def plain(label: str) -> str:
    """Text that matplotlib writes as it is."""
    # A dollar sign would start mathematics.
    return label.replace("$", r"\$")
