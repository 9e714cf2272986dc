"""What a user would write to look at the channels of a layer."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import torch
from captum.attr import LayerActivation
from matplotlib import pyplot as plt


def _png(figure: Any) -> bytes:
    """What a notebook does with a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()


def grid_by_imshow(maps: np.ndarray) -> bytes:
    """torchvision's `make_grid`, written by hand, and one imshow."""
    count, height, width = maps.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = np.zeros((rows * (height + 2), columns * (width + 2)), np.float32)
    for number, one in enumerate(maps):
        top, left = (number // columns) * (height + 2), (number % columns) * (width + 2)
        grid[top : top + height, left : left + width] = one
    figure, axes = plt.subplots(figsize=(8, 8))
    axes.imshow(grid, cmap="RdBu_r")
    axes.axis("off")
    return _png(figure)


def grid_by_subplots(maps: np.ndarray) -> bytes:
    """A subplot for each channel."""
    columns = math.ceil(math.sqrt(len(maps)))
    rows = math.ceil(len(maps) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(8, 8))
    for one, place in zip(maps, axes.flat, strict=False):
        place.imshow(one, cmap="RdBu_r")
    for place in axes.flat:
        place.axis("off")
    return _png(figure)


def all_layers_by_captum(
    model: torch.nn.Module, image: torch.Tensor, names: list[str]
) -> list[torch.Tensor]:
    """One call a layer, each with a forward of its own."""
    modules = dict(model.named_modules())
    with torch.no_grad():
        return [LayerActivation(model, modules[name]).attribute(image) for name in names]
