"""Attention is read from what the model calls, whatever it is called with, and checked."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_models import UNCOPYABLE, WIDTH, Heads, X
from snapshot import untouched
from threads import in_thread
from torch import Tensor, nn

from explain_widgets import LiveModel, NoAttentionError
from explain_widgets.live.attention import capture as capture_file

INF = math.inf
B, H, L, S, E = 1, 2, 5, 7, 4


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(found, expected.to(found), atol=tolerance, rtol=1e-5, equal_nan=True)


# --- F.scaled_dot_product_attention -----------------------------------------------------------


class Calls(nn.Module):
    """Calls a function of query, key and value, that are its inputs."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.inner = nn.Identity()
        self.function = function

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return self.inner(self.function(query, key, value))


def sdpa(**options: Any) -> Callable[..., Tensor]:
    def call(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, **options)

    return call


def random_mask(*shape: int) -> Tensor:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) > 0.4
    mask[..., 0] = True
    return mask


def padding(keys: int, real: int) -> Tensor:
    return torch.arange(keys) < real


def additive(mask: Tensor, fill: float = -INF) -> Tensor:
    return torch.zeros(mask.shape).masked_fill(~mask, fill)


LOWEST = torch.finfo(torch.float32).min
TRIANGLE = torch.ones(L, S, dtype=torch.bool).tril()
BOTTOM_RIGHT = torch.ones(L, S, dtype=torch.bool).tril(S - L)

SDPA: dict[str, dict[str, Any]] = {
    "plain": {},
    "scale": {"scale": 0.3},
    "causal": {"is_causal": True},
    "bool (queries, keys)": {"attn_mask": random_mask(L, S)},
    "bool (1, keys)": {"attn_mask": random_mask(1, S)},
    "bool (1, 1, 1, keys)": {"attn_mask": padding(S, 4)[None, None, None]},
    "bool (batch, 1, queries, keys)": {"attn_mask": random_mask(B, 1, L, S)},
    "bool (batch, heads, queries, keys)": {"attn_mask": random_mask(B, H, L, S)},
    "bool (heads, 1, keys)": {"attn_mask": random_mask(H, 1, S)},
    "bool (heads, queries, 1)": {"attn_mask": random_mask(H, L, 1)},
    "bool, expanded": {"attn_mask": padding(S, 4).expand(B, H, L, S)},
    "bool, triangle": {"attn_mask": TRIANGLE},
    "bool, bottom right": {"attn_mask": BOTTOM_RIGHT},
    "bool, triangle and padding": {"attn_mask": TRIANGLE & padding(S, 4)},
    "bool, triangle and left padding": {"attn_mask": TRIANGLE & ~padding(S, 2)},
    "bool, all": {"attn_mask": torch.ones(L, S, dtype=torch.bool)},
    "bool, nothing": {"attn_mask": torch.zeros(L, S, dtype=torch.bool)},
    "float, -inf": {"attn_mask": additive(random_mask(L, S))},
    "float, lowest": {"attn_mask": additive(random_mask(1, 1, L, S), LOWEST)},
    "float, lowest everywhere": {"attn_mask": additive(TRIANGLE & ~padding(S, 2), LOWEST)},
    "float, -10000": {"attn_mask": additive(random_mask(L, S), -1e4)},
    "float, triangle": {"attn_mask": additive(TRIANGLE)},
    "float, bias": {"attn_mask": torch.linspace(-3, 3, L * S).reshape(L, S)},
    "float, bias a head": {"attn_mask": torch.linspace(-3, 3, H * S).reshape(1, H, 1, S)},
    "float, bias and -inf": {"attn_mask": torch.ones(L, S) + additive(TRIANGLE)},
    "float, zeros": {"attn_mask": torch.zeros(L, S)},
}  # fmt: skip


def by_definition(function: Callable[..., Tensor], query: Tensor, key: Tensor) -> Tensor:
    """The weights themselves: what the operation returns where the values are the unit matrix."""
    keys = key.shape[-2]
    return function(query, key, torch.eye(keys).expand(*key.shape[:-1], keys))


