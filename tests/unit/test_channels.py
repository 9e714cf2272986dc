"""Channels in numbers and as mosaics, each against numpy in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from explain_widgets.analysis.channels import (
    ORDERS,
    channel_scores,
    channel_statistics,
    finite_means,
    histogram,
    histogram_edges,
    rank,
    ranked,
    strongest,
)
from explain_widgets.analysis.mosaic import bin_edges, fitting_size, mosaic

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def maps(dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (12, 1, 17, 23)) -> Tensor:
    """Half of them zero, as after a ReLU, and some without any."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values[: len(values) // 2].relu_()
    values[3] = 0
    return values.to(dtype)


# --- statistics -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_of_each_channel(dtype: torch.dtype) -> None:
    values = maps(dtype)
    found = channel_statistics(values)
    flat = values.double().flatten(1).numpy()
    assert np.array_equal(found.minimum.double(), flat.min(1))
    assert np.array_equal(found.maximum.double(), flat.max(1))
    assert np.allclose(found.mean, flat.mean(1), rtol=1e-5, atol=1e-7)
    assert np.allclose(found.positive, (flat > 0).mean(1), rtol=1e-6)
    assert np.allclose(found.zeros, (flat == 0).mean(1), rtol=1e-6)
    assert not found.nonfinite.any()


def test_statistics_are_of_what_is_finite() -> None:
    values = maps()
    values[1, 0, 0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    values[2] = torch.nan
    found = channel_statistics(values)
    kept = values[1].flatten()[3:].double().numpy()
    assert found.nonfinite[:4].tolist() == [0, 3, 17 * 23, 0]
    assert float(found.maximum[1]) == kept.max()
    assert float(found.mean[1]) == pytest.approx(kept.mean(), rel=1e-5)
    assert float(found.positive[1]) == pytest.approx((kept > 0).mean())
    for name in ("minimum", "maximum", "mean", "positive", "zeros"):
        assert torch.isnan(getattr(found, name)[2])
        assert torch.equal(getattr(found, name)[4:], getattr(channel_statistics(maps()), name)[4:])


def test_means_are_over_finite_numbers() -> None:
    values = maps()
    values[1, 0, 0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    values[2] = torch.nan
    known = np.where(np.isfinite(values), values.double().numpy(), np.nan)
    expected = [
        np.mean(one[np.isfinite(one)]) if np.isfinite(one).any() else np.nan for one in known
    ]
    np.testing.assert_allclose(finite_means(values), expected, rtol=1e-5)


def test_integers_have_statistics() -> None:
    found = channel_statistics(torch.tensor([[0, 2, 4], [-1, 0, 0]]))
    assert found.mean.tolist() == pytest.approx([2, -1 / 3])
    assert found.zeros.tolist() == pytest.approx([1 / 3, 2 / 3])


# --- order ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_channels_in_order(order) -> None:
    values, gradient = maps(), maps().flip(0) - 0.3
    means = torch.randn(5, 12, generator=torch.Generator().manual_seed(1))
    flat, slope = values.double().flatten(1).numpy(), gradient.double().flatten(1).numpy()
    expected = {
        "index": -np.arange(12),
        "mean": flat.mean(1),
        "maximum": flat.max(1),
        "zeros": (flat == 0).mean(1),
        "variance": means.double().numpy().var(0),
        "activation_x_gradient": (flat * slope).sum(1),
    }[order]
    scores = channel_scores(values, order, gradient, means)
    assert np.allclose(scores, expected, rtol=1e-4, atol=1e-4)
    assert np.array_equal(ranked(scores), np.argsort(-scores.double().numpy(), kind="stable"))
    assert rank(scores, int(ranked(scores)[0])) == 1


def test_what_an_order_needs_is_said() -> None:
    for order, message in (
        ("variance", "by variance needs the means"),
        ("activation_x_gradient", "needs the gradient"),
        ("size", "no order 'size': write index, mean"),
    ):
        with pytest.raises(ValueError, match=message):
            channel_scores(maps(), order)


def test_equals_keep_their_order_and_what_is_no_number_comes_last() -> None:
    scores = torch.tensor([1.0, torch.nan, 3.0, 1.0, -torch.inf])
    assert ranked(scores).tolist() == [2, 0, 3, 1, 4]
    assert [rank(scores, n) for n in (2, 0, 3)] == [1, 2, 2]


# --- histogram --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("shift", [0.0, 4.0, -4.0])
def test_histograms_count_every_number(dtype, symmetric: bool, shift: float) -> None:
    values = (maps() + shift).to(dtype)
    borders = histogram_edges(values, 20, symmetric)
    counts = histogram(values, borders)
    wide = values.double().numpy() if dtype == torch.float64 else values.float().numpy()
    assert counts.tolist() == np.histogram(wide, borders.numpy())[0].tolist()
    assert int(counts.sum()) == values.numel()
    assert (borders == 0).sum() == 1
    assert 20 <= len(counts) <= 22
    if symmetric:
        assert np.allclose(borders, -borders.flip(0), rtol=1e-6)


def test_histograms_of_other_devices_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """There torch sorts: here, too, once tensors say that they are elsewhere."""
    values = torch.cat([maps().flatten(), torch.tensor([torch.nan, torch.inf, -torch.inf])])
    borders = histogram_edges(values, 20)
    expected = histogram(values, borders).tolist()
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda self: False))
    monkeypatch.setattr(np, "sort", None)
    assert histogram(values, borders).tolist() == expected


