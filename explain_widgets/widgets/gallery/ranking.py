"""Which samples are shown, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from explain_widgets.analysis.predictions import Prediction
from explain_widgets.widgets.gallery.cards import Label, Value

Order: TypeAlias = Literal["index", "label", "prediction", "confidence", "loss"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True)
class View:
    """Which samples are shown, and in which order.

    Attributes
    ----------
    order, descending
        By what they are sorted; what has no such number comes last either way.
    label, prediction
        Only samples of this label, and of this predicted class; None: of any.
    wrong_only
        Only samples whose predicted class is not their label.
    """

    order: Order = "index"
    descending: bool = False
    label: Value | None = None
    prediction: int | None = None
    wrong_only: bool = False

    @classmethod
    def of(cls, given: dict[str, Any]) -> View:
        """As it comes from the browser; ValueError for an order that there is not."""
        view = cls(**{name: given[name] for name in cls.__dataclass_fields__ if name in given})
        if view.order not in ORDERS:
            raise ValueError(f"There is no order {view.order!r}: pick one of {', '.join(ORDERS)}.")
        return view

    @property
    def needs_labels(self) -> bool:
        """Whether the labels of all samples have to be read for it."""
        return self.order == "label" or self.label is not None

    @property
    def needs_predictions(self) -> bool:
        """Whether the model has to be run for all samples."""
        by_prediction = self.order in ("prediction", "confidence", "loss")
        return by_prediction or self.prediction is not None or self.wrong_only

    @property
    def is_plain(self) -> bool:
        """Whether samples are shown as they come."""
        return self == View()

    @property
    def keeps_its_place(self) -> bool:
        """Whether what comes first is known before the rest is read."""
        return self.order == "index" and not self.descending


def is_wrong(label: Label, prediction: Prediction | None) -> bool:
    """Whether a class was predicted that is not the label."""
    if prediction is None or prediction.index is None or label.index is None:
        return False
    return prediction.index != label.index


def ranked(
    indices: Iterable[int],
    view: View,
    label_of: Callable[[int], Label],
    prediction_of: Callable[[int], Prediction | None],
) -> list[int]:
    """The samples of a view in its order; of equal ones the lower index first.

    Examples
    --------
    >>> labels = [Label(1), Label(0), Label(1)]
    >>> ranked(range(3), View("label", descending=True), labels.__getitem__, lambda index: None)
    [0, 2, 1]
    """
    shown = [i for i in indices if _is_shown(view, label_of(i), prediction_of(i))]
    if view.order == "index":
        return shown[::-1] if view.descending else shown
    keys = {i: _key(view.order, label_of(i), prediction_of(i)) for i in shown}
    known = [i for i in shown if keys[i] is not None]
    known.sort(key=lambda i: keys[i] or (), reverse=view.descending)
    return known + [i for i in shown if keys[i] is None]


def _is_shown(view: View, label: Label, prediction: Prediction | None) -> bool:
    if view.label is not None and view.label not in (label.value, label.index):
        return False
    predicted = None if prediction is None else prediction.index
    if view.prediction is not None and predicted != view.prediction:
        return False
    return not view.wrong_only or is_wrong(label, prediction)


def _key(order: Order, label: Label, prediction: Prediction | None) -> tuple[Any, ...] | None:
    """What a sample is sorted by; None: there is no such thing for it."""
    value: Value | None
    if order == "label":
        value = label.value
    elif prediction is None:
        value = None
    elif order == "prediction":
        value = prediction.answer
    elif order == "confidence":
        value = prediction.probability
    else:
        value = prediction.loss
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    # Numbers and texts among each other: numbers first.
    return (isinstance(value, str), value)
