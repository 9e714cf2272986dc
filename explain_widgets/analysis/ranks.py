"""Rank correlation: how alike attributions order their features. In float64, on their device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


def average_ranks(values: Tensor) -> Tensor:
    """Ranks along the last axis, 1 for the smallest; equals share the mean of their ranks.

    rank(v) = (numbers below v) + (1 + numbers equal to v) / 2.

    Parameters
    ----------
    values
        (…, n), any real dtype. ±Inf are ranked as numbers; a row with NaN has no ranks.

    Returns
    -------
    Tensor
        (…, n), float64, 1…n; rows that hold NaN are NaN.

    Examples
    --------
    >>> average_ranks(torch.tensor([3.0, 1.0, 3.0, 0.0])).tolist()
    [3.5, 2.0, 3.5, 1.0]
    """
    values = values.detach().contiguous()
    ordered = values.sort(-1).values
    below = torch.searchsorted(ordered, values)
    not_above = torch.searchsorted(ordered, values, right=True)
    ranks = (below + not_above + 1).double() / 2
    return torch.where(values.isnan().any(-1, keepdim=True), torch.nan, ranks)


def rank_correlations(rows: Tensor) -> Tensor:
    """Spearman's rank correlation of each pair of rows: Pearson's, of their `average_ranks`.

    ρ(a, b) = cov(rank a, rank b) / (σ(rank a) σ(rank b)) (Spearman 1904, "The Proof and
    Measurement of Association between Two Things").

    Parameters
    ----------
    rows
        (rows, n), any real dtype.

    Returns
    -------
    Tensor
        (rows, rows), float64, −1…1, symmetric. NaN where one of two rows is constant or holds
        NaN: it puts its features in no order.

    Raises
    ------
    ValueError
        When ``rows`` has not two axes.

    Examples
    --------
    >>> rank_correlations(torch.tensor([[1.0, 2.0, 3.0], [9.0, 5.0, 4.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    if rows.ndim != 2:
        raise ValueError(f"rows must be (rows, n), not {tuple(rows.shape)}: flatten each first.")
    centred = average_ranks(rows) - (rows.shape[1] + 1) / 2
    products = centred @ centred.T
    squares = products.diagonal()
    # NaN where a row is constant, by 0 / 0.
    return (products / (squares[:, None] * squares).sqrt()).clamp(-1, 1)


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two tensors of one shape; see `rank_correlations`.

    Returns
    -------
    float
        −1…1; NaN where one is constant or holds NaN.

    Raises
    ------
    ValueError
        When their shapes differ.

    Examples
    --------
    >>> rank_correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 8.0, 27.0]))
    1.0
    """
    return float(rank_correlations(_side_by_side([first, second]))[0, 1])


class Similarity(NamedTuple):
    """How alike two attributions are: rank correlations, each −1…1 or NaN.

    Attributes
    ----------
    signed
        Of the values as they are.
    absolute
        Of their magnitudes.
    """

    signed: float
    absolute: float


def similarity(first: Tensor, second: Tensor) -> Similarity:
    """How alike two attributions are, as the model-randomisation test asks it.

    Spearman's rank correlation with and without magnitudes taken, between the attribution of the
    trained model and that of a model with random parameters (Adebayo et al. 2018, "Sanity Checks
    for Saliency Maps", section 3): an attribution that stays alike does not depend on what the
    model has learnt.

    Parameters
    ----------
    first, second
        Of one shape.

    Raises
    ------
    ValueError
        When their shapes differ.

    Examples
    --------
    >>> similarity(torch.tensor([1.0, -2.0, 3.0]), torch.tensor([-1.0, 2.0, -3.0]))
    Similarity(signed=-1.0, absolute=1.0)
    """
    return Similarity(rank_correlation(first, second), rank_correlation(first.abs(), second.abs()))


def agreement(samples: Iterable[Iterable[Tensor]]) -> Tensor:
    """How alike methods order the features of each sample.

    Parameters
    ----------
    samples
        For each sample the attributions of all methods, of one shape; samples may differ in it.

    Returns
    -------
    Tensor
        (samples, methods, methods), float64, −1…1: the `rank_correlations` of each sample, NaN
        where a method puts the features in no order. Their mean over samples: ``.nanmean(0)``.

    Raises
    ------
    ValueError
        When there is no sample, the methods of a sample differ in shape, or samples in how many
        methods they have.

    Examples
    --------
    >>> one = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 5.0])]
    >>> agreement([one, [torch.tensor([4.0, 2.0]), torch.tensor([1.0, 2.0])]])[:, 0, 1].tolist()
    [1.0, -1.0]
    """
    matrices = [rank_correlations(_side_by_side(list(methods))) for methods in samples]
    if not matrices or len({len(matrix) for matrix in matrices}) > 1:
        raise ValueError("Each of one or more samples needs the attributions of the same methods.")
    return torch.stack(matrices)


def _side_by_side(attributions: list[Tensor]) -> Tensor:
    """(attributions, n), each flattened, in float64: methods may answer in different dtypes."""
    if not attributions or len({tuple(one.shape) for one in attributions}) > 1:
        shapes = ", ".join(str(tuple(one.shape)) for one in attributions) or "none"
        raise ValueError(
            f"Attributions are compared feature by feature and must have one shape, not {shapes}: "
            "sum them to the same features first."
        )
    return torch.stack([one.detach().flatten().double() for one in attributions])
