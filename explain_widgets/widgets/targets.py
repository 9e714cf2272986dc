"""The classes that a target may be picked from."""

from __future__ import annotations

from typing import Any

from explain_widgets.live.errors import TargetError
from explain_widgets.live.model import LiveModel

# More classes than this are no menu; any index may still be set from Python.
_MOST_CLASSES = 1000


def classes_message(live: LiveModel, index: int) -> dict[str, Any]:
    """The names of the classes and the predicted one; none where the output has no class scores.

    ``probability``: the softmax of the scores; None where there is a single one.
    """
    try:
        scores = live.class_scores(index)
    except TargetError:
        return {"classes": [], "predicted": None}
    sample, count = live.samples[index], scores.numel()
    best = int(scores.argmax())
    names = [sample.class_name(number, count) for number in range(count)]
    probability = float(scores.double().softmax(0)[best]) if count > 1 else None
    return {
        "classes": names if 1 < count <= _MOST_CLASSES else [],
        "predicted": {"index": best, "name": names[best], "probability": probability},
    }
