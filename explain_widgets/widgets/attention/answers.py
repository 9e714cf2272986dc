"""What answers the requests of attention explorers; see docs/protocol.md."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.head_statistics import HeadStatistics
from explain_widgets.analysis.score_steps import Span
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import Token
from explain_widgets.pictures.quantise import Scale, weights_picture
from explain_widgets.widgets.answers import Answers, exact
from explain_widgets.widgets.attention.lens import Lens, Lenses
from explain_widgets.widgets.attention.words import (
    change_message,
    grid_message,
    head_name,
    layer_title,
    reduction,
    sampled,
    statistics_message,
    token_message,
)
from explain_widgets.widgets.protocol import Reply

MOST_PIXELS = 512
_CPU_AT_ONCE = 2**25
_PARTIAL_SECONDS = 0.25
_GRID_SECONDS = 1.0
# Queries that a thumbnail of a long input is made of, at least.
_GRID_QUERIES = 64
_MOST_STATISTICS = 1000


@dataclass(frozen=True)
class _Look:
    """What a `head` request looks at: ``shown`` of the rows and keys, of them a window."""

    attention: Attention
    revision: int
    place: Hashable
    head: Head
    query: int | None
    shown: tuple[Span, Span]
    rows: Span
    keys: Span
    size: tuple[int, int]
    scale: Scale
    lens: Lens

    @property
    def work(self) -> int:
        """Scores to be computed for its picture."""
        heads = self.attention.heads if isinstance(self.head, str) else 1
        rows, keys = self.rows[1] - self.rows[0], self.keys[1] - self.keys[0]
        return heads * rows * (self.attention.keys + keys)

    def tile(self, every: int = 1) -> Tensor:
        return self.attention.tile(self.head, self.rows, self.keys, self.size, every=every)


class AttentionAnswers(Answers):
    """Answers from the attention of a live model.

    Attributes
    ----------
    layers
        The attention calls of the sample that was described last.
    """

    def __init__(self, live: LiveModel) -> None:
        super().__init__(live.samples)
        self._live = live
        self.lenses = Lenses(live)
        self.layers = live.attention_layers()
        self._statistics: dict[Hashable, HeadStatistics] = {}

    def answer_sample(self, selection: dict[str, Any]) -> Reply:
        """What there is to pick from in a sample."""
        index = int(selection["sample"])
        self.layers = self._live.attention_layers(index)
        sample = self._samples[index]
        lens = Lens.of(selection.get("lens"))
        padding = bool(selection.get("padding"))
        tokens: dict[str, list[Token]] = dict(self._live.token_lists(index))
        layers = []
        for layer in self.layers:
            sides = self.lenses.axes(layer, index, lens, padding)
            for side in sides:
                if side.name is not None and side.tokens is not None:
                    tokens[side.name] = side.tokens
            layers.append(
                {
                    "name": layer_title(layer),
                    "heads": layer.heads,
                    "queries": len(sides[0].edges) - 1,
                    "keys": len(sides[1].edges) - 1,
                    "kind": layer.kind,
                    "source": layer.source,
                    "note": layer.note,
                    "query_tokens": sides[0].name,
                    "key_tokens": sides[1].name,
                    "rows": sides[0].shown,
                    "columns": sides[1].shown,
                    "prompt": layer.prompt if lens.units == "tokens" else None,
                    "query_grid": grid_message(layer.query_grid),
                    "key_grid": grid_message(layer.key_grid),
                }
            )
        return Reply(
            {
                "sample": index,
                "title": sample.title,
                "layers": layers,
                "tokens": {name: [token_message(one) for one in tokens[name]] for name in tokens},
                "footer": self._live.status,
            }
        )

    def answer_grid(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """A thumbnail of every head of every layer; other requests come between the heads.

        Of long inputs first from some of the queries, then from all where that takes seconds.
        """
        index, (height, width) = int(selection["sample"]), selection["size"]
        layers = self._live.attention_layers(index)
        spans = [self._shown(layer, selection) for layer in layers]
        work = sum(
            2 * layer.heads * (rows[1] - rows[0]) * (keys[1] - keys[0])
            for layer, (rows, keys) in zip(layers, spans, strict=True)
        )
        queries = max(rows[1] - rows[0] for rows, _ in spans)
        few = max(1, queries // max(height, _GRID_QUERIES))
        at_once = 8 * work_at_once(self._live.device)
        passes = [1] if work <= at_once else [few, 1] if work <= 8 * at_once else [few]
        thumbnails = np.zeros((sum(layer.heads for layer in layers), height, width), np.uint8)
        sent = time.monotonic()
        for every in passes:
            done = 0
            for number, (rows, keys) in enumerate(spans):
                attention = self._attention(selection, number)
                for head in range(attention.heads):
                    tile = attention.tile(head, rows, keys, (height, width), every=every)
                    picture = weights_picture(tile.float().cpu().numpy(), selection["scale"])
                    thumbnails[done] = _enlarged(picture.levels, height, width)
                    done += 1
                    if work > at_once:
                        yield None
                yield None
                if time.monotonic() - sent > _GRID_SECONDS:
                    note = sampled(passes[0])
                    yield Reply({"note": note}, {"thumbnails": thumbnails.copy()})
                    sent = time.monotonic()
        yield Reply({"note": sampled(passes[-1])}, {"thumbnails": thumbnails})

    def answer_head(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """The matrix of one head, its statistics, and the row and column of the query.

        Where the browser has it already, read from the revision ``known``, and nothing has changed
        since: no more than that. Of long inputs first a preview, then the rest from the top.
        """
        # Before the question, which may find that the model has changed.
        revision = self._live.revision
        attention = self._attention(selection)
        if selection.get("known") == self._live.revision:
            yield Reply({"unchanged": True})
            return
        look = self._look(selection, attention, revision)
        at_once = work_at_once(self._live.device)
        every = max(1, (look.rows[1] - look.rows[0]) // look.size[0]) if look.work > at_once else 1
        tile = look.tile(every)
        row = row_and_column(attention, look.head, look.query, column=False)
        if every > 1:
            yield from self._refined(look, tile, row, every)
        follows = self._statistics.get(look.place) is None or look.query is not None
        if attention.queries * attention.keys > at_once and follows:
            yield self._head_reply(look, tile, row, "exact; statistics and column follow")
        if look.query is not None:
            for _ in attention.sum_steps(look.head):
                yield None
        yield from self._read_statistics(look)
        yield self._head_reply(look, tile, row_and_column(attention, look.head, look.query))

    def _look(self, selection: dict[str, Any], attention: Attention, revision: int) -> _Look:
        index, number, head = (selection[name] for name in ("sample", "layer", "head"))
        lens = Lens.of(selection.get("lens"))
        shown = self._shown(self._live.attention_layers(int(index))[int(number)], selection)
        rows, keys = _span(selection.get("rows"), shown[0]), _span(selection.get("keys"), shown[1])
        height, width = selection.get("size") or (MOST_PIXELS, MOST_PIXELS)
        return _Look(
            attention,
            revision,
            (revision, int(index), int(number), head, shown, lens),
            head,
            selection.get("query"),
            shown,
            rows,
            keys,
            (min(fitting(rows), height), min(fitting(keys), width)),
            selection["scale"],
            lens,
        )

    def _head_reply(
        self, look: _Look, tile: Tensor, rows: dict[str, Tensor | None], progress: str = ""
    ) -> Reply:
        return Reply(
            {
                "revision": look.revision,
                "rows": look.rows,
                "keys": look.keys,
                "statistics": statistics_message(self._statistics.get(look.place), look.head),
                "footer": self._footer(look),
                "progress": progress,
            },
            {
                "matrix": weights_picture(tile.float().cpu().numpy(), look.scale),
                **{name: exact(row) for name, row in rows.items() if row is not None},
            },
        )

    def _refined(
        self, look: _Look, tile: Tensor, rows: dict[str, Tensor | None], every: int
    ) -> Iterator[Reply | None]:
        """The preview in ``tile``, and what it becomes, from the top."""
        preview = f"preview from {sampled(every)}"
        yield self._head_reply(look, tile, rows, f"{preview}, 0 % refined")
        sent = time.monotonic()
        for step in look.attention.tile_steps(look.head, look.rows, look.keys, look.size):
            tile[: step.done] = step.picture[: step.done]
            if time.monotonic() - sent > _PARTIAL_SECONDS and step.done < look.size[0]:
                share = 100 * step.done // look.size[0]
                yield self._head_reply(look, tile, rows, f"{preview}, {share} % refined")
                sent = time.monotonic()
            else:
                yield None

    def _read_statistics(self, look: _Look) -> Iterator[None]:
        """Statistics of a head, kept: a query or window picked later changes none of them."""
        if look.place in self._statistics:
            return
        attention = look.attention
        steps = attention.statistics_steps(look.head, *look.shown)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                found: HeadStatistics = stop.value
                break
            if attention.queries * attention.keys > work_at_once(self._live.device):
                yield None
        if len(self._statistics) >= _MOST_STATISTICS:
            self._statistics.pop(next(iter(self._statistics)))
        self._statistics[look.place] = found

    def answer_ahead(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """As `answer_head`, for a head that may be looked at next; not of long inputs."""
        attention = self._attention(selection)
        if attention.queries * attention.keys > work_at_once(self._live.device):
            yield Reply({"skipped": True})
        else:
            yield from self.answer_head(selection)

    def answer_change(self, selection: dict[str, Any]) -> Reply:
        """How the output changes without the ablated heads."""
        index, lens = int(selection["sample"]), Lens.of(selection.get("lens"))
        if not lens.ablated:
            return Reply({"change": None})
        try:
            change = self._live.output_change(lens.ablated, index)
        except ValueError as error:
            return Reply({"change": None, "note": str(error)})
        sample = self._samples[index]
        return Reply({"change": change_message(change, sample)})

    def answer_row(self, selection: dict[str, Any]) -> Reply:
        """Where one query looks, exactly."""
        attention = self._attention(selection)
        row = attention.row(selection["head"], int(selection["query"]))
        return Reply(arrays={"from": exact(row)})

    def answer_column(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Who looks at one key, exactly."""
        attention = self._attention(selection)
        for _ in attention.sum_steps(selection["head"]):
            yield None
        column = attention.column(selection["head"], int(selection["key"]))
        yield Reply(arrays={"to": exact(column)})

    def _footer(self, look: _Look) -> str:
        parts = [
            look.attention.source,
            f"{look.attention.origin} for {head_name(look.head)}",
            look.lens.note,
            reduction(look.rows, look.keys, look.size) or "exact",
            look.attention.note,
            self._live.status,
        ]
        return " · ".join(part for part in parts if part)

    def _attention(self, selection: dict[str, Any], layer: int | None = None) -> Attention:
        """What a request is about; ``layer``: another one of its sample."""
        number = int(selection["layer"]) if layer is None else layer
        lens = Lens.of(selection.get("lens"))
        return self.lenses.attention(number, int(selection["sample"]), lens)

    def _shown(self, layer: AttentionLayer, selection: dict[str, Any]) -> tuple[Span, Span]:
        """The positions shown on each axis: all, or those that are no padding."""
        lens, padding = Lens.of(selection.get("lens")), bool(selection.get("padding"))
        query, key = self.lenses.axes(layer, int(selection["sample"]), lens, padding)
        return query.shown, key.shown


