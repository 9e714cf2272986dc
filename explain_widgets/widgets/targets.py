"""Targets as traits, and the classes that one may be picked from."""

from __future__ import annotations

import operator
from typing import Any

import traitlets

from explain_widgets.live.errors import TargetError
from explain_widgets.live.model import LiveModel

# More classes than this are no menu; any index may still be set from Python.
_MOST_CLASSES = 1000


CUSTOM = "custom"
"""What stands for a target that is a function, which no message can carry."""


class TargetTrait(traitlets.Any):
    """A class index, a callable, None (the predicted class), or one of some names.

    The browser sees `CUSTOM` for a callable, and sends it back for the one that there is.
    """

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        super().__init__(None, allow_none=True)
        self._names = names
        self.tag(sync=True, to_json=sent_target, from_json=self._from_json)

    def validate(self, obj: Any, value: Any) -> Any:
        """The target; TraitError where it is none."""
        if value is None or callable(value) or (isinstance(value, str) and value in self._names):
            return value
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            listed = "".join(f'"{name}", ' for name in self._names)
            raise traitlets.TraitError(
                f"target must be the index of a class, {listed}a callable or None, not {value!r}."
            )
        return operator.index(value)

    def _from_json(self, value: Any, widget: Any) -> Any:
        return getattr(widget, str(self.name)) if value == CUSTOM else value


def sent_target(value: Any, _: object = None) -> int | str | None:
    """A target as it is sent."""
    return CUSTOM if callable(value) else value


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
    is_menu = 1 < count <= _MOST_CLASSES
    probability = float(scores.double().softmax(0)[best]) if count > 1 else None
    return {
        "classes": [sample.class_name(one, count) for one in range(count)] if is_menu else [],
        "predicted": {
            "index": best,
            "name": sample.class_name(best, count),
            "probability": probability,
        },
    }
