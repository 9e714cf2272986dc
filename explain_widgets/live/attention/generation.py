"""Generation with a key-value cache: the calls of many forwards, put together as one attention.

Each forward of a generation brings the queries of its own tokens alone, against the keys of all so
far. What a reader wants is the attention over the whole text, prompt and new tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.built_attention import BuiltAttention, built_attention
from explain_widgets.analysis.row_sums import RowSums
from explain_widgets.analysis.score_steps import Bias, Masked, Part, ScoreStep, Span, stacked


@dataclass(frozen=True)
class _Step:
    """The queries of one forward, and where its keys lie among those of all."""

    queries: Tensor
    part: Part


class CachedCalls:
    """The calls of one attention over the forwards of a generation.

    The keys of a call must be those of the calls before it, bit for bit, wherever a query looked:
    caches that grow, caches of a fixed size, caches that forget (sliding windows), and the keys of
    an encoder, which stay as they are.

    Parameters
    ----------
    first
        The call of the first forward: the prompt. Without its tensors (`without_tensors`) those of
        later calls are not kept either, and only counted.
    """

    def __init__(self, first: Attention) -> None:
        self._first = first = _own(first)
        self._is_kept = not first.query.is_meta
        self._kind: str | None = None
        self._filled = first.queries
        self._steps = [self._step(first, 0, (0, first.queries), first.keys)]
        self._keys = first.key
        self._norms = [] if first.value_norms is None else [first.value_norms]

    @property
    def name(self) -> str:
        """The name of the first call."""
        return self._first.name

    @property
    def steps(self) -> int:
        """Of how many calls it is made."""
        return len(self._steps)

    def extend(self, call: Attention) -> bool:
        """Take in the call of a later forward; False: it does not go on from those before."""
        unpacked = _unpacked(call, self._first.heads)
        if unpacked is None or not self._is_alike(unpacked):
            return False
        call = unpacked
        if self._kind != "self" and self._continues_encoder(call):
            self._kind = "cross"
            rows = self._filled, self._filled + call.queries
            self._steps.append(self._step(call, 0, rows, call.keys))
            self._filled += call.queries
            return True
        return self._kind != "cross" and self._continues_text(call)

    def assembled(self) -> Attention:
        """The whole: queries of all calls, keys of all, each row with its own call's masks."""
        first = self._first
        if self.steps == 1:
            return first
        new = self._filled - first.queries
        note = f"{self.steps} steps of a generation put together: {new} new tokens after the prompt"
        first = replace(
            first,
            kind=self._kind or first.kind,
            note="; ".join(part for part in (first.note, note) if part),
            prompt=first.queries,
            _sums=RowSums(),
        )
        if isinstance(first, BuiltAttention):
            made = built_attention(
                torch.cat([_padded(step, self._key_count) for step in self._steps], 1),
                name=first.name,
                kind=first.kind,
                source=first.source,
                note=first.note,
            )
            return replace(made, prompt=first.prompt, value_norms=self._all_norms())
        queries = torch.cat([step.queries for step in self._steps], 1)
        if not self._is_kept:
            key = first.key.new_empty(len(first.key), self._key_count, first.key.shape[-1])
            return replace(first, query=queries, key=key)
        return replace(
            first,
            query=queries,
            key=self._keys[:, : self._key_count].clone(),
            steps=stacked([step.part for step in self._steps], self._key_count),
            check=None,
            value_norms=self._all_norms(),
        )

    def _all_norms(self) -> Tensor | None:
        """The lengths of all values; of grouped heads the fewer."""
        if not self._norms:
            return None
        heads = min(len(norms) for norms in self._norms)
        return torch.cat([norms[:: len(norms) // heads] for norms in self._norms], 1)

    def _step(self, call: Attention, start: int, rows: Span, keys: int) -> _Step:
        call = _own(call) if self._is_kept else without_tensors(call)
        queries = call.built[..., :keys] if isinstance(call, BuiltAttention) else call.query
        return _Step(queries, Part(rows, (start, start + keys), call.steps))

    def _is_alike(self, call: Attention) -> bool:
        first = self._first
        if self._is_kept and isinstance(call, BuiltAttention) != isinstance(first, BuiltAttention):
            return False
        said = [
            (one.heads, one.query.shape[-1], one.query.dtype, one.scale, one.empty_rows)
            for one in (call, first)
        ]
        return said[0] == said[1]

    @property
    def _key_count(self) -> int:
        return self._first.keys if self._kind == "cross" else self._filled

    def _continues_encoder(self, call: Attention) -> bool:
        """Whether the keys are those of the first call, none more: what a decoder looks back at."""
        first, filled = self._first, self._filled + call.queries
        if call.keys != first.keys:
            return False
        if self._is_kept and not isinstance(call, BuiltAttention):
            return _same(call.key, first.key)
        if self._kind == "cross" or first.keys < first.queries:  # a text has keys for all tokens
            return True
        # A cache of fixed size has places that nothing was written to yet.
        return filled <= call.keys and not _hides(call, filled)

    def _continues_text(self, call: Attention) -> bool:
        """Whether the keys are those so far and as many new ones as there are queries."""
        filled = self._filled + call.queries
        # A cache that forgets holds the last keys; one of fixed size has places to spare.
        start = max(0, filled - call.keys)
        used = filled - start
        if self.steps == 1:
            if self._is_kept and not _hides(self._first, self._filled):
                return False
            self._keys = self._keys[:, : self._filled]
        if used < call.queries or not _hides(call, used):
            return False
        if self._is_kept and not isinstance(call, BuiltAttention):
            grown = _grown(self._keys, self._filled, call.key[:, :used], start, call.queries)
            if grown is None:
                return False
            self._keys = grown
        if self.steps == 1:
            self._steps = [self._step(self._first, 0, (0, self._filled), self._filled)]
            self._norms = [norms[:, : self._filled] for norms in self._norms]
        if call.value_norms is not None and self._norms:
            self._norms.append(call.value_norms[:, used - call.queries : used].clone())
        self._steps.append(self._step(call, start, (self._filled, filled), used))
        self._kind, self._filled = "self", filled
        return True


def without_tensors(call: Attention) -> Attention:
    """A call of which nothing is kept but its shapes."""
    return Attention(
        query=call.query.to("meta"),
        key=call.key.to("meta"),
        scale=call.scale,
        empty_rows=call.empty_rows,
        name=call.name,
        kind=call.kind,
        source=call.source,
        check=call.check,
        note=call.note,
    )


def _own(call: Attention) -> Attention:
    """The call with weights of its own, where it has those that the model built."""
    if isinstance(call, BuiltAttention):
        return replace(call, built=call.built.clone(memory_format=torch.contiguous_format))
    return call


def _padded(step: _Step, keys: int) -> Tensor:
    start, stop = step.part.keys
    return torch.nn.functional.pad(step.queries, (start, keys - stop))


def _hides(call: Attention, used: int) -> bool:
    """Whether no query looks at any key from ``used`` on: places of a cache not written yet."""
    if used >= call.keys:
        return used == call.keys
    heads, rows = (0, call.heads), (0, call.queries)
    return not bool(call.block(heads, rows, (used, call.keys)).any())


def _same(key: Tensor, other: Tensor) -> bool:
    """Whether keys are equal, also where one of them repeats its heads for groups of queries."""
    fewer, more = sorted((key, other), key=len)
    if len(more) % max(1, len(fewer)) or more.shape[1:] != fewer.shape[1:]:
        return False
    group = len(more) // len(fewer)
    return all(torch.equal(fewer, more[n::group]) for n in range(group))


def _grown(keys: Tensor, filled: int, call: Tensor, start: int, new: int) -> Tensor | None:
    """``keys`` with the last ``new`` of a call behind; None: the call has other keys before them.

    Of grouped heads the fewer are kept. There is room to spare, so that keys are not copied at
    every step.
    """
    known = keys[:, start:filled]
    if not _same(known, call[:, : call.shape[1] - new]):
        return None
    heads = min(len(keys), len(call))
    keys, call = keys[:: len(keys) // heads], call[:: len(call) // heads]
    if keys.shape[1] < filled + new:
        room = keys.new_empty(heads, max(filled + new, 3 * filled // 2), keys.shape[2])
        room[:, :filled] = keys[:, :filled]
        keys = room
    keys[:, filled : filled + new] = call[:, -new:]
    return keys


def _unpacked(call: Attention, heads: int) -> Attention | None:
    """A call of one query whose grouped heads were packed into its queries, as it is meant."""
    if call.heads == heads or isinstance(call, BuiltAttention):
        return call
    if heads % call.heads or call.queries != heads // call.heads or len(call.key) != call.heads:
        return None
    steps: list[ScoreStep] = []
    for step in call.steps:
        if isinstance(step, Masked):
            steps.append(replace(step, keep=_of_all_heads(step.keep, call, heads)))
        elif isinstance(step, Bias):
            steps.append(replace(step, bias=_of_all_heads(step.bias, call, heads)))
        else:
            return None
    query = call.query.reshape(heads, 1, call.query.shape[-1])
    return replace(call, query=query, steps=tuple(steps), _sums=RowSums())


def _of_all_heads(tensor: Tensor, call: Attention, heads: int) -> Tensor:
    """What was given for (heads, queries packed into them, keys), for (all heads, 1, keys)."""
    if tensor.shape[:2] == (1, 1):
        return tensor
    return tensor.expand(call.heads, call.queries, -1).reshape(heads, 1, -1)
