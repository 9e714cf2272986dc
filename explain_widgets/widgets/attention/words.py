"""What the attention explorer says: names of heads, tokens, reductions, statistics."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.head_statistics import HeadStatistics
from explain_widgets.analysis.score_steps import Span
from explain_widgets.live.attention import AttentionLayer, ImageGrid
from explain_widgets.live.lookup import GENERATED
from explain_widgets.live.outputs import OutputChange
from explain_widgets.live.samples import Sample, Token


def head_name(head: Head) -> str:
    """A head as it is called in titles."""
    return f"the {head} over heads" if isinstance(head, str) else f"head {head}"


def layer_title(layer: AttentionLayer | Attention) -> str:
    """A layer as it is called: the model itself has no path."""
    return layer.name or "(model)"


def reduction(rows: Span, keys: Span, size: tuple[int, int]) -> str:
    """How many weights a pixel stands for, in words; empty where each has its own."""
    height, width = (
        (span[1] - span[0]) / pixels for span, pixels in zip((rows, keys), size, strict=True)
    )
    if height == width == 1:
        return ""
    return f"mean of {height:.3g} × {width:.3g} weights per pixel"


def token_names(
    layer: AttentionLayer | Attention, lists: dict[str, list[Token]]
) -> tuple[str | None, str | None]:
    """Which list of tokens labels the queries and the keys: one of that length.

    Where several are as long: between a decoder and its encoder the queries are the decoder's
    tokens and the keys the encoder's; within a decoder both are the decoder's.
    """

    def of_length(count: int, decoder: bool) -> str | None:
        fitting = [name for name, tokens in lists.items() if len(tokens) == count]
        # What was generated is what the decoder reads.
        in_decoder = {name for name in fitting if "decoder" in name or name == GENERATED}
        return min(fitting, key=lambda name: (name in in_decoder) != decoder, default=None)

    is_cross = layer.kind == "cross"
    in_decoder = is_cross or "decoder" in layer.name
    return of_length(layer.queries, in_decoder), of_length(layer.keys, in_decoder and not is_cross)


def texts(tokens: list[Token] | None) -> list[str] | None:
    """The tokens as people read them."""
    return None if tokens is None else [token.text for token in tokens]


def change_message(change: OutputChange, sample: Sample) -> dict[str, Any]:
    """How an output has changed, as it is sent: numbers that are no numbers as None."""

    def finite(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    return {
        "cosine": finite(change.cosine),
        "difference": finite(change.difference),
        "divergence": finite(change.divergence),
        "position": change.position,
        "classes": [sample.class_name(index, change.count) for index in change.classes],
        "before": list(change.before),
        "after": list(change.after),
    }


def grid_message(grid: ImageGrid | None) -> dict[str, int] | None:
    """Where the patches of an image lie, as it is sent."""
    return None if grid is None else asdict(grid)


def token_message(token: Token) -> tuple[str, str, int, int, int]:
    """A token as it is sent: text, raw, joined, special, generated."""
    flags = token.joined, token.special, token.generated
    return token.text, token.raw, *map(int, flags)  # type: ignore[return-value]


_DEFINITIONS = {
    "Entropy": "Mean over queries of −Σ A log₂ A: 0 bits looks at one key, log₂ n bits at n keys "
    "alike.",
    "Mean distance": "Mean over queries of Σ A · |query − key|, in tokens.",
    "Mass on first": "Mean weight that the queries put on the first token.",
    "Mass on last": "Mean weight that the queries put on the last token.",
    "Previous-token score": "Mean weight of a token on the one before it.",
    "Same-token score": "Mean weight of a token on itself.",
    "Next-token score": "Mean weight of a token on the one after it.",
}


def sampled(every: int) -> str:
    """Of how many queries a preview is made, in words; empty where it is none."""
    return "" if every == 1 else f"1 of {every} queries"


def statistics_message(found: HeadStatistics | None, head: Head) -> list[dict[str, Any]]:
    """The statistics of a head as they are sent: with their definitions, and as shown.

    None: they are not there yet.
    """
    absent = "…" if found is None else "n/a"
    why = "Not of the maximum." if head == "max" else "Not of cross-attention."
    values = [
        ("Entropy", "entropy", "bits", "{:.2f} bits"),
        ("Mean distance", "distance", "tokens", "{:.1f} tokens"),
        ("Mass on first", "first", "", "{:.2f}"),
        ("Mass on last", "last", "", "{:.2f}"),
        ("Previous-token score", "previous", "", "{:.2f}"),
        ("Same-token score", "same", "", "{:.2f}"),
        ("Next-token score", "following", "", "{:.2f}"),
    ]
    rows = [(name, getattr(found, field, None), unit, form) for name, field, unit, form in values]
    return [
        {
            "name": name,
            "value": value if value is not None and math.isfinite(value) else None,
            "unit": unit,
            "definition": _DEFINITIONS[name]
            + (f" {why}" if value is None and found is not None else ""),
            "text": absent if value is None else form.format(value),
        }
        for name, value, unit, form in rows
    ]
