"""What a live model is asked about how far its attributions can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explain_widgets.analysis.faithfulness import Faithfulness
from explain_widgets.live.targets import Target
from explain_widgets.live.trust.agreement import Agreements
from explain_widgets.live.trust.curves import Attributions, curve_steps
from explain_widgets.live.trust.evaluation import Evaluation, Metric, evaluation_steps
from explain_widgets.live.trust.picks import Methods, Pick, seeded
from explain_widgets.live.trust.randomisation import RandomisationStep, cascade
from explain_widgets.live.trust.small_changes import SmallChanges

if TYPE_CHECKING:
    from explain_widgets.live.model import LiveModel


class Trust(SmallChanges, Agreements):
    """The side of a `LiveModel` that is asked how far attributions can be trusted.

    All of it is long work: between two steps others may ask, and closing an iterator ends it.
    """

    def faithfulness(
        self,
        attributions: Attributions,
        sample: int = 0,
        *,
        only: str | None = None,
        patch: int | None = None,
        baselines: Any = None,
        probability: bool = True,
        points: int = 33,
        repeats: int = 8,
        seed: int = 0,
    ) -> Iterator[Faithfulness]:
        """Deletion and insertion curves of attributions, coarse first, beside random orders.

        Features are replaced by a baseline, the most important first (deletion), or put back into
        it (insertion): where an attribution is faithful, the score falls, or rises, early
        (Petsiuk, Das and Saenko 2018). Features are pixels or patches of an image, tokens that
        are neither special nor padding, steps of a sequence, columns of a table; an attribution
        is summed over each, and maps of a layer are stretched over the image.

        Parameters
        ----------
        attributions
            One of `attribute`, several, or a mapping from names to them; of one target.
        sample
            The sample that they are of.
        only
            The name of an input, where the model takes several; None: the first.
        patch
            Of an image: pixels along a side of a feature; None: as few as leave no more than
            1,024 features.
        baselines
            As in `attribute`; None: padding for tokens, else zero.
        probability
            Score the probability of the target's class and not its logit.
        points
            How many points a curve has in the end.
        repeats
            How many random orders, 2 or more.
        seed
            Of these.

        Returns
        -------
        Iterator
            A `Faithfulness` with more and more points.

        Raises
        ------
        FeatureError, BaselineError
            When attributions and features, or features and baseline, do not fit.
        ValueError
            When an attribution is not finite.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(6, 3), torch.randn(4, 6))
        >>> *_, found = live.faithfulness(live.attribute("input_x_gradient"), points=7)
        >>> [row["method"] for row in found.to_dicts()]
        ['input_x_gradient', 'random']
        """
        return curve_steps(
            self._live, self._access, attributions, sample, only, patch, baselines, probability,
            points=points, repeats=repeats, seed=seed,
        )  # fmt: skip

    def randomisation(
        self,
        method: str,
        sample: int = 0,
        target: Target = None,
        layer: int | str | None = None,
        *,
        seed: int = 0,
        **options: Any,
    ) -> Iterator[RandomisationStep]:
        """How alike an attribution stays when parameters become random, from the last layer on.

        Cascading randomisation (Adebayo et al. 2018, "Sanity Checks for Saliency Maps"): an
        attribution that stays alike does not depend on what the model has learnt. Parameters are
        drawn anew in a copy, as their modules draw them when they are made; where a module has no
        way to, they are shuffled.

        Parameters
        ----------
        method, sample, target, layer, **options
            As in `attribute`; None: the class that the model as it is predicts.
        seed
            Of the random parameters; and of the method, where that draws.

        Returns
        -------
        Iterator
            A `RandomisationStep` with nothing drawn, then one after each layer.

        Raises
        ------
        RunError
            When the model cannot be copied.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(6, 3), torch.randn(4, 6))
        >>> [step.similarity.signed < 1 for step in live.randomisation("gradient")]
        [False, True]
        """
        asked = Pick(method, method, layer, seeded(method, seed, options))
        goal = self._live.batches(sample, target).target

        def explain(live: LiveModel) -> Tensor:
            parts = asked.attribute(live, sample, goal).by_name.values()
            # Of one input its own shape, to be looked at.
            return next(iter(parts)) if len(parts) == 1 else torch.cat([p.flatten() for p in parts])

        return cascade(self._live, explain, sample, seed)

    def evaluation(
        self,
        methods: Methods,
        samples: Iterable[int],
        metrics: Iterable[Metric] = ("curves", "infidelity", "completeness"),
        target: Target = None,
        *,
        patch: int | None = None,
        baselines: Any = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Iterator[Evaluation]:
        """Methods measured over samples, in a table that is filled cell by cell.

        Parameters
        ----------
        methods
            As in `agreement`.
        samples
            Indices of samples.
        metrics
            ``"curves"``: areas of `faithfulness`, with a row for random orders;
            ``"infidelity"``; ``"sensitivity"``; ``"completeness"``: the sum of the attribution
            minus the change of the target from the baseline to the input; ``"randomisation"``:
            rank correlation with the attribution of a model whose parameters are all random.
        target
            As in `agreement`.
        patch, baselines
            As in `faithfulness` and `infidelity`.
        options
            Of metrics, by their names: ``{"curves": {"points": 65}}``.

        Returns
        -------
        Iterator
            An `Evaluation` after each step of the work, with ``.progress``, ``.rows`` and
            ``.to_dataframe()``.

        Raises
        ------
        ValueError
            When there is no such metric, or no sample or method.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(6, 3), torch.randn(4, 6))
        >>> *_, found = live.evaluation(["gradient", "input_x_gradient"], range(2))
        >>> found.to_dataframe()["method"].tolist()[:3]
        ['gradient', 'input_x_gradient', 'random']
        """
        return evaluation_steps(
            self._live, self._access, methods, samples, metrics, target, patch, baselines,
            options or {},
        )  # fmt: skip
