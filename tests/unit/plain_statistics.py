"""What statistics of a head are, word for word, from all its weights in double precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def plain_statistics(
    weights: Tensor,
    rows: range | None = None,
    keys: range | None = None,
    tokens: Sequence[int] | None = None,
    sinks: Sequence[int] = (),
) -> dict[str, float | None]:
    """Of one head in self-attention, from (queries, keys).

    ``rows``: queries that are looked at. ``keys``: of which the first and last count.
    """
    a = weights.double()
    looked = list(rows or range(a.shape[0]))
    keys = keys or range(a.shape[1])

    def mean(values: list[Tensor]) -> float:
        return float(sum(values)) / len(looked)

    def beside(offset: int) -> float:
        return mean([a[i, i + offset] for i in looked if 0 <= i + offset < a.shape[1]])

    positions = torch.arange(a.shape[1])
    return {
        "entropy": mean([torch.special.entr(a[i]).sum() / math.log(2) for i in looked]),
        "distance": mean([(a[i] * (positions - i).abs()).sum() for i in looked]),
        "first": mean([a[i, keys[0]] for i in looked]),
        "last": mean([a[i, keys[-1]] for i in looked]),
        "sink": mean([a[i, list(sinks)].sum() for i in looked]),
        "previous": beside(-1),
        "same": beside(0),
        "following": beside(1),
        "induction": plain_induction(a, looked, tokens),
    }


def plain_induction(
    weights: Tensor, rows: Sequence[int], tokens: Sequence[int] | None
) -> float | None:
    """Mean weight on what followed the same token when it last came before."""
    found = []
    for query in rows if tokens is not None else ():
        before = [place for place in range(query) if tokens[place] == tokens[query]]
        if before and before[-1] + 1 < query:
            is_key = before[-1] + 1 < weights.shape[1]
            found.append(float(weights[query, before[-1] + 1]) if is_key else 0.0)
    return sum(found) / len(found) if found else None
