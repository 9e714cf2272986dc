"""Deletion and insertion: what a model says when features go, or come, in the order of a method.

After Petsiuk, Das and Saenko (2018), "RISE: Randomized Input Sampling for Explanation of Black-box
Models". Features are deleted from the input, the most important first, or inserted into the
baseline: where an attribution is faithful, the score falls, or rises, early. Beside it the same
in random orders, which any attribution must beat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from explain_widgets.analysis.channels import ranked

Score: TypeAlias = Callable[[Tensor], Tensor]
"""From masks (n, features), bool, True where a feature is kept, to what the model says: (n,)."""

RANDOM = "random"


@dataclass(frozen=True, eq=False)
class Curves:
    """What a model says while features go or come, one curve for each order of features.

    Attributes
    ----------
    kind
        ``"deletion"``: from the input to the baseline; ``"insertion"``: from the baseline to it.
    names
        Of the orders: methods, or ``"random"`` for all.
    counts
        (points,), int64, 0…features, rising: how many features have gone, or come.
    scores
        (orders, points), float64: what the model says.
    features
        How many features there are.
    """

    kind: Literal["deletion", "insertion"]
    names: tuple[str, ...]
    counts: Tensor
    scores: Tensor
    features: int

    @property
    def fractions(self) -> Tensor:
        """(points,), float64, 0…1: the shares of features that have gone, or come."""
        return self.counts.double() / self.features

    @property
    def areas(self) -> Tensor:
        """(orders,), float64: the area under each curve over `fractions`, by trapezoids.

        Of deletion small is good, of insertion large. A score that falls in a straight line has
        the mean of its ends.
        """
        return torch.trapezoid(self.scores, self.fractions)

    @property
    def mean(self) -> Tensor:
        """(points,): the mean over the orders, at each point."""
        return self.scores.mean(0)

    @property
    def spread(self) -> Tensor:
        """(points,): the standard deviation over the orders, at each point (n − 1)."""
        return self.scores.std(0)

    def normalised(self) -> Curves:
        """The same with scores as shares of the way from the baseline (0) to the input (1).

        So that curves of different samples and targets can be compared. A score may go beyond
        either. NaN where input and baseline score alike.

        Examples
        --------
        >>> counts, scores = torch.tensor([0, 1, 2]), torch.tensor([[8.0, 5.0, 4.0]])
        >>> Curves("deletion", ("a",), counts, scores.double(), 2).normalised().scores.tolist()
        [[1.0, 0.25, 0.0]]
        """
        first, last = self.scores[:, :1], self.scores[:, -1:]
        whole, empty = (first, last) if self.kind == "deletion" else (last, first)
        way = whole - empty
        scores = (self.scores - empty) / torch.where(way == 0, torch.nan, way)
        return replace(self, scores=scores)


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How faithful methods are to the model on one sample, so far.

    Attributes
    ----------
    deletion, insertion
        The curves of the methods.
    random_deletion, random_insertion
        The curves of random orders.
    points
        How many points the curves will have in the end.
    note
        What is scored, and what replaces what, in words, or "".
    """

    deletion: Curves
    insertion: Curves
    random_deletion: Curves
    random_insertion: Curves
    points: int
    note: str = ""

    @property
    def progress(self) -> float:
        """The share of points that are known, 0…1."""
        return len(self.deletion.counts) / self.points

    def to_dicts(self, normalised: bool = False) -> list[dict[str, Any]]:
        """The areas as rows of a table: one for each method, and one for the random orders.

        Parameters
        ----------
        normalised
            Of the curves as `Curves.normalised` has them.

        Returns
        -------
        list of dict
            ``method``, ``deletion``, ``insertion``, and of the random orders the standard
            deviations of the areas, ``deletion_spread`` and ``insertion_spread``.
        """
        sides = self.deletion, self.insertion, self.random_deletion, self.random_insertion
        deletion, insertion, gone, come = (
            (side.normalised() if normalised else side).areas for side in sides
        )
        rows: list[dict[str, Any]] = [
            {"method": name, "deletion": float(d), "insertion": float(i)}
            for name, d, i in zip(self.deletion.names, deletion, insertion, strict=True)
        ]
        rows.append(
            {
                "method": RANDOM,
                "deletion": float(gone.mean()),
                "insertion": float(come.mean()),
                "deletion_spread": float(gone.std()),
                "insertion_spread": float(come.std()),
            }
        )
        return rows