@pytest.mark.parametrize("options", SDPA.values(), ids=SDPA)
@pytest.mark.parametrize("leading", [(B, H), (H,), ()], ids=["4 axes", "3 axes", "2 axes"])
def test_scaled_dot_product_attention(options: dict[str, Any], leading: tuple[int, ...]) -> None:
    mask = options.get("attn_mask")
    if mask is not None and mask.ndim > len(leading) + 2:
        pytest.skip("has more axes than the query")
    if len(leading) == 0 and mask is not None and mask.ndim > 2:
        pytest.skip("has heads")
    query, key = torch.randn(*leading, L, E), torch.randn(*leading, S, E)
    value = torch.randn(*leading, S, 3)
    call = sdpa(**options)
    live = LiveModel(Calls(call), [{"query": query, "key": key, "value": value}], forward=unbatched)
    found = live.attention(0)
    expected = by_definition(call, query, key)
    close(found.weights(), expected.reshape(-1, L, S))
    assert found.check is not None
    assert found.check < 1e-6
    assert torch.equal(live.output(), call(query, key, value))


def unbatched(model: nn.Module, **inputs: Tensor) -> Tensor:
    """The inputs of one sample have a batch axis of 1 that these calls do not want."""
    return model(**{name: value[0] for name, value in inputs.items()})


@pytest.mark.parametrize(("queries", "keys"), [(5, 7), (7, 5), (5, 5), (1, 6)])
def test_causal_is_aligned_top_left(queries: int, keys: int) -> None:
    query, key = torch.randn(1, H, queries, E), torch.randn(1, H, keys, E)
    call = sdpa(is_causal=True)
    found = LiveModel(Calls(call), (query, key, key)).attention(0)
    expected = by_definition(call, query, key)[0]
    close(found.weights(), expected)
    for row in (0, queries - 1):
        close(found.row(1, row), expected[1, row])


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": random_mask(4, L, S)}])
def test_grouped_key_heads(groups: int, options: dict[str, Any]) -> None:
    query, key = torch.randn(1, 4, L, E), torch.randn(1, groups, S, E)
    call = sdpa(enable_gqa=True, **options)
    live = LiveModel(Calls(call), (query, key, torch.randn(1, groups, S, 3)))
    close(live.attention(0).weights(), by_definition(call, query, key)[0])
    assert live.attention(0).key.shape[0] == groups  # not repeated
    assert live.attention_layers()[0].heads == 4


def test_keys_that_are_broadcast_over_heads() -> None:
    query, key = torch.randn(1, 4, L, E), torch.randn(1, 1, S, E)
    found = LiveModel(Calls(sdpa()), (query, key, key)).attention(0)
    close(found.weights(), by_definition(sdpa(), query, key.expand(-1, 4, -1, -1))[0])


def test_several_batch_entries_are_heads_that_follow_each_other() -> None:
    """One sample may be run as several (crops, windows)."""
    query, key = torch.randn(1, 3, H, L, E), torch.randn(1, 3, H, S, E)
    mask = random_mask(3, 1, 1, S)
    call = sdpa(attn_mask=mask)
    live = LiveModel(Calls(lambda q, k, v: call(q[0], k[0], v[0])), (query, key, key))
    found = live.attention(0)
    close(found.weights(), by_definition(call, query[0], key[0]).flatten(0, 1))
    assert "3 batch entries" in found.note


