"""Attention that does not run as plain Python in one place: compiled, scripted, offloaded."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_transformers import inputs_of, small_model
from snapshot import untouched
from torch import Tensor, nn

import explain_widgets as xw


class Attention(nn.Module):
    """Two heads of 4 channels; how the weights meet the values is left to a subclass."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.query = nn.Linear(8, 8)
        self.key = nn.Linear(8, 8)
        self.value = nn.Linear(8, 8)
        self.softmax = nn.Softmax(dim=-1)

    def split(self, x: Tensor) -> Tensor:
        return x.view(1, -1, 2, 4).transpose(1, 2)


class Fused(Attention):
    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        return F.scaled_dot_product_attention(
            self.split(query), self.split(key), self.split(value), is_causal=True
        )


class ByHand(Attention):
    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        scores = torch.matmul(self.split(query), self.split(key).transpose(-1, -2)) / 2.0
        return torch.matmul(self.softmax(scores), self.split(value))


def expected(model: Attention, x: Tensor) -> Tensor:
    """Weights by the definition, in double precision."""
    query, key = (model.split(layer(x)).double() for layer in (model.query, model.key))
    scores = query @ key.mT / 2
    if isinstance(model, Fused):
        scores = scores.masked_fill(torch.ones(6, 6).triu(1).bool(), -math.inf)
    return scores.softmax(-1)[0]


def traced(model: nn.Module, x: Tensor) -> nn.Module:
    made: nn.Module = torch.jit.trace(model, x)
    return made


def scripted(model: nn.Module, x: Tensor) -> nn.Module:
    made: nn.Module = torch.jit.script(model)
    return made


def compiled(model: nn.Module, x: Tensor) -> nn.Module:
    made: nn.Module = torch.compile(model, backend="aot_eager")
    made(x)
    return made


def compiled_in_place(model: nn.Module, x: Tensor) -> nn.Module:
    model.compile(backend="aot_eager")
    model(x)
    return model


def compiled_method(model: nn.Module, x: Tensor) -> nn.Module:
    model.forward = torch.compile(model.forward, backend="aot_eager")
    model(x)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [Fused, ByHand])
@pytest.mark.parametrize(
    "prepare", [traced, scripted, compiled, compiled_in_place, compiled_method]
)
def test_compiled_and_scripted_models_show_their_attention(
    kind: type[Attention], prepare: Callable[[nn.Module, Tensor], nn.Module]
) -> None:
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(1))
    plain = kind().eval()
    with torch.no_grad():
        theirs = expected(plain, x)
        model = prepare(kind().eval(), x)
        before = model(x)
    live = xw.LiveModel(model, x)
    assert len(live.attention_layers()) == 1
    assert (live.attention(0).weights() - theirs).abs().max() < 1e-6
    assert live.attention_layers()[0].check is not None
    with torch.no_grad():
        assert torch.equal(model(x), before)
    assert (live.output() - before).abs().max() < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_classifier_has_no_attention() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 5), nn.Softmax(dim=-1))
    for made in (model, torch.jit.trace(model, torch.randn(1, 6, 8))):
        with pytest.raises(xw.NoAttentionError, match="No attention was found"):
            xw.LiveModel(made, torch.randn(1, 6, 8)).attention_layers()


@pytest.mark.parametrize("where", ["cpu", "disk"])
@pytest.mark.parametrize("kind", ["llama", "bart"])
def test_models_split_by_accelerate_show_their_attention(
    kind: str, where: str, tmp_path: Path
) -> None:
    accelerate: Any = pytest.importorskip("accelerate")
    model = small_model(kind)
    inputs = inputs_of(model)
    plain = xw.LiveModel(model, inputs)
    theirs = [plain.attention(n).weights() for n in range(len(plain.attention_layers()))]
    split = small_model(kind)
    split.load_state_dict(model.state_dict())
    if where == "cpu":
        accelerate.cpu_offload(split, execution_device=torch.device("cpu"))
    else:
        accelerate.disk_offload(split, str(tmp_path), execution_device=torch.device("cpu"))
    with untouched(split):
        live = xw.LiveModel(split, inputs)
        assert len(live.attention_layers()) == len(theirs)
        for number, weights in enumerate(theirs):
            assert torch.equal(live.attention(number).weights(), weights)
