"""Attributions by what happens to the target when parts of the input are replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.quadrature import spread
from explain_widgets.analysis.windows import Window, WindowMap
from explain_widgets.live.altered import Altered, Place
from explain_widgets.live.attribution.asked import Asked
from explain_widgets.live.attribution.groups import Group, groups_of, occluded


def occlusion(
    asked: Asked,
    sliding_window_shapes: Sequence[int] | None = None,
    strides: Sequence[int] | int | None = None,
    baselines: Any = None,
) -> Iterator[Attribution]:
    """How much the target falls when a window is replaced; at a place the mean of all windows.

    Large windows come first, so that a coarse map is there soon.
    """
    replacing, note = asked.baselines(baselines)
    work = [
        (place, level, is_last)
        for place, value in asked.values.items()
        for level, is_last in occluded(value[0], sliding_window_shapes, strides)
    ]
    # Of every input from the start: what a step gives has the form of the last.
    maps = {place: WindowMap(_map_of(asked.values[place][0], found)) for place, found, _ in work}
    steps = sum(len(found) for _, found, _ in work)
    done = 0
    for place, found, is_last in work:
        value = asked.values[place][0]
        maps[place].finer()
        size = asked.batches.size(gradients=False)
        for start in range(0, len(found), size):
            some = found[start : start + size]
            altered = _without(asked, place, replacing[place][0], some)
            scores = asked.batches.scores(altered)
            for window, score in zip(some, scores.tolist(), strict=True):
                maps[place].add(_on_map(value, found, window), asked.batches.score - score)
            done += len(some)
            words = note if is_last else f"{note} · coarse so far"
            values = {where: made.map[None] for where, made in maps.items()}
            yield asked.answer(values, words, None, done, steps)


def feature_ablation(
    asked: Asked, feature_mask: Any = None, baselines: Any = None
) -> Iterator[Attribution]:
    """How much the target falls when a feature is replaced by the baseline."""
    replacing, note = asked.baselines(baselines)
    yield from _ablated(asked, groups_of(asked, feature_mask), [replacing], note)


def feature_permutation(
    asked: Asked, feature_mask: Any = None, n_samples: int = 8
) -> Iterator[Attribution]:
    """How much the target falls when a feature is that of other samples: the mean over them."""
    rows, _ = asked.baseline_rows("samples")
    count = min(n_samples, len(next(iter(rows.values()))))
    others = [{place: rows[place][n : n + 1] for place in rows} for n in range(count)]
    note = f"each feature from {count} other samples"
    yield from _ablated(asked, groups_of(asked, feature_mask), others, note)


def shapley_value_sampling(
    asked: Asked,
    n_samples: int = 25,
    feature_mask: Any = None,
    baselines: Any = None,
    seed: int = 0,
) -> Iterator[Attribution]:
    """What a feature adds to those before it, the mean over random orders of all features."""
    starts, note = asked.baselines(baselines)
    groups = groups_of(asked, feature_mask)
    generator = torch.Generator().manual_seed(seed)
    first, last = float(asked.batches.scores(starts)[0]), asked.batches.score
    sums = torch.zeros(len(groups), dtype=torch.float64)
    for done in range(1, n_samples + 1):
        order = torch.randperm(len(groups), generator=generator).tolist()
        scores = [first, *_growing(asked, starts, [groups[n] for n in order[:-1]]), last]
        sums[order] += torch.tensor(scores, dtype=torch.float64).diff()
        values = values_of(asked, groups, sums / done)
        found = asked.answer(values, f"{note} · {done} random orders", None, done, n_samples)
        yield with_sum(found, float(sums.sum() / done), last - first)


def _ablated(
    asked: Asked, groups: list[Group], replacing: list[dict[Place, Tensor]], note: str
) -> Iterator[Attribution]:
    falls = torch.zeros(len(groups), dtype=torch.float64)
    counts = torch.zeros(len(groups), dtype=torch.float64)
    pairs = [(n, other) for other in replacing for n in spread(len(groups))]
    size = asked.batches.size(gradients=False)
    for start in range(0, len(pairs), size):
        some = pairs[start : start + size]
        altered = _stacked([_with_other(asked, groups[n], other) for n, other in some])
        numbers = torch.tensor([n for n, _ in some])
        scores = asked.batches.scores(altered).double().cpu()
        falls.index_add_(0, numbers, asked.batches.score - scores)
        counts.index_add_(0, numbers, torch.ones(len(some), dtype=torch.float64))
        values = values_of(asked, groups, falls / counts.clamp_min(1))
        yield asked.answer(values, note, None, start + len(some), len(pairs))


def _with_other(asked: Asked, group: Group, other: dict[Place, Tensor]) -> dict[Place, Tensor]:
    place = group.place
    return asked.values | {place: group.replaced(asked.values[place], other[place])}


def _growing(asked: Asked, starts: dict[Place, Tensor], groups: list[Group]) -> Iterator[float]:
    """Scores of the baseline with more and more features of the sample."""
    current = dict(starts)
    size = asked.batches.size(gradients=False)
    for begin in range(0, len(groups), size):
        some = []
        for group in groups[begin : begin + size]:
            own = asked.values[group.place]
            current = current | {group.place: group.replaced(current[group.place], own)}
            some.append(current)
        yield from asked.batches.scores(_stacked(some)).tolist()


def _stacked(inputs: list[dict[Place, Tensor]]) -> Altered:
    return {place: torch.cat([one[place] for one in inputs]) for place in inputs[0]}


def values_of(asked: Asked, groups: list[Group], found: Tensor) -> dict[Place, Tensor]:
    """Values of features where they are; axes along which they do not differ are 1 long."""
    masks: dict[Place, Tensor] = {}
    for group, value in zip(groups, found.tolist(), strict=True):
        like = asked.values[group.place]
        mask = masks.setdefault(
            group.place, torch.zeros(group.mask.shape, device=like.device, dtype=torch.float32)
        )
        mask[group.mask] = value
    return masks


def with_sum(found: Attribution, sum_of_features: float, expected: float) -> Attribution:
    """A value stands at every place of its feature: the features sum to the difference."""
    return replace(found, completeness_gap=sum_of_features - expected, expected_sum=expected)


# Windows.


def _map_of(value: Tensor, found: list[Window]) -> Tensor:
    """Zeros for the map: an axis that every window covers is 1 long."""
    sizes = [1 if _covers(value, found, axis) else value.shape[axis] for axis in range(value.ndim)]
    return torch.zeros(sizes, device=value.device)


def _on_map(value: Tensor, found: list[Window], window: Window) -> Window:
    return tuple(
        slice(0, 1) if _covers(value, found, axis) else part for axis, part in enumerate(window)
    )


def _covers(value: Tensor, found: list[Window], axis: int) -> bool:
    return found[0][axis] == slice(0, value.shape[axis])


def _without(asked: Asked, place: Place, replacing: Tensor, some: list[Window]) -> Altered:
    own = asked.values[place]
    altered = own.repeat(len(some), *[1] * (own.ndim - 1))
    for entry, window in zip(altered, some, strict=True):
        entry[window] = replacing[window]
    rest = {
        other: value.expand(len(some), *value.shape[1:])
        for other, value in asked.values.items()
        if other != place
    }
    return {**rest, place: altered}
