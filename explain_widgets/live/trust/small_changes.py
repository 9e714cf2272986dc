"""Infidelity and sensitivity on the live model: what becomes of small and large changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.infidelity import infidelity, random_removals, sensitivity
from explain_widgets.live.runs import plain_thread
from explain_widgets.live.targets import Target
from explain_widgets.live.trust.curves import Asked, common_target
from explain_widgets.live.trust.picks import seeded
from explain_widgets.live.trust.replaceable import FeatureError, Replaceable, replaceable
from explain_widgets.live.trust.side import Side, last_of
from explain_widgets.live.trust.varied import shaken

Perturbation: TypeAlias = Literal["removal", "noise"]

SLOPES = frozenset({"gradient", "saliency", "smooth_grad", "guided_backprop", "deconvolution"})
"""Methods whose values are slopes of the output, and no shares of it."""

_AT_ONCE = 32


@dataclass(frozen=True)
class Infidelity:
    """How far an attribution is off when it foretells changes of the output.

    Attributes
    ----------
    value
        See `infidelity`, in squares of the unit of the target; 0: never off.
    scaled
        The same of the attribution times the number that makes it smallest: for attributions of
        which only the proportions mean something.
    perturbation
        What was changed: features were replaced (``"removal"``), or ``"noise"`` was taken off.
    done, count
        So many changes were tried, of how many.
    note
        What replaces what, in words.
    """

    value: float
    scaled: float
    perturbation: Perturbation
    done: int
    count: int
    note: str


@dataclass(frozen=True)
class Sensitivity:
    """How far an attribution moves when its input moves a little.

    Attributes
    ----------
    value
        The largest distance to the attribution of the sample, as a share of its length: SENS_MAX,
        see `sensitivity`.
    mean
        The mean distance.
    done, count
        So many inputs were tried, of how many.
    note
        How far the input was moved, in words.
    """

    value: float
    mean: float
    done: int
    count: int
    note: str


class SmallChanges(Side):
    """The side of a `LiveModel` that is asked how attributions stand changes of the input."""

    def infidelity_steps(
        self,
        attribution: Attribution,
        sample: int = 0,
        *,
        perturbation: Perturbation | None = None,
        count: int = 64,
        deviation: float = 0.1,
        only: str | None = None,
        patch: int | None = None,
        baselines: Any = None,
        seed: int = 0,
    ) -> Iterator[Infidelity]:
        """How far an attribution is off when it foretells changes of the output.

        ``infidelity_steps`` answers over more and more changes; between two steps others may ask.

        INFD of Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations": the mean
        of (IᵀΦ − (f(x) − f(x − I)))² over changes I.

        Parameters
        ----------
        attribution
            One of `attribute`; what it is of is the output f.
        sample
            The sample that it is of.
        perturbation
            ``"removal"``: random features are replaced by the baseline, and take their share of
            the output along. ``"noise"``: normal noise is taken off the input, and counts by its
            slope. None: noise for gradients and what is made of them alone, else removal.
        count
            How many changes.
        deviation
            Standard deviation of noise.
        only, patch, baselines
            As in `faithfulness`; ``baselines=None``: those of the attribution, if it has some.
        seed
            Of the changes.

        Raises
        ------
        FeatureError, BaselineError
            As in `faithfulness`; for noise when the attribution is not of the input.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(6, 3), torch.randn(4, 6))
        >>> live.infidelity(live.attribute("input_x_gradient")).value < 1e-9
        True
        """
        if perturbation is None:
            perturbation = "noise" if attribution.method in SLOPES else "removal"
        if perturbation not in get_args(Perturbation) or count < 1:
            raise ValueError(
                f'perturbation={perturbation!r} must be "removal" or "noise", and count 1 or more.'
            )
        with self._access.reading():
            loaded = self._access.sample(sample)
        if baselines is None:
            baselines = _own_baselines(attribution)
        features = replaceable(self._access, loaded, only, patch, baselines)
        target = common_target({attribution.method: attribution})
        asked = Asked(features, self._live.batches(sample, target))
        generator = torch.Generator().manual_seed(seed)
        changes: _Removals | _Noise
        if perturbation == "removal":
            changes = _Removals(features, attribution, generator)
            note = features.note
        else:
            changes = _Noise(features, attribution, generator, deviation)
            note = f"noise of standard deviation {deviation:g} on input {features.name!r}"
        said, came = [], []
        for start in range(0, count, _AT_ONCE):
            some, altered = changes.draw(min(_AT_ONCE, count - start))
            said.append(some)
            came.append(asked.batches.score - asked.batches.scores(altered).cpu().double())
            explained, changed = torch.cat(said), torch.cat(came)
            yield Infidelity(
                infidelity(explained, changed),
                infidelity(explained, changed, scaled=True),
                perturbation,
                len(changed),
                count,
                " · ".join(part for part in (note, asked.batches.note) if part),
            )

    infidelity = last_of(infidelity_steps)

    def sensitivity_steps(
        self,
        method: str,
        sample: int = 0,
        target: Target = None,
        layer: int | str | None = None,
        *,
        radius: float = 0.02,
        count: int = 10,
        seed: int = 0,
        **options: Any,
    ) -> Iterator[Sensitivity]:
        """How far an attribution moves when its input moves a little.

        ``sensitivity_steps`` answers over more and more inputs; between two steps others may ask.

        SENS_MAX of Yeh et al. 2019, divided by the length of the attribution: the largest of
        ‖Φ(y) − Φ(x)‖ / ‖Φ(x)‖ over some y with ‖y − x‖∞ ≤ radius. Of token ids x is what they are
        embedded as; ``note`` says how far its numbers lie apart.

        Parameters
        ----------
        method, sample, target, layer, **options
            As in `attribute`; None: the class that is predicted for the sample itself.
        radius
            How far each number of the input moves, at most.
        count
            How many inputs are tried.
        seed
            Of the noise, which is uniform; and of the method, where that draws.

        Raises
        ------
        GradientError
            When nothing of the input can move a little, and no module embeds it.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(6, 3), torch.randn(4, 6))
        >>> live.sensitivity("gradient").value
        0.0
        """
        if radius <= 0 or count < 1:
            raise ValueError("radius must be more than 0, and count 1 or more.")
        with self._access.reading(), plain_thread(differentiable=False):
            loaded = self._access.sample(sample)
            variations = shaken(self._live, self._access, loaded, radius, seed)
        options = seeded(method, seed, options)
        here = self._live.attribute(method, sample, target, layer, **options)
        apart = variations.live
        distances: list[float] = []
        try:
            for _ in range(count):
                with plain_thread(differentiable=False):
                    varied = variations.vary()
                # Of the class that was predicted for the sample itself.
                there = apart.attribute(method, varied, here.target, layer, **options)
                apart.refresh()
                distances += sensitivity(_flat(here), _flat(there)[None]).tolist()
                yield Sensitivity(
                    max(distances),
                    sum(distances) / len(distances),
                    len(distances),
                    count,
                    f"each number of the {variations.words} moved by up to {radius:g}",
                )
        finally:
            apart.close()

    sensitivity = last_of(sensitivity_steps)


def _own_baselines(attribution: Attribution) -> Any:
    """What it was compared with, if that was one input: what it foretells is a change to that."""
    given = attribution.options.get("baselines")
    if isinstance(given, Tensor):
        return given if given.shape[:1] <= (1,) else None
    return None if isinstance(given, str) and given == "samples" else given


class _Removals:
    """Random features are replaced; what goes takes its share along."""

    def __init__(
        self, features: Replaceable, attribution: Attribution, generator: torch.Generator
    ) -> None:
        self._features, self._generator = features, generator
        self._sums = features.sums(attribution).cpu()

    def draw(self, count: int) -> tuple[Tensor, dict[Any, Tensor]]:
        """What the attribution says of some changes, (count,), and the inputs."""
        keep = random_removals(count, self._features.count, self._generator)
        return (~keep).double() @ self._sums, self._features.masked(keep)


class _Noise:
    """Normal noise is taken off the input; what goes counts by its slope."""

    def __init__(
        self,
        features: Replaceable,
        attribution: Attribution,
        generator: torch.Generator,
        deviation: float,
    ) -> None:
        values = attribution.values
        slopes = values.get(features.name) if isinstance(values, Mapping) else values
        if slopes is None or slopes.shape != (1, *features.values.shape):
            raise FeatureError(
                'perturbation="noise" needs a slope for each number of the input '
                f"{(1, *features.values.shape)}: take an attribution to the input, or "
                'perturbation="removal".'
            )
        self._features, self._generator, self._deviation = features, generator, deviation
        self._slopes = slopes.detach().flatten().cpu().double()

    def draw(self, count: int) -> tuple[Tensor, dict[Any, Tensor]]:
        """What the attribution says of some changes, (count,), and the inputs."""
        values = self._features.values.detach()
        shape = (count, *values.shape)
        noise = torch.randn(shape, generator=self._generator, device="cpu", dtype=torch.float32)
        noise = (noise * self._deviation).to(values)
        altered = values - noise
        # What was really taken off, after rounding.
        taken = (values.double() - altered.double()).flatten(1).cpu()
        return taken @ self._slopes, {self._features.place: altered}


def _flat(attribution: Attribution) -> Tensor:
    """All its values in one row."""
    return torch.cat([part.flatten() for part in attribution.by_name.values()])
