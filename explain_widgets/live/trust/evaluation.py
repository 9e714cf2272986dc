"""Methods compared over many samples, in one table, as in a paper."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.faithfulness import RANDOM
from explain_widgets.analysis.infidelity import completeness_gap
from explain_widgets.live.access import Access
from explain_widgets.live.errors import ExplainError, NeedsHomeThreadError
from explain_widgets.live.targets import Target
from explain_widgets.live.trust.curves import Asked, curve_steps
from explain_widgets.live.trust.picks import Methods, Pick, picked
from explain_widgets.live.trust.randomisation import cascade
from explain_widgets.live.trust.replaceable import FeatureError, Replaceable, replaceable

if TYPE_CHECKING:
    import pandas as pd

    from explain_widgets.live.model import LiveModel

Metric: TypeAlias = Literal["curves", "infidelity", "sensitivity", "completeness", "randomisation"]
METRICS: dict[Metric, str] = {
    "curves": "areas under the deletion and insertion curves, beside random orders",
    "infidelity": "how far the attribution is off when it foretells changes of the output",
    "sensitivity": "how far the attribution moves when the input moves a little",
    "completeness": "what the sum leaves over of the change from the baseline to the input",
    "randomisation": "rank correlation with the attribution of a model with random parameters",
}
"""What is measured, by name, with what it is."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A table of methods and samples, so far.

    Attributes
    ----------
    rows
        A mapping for each method of each sample: ``sample``, ``method``, ``target``, ``seconds``
        of the attribution, and what was measured; NaN with the reason in ``problem`` where it
        could not be.
    progress
        The share of the work that is done, 0…1.
    doing
        What was done last, in words.
    """

    rows: tuple[Mapping[str, Any], ...]
    progress: float
    doing: str

    def to_dataframe(self) -> pd.DataFrame:
        """The rows as a table of pandas.

        Raises
        ------
        ImportError
            When pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 (it takes long to import)
        except ImportError as error:
            raise ImportError(
                "A DataFrame needs pandas: pip install pandas; or take the list of mappings that "
                "is in rows."
            ) from error
        return pd.DataFrame([dict(row) for row in self.rows])


def evaluation_steps(
    live: LiveModel,
    access: Access,
    methods: Methods,
    samples: Iterable[int],
    metrics: Iterable[Metric],
    target: Target,
    patch: int | None,
    baselines: Any,
    options: Mapping[str, Mapping[str, Any]],
) -> Iterator[Evaluation]:
    """A table of methods and samples, filled row by row; see `LiveModel.evaluation`."""
    asked, indices, measures = picked(methods), list(samples), list(metrics)
    unknown = [name for name in (*measures, *options) if name not in METRICS]
    if unknown or not indices:
        listed = ", ".join(f'"{name}"' for name in METRICS)
        wrong = f"There is no metric {unknown[0]!r}" if unknown else "There is no sample"
        raise ValueError(f"{wrong}: metrics are {listed}, samples one or more indices.")
    work = lambda sample: _Work(live, access, sample, target, patch, baselines, options)  # noqa: E731
    return _filled(work, indices, asked, measures)


def _filled(
    work_on: Callable[[int], _Work],
    samples: list[int],
    methods: list[Pick],
    metrics: list[Metric],
) -> Iterator[Evaluation]:
    rows: list[dict[str, Any]] = []
    # Of each sample: its attributions, then each measure.
    parts = 1 + len(metrics)
    for number, sample in enumerate(samples):
        work = work_on(sample)
        for part, name in enumerate(("attributions", *metrics)):
            steps = work.attributed(methods) if part == 0 else work.measured(name)
            for share in steps:
                progress = (number * parts + part + share) / (len(samples) * parts)
                # The rows of this sample are still being filled.
                snapshot = (*rows, *map(dict, work.rows))
                yield Evaluation(snapshot, progress, f"sample {sample}: {name}")
        rows += work.rows


@dataclass
class _One:
    """A method on the sample, and its row."""

    method: Pick
    row: dict[str, Any]
    attribution: Attribution


