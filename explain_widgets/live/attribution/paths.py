"""Attributions along the straight line from a baseline to the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.quadrature import Quadrature, rule
from explain_widgets.live.altered import Place
from explain_widgets.live.attribution.asked import Asked, line
from explain_widgets.live.attribution.gradients import Noise
from explain_widgets.live.batches import Passed
from explain_widgets.live.recorder import Spot

_MOST_DOUBLINGS = 4


def integrated_gradients(
    asked: Asked,
    n_steps: int = 50,
    baselines: Any = None,
    quadrature: Quadrature = "gauss_legendre",
    tolerance: float | None = None,
) -> Iterator[Attribution]:
    """The mean gradient along the line, times its length.

    Of a layer: along the line between its activations for the baseline and for the input.
    """
    starts, note = asked.baselines(baselines)
    expected = asked.batches.score - float(asked.batches.scores(starts)[0])
    ends: dict[Place, Tensor] = asked.values
    if asked.spot is not None:
        starts, ends = _activations(asked, starts), _activations(asked, ends)
    for doubled in range(_MOST_DOUBLINGS + 1):
        count = n_steps * 2**doubled
        for done, means in _mean_gradients(asked, starts, ends, count, quadrature):
            values = {place: (ends[place].to(g) - starts[place]) * g for place, g in means.items()}
            words = f"{note} · {done} of {count} points ({quadrature})"
            found = asked.answer(values, words, expected, done, count)
            if done < count and not doubled:
                yield found
        is_last = tolerance is None or doubled == _MOST_DOUBLINGS
        if is_last or abs(found.completeness_gap or 0) <= (tolerance or 0) * abs(expected):
            yield found
            return
        # The coarser rule is shown until the finer one is through.
        yield replace(found, steps=2 * count)


def internal_influence(
    asked: Asked, n_steps: int = 50, baselines: Any = None
) -> Iterator[Attribution]:
    """The mean gradient of a layer along the line between the inputs: of all layers at once."""
    assert asked.spot is not None
    starts, note = asked.baselines(baselines)
    points, weights = rule(n_steps)
    sums: dict[Place, Tensor] = {}
    done = 0
    while done < n_steps:
        stop = min(n_steps, done + asked.batches.size(gradients=True))
        passed = _passed(asked, line(starts, asked.values, points[done:stop]))
        for place, slopes in passed.gradients.items():
            sums[place] = sums.get(place, 0) + _weighted(slopes, weights[done:stop])
        done = stop
        share = float(weights[:done].sum())
        words = f"{note} · {done} of {n_steps} points"
        if done == n_steps:
            for spot in _others(asked, sums):
                asked.siblings(spot, asked.about(spot).answer({spot: sums[spot]}, words))
        yield asked.answer({asked.spot: sums[asked.spot] / share}, words, None, done, n_steps)


def layer_conductance(
    asked: Asked, n_steps: int = 10, baselines: Any = None
) -> Iterator[Attribution]:
    """What flows through each unit of a layer, ∫ (∂f/∂y) dy along the line: of all at once.

    By the trapezoid rule in y: between two points the mean of both gradients times the difference
    of the activations.
    """
    assert asked.spot is not None
    starts, note = asked.baselines(baselines)
    flows = _Flows()
    first, words = 0.0, ""
    for number, point in enumerate(torch.linspace(0, 1, n_steps, dtype=torch.float64), 1):
        passed = _passed(asked, line(starts, asked.values, point[None]))
        first = float(passed.scores[0]) if number == 1 else first
        flows.add(passed)
        words = f"{note} · {number} of {n_steps} points of the path"
        if 1 < number < n_steps:
            yield asked.answer(_only(asked, flows.sums), words, None, number, n_steps)
    # The last point is the input itself.
    expected = float(passed.scores[0]) - first
    words += " · sums to the difference where all goes through this layer"
    sums = flows.finished()
    for spot in _others(asked, sums):
        asked.siblings(spot, asked.about(spot).answer({spot: sums[spot]}, words, expected))
    yield asked.answer(_only(asked, sums), words, expected, n_steps, n_steps)


class _Flows:
    """Σ of ½ (gₖ + gₖ₊₁)(yₖ₊₁ − yₖ) by place, in the order Σ of ½ gₖ (yₖ₊₁ − yₖ₋₁).

    One product a step and place; where modules hand on the same tensor it is taken once.
    """

    def __init__(self) -> None:
        self._sums: dict[Place, Tensor] = {}
        self._last: Passed | None = None
        self._before: dict[Place, Tensor] = {}

    @property
    def sums(self) -> dict[Place, Tensor]:
        """What has come through so far."""
        return self._sums

    def add(self, passed: Passed) -> None:
        """The next point."""
        if self._last is not None:
            self._product(self._last, passed.activations, self._before)
            self._before = self._last.activations
        else:
            self._before = passed.activations
        self._last = passed

    def finished(self) -> dict[Place, Tensor]:
        """The sums with the last point's own part."""
        assert self._last is not None
        self._product(self._last, self._last.activations, self._before)
        return self._sums

    def _product(self, at: Passed, after: dict[Place, Tensor], before: dict[Place, Tensor]) -> None:
        done: dict[tuple[int, ...], Tensor] = {}
        for place, slopes in at.gradients.items():
            if place not in after or place not in before:
                continue
            same = (id(slopes), id(after[place]), id(before[place]), id(self._sums.get(place)))
            if same not in done:
                kind = torch.promote_types(slopes.dtype, torch.float32)  # as in `_weighted`
                change = after[place].to(kind) - before[place]
                known = self._sums.get(place)
                done[same] = (
                    change.mul_(slopes).mul_(0.5)
                    if known is None
                    else known.addcmul_(slopes, change, value=0.5)
                )
            self._sums[place] = done[same]


