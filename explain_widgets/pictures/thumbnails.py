"""Small pictures of images: shrunk by averaging, never enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Thumbnails:
    """Images of any sizes as one array.

    Attributes
    ----------
    pixels
        uint8 (images, height, width, channels); 1 channel where all of them are grey. Each image
        lies at the top left of its place, the rest is 0.
    boxes
        Height and width of each.
    """

    pixels: Pixels
    boxes: list[tuple[int, int]]


def thumbnails(images: Sequence[Pixels], side: int, most_bytes: int) -> Thumbnails:
    """Images, (height, width) or (height, width, 3), no side longer than ``side`` pixels.

    Parameters
    ----------
    images
        The images; they keep their proportions, and their size where it is no larger.
    side
        Pixels of the longer side.
    most_bytes
        How many bytes all of them may take; ``side`` is made smaller to fit.
    """
    channels = 3 if any(image.ndim == 3 for image in images) else 1
    most = int((most_bytes / max(1, len(images) * channels)) ** 0.5)
    side = max(1, min(side, most))
    boxes = [fitting(image.shape[:2], side) for image in images]
    height, width = (max((box[axis] for box in boxes), default=0) for axis in (0, 1))
    pixels = np.zeros((len(images), height, width, channels), np.uint8)
    for place, image, box in zip(pixels, images, boxes, strict=True):
        place[: box[0], : box[1]] = shrunk(image if image.ndim == 3 else image[..., None], box)
    return Thumbnails(pixels, boxes)


def fitting(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width in the same proportions, no side longer than ``side``; never larger.

    Examples
    --------
    >>> fitting((427, 640), 160)
    (107, 160)
    """
    height, width = size
    factor = min(1.0, side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def shrunk(image: Pixels, size: tuple[int, int]) -> Pixels:
    """An image averaged over the area that each pixel covers.

    Of shape (height, width) or (height, width, channels), as is what is returned. Pixels at the
    border of two areas count for both, by their shares.
    """
    if image.shape[:2] == size:
        return image
    rows, columns = (
        _shares(there, wanted) for there, wanted in zip(image.shape[:2], size, strict=True)
    )
    narrow = np.einsum("wx,hx...->hw...", columns, image.astype(np.float32), optimize=True)
    return np.rint(np.einsum("hy,yw...->hw...", rows, narrow, optimize=True)).astype(np.uint8)


def _shares(there: int, wanted: int) -> npt.NDArray[np.float32]:
    """(wanted, there): how much of each pixel belongs to each of the fewer ones."""
    edges = np.arange(wanted + 1) * (there / wanted)
    pixels = np.arange(there)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(overlap, 0, None) * (wanted / there)).astype(np.float32)