def faithfulness(
    attributions: Mapping[str, Tensor],
    score: Score,
    *,
    points: int = 33,
    repeats: int = 8,
    seed: int = 0,
    batch: int = 32,
) -> Iterator[Faithfulness]:
    """Deletion and insertion curves, the ends first, then finer and finer.

    Features are ordered by their attribution, the largest first, equals by index. Deletion at k:
    ``score`` of the input without the first k; insertion at k: of the baseline with the first k of
    the input. A random order backwards is a random order as well: its deletion curve, read
    backwards, is the insertion curve of that one.

    Parameters
    ----------
    attributions
        (features,) for each method, by name.
    score
        From masks (n, features), bool, True where a feature is kept, to (n,) real numbers.
    points
        How many points a curve has in the end, from 0 to all features, at most one for each
        number of features.
    repeats
        How many random orders, 2 or more.
    seed
        Of these.
    batch
        How many masks ``score`` is asked about at once, at most.

    Returns
    -------
    Iterator
        A `Faithfulness` after each batch or so; the last one has all points.

    Raises
    ------
    ValueError
        When there is no attribution, they differ in length, one is not finite, ``points`` or
        ``repeats`` are below 2, or ``score`` answers in another shape.

    Examples
    --------
    >>> weights = torch.tensor([1.0, 3.0, 2.0])
    >>> *_, found = faithfulness({"weights": weights}, lambda keep: keep.float() @ weights)
    >>> found.deletion.scores.tolist(), found.insertion.scores.tolist()
    ([[6.0, 3.0, 1.0, 0.0]], [[0.0, 3.0, 5.0, 6.0]])
    """
    if points < 2 or repeats < 2 or batch < 1:
        raise ValueError("points and repeats must be 2 or more, batch 1 or more.")
    orders = _orders(attributions)
    random = _random_orders(repeats, orders.shape[1], seed)
    # Insertion in an order is deletion in the reverse of it, read backwards: deletion is all
    # there is to ask for.
    every = torch.cat([orders, orders.flip(1), random.to(orders.device)])
    return _refined(tuple(attributions), every.argsort(1), score, points, batch)


def _orders(attributions: Mapping[str, Tensor]) -> Tensor:
    """(methods, features): the features of each, the most important first."""
    shapes = {tuple(values.shape) for values in attributions.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        found = ", ".join(map(str, sorted(shapes))) or "none"
        raise ValueError(f"Attributions must all be (features,), not {found}.")
    for name, values in attributions.items():
        bad = int((~values.isfinite()).sum())
        if bad:
            raise ValueError(
                f"The attribution {name!r} holds {bad:,} numbers that are not finite: its features "
                "have no order."
            )
    return torch.stack([ranked(values.detach()) for values in attributions.values()])


def _random_orders(repeats: int, features: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [torch.randperm(features, generator=generator, device="cpu") for _ in range(repeats)]
    )


def _refined(
    names: tuple[str, ...], places: Tensor, score: Score, points: int, batch: int
) -> Iterator[Faithfulness]:
    """``places``: (orders, features), at which place a feature goes."""
    orders, features = places.shape
    counts = torch.tensor(spread_counts(features, points), device=places.device)
    ends = places.new_tensor([[True], [False]], dtype=torch.bool).expand(2, features)
    scores = torch.full((orders, len(counts)), torch.nan, dtype=torch.float64)
    scores[:, [0, -1]] = _asked(score, ends, batch)
    known = [0, len(counts) - 1]
    yield _so_far(names, counts, scores, known, features)
    inner = bisected(len(counts))
    at_once = max(1, batch // orders)
    for start in range(0, len(inner), at_once):
        some = inner[start : start + at_once]
        keep = places[:, None] >= counts[some][:, None]
        scores[:, some] = _asked(score, keep.flatten(0, 1), batch).reshape(orders, len(some))
        known = sorted([*known, *some])
        yield _so_far(names, counts, scores, known, features)


def _asked(score: Score, keep: Tensor, batch: int) -> Tensor:
    """(n,), float64, on the CPU: a few numbers."""
    parts = []
    for part in keep.split(batch):
        answer = score(part).detach()
        if answer.shape != (len(part),):
            raise ValueError(
                f"score must answer {len(part)} masks by ({len(part)},), not by "
                f"{tuple(answer.shape)}."
            )
        parts.append(answer.cpu().double())
    return torch.cat(parts)


def _so_far(
    names: tuple[str, ...], counts: Tensor, scores: Tensor, known: list[int], features: int
) -> Faithfulness:
    gone, values = counts.cpu()[known], scores[:, known]
    come, backwards = features - gone.flip(0), values.flip(1)
    methods = len(names)
    random = (RANDOM,) * (len(values) - 2 * methods)
    return Faithfulness(
        Curves("deletion", names, gone, values[:methods], features),
        Curves("insertion", names, come, backwards[methods : 2 * methods], features),
        Curves("deletion", random, gone, values[2 * methods :], features),
        Curves("insertion", random, come, backwards[2 * methods :], features),
        len(counts),
    )


def spread_counts(features: int, points: int) -> list[int]:
    """Numbers from 0 to ``features``, spread evenly: ``points`` of them, fewer where there are.

    Examples
    --------
    >>> spread_counts(10, 5), spread_counts(2, 5)
    ([0, 3, 5, 8, 10], [0, 1, 2])
    """
    steps = min(points - 1, features)
    return [(2 * step * features + steps) // (2 * steps) for step in range(steps + 1)]


def bisected(count: int) -> list[int]:
    """The numbers between 0 and ``count`` − 1: the middle first, then the middles of the halves.

    Examples
    --------
    >>> bisected(9)
    [4, 2, 6, 1, 3, 5, 7]
    """
    found: list[int] = []
    spans = [(0, count - 1)]
    for low, high in spans:
        middle = (low + high) // 2
        if low < middle:
            found.append(middle)
            spans += [(low, middle), (middle, high)]
    return found
