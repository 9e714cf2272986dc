"""What answers the questions whether an attribution can be trusted."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.faithfulness import Curves, Faithfulness
from explain_widgets.live.errors import ExplainError
from explain_widgets.live.model import LiveModel
from explain_widgets.live.targets import target_key
from explain_widgets.live.trust.agreement import Agreement
from explain_widgets.live.trust.small_changes import Infidelity, Sensitivity
from explain_widgets.widgets.answers import exact
from explain_widgets.widgets.attribution.asked import Asked, Questions
from explain_widgets.widgets.attribution.words import messages, number_text
from explain_widgets.widgets.protocol import Reply

# What agrees or not is asked of these where no others were picked: quick ones of different kinds.
_COMPARED = ("gradient", "input_x_gradient", "integrated_gradients", "smooth_grad")
_PARTIAL_SECONDS = 0.25

_T = TypeVar("_T")


class TrustAnswers:
    """The side of the answers that measures trust; the selection is that of an attribution."""

    patient: ClassVar[frozenset[str]] = frozenset(
        {"curves", "measures", "randomisation", "agreement"}
    )

    _live: LiveModel
    questions: Questions

    def answer_curves(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Deletion and insertion curves of what is shown and picked, beside random orders."""
        held: dict[str, Attribution] = {}
        for name, asked in self.questions.sides(selection).items():
            held[name] = yield from _last(self._live.attribution_steps(**asked.call))
        beside, notes = yield from self._beside(selection, ())
        held |= {name: found for name, (_, found) in beside.items()}
        sent = float("-inf")
        last: Faithfulness | None = None
        for curves in self._live.faithfulness(of_one_target(held), int(selection["sample"])):
            last = curves
            if time.monotonic() - sent > _PARTIAL_SECONDS:
                sent = time.monotonic()
                yield _curves_reply(curves, notes)
            else:
                yield None
        if last is not None:
            yield _curves_reply(last, notes)

    def answer_measures(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Infidelity and sensitivity of what is shown; of a part that cannot be, the reason."""
        asked = self.questions.asked(selection)
        found = yield from _last(self._live.attribution_steps(**asked.call))
        parts: list[Iterator[_Measured]] = [
            map(_infidelity_rows, self._live.infidelity_steps(found, asked.sample)),
            map(_sensitivity_rows, self._live.sensitivity_steps(**asked.call)),
        ]
        rows: list[tuple[str, str, str]] = []
        notes: list[str] = []
        sent = float("-inf")
        for number, part in enumerate(parts):
            now = _Measured([], "", 0.0)
            try:
                for now in part:
                    if time.monotonic() - sent > _PARTIAL_SECONDS:
                        sent = time.monotonic()
                        share = (number + now.share) / len(parts)
                        yield _measures_reply([*rows, *now.rows], [*notes, now.note], share)
                    else:
                        yield None
            except (ExplainError, ValueError) as error:
                now = _Measured([], str(error), 1.0)
            rows += now.rows
            notes.append(now.note)
        yield _measures_reply(rows, notes, 1.0)

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
                    "progress": step.step / step.steps,
                },
                {"signed": _float32(signed), "absolute": _float32(absolute)},
            )

    def answer_agreement(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Rank correlations of what is shown with the methods that were picked, over samples."""
        asked = self.questions.asked(selection)
        sides = {
            name: one
            for name, one in self.questions.sides(selection).items()
            if one.target == asked.target
        }
        beside, notes = yield from self._beside(selection, _COMPARED)
        picked = sides | {name: one for name, (one, _) in beside.items()}
        methods: dict[str, dict[str, Any]] = {
            name: {"method": one.method, "layer": one.layer, **one.options}
            for name, one in picked.items()
        }
        samples = self._samples_from(asked.sample, int(selection.get("agreement_samples", 1)))
        for found in self._live.agreement_steps(methods, samples, asked.target):
            yield _agreement_reply(found, notes)

    def _samples_from(self, sample: int, count: int) -> range:
        """A sample and those that follow it, as many as there are."""
        samples = self._live.samples
        known = samples.read_so_far if samples.count is None else samples.count
        return range(sample, max(sample + 1, min(sample + count, known)))

    def _beside(
        self, selection: dict[str, Any], usual: tuple[str, ...]
    ) -> Generator[None, None, tuple[dict[str, tuple[Asked, Attribution]], list[str]]]:
        """The methods that were picked to be compared with; of those that cannot be, why."""
        found: dict[str, tuple[Asked, Attribution]] = {}
        notes: list[str] = []
        for name, asked in self.questions.beside(selection, usual).items():
            try:
                values = yield from _last(self._live.attribution_steps(**asked.call))
            except (ExplainError, ValueError) as error:
                notes.append(f"{name}: {error}")
            else:
                found[name] = asked, values
        return found, notes


def scored(found: Faithfulness) -> str:
    """What the curves are of, in words."""
    return found.note.partition(" · ")[0]


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


@dataclass(frozen=True)
class _Measured:
    """What is known so far of a measure: rows, what was done, and the share of the work."""

    rows: list[tuple[str, str, str]]
    note: str
    share: float


def _infidelity_rows(found: Infidelity) -> _Measured:
    rows = [
        ("Infidelity", number_text(found.value), _INFIDELITY),
        ("… scaled", number_text(found.scaled), _SCALED),
    ]
    return _Measured(rows, found.note, found.done / found.count)


def _sensitivity_rows(found: Sensitivity) -> _Measured:
    rows = [
        ("Sensitivity", number_text(found.value), _SENSITIVITY),
        ("… mean", number_text(found.mean), "The mean over the inputs that were tried."),
    ]
    return _Measured(rows, found.note, found.done / found.count)


def _measures_reply(rows: list[tuple[str, str, str]], notes: list[str], share: float) -> Reply:
    return Reply({"rows": messages(rows), "note": _joined(*notes), "progress": share})


def _agreement_reply(found: Agreement, notes: list[str]) -> Reply:
    missing = "n/a: a method tells no features apart" if found.mean.isnan().any() else ""
    done = len(found.samples)
    samples = (
        f"mean over samples {found.samples[0]} to {found.samples[-1]}"
        if done > 1
        else f"sample {found.samples[0]}"
    )
    return Reply(
        {
            "names": list(found.names),
            "note": _joined(samples, missing, *notes),
            "progress": done / found.count,
        },
        {"matrix": exact(found.mean.flatten())},
    )


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _curves_reply(found: Faithfulness, notes: list[str]) -> Reply:
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
        {
            "names": names,
            "areas": areas,
            "score": scored(found),
            "note": _joined(found.note, *notes),
            "progress": found.progress,
        },
        {
            "fractions": exact(deletion.fractions),
            "deletion": stacked(deletion, random[0]),
            "insertion": stacked(insertion, random[1]),
        },
    )


def _float32(values: list[float]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(values, np.float32)
