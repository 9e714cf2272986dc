"""Where the positions of an attention lie on the image that they are patches of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.patches import ImageGrid
from explain_widgets.analysis.windowed_attention import windowed_attention
from explain_widgets.live.attention.layer import BATCHED, AttentionLayer
from explain_widgets.live.modules import ModuleRow
from explain_widgets.live.patches import Patches, around, image_in

Call = tuple[AttentionLayer, Attention | None]


def window_places(
    size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """Where the positions of shifted windows lie in an image (Liu et al. 2021).

    The image is padded at the right and bottom to whole windows, rolled back by ``shift``, and cut
    into windows row by row.

    Parameters
    ----------
    size, window, shift
        (height, width) in patches. No shift along a side that one window covers.

    Returns
    -------
    places, padded
        (windows, positions of one) int64, row by row in the padded image; and its size.

    Examples
    --------
    >>> window_places((2, 4), (2, 2), (0, 0))[0].tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    height, width = (-(-side // part) * part for side, part in zip(size, window, strict=True))
    down, right = (
        0 if part >= side else by
        for by, part, side in zip(shift, window, (height, width), strict=True)
    )
    places = torch.arange(height * width).view(height, width).roll((-down, -right), (0, 1))
    cut = places.view(height // window[0], window[0], width // window[1], window[1])
    return cut.transpose(1, 2).reshape(-1, window[0] * window[1]), (height, width)


def on_images(
    calls: list[Call], module: nn.Module, rows: list[ModuleRow], inputs: Iterable[Tensor]
) -> list[Call]:
    """The calls with the grids of their patches, windows put back on the whole image.

    Parameters
    ----------
    calls
        What was recorded in a forward.
    module
        The module that ran.
    rows
        Its module table.
    inputs
        The tensors that went into the forward: images (1, channels, height, width), ids
        (1, tokens).
    """
    tensors = list(inputs)
    if image_in(tensors) is None:
        return calls
    place = _Place(module, rows, tensors)
    return [place.placed(layer, attention) for layer, attention in calls]


class _Place:
    def __init__(self, module: nn.Module, rows: list[ModuleRow], inputs: list[Tensor]) -> None:
        self._module, self._rows = module, {row.name: row for row in rows}
        self._patches = Patches(module, rows, inputs)

    def placed(self, layer: AttentionLayer, attention: Attention | None) -> Call:
        windows = self._windows(layer)
        if windows is not None:
            places, grid = windows
            heads = layer.heads // len(places)
            count = places.numel()
            layer = replace(
                layer,
                heads=heads,
                queries=count,
                keys=count,
                note=_without_batch(layer),
                query_grid=grid,
                key_grid=grid,
            )
            if attention is not None:
                attention = windowed_attention(replace(attention, note=layer.note), places)
            return layer, attention
        in_vision = self._patches.sees_image(layer.name)
        is_of_image = layer.kind == "self" or self._is_reduced(layer)
        query = self._patches.grid(layer.queries, in_vision and is_of_image)
        key = self._patches.grid(layer.keys, in_vision or layer.kind == "cross")
        return replace(layer, query_grid=query, key_grid=key), attention

    def _is_reduced(self, layer: AttentionLayer) -> bool:
        """Whether the keys are the queries' image, coarser (pyramids: Wang et al. 2021)."""
        fine, coarse = map(self._patches.of_length, (layer.queries, layer.keys))
        if fine is None or coarse is None or layer.queries <= layer.keys:
            return False
        (down, over_down), (right, over_right) = map(divmod, fine, coarse)
        return down == right and over_down == over_right == 0

    def _windows(self, layer: AttentionLayer) -> tuple[Tensor, ImageGrid] | None:
        if layer.queries != layer.keys:
            return None
        for path in around(layer.name):
            module = self._module.get_submodule(path)
            if not (hasattr(module, "window_size") and hasattr(module, "shift_size")):
                continue
            window, shift = _pair(module.window_size), _pair(module.shift_size)
            size = self._resolution(path)
            if size is None or window is None or shift is None:
                return None
            if window[0] * window[1] != layer.queries:
                return None
            places, padded = window_places(size, window, shift)
            if layer.heads % len(places):
                return None
            return places, ImageGrid(0, *padded, *size)
        return None

    def _resolution(self, path: str) -> tuple[int, int] | None:
        """Height and width, in patches, of what went into a block."""
        for shape in self._rows[path].input_shapes:
            if len(shape) == 4 and shape[0] == 1:  # (1, height, width, channels)
                return shape[1], shape[2]
            if len(shape) == 3 and shape[0] == 1:
                return self._patches.of_length(shape[1])
        return None


def _pair(value: Any) -> tuple[int, int] | None:
    values = [value, value] if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[1])) if len(values) == 2 else None


def _without_batch(layer: AttentionLayer) -> str:
    """The note, less that windows follow each other as heads, which they do no longer."""
    said = [part for part in layer.note.split("; ") if BATCHED not in part]
    return "; ".join(part for part in [*said, "windows put back on the image"] if part)
