"""Deletion and insertion curves against a plain loop, and where they are known in closed form."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import Tensor

from explain_widgets.analysis.faithfulness import (
    Faithfulness,
    bisected,
    faithfulness,
    spread_counts,
)


def last(*args: object, **options: object) -> Faithfulness:
    *_, found = faithfulness(*args, **options)  # type: ignore[arg-type]
    return found


def network(features: int) -> Callable[[Tensor], Tensor]:
    """A score that is far from linear in its features, in float64."""
    values = torch.randn(features).double()
    inner, outer = torch.randn(features, 16).double(), torch.randn(16).double()
    return lambda keep: ((keep * values) @ inner).tanh() @ outer


def plain_curve(values: Tensor, score: Callable[[Tensor], Tensor], insertion: bool) -> list[float]:
    """One feature after the other, the largest first, equals by index."""
    order = sorted(range(len(values)), key=lambda feature: -float(values[feature]))
    keep = torch.full((1, len(values)), not insertion)
    scores = [float(score(keep))]
    for feature in order:
        keep[0, feature] = insertion
        scores.append(float(score(keep)))
    return scores


@pytest.mark.parametrize("ties", [False, True])
def test_curves_are_those_of_a_plain_loop(ties: bool) -> None:
    values = torch.randint(0, 4, (23,)).float() if ties else torch.randn(23)
    score = network(23)
    found = last({"one": values}, score, points=24)
    for curves, insertion in ((found.deletion, False), (found.insertion, True)):
        expected = plain_curve(values, score, insertion)
        assert curves.counts.tolist() == list(range(24))
        np.testing.assert_allclose(curves.scores[0], expected, atol=1e-12)
        area = integrate.trapezoid(expected, dx=1 / 23)
        assert float(curves.areas[0]) == pytest.approx(area, abs=1e-12)


def test_fewer_points_lie_on_the_full_curve() -> None:
    values, score = torch.randn(101), network(101)
    found = last({"one": values}, score, points=9)
    expected = plain_curve(values, score, False), plain_curve(values, score, True)
    for curves, full in zip((found.deletion, found.insertion), expected, strict=True):
        assert curves.fractions[0] == 0
        assert curves.fractions[-1] == 1
        assert len(curves.counts) == 9
        for count, value in zip(curves.counts.tolist(), curves.scores[0], strict=True):
            assert float(value) == pytest.approx(full[count], abs=1e-12)


def test_a_linear_model_is_known_in_closed_form() -> None:
    """f = Σ c: the deletion curve is what is left, its area Σ c of rank r × (r − ½) / n."""
    shares = torch.tensor([5.0, 1.0, -2.0, 3.0]).double()
    found = last({"c": shares}, lambda keep: keep.double() @ shares + 10, points=5)
    assert found.deletion.scores[0].tolist() == [17, 12, 9, 8, 10]
    assert found.insertion.scores[0].tolist() == [10, 15, 18, 19, 17]
    areas = [sum(c * (r - 0.5) / 4 for r, c in enumerate([5, 3, 1, -2], 1)) + 10]
    areas += [sum(c * (4 - r + 0.5) / 4 for r, c in enumerate([5, 3, 1, -2], 1)) + 10]
    assert [float(found.deletion.areas), float(found.insertion.areas)] == pytest.approx(areas)
    assert found.deletion.normalised().scores[0].tolist() == [1, 2 / 7, -1 / 7, -2 / 7, 0]
    assert found.insertion.normalised().scores[0].tolist() == [0, 5 / 7, 8 / 7, 9 / 7, 1]


def test_the_best_order_of_a_linear_model_beats_all_others() -> None:
    shares = torch.randn(12).double()
    methods = {"true": shares, "wrong": -shares, "other": torch.randn(12)}
    found = last(methods, lambda keep: keep.double() @ shares, points=13)
    assert found.deletion.names == ("true", "wrong", "other")
    assert int(found.deletion.areas.argmin()) == 0
    assert int(found.deletion.areas.argmax()) == 1
    assert int(found.insertion.areas.argmax()) == 0
    assert (found.random_deletion.areas > found.deletion.areas[0]).all()
    assert (found.random_insertion.areas < found.insertion.areas[0]).all()


def test_random_orders_of_a_linear_model_have_an_area_of_one_half() -> None:
    shares = torch.rand(20).double() + 0.5
    found = last({"c": shares}, lambda keep: keep.double() @ shares, points=21, repeats=400)
    for curves in (found.random_deletion, found.random_insertion):
        areas = curves.normalised().areas
        assert areas.shape == (400,)
        standard_error = float(areas.std()) / 20
        assert 0 < standard_error < 0.01
        assert abs(float(areas.mean()) - 0.5) < 3 * standard_error


def test_random_curves_are_those_of_random_orders() -> None:
    """Replayed with generators of the same seed: deletion forwards, insertion backwards."""
    score = network(11)
    found = last({"one": torch.randn(11)}, score, points=12, repeats=3, seed=5)
    generator = torch.Generator().manual_seed(5)
    for n in range(3):
        order = torch.randperm(11, generator=generator)
        values = torch.empty(11).scatter(0, order, torch.arange(11, 0, -1.0))
        deletion, insertion = plain_curve(values, score, False), plain_curve(-values, score, True)
        np.testing.assert_allclose(found.random_deletion.scores[n], deletion, atol=1e-12)
        np.testing.assert_allclose(found.random_insertion.scores[n], insertion, atol=1e-12)


def test_mean_and_spread_of_random_curves() -> None:
    curves = last({"one": torch.randn(11)}, network(11), points=12, repeats=5).random_deletion
    scores = curves.scores.numpy()
    np.testing.assert_allclose(curves.mean, scores.mean(0), atol=1e-12)
    np.testing.assert_allclose(curves.spread, scores.std(0, ddof=1), atol=1e-12)
    assert float(curves.spread[0]) == pytest.approx(0, abs=1e-12)
    assert float(curves.spread[5]) > 0


def test_the_same_seed_gives_the_same_curves_whatever_was_drawn_before() -> None:
    values, score = torch.randn(15), network(15)
    first = last({"one": values}, score, seed=3).random_deletion.scores
    state = torch.get_rng_state()
    again = last({"one": values}, score, seed=3).random_deletion.scores
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, last({"one": values}, score, seed=4).random_deletion.scores)


def test_curves_are_coarse_first_and_keep_their_points() -> None:
    values, score = torch.randn(40), network(40)
    steps = list(faithfulness({"one": values}, score, points=17, batch=11))
    counts = [step.deletion.counts.tolist() for step in steps]
    assert counts[0] == [0, 40]
    assert counts[1] == [0, 20, 40]
    for before, after in itertools.pairwise(steps):
        known = set(before.insertion.counts.tolist())
        assert known < set(after.insertion.counts.tolist())
        assert before.progress < after.progress
    assert steps[-1].progress == 1
    full = last({"one": values}, score, points=17, batch=1000)
    assert torch.equal(steps[-1].insertion.counts, full.insertion.counts)
    # Batches of other sizes may sum in another order.
    np.testing.assert_allclose(steps[-1].insertion.scores, full.insertion.scores, atol=1e-9)


def test_no_more_masks_at_once_than_asked_for_and_none_twice() -> None:
    asked: list[Tensor] = []

    def score(keep: Tensor) -> Tensor:
        asked.append(keep)
        return keep.sum(1).float()

    last({"a": torch.randn(30), "b": torch.randn(30)}, score, points=9, repeats=4, batch=5)
    assert max(map(len, asked)) == 5
    # The two ends once for all; 7 points of 2 × 2 orders of methods and 4 random ones.
    assert sum(map(len, asked)) == 2 + 7 * 8


def test_input_and_baseline_that_score_alike_have_no_normalised_curve() -> None:
    found = last({"one": torch.randn(4)}, lambda keep: (keep.sum(1) == 2).float(), points=5)
    assert found.deletion.normalised().scores.isnan().all()
    assert math.isnan(found.to_dicts(normalised=True)[0]["deletion"])


def test_rows_of_a_table() -> None:
    found = last({"a": torch.randn(9), "b": torch.randn(9)}, network(9))
    one, two, random = found.to_dicts()
    assert (one["method"], two["method"], random["method"]) == ("a", "b", "random")
    assert one["deletion"] == float(found.deletion.areas[0])
    assert two["insertion"] == float(found.insertion.areas[1])
    assert random["deletion"] == pytest.approx(float(found.random_deletion.areas.mean()))
    assert random["insertion_spread"] == pytest.approx(float(found.random_insertion.areas.std()))
    normalised = found.to_dicts(normalised=True)
    assert normalised[0]["deletion"] == float(found.deletion.normalised().areas[0])


def test_a_single_feature_goes_all_at_once() -> None:
    found = last({"one": torch.ones(1)}, lambda keep: keep[:, 0].float())
    assert found.deletion.scores.tolist() == [[1, 0]]
    assert found.progress == 1


@pytest.mark.parametrize(("features", "points"), [(1, 2), (7, 3), (10, 100), (50_176, 33)])
def test_counts_are_spread_and_halved(features: int, points: int) -> None:
    counts = spread_counts(features, points)
    steps = {b - a for a, b in itertools.pairwise(counts)}
    assert (counts[0], counts[-1]) == (0, features)
    assert max(steps) - min(steps) <= 1
    assert min(steps) >= 1
    assert sorted([0, *bisected(len(counts)), len(counts) - 1]) == list(range(len(counts)))


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ({"a": torch.tensor([1.0, math.nan])}, {}, "'a' holds 1 numbers that are not finite"),
        ({"a": torch.zeros(2), "b": torch.zeros(3)}, {}, r"\(features,\), not \(2,\), \(3,\)"),
        ({"a": torch.zeros(2, 2)}, {}, r"not \(2, 2\)"),
        ({}, {}, "not none"),
        ({"a": torch.zeros(2)}, {"points": 1}, "points"),
        ({"a": torch.zeros(2)}, {"repeats": 1}, "repeats"),
    ],
)
def test_what_has_no_order_is_refused_at_once(
    values: dict[str, Tensor], options: dict[str, int], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        faithfulness(values, lambda keep: keep.sum(1), **options)


def test_a_score_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 masks by \(2,\), not by \(2, 3\)"):
        last({"a": torch.zeros(3)}, lambda keep: keep.float())


def test_random_curves_lie_where_their_counts_are() -> None:
    """Of equal features the score is the share that is there, at uneven steps and on the way."""
    for found in faithfulness(
        {"equal": torch.ones(10)}, lambda keep: keep.double().mean(1), points=5, batch=1
    ):
        for gone, come in (
            (found.deletion, found.insertion),
            (found.random_deletion, found.random_insertion),
        ):
            assert torch.allclose(gone.scores, (1 - gone.fractions).expand_as(gone.scores))
            assert torch.allclose(come.scores, come.fractions.expand_as(come.scores))
