"""What becomes of an input when features are replaced, number by number."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from explain_widgets.analysis.masking import (
    feature_count,
    feature_groups,
    feature_sums,
    masked,
    shared,
    without_features,
)


def test_patches_of_an_image_take_all_channels_and_cover_the_border() -> None:
    """5 × 7 in patches of 3: 2 × 3 patches, the last ones smaller."""
    groups = feature_groups((2, 5, 7), axes=(1, 2), patch=3)
    for channel, y, x in itertools.product(range(2), range(5), range(7)):
        assert groups[channel, y, x] == (y // 3) * 3 + x // 3
    assert feature_count(groups) == 6


def test_channels_may_come_last() -> None:
    first = feature_groups((3, 4, 6), axes=(1, 2), patch=2)
    last = feature_groups((4, 6, 3), axes=(0, 1), patch=2)
    assert torch.equal(first, last.permute(2, 0, 1))


def test_an_image_keeps_what_is_kept_bit_for_bit() -> None:
    image, baseline = torch.randn(3, 6, 6), torch.randn(3, 6, 6)
    groups = feature_groups(image.shape, axes=(1, 2), patch=2)
    keep = torch.rand(5, 9) < 0.5
    found = masked(image, baseline, groups, keep)
    assert found.shape == (5, 3, 6, 6)
    for n, channel, y, x in itertools.product(range(5), range(3), range(6), range(6)):
        kept = keep[n, (y // 2) * 3 + x // 2]
        assert found[n, channel, y, x] == (image if kept else baseline)[channel, y, x]


def test_all_and_nothing() -> None:
    row, mean = torch.randn(4), torch.randn(4)
    keep = torch.tensor([[True] * 4, [False] * 4])
    found = masked(row, mean, feature_groups((4,), (0,)), keep)
    assert torch.equal(found, torch.stack([row, mean]))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_tokens_become_padding_and_special_ones_stay(dtype: torch.dtype) -> None:
    ids = torch.tensor([101, 7, 8, 102], dtype=dtype)
    groups = without_features(torch.arange(4), torch.tensor([True, False, False, True]))
    keep = torch.tensor([[True, False], [False, False]])
    found = masked(ids, torch.tensor(0), groups, keep)
    assert found.dtype == dtype
    assert found.tolist() == [[101, 7, 0, 102], [101, 0, 0, 102]]


def test_fixed_features_of_an_image_are_numbered_anew() -> None:
    groups = feature_groups((1, 2, 4), axes=(1, 2), patch=2)  # two patches
    assert without_features(groups, torch.tensor([True, False]))[0].tolist() == [[-1, -1, 0, 0]] * 2


def test_embeddings_go_as_a_whole() -> None:
    embedded, baseline = torch.randn(3, 8), torch.randn(8)
    groups = feature_groups((3, 8), axes=(0,))
    found = masked(embedded, baseline, groups, torch.tensor([[True, False, True]]))
    assert torch.equal(found[0], torch.stack([embedded[0], baseline, embedded[2]]))


def test_the_attribution_of_a_feature_is_the_sum_of_its_numbers() -> None:
    values = torch.randn(2, 3, 5, 5)
    groups = feature_groups((3, 5, 5), axes=(1, 2), patch=2)
    found = feature_sums(values, groups)
    assert found.shape == (2, 9)
    for n, feature in itertools.product(range(2), range(9)):
        expected = sum(float(one) for one in values[n].double()[groups == feature])
        assert found[n, feature] == pytest.approx(expected, abs=1e-12)


def test_what_is_always_kept_has_no_attribution() -> None:
    groups = without_features(torch.arange(3), torch.tensor([False, True, False]))
    assert feature_sums(torch.tensor([1.0, 9.0, 2.0]), groups).tolist() == [1, 2]


def test_shares_sum_to_what_was_found_for_a_feature() -> None:
    """Squares of 3 × 3, 3 × 2, 2 × 3 and 2 × 2 pixels."""
    groups = feature_groups((1, 5, 5), axes=(1, 2), patch=3)
    found = torch.tensor([7.0, -1.0, 0.0, 3.0])
    values = found[groups]
    assert feature_sums(shared(values, groups), groups).tolist() == pytest.approx(found.tolist())


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (torch.ones(2, 3, dtype=torch.bool), r"\(n, 4\) of bool, not \(2, 3\)"),
        (torch.ones(2, 4), "of bool, not .* torch.float32"),
    ],
)
def test_a_wrong_mask_is_refused(keep: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        masked(torch.zeros(4), torch.zeros(()), torch.arange(4), keep)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5,\) does not fit an input of shape \(4,\)"):
        feature_sums(torch.zeros(5), torch.arange(4))
    with pytest.raises(ValueError, match=r"groups of shape \(4,\) do not fit"):
        masked(torch.zeros(5), torch.zeros(()), torch.arange(4), torch.ones(1, 4) > 0)
    with pytest.raises(ValueError, match="patch=0"):
        feature_groups((4,), (0,), patch=0)
    with pytest.raises(ValueError, match=r"axes \(1,\)"):
        feature_groups((4,), (1,))