def test_histograms_of_given_edges() -> None:
    values = torch.tensor([-2.0, 0.0, 0.5, 1.0, 1.5, torch.nan, torch.inf])
    assert histogram(values, torch.tensor([0.0, 0.5, 1.0])).tolist() == [1, 2]


def test_histograms_of_one_value() -> None:
    for value, bins in ((0.0, 1), (3.0, 10), (-3.0, 10)):
        values = torch.full((4, 4), value)
        counts = histogram(values, histogram_edges(values, 10))
        assert (len(counts), int(counts.sum())) == (bins, 16)
    nothing = torch.tensor([torch.nan])
    assert histogram(nothing, histogram_edges(nothing)).tolist() == [0]


# --- positions --------------------------------------------------------------------------------


def test_strongest_positions_are_those_of_largest_magnitude() -> None:
    channel = maps()[8]
    channel[0, 3, 4], channel[0, 5, 6], channel[0, 0, 0] = -9, 7, torch.nan
    found = strongest(channel, 3)
    assert [tuple(position) for position in found[:2]] == [(-9, 0, 3, 4), (7, 0, 5, 6)]
    sizes = np.sort(np.abs(np.nan_to_num(channel.double().numpy())).ravel())[::-1]
    assert [abs(position.value) for position in found] == sizes[:3].tolist()
    assert strongest(channel[0], 3) == found
    volume = torch.zeros(3, 4, 5)
    volume[2, 1, 3] = 1
    assert strongest(volume, 1) == [(1, 2, 1, 3)]
    assert len(strongest(torch.ones(2, 2), 9)) == 4
    assert strongest(torch.full((2, 2), torch.nan)) == []


# --- mosaics ----------------------------------------------------------------------------------


def pooled(values: np.ndarray, rows: list[int], columns: list[int], reduce: str) -> np.ndarray:
    """The plain definition: a value from all numbers of each bin."""

    def value(cells: np.ndarray) -> float:
        if reduce == "mean":
            return cells.mean()
        return cells.max() if cells.max() >= -cells.min() else cells.min()

    return np.array(
        [
            [
                [value(m[a:b, c:d]) for c, d in itertools.pairwise(columns)]
                for a, b in itertools.pairwise(rows)
            ]
            for m in values
        ]
    )


