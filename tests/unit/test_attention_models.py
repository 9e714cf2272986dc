"""Attention of transformers' model types, a few for each mechanism, against what they say of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_transformers import inputs_of, small_model
from torch import Tensor
from torch.overrides import TorchFunctionMode

import explain_widgets as xw

MECHANISMS: dict[str, tuple[str, ...]] = {
    "absolute positions": ("bert", "roberta", "electra", "distilbert", "albert", "gpt2", "opt"),
    "rotary": ("llama", "gpt_neox", "gptj", "codegen", "phi", "olmo", "modernbert"),
    "grouped key heads": ("qwen2", "qwen3", "starcoder2", "cohere", "granite", "glm"),
    "one key head": ("falcon", "gpt_bigcode"),
    "sliding window": ("mistral", "gemma3_text", "phi3"),
    "soft cap": ("gemma2",),
    "sinks": ("gpt_oss",),
    "experts": ("mixtral", "qwen3_moe", "olmoe"),
    "latent keys": ("deepseek_v2", "deepseek_v3"),
    "relative bias": ("t5", "mpnet", "umt5", "mt5"),
    "ALiBi": ("bloom", "mpt"),
    "disentangled": ("deberta", "deberta-v2"),
    "two streams": ("xlnet",),
    "encoder and decoder": ("bart", "marian", "pegasus", "m2m_100", "blenderbot"),
    "images": ("vit", "deit", "beit", "dinov2", "siglip_vision_model", "ijepa"),
    "windows": ("swin", "swinv2"),
    "images and text": ("clip", "siglip", "blip"),
    "sound": ("whisper", "wav2vec2", "hubert"),
    "others by hand": ("ctrl", "xlm", "openai-gpt", "big_bird", "esm"),
}  # fmt: skip
KINDS = [kind for kinds in MECHANISMS.values() for kind in kinds]


class Spy(TorchFunctionMode):
    """Weights in double precision from the scores of every attention call, by the definition."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self.weights.append(_double(*args, **kwargs))
        elif getattr(func, "__name__", "") == "softmax" and args[0].ndim >= 3:
            axis = kwargs.get("dim", args[1] if len(args) > 1 else -1)
            self.weights.append(args[0].double().softmax(axis).flatten(0, -3))
        return func(*args, **kwargs)


def _double(query: Any, key: Any, value: Any, attn_mask: Any = None, **options: Any) -> Tensor:
    if attn_mask is not None and attn_mask.dtype != torch.bool:
        attn_mask = attn_mask.double()
    keys = key.shape[-2]
    unit = torch.eye(keys, dtype=torch.float64).expand(*key.shape[:-2], keys, keys)
    made = F.scaled_dot_product_attention(
        query.double(), key.double(), unit, attn_mask=attn_mask, **options
    )
    return made.flatten(0, -3)


def captured(model: Any, inputs: dict[str, Tensor]) -> list[tuple[Any, Tensor]]:
    live = xw.LiveModel(model, inputs)
    found = []
    for index, layer in enumerate(live.attention_layers()):
        attention = live.attention(index)
        # As the model has them: how windows are put back is tested by itself.
        attention = getattr(attention, "base", attention)
        found.append((layer, attention.weights()))
    return found


def error(found: Tensor, candidates: list[Tensor]) -> float:
    """The difference from the one of ``candidates`` that is meant."""
    differences = [
        float((found - other[..., : found.shape[-1]]).abs().max())
        for other in candidates
        # A sink's column comes last and is not shown.
        if other.shape[:2] == found.shape[:2] and other.shape[2] - found.shape[2] in (0, 1)
    ]
    return min(differences, default=float("inf"))


@pytest.mark.parametrize("kind", KINDS)
def test_model_type(kind: str) -> None:
    theirs: list[Tensor] = []
    for implementation in ("eager", None):
        model = small_model(kind, implementation)
        if implementation is None and model.config._attn_implementation == "eager":
            return
        inputs = inputs_of(model)
        ours = captured(model, inputs)
        assert ours, kind
        spy = Spy()
        with torch.no_grad(), spy:
            plain = model(**inputs)
        for layer, weights in ours:
            assert layer.check is not None, layer
            if not layer.source.startswith(
                "nn.MultiheadAttention"
            ):  # its insides are not seen here
                assert error(weights, spy.weights) <= 1e-5, layer
        if implementation == "eager":
            theirs = own_weights(model, inputs)
        # Each of the weights that the model returns is one of those that were captured.
        for own in theirs:
            assert error(own, [weights for _, weights in ours]) <= 1e-5
        assert theirs
        live = xw.LiveModel(model, inputs)
        live.attention_layers()
        assert same(live.output(), plain)


def own_weights(model: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    """What the model returns of itself where it can: (heads, queries, keys) each."""
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
    outputs = [output, *(part for part in output.values() if isinstance(part, dict))]
    found = [
        weights
        for part in outputs
        for name, entries in part.items()
        if name.endswith("attentions")
        for weights in entries or ()
        if weights is not None
    ]
    return [weights.flatten(0, -3).float() for weights in found if weights.ndim >= 3]


def same(output: Any, other: Any) -> bool:
    tensors, others = (
        [t for t in torch.utils._pytree.tree_leaves(dict(o)) if isinstance(t, Tensor)]
        for o in (output, other)
    )
    return all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))
