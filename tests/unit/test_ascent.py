"""What gradient ascent is made of, against plain definitions."""

from __future__ import annotations

import cmath
import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from explain_widgets.analysis.ascent import (
    Adam,
    blurred,
    channel_value,
    from_spectrum,
    mixed_colours,
    shifted,
    spectrum_scale,
    total_variation,
    turned,
)

SIZES = [(8,), (7,), (6, 8), (5, 7), (4, 3, 6)]


def frequency(index: int, length: int) -> float:
    return min(index, length - index) / length


@pytest.mark.parametrize("size", SIZES)
def test_frequencies_are_scaled_by_one_over_themselves(size: tuple[int, ...]) -> None:
    scale = spectrum_scale(size)
    assert tuple(scale.shape) == (*size[:-1], size[-1] // 2 + 1)
    for index in itertools.product(*map(range, scale.shape)):
        squares = [frequency(i, length) ** 2 for i, length in zip(index, size, strict=True)]
        expected = 1 / max(math.sqrt(sum(squares)), 1 / max(size))
        assert float(scale[index]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_values_are_the_inverse_transform_of_the_coefficients(size: tuple[int, ...]) -> None:
    """Each value is the sum over all waves of the whole, symmetric spectrum, in float64."""
    scale = spectrum_scale(size).double()
    spectrum = torch.randn(1, 2, *scale.shape, 2, dtype=torch.float64)
    values = from_spectrum(spectrum, scale, size)
    assert tuple(values.shape) == (1, 2, *size)
    # The half that is not there: conjugate at the negative frequency, on every axis.
    half = torch.view_as_complex(spectrum) * scale
    whole: dict[tuple[int, ...], complex] = {}
    for index in itertools.product(*map(range, size)):
        mirrored = tuple(-i % length for i, length in zip(index, size, strict=True))
        if index[-1] < half.shape[-1]:
            both = complex(half[0, 1][index])
            if mirrored[-1] < half.shape[-1] and index[-1] in (0, mirrored[-1]):
                both = (both + complex(half[0, 1][mirrored]).conjugate()) / 2
            whole[index] = both
        else:
            whole[index] = complex(half[0, 1][mirrored]).conjugate()
    for place in itertools.islice(itertools.product(*map(range, size)), 0, None, 5):
        total = 0j
        for index, coefficient in whole.items():
            turns = sum(i * x / n for i, x, n in zip(index, place, size, strict=True))
            total += coefficient * cmath.exp(2j * math.pi * turns)
        expected = total / math.sqrt(math.prod(size))
        assert abs(expected.imag) < 1e-9
        assert float(values[0, 1][place]) == pytest.approx(expected.real, abs=1e-9)


def test_colours_are_mixed_as_in_photographs() -> None:
    values = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    mixed = mixed_colours(values)
    basis = mixed_colours(torch.eye(3, dtype=torch.float64).reshape(1, 3, 3))[0]
    for y, x in itertools.product(range(4), range(5)):
        for colour in range(3):
            expected = sum(basis[colour, part] * values[0, part, y, x] for part in range(3))
            assert float(mixed[0, colour, y, x]) == pytest.approx(float(expected))
    lengths = basis.norm(dim=0)
    assert (basis.T @ basis - torch.diag(lengths**2)).abs().max() < 1e-3  # uncorrelated
    assert float(lengths[0]) == pytest.approx(1, abs=1e-3)  # light and dark, most of all
    assert (basis[:, 0] / basis[0, 0]).sub(1).abs().max() < 0.05
    assert lengths[0] > lengths[1] > lengths[2]


@pytest.mark.parametrize("shape", [(1, 2, 7), (1, 3, 5, 6), (1, 2, 3, 4, 5), (1, 9)])
def test_total_variation_is_the_sum_over_neighbours(shape: tuple[int, ...]) -> None:
    picture = torch.randn(shape, dtype=torch.float64)
    expected = 0.0
    for index in itertools.product(*map(range, shape)):
        for axis in range(2, len(shape)):
            if index[axis] + 1 < shape[axis]:
                after = tuple(i + (other == axis) for other, i in enumerate(index))
                expected += abs(float(picture[after]) - float(picture[index]))
    assert float(total_variation(picture)) == pytest.approx(expected)


@pytest.mark.parametrize("offsets", [(0, 0), (2, -1), (-3, 2), (9, -9)])
def test_shifting_is_padding_and_cutting(offsets: tuple[int, int]) -> None:
    picture = torch.randn(1, 2, 6, 7)
    down, right = offsets
    padded = F.pad(picture, (9, 9, 9, 9), mode="replicate")
    expected = padded[..., 9 - down : 15 - down, 9 - right : 16 - right]
    assert torch.equal(shifted(picture, offsets), expected)


def test_shifting_along_one_axis_and_three() -> None:
    line = torch.arange(5.0).reshape(1, 1, 5)
    assert shifted(line, (2,)).flatten().tolist() == [0, 0, 0, 1, 2]
    block = torch.randn(1, 1, 3, 4, 5)
    assert torch.equal(shifted(block, (1, 0, -1))[..., 1:, :, :-1], block[..., :-1, :, 1:])


def test_turning_and_scaling() -> None:
    picture = torch.rand(1, 2, 8, 8)
    assert torch.allclose(turned(picture, 0, 1), picture, atol=1e-5)
    quarter = turned(picture, 90, 1)
    either = [torch.rot90(picture, times, (2, 3)) for times in (1, 3)]
    assert any(torch.allclose(quarter, other, atol=1e-4) for other in either)
    # A square in the middle, twice as large, of a picture that is wider than high.
    wide = torch.zeros(1, 1, 20, 40)
    wide[..., 8:12, 18:22] = 1
    large = turned(wide, 0, 2)[0, 0]
    assert float(large[6:14, 16:24].mean()) > 0.8
    assert float(large.sum()) == pytest.approx(64, rel=0.05)
    # Lengths stay what they are: a bar along the width turned by a quarter is as long downwards.
    wide = torch.zeros(1, 1, 20, 40)
    wide[..., 9:11, 14:26] = 1
    upright = turned(wide, 90, 1)[0, 0]
    assert upright[4:16, 19:21].mean() > 0.9
    assert float(upright.sum()) == pytest.approx(24, rel=0.05)
    # What comes in from outside is the border, not black.
    assert float(turned(torch.ones(1, 1, 9, 9), 30, 0.5).min()) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(1, 1, 9), (1, 2, 6, 7)])
