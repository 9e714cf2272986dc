"""AttributionExplorer: what a prediction rests on, and whether to trust that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, get_args

import matplotlib.figure
import numpy as np
import torch
import traitlets

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.export.attributions import Side, attribution_figure, parameters_figure
from explain_widgets.live.attribution.catalogue import METHODS
from explain_widgets.live.attribution.reader import pick_method
from explain_widgets.live.errors import ExplainError
from explain_widgets.live.losses import LOSSES
from explain_widgets.live.samples.groups import Units
from explain_widgets.live.trust.curves import named
from explain_widgets.live.trust.evaluation import Evaluation
from explain_widgets.widgets.attribution.answers import AttributionAnswers
from explain_widgets.widgets.attribution.asked import CHANNELS, SIGNS, Asked, Handling
from explain_widgets.widgets.attribution.forms import Scores, limit_of, scores_of
from explain_widgets.widgets.attribution.parameters import PARAMETER_WORDS, parameter_norms
from explain_widgets.widgets.attribution.trust import of_one_target, scored
from explain_widgets.widgets.attribution.words import title_of
from explain_widgets.widgets.charts import ChartKind
from explain_widgets.widgets.explorer import bundle
from explain_widgets.widgets.layers import MapsExplorer
from explain_widgets.widgets.progress import watched
from explain_widgets.widgets.targets import TargetTrait, sent_target

if TYPE_CHECKING:
    from explain_widgets.widgets.curves_chart import CurvesShown

SHOWN = ("input", "parameters")


class AttributionExplorer(MapsExplorer):
    """Shows how much each part of an input, or each parameter, has to do with a prediction.

    Parameters
    ----------
    model
        A `LiveModel`, or a model to make one of with ``samples`` and the options of `LiveModel`.
    samples, **options
        As for `LiveModel`; and any trait below, to begin with.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> explorer = xw.AttributionExplorer(torch.nn.Linear(4, 3), torch.randn(5, 4))
    >>> explorer.data()["scores"].shape
    torch.Size([1, 4])
    """

    _esm = bundle("attribution.js")
    _css = bundle("attribution.css")

    method = traitlets.Unicode("gradient").tag(sync=True)
    """A name of `LiveModel.attribution_methods`."""

    target = TargetTrait(tuple(LOSSES))
    """What is explained: the index of a class, None: the predicted one, the name of a loss
    (``"cross_entropy"``, ``"mse"``, ``"binary_cross_entropy"``), or a callable from the model's
    output to a scalar."""

    position = traitlets.Int(None, allow_none=True).tag(sync=True)
    """Of outputs with a row of scores for each position (language models, taggers): which one is
    explained; None: the last that is no padding."""

    units = traitlets.Enum(get_args(Units), "tokens").tag(sync=True)
    """Of texts: one score for each of the ``"tokens"``, ``"words"`` or ``"sentences"``."""

    options = traitlets.Dict().tag(sync=True)
    """Options of the method, as `LiveModel.attribute` takes them."""

    other: Any = traitlets.Any(None, allow_none=True).tag(sync=True)
    """What is shown beside it: ``{"method": …, "target": …}``; None: nothing."""

    compared: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """Methods beside what is shown, in the curves and in the agreement of methods, by name; empty:
    no others, and a few quick ones."""

    agreement_samples = traitlets.Int(1, min=1).tag(sync=True)
    """Over how many samples methods agree: the one that is shown and those that follow it."""

    show = traitlets.Enum(SHOWN, "input").tag(sync=True)
    """Attribute to the ``"input"`` (or a layer), or to the ``"parameters"``."""

    channels = traitlets.Enum(CHANNELS, "sum").tag(sync=True)
    """How the channels of a position become one score: ``"sum"``, ``"mean"``, ``"max"`` (the one
    of the largest size), ``"norm"`` (√Σv²)."""

    sign = traitlets.Enum(SIGNS, "all").tag(sync=True)
    """``"all"``, ``"absolute"``, ``"positive"`` or ``"negative"`` scores."""

    clip = traitlets.Float(99.0).tag(sync=True)
    """Colours end at this percentile of the magnitudes; 100: at the largest."""

    parameter_measure = traitlets.Enum(tuple(PARAMETER_WORDS), "norm").tag(sync=True)
    """``"norm"`` of the gradient by each tensor, or ``"weight_x_gradient"``: Σ |w · g|."""

    _answers: AttributionAnswers

    def _make_answers(self) -> AttributionAnswers:
        return AttributionAnswers(self.live)

    def _prepare(self) -> None:
        if not self.layers:
            raise ExplainError("No module of this forward returns a tensor that could be shown.")
        # Where Grad-CAM is best: the last layer whose maps still tell places apart.
        last = [n for n, layer in enumerate(self.layers) if layer.height * layer.width > 1]
        self.layer = last[-1] if last else 0

    # What is shown, as data.

    def data(self) -> dict[str, Any]:
        """What is shown now.

        Returns
        -------
        dict
            ``attribution``: the `Attribution`; ``scores``: (height, width), one number for each
            position as it is coloured, exact, on the model's device; ``limit``: the magnitude
            that colours end at; ``clipped``: the share of the numbers beyond it; of another side
            the same under ``other``. Of parameters: ``parameters``, a list of
            (module, name, value, state).
        """
        if self.show == "parameters":
            return {"parameters": self._parameters()}
        found = [self._side(asked) for asked in self._asked()]
        return found[0] if len(found) == 1 else {**found[0], "other": found[1]}

    def _side(self, asked: Asked) -> dict[str, Any]:
        attribution = self.live.attribute(**asked.call)
        scores = self._scores(asked, attribution)
        limit, clipped = limit_of(scores.values, self.clip)
        return {
            "attribution": attribution,
            "scores": scores.values,
            "limit": limit,
            "clipped": clipped,
        }

    def figure(self) -> matplotlib.figure.Figure:
        """What is shown as a matplotlib figure: a map, coloured tokens, or bars."""
        if self.show == "parameters":
            rows = self._parameters()
            words = PARAMETER_WORDS[self.parameter_measure]
            names = [f"{module}.{name}" if module else name for module, name, *_ in rows]
            return parameters_figure(names, np.array([row[2] for row in rows]), words)
        sides = []
        for asked in self._asked():
            found = self.live.attribute(**asked.call)
            scores = self._scores(asked, found)
            tokens = [token.text for token in scores.tokens]
            side = Side(
                title_of(asked, self._answers.target_words(asked), found.layer),
                scores.form,
                scores.values.double().cpu().numpy(),
                tokens or scores.names,
                limit_of(scores.values, self.clip)[0],
                scores.on_image,
            )
            sides.append(side)
        image = self.samples[self.sample].image
        return attribution_figure(sides, image, self.colormap)

    def evaluation(
        self,
        methods: Iterable[str] | Mapping[str, Mapping[str, Any]] | None = None,
        samples: Iterable[int] | None = None,
        **options: Any,
    ) -> Evaluation:
        """Methods measured over samples; ``.to_dataframe()`` is the table, as in a paper.

        In a notebook a bar says how far it is; interrupting the cell ends the work.

        Parameters
        ----------
        methods
            As in `LiveModel.evaluation`; None: what is shown, and ``compared``.
        samples
            Indices; None: all that were read, at most 16.
        **options
            ``metrics``, ``target``, ``patch``, ``baselines``, ``options`` of
            `LiveModel.evaluation`.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> explorer = xw.AttributionExplorer(torch.nn.Linear(4, 3), torch.randn(5, 4))
        >>> explorer.evaluation(["gradient", "input_x_gradient"]).to_dataframe().shape[0]
        15
        """
        if methods is None:
            methods = {
                asked.method: {"method": asked.method, "layer": asked.layer, **asked.options}
                for asked in [*self._asked(), *self._beside()]
            }
        if samples is None:
            count = self.samples.count
            known = self.samples.read_so_far if count is None else count
            samples = range(min(_MOST_SAMPLES, known))
        return watched(self.live.evaluation(methods, samples, **options))

    def _chart_kinds(self) -> dict[str, ChartKind]:
        # bqplot takes seconds to be imported, and most never ask for a chart.
        from explain_widgets.widgets.curves_chart import CurvesChart  # noqa: PLC0415

        place = ("sample", "layer", "method", "target", "position", "options")
        follows = (*place, "other", "compared")
        return {
            "deletion": ChartKind(CurvesChart, lambda: self._curves("deletion"), follows),
            "insertion": ChartKind(CurvesChart, lambda: self._curves("insertion"), follows),
        }

    def _curves(self, kind: Literal["deletion", "insertion"]) -> CurvesShown:
        """Deletion or insertion curves of what is shown, beside random orders."""
        from explain_widgets.widgets.curves_chart import CurvesShown  # noqa: PLC0415

        found = [self.live.attribute(**one.call) for one in self._asked()]
        for one in self._beside():
            with suppress(ExplainError):  # the explorer says why
                found.append(self.live.attribute(**one.call))
        held = named(found)
        *_, measured = self.live.faithfulness(of_one_target(held), self.sample)
        curves, others = (
            (measured.deletion, measured.random_deletion)
            if kind == "deletion"
            else (measured.insertion, measured.random_insertion)
        )
        verb = "deleted" if kind == "deletion" else "inserted"
        return CurvesShown(
            curves.fractions.numpy(),
            torch.cat([curves.scores, others.mean[None]]).cpu().numpy(),
            [*curves.names, "random (mean)"],
            f"{kind.capitalize()} · sample {self.sample}",
            f"share {verb}, strongest first",
            scored(measured),
            "top" if kind == "deletion" else "bottom",
        )

    def _asked(self) -> list[Asked]:
        """What is shown, and the other side where there is one."""
        return list(self._answers.questions.sides(self._selection()).values())

    def _beside(self) -> list[Asked]:
        """What is compared with it."""
        return list(self._answers.questions.beside(self._selection()).values())

    def _selection(self) -> dict[str, Any]:
        return {
            "sample": self.sample,
            "layer": self.layer,
            "method": self.method,
            "target": sent_target(self.target),
            "position": self.position,
            "options": self.options,
            "other": self.other,
            "compared": self.compared,
        }

    def _scores(self, asked: Asked, attribution: Attribution) -> Scores:
        how = Handling(self.channels, self.sign, self.clip, self.units)
        return scores_of(self.live, self.samples[asked.sample], attribution, how)

    def _parameters(self) -> list[tuple[str, str, float, str]]:
        target = self._answers.questions.target(sent_target(self.target), self.position)
        rows = parameter_norms(self.live, self.sample, target, self.parameter_measure)
        return [(row.module, row.name, row.value, row.state) for row in rows]

    # Traits.

    @traitlets.validate("method")
    def _check_method(self, proposal: Any) -> str:
        return _known_method(proposal["value"])

    @traitlets.validate("compared")
    def _check_compared(self, proposal: Any) -> list[str]:
        names = [_known_method(name) for name in proposal["value"]]
        neuron = next((name for name in names if METHODS[name].of_neuron), None)
        if neuron is not None:
            raise traitlets.TraitError(f"{neuron} is about a neuron, and not about the target.")
        return list(dict.fromkeys(names))

    @traitlets.validate("other")
    def _check_other(self, proposal: Any) -> dict[str, Any] | None:
        value = proposal["value"]
        if value is None:
            return None
        if not isinstance(value, dict) or set(value) - {"method", "target"}:
            raise traitlets.TraitError(f"other must have a method and a target, not {value!r}.")
        method = _known_method(value.get("method", self.method))
        return {"method": method, "target": sent_target(value.get("target"))}

    @traitlets.validate("clip")
    def _check_clip(self, proposal: Any) -> float:
        value = float(proposal["value"])
        if not 0 < value <= 100:
            raise traitlets.TraitError(
                f"clip must be a percentile, above 0 and up to 100, not {value:g}."
            )
        return value

    @traitlets.observe("target")
    def _give_target(self, change: Any) -> None:
        if callable(self.target):
            self._answers.questions.custom = self.target
            # Another function is sent by the same word as the one before.
            self.send({"notice": "stale"})


_MOST_SAMPLES = 16


def _known_method(value: Any) -> str:
    name = str(value)
    if name not in METHODS:
        raise traitlets.TraitError(pick_method(name))
    return name
