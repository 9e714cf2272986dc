"""Numbers become bytes and bytes become colours as said."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from explain_widgets.pictures.colormaps import (
    DIVERGING,
    NOT_FINITE_COLOUR,
    SEQUENTIAL,
    colour_table,
)
from explain_widgets.pictures.quantise import (
    LEVELS,
    NOT_FINITE,
    quantise,
    signed_picture,
    weights_picture,
)
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


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e4])
def test_signed_numbers_have_zero_exactly_in_the_middle(scale):
    values = (np.random.default_rng(1).normal(size=(40, 30)) * scale).astype(np.float32)
    values[3:6] = 0
    values[7, 7], values[8, 8] = np.nan, -np.inf
    picture = signed_picture(values)
    finite = np.isfinite(values)
    low, high = picture.range
    assert -low == high == np.abs(values[finite]).max()
    assert (picture.levels[3:6] == LEVELS // 2).all()
    numbers = (picture.levels - 127.0) / 127 * high
    assert np.abs(numbers - values)[finite].max() <= high / 127 / 2 * 1.001
    assert (picture.levels[~finite] == NOT_FINITE).all()
    assert picture.nonfinite == 2


def test_signed_numbers_beyond_the_limit_are_clipped_and_nothing_is_the_middle():
    levels = signed_picture(np.array([-9.0, -1.2, 0.0, 2.0]), 2.0).levels
    assert levels.tolist() == [0, 51, 127, 254]
    assert (signed_picture(np.zeros((2, 3))).levels == 127).all()


@pytest.mark.parametrize("name", DIVERGING)
def test_the_middle_of_a_diverging_map_has_no_hue(name):
    table = colour_table(name).astype(int)
    assert np.ptp(table[LEVELS // 2]) <= 3
    assert table[LEVELS // 2].min() >= 200
    assert np.ptp(table[0]) > 30
    assert np.ptp(table[LEVELS]) > 30
    assert not (table[:NOT_FINITE] == NOT_FINITE_COLOUR).all(axis=1).any()


# --- signed maps ------------------------------------------------------------------------------

MAPS = np.random.default_rng(1).normal(size=(6, 9, 11)).astype(np.float32)
MAPS[2] *= 100
MAPS[3] = np.maximum(MAPS[3], 0)
MAPS[4] = 0
ZERO = LEVELS // 2


def test_zero_is_in_the_middle_and_the_scale_is_symmetric():
    picture = signed_picture(MAPS)
    most = float(np.abs(MAPS).max())
    assert picture.range == (-most, most)
    shown_again = (picture.levels.astype(float) - ZERO) / ZERO * most
    assert np.abs(shown_again - MAPS).max() <= most / ZERO / 2 * 1.0001
    assert (picture.levels[4] == ZERO).all()
    assert (picture.levels[MAPS == 0] == ZERO).all()
    mirrored = signed_picture(-MAPS).levels.astype(int)
    assert np.array_equal(mirrored - ZERO, ZERO - picture.levels.astype(int))
    assert f"±{most:.3g}" in picture.note


def test_one_scale_a_channel():
    picture = signed_picture(MAPS, per_channel=True)
    most = np.abs(MAPS).max((1, 2))
    assert np.array_equal(picture.limits, most)
    assert picture.range == (-1, 1)
    shown_again = (picture.levels.astype(float) - ZERO) / ZERO * most[:, None, None]
    assert (np.abs(shown_again - MAPS).max((1, 2)) <= most / ZERO / 2 * 1.0001).all()
    assert (picture.levels[4] == ZERO).all()


def test_pages_of_a_layer_share_its_scale():
    most = float(np.abs(MAPS).max())
    whole, page = signed_picture(MAPS), signed_picture(MAPS[:2], most)
    assert np.array_equal(page.levels, whole.levels[:2])
    clipped = signed_picture(MAPS, 0.5)
    assert clipped.levels[MAPS > 0.5].min() == LEVELS
    assert clipped.levels[MAPS < -0.5].max() == 0


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("largest", [None, 3.0])
def test_signed_maps_that_are_no_numbers_have_their_own_level(per_channel, largest):
    values = MAPS.copy()
    values[0, 0, :3] = np.nan, np.inf, -np.inf
    values[1] = np.nan
    picture = signed_picture(values, largest, per_channel)
    assert picture.nonfinite == 3 + 99
    assert ((picture.levels == NOT_FINITE) == ~np.isfinite(values)).all()
    alone = signed_picture(MAPS[2:], largest, per_channel)
    assert np.array_equal(picture.levels[2:], alone.levels)


@pytest.mark.parametrize("scale", [0.0, 1e-42, 1e-30, 1e30, 3e38])
def test_very_small_and_very_large_numbers_are_drawn(scale):
    values = np.float32([[[1, -1, 0.5, 0]]]) * np.float32(scale)
    for picture in (signed_picture(values), signed_picture(values, per_channel=True)):
        expected = [ZERO] * 4 if scale == 0 else [LEVELS, 0, ZERO + 64, ZERO]
        assert np.abs(picture.levels.ravel().astype(int) - expected).max() <= 1
        assert picture.nonfinite == 0


def test_no_maps_at_all_are_a_picture():
    assert signed_picture(np.zeros((0, 4, 4), np.float32)).levels.shape == (0, 4, 4)


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
