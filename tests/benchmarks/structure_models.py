"""The models that the structure benchmark looks into, random, and an input for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from small_networks import Vgg16
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """A block of ResNet-50 (He et al. 2016)."""

    def __init__(self, before: int, inner: int, stride: int) -> None:
        super().__init__()
        after = 4 * inner
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.relu(self.bn1(self.conv1(maps)))
        inner = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(inner)))))
        return self.relu(inner + (maps if self.downsample is None else self.downsample(maps)))


class ResNet50(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        before = 64
        for number, (blocks, inner) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
            layers = []
            for index in range(blocks):
                layers.append(Bottleneck(before, inner, 2 if index == 0 and number > 1 else 1))
                before = 4 * inner
            self.add_module(f"layer{number}", nn.Sequential(*layers))
        self.fc = nn.Linear(before, 1000)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(image)))))
        return self.fc(maps.mean((2, 3)))


class Mixture(nn.Module):
    """Experts in a Python loop, two for each token."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.router = nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(experts)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        flat = self.norm(tokens).flatten(0, 1)
        weights, chosen = self.router(flat).softmax(-1).topk(2)
        mixed = torch.zeros_like(flat)
        for index, expert in enumerate(self.experts):
            rows, place = torch.where(chosen == index)
            mixed.index_add_(0, rows, expert(flat[rows]) * weights[rows, place, None])
        return tokens + mixed.view_as(tokens)


def _images(model: nn.Module) -> tuple[nn.Module, Any]:
    return model, torch.randn(1, 3, 224, 224)


def _tokens(model: nn.Module, count: int) -> tuple[nn.Module, Any]:
    return model, {"input_ids": torch.randint(0, 999, (1, count))}


def gpt2(**options: Any) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(**options))


def gpt2_xl() -> nn.Module:
    """As large as the real one; what its weights are matters to no time."""
    with torch.device("meta"):
        model = gpt2(n_layer=48, n_embd=1600, n_head=25)
    model.to_empty(device="cpu")
    model.tie_weights()
    few = 0.02 * torch.randn(2**20)
    with torch.no_grad():
        for parameter in model.parameters():
            for piece in parameter.view(-1).split(len(few)):
                piece.copy_(few[: len(piece)])
    return model


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=1000, hidden_size=512, intermediate_size=1376, num_hidden_layers=32,
        num_attention_heads=8, num_key_value_heads=4,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(num_labels=1000)
    return ViTForImageClassification(config)


_DEEP = {"n_layer": 48, "n_embd": 384, "n_head": 6, "vocab_size": 5000}

MODELS: dict[str, Callable[[int], tuple[nn.Module, Any]]] = {
    "vgg16": lambda _: _images(Vgg16(narrow=1, classes=1000)),
    "resnet50": lambda _: _images(ResNet50()),
    "gpt2-12": lambda tokens: _tokens(gpt2(), tokens),
    "gpt2-48": lambda tokens: _tokens(gpt2(**_DEEP), tokens),
    "gpt2-xl": lambda tokens: _tokens(gpt2_xl(), tokens),
    "llama-32": lambda tokens: _tokens(llama(), tokens),
    "vit-base": lambda _: _images(vit()),
    "mixture": lambda count: (
        nn.Sequential(*(Mixture(256, 8) for _ in range(6))),
        torch.randn(1, 2 * count, 256),  # twice as many: each expert sees a quarter of them
    ),
}
"""By name: from how many tokens language models are given to a model and its input."""

NEEDS_GB = {"gpt2-xl": 9}
"""How much memory must be free for some of them."""
