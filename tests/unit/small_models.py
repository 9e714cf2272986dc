"""Small models of every kind that is awkward to look into, and inputs for them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 8
X = torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(5))  # (samples, time, width)
IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(6))


class Heads(nn.Module):
    """Self-attention with `F.scaled_dot_product_attention`, two heads."""

    def __init__(self, width: int = WIDTH, causal: bool = False) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A transformer block with everything that differs between training and evaluation."""

    def __init__(self, width: int = WIDTH, dropout: float = 0.2) -> None:
        super().__init__()
        self.attend = Heads(width)
        self.norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(inplace=True), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(x)
        return x + self.feed(self.norm(x))


class Classifier(nn.Module):
    """Two blocks, batch norm, dropout, three classes; `inside` runs in the middle of a forward."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.block1 = Block(width)
        self.block2 = Block(width)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(width, 3)
        self.inside: Callable[[], None] | None = None

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(x)
        if self.inside is not None:
            self.inside()
        x = self.norm(self.block2(x).mean(1))
        return self.head(self.dropout(x))


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 6, 3, stride=2),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(6, 4)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.cells = kind(WIDTH, 6, num_layers=2, batch_first=True, bidirectional=True, dropout=0.1)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x)[0][:, -1])


class Writes(nn.Module):
    """Writes, in every forward: a buffer in place, a new buffer, attributes in place and anew."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("cache", None)
        self.window = torch.zeros(WIDTH)  # no buffer, as many users write it
        self.latest: Tensor | None = None
        self.calls = 0
        self.history: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        self.count += 1
        self.cache = x.detach() if self.cache is None else self.cache + x.detach()
        self.window += x.detach().mean((0, 1))
        self.latest = x  # keeps its graph
        self.calls += 1
        self.history.append(self.calls)
        return x * self.count + self.window + self.cache + self.calls + len(self.history)


class Draws(nn.Module):
    """Draws in evaluation mode too."""

    def __init__(self, draw: str = "torch") -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, 3)
        self.draw = draw
        legacy = np.random.RandomState(1)
        self.own = (torch.Generator(), random.Random(1), np.random.default_rng(1), legacy)

    def forward(self, x: Tensor) -> Tensor:
        noise: Any = {
            "torch": lambda: torch.randn(3),
            "dropout": lambda: F.dropout(torch.ones(3), 0.5, training=True),
            "python": random.random,
            "numpy": np.random.rand,
            "own": lambda: torch.randn(3, generator=self.own[0]),
            "own python": self.own[1].random,
            "own numpy": self.own[2].random,
            "own legacy numpy": self.own[3].rand,
        }[self.draw]()
        return self.layer(x.mean(1)) + noise


# What refuses to be copied, each made of a model that can be.


def with_lock(model: nn.Module) -> nn.Module:
    model.lock = threading.Lock()  # type: ignore[assignment]
    return model


def with_closure(model: nn.Module) -> nn.Module:
    inner = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    model.forward = forward  # type: ignore[method-assign]
    return model


def offloaded(model: nn.Module) -> nn.Module:
    from accelerate import cpu_offload

    cpu_offload(model, execution_device=torch.device("cpu"))
    return model


UNCOPYABLE = {"lock": with_lock, "closure": with_closure, "offloaded": offloaded}


class Experts(nn.Module):
    """Experts in a Python loop, each given other rows."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, 5)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Sequential(nn.Linear(WIDTH, 6), nn.GELU()), nn.Linear(6, WIDTH))
            for _ in range(5)
        )

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights = self.router(flat).softmax(-1)
        mixed = torch.zeros_like(flat)
        for index, expert in enumerate(self.experts):
            rows = torch.arange(index + 1)
            mixed.index_add_(0, rows, expert(flat[rows]) * weights[rows, index, None])
        return mixed.view_as(x)
