"""The same self-attention, computed in every way that is read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, HEADS = 16, 4
X = torch.randn(1, 6, WIDTH, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """Attention whose heads reach the output through a matrix of our own, two calls in a row."""

    how = "sdpa"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1)
        )
        result: Tensor = x + self.out(self.mixed(q, k, v).flatten(-2))
        return result


class ByHand(Block):
    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2)


class Einsum(Block):
    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = torch.einsum("bhqd,bhkd->bhqk", q, k).div(2).softmax(-1)
        return torch.einsum("bhqk,bhkd->bqhd", weights, v)


class Turned(Block):
    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = (k @ q.mT / 2).softmax(-2)  # keys by queries
        return (v.mT @ weights).permute(0, 3, 1, 2)


class Grouped(Block):
    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        few = k[:, ::2], v[:, ::2]
        return F.scaled_dot_product_attention(q, *few, enable_gqa=True).transpose(1, 2)


BLOCKS = [Block, ByHand, Einsum, Turned, Grouped]


def blocks_of(kind: type[Block], count: int = 2) -> nn.Sequential:
    """One after another, with weights of their own."""
    blocks = nn.Sequential(*(kind() for _ in range(count))).eval()
    with torch.no_grad():
        for number, parameter in enumerate(blocks.parameters()):
            generator = torch.Generator().manual_seed(number)
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 5)
    return blocks
