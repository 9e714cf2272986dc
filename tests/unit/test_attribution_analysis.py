"""Sums of attributions, quadratures, windows, Grad-CAM: against small cases by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from explain_widgets.analysis.attribution import (
    Attribution,
    channel_scores,
    grad_cam,
    over_channels,
    pixel_scores,
    token_scores,
    with_sign,
    word_scores,
)
from explain_widgets.analysis.feature_maps import choose_layout
from explain_widgets.analysis.layout_rules import Known
from explain_widgets.analysis.patches import ImageGrid
from explain_widgets.analysis.quadrature import rule, spread
from explain_widgets.analysis.windows import WindowMap, coarser, windows


def test_what_a_person_reads_of_values() -> None:
    image = torch.tensor([[[[1.0, -2.0]], [[-3.0, 0.5]], [[1.0, 0.0]]]])  # (1, 3, 1, 2)
    assert pixel_scores(image).tolist() == [[-1.0, -1.5]]
    assert pixel_scores(image, "max").tolist() == [[-3.0, -2.0]]
    assert pixel_scores(image, "norm")[0, 0] == pytest.approx(math.sqrt(11))
    assert pixel_scores(image, 1, "positive").tolist() == [[0.0, 0.5]]
    assert pixel_scores(image, "mean", "absolute")[0, 1] == pytest.approx(0.5)
    assert pixel_scores(image.movedim(1, 3), axis=3).tolist() == [[-1.0, -1.5]]
    assert channel_scores(image).tolist() == [-1.0, -2.5, 1.0]
    assert channel_scores(image.movedim(1, 3), axis=3).tolist() == [-1.0, -2.5, 1.0]
    text = torch.tensor([[[1.0, 2.0], [0.5, -4.0], [0.0, 1.0]]])
    scores = token_scores(text)
    assert scores.tolist() == [3.0, -3.5, 1.0]
    assert word_scores(scores, [0, 2, 3]).tolist() == [-0.5, 1.0]
    assert token_scores(torch.tensor([[1.0, -2.0]]), sign="negative").tolist() == [0.0, -2.0]


def test_what_cannot_be_read() -> None:
    with pytest.raises(ValueError, match='must be "sum", "mean"'):
        over_channels(torch.ones(1, 2), 1, "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="index of one of 2"):
        over_channels(torch.ones(1, 2), 1, 2)
    with pytest.raises(ValueError, match="sign='plus'"):
        with_sign(torch.ones(1), "plus")  # type: ignore[arg-type]


def test_the_total_is_of_all_inputs() -> None:
    one = Attribution({"a": torch.ones(3), "b": torch.tensor([0.5])}, "gradient", 1, steps=2)
    assert one.total == 3.5
    assert not one.is_final
    assert list(one.by_name) == ["a", "b"]


def test_quadratures_integrate() -> None:
    for quadrature, degree in (("gauss_legendre", 9), ("midpoint", 1), ("trapezoid", 1)):
        points, weights = rule(5, quadrature)  # type: ignore[arg-type]
        assert float(weights.sum()) == pytest.approx(1, abs=1e-14)
        for power in range(degree + 1):
            assert float((weights * points**power).sum()) == pytest.approx(1 / (power + 1))
        assert float((weights * points**10).sum()) != pytest.approx(1 / 11, rel=1e-9)
    # In double precision, also where steps are no binary fractions.
    for count, quadrature, places in (
        (3, "midpoint", [1 / 6, 1 / 2, 5 / 6]),
        (4, "trapezoid", [0, 1 / 3, 2 / 3, 1]),
    ):
        points, _ = rule(count, quadrature)  # type: ignore[arg-type]
        assert sorted(points.tolist()) == pytest.approx(places, abs=1e-15)
    for count, quadrature in ((0, "midpoint"), (1, "trapezoid")):
        with pytest.raises(ValueError, match="too few"):
            rule(count, quadrature)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="quadrature='simpson'"):
        rule(3, "simpson")  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 50, 64])
def test_every_beginning_of_a_rule_is_spread(count: int) -> None:
    assert sorted(spread(count)) == list(range(count))
    if count == 64:
        early = sorted(spread(64)[:8])
        assert [after - before for before, after in itertools.pairwise(early)] == [8] * 7


def test_windows_and_the_map_they_make() -> None:
    found = windows((1, 5, 4), (1, 2, 3), (1, 2, 1))
    starts = [(w[1].start, w[2].start) for w in found]
    assert starts == [(y, x) for y in (0, 2, 4) for x in (0, 1)]
    assert found[-1][1] == slice(4, 5)
    made = WindowMap(torch.zeros(1, 5, 4))
    made.add((slice(0, 1), slice(0, 5), slice(0, 4)), 9.0)
    made.finer()
    made.add(found[0], 2.0)
    made.add(found[1], 4.0)
    assert made.map[0, 0].tolist() == [2.0, 3.0, 3.0, 4.0]
    assert made.map[0, 4].tolist() == [9.0] * 4
    assert list(coarser((3, 224, 224), (3, 28, 28))) == [(3, 56, 56)]
    assert list(coarser((12,), (1,))) == [(4,), (2,)]
    assert list(coarser((4,), (4,))) == []


@pytest.mark.parametrize(
    ("sizes", "strides", "said"),
    [((2,), (1, 1), "as many sizes"), ((9, 1), (1, 1), "does not fit"), ((2, 2), (3, 1), "gaps")],
)
def test_windows_that_make_no_map(
    sizes: tuple[int, ...], strides: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        windows((5, 5), sizes, strides)


def test_grad_cam_is_the_weighted_sum_of_maps() -> None:
    maps, slopes = torch.randn(1, 6, 4, 5), torch.randn(1, 6, 4, 5)
    expected = torch.zeros(4, 5)
    for channel in range(6):
        expected += slopes[0, channel].mean() * maps[0, channel]
    found = grad_cam(maps, slopes, choose_layout(maps.shape))
    assert found.shape == (1, 1, 4, 5)
    assert torch.allclose(found[0, 0], expected, atol=1e-6)
    last = choose_layout((1, 4, 5, 6), layout="channels_last")
    moved = grad_cam(maps.permute(0, 2, 3, 1), slopes.permute(0, 2, 3, 1), last)
    assert torch.allclose(moved, found, atol=1e-6)


def test_grad_cam_of_tokens_leaves_the_class_token_out() -> None:
    tokens, slopes = torch.randn(1, 7, 8), torch.randn(1, 7, 8)
    layout = choose_layout(
        (1, 7, 8), Known("features_last", grid=ImageGrid(1, 2, 3, 2, 3)), "tokens"
    )
    weights = slopes[0, 1:].mean(0)
    expected = (tokens[0, 1:] * weights).sum(-1).reshape(2, 3)
    assert torch.allclose(grad_cam(tokens, slopes, layout)[0, 0], expected, atol=1e-6)
    row = choose_layout((1, 7, 8), Known("features_last"), "tokens")
    assert grad_cam(tokens, slopes, row).shape == (1, 1, 7)