def test_dropout_shows_the_weights_before_it() -> None:
    query, key = torch.randn(1, H, L, E), torch.randn(1, H, S, E)

    class Drops(Calls):
        def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return sdpa(dropout_p=0.5 if self.training else 0.0)(query, key, value)

    model = Drops(sdpa())
    for train_mode in (False, True):
        live = LiveModel(model, (query, key, key), train_mode=train_mode)
        with untouched(model):
            found = live.attention(0)
        close(found.weights(), by_definition(sdpa(), query, key)[0])
        assert (found.note == "weights before dropout") == train_mode
        assert (found.check is None) == train_mode


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("mask", [None, TRIANGLE, TRIANGLE & ~padding(S, 2)])
def test_other_precisions(dtype: torch.dtype, mask: Tensor | None) -> None:
    query, key = (torch.randn(1, H, n, E, dtype=dtype) for n in (L, S))
    if mask is not None:
        mask = torch.zeros(L, S, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)
    found = LiveModel(Calls(sdpa(attn_mask=mask)), (query, key, key)).attention(0)
    assert found.query.dtype == dtype
    double = sdpa(attn_mask=None if mask is None else mask.double())
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    expected = by_definition_double(double, query, key)
    close(found.weights()[:, 2:], expected[:, 2:], tolerance)
    # What is added to a hidden row leaves few digits of its scores.
    close(found.weights()[:, :2], expected[:, :2], 1e-3)


def by_definition_double(function: Callable[..., Tensor], query: Tensor, key: Tensor) -> Tensor:
    unit = torch.eye(S, dtype=torch.float64).expand(1, H, S, S)
    return function(query.double(), key.double(), unit)[0]


def test_what_the_model_writes_later_does_not_reach_the_record() -> None:
    """Caches write into their keys, masks are made again in the same place."""
    query, key = torch.randn(1, H, L, E), torch.randn(1, H, S, E)
    mask = torch.linspace(-3, 3, L * S).reshape(L, S)

    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("keys", key.clone())
            self.register_buffer("mask", mask.clone())

        def forward(self, query: Tensor) -> Tensor:
            out = F.scaled_dot_product_attention(query, self.keys, self.keys, attn_mask=self.mask)
            self.keys.zero_()
            self.mask.zero_()
            query.mul_(1)
            return out

    found = LiveModel(Cache(), query).attention(0)
    close(found.weights(), by_definition(sdpa(attn_mask=mask), query, key)[0])


# --- nn.MultiheadAttention --------------------------------------------------------------------

WEIGHTS = [{"need_weights": False}, {}, {"average_attn_weights": False}]
MULTIHEAD: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch first": {"batch_first": True},
    "no bias": {"bias": False},
    "bias_kv": {"add_bias_kv": True},
    "zero_attn": {"add_zero_attn": True},
    "bias_kv and zero_attn": {"add_bias_kv": True, "add_zero_attn": True},
    "kdim and vdim": {"kdim": 6, "vdim": 3},
}
MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "padding": {"key_padding_mask": ~padding(S, 4)[None]},
    "float padding": {"key_padding_mask": additive(padding(S, 4))[None]},
    "bool mask": {"attn_mask": ~random_mask(L, S)},
    "float mask": {"attn_mask": torch.linspace(-2, 2, L * S).reshape(L, S)},
    "mask a head": {"attn_mask": ~random_mask(H, L, S)},
    "both": {"attn_mask": ~TRIANGLE, "key_padding_mask": ~padding(S, 4)[None]},
    "causal": {"attn_mask": ~TRIANGLE, "is_causal": True},
}


@pytest.mark.parametrize("weights", WEIGHTS, ids=["no weights", "averaged", "by head"])
@pytest.mark.parametrize("made", MULTIHEAD.values(), ids=MULTIHEAD)
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_multihead_attention(weights: Any, made: Any, masks: Any) -> None:
    model = nn.MultiheadAttention(WIDTH, H, **made).eval()
    query = torch.randn(1, L, WIDTH)
    key, value = torch.randn(1, S, model.kdim), torch.randn(1, S, model.vdim)
    if not model.batch_first:
        query, key, value = (tensor.transpose(0, 1) for tensor in (query, key, value))
    names = {"query": query, "key": key, "value": value}
    live = LiveModel(model, [0], forward=lambda model, _: model(**names, **masks, **weights))
    with torch.no_grad():
        reference = copy.deepcopy(model).train()  # the plain path; there is no dropout
        _, expected = reference(**names, **masks, average_attn_weights=False)
    found = live.attention(0)
    assert found.check is not None
    assert found.check < 1e-6
    assert found.kind == "cross"
    if "is_causal" in masks and found.keys > S and weights == {"need_weights": False}:
        return  # torch itself hides the added keys then, and shows them when asked for weights
    close(found.weights(), expected[0])
    if weights == {}:
        close(live.output()[1][0], found.weights("mean"))


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("is_home", [True, False], ids=["home", "beside"])
def test_self_attention_of_an_unbatched_input(need_weights: bool, is_home: bool) -> None:
    model = nn.MultiheadAttention(WIDTH, H).eval()
    x = torch.randn(L, WIDTH)
    live = LiveModel(model, [0], forward=lambda model, _: model(x, x, x, need_weights=need_weights))
    with untouched(model):
        found = live.attention(0) if is_home else in_thread(lambda: live.attention(0))
    expected = model.train()(x, x, x, average_attn_weights=False)[1]
    close(found.weights(), expected.detach())
    assert (found.name, found.kind) == ("", "self")


