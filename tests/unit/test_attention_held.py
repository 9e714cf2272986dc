"""Queries and keys are kept without copies only where nobody can write into them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import explain_widgets as xw

HEADS, CHANNELS = 2, 8


class OneLayer(nn.Module):
    """Attention of one layer; ``after`` is what happens to its query and key then."""

    def __init__(self, after: Any = None, *, fused: bool = False, learned: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.project = nn.ModuleList([nn.Linear(CHANNELS, CHANNELS) for _ in range(3)])
        self.fused = nn.Linear(CHANNELS, 3 * CHANNELS) if fused else None
        self.latents = nn.Parameter(torch.randn(1, 4, CHANNELS)) if learned else None
        self.after = after
        self.runs: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.runs.append(1)
        parts = [part(x) for part in self.project]
        if self.fused is not None:
            parts = list(self.fused(x).chunk(3, -1))
        if self.latents is not None:
            parts[0] = self.latents
        query, key, value = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        out = F.scaled_dot_product_attention(query, key, value)
        if self.after is not None:
            self.after(query, key)
        return out.transpose(1, 2).flatten(2)


def weights_of(model: OneLayer, x: Tensor) -> Tensor:
    """As defined, in float64."""
    with torch.no_grad():
        query, key = (
            model.project[n](x).unflatten(-1, (HEADS, -1)).transpose(1, 2).double() for n in (0, 1)
        )
        return (query @ key.mT / (CHANNELS // HEADS) ** 0.5).softmax(-1)[0]


def shown(live: xw.LiveModel) -> Tensor:
    attention = live.attention(0)
    return torch.stack([attention.weights(head=head) for head in range(HEADS)]).double()


def test_what_only_the_run_had_is_kept_without_a_copy() -> None:
    places: list[int] = []
    model = OneLayer(lambda query, key: places.extend((query.data_ptr(), key.data_ptr())))
    live = xw.LiveModel(model, torch.randn(2, 5, CHANNELS))
    attention = live.attention(0)
    assert [attention.query.data_ptr(), attention.key.data_ptr()] == places


@pytest.mark.parametrize(
    "write",
    [
        lambda query, key: key.add_(1),
        lambda query, key: query.mul_(2),
        lambda query, key: key.data.mul_(2),
        lambda query, key: key.transpose(1, 2)[:, 0].zero_(),
    ],
    ids=["key", "query", "through data", "through a view"],
)
def test_what_is_written_into_after_the_call_is_seen_as_the_call_had_it(write: Any) -> None:
    model, x = OneLayer(write), torch.randn(2, 5, CHANNELS)
    live = xw.LiveModel(model, x)
    assert (shown(live) - weights_of(model, x[:1])).abs().max() < 1e-6
    other = live.attention(0, sample=1).weights(head=0)
    assert (other - weights_of(model, x[1:])[0]).abs().max() < 1e-6


def test_what_others_hold_after_the_run_is_a_copy() -> None:
    held: list[Tensor] = []
    model, x = OneLayer(lambda query, key: held.extend((query, key))), torch.randn(1, 5, CHANNELS)
    live = xw.LiveModel(model, x)
    attention = live.attention(0)
    before = shown(live)
    for tensor in held:
        tensor.zero_()
    assert live.attention(0) is attention
    assert torch.equal(shown(live), before)
    assert (before - weights_of(model, x)).abs().max() < 1e-6


def test_a_query_that_is_a_parameter_is_a_copy() -> None:
    model = OneLayer(learned=True)
    attention = xw.LiveModel(model, torch.randn(1, 5, CHANNELS)).attention(0)
    before = attention.query.clone()
    with torch.no_grad():
        model.latents.zero_()
    assert torch.equal(attention.query, before)


def test_a_part_of_a_fused_projection_keeps_no_more_than_itself() -> None:
    live = xw.LiveModel(OneLayer(fused=True), torch.randn(1, 5, CHANNELS))
    for tensor in (live.attention(0).query, live.attention(0).key):
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
