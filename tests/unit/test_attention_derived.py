"""What is made of weights: value-weighted, without sinks, grouped; by the plain definitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.built_attention import built_attention
from explain_widgets.analysis.derived import grouped, value_weighted, without_keys
from explain_widgets.analysis.score_steps import Causal
from explain_widgets.analysis.windowed_attention import windowed_attention

HEADS, N = 4, 24


def seeded(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def causal() -> Attention:
    query, key = seeded(HEADS, N, 8), seeded(2, N, 8)
    norms = seeded(2, N).abs()
    return Attention(query, key, 0.4, (Causal(),), name="causal", value_norms=norms)


def built() -> Attention:
    weights = seeded(HEADS, N, N).softmax(-1)
    norms = seeded(HEADS, N).abs()
    return built_attention(
        weights, name="built", kind="self", source="", note="", value_norms=norms
    )


def windowed() -> Attention:
    windows = Attention(
        seeded(3 * HEADS, 8, 5), seeded(3 * HEADS, 8, 5), 0.4, value_norms=seeded(12, 8).abs()
    )
    return windowed_attention(windows, torch.randperm(N).view(3, 8))


BASES = [causal, built, windowed]
HIDDEN = torch.zeros(N, dtype=torch.bool)
HIDDEN[[0, 5, 6, 23]] = True
EDGES = [0, 1, 2, 5, 6, 11, 12, 20, 23, 24]


def double(attention: Attention) -> Tensor:
    return attention.weights().double()


def weighted(attention: Attention) -> Tensor:
    norms = attention.value_norms.double()
    norms = norms.repeat_interleave(attention.heads // len(norms), 0)
    return double(attention) * norms[:, None]


def rest(attention: Attention) -> Tensor:
    weights = double(attention).masked_fill(HIDDEN, 0)
    return (weights / weights.sum(-1, keepdim=True)).nan_to_num(0)


def by_group(attention: Attention) -> Tensor:
    weights = double(attention)
    spans = [slice(a, b) for a, b in itertools.pairwise(EDGES)]
    return torch.stack(
        [
            torch.stack([weights[:, rows, keys].sum(-1).mean(-1) for keys in spans], -1)
            for rows in spans
        ],
        1,
    )


KINDS: list[tuple[Callable[[Attention], Attention], Callable[[Attention], Tensor]]] = [
    (value_weighted, weighted),
    (lambda base: without_keys(base, HIDDEN), rest),
    (lambda base: grouped(base, EDGES, EDGES), by_group),
    (
        lambda base: grouped(without_keys(value_weighted(base), HIDDEN), EDGES, EDGES),
        lambda base: by_group(
            built_attention(
                weighted(base).masked_fill(HIDDEN, 0), name="", kind="self", source="", note=""
            )
        ),
    ),
]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("make", "expect"), KINDS)
def test_it_is_as_defined_whole_and_in_parts(base: Any, make: Any, expect: Any) -> None:
    attention = base()
    made, expected = make(attention), expect(attention)
    count = expected.shape[1]
    assert (made.queries, made.keys, made.heads) == (count, count, HEADS)
    assert (made.weights().double() - expected).abs().max() < 1e-6
    assert (made.row(2, 4) - expected[2, 4]).abs().max() < 1e-6
    assert (made.column("mean", 3) - expected.mean(0)[:, 3]).abs().max() < 1e-6
    assert (made.row("max", 1) - expected.amax(0)[1]).abs().max() < 1e-6
    tile = made.tile(1, (1, count), (2, count - 1), (count - 1, count - 3))
    assert (tile - expected[1, 1:, 2 : count - 1]).abs().max() < 1e-6
    pooled = made.tile(1, (0, count), (0, count), (3, 3))
    bins = [(i * count // 3, (i + 1) * count // 3) for i in range(3)]
    for y, (top, bottom) in enumerate(bins):
        for x, (left, right) in enumerate(bins):
            mean = expected[1, top:bottom, left:right].mean()
            assert pooled[y, x] == pytest.approx(float(mean), abs=1e-6)
    block = made.block((1, 3), (0, count), (0, count), every=2)
    assert (block - expected[1:3, ::2]).abs().max() < 1e-6
    statistics = made.statistics(0)
    assert statistics.first == pytest.approx(float(expected[0, :, 0].mean()), abs=1e-6)
    assert (statistics.entropy is None) == (not made.sums_to_one)
    assert (statistics.received - expected[0].mean(0)).abs().max() < 1e-6


def test_values_that_were_not_seen_are_said() -> None:
    with pytest.raises(ValueError, match=r"values of here were not seen"):
        value_weighted(Attention(seeded(1, 3, 4), seeded(1, 3, 4), 1.0, name="here"))


class Heads(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.how == "sdpa":
            return F.scaled_dot_product_attention(q, k, v)
        if self.how == "matmul":
            return (q @ k.mT).softmax(-1) @ v
        if self.how == "turned":
            return v.mT @ (k @ q.mT).softmax(-2)
        if self.how == "shared values":
            weights = torch.einsum("bhqd,bhkd->bhqk", q, k).softmax(-1)
            return torch.einsum("bhqk,bkd->bqhd", weights, v[:, 0])
        weights = torch.einsum("bhqd,bhkd->hbqk", q, k).softmax(-1)
        return torch.einsum("hbqk,bhkd->bqhd", weights, v)


@pytest.mark.parametrize("how", ["sdpa", "matmul", "turned", "einsum", "shared values"])
def test_the_lengths_of_values_are_read_from_the_model(how: str) -> None:
    q, k, v = seeded(1, 3, 5, 4), seeded(1, 3, 7, 4), seeded(1, 3, 7, 6)
    attention = xw.LiveModel(Heads(how), (q, k, v)).attention(0)
    norms = v[0].norm(dim=-1)
    norms = norms[:1].expand(3, -1) if how == "shared values" else norms
    made = value_weighted(attention)
    assert (made.weights() - attention.weights() * norms[:, None]).abs().max() < 1e-6
