"""Attention weights from queries and keys, computed where and as far as they are looked at.

An `Attention` holds the queries and keys of one attention call and never all its weights: rows,
tiles, overviews and statistics are computed in blocks, exactly, on the device of the tensors; on a
GPU what rows are divided by and pictures are computed by the kernels of `fused`, where they apply.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from explain_widgets.analysis import fused
from explain_widgets.analysis.head_statistics import HeadStatistics, HeadTotals
from explain_widgets.analysis.pooling import Reduce, Window
from explain_widgets.analysis.row_sums import RowSums, normalised, row_sums, sums_of_blocks
from explain_widgets.analysis.score_steps import Block, ScoreStep, Span
from explain_widgets.analysis.tiles import Tile, tile_steps

Head: TypeAlias = int | Literal["mean", "max"]
"""A head's index, or the mean or maximum of the weights over all heads."""

# Elements of a block of scores and keys of one at most: what stays in the caches of a CPU's core,
# and what is worth a kernel's start elsewhere. A CPU's threads share a block.
_CPU_BLOCK, _CPU_KEYS = 2**18, 2**11
_BLOCK, _KEYS = 2**23, 2**13
_CHANNELS = 32


@dataclass(frozen=True)
class Attention:
    """One attention call: softmax(scale · query · keyᵀ, then ``steps``) over the keys.

    Attributes
    ----------
    query
        (heads, queries, channels), in the model's own dtype, on its device.
    key
        (key heads, keys, channels); with fewer key heads than heads (grouped attention) head h
        reads key head h // (heads / key heads).
    scale
        Factor on the scores.
    steps
        What happens to the scores before the softmax: masks and biases, in order.
    empty_rows
        What the model itself has where every key of a query is masked out: 0 or NaN.
    name
        Path of the module that made the call; ``:1`` and so on for its further calls.
    kind
        ``"self"`` or ``"cross"``.
    source
        What it was read from (``"sdpa"``, ``"nn.MultiheadAttention"``).
    check
        Largest difference found between recomputed rows of weights · value and what the model's
        own operation returned, relative to the longest value (the root mean square of its
        channels); None: not compared, see ``note``.
    note
        What should be said with the picture, or "".
    prompt
        Where the steps of a generation were put together: how many queries, from the first on, are
        the prompt's; the others are of generated tokens. None: one call.
    value_norms
        (value heads, keys), the lengths of the values; None: they were not seen.

    Examples
    --------
    >>> import torch
    >>> attention = Attention(torch.randn(2, 5, 4), torch.randn(2, 5, 4), scale=0.5)
    >>> attention.weights(head=1).sum(-1)
    tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000])
    """

    query: Tensor
    key: Tensor
    scale: float
    steps: tuple[ScoreStep, ...] = ()
    empty_rows: float = 0.0
    name: str = ""
    kind: str = "self"
    source: str = ""
    check: float | None = None
    note: str = ""
    prompt: int | None = None
    value_norms: Tensor | None = field(default=None, repr=False)
    _sums: RowSums = field(default_factory=RowSums, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return "weights recomputed from Q·K"

    @property
    def sums_to_one(self) -> bool:
        """Whether the weights of a query sum to one (or to nothing, where all is masked)."""
        return True

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.query.shape[0]

    @property
    def queries(self) -> int:
        """Number of queries."""
        return self.query.shape[1]

    @property
    def keys(self) -> int:
        """Number of keys."""
        return self.key.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes held by queries and keys."""
        return self.query.nbytes + self.key.nbytes

    def weights(self, head: Head | None = None) -> Tensor:
        """All weights: (queries, keys) of one head, (heads, queries, keys) for ``None``.

        float32, or float64 for a model in double precision. The whole matrix in memory: for long
        inputs ask for a `tile`.

        Raises
        ------
        IndexError
            When there is no such head.
        """
        rows, keys = (0, self.queries), (0, self.keys)
        if head is None:
            return torch.cat([self.block((h, h + 1), rows, keys) for h in range(self.heads)])
        return torch.cat([self._picked(head, some, keys) for some in self._row_chunks(rows)])

    def row(self, head: Head, query: int) -> Tensor:
        """Where ``query`` looks: its weights on all keys, (keys,)."""
        _check_index("query", query, self.queries)
        return self._picked(head, (query, query + 1), (0, self.keys))[0]

    def column(self, head: Head, key: int) -> Tensor:
        """Who looks at ``key``: the weights of all queries on it, (queries,)."""
        _check_index("key", key, self.keys)
        return self._picked(head, (0, self.queries), (key, key + 1))[:, 0]

    def top_keys(self, head: Head, query: int, count: int = 10) -> tuple[Tensor, Tensor]:
        """Where ``query`` looks most: keys and weights, ``count`` of each, strongest first."""
        weights, keys = self.row(head, query).topk(min(count, self.keys))
        return keys, weights

    def block(self, heads: Span, rows: Span, keys: Span, every: int = 1) -> Tensor:
        """The weights of a block of heads, (each ``every``-th) query and keys, in that order."""
        start, stop = seen = self._keys_seen(rows, keys)
        scores = self.scores(Block(heads, rows, seen, every))
        everything = keys == (0, self.keys)
        sums = row_sums(scores) if everything else self._sums_of(heads, rows)[:, ::every]
        weights = normalised(scores, sums)
        weights = torch.nn.functional.pad(weights, (start - keys[0], keys[1] - stop))
        return torch.where(sums[..., 1:] == -math.inf, self.empty_rows, weights)

    def tile(
        self,
        head: Head,
        rows: Span,
        keys: Span,
        size: tuple[int, int],
        reduce: Reduce = "mean",
        every: int = 1,
    ) -> Tensor:
        """The window ``rows`` × ``keys`` as a picture of ``size``.

        Parameters
        ----------
        head
            A head, ``"mean"`` or ``"max"`` over the heads (taken weight by weight, before pooling).
        rows, keys
            (start, stop) in positions.
        size
            (height, width) of the result; at most the size of the window in each direction. Pixel
            (y, x) covers the positions ``pooling.edges`` gives.
        reduce
            ``"mean"`` or ``"max"`` of the weights that a pixel covers.
        every
            Look at each ``every``-th query only (fewer apart where a row of pixels has fewer): a
            quick preview, which may miss what single queries do.

        Returns
        -------
        Tensor
            (height, width).

        Examples
        --------
        >>> import torch
        >>> attention = Attention(torch.randn(1, 4000, 8), torch.randn(1, 4000, 8), scale=0.3)
        >>> attention.tile(0, (0, 4000), (1000, 2000), (512, 512), every=7).shape
        torch.Size([512, 512])
        """
        *_, last = self.tile_steps(head, rows, keys, size, reduce, every)
        return last.picture

    def tile_steps(
        self,
        head: Head,
        rows: Span,
        keys: Span,
        size: tuple[int, int],
        reduce: Reduce = "mean",
        every: int = 1,
    ) -> Iterator[Tile]:
        """`tile` in steps of milliseconds, from the top down; it may be left at any of them."""
        _check_span("rows", rows, self.queries)
        _check_span("keys", keys, self.keys)
        if min(size) < 1:
            raise IndexError(f"size {size} has no pixels.")
        yield from tile_steps(self, head, Window.of(rows, keys, size, reduce, every))

    def prepare_steps(self, head: Head) -> Iterator[float]:
        """What must be there before anything of ``head``, in steps that yield the share done.

        Nothing here; pictures and statistics in steps begin with it.
        """
        self._heads_of(head)
        yield from ()

    def sum_steps(self, head: Head) -> Iterator[float]:
        """What columns of weights need of all queries, in steps that yield the share that is done.

        After it a `column` and any `tile` take no longer than for their own weights.
        """
        heads = range(*self._heads_of(head))
        for number, one in enumerate(heads):
            for some in self._chunks((0, self.queries)):
                if self._sums.known(one, some) is None:
                    self._sums_of((one, one + 1), some)
                    self._wait()
                    yield (number + some[1] / self.queries) / len(heads)

    def overview(self, head: Head, size: tuple[int, int], reduce: Reduce = "mean") -> Tensor:
        """All weights as a picture of ``size``; see `tile`."""
        return self.tile(head, (0, self.queries), (0, self.keys), size, reduce)

    def statistics(
        self,
        head: Head,
        rows: Span | None = None,
        keys: Span | None = None,
        tokens: Sequence[int] | Tensor | None = None,
        sinks: Tensor | None = None,
        every: int = 1,
    ) -> HeadStatistics:
        """What the head does, over ``rows`` (default: all queries).

        Parameters
        ----------
        head
            A head, ``"mean"`` or ``"max"`` over the heads.
        rows
            (start, stop) of the queries that count.
        keys
            (start, stop): the first and last of these are reported; weights on others count too.
        tokens
            Ids of the tokens, (keys,), for the induction score.
        sinks
            (keys,) bool: the keys whose weight is the sink mass.
        every
            Look at each ``every``-th query only: a quick estimate.
        """
        steps = self.statistics_steps(head, rows, keys, tokens, sinks, every)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                found: HeadStatistics = stop.value
                return found

    def statistics_steps(
        self,
        head: Head,
        rows: Span | None = None,
        keys: Span | None = None,
        tokens: Sequence[int] | Tensor | None = None,
        sinks: Tensor | None = None,
        every: int = 1,
    ) -> Generator[float, None, HeadStatistics]:
        """`statistics` in steps, each of which yields the share that is done; it returns them."""
        rows = rows or (0, self.queries)
        first, stop = keys or (0, self.keys)
        _check_span("rows", rows, self.queries)
        _check_span("keys", (first, stop), self.keys)
        for _ in self.prepare_steps(head):
            yield 0.0
        every = max(1, min(every, rows[1] - rows[0]))
        seen = range(rows[0] + every // 2, rows[1], every)
        like = self.query.new_empty(0, dtype=self._dtype)
        span = seen.start, seen.stop
        totals = HeadTotals(span, (first, stop - 1), self.keys, tokens, sinks, like, every)
        for start, end in self._row_chunks((0, len(seen))):
            some = seen[start], seen[end - 1] + 1
            for columns, weights in self._chunk(head, some, (0, self.keys), every):
                totals.add(some, columns, weights)
            totals.end_rows()
            yield end / len(seen)
        return totals.statistics(self.kind == "self", head != "max" and self.sums_to_one)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float64 if self.query.dtype == torch.float64 else torch.float32

    def _picked(self, head: Head, rows: Span, keys: Span) -> Tensor:
        """(rows, keys) of one head, or of their mean or maximum, a few heads at a time."""
        heads = self._heads_of(head)
        if not isinstance(head, str):
            return self.block(heads, rows, keys)[0]
        result: Tensor | None = None
        step = max(1, self._most[0] // max(1, (rows[1] - rows[0]) * self.keys))
        for start in range(*heads, step):
            some = self.block((start, min(start + step, self.heads)), rows, keys)
            result = _combined(result, some.sum(0) if head == "mean" else some.amax(0), head)
        assert result is not None
        return result / self.heads if head == "mean" else result

    def _heads_of(self, head: Head) -> Span:
        if isinstance(head, str):
            if head not in {"mean", "max"}:
                raise ValueError(f'head {head!r} is neither an index nor "mean" nor "max".')
            return 0, self.heads
        _check_index("head", head, self.heads)
        return head, head + 1

    def _chunk(
        self,
        head: Head,
        rows: Span,
        keys: Span,
        every: int = 1,
        key_edges: list[int] | None = None,
    ) -> Iterator[tuple[Span, Tensor]]:
        """A few rows' weights of one head or of all combined: spans of keys, each (rows, keys).

        Keys at which none of the rows looks are left out. ``key_edges``: where spans may end.
        """
        heads = self._heads_of(head)
        every_head = [self._head_chunk(h, rows, keys, every, key_edges) for h in range(*heads)]
        for parts in zip(*every_head, strict=True):
            span, combined = parts[0]
            if isinstance(head, str):
                for _, weights in parts[1:]:
                    combined = _combined(combined, weights, head)
                combined = combined / self.heads if head == "mean" else combined
            yield span, combined

    def _head_chunk(
        self, head: int, rows: Span, keys: Span, every: int, key_edges: list[int] | None
    ) -> Iterator[tuple[Span, Tensor]]:
        heads = (head, head + 1)
        # What a row that is masked everywhere has if it is not 0, it has at all keys.
        fills = bool(self.steps) and self.empty_rows != 0
        everything = (0, self.keys) if fills else self._keys_seen(rows, (0, self.keys))
        seen = _common(keys, everything)
        if seen[0] == seen[1]:
            return
        spans = self._key_spans(seen, key_edges)
        seen = spans[0][0], spans[-1][1]
        sums = self._sums.known(head, rows) if every == 1 else None
        if sums is None and (len(spans) > 1 or _common(seen, everything) != everything):
            sums = self._streamed_sums(heads, rows, every)[0]
        for span in spans:
            scores = self.scores(Block(heads, rows, span, every))[0]
            sums = row_sums(scores) if sums is None else sums
            weights = normalised(scores, sums)
            if self.steps:
                empty = sums[:, 1:] == -math.inf
                weights = torch.where(empty, self.empty_rows, weights) if empty.any() else weights
            yield span, weights
        if every == 1 and sums is not None:
            self._sums.keep(head, rows, sums, self.queries)

    def _sums_of(self, heads: Span, rows: Span) -> Tensor:
        """`row_sums` over all keys, (heads, rows, 2); kept for later."""
        found = []
        for head in range(*heads):
            sums = self._sums.known(head, rows)
            if sums is None:
                chunks = self._chunks(rows)
                parts = [self._streamed_sums((head, head + 1), some)[0] for some in chunks]
                sums = torch.cat(parts)
                self._sums.keep(head, rows, sums, self.queries)
            found.append(sums)
        return torch.stack(found)

    def _streamed_sums(self, heads: Span, rows: Span, every: int = 1) -> Tensor:
        """`row_sums` over all keys, (heads, rows, 2)."""
        kernels = self._kernels
        if kernels is not None:
            sums = kernels.sums(heads, rows, self._keys_seen(rows, (0, self.keys)), every)
            if sums is not None:
                return sums
        parts = []
        for start, stop in self._row_chunks((0, len(range(*rows, every)))):
            some = rows[0] + start * every, min(rows[0] + stop * every, rows[1])
            spans = self._key_spans(self._keys_seen(some, (0, self.keys)))
            blocks = (self.scores(Block(heads, some, span, every)) for span in spans)
            parts.append(sums_of_blocks(blocks))
        return torch.cat(parts, 1)

    def scores(self, block: Block) -> Tensor:
        """What goes into the softmax, for a block: (heads, rows, keys)."""
        group = self.heads // self.key.shape[0]
        query = self.query[slice(*block.heads), slice(*block.rows, block.every)]
        # Slices are views; only grouped heads, which share a key, need a copy.
        key_heads: slice | Tensor = slice(*block.heads)
        if group > 1:
            key_heads = torch.arange(*block.heads, device=self.key.device) // group
        key = self.key[key_heads, slice(*block.keys)].to(self._dtype)
        scores = _product(query.to(self._dtype) * self.scale, key)
        for step in self.steps:
            scores = step.apply(scores, block)
        return scores

    def _keys_seen(self, rows: Span, keys: Span) -> Span:
        for step in self.steps:
            keys = step.keys_seen(rows, keys)
        return keys

    @property
    def _kernels(self) -> fused.Kernels | None:
        """What computes sums and pictures in one go, if anything does."""
        return self._fitting_kernels if type(self) is Attention and fused.applies(self) else None

    @functools.cached_property
    def _fitting_kernels(self) -> fused.Kernels | None:
        return fused.kernels_for(self)

    def _wait(self) -> None:
        """Let the device come to what it was given, or steps would run ahead of it."""
        if self.query.is_cuda:
            torch.cuda.current_stream(self.query.device).synchronize()

    def _chunks(self, rows: Span, heads: int = 1) -> Iterator[Span]:
        """``rows`` in chunks of some milliseconds, or of what fits a block."""
        kernels = self._kernels
        return self._row_chunks(rows) if kernels is None else kernels.row_chunks(rows, heads)

    def _row_chunks(self, rows: Span) -> Iterator[Span]:
        step = max(1, self._most[0] // max(1, min(self.keys, self._most[1])))
        for start in range(*rows, step):
            yield start, min(start + step, rows[1])

    def _key_spans(self, keys: Span, key_edges: list[int] | None = None) -> list[Span]:
        """``keys`` in spans of a block; out to the next of ``key_edges``, where bins are small."""
        most = self._most[1]
        widest = (
            0 if key_edges is None else -((key_edges[0] - key_edges[-1]) // (len(key_edges) - 1))
        )
        if key_edges is None or widest > most:
            starts = range(keys[0], max(keys[1], keys[0] + 1), most)
            return [(start, min(start + most, keys[1])) for start in starts]
        step = max(1, most // max(1, widest))
        first = bisect.bisect_right(key_edges, keys[0]) - 1
        last = bisect.bisect_left(key_edges, keys[1])
        borders = [*range(first, last, step), last]
        return [(key_edges[a], key_edges[b]) for a, b in itertools.pairwise(borders)]

    @property
    def _most(self) -> tuple[int, int]:
        """Scores of a block, and keys."""
        if self.query.device.type == "cpu":
            return _CPU_BLOCK * torch.get_num_threads(), _CPU_KEYS
        return _BLOCK, _KEYS


def _product(query: Tensor, key: Tensor) -> Tensor:
    """The product query · keyᵀ, channels a few at a time: half the rounding error."""
    scores = query[..., :_CHANNELS] @ key[..., :_CHANNELS].mT
    for start in range(_CHANNELS, query.shape[-1], _CHANNELS):
        some = slice(start, start + _CHANNELS)
        scores.baddbmm_(query[..., some], key[..., some].mT)
    return scores


def _common(span: Span, other: Span) -> Span:
    start = max(span[0], other[0])
    return start, max(start, min(span[1], other[1]))


def _combined(result: Tensor | None, weights: Tensor, head: Head) -> Tensor:
    if result is None:
        return weights
    return result + weights if head == "mean" else torch.maximum(result, weights)


def _check_index(what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise IndexError(f"{what} {index} is out of range: there are {count} (0 to {count - 1}).")


def _check_span(what: str, span: Span, count: int) -> None:
    if not 0 <= span[0] < span[1] <= count:
        raise IndexError(f"{what} {span} is not a range within (0, {count}).")
