"""Attributions by a linear model, fitted to what the model says of random sets of features."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.surrogates import (
    coin_sets,
    end_weights,
    lasso,
    least_squares,
    nearness,
    shapley_sets,
)
from explain_widgets.live.access import Access
from explain_widgets.live.altered import Altered, Place
from explain_widgets.live.attribution.asked import Asked
from explain_widgets.live.attribution.groups import feature_masks, groups_of
from explain_widgets.live.attribution.limits import CannotAttributeError
from explain_widgets.live.attribution.perturbations import values_of, with_sum
from explain_widgets.live.randomness import kept_random_state

_FIRST = 8
"""So many samples come first, then twice as many at a time: there is something to see soon."""
_GROWTH = 1.5
"""The linear model is fitted anew when there are so many times the samples: work stays linear."""


def lime(
    asked: Asked,
    n_samples: int = 100,
    feature_mask: Any = None,
    baselines: Any = None,
    alpha: float = 0.01,
    seed: int = 0,
) -> Iterator[Attribution]:
    """A sparse linear model of the target over which features are there, near the input."""
    if importlib.util.find_spec("sklearn") is None:
        raise CannotAttributeError(
            "lime fits a model of scikit-learn, which is not installed: pip install scikit-learn."
        )
    _import_lasso(asked.access)
    starts, note = asked.baselines(baselines)
    groups = groups_of(asked, feature_mask)
    own = _flat(asked.values)
    drawn = _Drawn(
        asked,
        starts,
        feature_masks(asked.inputs, feature_mask),
        coin_sets(len(groups), torch.Generator().manual_seed(seed)),
        lambda sets, altered: nearness(own[0], _flat(altered)),
        lambda sets, scores, weights: lasso(sets, scores, weights, alpha),
    )
    for done, found in drawn.fitted(n_samples):
        words = f"{note} · {done} samples of {len(groups)} features"
        if not found.any():
            words += f" · the penalty alpha={alpha:g} leaves none of them: a smaller one may help"
        yield asked.answer(values_of(asked, groups, found), words, None, done, n_samples)


def _import_lasso(access: Access) -> None:
    """Import what fits; something in it draws from Python's own generator, once."""
    # Beside a running cell the draws of that would be put back as well.
    with kept_random_state(()) if access.is_home() else nullcontext():
        importlib.import_module("sklearn.linear_model")


def kernel_shap(
    asked: Asked,
    n_samples: int = 100,
    feature_mask: Any = None,
    baselines: Any = None,
    seed: int = 0,
) -> Iterator[Attribution]:
    """Shapley values by a weighted linear model over which features are there."""
    starts, note = asked.baselines(baselines)
    groups = groups_of(asked, feature_mask)
    drawn = _Drawn(
        asked,
        starts,
        feature_masks(asked.inputs, feature_mask),
        shapley_sets(len(groups), torch.Generator().manual_seed(seed)),
        lambda sets, altered: end_weights(sets),
        least_squares,
    )
    for done, found in drawn.fitted(n_samples):
        words = f"{note} · {done} samples of {len(groups)} features"
        answer = asked.answer(values_of(asked, groups, found), words, None, done, n_samples)
        # The first of the sets are all features and none.
        ends = drawn.scores[:2].tolist()
        is_known = len(ends) == 2
        yield with_sum(answer, float(found.sum()), ends[0] - ends[1]) if is_known else answer


class _Drawn:
    """Random sets of features, what the model says of them, and the linear model of that.

    Parameters
    ----------
    asked
        What is attributed, to what.
    starts, masks
        What stands in the place of a feature that is not there, and the number of the feature of
        each value; by place.
    sets
        Gives the sets, (features,) bool each.
    weigh
        From sets (samples, features) and the inputs with these to the weight of each, (samples,).
    fit
        From sets, scores and weights to a value for each feature.
    """

    def __init__(
        self,
        asked: Asked,
        starts: dict[Place, Tensor],
        masks: dict[Place, Tensor],
        sets: Iterator[Tensor],
        weigh: Callable[[Tensor, Altered], Tensor],
        fit: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> None:
        self._asked, self._starts, self._masks = asked, starts, masks
        self._sets, self._weigh, self._fit = sets, weigh, fit
        self._known: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def scores(self) -> Tensor:
        """(samples,), float64: what the model said of the sets so far."""
        return torch.cat([scores for _, scores, _ in self._known])

    def fitted(self, n_samples: int) -> Iterator[tuple[int, Tensor]]:
        """After each batch: how many sets there are, and the values of features by then."""
        done, last = 0, 0
        while done < n_samples:
            size = min(self._asked.batches.size(gradients=False), max(_FIRST, done))
            done += self._ask(min(size, n_samples - done))
            if done == n_samples or done >= _GROWTH * last:
                sets, scores, weights = map(torch.cat, zip(*self._known, strict=True))
                found, last = self._fit(sets, scores, weights), done
            yield done, found

    def _ask(self, count: int) -> int:
        """Ask the model about so many sets more."""
        sets = torch.stack(list(islice(self._sets, count)))
        altered: dict[Place, Tensor] = {}
        for place, mask in self._masks.items():
            own, start = self._asked.values[place], self._starts[place]
            altered[place] = torch.where(sets.to(own.device)[:, mask[0]], own, start)
        scores = self._asked.batches.scores(altered)
        self._known.append((sets, scores.double().cpu(), self._weigh(sets, altered).cpu()))
        return count


def _flat(values: Altered) -> Tensor:
    """(entries, numbers): all inputs of each entry in one row."""
    return torch.cat([tensor.flatten(1) for tensor in values.values()], 1)