def test_blurring_is_a_gaussian_along_each_axis(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, dtype=torch.float64)
    found = blurred(values, 0.8)
    reach = 3
    weights = [math.exp(-0.5 * (d / 0.8) ** 2) for d in range(-reach, reach + 1)]
    total = sum(weights)
    for index in itertools.product(*map(range, shape)):
        expected = 0.0
        for steps in itertools.product(range(-reach, reach + 1), repeat=len(shape) - 2):
            places = [
                min(max(i + d, 0), length - 1)
                for i, d, length in zip(index[2:], steps, shape[2:], strict=True)
            ]
            weight = math.prod(weights[d + reach] / total for d in steps)
            expected += weight * float(values[(*index[:2], *places)])
        assert float(found[index]) == pytest.approx(expected)


def test_steps_are_those_of_adam() -> None:
    target = torch.randn(5, dtype=torch.float64)
    theirs = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([theirs], lr=0.1, maximize=True)
    ours, adam = torch.zeros(5, dtype=torch.float64), Adam(0.1)
    for _ in range(20):
        optimizer.zero_grad()
        (-(theirs - target).square()).sum().backward()
        optimizer.step()
        ours = adam.stepped(ours, -2 * (ours - target))
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_the_value_of_a_channel() -> None:
    maps = torch.randn(4, 2, 3, 5)
    for channel in range(4):
        value = channel_value(maps, channel)
        assert float(value) == pytest.approx(float(maps[channel].double().mean()), abs=1e-6)
        assert channel_value(maps, channel, (1, 2, 3)) == maps[channel, 1, 2, 3]
        positive = [max(number, 0) ** 2 for number in maps[channel].flatten().tolist()]
        squares = channel_value(maps, channel, reduce="squares")
        assert float(squares) == pytest.approx(sum(positive) / len(positive), rel=1e-5)
    silent: Any = -maps.abs()
    silent.requires_grad_()
    value: Tensor = channel_value(silent, 0, reduce="squares")
    assert torch.autograd.grad(value, silent)[0].any()  # felt where nothing is positive
