"""Which positions of a forward are patches of the sample's image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from explain_widgets.analysis.patches import ImageGrid
from explain_widgets.live.modules import ModuleRow, Shape

# Class tokens and registers before the patches: more than these are something else.
_MOST_BEFORE = 8


class Patches:
    """Where the positions of one forward lie on its image.

    Parameters
    ----------
    module
        The module that ran.
    rows
        Its module table.
    inputs
        The tensors that went into the forward: an image (1, channels, height, width) must be
        among them, see `image_in`; ids are (1, tokens).
    """

    def __init__(self, module: nn.Module, rows: Iterable[ModuleRow], inputs: list[Tensor]) -> None:
        image = image_in(inputs)
        assert image is not None
        self._rows = {row.name: row for row in rows}
        self._image: Shape = tuple(image.shape)
        self.grids = _patch_grids(self._rows.values(), self._image, _drops_patches(module))
        self._texts = text_lengths(inputs)
        self._in_text = image_tokens(module, inputs)

    def grid(self, count: int, is_image: bool) -> ImageGrid | None:
        """The grid of ``count`` positions; where a text is as long it counts as the text.

        ``is_image``: the positions are those of an image alone, no text comes before them.
        """
        if self._in_text is not None and count in self._texts:
            start, length = self._in_text
            fitting = self.of_length(length)
            return None if fitting is None else ImageGrid(start, *fitting, *fitting)
        if count in self._texts:
            return None
        # A text may come before the class token and the patches, in one sequence.
        before = [0] if is_image else sorted(self._texts)
        for height, width in self.grids:
            if any(0 <= count - height * width - text <= _MOST_BEFORE for text in before):
                return ImageGrid(count - height * width, height, width, height, width)
        return None

    def of_length(self, length: int) -> tuple[int, int] | None:
        """Height and width of ``length`` patches that are the whole image."""
        return next((grid for grid in self.grids if grid[0] * grid[1] == length), None)

    def sees_image(self, name: str) -> bool:
        """Whether the call is inside a part of the model that takes the image by itself."""
        return not self._texts or any(
            self._image in self._rows[path].input_shapes for path in around(name) if path
        )


def image_in(inputs: Iterable[Tensor]) -> Tensor | None:
    """The image among the inputs of a forward, (1, channels, height, width)."""
    return next((t for t in inputs if t.ndim == 4 and t.is_floating_point()), None)


def text_lengths(inputs: Iterable[Tensor]) -> set[int]:
    """How many tokens the texts among the inputs have: ids are (1, tokens)."""
    return {t.shape[1] for t in inputs if t.ndim == 2 and not t.is_floating_point()}


def around(name: str) -> Iterable[str]:
    """Paths of the module of a call and of those around it, innermost first."""
    path = name.partition(":")[0]
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def _drops_patches(module: nn.Module) -> bool:
    """Whether it goes on with some of the patches, drawn at random (masked autoencoders)."""
    ratio: Any = getattr(getattr(module, "config", None), "mask_ratio", 0)
    return isinstance(ratio, (int, float)) and ratio > 0


def _patch_grids(
    rows: Iterable[ModuleRow], image: Shape, is_whole: bool = False
) -> list[tuple[int, int]]:
    """Sizes in patches that an image may have in a model: of feature maps, halved and halved.

    ``is_whole``: of feature maps alone, since fewer patches are not the whole image.
    """
    height, width = image[2:]
    maps = [shape[2:] for row in rows for shape in row.output_shapes if len(shape) == 4]
    by_division = [(height // n, width // n) for n in range(4, min(height, width) + 1)]
    exact = [grid for n, grid in enumerate(by_division, 4) if height % n == 0 and width % n == 0]
    found: dict[tuple[int, int], None] = {}
    for high, wide in [*((m[0], m[1]) for m in maps), *([] if is_whole else exact)]:
        # A map keeps the sides of its image: others are windows, or heads of scores.
        if abs(high * width - wide * height) > max(height, width):
            continue
        for halved in range(1 if is_whole else min(high, wide).bit_length() - 1):
            found.setdefault((-(-high >> halved), -(-wide >> halved)))
    return list(found)


def image_tokens(module: nn.Module, inputs: list[Tensor]) -> tuple[int, int] | None:
    """Start and length of the one stretch of a text that stands for the image's patches."""
    config: Any = getattr(module, "config", None)
    token = getattr(config, "image_token_id", getattr(config, "image_token_index", None))
    if token is None:
        return None
    ids = next((t for t in inputs if t.ndim == 2 and not t.is_floating_point()), None)
    places = [] if ids is None else (ids[0] == token).nonzero().flatten().tolist()
    if not places or places[-1] - places[0] + 1 != len(places):
        return None
    return places[0], len(places)