def row_and_column(
    attention: Attention, head: Head, query: int | None, column: bool = True
) -> dict[str, Tensor | None]:
    """``from``: where a query looks; ``to``: who looks at it; None where it is on no such side."""
    has_row = query is not None and 0 <= query < attention.queries
    has_column = column and query is not None and 0 <= query < attention.keys
    return {
        "from": attention.row(head, query) if has_row and query is not None else None,
        "to": attention.column(head, query) if has_column and query is not None else None,
    }


def work_at_once(device: torch.device) -> int:
    """Scores that are computed before anything is sent: a tenth of a second or less."""
    return _CPU_AT_ONCE if device.type == "cpu" else 64 * _CPU_AT_ONCE


def _span(given: Any, shown: Span) -> Span:
    return shown if given is None else (int(given[0]), int(given[1]))


def fitting(span: Span, most: int = MOST_PIXELS) -> int:
    """Pixels for a span: one a position, or the most that a whole number of positions shares."""
    length = span[1] - span[0]
    return math.ceil(length / math.ceil(length / most))


def _enlarged(levels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """All thumbnails have one size: short inputs are enlarged to it, by the nearest position."""
    rows = np.arange(height) * levels.shape[0] // height
    columns = np.arange(width) * levels.shape[1] // width
    return levels[np.ix_(rows, columns)]
