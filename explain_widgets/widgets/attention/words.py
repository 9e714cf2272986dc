"""What the attention explorer says: names of heads, tokens, reductions, statistics."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.head_statistics import HeadStatistics
from explain_widgets.analysis.score_steps import Span
from explain_widgets.live.attention import AttentionLayer, ImageGrid
from explain_widgets.live.samples import Sample, Token
from explain_widgets.widgets.attention.columns import columns_in


def head_name(head: Head, source: str = "") -> str:
    """A head as it is called in titles; of a rollout or flow it is a number of layers."""
    if source in ("rollout", "flow"):
        return f"the {head} over depths" if isinstance(head, str) else f"layers 0 to {head}"
    return f"the {head} over heads" if isinstance(head, str) else f"head {head}"


def layer_title(layer: AttentionLayer | Attention) -> str:
    """A layer as it is called: the model itself has no path."""
    return layer.name or "(model)"


def place_title(layer: AttentionLayer | Attention, head: Head, sample: Sample) -> str:
    """What a figure shows: layer, head and sample."""
    return f"{layer_title(layer)} · {head_name(head, layer.source)} · {sample.title}"


def reduction(rows: Span, keys: Span, size: tuple[int, int]) -> str:
    """How many weights a pixel stands for, in words; empty where each has its own."""
    height, width = (
        (span[1] - span[0]) / pixels for span, pixels in zip((rows, keys), size, strict=True)
    )
    if height == width == 1:
        return ""
    return f"mean of {height:.3g} × {width:.3g} weights per pixel"


def texts(tokens: list[Token] | None) -> list[str] | None:
    """The tokens as people read them."""
    return None if tokens is None else [token.text for token in tokens]


def grid_message(grid: ImageGrid | None) -> dict[str, int] | None:
    """Where the patches of an image lie, as it is sent."""
    return None if grid is None else asdict(grid)


def sampled(every: int) -> str:
    """Of how many queries a preview is made, in words; empty where it is none."""
    return "" if every == 1 else f"1 of {every} queries"


def statistics_message(found: HeadStatistics | None, units: str) -> list[dict[str, Any]]:
    """The statistics of a head as they are sent: with their definitions, and as shown.

    None: they are not there yet.
    """
    rows = []
    for column in columns_in(units):
        value = column.value(found)
        is_absent = value is None and found is not None
        rows.append(
            {
                "key": column.key,
                "name": column.name,
                "value": value if value is not None and math.isfinite(value) else None,
                "unit": column.unit,
                "definition": f"{column.definition} {column.absent if is_absent else ''}".rstrip(),
                "text": column.text(found),
            }
        )
    return rows
