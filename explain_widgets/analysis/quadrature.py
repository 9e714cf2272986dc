"""Points and weights for integrals over 0…1."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

Quadrature: TypeAlias = Literal["gauss_legendre", "midpoint", "trapezoid"]


class Rule(NamedTuple):
    """Points in 0…1 and their weights, which sum to 1, (points,) float64 each.

    In the order of `spread`: the first few points are everywhere, so that a sum over them, by the
    sum of their weights, is a coarse integral already.
    """

    points: Tensor
    weights: Tensor


def rule(count: int, quadrature: Quadrature = "gauss_legendre") -> Rule:
    """A quadrature of ``count`` points.

    Parameters
    ----------
    count
        1 or more; of the trapezoid rule 2 or more.
    quadrature
        ``"gauss_legendre"``: exact for polynomials of degree 2 · count − 1. ``"midpoint"`` and
        ``"trapezoid"``: equal steps, for comparison with what others have computed.

    Raises
    ------
    ValueError
        When ``quadrature`` is none of these, or there are too few points.

    Examples
    --------
    >>> points, weights = rule(3)
    >>> round(float((weights * points**5).sum()), 12)
    0.166666666667
    """
    if count < 1 + (quadrature == "trapezoid"):
        raise ValueError(f"{count} points are too few.")
    if quadrature == "gauss_legendre":
        nodes, sizes = np.polynomial.legendre.leggauss(count)
        points, weights = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(sizes / 2)
    elif quadrature == "midpoint":
        points = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        weights = torch.full_like(points, 1 / count)
    elif quadrature == "trapezoid":
        points = torch.linspace(0, 1, count, dtype=torch.float64)
        weights = torch.full_like(points, 1 / (count - 1))
        weights[[0, -1]] /= 2
    else:
        raise ValueError(
            f'quadrature={quadrature!r} must be "gauss_legendre", "midpoint" or "trapezoid".'
        )
    order = spread(count)
    return Rule(points[order], weights[order])


def spread(count: int) -> list[int]:
    """0 … count − 1 in an order whose beginnings are spread evenly (van der Corput's).

    Examples
    --------
    >>> spread(8)
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    bits = max(1, (count - 1).bit_length())
    reverse = lambda number: int(f"{number:0{bits}b}"[::-1], 2)  # noqa: E731
    return [place for place in map(reverse, range(2**bits)) if place < count]