class _Work:
    """All that is done on one sample; each part yields the share of it that is done."""

    def __init__(
        self,
        live: LiveModel,
        access: Access,
        sample: int,
        target: Target,
        patch: int | None,
        baselines: Any,
        options: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._live, self._access, self._sample = live, access, sample
        self._target = target
        self._features: dict[str, Any] = {"patch": patch, "baselines": baselines}
        self._options = options
        self._ones: list[_One] = []
        self.rows: list[dict[str, Any]] = []

    def attributed(self, methods: list[Pick]) -> Iterator[float]:
        """The attributions of all methods, each with its row."""
        self._target = self._live.batches(self._sample, self._target).target
        for done, method in enumerate(methods, 1):
            row = {"sample": self._sample, "method": method.name, "target": self._target}
            self.rows.append(row)
            begun = time.perf_counter()
            with _noted(row):
                found = method.attribute(self._live, self._sample, self._target)
                row["seconds"] = time.perf_counter() - begun
                self._ones.append(_One(method, row, found))
            yield done / len(methods)

    def measured(self, name: str) -> Iterator[float]:
        """One measure of all attributions, into their rows."""
        if name == "curves":
            yield from self._curves()
            return
        measure: Callable[..., Iterator[tuple[float, dict[str, float]]]] = getattr(self, f"_{name}")
        for number, one in enumerate(self._ones):
            with _noted(one.row):
                for share, values in measure(one, **self._options.get(name, {})):
                    one.row.update(values)
                    yield (number + share) / len(self._ones)
        yield 1.0

    def _curves(self) -> Iterator[float]:
        """Of all methods at once, so that they share the random orders."""
        random = {"sample": self._sample, "method": RANDOM, "target": self._target}
        given = {**self._features, **self._options.get("curves", {})}
        held, rows = {}, {}
        for one in self._ones:
            with _noted(one.row):  # one that does not lie on the features stops no other
                _check_finite(self._replaceable().sums(one.attribution))
                held[one.method.name], rows[one.method.name] = one.attribution, one.row
        if not held:
            yield 1.0
            return
        self.rows.append(random)
        with _noted(random):
            for found in curve_steps(self._live, self._access, held, self._sample, **given):
                for values in found.to_dicts():
                    rows.get(values["method"], random).update(values)
                yield found.progress

    def _replaceable(self) -> Replaceable:
        with self._access.reading():
            loaded = self._access.sample(self._sample)
        return replaceable(self._access, loaded, **self._features)

    def _infidelity(self, one: _One, **options: Any) -> Iterator[tuple[float, dict[str, float]]]:
        given = {**self._features, **options}
        for found in self._live.infidelity_steps(one.attribution, self._sample, **given):
            values = {"infidelity": found.value, "infidelity_scaled": found.scaled}
            yield found.done / found.count, values

    def _sensitivity(self, one: _One, **options: Any) -> Iterator[tuple[float, dict[str, float]]]:
        method = one.method
        # A seed of the method's own is that of the attribution.
        given = {**options, **method.options}
        steps = self._live.sensitivity_steps(
            method.method, self._sample, self._target, method.layer, **given
        )
        for found in steps:
            yield found.done / found.count, {"sensitivity": found.value}

    def _completeness(self, one: _One) -> Iterator[tuple[float, dict[str, float]]]:
        gap = one.attribution.completeness_gap
        if gap is None and one.attribution.layer is None:
            features = self._replaceable()
            batches = self._live.batches(self._sample, self._target)
            none = torch.zeros(1, features.count, dtype=torch.bool)
            at_baseline = float(Asked(features, batches).score(none))
            # Of what is replaced: special tokens are as they were at the baseline.
            total = float(features.sums(one.attribution).sum())
            gap = completeness_gap(total, batches.score, at_baseline)
        # Of a layer no sum is promised but by methods that say so.
        yield 1.0, {} if gap is None else {"completeness_gap": gap}

    def _randomisation(self, one: _One, seed: int = 0) -> Iterator[tuple[float, dict[str, float]]]:
        def explain(live: LiveModel) -> torch.Tensor:
            found = one.method.attribute(live, self._sample, self._target)
            return torch.cat([part.flatten() for part in found.by_name.values()])

        for step in cascade(self._live, explain, self._sample, seed, at_once=True):
            signed, absolute = step.similarity
            yield step.step / step.steps, {} if step.step == 0 else {
                "randomisation": signed, "randomisation_absolute": absolute,
            }  # fmt: skip


def _check_finite(sums: torch.Tensor) -> None:
    bad = int((~sums.isfinite()).sum())
    if bad:
        raise FeatureError(f"{bad:,} features have no finite attribution, and so no order.")


@contextmanager
def _noted(row: dict[str, Any]) -> Iterator[None]:
    """A table goes on where one of its cells cannot be filled, and says why."""
    try:
        yield
    except NeedsHomeThreadError:
        raise  # the work goes on when the cell has ended
    except ExplainError as error:
        row["problem"] = "; ".join(filter(None, (row.get("problem"), str(error))))
