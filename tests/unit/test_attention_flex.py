"""Flex attention: exact weights from its functions of scores, and the model's own kernel runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.attention.flex_attention as torch_flex
from small_transformers import inputs_of, small_model
from snapshot import untouched
from torch import Tensor, nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import explain_widgets as xw

HEADS, POSITIONS, CHANNELS = 4, 12, 8


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling its kernel takes half a minute and is tried by hand."""
    monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


class Flexible(nn.Module):
    """Self-attention by a kernel that is called by its global name, or kept on the module."""

    def __init__(self, kernel: Callable[..., Any] | None = None, **options: Any) -> None:
        super().__init__()
        self.kernel = kernel
        self.options = options
        self.slopes = nn.Parameter(torch.linspace(0.1, 1, HEADS))
        self.kv_heads = 2 if options.get("enable_gqa") else HEADS
        self.query = nn.Linear(CHANNELS, HEADS * CHANNELS)
        self.pair = nn.Linear(CHANNELS, 2 * self.kv_heads * CHANNELS)

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        query = self.query(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        key, value = self.pair(x).unflatten(-1, (2, self.kv_heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value

    def attend(self, *parts: Tensor) -> Any:
        if self.kernel is not None:
            return self.kernel(*parts, **self.options)
        return flex_attention(*parts, **self.options)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.attend(*self.parts(x))
        mixed = mixed[0] if isinstance(mixed, tuple) else mixed
        return mixed.transpose(1, 2).flatten(2)


SLOPES = torch.linspace(0.1, 1, HEADS)
TABLE = torch.randn(HEADS, 2 * POSITIONS, generator=torch.Generator().manual_seed(3))


def alibi(score: Any, batch: Any, head: Any, query: Any, key: Any) -> Any:
    return score - SLOPES[head] * (query - key).abs()


def table_one_by_one(score: Any, batch: Any, head: Any, query: Any, key: Any) -> Any:
    return 3 * torch.tanh((score + TABLE[head][query - key + POSITIONS]) / 3)


def causal(batch: Any, head: Any, query: Any, key: Any) -> Any:
    return query >= key


def band_by_head(batch: Any, head: Any, query: Any, key: Any) -> Any:
    return (query - key).abs() <= head


def block_mask(function: Any, heads: int | None = None) -> Any:
    return create_block_mask(function, None, heads, POSITIONS, POSITIONS, device="cpu")


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scale": {"scale": 0.7},
    "ALiBi": {"score_mod": alibi},
    "table and soft cap": {"score_mod": table_one_by_one},
    "causal": {"block_mask": block_mask(causal)},
    "mask by head": {"block_mask": block_mask(band_by_head, HEADS)},
    "both, grouped": {"score_mod": alibi, "block_mask": block_mask(causal), "enable_gqa": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("batch", [1, 2])
def test_exact_weights(options: dict[str, Any], batch: int) -> None:
    model = Flexible(**options).eval()
    x = torch.randn(1, batch, POSITIONS, CHANNELS)
    live = xw.LiveModel(model, x, forward=lambda model, x: model(x[0]))
    with untouched(model):
        found = live.attention(0)
    query, key, _ = (part.detach().double() for part in model.parts(x[0]))
    unit = torch.eye(POSITIONS, dtype=torch.float64).expand(batch, key.shape[1], -1, -1)
    with torch.no_grad():
        expected = flex_attention(query, key, unit, **options).flatten(0, 1)
    torch.testing.assert_close(found.weights().double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.row(3, 5).double(), expected[3, 5], atol=1e-6, rtol=0)
    assert (found.source, found.check is not None) == ("flex attention", True)
    with torch.no_grad():
        assert torch.equal(live.output(), model(x[0]))


def test_a_kernel_kept_on_the_module() -> None:
    model = Flexible(flex_attention, block_mask=block_mask(causal)).eval()
    x = torch.randn(1, POSITIONS, CHANNELS)
    live = xw.LiveModel(model, x)
    assert live.attention_layers()[0].source == "flex attention"
    assert live.attention(0).row(0, 0)[0] == 1
    assert model.kernel is flex_attention  # and the name is given back
    assert flex_attention is torch_flex.flex_attention


def test_a_bias_that_is_written_later_does_not_reach_the_record() -> None:
    bias = torch.randn(POSITIONS)

    class Writes(Flexible):
        def forward(self, x: Tensor) -> Tensor:
            self.options = {"score_mod": lambda score, b, h, q, k: score + bias[k]}
            mixed = super().forward(x)
            bias.add_(1).mul_(5)
            return mixed

    live = xw.LiveModel(Writes().eval(), torch.randn(1, POSITIONS, CHANNELS))
    check = live.attention(0).check
    first = live.attention(0).row(0, 0)
    bias.zero_()
    assert check is not None
    assert check < 1e-6
    assert torch.equal(live.attention(0).row(0, 0), first)


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2"])
def test_transformers_flex_implementation(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers.integrations.flex_attention as theirs
    from transformers import masking_utils

    monkeypatch.setattr(
        theirs.WrappedFlexAttention, "__call__", lambda self: torch_flex.flex_attention
    )
    made = functools.partial(masking_utils.create_block_mask)
    monkeypatch.setattr(
        masking_utils,
        "create_block_mask",
        lambda *args, **options: made(*args, **{**options, "_compile": False}),
    )
    model = small_model(kind, "flex_attention")
    inputs = inputs_of(model)
    live = xw.LiveModel(model, inputs)
    assert {layer.source for layer in live.attention_layers()} == {"flex attention"}
    with torch.no_grad():
        plain = model(**inputs)
        expected = small_model(kind, "eager")(**inputs, output_attentions=True).attentions
    assert torch.equal(live.output().last_hidden_state, plain.last_hidden_state)
    for index, weights in enumerate(expected):
        found = live.attention(index).weights()
        torch.testing.assert_close(found, weights[0], atol=1e-5, rtol=0)


def test_gradients_where_its_kernel_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Flexible().eval()
    x, target = torch.randn(1, POSITIONS, CHANNELS), lambda output: output[0, 3].sin().sum()
    with untouched(model), pytest.raises(xw.RunError, match="does not support backward on CPU"):
        xw.LiveModel(model, x).gradient_attention(0, target=target)
    kept: list[Tensor] = []

    def flex_attention(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        """As a kernel of an accelerator."""
        kept.append((query @ key.mT * CHANNELS**-0.5).softmax(-1))
        return kept[-1] @ value

    flex_attention.__signature__ = inspect.signature(torch_flex.flex_attention)  # type: ignore[attr-defined]
    monkeypatch.setattr(torch_flex, "flex_attention", flex_attention)
    model = Flexible(flex_attention).eval()
    live = xw.LiveModel(model, x)
    assert live.attention_layers()[0].source == "flex attention"
    ours = live.gradient_attention(0, target=target).weights()
    (gradient,) = torch.autograd.grad(target(model(x)), kept[-1])
    assert (ours - (gradient * kept[-1]).relu()[0]).abs().max() < 1e-6