def gradient_shap(
    asked: Asked,
    n_samples: int = 20,
    stdevs: float = 0.0,
    baselines: Any = None,
    seed: int = 0,
) -> Iterator[Attribution]:
    """Expected gradients: at random points between random baselines and the input with noise."""
    rows, note = asked.baseline_rows(baselines)
    noise = Noise(stdevs, seed)
    count = len(next(iter(rows.values())))
    expected = asked.batches.score - float(asked.batches.scores(rows).double().mean())
    sums: dict[Place, Tensor] = {}
    done = 0
    while done < n_samples:
        entries = min(asked.batches.size(gradients=True), n_samples - done)
        picked = torch.randint(count, (entries,), generator=noise.generator)
        shares = torch.rand(entries, generator=noise.generator, dtype=torch.float64)
        ends = {place: noise.added(value, entries) for place, value in asked.values.items()}
        starts = {place: rows[place][picked.to(rows[place].device)] for place in ends}
        passed = asked.batches.gradients(line(starts, ends, shares), asked.places)
        for place, slopes in passed.gradients.items():
            kind = torch.promote_types(slopes.dtype, torch.float32)  # as in `_weighted`
            part = slopes * (ends[place].to(kind) - starts[place])
            sums[place] = sums.get(place, 0) + part.sum(0, keepdim=True)
        done += entries
        values = {place: found / done for place, found in sums.items()}
        words = f"{note} · {done} random points"
        yield asked.answer(values, words, expected, done, n_samples)


def neuron_conductance(
    asked: Asked, n_steps: int = 50, baselines: Any = None
) -> Iterator[Attribution]:
    """What flows from each part of the input through one neuron to the target.

    Of each point the target is differentiated by the neuron, and the neuron by the input.
    """
    starts, note = asked.baselines(baselines)
    points, weights = rule(n_steps)
    sums: dict[Place, Tensor] = {}
    done = 0
    while done < n_steps:
        stop = min(n_steps, done + asked.batches.size(gradients=True))
        altered = line(starts, asked.values, points[done:stop])
        passed = asked.batches.gradients(altered, asked.places, onward=asked.whole)
        for place in asked.places:
            part = _weighted(passed.gradients[place], weights[done:stop])
            sums[place] = sums.get(place, 0) + part
        done = stop
        share = float(weights[:done].sum())
        values = {
            place: (asked.values[place].to(found) - starts[place]) * found / share
            for place, found in sums.items()
        }
        yield asked.answer(values, f"{note} · {done} of {n_steps} points", None, done, n_steps)


def _mean_gradients(
    asked: Asked,
    starts: dict[Place, Tensor],
    ends: dict[Place, Tensor],
    count: int,
    quadrature: Quadrature,
) -> Iterator[tuple[int, dict[Place, Tensor]]]:
    """The mean gradient along the line, as known after each batch of points."""
    points, weights = rule(count, quadrature)
    sums: dict[Place, Tensor] = {}
    done = 0
    while done < count:
        stop = min(count, done + asked.batches.size(gradients=True))
        passed = asked.batches.gradients(line(starts, ends, points[done:stop]), asked.places)
        for place, slopes in passed.gradients.items():
            sums[place] = sums.get(place, 0) + _weighted(slopes, weights[done:stop])
        done = stop
        share = float(weights[:done].sum())
        yield done, {place: found / share for place, found in sums.items()}


def _weighted(slopes: Tensor, weights: Tensor) -> Tensor:
    """Their weighted sum, (1, …), in float32 at least: halves are too short to sum in."""
    kind = torch.promote_types(slopes.dtype, torch.float32)
    return torch.tensordot(weights.to(slopes.device, kind), slopes.to(kind), 1)[None]


def _activations(asked: Asked, values: dict[Place, Tensor]) -> dict[Place, Tensor]:
    """What comes out of the layer for these inputs."""
    assert asked.spot is not None
    found = asked.batches.gradients(values, (asked.spot,)).activations[asked.spot]
    return {asked.spot: found}


def _passed(asked: Asked, altered: dict[Place, Tensor]) -> Passed:
    """Gradients of the layer, and of all others along with it where that changes nothing."""
    may_share = asked.features.may_share
    try:
        passed = asked.batches.gradients(altered, asked.places, asked.room(8).keeps, may_share)
        if not asked.features.learn(passed.overwritten):
            return passed
        return asked.batches.gradients(altered, asked.places, asked.room(8).keeps, may_share)
    except RuntimeError:
        # Everywhere may be too much, or meet an operation that has no gradient.
        return asked.batches.gradients(altered, asked.places)


def _only(asked: Asked, found: dict[Place, Tensor]) -> dict[Place, Tensor]:
    """What was found for the layer that was asked about."""
    return {place: found[place] for place in asked.places}


def _others(asked: Asked, found: dict[Place, Tensor]) -> list[Spot]:
    return [place for place in found if isinstance(place, tuple) and place != asked.spot]
