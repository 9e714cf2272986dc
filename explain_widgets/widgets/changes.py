"""How an output has changed, as it is sent."""

from __future__ import annotations

import math
from typing import Any

from explain_widgets.live.outputs import OutputChange
from explain_widgets.live.samples import Sample


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
