"""What the structure explorer says: the layer table, failures, the numbers of a module."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from explain_widgets.analysis.statistics import TensorStatistics
from explain_widgets.live.modules import Shape
from explain_widgets.live.structure.summary import Summary, SummaryRow
from explain_widgets.live.structure.trace import OUTSIDE, Trace
from explain_widgets.widgets.structure.values import (
    Initialised,
    Part,
    Quantity,
    statistics_numbers,
)


def shapes_words(shapes: Sequence[Shape]) -> str:
    """Shapes in words.

    Examples
    --------
    >>> shapes_words([(1, 3, 224, 224), ()])
    '1 × 3 × 224 × 224; number'
    """
    return "; ".join(" × ".join(map(str, shape)) or "number" for shape in shapes)


def rows_message(summary: Summary) -> dict[str, list[Any]]:
    """The layer table by columns, as it is sent."""
    found: dict[str, list[Any]] = {}
    for field in fields(SummaryRow):
        column = [getattr(row, field.name) for row in summary.rows]
        if field.name in ("input_shapes", "output_shapes"):
            column = [shapes_words(shapes) for shapes in column]
        elif field.name in ("share", "seconds"):
            column = [float(f"{value:.6g}") for value in column]
        found[field.name] = column
    return found


def totals_message(summary: Summary) -> dict[str, float]:
    """What the whole model has: its line below the table."""
    trace = summary.trace
    stored = (*trace.parameters, *trace.buffers)
    made = {number for one in trace.operations for number in one.outputs}
    return {
        "parameters": summary.parameters,
        "trainable": summary.trainable,
        "buffers": sum(one.numel for one in trace.buffers),
        "flops": trace.flops,
        "seconds": trace.seconds,
        "bytes": sum(one.bytes for one in stored),
        "output_bytes": sum(trace.tensors[number].bytes for number in made),
    }


def failure_message(trace: Trace) -> dict[str, Any] | None:
    """Where and why a forward broke off; None: it did not."""
    failure = trace.failure
    if failure is None:
        return None
    return {
        "type": failure.type,
        "message": failure.message,
        "call": trace.calls[failure.call].name if failure.call != OUTSIDE else "",
        "operation": failure.operation,
        "shapes": [shapes_words([shape]) for shape in failure.shapes],
    }


def table_csv(summary: Summary) -> str:
    """The layer table as comma-separated values, with a line of names on top."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(SummaryRow)]
    writer.writerow(names)
    for row in summary.rows:
        cells = [getattr(row, name) for name in names]
        writer.writerow([shapes_words(c) if isinstance(c, tuple) else c for c in cells])
    return text.getvalue()


# --- the numbers of a module --------------------------------------------------------------------

SPECTRUM_WORDS = (
    "Spectral norm: the largest singular value σ, by how much the weight lengthens a vector at "
    "most. Effective rank: exp(−Σ p log p) of p = σ / Σ σ (Roy and Vetterli 2007)."
)


def module_words(row: SummaryRow) -> str:
    """A module in a line: "Linear · 1 × 8 → 1 × 3 · 27 parameters · called 2 times"."""
    parts = [row.type]
    if row.input_shapes or row.output_shapes:
        parts.append(f"{shapes_words(row.input_shapes)} → {shapes_words(row.output_shapes)}")
    if row.parameters:
        parts.append(f"{row.parameters:,} parameters")
    if row.calls != 1:
        parts.append(f"called {row.calls} times" if row.calls else "never called itself")
    return " · ".join(parts)


def quantity_message(quantity: Quantity, number: int) -> dict[str, Any]:
    """A tensor of a module as it is sent; ``number``: that of its histogram."""
    return {
        "name": quantity.name,
        "kind": quantity.kind,
        "shape": shapes_words([quantity.shape]),
        **finite_statistics(quantity.statistics),
        "histogram": number,
        "note": quantity.histogram.note,
    }


def part_message(part: Part) -> dict[str, Any]:
    """A tensor below a container as it is sent."""
    return {
        "name": part.name,
        "shape": shapes_words([part.shape]),
        **finite_statistics(part.statistics),
    }


def finite_statistics(found: TensorStatistics) -> dict[str, float | None]:
    """Statistics as they are sent: None where no number is finite."""
    return {
        name: value if math.isfinite(value) else None
        for name, value in statistics_numbers(found).items()
    }


def initialised_message(one: Initialised) -> dict[str, Any]:
    """How a weight looks, as it is sent."""
    expected = one.expected
    return {
        "parameter": one.parameter,
        "looks_like": str(one.looks),
        "found": one.looks.deviation if math.isfinite(one.looks.deviation) else None,
        "expected": None if expected is None else expected.deviation,
        "fan_in": one.looks.fan_in,
        "fan_out": one.looks.fan_out,
        "sentence": one.sentence,
        "is_far": one.is_far,
    }


def dead_words(dead: int, channels: int, samples: int) -> str:
    """How many units are dead, in words."""
    over = "the sample" if samples == 1 else f"all {samples:,} samples"
    if not dead:
        return f"none of {channels:,} units is zero everywhere for {over}"
    verb = "is" if dead == 1 else "are"
    return f"{dead:,} of {channels:,} units {verb} zero everywhere for {over}"
