"""Attention weights from queries and keys, computed where and as far as they are looked at.

An `Attention` holds the queries and keys of one attention call and never all its weights: rows,
tiles, overviews and statistics are computed in blocks, exactly, on the device of the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from explain_widgets.analysis.pooling import Reduce, edges, pool
from explain_widgets.analysis.score_steps import Block, ScoreStep, Span

Head: TypeAlias = int | Literal["mean", "max"]
"""A head's index, or the mean or maximum of the weights over all heads."""

# Elements of a block of scores: 8 MB in single precision, about what stays in a CPU's caches.
_BLOCK = 2**21


@dataclass(frozen=True)
class HeadStatistics:
    """What one head does, over the rows and keys asked for; None where it does not apply.

    Attributes
    ----------
    entropy
        Mean over the queries of −Σ A log₂ A, in bits: 0 looks at one key, log₂ n at n alike.
    distance
        Mean over the queries of Σ A |query − key|, in positions (self-attention only).
    first, last
        Mean weight on the first and on the last key.
    previous
        Mean weight of a query on the position before it (self-attention only).
    """

    entropy: float | None
    distance: float | None
    first: float
    last: float
    previous: float | None


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
        own operation returned, relative to the largest value; None: not compared, see ``note``.
    note
        What should be said with the picture, or "".

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
    _sums: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return "weights recomputed from Q·K"

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
        return torch.cat([w for _, w in self._row_blocks(head, rows, keys)])

    def row(self, head: Head, query: int) -> Tensor:
        """Where ``query`` looks: its weights on all keys, (keys,)."""
        _check_index("query", query, self.queries)
        return self._picked(head, (query, query + 1), (0, self.keys))[0]

    def column(self, head: Head, key: int) -> Tensor:
        """Who looks at ``key``: the weights of all queries on it, (queries,)."""
        _check_index("key", key, self.keys)
        return self._picked(head, (0, self.queries), (key, key + 1))[:, 0]

    def block(self, heads: Span, rows: Span, keys: Span) -> Tensor:
        """The weights of a block of heads, queries and keys: (heads, rows, keys)."""
        stop = self._keys_stop(rows, keys[1])
        seen = (keys[0], max(keys[0], stop))
        scores = self._scores(Block(heads, rows, seen))
        everything = keys == (0, self.keys)
        sums = _row_sums(scores) if everything else self._sums_kept(heads, rows)
        top, log_sum = sums[..., :1], sums[..., 1:]
        weights = torch.exp((scores - top) - log_sum)
        weights = torch.nn.functional.pad(weights, (0, keys[1] - seen[1]))
        return torch.where(log_sum == -math.inf, self.empty_rows, weights)

    def tile(
        self, head: Head, rows: Span, keys: Span, size: tuple[int, int], reduce: Reduce = "mean"
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

        Returns
        -------
        Tensor
            (height, width).
        """
        _check_span("rows", rows, self.queries)
        _check_span("keys", keys, self.keys)
        if min(size) < 1:
            raise IndexError(f"size {size} has no pixels.")
        height = min(size[0], rows[1] - rows[0])
        width = min(size[1], keys[1] - keys[0])
        row_edges, key_edges = edges(rows, height), edges(keys, width)
        tile = self.query.new_empty(height, width, dtype=self._dtype)
        for first, last in self._row_bins(row_edges, keys):
            span = (row_edges[first], row_edges[last])
            block = self._picked(head, span, keys)
            tile[first:last] = pool(block, row_edges[first : last + 1], key_edges, reduce)
        return tile

    def overview(self, head: Head, size: tuple[int, int], reduce: Reduce = "mean") -> Tensor:
        """All weights as a picture of ``size``; see `tile`."""
        return self.tile(head, (0, self.queries), (0, self.keys), size, reduce)

    def statistics(
        self, head: Head, rows: Span | None = None, keys: Span | None = None
    ) -> HeadStatistics:
        """What the head does, over ``rows`` (default: all queries).

        ``keys`` (default: all) are the positions whose first and last are reported; weights on
        other keys still count in entropy and distance.
        """
        rows = rows or (0, self.queries)
        first, stop = keys or (0, self.keys)
        _check_span("rows", rows, self.queries)
        _check_span("keys", (first, stop), self.keys)
        positions = torch.arange(self.keys, device=self.query.device)
        totals = [0.0] * 5
        for (start, end), weights in self._row_blocks(head, rows, (0, self.keys)):
            queries = torch.arange(start, end, device=self.query.device)
            entropy = torch.special.entr(weights).sum() / math.log(2)
            distance = (weights * (positions - queries[:, None]).abs()).sum()
            before = (queries - 1).clamp(0, self.keys - 1)
            has_previous = (queries > 0) & (queries <= self.keys)
            previous = weights.gather(1, before[:, None])[:, 0] * has_previous
            mass = weights[:, [first, stop - 1]].sum(0)
            # One copy to the host a block; summed there in double precision.
            block = torch.stack([entropy, distance, mass[0], mass[1], previous.sum()]).tolist()
            totals = [total + part for total, part in zip(totals, block, strict=True)]
        count = rows[1] - rows[0]
        mean_entropy, mean_distance, mass_first, mass_last, mean_previous = (
            total / count for total in totals
        )
        own, sums_to_one = self.kind == "self", head != "max"
        return HeadStatistics(
            mean_entropy if sums_to_one else None,
            mean_distance if own and sums_to_one else None,
            mass_first,
            mass_last,
            mean_previous if own else None,
        )

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float64 if self.query.dtype == torch.float64 else torch.float32

    def _picked(self, head: Head, rows: Span, keys: Span) -> Tensor:
        """(rows, keys) of one head, or of their mean or maximum, a few heads at a time."""
        if not isinstance(head, str):
            _check_index("head", head, self.heads)
            return self.block((head, head + 1), rows, keys)[0]
        if head not in {"mean", "max"}:
            raise ValueError(f'head {head!r} is neither an index nor "mean" nor "max".')
        result: Tensor | None = None
        step = max(1, _BLOCK // max(1, (rows[1] - rows[0]) * self.keys))
        for start in range(0, self.heads, step):
            some = self.block((start, min(start + step, self.heads)), rows, keys)
            part = some.sum(0) if head == "mean" else some.amax(0)
            if result is None:
                result = part
            else:
                result = result + part if head == "mean" else torch.maximum(result, part)
        assert result is not None
        return result / self.heads if head == "mean" else result

    def _sums_kept(self, heads: Span, rows: Span) -> Tensor:
        """`_row_sums` over all keys, (heads, rows, 2); kept for heads whose rows are all known."""
        if rows[1] - rows[0] < self.queries and not all(h in self._sums for h in range(*heads)):
            return self._sums_of(heads, rows)
        for head in range(*heads):
            if head not in self._sums:
                self._sums[head] = self._sums_of((head, head + 1), (0, self.queries))[0]
        return torch.stack([self._sums[head][slice(*rows)] for head in range(*heads)])

    def _sums_of(self, heads: Span, rows: Span) -> Tensor:
        parts = []
        step = max(1, _BLOCK // max(1, (heads[1] - heads[0]) * self.keys))
        for start in range(*rows, step):
            some = (start, min(start + step, rows[1]))
            scores = self._scores(Block(heads, some, (0, self._keys_stop(some, self.keys))))
            parts.append(_row_sums(scores))
        return torch.cat(parts, 1)

    def _scores(self, block: Block) -> Tensor:
        """What goes into the softmax, for a block: (heads, rows, keys)."""
        group = self.heads // self.key.shape[0]
        query = self.query[slice(*block.heads), slice(*block.rows)].to(self._dtype) * self.scale
        # Slices are views; only grouped heads, which share a key, need a copy.
        key_heads: slice | Tensor = slice(*block.heads)
        if group > 1:
            key_heads = torch.arange(*block.heads, device=self.key.device) // group
        key = self.key[key_heads, slice(*block.keys)].to(self._dtype)
        scores = query @ key.mT
        for step in self.steps:
            scores = step.apply(scores, block)
        return scores

    def _keys_stop(self, rows: Span, stop: int) -> int:
        for step in self.steps:
            stop = step.keys_stop(rows, stop)
        return stop

    def _row_blocks(self, head: Head, rows: Span, keys: Span) -> Iterator[tuple[Span, Tensor]]:
        step = max(1, _BLOCK // max(1, keys[1] - keys[0]))
        for start in range(*rows, step):
            span = (start, min(start + step, rows[1]))
            yield span, self._picked(head, span, keys)

    def _row_bins(self, row_edges: list[int], keys: Span) -> Iterator[Span]:
        """Pixel rows [first, last) whose positions together make one block."""
        limit = max(1, _BLOCK // max(1, keys[1] - keys[0]))
        first = 0
        for last in range(1, len(row_edges)):
            is_end = last == len(row_edges) - 1
            if is_end or row_edges[last + 1] - row_edges[first] > limit:
                yield first, last
                first = last


def _row_sums(scores: Tensor) -> Tensor:
    """(…, rows, 2): the largest score of a row, and log Σ exp (score − largest).

    Apart, since their sum would lose the second beside scores that are masked with a large number.
    Where all are −∞: 0 and −∞.
    """
    if scores.shape[-1] == 0:
        top = scores.new_zeros(scores.shape[:-1])
    else:
        top = scores.amax(-1)
        top = torch.where(top == -math.inf, 0.0, top)
    return torch.stack([top, torch.exp(scores - top[..., None]).sum(-1).log()], -1)


def _check_index(what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise IndexError(f"{what} {index} is out of range: there are {count} (0 to {count - 1}).")


def _check_span(what: str, span: Span, count: int) -> None:
    if not 0 <= span[0] < span[1] <= count:
        raise IndexError(f"{what} {span} is not a range within (0, {count}).")
