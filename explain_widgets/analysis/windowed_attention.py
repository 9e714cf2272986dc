"""Attention within windows of an image (Swin), put back on the whole image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.derived import DerivedAttention
from explain_widgets.analysis.score_steps import Span


@dataclass(frozen=True)
class WindowedAttention(DerivedAttention):
    """Attention in which every position looks at those of its own window only.

    See `windowed_attention`.

    Attributes
    ----------
    base
        The attention of each window, windows before heads along its axis of heads.
    places
        (windows, positions of one) int64: where the positions of each window lie in the image, row
        by row.
    """

    places: Tensor = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.long))
    _read: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def sum_steps(self, head: Head) -> Iterator[float]:
        """Nothing: windows are small."""
        self._heads_of(head)
        yield from ()

    def _inside(self, head: int) -> Tensor:
        """(windows, queries, keys) of one head; kept for the next question about it."""
        if head not in self._read:
            count, size = self.places.shape
            self._read.clear()
            self._read[head] = torch.cat(
                [
                    self.base.block((one, one + 1), (0, size), (0, size))
                    for one in range(head, count * self.heads, self.heads)
                ]
            )
        return self._read[head]

    def _rows(self, head: int, rows: Span, keys: Span, every: int) -> Tensor:
        """(rows, keys) of one head: the rows of their windows, spread over the image."""
        size = self.places.shape[1]
        order = self.places.flatten().argsort()[slice(*rows, every)]
        window, place = order // size, order % size
        weights = self._inside(head)[window, place]
        result = weights.new_zeros(len(order), self.keys)
        result.scatter_(1, self.places[window], weights)
        return result[:, slice(*keys)]


def windowed_attention(windows: Attention, places: Tensor) -> Attention:
    """The attention of all windows of an image as one over the whole image.

    Parameters
    ----------
    windows
        Of (windows · heads) heads, window by window, each over the positions of a window.
    places
        (windows, positions of one) int64: where the positions of each window lie in the image, row
        by row; each place once.

    Examples
    --------
    >>> windows = Attention(torch.randn(2, 3, 4), torch.randn(2, 3, 4), scale=0.5)
    >>> whole = windowed_attention(windows, torch.tensor([[0, 2, 4], [1, 3, 5]]))
    >>> torch.equal(whole.row(0, 2)[::2], windows.row(0, 1))
    True
    """
    heads = windows.heads // len(places)
    empty = windows.query.new_empty(heads, places.numel(), 0)
    return WindowedAttention(
        query=empty,
        key=empty,
        scale=windows.scale,
        name=windows.name,
        kind=windows.kind,
        source=windows.source,
        check=windows.check,
        note=windows.note,
        value_norms=_spread(windows.value_norms, places),
        base=windows,
        places=places.to(windows.query.device),
    )


def _spread(norms: Tensor | None, places: Tensor) -> Tensor | None:
    """(windows · heads, positions of one) put back on the image: (heads, positions)."""
    if norms is None:
        return None
    count, size = places.shape
    whole = norms.new_empty(len(norms) // count, count * size)
    whole[:, places.flatten()] = norms.view(count, -1, size).transpose(0, 1).flatten(1)
    return whole
