"""Attention written by hand: found however it is spelled, exact, and told from other softmaxes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import nn

import explain_widgets as xw

POSITIONS, CHANNELS, HEADS = 6, 8, 2


class Handwritten(nn.Module):
    """Self-attention as tutorials write it; ``attend`` is the spelling under test."""

    def __init__(self, attend, dropout=0.0):
        super().__init__()
        self.query = nn.Linear(CHANNELS, CHANNELS)
        self.key = nn.Linear(CHANNELS, CHANNELS)
        self.value = nn.Linear(CHANNELS, CHANNELS)
        self.softmax = nn.Softmax(dim=-1)
        self.dropout = nn.Dropout(dropout)
        self.attend = attend
        self.used = None

    def forward(self, x):
        batch, positions, _ = x.shape
        query, key, value = (
            layer(x).view(batch, positions, HEADS, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed, weights = self.attend(self, query, key, value)
        self.used = weights.detach().reshape(HEADS, positions, -1)
        return mixed.transpose(1, 2).reshape(batch, positions, -1)


def module_softmax(self, query, key, value):
    scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
    weights = self.dropout(self.softmax(scores))
    return torch.matmul(weights, value), weights


def operator(self, query, key, value):
    weights = ((query * 0.5) @ key.mT).softmax(-1)
    return weights @ value, weights


def functional(self, query, key, value):
    scores = (query @ key.mT).float()
    mask = torch.ones(POSITIONS, POSITIONS, dtype=torch.bool).triu(1)
    weights = F.softmax(scores.masked_fill(mask, -torch.inf), dim=-1).to(query.dtype)
    return weights @ value, weights


def in_place_masks(self, query, key, value):
    scores = query @ key.mT
    scores /= 2.0
    mask = torch.ones_like(scores, dtype=torch.bool).triu(1)
    scores[mask] = -1e9
    scores += torch.linspace(0, 1, POSITIONS)
    weights = torch.softmax(scores, -1)
    return weights @ value, weights


def batched(self, query, key, value):
    query, key, value = (t.reshape(-1, *t.shape[-2:]) for t in (query, key, value))
    bias = torch.rand(HEADS, POSITIONS, POSITIONS)
    scores = torch.baddbmm(bias, query, key.transpose(1, 2), beta=0.5, alpha=0.3)
    weights = scores.softmax(dim=2)
    return torch.bmm(weights, value)[None], weights


def einsum(self, query, key, value):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key)
    weights = torch.tanh(scores / 20).mul(20).softmax(-1)
    return torch.einsum("bhqk,bhkd->bhqd", weights, value), weights


def einsum_keys_before_heads(self, query, key, value):
    scores = torch.einsum("bhqd,bhkd->qkbh", query, key)
    weights = scores.softmax(1)
    mixed = torch.einsum("qkbh,bhkd->bhqd", weights, value)
    return mixed, weights.permute(2, 3, 0, 1)


def values_first(self, query, key, value):
    weights = (key @ query.mT).softmax(-2)  # columns are queries
    return (value.mT @ weights).mT, weights.mT


def sink_column(self, query, key, value):
    scores = query @ key.mT
    sinks = torch.zeros(*scores.shape[:-1], 1)
    weights = torch.cat([scores, sinks], dim=-1).softmax(-1)[..., :-1]
    return weights @ value, weights


SPELLINGS = [
    module_softmax,
    operator,
    functional,
    in_place_masks,
    batched,
    einsum,
    einsum_keys_before_heads,
    values_first,
    sink_column,
]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("attend", SPELLINGS, ids=lambda attend: attend.__name__)
def test_every_spelling_gives_the_weights_the_model_used(attend):
    model = nn.Sequential(nn.Linear(CHANNELS, CHANNELS), Handwritten(attend))
    inputs = torch.randn(2, POSITIONS, CHANNELS)
    live = xw.LiveModel(model, inputs)
    (layer,) = live.attention_layers(1)
    assert (layer.name, layer.heads, layer.queries) == ("1", HEADS, POSITIONS)
    assert layer.source == "softmax"
    state = torch.get_rng_state()
    weights = live.attention(0, 1).weights()
    torch.set_rng_state(state)
    model.eval()(inputs[1:])
    if attend is not batched:  # draws its bias anew in every run
        assert torch.equal(weights, model[1].used)
    assert live.attention(0, 1).origin == "weights as the model built them"


class OneSequence(nn.Module):
    """Attention over a single sequence without a batch axis, as first tutorials write it."""

    def __init__(self, attend):
        super().__init__()
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.attend = attend
        self.used = None

    def forward(self, x):
        query, key, value = self.qkv(x).chunk(3, -1)
        mixed, self.used = self.attend(query, key, value)
        return mixed


def of_matrices(query, key, value):
    weights = torch.mm(query, key.t()).softmax(1)
    return weights.mm(value), weights


def of_added_matrices(query, key, value):
    bias = torch.linspace(0, 1, POSITIONS)
    weights = torch.addmm(bias, query, key.T, alpha=0.3).softmax(-1)
    return torch.addmm(query, weights, mat2=value), weights


@pytest.mark.parametrize("attend", [of_matrices, of_added_matrices])
def test_products_of_two_matrices(attend):
    model = OneSequence(attend).eval()
    inputs = torch.randn(1, POSITIONS, CHANNELS)
    live = xw.LiveModel(model, inputs, forward=lambda model, x: model(x[0]))
    (layer,) = live.attention_layers()
    assert (layer.heads, layer.queries, layer.kind) == (1, POSITIONS, "self")
    model(inputs[0])
    assert torch.equal(live.attention(0).weights()[0], model.used)


class Additive(nn.Module):
    """Bahdanau et al. 2015: a score for each pair, from a small network."""

    def __init__(self, pooled):
        super().__init__()
        self.query, self.key = nn.Linear(CHANNELS, 5), nn.Linear(CHANNELS, 5)
        self.score = nn.Linear(5, 1)
        self.pooled = pooled
        self.used = None

    def forward(self, x, memory):
        if self.pooled:  # one learned query for all
            scores = self.score(torch.tanh(self.key(memory))).mT
        else:
            pairs = self.query(x)[:, :, None] + self.key(memory)[:, None]
            scores = self.score(torch.tanh(pairs)).squeeze(-1)
        self.used = scores.softmax(-1)
        return self.used @ memory


@pytest.mark.parametrize(
    ("pooled", "keys", "kind"),
    [(False, POSITIONS, "self"), (False, 9, "cross"), (True, POSITIONS, "mixture")],
)
def test_additive_attention_is_told_from_pooling_by_a_learned_query(pooled, keys, kind):
    model = Additive(pooled)
    inputs = torch.randn(1, POSITIONS, CHANNELS), torch.randn(1, keys, CHANNELS)
    live = xw.LiveModel(model, inputs)
    (layer,) = live.attention_layers()
    queries = 1 if pooled else POSITIONS
    assert (layer.heads, layer.queries, layer.keys, layer.kind) == (1, queries, keys, kind)
    model(*inputs)
    assert torch.equal(live.attention(0).weights(), model.used)


def test_dropout_is_left_out_and_said():
    model = Handwritten(module_softmax, dropout=0.5)
    live = xw.LiveModel(model, torch.randn(1, POSITIONS, CHANNELS), train_mode=True)
    attention = live.attention(0)
    assert "before dropout" in attention.note
    torch.testing.assert_close(attention.weights().sum(-1), torch.ones(HEADS, POSITIONS))


def test_a_second_call_has_a_name_of_its_own():
    layer = Handwritten(operator)
    live = xw.LiveModel(nn.Sequential(layer, layer), torch.randn(1, POSITIONS, CHANNELS))
    assert [found.name for found in live.attention_layers()] == ["0", "0:1"]


def test_weights_past_the_memory_are_read_again():
    model = nn.Sequential(Handwritten(operator), Handwritten(functional))
    live = xw.LiveModel(model, torch.randn(1, POSITIONS, CHANNELS), memory=100)
    for index in (0, 1, 0):
        weights = live.attention(index).weights()
        model.eval()(live.samples[0].args[0])
        assert torch.equal(weights, model[index].used)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(CHANNELS, 5)

    def forward(self, x):
        return self.head(x).softmax(-1)


class Router(nn.Module):
    """A mixture of experts: probabilities of a linear layer weigh activations."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(CHANNELS, 3)
        self.experts = nn.ModuleList(nn.Linear(CHANNELS, CHANNELS) for _ in range(3))

    def forward(self, x):
        outputs = torch.stack([expert(x) for expert in self.experts], -2)
        return (self.gate(x).softmax(-1)[..., None, :] @ outputs)[..., 0, :]


