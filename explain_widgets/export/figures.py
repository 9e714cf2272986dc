"""Matplotlib figures of what an explorer shows, for papers; pyplot's state is left alone."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from explain_widgets.pictures.quantise import Scale

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
    query_labels: Sequence[str] | None,
    key_labels: Sequence[str] | None,
    title: str,
    scale: Scale,
    colormap: str,
) -> Figure:
    """Attention weights, (queries, keys), with their tokens on the axes and a colour bar."""
    rows, columns = weights.shape
    side = float(np.clip(0.22 * max(rows, columns), 3.5, 9.0))
    figure = NotebookFigure(figsize=(side + 1.5, side * rows / max(columns, 1) + 1.0))
    axes = figure.add_subplot()
    if scale == "row":
        top = weights.max(axis=1, keepdims=True)
        weights = weights / np.where(top > 0, top, 1.0)
    norm = _norm(weights, scale)
    # Each cell in its own colour: nothing is smoothed, also where cells are smaller than pixels.
    image = axes.imshow(weights, cmap=colormap, norm=norm, aspect="equal", interpolation="nearest")
    _label(axes, query_labels, key_labels)
    axes.set_xlabel("key")
    axes.set_ylabel("query")
    axes.set_title(title, fontsize=10)
    label = "weight ÷ largest of its row" if scale == "row" else "weight"
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    return figure


def _norm(weights: npt.NDArray[np.floating], scale: Scale) -> Normalize:
    largest = float(np.nanmax(weights, initial=0.0))
    if scale == "log" and largest > 0:
        smallest = float(np.min(weights, initial=largest, where=weights > 0))
        low = max(smallest, largest / 1e4)
        return LogNorm(low, largest, clip=True) if low < largest else Normalize(0.0, largest)
    return Normalize(0.0, largest or 1.0)


def _label(
    axes: Axes, query_labels: Sequence[str] | None, key_labels: Sequence[str] | None
) -> None:
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
