"""What answers the questions whether an attribution can be trusted."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import numpy as np
import torch

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.faithfulness import Curves, Faithfulness
from explain_widgets.live.errors import ExplainError
from explain_widgets.live.model import LiveModel
from explain_widgets.live.targets import target_key
from explain_widgets.widgets.answers import exact
from explain_widgets.widgets.attribution.asked import Asked, Questions
from explain_widgets.widgets.attribution.words import messages, number_text
from explain_widgets.widgets.protocol import Reply

# Beside what is shown: quick ones of different kinds.
_COMPARED = ("gradient", "input_x_gradient", "integrated_gradients", "smooth_grad")
_PARTIAL_SECONDS = 0.25

_T = TypeVar("_T")


class TrustAnswers:
    """The side of the answers that measures trust; the selection is that of an attribution."""

    _live: LiveModel
    questions: Questions

    def answer_curves(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Deletion and insertion curves of what is shown, beside random orders."""
        sides = self._sides(selection)
        held: dict[str, Attribution] = {}
        for name, asked in sides.items():
            held[name] = yield from _last(self._live.attribution_steps(**asked.call))
        sent = float("-inf")
        last: Faithfulness | None = None
        for curves in self._live.faithfulness(of_one_target(held), int(selection["sample"])):
            last = curves
            if time.monotonic() - sent > _PARTIAL_SECONDS:
                sent = time.monotonic()
                yield _curves_reply(curves)
            else:
                yield None
        if last is not None:
            yield _curves_reply(last)

    def answer_measures(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Infidelity and sensitivity of what is shown; of a part that cannot be, the reason."""
        asked = self.questions.asked(selection)
        rows: list[tuple[str, str, str]] = []
        notes = []
        found = yield from _last(self._live.attribution_steps(**asked.call))
        try:
            off = yield from _last(self._live.infidelity_steps(found, asked.sample))
            rows += [
                ("Infidelity", number_text(off.value), _INFIDELITY),
                ("… scaled", number_text(off.scaled), _SCALED),
            ]
            notes.append(off.note)
        except (ExplainError, ValueError) as error:
            notes.append(str(error))
        yield Reply({"rows": messages(rows), "note": " · ".join(notes)})
        try:
            moved = yield from _last(self._live.sensitivity_steps(**asked.call))
            rows += [
                ("Sensitivity", number_text(moved.value), _SENSITIVITY),
                ("… mean", number_text(moved.mean), "The mean over the inputs that were tried."),
            ]
            notes.append(moved.note)
        except (ExplainError, ValueError) as error:
            notes.append(str(error))
        yield Reply({"rows": messages(rows), "note": " · ".join(notes)})

    def answer_randomisation(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Rank correlations with the attribution of copies with more and more random layers."""
        asked = self.questions.asked(selection)
        layers: list[str] = []
        signed: list[float] = []
        absolute: list[float] = []
        for step in self._live.randomisation(**asked.call):
            layers.append("(nothing)" if step.layer is None else step.layer or "(model)")
            signed.append(step.similarity.signed)
            absolute.append(step.similarity.absolute)
            yield Reply(
                {
                    "layers": list(layers),
                    "note": "ρ: Spearman’s rank correlation with the attribution of the model",
                },
                {"signed": _float32(signed), "absolute": _float32(absolute)},
            )

    def answer_agreement(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Rank correlations of what is shown with quick methods of different kinds."""
        sides = self._sides(selection)
        asked = self.questions.asked(selection)
        methods: dict[str, dict[str, Any]] = {
            name: {"method": one.method, "layer": one.layer, **one.options}
            for name, one in sides.items()
            if one.target == asked.target
        }
        methods |= {name: {"method": name} for name in _COMPARED if name not in methods}
        for found in self._live.agreement_steps(methods, [asked.sample], asked.target):
            if len(found.samples) < found.count:
                yield None
                continue
            note = "NaN: a method tells no features apart" if found.mean.isnan().any() else ""
            yield Reply(
                {"names": list(found.names), "note": note}, {"matrix": exact(found.mean.flatten())}
            )

    def _sides(self, selection: dict[str, Any]) -> dict[str, Asked]:
        """What is shown, by name, and the other side where there is one."""
        asked = self.questions.asked(selection)
        sides = {asked.method: asked}
        other = selection.get("other")
        if other is not None:
            own = selection.get("options", {}) if other["method"] == asked.method else {}
            beside = self.questions.asked({**selection, **other, "options": own})
            sides[beside.method if beside.method != asked.method else f"{asked.method} (B)"] = (
                beside
            )
        return sides


def of_one_target(held: dict[str, Attribution]) -> dict[str, Attribution]:
    """Those of the target of the first: others are about another curve."""
    first = target_key(next(iter(held.values())).target)
    return {name: one for name, one in held.items() if target_key(one.target) == first}


def _last(steps: Iterator[_T]) -> Generator[None, None, _T]:
    """The last of the steps; others are served between them."""
    found = next(steps)
    for found in steps:  # noqa: B007 (the last one is what is wanted)
        yield None
    return found


_INFIDELITY = (
    "The mean of (I · values − (f(x) − f(x − I)))² over random changes I of the input (Yeh et al. "
    "2019): how far the values miss the change of the target."
)
_SCALED = "The same of the values times the number that makes it smallest."
_SENSITIVITY = (
    "The largest ‖Φ(y) − Φ(x)‖ / ‖Φ(x)‖ over inputs y close to x (SENS_MAX of Yeh et al. 2019)."
)


def _curves_reply(found: Faithfulness) -> Reply:
    deletion, insertion = found.deletion, found.insertion
    random = (found.random_deletion, found.random_insertion)
    names = [*deletion.names, "random (mean)"]

    def stacked(curves: Curves, others: Curves) -> Any:
        return exact(torch.cat([curves.scores, others.mean[None]]))

    areas = [
        [float(a), float(b)]
        for a, b in zip(
            [*deletion.areas.tolist(), float(random[0].areas.mean())],
            [*insertion.areas.tolist(), float(random[1].areas.mean())],
            strict=True,
        )
    ]
    return Reply(
        {"names": names, "areas": areas, "note": found.note},
        {
            "fractions": exact(deletion.fractions),
            "deletion": stacked(deletion, random[0]),
            "insertion": stacked(insertion, random[1]),
        },
    )


def _float32(values: list[float]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(values, np.float32)