class Codebook(nn.Module):
    def __init__(self):
        super().__init__()
        self.codes = nn.Parameter(torch.randn(7, CHANNELS))

    def forward(self, x):
        return (x @ self.codes.T).softmax(-1) @ self.codes


class Logits(nn.Module):
    """Two sets of activations compared, as CLIP does: a softmax that weighs nothing."""

    def forward(self, x):
        return (x @ x.mT).softmax(-1).argmax(-1)


class SoftEmbedding(nn.Module):
    """Activations are compared, and what is weighed is a parameter."""

    def __init__(self):
        super().__init__()
        self.embeddings = nn.Parameter(torch.randn(POSITIONS, CHANNELS))

    def forward(self, x):
        return (x @ x.mT).softmax(-1) @ self.embeddings


class LinearAttention(nn.Module):
    def forward(self, x):
        return x.softmax(-1) @ (x.softmax(-2).mT @ x)


DECOYS = [Classifier, Router, Codebook, Logits, SoftEmbedding, LinearAttention]


@pytest.mark.parametrize("decoy", DECOYS)
def test_other_softmaxes_are_no_attention(decoy):
    live = xw.LiveModel(decoy(), torch.randn(1, POSITIONS, CHANNELS))
    with pytest.raises(xw.NoAttentionError, match="softmaxes over products of activations"):
        live.attention_layers()


SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 99,
    "max_position_embeddings": 64,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 99}
BART = {
    "d_model": 32,
    "vocab_size": 99,
    **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 4 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 64 for side in ("encoder", "decoder")},
}
MODELS = {
    "albert": {**SMALL, "embedding_size": 16},
    "bart": BART,
    "bert": SMALL,
    "big_bird": {**SMALL, "attention_type": "original_full"},
    "biogpt": SMALL,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99},
    "codegen": {**GPT, "rotary_dim": 4},
    "ctrl": {"n_embd": 32, "n_layer": 2, "n_head": 4, "dff": 64, "vocab_size": 99},
    "deberta": SMALL,
    "deberta-v2": {**SMALL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 99},
    "electra": {**SMALL, "embedding_size": 32},
    "esm": {**SMALL, "pad_token_id": 1, "mask_token_id": 2},
    "falcon": SMALL,
    "gemma2": {**SMALL, "num_key_value_heads": 2, "head_dim": 8},
    "gpt2": GPT,
    "gpt_neox": SMALL,
    "gptj": {**GPT, "rotary_dim": 4},
    "llama": {**SMALL, "num_key_value_heads": 2},
    "mistral": {**SMALL, "num_key_value_heads": 2, "sliding_window": 4},
    "mixtral": {**SMALL, "num_key_value_heads": 2, "num_local_experts": 2},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "vocab_size": 99},
    "openai-gpt": GPT,
    "opt": {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "phi": SMALL,
    "qwen3": {**SMALL, "num_key_value_heads": 2, "head_dim": 8},
    "roberta": SMALL,
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 99},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "vocab_size": 99},
}
# Only these implement F.scaled_dot_product_attention; the others are eager alone.
EAGER_ONLY = {
    "big_bird", "bloom", "codegen", "deberta", "deberta-v2", "gptj", "mpt", "openai-gpt", "xlm",
}  # fmt: skip


def small_model(kind, implementation):
    config = transformers.CONFIG_MAPPING[kind](**MODELS[kind])
    torch.manual_seed(0)
    return transformers.AutoModel.from_config(config, attn_implementation=implementation).eval()


def inputs_of(kind):
    ids = torch.randint(3, 90, (1, 11))
    return {
        "input_ids": ids,
        **({"decoder_input_ids": ids[:, :6]} if kind in ("bart", "t5") else {}),
    }


def own_weights(model, inputs):
    """What the model returns of itself when it is asked to, in call order of self-attention."""
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
    names = ("encoder_attentions", "decoder_attentions", "attentions")
    return [weights[0] for name in names for weights in getattr(output, name, None) or ()]


def self_attention(live):
    cross = ("EncDec", "encoder_attn")
    layers = enumerate(live.attention_layers())
    return [
        live.attention(index).weights()
        for index, layer in layers
        if not any(part in layer.name for part in cross)
    ]


@pytest.mark.parametrize("kind", MODELS)
def test_eager_models_show_the_weights_they_return(kind):
    model, inputs = small_model(kind, "eager"), inputs_of(kind)
    ours = self_attention(xw.LiveModel(model, inputs))
    theirs = own_weights(model, inputs)
    assert len(ours) == len(theirs) >= 2
    for own, reference in zip(ours, theirs, strict=True):
        assert torch.equal(own, reference.float())


@pytest.mark.parametrize("kind", sorted(set(MODELS) - EAGER_ONLY - {"gemma2"}))
def test_sdpa_models_show_the_weights_of_their_eager_twins(kind):
    inputs = inputs_of(kind)
    live = xw.LiveModel(small_model(kind, "sdpa"), inputs)
    assert {layer.source for layer in live.attention_layers()} == {"sdpa"}
    theirs = own_weights(small_model(kind, "eager"), inputs)
    for own, reference in zip(self_attention(live), theirs, strict=True):
        torch.testing.assert_close(own, reference.float(), atol=1e-5, rtol=0)