def test_rows_that_multihead_attention_makes_nan() -> None:
    model = nn.MultiheadAttention(WIDTH, H, batch_first=True).eval()
    x, mask = X[:1], torch.eye(5, dtype=torch.bool).any(1, keepdim=True).repeat(1, 5)
    mask[1:] = False  # the first query sees nothing
    for need_weights, empty in ((True, math.nan), (False, 0.0)):
        options = {"attn_mask": mask, "need_weights": need_weights}
        live = LiveModel(model, X, forward=lambda model, x, o=options: model(x, x, x, **o)[0])
        weights = live.attention(0).weights()
        assert math.isnan(weights[0, 0, 0]) == math.isnan(empty)
        assert not weights[:, 1:].isnan().any()
        plain = copy.deepcopy(model).train()(x, x, x, **options)[0]  # not the fused path
        assert plain[0, 0].isnan().all() == math.isnan(empty)


# --- torch's own transformer layers -----------------------------------------------------------


def reference_weights(model: nn.Module, *args: Any, **kwargs: Any) -> list[Tensor]:
    """The weights that the model's own attention modules return, asked to return them."""
    reference = copy.deepcopy(model).train()
    kept: list[Tensor] = []
    for module in reference.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
            forward = module.forward

            def asked(*args: Any, forward: Any = forward, **kwargs: Any) -> Any:
                kwargs |= {"need_weights": True, "average_attn_weights": False}
                output, weights = forward(*args, **kwargs)
                kept.append(weights[0].detach())
                return output, weights

            module.forward = asked  # type: ignore[method-assign]
    reference(*args, **kwargs)
    return kept


