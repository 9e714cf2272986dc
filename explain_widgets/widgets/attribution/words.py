"""What the attribution explorer says: methods, numbers, what was computed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.live.attribution.catalogue import METHODS
from explain_widgets.live.attribution.methods import Method, Option
from explain_widgets.live.losses import LOSSES
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import Sample
from explain_widgets.widgets.attribution.asked import Asked, Handling, takes_layer
from explain_widgets.widgets.attribution.forms import Scores
from explain_widgets.widgets.targets import CUSTOM

_LOSS_TITLES = {
    "cross_entropy": "loss: cross-entropy",
    "mse": "loss: mean squared error",
    "binary_cross_entropy": "loss: binary cross-entropy",
}
# What a menu of baselines offers; "sample" stands for the index of one. Python takes tensors, too.
_BASELINES = ("zero", "mean", "blur", "padding", "sample")
_WINDOWS = {
    "sliding_window_shapes": "side of the window, in pixels or positions",
    "strides": "its steps; empty: half the window",
}


def method_message(method: Method) -> dict[str, Any]:
    """A method as it is sent."""
    return {
        "name": method.name,
        "title": method.title,
        "definition": sentence_of(method.definition),
        "source": method.source,
        "takes_layer": takes_layer(method.name),
        "options": [one for option in method.options if (one := _option_message(option))],
        "reason": method.reason,
    }


def sentence_of(words: str) -> str:
    """Words as a sentence."""
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _option_message(option: Option) -> dict[str, Any] | None:
    """An option as it is sent; None: it is for Python alone (a tensor, a mask)."""
    kind, choices, definition = "number", [str(one) for one in option.choices], option.words
    if set(option.choices) == {True, False}:
        kind, choices = "flag", []
    elif option.choices:
        kind = "choice"
    elif option.name == "baselines":
        several = ["samples"] if "samples" in option.words else []
        kind, choices = "choice", [*([] if option.default else [""]), *_BASELINES, *several]
    elif option.name in _WINDOWS:
        kind, definition = "integer", _WINDOWS[option.name]
    elif isinstance(option.default, int):
        kind = "integer"
    elif option.low is None:
        return None
    low = 1 if option.name in _WINDOWS else option.low
    return {
        "name": option.name,
        "title": option.name,
        "kind": kind,
        "default": option.default if isinstance(option.default, (int, float, str)) else None,
        "low": low,
        "high": option.high,
        "choices": choices,
        "definition": definition,
    }


def losses_message(sample: Sample) -> list[tuple[str, str]]:
    """The losses that may be a target: those of a sample with a label."""
    if sample.label is None:
        return []
    return [(name, _LOSS_TITLES[name]) for name in LOSSES]


def target_words(target: Any, sample: Sample, predicted: int | None, count: int) -> str:
    """A target in words: "predicted class “cat”", "class “dog”", "loss: cross-entropy"."""
    if target is None:
        if predicted is None:
            return "the output"
        return f"predicted “{sample.class_name(predicted, count)}”"
    if isinstance(target, str) and target != CUSTOM:
        return _LOSS_TITLES.get(target, target)
    if callable(target) or target == CUSTOM:
        return "the given function"
    return f"“{sample.class_name(int(target), count)}”" if count else f"output {target}"


def title_of(asked: Asked, target: str, layer: str | None) -> str:
    """What a picture is of."""
    parts = [METHODS[asked.method].title, f"for {target}"]
    if layer is not None:
        parts.append(f"at {layer or '(model)'}")
    return " ".join(parts)


def unit_of(asked: Asked, how: Handling) -> str:
    """What the colours stand for."""
    sign = "" if how.sign == "all" else f", {how.sign}"
    return f"{METHODS[asked.method].title}{sign}"


def statistics_message(found: Attribution, scores: Scores, clipped: float) -> list[dict[str, str]]:
    """The numbers beside the picture, with what they mean."""
    finite = scores.values[scores.values.isfinite()]
    rows = [("Sum", number_text(found.total), "Of all values, in double precision.")]
    if found.expected_sum is not None:
        rows.append((
            "Should be",
            number_text(found.expected_sum),
            "The target for the input minus the target for the baseline: completeness.",
        ))  # fmt: skip
    if found.completeness_gap is not None:
        rows.append((
            "Completeness gap",
            _gap(found),
            "The sum minus what it should be, and that as a share of what it should be.",
        ))  # fmt: skip
    if finite.numel():
        rows += [
            ("Largest", number_text(float(finite.max())), "Of what is shown."),
            ("Smallest", number_text(float(finite.min())), "Of what is shown."),
        ]
    rows.append((
        "Clipped",
        f"{100 * clipped:.2g} %",
        "The share of the numbers beyond the end of the colours: they are drawn as strong as it.",
    ))  # fmt: skip
    missing = scores.values.numel() - finite.numel()
    if missing:
        rows.append(("Not finite", str(missing), "NaN and Inf, in a colour of their own."))
    return messages(rows)


def messages(rows: Iterable[tuple[str, str, str]]) -> list[dict[str, str]]:
    """Names, texts and definitions as they are sent."""
    return [{"name": name, "text": text, "definition": what} for name, text, what in rows]


def _gap(found: Attribution) -> str:
    assert found.completeness_gap is not None
    text = number_text(found.completeness_gap)
    if found.expected_sum:
        text += f" ({100 * abs(found.completeness_gap / found.expected_sum):.2g} %)"
    return text


def footer(live: LiveModel, asked: Asked, scores: Scores, limit: float) -> str:
    """The line that says what was computed."""
    settings = ", ".join(f"{name} {value}" for name, value in asked.options.items())
    height, width = scores.values.shape
    size = f"{width}" if height == 1 else f"{height} × {width}"
    parts = [
        asked.method,
        settings,
        f"{size} numbers",
        f"colours: uint8 of ±{limit:.3g}" if scores.form == "map" else "",
        scores.note,
        live.status,
    ]
    return " · ".join(part for part in parts if part)


def number_text(value: float) -> str:
    """A number as it is shown in lists."""
    return f"{value:.5g}".replace("-", "−") if math.isfinite(value) else str(value)
