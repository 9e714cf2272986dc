"""The graph of a model as a matplotlib figure: boxes within boxes, laid out from the inside out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from explain_widgets.export.figures import NotebookFigure, plain
from explain_widgets.live.structure.graph import Box, Edge, View
from explain_widgets.live.structure.trace import OUTSIDE, Trace

# In inches, before the whole is made to fit.
_HEIGHT, _GAP, _BESIDE, _PADDING, _TITLE = 0.3, 0.34, 0.2, 0.14, 0.22
_LETTER, _FONT = 0.068, 7.0
_MOST_WIDE, _MOST_HIGH = 12.0, 14.0

_FILLS = {"module": "#dbe6f4", "operation": "#f4f4f0", "bundle": "#ece7f2"}
_PORT, _OPEN, _FAILED = "#e6f0e4", "#ffffff", "#f6c9c4"


@dataclass
class _Placed:
    """A box and where it lies: its left upper corner within the box around it, and its size."""

    box: Box
    label: str
    width: float = 0.0
    height: float = _HEIGHT
    x: float = 0.0
    y: float = 0.0
    parts: list[str] = field(default_factory=list)


def graph_figure(view: View, trace: Trace, title: str) -> Figure:
    """The boxes of a view, open ones around their parts, with the shapes of what passes.

    Parameters
    ----------
    view
        Of the graph of the trace.
    trace
        Of a forward, or of a backward; where it failed the box is marked.
    title
        Above all.
    """
    placed = {box.id: _Placed(box, plain(_label(box, trace))) for box in view.boxes}
    top = _sorted_in(placed, view.boxes)
    edges = _between_siblings(placed, view.edges)
    for box in reversed(view.boxes):  # what is within before what is around
        one = placed[box.id]
        one.width = _LETTER * len(one.label) + 0.24
        if one.parts:
            width, height = _place([placed[part] for part in one.parts], edges, _TITLE)
            one.width, one.height = max(one.width, width), height
    width, height = _place([placed[part] for part in top], edges, 0.0)
    corners = _corners(placed, view.boxes)
    scale = min(1.0, _MOST_WIDE / max(width, 1e-9), _MOST_HIGH / max(height, 1e-9))
    figure = NotebookFigure(figsize=(max(3.0, scale * width), scale * height + 0.35))
    axes = figure.add_axes((0.0, 0.0, 1.0, scale * height / (scale * height + 0.35)))
    axes.set_axis_off()
    spare = max(0.0, 3.0 / scale - width) / 2
    axes.set_xlim(-spare, width + spare)
    axes.set_ylim(height, 0)
    failed = _failed(view, trace)
    for box in view.boxes:
        _draw(axes, placed[box.id], corners[box.id], scale, box.id in failed)
    for edge in view.edges:
        _connect(axes, edge, placed, corners, scale)
    figure.suptitle(plain(title), fontsize=9, y=0.995, va="top")
    return figure


def _label(box: Box, trace: Trace) -> str:
    times = f" × {box.repeats}" if box.repeats > 1 else ""
    if box.kind != "module":
        return f"{box.label}{times}"
    kind = trace.calls[box.call].type
    return f"{box.label}  {kind}{times}" if box.label else f"{kind}{times}"


def _sorted_in(placed: dict[str, _Placed], boxes: Sequence[Box]) -> list[str]:
    """Give every box its parts; returns those that are in none, the input first."""
    top: list[str] = []
    for box in boxes:
        (top if box.parent is None else placed[box.parent].parts).append(box.id)
    return sorted(top, key=lambda name: {"input": 0, "output": 2}.get(placed[name].box.kind, 1))


def _between_siblings(placed: dict[str, _Placed], edges: Iterable[Edge]) -> set[tuple[str, str]]:
    """For each edge, the two boxes in the same box around that hold its ends."""

    def around(name: str) -> list[str]:
        found = [name]
        while (parent := placed[found[-1]].box.parent) is not None:
            found.append(parent)
        return found[::-1]

    found = set()
    for edge in edges:
        for before, after in zip(around(edge.source), around(edge.target), strict=False):
            if before != after:
                found.add((before, after))
                break
    return found


def _place(
    parts: Sequence[_Placed], edges: set[tuple[str, str]], above: float
) -> tuple[float, float]:
    """Place boxes in rows, each below those that it takes from; returns the size of it all."""
    names = [one.box.id for one in parts]
    ranks: dict[str, int] = {}
    for place, name in enumerate(names):
        before = [ranks[other] for other in names[:place] if (other, name) in edges]
        ranks[name] = max(before, default=-1) + 1
    rows = [
        [one for one in parts if ranks[one.box.id] == n] for n in range(max(ranks.values()) + 1)
    ]
    widths = [sum(one.width for one in row) + _BESIDE * (len(row) - 1) for row in rows]
    width, y = max(widths) + 2 * _PADDING, above + _PADDING
    for row, taken in zip(rows, widths, strict=True):
        x = (width - taken) / 2
        for one in row:
            one.x, one.y = x, y
            x += one.width + _BESIDE
        y += max(one.height for one in row) + _GAP
    return width, y - _GAP + _PADDING


def _corners(placed: dict[str, _Placed], boxes: Sequence[Box]) -> dict[str, tuple[float, float]]:
    """Left upper corners on the page; boxes around others come first."""
    found: dict[str, tuple[float, float]] = {}
    for box in boxes:
        x, y = (0.0, 0.0) if box.parent is None else found[box.parent]
        one = placed[box.id]
        if box.parent is not None:
            # A box that is wider for its title has its parts in the middle.
            inner = max(placed[p].x + placed[p].width for p in placed[box.parent].parts) + _PADDING
            x += max(0.0, placed[box.parent].width - inner) / 2
        found[box.id] = (x + one.x, y + one.y)
    return found


def _failed(view: View, trace: Trace) -> set[str]:
    """The boxes around where a forward broke off."""
    if trace.failure is None or trace.failure.call == OUTSIDE:
        return set()
    calls = set()
    number = trace.failure.call
    while number != OUTSIDE:
        calls.add(number)
        number = trace.calls[number].parent
    return {box.id for box in view.boxes if box.kind == "module" and box.call in calls}


def _draw(
    axes: Axes, one: _Placed, corner: tuple[float, float], scale: float, failed: bool
) -> None:
    x, y = corner
    is_port = one.box.kind in ("input", "output")
    fill = _PORT if is_port else _FILLS.get(one.box.kind, _OPEN)
    if one.parts:
        fill = _OPEN
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            one.width,
            one.height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=_FAILED if failed and not one.parts else fill,
            edgecolor="#c0392b" if failed else "#7a8699",
            linewidth=(1.4 if failed else 0.8) * max(scale, 0.5),
            zorder=1,
        )
    )
    axes.text(
        x + (0.1 if one.parts else one.width / 2),
        y + (0.13 if one.parts else one.height / 2),
        one.label,
        fontsize=_FONT * scale,
        ha="left" if one.parts else "center",
        va="center",
        color="black",
        zorder=3,
    )


def _connect(
    axes: Axes,
    edge: Edge,
    placed: dict[str, _Placed],
    corners: dict[str, tuple[float, float]],
    scale: float,
) -> None:
    (x0, y0), (x1, y1) = corners[edge.source], corners[edge.target]
    before, after = placed[edge.source], placed[edge.target]
    start = (x0 + before.width / 2, y0 + before.height)
    end = (x1 + after.width / 2, y1)
    between = _between(edge, placed, corners)
    points = [start, end]
    if between:  # what skips others goes around them
        left = min(*between, x0, x1) - 0.09
        middle, above = y0 + before.height / 2, end[1] - 0.1
        points = [(x0, middle), (left, middle), (left, above), (end[0], above), end]
    codes = [Path.MOVETO] + [Path.LINETO] * (len(points) - 1)
    axes.add_patch(
        FancyArrowPatch(
            path=Path(points, codes),
            arrowstyle="-|>",
            mutation_scale=6 * scale,
            linewidth=0.8 * max(scale, 0.5),
            color="#55606e",
            zorder=2,
        )
    )
    if edge.shapes and not between and scale > 0.35:
        more = f" +{len(edge.shapes) - 1}" if len(edge.shapes) > 1 else ""
        axes.text(
            end[0] + (start[0] - end[0]) * 0.18 / max(end[1] - start[1], 0.18) + 0.05,
            end[1] - 0.18,
            plain(edge.shapes[0] + more),
            fontsize=0.75 * _FONT * scale,
            color="#55606e",
            va="center",
            zorder=3,
        )


def _between(
    edge: Edge, placed: dict[str, _Placed], corners: dict[str, tuple[float, float]]
) -> list[float]:
    """Left sides of the boxes that a straight line between two others would cross."""
    before, after = placed[edge.source], placed[edge.target]
    (x0, y0), (x1, y1) = corners[edge.source], corners[edge.target]
    start, end = (x0 + before.width / 2, y0 + before.height), (x1 + after.width / 2, y1)
    if end[1] <= start[1]:
        return []
    found = []
    for name, other in placed.items():
        left, top = corners[name]
        bottom = top + other.height
        if top < start[1] + 1e-6 or bottom > end[1] - 1e-6:
            continue  # not all of it lies between, as of boxes around either
        middle = ((top + bottom) / 2 - start[1]) / (end[1] - start[1])
        x = start[0] + (end[0] - start[0]) * middle
        if left < x < left + other.width:
            found.append(left)
    return found
