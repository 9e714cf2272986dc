"""Where the positions of an attention lie on the image that they are patches of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.windowed_attention import windowed_attention
from explain_widgets.live.attention.layer import BATCHED, AttentionLayer, ImageGrid
from explain_widgets.live.modules import ModuleRow, Shape

Call = tuple[AttentionLayer, Attention | None]

# Class tokens and registers before the patches: more than these are something else.
_MOST_BEFORE = 8


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
    image = next((t for t in tensors if t.ndim == 4 and t.is_floating_point()), None)
    if image is None:
        return calls
    place = _Place(module, {row.name: row for row in rows}, tuple(image.shape), tensors)
    return [place.placed(layer, attention) for layer, attention in calls]


class _Place:
    def __init__(
        self, module: nn.Module, rows: dict[str, ModuleRow], image: Shape, inputs: list[Tensor]
    ) -> None:
        self._module, self._rows, self._image = module, rows, image
        self._grids = _patch_grids(rows.values(), image)
        ids = [t for t in inputs if t.ndim == 2 and not t.is_floating_point()]
        self._texts = {t.shape[1] for t in ids}
        self._in_text = _image_tokens(module, ids)

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
        in_vision = self._sees_image(layer.name)
        query = self._grid(layer.queries, in_vision and layer.kind == "self")
        key = self._grid(layer.keys, in_vision or layer.kind == "cross")
        return replace(layer, query_grid=query, key_grid=key), attention

    def _grid(self, count: int, is_image: bool) -> ImageGrid | None:
        """The grid of ``count`` positions; where a text is as long it counts as the text."""
        if self._in_text is not None and count in self._texts:
            start, length = self._in_text
            fitting = [grid for grid in self._grids if grid[0] * grid[1] == length]
            return ImageGrid(start, *fitting[0], *fitting[0]) if fitting else None
        if count in self._texts:
            return None
        # A text may come before the class token and the patches, in one sequence.
        before = [0] if is_image else sorted(self._texts)
        for height, width in self._grids:
            if any(0 <= count - height * width - text <= _MOST_BEFORE for text in before):
                return ImageGrid(count - height * width, height, width, height, width)
        return None

    def _sees_image(self, name: str) -> bool:
        """Whether the call is inside a part of the model that takes the image by itself."""
        return not self._texts or any(
            self._image in self._rows[path].input_shapes for path in _around(name) if path
        )

    def _windows(self, layer: AttentionLayer) -> tuple[Tensor, ImageGrid] | None:
        if layer.queries != layer.keys:
            return None
        for path in _around(layer.name):
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
                fitting = [grid for grid in self._grids if grid[0] * grid[1] == shape[1]]
                return fitting[0] if fitting else None
        return None


def _patch_grids(rows: Iterable[ModuleRow], image: Shape) -> list[tuple[int, int]]:
    """Sizes in patches that an image may have in a model: of feature maps, halved and halved."""
    height, width = image[2:]
    maps = [shape[2:] for row in rows for shape in row.output_shapes if len(shape) == 4]
    by_division = [(height // n, width // n) for n in range(4, min(height, width) + 1)]
    exact = [grid for n, grid in enumerate(by_division, 4) if height % n == 0 and width % n == 0]
    found: dict[tuple[int, int], None] = {}
    for high, wide in [*((m[0], m[1]) for m in maps), *exact]:
        # A map keeps the sides of its image: others are windows, or heads of scores.
        if abs(high * width - wide * height) > max(height, width):
            continue
        for halved in range(min(high, wide).bit_length() - 1):
            found.setdefault((-(-high >> halved), -(-wide >> halved)))
    return list(found)


def _image_tokens(module: nn.Module, ids: list[Tensor]) -> tuple[int, int] | None:
    """Start and length of the one stretch of a text that stands for the image's patches."""
    config: Any = getattr(module, "config", None)
    token = getattr(config, "image_token_id", getattr(config, "image_token_index", None))
    if token is None or not ids:
        return None
    places = (ids[0][0] == token).nonzero().flatten().tolist()
    if not places or places[-1] - places[0] + 1 != len(places):
        return None
    return places[0], len(places)


def _around(name: str) -> Iterable[str]:
    """Paths of the module of a call and of those around it, innermost first."""
    path = name.partition(":")[0]
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def _pair(value: Any) -> tuple[int, int] | None:
    values = [value, value] if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[1])) if len(values) == 2 else None


def _without_batch(layer: AttentionLayer) -> str:
    """The note, less that windows follow each other as heads, which they do no longer."""
    said = [part for part in layer.note.split("; ") if BATCHED not in part]
    return "; ".join(part for part in [*said, "windows put back on the image"] if part)
