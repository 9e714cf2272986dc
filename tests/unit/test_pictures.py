"""Numbers become bytes and bytes become colours as said."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from explain_widgets.pictures.colormaps import NOT_FINITE_COLOUR, SEQUENTIAL, colour_table
from explain_widgets.pictures.quantise import LEVELS, NOT_FINITE, quantise, weights_picture
from explain_widgets.pictures.thumbnails import shrunk, thumbnails

WEIGHTS = np.random.default_rng(0).dirichlet(np.full(40, 0.2), size=30).astype(np.float32)


def shown(picture, scale):
    """The numbers that a picture's levels stand for."""
    low, high = picture.range
    share = picture.levels / LEVELS
    if scale == "log":
        return 10 ** (np.log10(low) + share * (np.log10(high) - np.log10(low)))
    return low + share * (high - low)


def test_levels_are_the_nearest_of_255():
    values = np.linspace(-3, 5, 1001)
    levels = quantise(values, -3, 5)
    assert levels.min() == 0
    assert levels.max() == LEVELS
    assert np.abs(-3 + levels / LEVELS * 8 - values).max() <= 8 / LEVELS / 2 + 1e-9


def test_a_constant_picture_is_the_lowest_level():
    assert (quantise(np.full((3, 3), 0.5), 0.5, 0.5) == 0).all()


def test_linear_scale_is_within_half_a_level():
    picture = weights_picture(WEIGHTS, "linear")
    assert picture.range == (0.0, float(WEIGHTS.max()))
    assert np.abs(shown(picture, "linear") - WEIGHTS).max() <= WEIGHTS.max() / LEVELS / 2 + 1e-7


def test_log_scale_is_within_half_a_level_and_says_where_it_ends():
    picture = weights_picture(WEIGHTS, "log")
    low, high = picture.range
    assert high == pytest.approx(WEIGHTS.max())
    assert low >= high / 10**4 * 0.999
    step = (np.log10(high) - np.log10(low)) / LEVELS
    expected = np.log10(np.maximum(WEIGHTS, low))
    assert np.abs(np.log10(shown(picture, "log")) - expected).max() <= step / 2 + 1e-5
    assert f"{low:.2g}" in picture.note


def test_row_scale_brings_each_row_to_its_own_largest():
    picture = weights_picture(WEIGHTS, "row")
    assert (picture.levels.max(axis=1) == LEVELS).all()
    expected = WEIGHTS / WEIGHTS.max(axis=1, keepdims=True)
    assert np.abs(shown(picture, "row") - expected).max() <= 0.5 / LEVELS + 1e-6


@pytest.mark.parametrize("scale", ["linear", "log", "row"])
def test_what_is_no_number_is_counted_and_has_its_own_level(scale):
    weights = WEIGHTS.copy()
    weights[2, 3], weights[4] = np.nan, np.inf
    picture = weights_picture(weights, scale)
    assert picture.nonfinite == 1 + weights.shape[1]
    assert picture.levels[2, 3] == NOT_FINITE
    assert (picture.levels[4] == NOT_FINITE).all()
    assert (np.delete(picture.levels, 4, axis=0) == NOT_FINITE).sum() == 1


@pytest.mark.parametrize("scale", ["linear", "log", "row"])
def test_all_zero_weights_are_drawn(scale):
    assert (weights_picture(np.zeros((2, 3), np.float32), scale).levels == 0).all()


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_the_table_is_matplotlibs_map(name):
    table = colour_table(name)
    assert table.shape == (256, 3)
    assert tuple(table[NOT_FINITE]) == NOT_FINITE_COLOUR
    for level in (0, 100, LEVELS):
        expected = mpl.colormaps[name](level / LEVELS)[:3]
        assert np.abs(table[level] / 255 - expected).max() <= 0.5 / 255 + 1e-9
    assert not (table[:NOT_FINITE] == NOT_FINITE_COLOUR).all(axis=1).any()


def test_an_unknown_map_says_what_to_write():
    with pytest.raises(ValueError, match=r"no colour map 'Blue' .* try Blues"):
        colour_table("Blue")


def photograph(height, width, channels=3):
    return np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("size", [(3, 4), (5, 7), (1, 1), (6, 2), (9, 10)])
def test_shrinking_averages_over_the_area_of_each_pixel(size):
    """Against each pixel repeated as often as makes the areas whole numbers of them."""
    image = photograph(9, 10)
    fine = image.astype(float).repeat(size[0], 0).repeat(size[1], 1)
    expected = fine.reshape(size[0], 9, size[1], 10, 3).mean((1, 3))
    assert np.abs(shrunk(image, size) - expected).max() <= 0.5 + 1e-3


def test_thumbnails_of_all_sizes_lie_in_one_array():
    images = [photograph(40, 20), photograph(5, 8)[..., 0], photograph(16, 16)]
    small = thumbnails(images, 16, 10**6)
    assert small.boxes == [(16, 8), (5, 8), (16, 16)]
    assert small.pixels.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(small.pixels[1, :5, :8], images[1][..., None].repeat(3, -1))
    np.testing.assert_array_equal(small.pixels[2], images[2])
    assert not small.pixels[1, 5:].any()
    assert thumbnails(images[1:2], 16, 10**6).pixels.shape == (1, 5, 8, 1)


def test_thumbnails_take_no_more_bytes_than_they_may():
    small = thumbnails([photograph(50, 50)] * 7, 50, 3_000)
    assert small.pixels.nbytes <= 3_000
