"""Linear models in the place of a model: what is drawn for them, how it is weighed, how they fit.

LIME (Ribeiro, Singh and Guestrin 2016, "Why Should I Trust You?") and KernelShap (Lundberg and Lee
2017, "A Unified Approach to Interpreting Model Predictions"), as Captum does both: from a generator
in the same state the same sets of features are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

END_WEIGHT = 1e6
"""Of the samples with all features and with none, in KernelShap; of all others 1."""


def coin_sets(features: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Sets of features, (features,) bool each, without an end: each is there by a fair coin.

    Examples
    --------
    >>> next(coin_sets(4, torch.Generator().manual_seed(0))).shape
    torch.Size([4])
    """
    halves = torch.full((1, features), 0.5, dtype=torch.float32)
    while True:
        yield torch.bernoulli(halves, generator=generator)[0].bool()


def shapley_sets(features: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Sets of features, (features,) bool each: all, none, then by the Shapley kernel.

    A set of k of M features is drawn in proportion to (M − 1) / (k (M − k)) over the number of
    such sets: a linear model that fits these without weights has Shapley values for coefficients.

    Examples
    --------
    >>> drawn = shapley_sets(3, torch.Generator().manual_seed(0))
    >>> [int(next(drawn).sum()) for _ in range(2)]
    [3, 0]
    """
    yield torch.ones(features, dtype=torch.bool)
    yield torch.zeros(features, dtype=torch.bool)
    counts = torch.arange(features, dtype=torch.float32)
    shares = (features - 1) / (counts * (features - counts))
    shares[0] = 0.0
    while True:
        if features == 1:  # there is no set in between
            yield torch.ones(1, dtype=torch.bool)
            continue
        there = int(torch.multinomial(shares / shares.sum(), 1, generator=generator))
        draws = torch.randn(1, features, generator=generator, dtype=torch.float32)[0]
        yield draws > draws.kthvalue(features - there).values


def nearness(own: Tensor, altered: Tensor) -> Tensor:
    """What a sample of LIME counts for: exp(−d² / 2), d the cosine distance to the input.

    Parameters
    ----------
    own
        (numbers,): the input.
    altered
        (samples, numbers).

    Returns
    -------
    Tensor
        (samples,), float64, between e^(−2) and 1.

    Examples
    --------
    >>> nearness(torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 0.0], [0.0, 0.0]])).tolist()
    [1.0, 0.6065306597126334]
    """
    precise = torch.promote_types(own.dtype, torch.float32)
    cosine = F.cosine_similarity(own.to(precise)[None], altered.to(precise))
    return (-((1 - cosine.double()) ** 2) / 2).exp()


def end_weights(sets: Tensor) -> Tensor:
    """What a sample of KernelShap counts for, (samples,), float64: `END_WEIGHT` for all or none."""
    is_end = sets.all(1) | ~sets.any(1)
    return torch.where(is_end, END_WEIGHT, 1.0).double()


def least_squares(sets: Tensor, scores: Tensor, weights: Tensor) -> Tensor:
    """The coefficients β of the linear model with an intercept, Σ w (y − α − β z)² at its least.

    Parameters
    ----------
    sets
        (samples, features): z, which features are there.
    scores, weights
        (samples,): y and w.

    Returns
    -------
    Tensor
        (features,), float64; the shortest where there are several.

    Examples
    --------
    >>> sets = torch.tensor([[1, 1], [0, 0], [1, 0], [0, 1]])
    >>> found = least_squares(sets, torch.tensor([5.0, 0, 2, 3]), torch.ones(4))
    >>> found.round(decimals=6).tolist()
    [2.0, 3.0]
    """
    there, came, counts = sets.double().cpu(), scores.double().cpu(), weights.double().cpu()
    share = counts / counts.sum()
    centred, root = there - share @ there, counts.sqrt()[:, None]
    rest = (came - share @ came)[:, None]
    return torch.linalg.lstsq(centred * root, rest * root, driver="gelsd").solution[:, 0]


def lasso(sets: Tensor, scores: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """The coefficients β at the least Σ w (y − α₀ − β z)² / (2 Σ w) + alpha Σ |β|, by scikit-learn.

    Parameters
    ----------
    sets, scores, weights
        As in `least_squares`.
    alpha
        The penalty: a larger one leaves fewer features.

    Returns
    -------
    Tensor
        (features,), float64.

    Raises
    ------
    ImportError
        When scikit-learn is not installed.
    """
    if not alpha:
        return least_squares(sets, scores, weights)
    from sklearn.linear_model import Lasso  # noqa: PLC0415 (it takes long to import)

    there, came, counts = (part.double().cpu().numpy() for part in (sets, scores, weights))
    # Nothing is drawn in this order, but without a state of its own NumPy's would be moved.
    model = Lasso(alpha=alpha, max_iter=10_000, random_state=0)
    return torch.from_numpy(model.fit(there, came, sample_weight=counts).coef_)
