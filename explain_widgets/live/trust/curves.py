"""Deletion and insertion on the live model: what it says of its sample while features go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.faithfulness import Faithfulness, faithfulness
from explain_widgets.analysis.predictions import are_probabilities
from explain_widgets.live.access import Access
from explain_widgets.live.batches import Batches
from explain_widgets.live.targets import Target, logits, target_key
from explain_widgets.live.trust.replaceable import FeatureError, Replaceable, replaceable

if TYPE_CHECKING:
    from explain_widgets.live.model import LiveModel

Attributions: TypeAlias = Attribution | Iterable[Attribution] | Mapping[str, Attribution]

_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Asked:
    """The model, asked about one sample with some features replaced.

    Attributes
    ----------
    features
        What is replaced, and by what.
    batches
        The model on many such inputs.
    """

    features: Replaceable
    batches: Batches

    def score(self, keep: Tensor) -> Tensor:
        """What the model says of inputs that keep some features: masks (n, features) → (n,)."""
        return self.batches.scores(self.features.masked(keep))


def named(attributions: Attributions) -> dict[str, Attribution]:
    """Attributions by name: of the method, with its layer; equal ones are numbered.

    Examples
    --------
    >>> one = Attribution(Tensor([1.0]), "gradient", 0)
    >>> list(named([one, one]))
    ['gradient', 'gradient 2']
    """
    if isinstance(attributions, Mapping):
        return dict(attributions)
    found: dict[str, Attribution] = {}
    for one in [attributions] if isinstance(attributions, Attribution) else attributions:
        name = one.method if one.layer is None else f"{one.method} · {one.layer}"
        taken = sum(other == name or other.startswith(f"{name} ") for other in found)
        found[f"{name} {taken + 1}" if taken else name] = one
    return found


def common_target(attributions: Mapping[str, Attribution]) -> Target:
    """The target of all of them.

    Raises
    ------
    FeatureError
        When there is none, they differ in it, or it is a neuron.
    """
    for name, one in attributions.items():
        if one.method.startswith("neuron_"):
            raise FeatureError(
                f"{name} attributes a neuron of {one.layer!r}, and what is scored is the output."
            )
    targets = {target_key(one.target): one.target for one in attributions.values()}
    if len(targets) != 1:
        raise FeatureError(
            "There is no attribution to hold against the model."
            if not targets
            else f"Attributions of {len(targets)} targets cannot be compared: pick those of one."
        )
    return next(iter(targets.values()))


def probability_of(target: Target, last: int) -> tuple[Target, str]:
    """The probability of a class in the place of its logit, and in words what is scored.

    Other targets, and outputs of a single number, stay as they are.
    """
    if not isinstance(target, int):
        return target, f"loss {target}" if isinstance(target, str) else "the target"

    def probability(output: Any) -> Tensor:
        scores = logits(output, last)
        if scores.numel() == 1 or are_probabilities(scores):
            return scores[target]
        return scores.softmax(0)[target]

    return probability, f"probability of class {target}"


def curve_steps(
    live: LiveModel,
    access: Access,
    attributions: Attributions,
    sample: int,
    only: str | None = None,
    patch: int | None = None,
    baselines: Any = None,
    probability: bool = True,
    **options: int,
) -> Iterator[Faithfulness]:
    """Deletion and insertion curves, as `LiveModel.faithfulness` gives them."""
    held = named(attributions)
    target: Target = live.batches(sample, common_target(held)).target
    words = f"logit of class {target}" if isinstance(target, int) else "the target"
    if probability:
        target, words = probability_of(target, access.last(sample))
    with access.reading():
        loaded = access.sample(sample)
    features = replaceable(access, loaded, only, patch, baselines)
    asked = Asked(features, live.batches(sample, target))
    at_once = min(_AT_ONCE, asked.batches.size(gradients=False))
    sums = {name: features.sums(one) for name, one in held.items()}
    for found in faithfulness(sums, asked.score, batch=at_once, **options):
        notes = (words, features.note, asked.batches.note)
        yield replace(found, note=" · ".join(note for note in notes if note))