CAUSAL5 = nn.Transformer.generate_square_subsequent_mask(5)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"src_key_padding_mask": ~padding(5, 3)[None]},
        {"src_key_padding_mask": padding(5, 2)[None]},
        {"mask": CAUSAL5, "is_causal": True},
        {"mask": CAUSAL5},
        {"mask": CAUSAL5, "src_key_padding_mask": additive(padding(5, 3))[None]},
    ],
    ids=["plain", "padding", "left padding", "causal", "mask", "both"],
)
def test_transformer_encoder(options: Any, batch_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(WIDTH, H, 16, batch_first=batch_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=batch_first).eval()
    x = X[:1] if batch_first else X[:1].transpose(0, 1)
    live = LiveModel(model, [0], forward=lambda model, _: model(x, **options))
    with untouched(model):
        found = [live.attention(index).weights() for index in range(2)]
    expected = reference_weights(model, x, **options)
    for ours, theirs in zip(found, expected, strict=True):
        close(ours, theirs, 2e-6)
    assert [layer.name for layer in live.attention_layers()] == [
        "layers.0.self_attn",
        "layers.1.self_attn",
    ]
    assert {layer.kind for layer in live.attention_layers()} == {"self"}


def test_encoder_layer_alone() -> None:
    model = nn.TransformerEncoderLayer(WIDTH, H, 16, batch_first=True).eval()
    found = LiveModel(model, X).attention("self_attn").weights()
    close(found, reference_weights(model, X[:1])[0])


@pytest.mark.parametrize("with_masks", [False, True])
def test_whole_transformer(with_masks: bool) -> None:
    model = nn.Transformer(WIDTH, H, 1, 2, 16, batch_first=True).eval()
    source, target = X[:1], torch.randn(1, 4, WIDTH)
    options: dict[str, Any] = {}
    if with_masks:
        options = {
            "tgt_mask": nn.Transformer.generate_square_subsequent_mask(4),
            "src_key_padding_mask": ~padding(5, 3)[None],
            "memory_key_padding_mask": ~padding(5, 3)[None],
            "tgt_is_causal": True,
        }
    live = LiveModel(model, [0], forward=lambda model, _: model(source, target, **options))
    layers = live.attention_layers()
    assert [(layer.name, layer.kind, layer.queries, layer.keys) for layer in layers] == [
        ("encoder.layers.0.self_attn", "self", 5, 5),
        ("decoder.layers.0.self_attn", "self", 4, 4),
        ("decoder.layers.0.multihead_attn", "cross", 4, 5),
        ("decoder.layers.1.self_attn", "self", 4, 4),
        ("decoder.layers.1.multihead_attn", "cross", 4, 5),
    ]
    expected = reference_weights(model, source, target, **options)
    for index, theirs in enumerate(expected):
        close(live.attention(index).weights(), theirs, 2e-6)


# --- transformers -----------------------------------------------------------------------------


def eager(model: Any) -> Any:
    """The same weights in the same model with the attention that returns its weights."""
    config = copy.deepcopy(model.config)
    config._attn_implementation = "eager"
    reference = type(model)(config).eval()
    reference.load_state_dict(model.state_dict())
    return reference


def test_minilm_against_eager_attention(minilm: Any, minilm_tokenizer: Any) -> None:
    texts = ["The cat sat on the mat.", "Tokenisation of unbelievable words."]
    live = LiveModel(minilm, texts, tokenizer=minilm_tokenizer)
    reference = eager(minilm)
    with untouched(minilm):
        for sample, text in enumerate(texts):
            with torch.no_grad():
                inputs = minilm_tokenizer(text, return_tensors="pt")
                expected = reference(**inputs, output_attentions=True).attentions
            assert len(live.attention_layers(sample)) == len(expected) == 6
            for index, theirs in enumerate(expected):
                close(live.attention(index, sample).weights(), theirs[0], 1e-5)
    assert live.attention_layers()[5].name == "encoder.layer.5.attention.self"
    assert live.attention_layers()[5].source == "sdpa"
    assert live.attention_layers()[5].heads == 12


def test_minilm_with_padding(minilm: Any, minilm_tokenizer: Any) -> None:
    """One sample of a padded batch: weights on padding are 0, padding itself has weights."""
    inputs = minilm_tokenizer(
        ["Short.", "A longer sentence than that."], padding=True, return_tensors="pt"
    )
    live = LiveModel(minilm, inputs)
    with torch.no_grad():
        one = {name: value[:1] for name, value in inputs.items()}
        expected = eager(minilm)(**one, output_attentions=True).attentions
    real = int(inputs["attention_mask"][0].sum())
    for index in (0, 5):
        found = live.attention(index).weights()
        close(found, expected[index][0], 1e-5)
        assert (found[:, :, real:] == 0).all()


@pytest.mark.parametrize("padded", [False, True])
def test_gpt2_against_eager_attention(padded: bool) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    ).eval()
    data = {"input_ids": torch.arange(8)[None]}
    if padded:
        data["attention_mask"] = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1]])
    live = LiveModel(model, data)
    with torch.no_grad():
        expected = eager(model)(**data, output_attentions=True).attentions
    for index, theirs in enumerate(expected):
        found = live.attention(index)
        rows = (
            slice(2, None) if padded else slice(None)
        )  # the rest is padding that looks at padding
        close(found.weights()[:, rows], theirs[0][:, rows], 1e-5)
        assert found.name == f"transformer.h.{index}.attn"


