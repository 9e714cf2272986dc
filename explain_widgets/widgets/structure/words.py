"""What the structure explorer says: the layer table, failures, shapes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from explain_widgets.live.modules import Shape
from explain_widgets.live.structure.summary import Summary, SummaryRow
from explain_widgets.live.structure.trace import OUTSIDE, Trace


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