@pytest.mark.parametrize("reduce", ["mean", "strongest"])
@pytest.mark.parametrize(
    "size", [(17, 23), (64, 64), (16, 20), (8, 9), (5, 23), (4, 2), (1, 1), (2, 30)]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_mosaics_pool_every_number_once(dtype, size: tuple[int, int], reduce) -> None:
    values = maps(dtype)[:, 0]
    rows, columns = bin_edges(17, size[0]), bin_edges(23, size[1])
    expected = pooled(values.double().numpy(), rows, columns, reduce)
    found = mosaic(values, None, size, reduce)
    assert found.shape == (12, len(rows) - 1, len(columns) - 1)
    assert found.shape[1] <= size[0]
    assert found.shape[2] <= size[1]
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    if reduce == "strongest":
        assert np.array_equal(found.double(), expected)
    else:
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [[3, 0, 11], [*range(11, -1, -1)], torch.tensor([5]), [2, 2]])
def test_mosaics_of_some_channels_in_an_order(channels) -> None:
    values = maps()[:, 0]
    expected = mosaic(values, None, (5, 6))[torch.as_tensor(channels)]
    assert torch.equal(mosaic(values, channels, (5, 6)), expected)
    assert torch.equal(mosaic(values, channels, (64, 64)), values[torch.as_tensor(channels)])


def test_a_single_strong_number_survives() -> None:
    values = torch.zeros(1, 64, 64)
    values[0, 40, 9] = -5
    values[0, 41, 9] = 3
    small = mosaic(values, None, (8, 8))
    assert small[0, 5, 1] == -5
    assert small.count_nonzero() == 1
    assert mosaic(torch.tensor([[[-2.0, 2.0]]]), None, (1, 1)).item() == 2  # of equals the positive


def test_views_of_any_strides_are_pooled() -> None:
    tokens = torch.randn(1, 36, 12)
    view = tokens[0].T.unflatten(1, (6, 6))
    assert torch.equal(mosaic(view, None, (3, 3)), mosaic(view.contiguous(), None, (3, 3)))


def test_what_is_not_finite_stays_so() -> None:
    for number in (torch.nan, torch.inf, -torch.inf):
        values = torch.ones(1, 6, 6)
        values[0, 2, 3] = number
        for reduce in ("mean", "strongest"):
            small = mosaic(values, None, (3, 3), reduce)
            assert small.isfinite().sum() == 8
            assert not small[0, 1, 1].isfinite()


def test_the_strongest_of_two_is_the_larger_and_of_equals_the_positive() -> None:
    numbers = [-torch.inf, -3e38, -2.0, -1.0, -1e-40, 0.0, 1e-40, 1.0, 2.0, 3e38, torch.inf]
    for a in numbers:
        for b in numbers:
            found = float(mosaic(torch.tensor([[[a, b], [-1e-42, -1e-42]]]), None, (1, 1)))
            a32, b32 = (float(torch.tensor(one)) for one in (a, b))
            assert found == max((a32, b32), key=lambda one: (abs(one), one)) or (
                a == b == 0 and abs(found) < 1e-41
            )


def test_a_page_stays_below_its_bytes() -> None:
    for count, height, width in (
        (64, 224, 224),
        (512, 28, 28),
        (2048, 7, 7),
        (3, 1000, 9),
        (900_000, 1, 1),
    ):
        rows, columns = fitting_size(count, height, width)
        assert rows <= height
        assert columns <= width
        assert count * rows * columns <= max(400 * 1024, count)
    assert fitting_size(16, 28, 28) == (28, 28)
    assert fitting_size(64, 224, 224) == (80, 80)
    assert fitting_size(512, 28, 28) == (28, 28)


def test_bins_are_as_many_as_fit() -> None:
    for count in range(1, 40):
        for most in range(1, 45):
            borders = np.array(bin_edges(count, most))
            assert (borders[0], borders[-1]) == (0, count)
            assert len(borders) - 1 <= most
            assert (np.diff(borders) > 0).all()
            assert len(borders) - 1 > most / 2 or len(borders) - 1 == count
