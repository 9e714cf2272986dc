"""Pictures of windows of attention weights, pooled to pixels a few queries at a time."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from explain_widgets.analysis import fused
from explain_widgets.analysis.pooling import Reduce, Window, bin_sizes, clip_edges, gather_bins
from explain_widgets.analysis.score_steps import Span

if TYPE_CHECKING:
    from explain_widgets.analysis.attention import Attention, Head


@dataclass(frozen=True)
class Tile:
    """A picture under way.

    Attributes
    ----------
    picture
        (height, width); the next step fills the same tensor further.
    done
        How many of its rows are there, from the top.
    """

    picture: Tensor
    done: int


def tile_steps(attention: Attention, head: Head, window: Window) -> Iterator[Tile]:
    """The picture of a window in steps of milliseconds; see `Attention.tile_steps`.

    Examples
    --------
    >>> attention = Attention(torch.randn(1, 9, 4), torch.randn(1, 9, 4), scale=0.5)
    >>> *_, last = tile_steps(attention, 0, Window.of((0, 9), (0, 9), (3, 2), "max"))
    >>> last.picture.shape, last.done
    (torch.Size([3, 2]), 3)
    """
    row_edges, reduce = window.row_edges, window.reduce
    like = attention.query.new_empty(0, dtype=attention._dtype)
    sizes = bin_sizes(row_edges, window.key_edges, like)
    picture = torch.zeros_like(sizes)
    for _ in attention.prepare_steps(head):
        yield Tile(picture, 0)
    done = 0
    for some, pooled in _pooled_chunks(attention, head, window):
        top = bisect.bisect_right(row_edges, some[0]) - 1
        _include(picture[top : top + len(pooled)], pooled, reduce)
        finished = bisect.bisect_right(row_edges, some[1]) - 1
        if reduce == "mean" and window.is_reduced:
            picture[done:finished] /= sizes[done:finished]
        done = finished
        yield Tile(picture, done)


def _pooled_chunks(
    attention: Attention, head: Head, window: Window
) -> Iterator[tuple[Span, Tensor]]:
    """A few of the queries that a window looks at, and their share of its picture."""
    first, stop = attention._heads_of(head)
    for chunk in attention._chunks((0, window.row_edges[-1]), stop - first):
        picture = _fused_picture(attention, head, window, chunk)
        if picture is not None:
            yield chunk, picture
            continue
        for some in attention._row_chunks(chunk):
            yield some, _pooled(attention, head, window, some)


def _fused_picture(attention: Attention, head: Head, window: Window, some: Span) -> Tensor | None:
    """`_pooled` by a kernel; None where there is none, or not for what the weights are."""
    kernels, heads = attention._kernels, attention._heads_of(head)
    if kernels is None:
        return None
    rows, every = window.rows(some), window.every
    if every == 1:
        sums = attention._sums_of(heads, rows)
    else:
        sums = attention._streamed_sums(heads, rows, every)
    # Without a step that masks them, rows of −∞ alone are 0 / 0.
    may_be_empty = bool(attention.steps) and attention.empty_rows == 0
    if not fused.are_regular(sums, may_be_empty):
        return None
    picture = kernels.picture(heads, window, some, sums, head == "max")
    return picture / attention.heads if picture is not None and head == "mean" else picture


def _pooled(attention: Attention, head: Head, window: Window, some: Span) -> Tensor:
    """The sums or maxima of pixels over some of the queries that a window looks at."""
    key_edges, reduce = window.key_edges, window.reduce
    shape = some[1] - some[0], len(key_edges) - 1
    strip = attention.query.new_zeros(shape, dtype=attention._dtype)
    chunk = attention._chunk(head, window.rows(some), window.keys, window.every, key_edges)
    for span, weights in chunk:
        left, clipped = clip_edges(key_edges, span)
        pooled = gather_bins(weights, clipped, 1, reduce)
        if span == window.keys:
            strip = pooled
        else:
            _include(strip[:, left : left + pooled.shape[1]], pooled, reduce)
    return gather_bins(strip, clip_edges(window.row_edges, some)[1], 0, reduce)


def _include(result: Tensor, values: Tensor, reduce: Reduce) -> None:
    """Add to sums, or raise maxima."""
    if reduce == "mean":
        result += values
    else:
        torch.maximum(result, values, out=result)
