"""Any model type of transformers, small and random, and inputs for it.

The sizes of a configuration are shrunk by the names of its fields, so that new types come by
themselves; `EXTRA` holds what a type needs beside that.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch import Tensor, nn

VOCABULARY = 99
IMAGE = 32
FRAMES = 64

# What a field's name says of its size; the first pattern that is found counts.
_SIZES: list[tuple[str, int]] = [
    (r"vocab_size|n_vocab|vocab_sizes", VOCABULARY),
    (r"key_value_heads|kv_heads|multi_query_group_num|n_head_kv", 2),
    (r"rotary_dim", 4),
    (r"head_dim|d_kv|rope_head|kv_channels|qk_nope|v_head", 8),
    (r"heads$|n_head$|num_heads", 4),
    (r"lora_rank", 16),
    (r"first_k_dense", 1),
    (r"topk_group", 1),
    (r"experts_per_tok|topk|top_k|num_selected", 2),
    (r"expert_group|n_group$", 1),
    (r"experts$", 4),
    (r"layers$|n_layer$|depth$|num_blocks$|n_layers", 2),
    (r"intermediate|ffn|d_ff|dff|feed_?forward|n_inner|hidden_dim$|mlp_dim", 64),
    (r"(hidden_size|d_model|n_embd|emb_dim|embed_dim|embedding_size|width|hidden|proj_dim)", 32),
    (r"^dim$|projection_dim|_dim$|_size_per_head|num_channels_latents", 32),
    (r"image_size|input_size|crop_size|img_size", IMAGE),
    (r"patch_size", 8),
    (r"sliding_window|attention_window|local_attention$", 4),
    (r"position|n_ctx|max_seq|max_len", 128),
    (r"num_quer", 6),
    (r"^window_size$", 4),
]
_LISTS = {
    "depths": 1,
    "layers": 1,
    "blocks": 1,
    "heads": 2,
    "hidden": 32,
    "dims": 32,
    "channels": 32,
}
# Models that attend in few of their layers: two would be none.
_OTHER_LAYERS = r"linear_|mamba|ssm|conv_kernel|lru_width|attn_layer|short_conv|conv_L"
_DEPTHS = ("num_hidden_layers", "n_layer", "num_layers")

_SWIN = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "patch_size": 2, "window_size": 4}
EXTRA: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "big_bird": {"attention_type": "original_full"},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "deberta": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "esm": {"vocab_size": VOCABULARY, "pad_token_id": 1, "mask_token_id": 2},
    "audio-spectrogram-transformer": {"max_length": FRAMES, "num_mel_bins": 32},
    "funnel": {"block_sizes": [1, 1], "d_head": 8},
    "swin": _SWIN,
    "swinv2": _SWIN,
    "whisper": {"max_source_positions": FRAMES // 2, "num_mel_bins": 16},
    "xlnet": {"d_inner": 64},
}


def small_config(kind: str) -> Any:
    """A configuration of the model type ``kind`` with two narrow layers."""
    import transformers

    return _shrunk(type(transformers.AutoConfig.for_model(kind)), EXTRA.get(kind, {}))


def _shrunk(config_class: Any, extra: dict[str, Any]) -> Any:
    fields = inspect.signature(config_class).parameters
    defaults = {name: parameter.default for name, parameter in fields.items()}
    tokens = [name for name in fields if re.search(r"token_(id|index)$|_token$", name)]
    outside = [name for name in tokens if _is_count(defaults[name], VOCABULARY)]
    chosen: dict[str, Any] = {
        name: VOCABULARY - index for index, name in enumerate(outside, start=1)
    }
    is_hybrid = any(re.search(_OTHER_LAYERS, name) for name in fields)
    for name in fields.keys() - set(tokens):
        default = defaults[name]
        if default is None and "experts" in name:
            chosen[name] = _size(name, 8)
        elif _is_count(default):
            deep = is_hybrid and name in _DEPTHS
            chosen[name] = min(8, default) if deep else _size(name, default)
        elif isinstance(default, (tuple, list)) and default and isinstance(default[0], int):
            chosen[name] = _sizes(name, default)
    if "v_head_dim" in fields and "num_key_value_heads" in chosen:  # latent keys are not grouped
        chosen["num_key_value_heads"] = chosen["num_attention_heads"]
    subs = getattr(config_class, "sub_configs", None) or {}
    whole = config_class() if subs else None
    for name in subs:
        sub = getattr(whole, name, None)
        if sub is not None:
            kind = getattr(sub, "model_type", "")
            chosen[name] = _shrunk(type(sub), EXTRA.get(kind, {})).to_dict()
    return config_class(**{**chosen, **extra})


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _size(name: str, default: int) -> int:
    size = next((size for pattern, size in _SIZES if re.search(pattern, name)), default)
    return min(size, default)


def _sizes(name: str, default: Any) -> Any:
    size = next((size for part, size in _LISTS.items() if part in name), None)
    return default if size is None else type(default)(min(size, item) for item in default)


def small_model(kind: str, implementation: str | None = None) -> Any:
    """A random model of this type in evaluation mode, its weights large enough to tell keys apart.

    ``implementation``: of attention; None: the type's default.
    """
    import transformers

    options = {} if implementation is None else {"attn_implementation": implementation}
    config = small_config(kind)
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config, **options).eval()
    spread(model)
    return model


def spread(model: nn.Module) -> None:
    """Random weights of a size that makes attention sharp: freshly made models look uniformly."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.is_floating_point():
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2:
                parameter.copy_(noise * 1.5 / max(1, parameter[0].numel()) ** 0.5)
            elif "bias" in name or "sink" in name:
                parameter.copy_(noise * 0.3)


def inputs_of(model: nn.Module, length: int = 11) -> dict[str, Tensor]:
    """Inputs by the names of the arguments of ``model.forward``."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(3, 60, (1, length), generator=generator)
    names = inspect.signature(model.forward).parameters
    config = model.config
    channels = _find(config, "num_channels", 3)
    size = _find(config, "image_size", IMAGE)
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    images = torch.randn(1, channels, height, width, generator=generator)
    main = getattr(model, "main_input_name", "input_ids")
    inputs: dict[str, Tensor] = {}
    if "input_ids" in names:
        inputs["input_ids"] = ids
        if "bbox" in names:
            inputs["bbox"] = torch.zeros(1, length, 4, dtype=torch.long)
    has_image_tokens = any("image_token" in name for name in vars(config))
    needs_images = "pixel_values" in names and (
        names["pixel_values"].default is inspect.Parameter.empty
    )
    if needs_images or (
        "pixel_values" in names and not ("input_ids" in names and has_image_tokens)
    ):
        inputs["pixel_values"] = images
    if "input_features" in names and (main == "input_features" or "input_ids" not in names):
        bins = _find(config, "num_mel_bins", _find(config, "feature_size", 80))
        inputs["input_features"] = torch.randn(1, bins, FRAMES, generator=generator)
    if "input_values" in names and (main == "input_values" or "input_ids" not in names):
        inputs["input_values"] = torch.randn(1, 4000, generator=generator)
    if "decoder_input_ids" in names:
        inputs["decoder_input_ids"] = ids[:, :6]
    return inputs


def _find(config: Any, name: str, default: Any) -> Any:
    """A field of a configuration, or of the first of its parts that has it."""
    if hasattr(config, name):
        return getattr(config, name)
    for part in getattr(config, "sub_configs", None) or {}:
        value = getattr(config, part, None)
        if value is not None and (found := _find(value, name, None)) is not None:
            return found
    return default
