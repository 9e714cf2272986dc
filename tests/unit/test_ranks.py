"""Rank correlations against scipy's, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from explain_widgets.analysis.ranks import (
    agreement,
    average_ranks,
    rank_correlation,
    rank_correlations,
    similarity,
)


def tied(*shape: int) -> torch.Tensor:
    """Numbers of which many are equal."""
    return torch.randint(-4, 5, shape).double() / 3


@pytest.mark.parametrize("length", [1, 2, 7, 300])
def test_equals_share_the_mean_of_their_ranks(length: int) -> None:
    values = tied(5, length)
    expected = stats.rankdata(values.numpy(), axis=1)
    np.testing.assert_array_equal(average_ranks(values).numpy(), expected)


def test_infinite_numbers_are_ranked_and_nan_has_no_rank() -> None:
    rows = torch.tensor([[math.inf, 0.0, -math.inf], [1.0, math.nan, 2.0]])
    assert average_ranks(rows)[0].tolist() == [3, 2, 1]
    assert average_ranks(rows)[1].isnan().all()


def test_minus_zero_equals_zero() -> None:
    assert average_ranks(torch.tensor([0.0, -0.0, -1.0])).tolist() == [2.5, 2.5, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_correlations_are_those_of_scipy(dtype: torch.dtype) -> None:
    rows = (torch.randn(6, 50) * 5).to(dtype)
    expected = stats.spearmanr(rows.double().numpy(), axis=1).statistic
    np.testing.assert_allclose(rank_correlations(rows).numpy(), expected, atol=1e-12)


def test_correlations_with_ties_are_those_of_scipy() -> None:
    first, second = tied(8, 9), tied(8, 9)
    expected = stats.spearmanr(first.flatten().numpy(), second.flatten().numpy()).statistic
    assert rank_correlation(first, second) == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    """1 − 6 Σ d² / (n (n² − 1)), without ties: d = 1, 1, 0, 0."""
    first, second = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([20.0, 10.0, 30.0, 99.0])
    assert rank_correlation(first, second) == pytest.approx(1 - 6 * 2 / (4 * 15), abs=1e-15)


def test_a_copy_correlates_by_exactly_one() -> None:
    values = torch.randn(3, 64, 64)
    assert rank_correlation(values, values.clone()) == 1
    assert rank_correlation(values, -values) == -1


def test_a_constant_or_nan_correlates_with_nothing() -> None:
    some = torch.randn(4)
    assert math.isnan(rank_correlation(some, torch.ones(4)))
    assert math.isnan(rank_correlation(some, torch.tensor([1.0, math.nan, 2.0, 3.0])))


def test_signs_count_in_one_similarity_and_not_in_the_other() -> None:
    values = torch.randn(40).double()
    other = values * torch.tensor([1.0, -1.0]).repeat(20)
    found = similarity(values, other)
    assert found.absolute == 1
    assert found.signed == pytest.approx(stats.spearmanr(values, other).statistic, abs=1e-12)


def test_agreement_of_samples_of_different_sizes() -> None:
    small, large = torch.randn(3, 2, 4), torch.randn(3, 5, 7)
    found = agreement([small, large])
    assert found.shape == (2, 3, 3)
    for matrix, sample in zip(found, (small, large), strict=True):
        expected = stats.spearmanr(sample.flatten(1).numpy(), axis=1).statistic
        np.testing.assert_allclose(matrix.numpy(), expected, atol=1e-12)
        assert matrix.diagonal().tolist() == [1, 1, 1]


def test_methods_of_other_dtypes_agree() -> None:
    values = torch.randn(9)
    assert agreement([[values, values.double() * 2]])[0, 0, 1] == 1


def test_other_shapes_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"one shape, not \(3,\), \(4,\)"):
        rank_correlation(torch.zeros(3), torch.zeros(4))
    with pytest.raises(ValueError, match="flatten each"):
        rank_correlations(torch.zeros(3))
    with pytest.raises(ValueError, match="same methods"):
        agreement([])
    with pytest.raises(ValueError, match="same methods"):
        agreement([torch.randn(2, 3), torch.randn(3, 3)])
