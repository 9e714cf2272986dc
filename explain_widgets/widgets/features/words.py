"""What the feature explorer says: layers, channels, where they lie, how pictures were made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from explain_widgets.analysis.alignment import Alignment, AxisAlignment
from explain_widgets.analysis.channels import Position, channel_statistics
from explain_widgets.analysis.feature_maps import Layout
from explain_widgets.live.feature_reader import FeatureLayer
from explain_widgets.live.model import LiveModel
from explain_widgets.widgets.features.maps import NAMES, MapsOf


def layer_message(layer: FeatureLayer) -> dict[str, Any]:
    """A layer as it is sent."""
    return {
        "name": layer.name,
        "type": layer.type,
        "words": layer.words,
        "size": size_of(layer),
        "channels": layer.channels,
        "height": layer.height,
        "width": layer.width,
        "entries": list(layer.entries),
        "entry": layer.entry,
        "layouts": {
            entry: [
                {"name": name, "words": one.words, "channels": one.channels}
                for name, one in _told_apart(layouts).items()
            ]
            for entry, layouts in layer.layouts.items()
        },
    }


def _told_apart(layouts: Mapping[str, Layout]) -> dict[str, Layout]:
    """Without those that differ from one before in words alone: they are shown alike."""
    found: dict[tuple[Any, ...], str] = {}
    for name, one in layouts.items():
        shown = tuple((axis.size, axis.of, axis.place) for axis in one.axes if axis.size > 1)
        found.setdefault((shown, one.grid), name)
    return {name: layouts[name] for name in found.values()}


def size_of(layer: FeatureLayer) -> str:
    """Channels and the size of their maps in short: "512 × 14 × 14"."""
    sizes = [layer.channels, *(n for n in (layer.height, layer.width) if n > 1)]
    return " × ".join(map(str, sizes))


def footer(
    live: LiveModel, of: MapsOf, reduced: str, words: str, slices: int, ordered: str = ""
) -> str:
    """The line that says what was computed; ``ordered``: over what channels are."""
    count = len(of.muted)
    parts = [
        f"{NAMES[of.show]}s stay on {live.device}" if of.show == "activation" else NAMES[of.show],
        words,
        f"{'input' if of.show == 'filters' else 'slice'} {of.slice} of {slices}"
        if slices > 1
        else "",
        reduced or "exact",
        ordered,
        f"{count} channel{'s' * (count > 1)} muted" if count else "",
        live.status,
    ]
    return " · ".join(part for part in parts if part)


def reduction(size: Sequence[int], drawn: Sequence[int]) -> str:
    """How many numbers a pixel stands for, in words; empty where each has its own."""
    per = [whole / pixels for whole, pixels in zip(size, drawn, strict=True)]
    if per == [1.0, 1.0]:
        return ""
    return f"strongest of {per[0]:.3g} × {per[1]:.3g} numbers per pixel"


def statistics_message(own: Tensor, place: int, count: int) -> list[dict[str, Any]]:
    """The statistics of one channel as they are shown, with what they mean.

    ``place``: its rank by the mean among ``count`` channels.
    """
    found, of = channel_statistics(own[None]), float

    rows = [
        ("Positive", f"{100 * of(found.positive):.0f} %", "Share of its numbers above 0."),
        ("Zero", f"{100 * of(found.zeros):.0f} %", "Share of its numbers that are exactly 0."),
        ("Min", _number(of(found.minimum)), "Its smallest number."),
        ("Max", _number(of(found.maximum)), "Its largest number."),
        ("Mean", _number(of(found.mean)), "The mean of its numbers."),
        (
            "Rank by mean",
            f"{place} of {count}",
            "Among the channels of this layer, the largest mean first.",
        ),
    ]
    nonfinite = int(found.nonfinite)
    if nonfinite:
        rows.append(("Not finite", str(nonfinite), "NaN and Inf, in a colour of their own."))
    return [{"name": name, "text": text, "definition": what} for name, text, what in rows]


def position_message(position: Position, alignment: Alignment | None) -> dict[str, Any]:
    """A strong position, with the part of the input that it is computed from, where that is one."""
    box = None if alignment is None else list(alignment.box(position.y, position.x))
    return {"value": position.value, "y": position.y, "x": position.x, "box": box}


def overlay_message(alignment: Alignment, size: Sequence[int]) -> dict[str, float] | None:
    """Where a whole map lies on the input, as shares of its sides; None: it does not."""
    if alignment.height is None or alignment.width is None:
        return None
    top, height = _shares(alignment.height, size[0])
    left, width = _shares(alignment.width, size[1])
    return {"top": top, "height": height, "left": left, "width": width}


def input_picture(picture: Tensor) -> npt.NDArray[np.uint8]:
    """An input in values of 0…1, (1, channels, …), as (height, width, 3) uint8.

    One that is no picture in grey or colours lies with its last axis along the width.
    """
    values = picture.detach()[0].float().cpu().numpy()
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        rows = np.atleast_2d(values)
        values = rows.reshape(1, -1, rows.shape[-1])
    pixels = np.rint(np.clip(np.moveaxis(values, 0, 2), 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _shares(axis: AxisAlignment, count: int) -> tuple[float, float]:
    """Where ``count`` positions begin along an axis, and how far they reach."""
    # Pixel 0 has its middle at 0: the input begins half a pixel before.
    start = axis.start - axis.step / 2 + 0.5
    return start / axis.extent, count * axis.step / axis.extent


def _number(value: float) -> str:
    text = f"{value:.4g}" if math.isfinite(value) else str(value)
    return text.replace("-", "−")