def test_bart_against_eager_attention() -> None:
    from transformers import BartConfig, BartModel

    sizes = {"encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2}
    sizes |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    model = BartModel(
        BartConfig(vocab_size=20, d_model=16, max_position_embeddings=32, **sizes)
    ).eval()
    data = {
        "input_ids": torch.arange(9)[None] + 3,
        "attention_mask": torch.tensor([[1] * 6 + [0] * 3]),
        "decoder_input_ids": torch.arange(5)[None] + 4,
    }
    live = LiveModel(model, data)
    with torch.no_grad():
        output = eager(model)(**data, output_attentions=True)
    expected = {
        "encoder.layers.0.self_attn": ("self", output.encoder_attentions[0]),
        "decoder.layers.0.self_attn": ("self", output.decoder_attentions[0]),
        "decoder.layers.0.encoder_attn": ("cross", output.cross_attentions[0]),
        "decoder.layers.1.self_attn": ("self", output.decoder_attentions[1]),
        "decoder.layers.1.encoder_attn": ("cross", output.cross_attentions[1]),
    }
    layers = live.attention_layers()
    assert [layer.name for layer in layers] == list(expected)
    for layer in layers:
        kind, weights = expected[layer.name]
        assert layer.kind == kind
        close(live.attention(layer.name).weights(), weights[0], 1e-5)


# --- paths, repeated calls, refusals ----------------------------------------------------------


class Twice(nn.Module):
    """One attention module called twice, and a function called in the root itself."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = Heads()

    def forward(self, x: Tensor) -> Tensor:
        x = self.attend(self.attend(x))
        return F.scaled_dot_product_attention(x, x, x)


def test_paths_and_repeated_calls() -> None:
    live = LiveModel(Twice(), X)
    assert [layer.name for layer in live.attention_layers()] == ["attend", "attend:1", ""]
    assert not torch.equal(live.attention("attend").weights(), live.attention("attend:1").weights())
    assert live.attention(2).weights().shape == (1, 5, 5)
    assert torch.equal(live.attention(1).weights(), live.attention("attend:1").weights())


@pytest.mark.parametrize("make", UNCOPYABLE.values(), ids=UNCOPYABLE)
def test_capture_on_the_fallback(make: Any) -> None:
    model = Twice()
    expected = LiveModel(model, X).attention("attend:1").weights()
    found = LiveModel(make(model), X).attention("attend:1").weights()
    assert torch.equal(found, expected)


def test_capture_beside_a_cell_is_the_same() -> None:
    live = LiveModel(Twice(), X)
    expected = LiveModel(Twice(), X)
    expected.model.load_state_dict(live.model.state_dict())
    found = in_thread(lambda: live.attention(1).weights())
    assert torch.equal(found, expected.attention(1).weights())


def test_a_wrong_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that do not explain what the call returned are never shown."""
    live = LiveModel(Twice(), X)
    right = capture_file.mask_steps
    calls: list[int] = []

    def wrong(*args: Any) -> Any:
        calls.append(1)
        if len(calls) % 3 == 2:
            return (capture_file_causal(),)
        return right(*args)

    monkeypatch.setattr(capture_file, "mask_steps", wrong)
    layers = live.attention_layers()
    assert [layer.name for layer in layers] == ["attend", ""]
    assert all(layer.check is not None and layer.check < 1e-6 for layer in layers)

    monkeypatch.setattr(capture_file, "mask_steps", lambda *args: (capture_file_causal(),))
    live.refresh()
    with pytest.raises(NoAttentionError, match=r"attend: the weights recomputed .* do not explain"):
        live.attention_layers()


def capture_file_causal() -> Any:
    from explain_widgets.analysis.score_steps import Causal

    return Causal()


@pytest.mark.parametrize("row", range(L))
def test_the_self_check_sees_a_wrong_row(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in short inputs, wherever the row is."""
    from explain_widgets.analysis.score_steps import Bias

    bias = torch.zeros(1, L, S)
    bias[0, row, 0] = 3.0
    query, key = torch.randn(1, H, L, E), torch.randn(1, H, S, E)
    live = LiveModel(Calls(sdpa()), (query, key, key))
    monkeypatch.setattr(capture_file, "mask_steps", lambda *args: (Bias(bias),))
    with pytest.raises(NoAttentionError, match="do not explain"):
        live.attention_layers()


def test_a_problem_in_looking_does_not_break_the_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise ValueError("lost the mask")

    model = Twice()
    live = LiveModel(model, X)
    expected = live.output()
    monkeypatch.setattr(capture_file, "mask_steps", broken)
    monkeypatch.setattr(capture_file, "built_attention", broken)
    with pytest.raises(NoAttentionError, match=r"attend: ValueError: lost the mask"):
        live.attention_layers()
    assert torch.equal(live.output(), expected)
    with pytest.raises(NoAttentionError, match="lost the mask"):
        live.attention_layers()


def test_what_cannot_be_read_from_the_call_is_read_from_its_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*args: Any) -> Any:
        raise ValueError("lost the mask")

    def without_heads(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # Three axes: torch itself computes it from a product and a softmax.
        return F.scaled_dot_product_attention(query, key, value)

    model = Calls(without_heads)
    torch.manual_seed(0)
    arguments = tuple(torch.randn(1, n, 4) for n in (3, 5, 5))
    expected = LiveModel(model, arguments).attention(0).weights()
    monkeypatch.setattr(capture_file, "mask_steps", broken)
    live = LiveModel(model, arguments)
    assert [layer.source for layer in live.attention_layers()] == ["softmax"]
    assert (live.attention(0).weights() - expected).abs().max() < 1e-6


def test_an_error_of_the_models_own_call_is_the_models_error() -> None:
    from explain_widgets import RunError

    live = LiveModel(Calls(sdpa()), (torch.ones(1, 2, 3), torch.ones(1, 2, 4), torch.ones(1, 2, 4)))
    with pytest.raises(RunError, match="RuntimeError"):
        live.attention_layers()


def test_nothing_found_names_what_was_looked_for_and_what_ran() -> None:
    model = nn.Sequential(
        nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.Softmax(-1)
    )
    with pytest.raises(NoAttentionError) as raised:
        LiveModel(model, X).attention_layers()
    said = str(raised.value)
    for part in (
        "none of its modules is an attention by its name",
        "F.scaled_dot_product_attention, nn.MultiheadAttention, flex attention, and softmaxes",
        "2 × Linear",
        "1 × GELU",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("mamba", "MambaBlock: state-space or linear attention: there are no softmax weights"),
        ("longformer", "LongformerLayer: sparse layout"),
        ("fnet", "FNetFourierTransform: tokens are mixed by a Fourier transform"),
        ("resnet", "none of its modules is an attention by its name"),
    ],
)
def test_models_without_softmax_weights_say_why(kind: str, why: str) -> None:
    from small_transformers import inputs_of, small_model

    model = small_model(kind)
    with pytest.raises(NoAttentionError) as raised:
        LiveModel(model, inputs_of(model)).attention_layers()
    assert why.split(":", 1)[-1].strip() in str(raised.value)


def test_the_output_is_that_of_the_run_without_capture() -> None:
    """Capturing does not change what the model computes."""
    model = Twice().eval()
    kept: list[Tensor] = []
    model.register_forward_hook(lambda module, args, output: kept.append(output))
    live = LiveModel(model, X)
    live.attention(0)
    live.output()
    assert len(kept) >= 2
    assert all(torch.equal(output, kept[0]) for output in kept)


def test_records_hold_queries_and_keys_and_no_more() -> None:
    width, length = 32, 64
    live = LiveModel(Heads(width), torch.randn(2, length, width))
    found = live.attention(0)
    assert found.nbytes == 2 * length * width * 4
    for tensor in (found.query, found.key):
        assert tensor.untyped_storage().nbytes() == tensor.nbytes  # not a view of a larger one
