"""Where positions of a sequence lie on an image that was cut into patches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageGrid:
    """Positions that are patches of the image of a sample, row by row.

    Attributes
    ----------
    start
        Position of the first patch: class tokens, or text, come before.
    height, width
        Patches, padding included.
    image_height, image_width
        Patches that the image covers, from the top left.
    """

    start: int
    height: int
    width: int
    image_height: int
    image_width: int

    @property
    def stop(self) -> int:
        """Position after the last patch."""
        return self.start + self.height * self.width
