"""What answers the requests of attention explorers; see docs/protocol.md."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.score_steps import Span
from explain_widgets.analysis.tiles import Tile
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import Token
from explain_widgets.live.targets import Target
from explain_widgets.pictures.quantise import Picture, Scale, weights_picture
from explain_widgets.widgets.answers import Answers, exact
from explain_widgets.widgets.attention.lens import Axis, Lens, Lenses
from explain_widgets.widgets.attention.statistics import HeadNumbers, HeadPlace, HeadTable
from explain_widgets.widgets.attention.words import (
    grid_message,
    head_name,
    layer_title,
    reduction,
    sampled,
    statistics_message,
)
from explain_widgets.widgets.changes import change_message
from explain_widgets.widgets.protocol import Reply
from explain_widgets.widgets.targets import classes_message
from explain_widgets.widgets.tokens import token_message
from explain_widgets.widgets.worker import Pause

MOST_PIXELS = 512
_CPU_AT_ONCE = 2**25
_PARTIAL_SECONDS = 0.25
_GRID_SECONDS = 1.0
# Queries that a thumbnail of a long input is made of, at least.
_GRID_QUERIES = 64
# Statistics of all heads may take so many times as long as what is computed at once.
_PATIENCE = 8


@dataclass(frozen=True)
class Look:
    """What a `head` request looks at: of the rows and keys that are shown a window."""

    live: LiveModel
    attention: Attention
    revision: int
    place: HeadPlace
    head: Head
    query: int | None
    axes: tuple[Axis, Axis]
    rows: Span
    keys: Span
    size: tuple[int, int]
    scale: Scale
    lens: Lens

    @property
    def shown(self) -> tuple[Span, Span]:
        """The positions that are shown on each axis: all, or those that are no padding."""
        return self.axes[0].shown, self.axes[1].shown

    @property
    def work(self) -> int:
        """Scores to be computed for its picture."""
        heads = self.attention.heads if isinstance(self.head, str) else 1
        rows, keys = self.rows[1] - self.rows[0], self.keys[1] - self.keys[0]
        return heads * rows * (self.attention.keys + keys)

    def tile(self, every: int = 1) -> Tensor:
        """The window, (…, height, width), from each ``every``-th query."""
        return self.attention.tile(self.head, self.rows, self.keys, self.size, every=every)

    def tile_steps(self) -> Iterator[Tile]:
        """`tile` in steps, from the top down."""
        return self.attention.tile_steps(self.head, self.rows, self.keys, self.size)

    def prepare_steps(self) -> Iterator[float]:
        """What must be there before anything else, in steps that yield the share done."""
        return self.attention.prepare_steps(self.head)

    def sum_steps(self) -> Iterator[float]:
        """What columns need of all queries, in steps."""
        return self.attention.sum_steps(self.head)

    def lines(self, column: bool = True) -> dict[str, Tensor | None]:
        """The exact row and column of the query."""
        return row_and_column(self.attention, self.head, self.query, column)

    def pictures(self, tile: Tensor) -> dict[str, Picture]:
        """A `tile` as it is drawn."""
        return {"matrix": weights_picture(tile.float().cpu().numpy(), self.scale)}

    @property
    def content(self) -> dict[str, Any]:
        """What is answered, as it is sent."""
        return {"revision": self.revision, "rows": self.rows, "keys": self.keys}

    @property
    def said(self) -> list[str]:
        """What is said of it at the bottom, in parts; each may be empty."""
        return [
            self.attention.source,
            f"{self.attention.origin} for {head_name(self.head, self.attention.source)}",
            self.lens.note,
            reduction(self.rows, self.keys, self.size) or "exact",
            self.attention.note,
            self.live.status,
        ]


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
        self.layers = self.lenses.layers(0)
        self._statistics = HeadNumbers(live, self.lenses)

    def set_target(self, target: Target) -> None:
        """What gradients are of where a selection says `CUSTOM`."""
        self.lenses.target = target
        self._statistics.clear()

    def answer_sample(self, selection: dict[str, Any]) -> Reply:
        """What there is to pick from in a sample."""
        index = int(selection["sample"])
        self.layers = self.lenses.layers(index)
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
                    "is_derived": layer.is_derived,
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

    def answer_grid(self, selection: dict[str, Any]) -> Iterator[Reply | Pause | None]:
        """A thumbnail of every head of every layer; other requests come between the heads.

        Of long inputs first from some of the queries, then from all where that takes seconds: then
        the head that is looked at comes first.
        """
        index, (height, width) = int(selection["sample"]), selection["size"]
        layers = self.lenses.layers(index)
        axes = [self._axes(layer, selection) for layer in layers]
        spans = [(queries.shown, keys.shown) for queries, keys in axes]
        passes = _grid_passes(layers, spans, height, 8 * work_at_once(self._live.device))
        read = {number for numbers, _ in passes for number in numbers}
        unread = sorted({*range(len(layers))} - read)
        said = [{"note": sampled(every), "unread": unread} for _, every in passes]
        heads = np.cumsum([0, *(layer.heads for layer in layers)])
        thumbnails = np.zeros((heads[-1], height, width), np.uint8)
        sent = time.monotonic()
        for turn, (numbers, every) in enumerate(passes):
            if turn:
                yield Reply(said[0], {"thumbnails": thumbnails.copy()})
                yield Pause.GIVES_WAY
            for number in numbers:
                attention = self._attention(selection, number)
                for head in range(attention.heads):
                    for _ in attention.prepare_steps(head):
                        yield None
                    tile = attention.tile(head, *spans[number], (height, width), every=every)
                    picture = weights_picture(tile.float().cpu().numpy(), selection["scale"])
                    enlarged = _enlarged(picture.levels, height, width)
                    thumbnails[heads[number] + head] = enlarged
                    if len(passes) > 1 or every > 1:
                        yield None
                yield None
                if time.monotonic() - sent > _GRID_SECONDS:
                    yield Reply(said[0], {"thumbnails": thumbnails.copy()})
                    sent = time.monotonic()
        yield Reply(said[-1], {"thumbnails": thumbnails})

    def answer_head(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """The matrix of one head, its statistics, and the row and column of the query.

        Where the browser has it already, read from the revision ``known``, and nothing has changed
        since: no more than that. Of long inputs first a preview, then the rest from the top.
        """
        attention, revision = self._read(selection)
        if selection.get("known") == revision:
            yield Reply({"unchanged": True})
            return
        yield from self._in_steps(self._look(selection, attention, revision))

    def _in_steps(self, look: Look) -> Iterator[Reply | None]:
        """What is shown of a look; of long inputs first a preview, then the rest from the top."""
        yield from _prepared(look)
        at_once = work_at_once(self._live.device)
        every = max(1, (look.rows[1] - look.rows[0]) // look.size[0]) if look.work > at_once else 1
        tile = look.tile(every)
        row = look.lines(column=False)
        if every > 1:
            yield from self._refined(look, tile, row, every)
        follows = self._statistics.get(look.place) is None or look.query is not None
        if look.attention.queries * look.attention.keys > at_once and follows:
            yield self._head_reply(look, tile, row, "exact; statistics and column follow")
        if look.query is not None:
            for _ in look.sum_steps():
                yield None
        yield from self._read_statistics(look)
        yield self._head_reply(look, tile, look.lines())

    def look(self, selection: dict[str, Any]) -> Look:
        """What a selection of `answer_head` looks at, read now."""
        return self._look(selection, *self._read(selection))

    def _look(self, selection: dict[str, Any], attention: Attention, revision: int) -> Look:
        index, number, head = (selection[name] for name in ("sample", "layer", "head"))
        lens = Lens.of(selection.get("lens"))
        axes = self._axes(self.lenses.layers(int(index))[int(number)], selection)
        shown = axes[0].shown, axes[1].shown
        rows, keys = _span(selection.get("rows"), shown[0]), _span(selection.get("keys"), shown[1])
        height, width = selection.get("size") or (MOST_PIXELS, MOST_PIXELS)
        return Look(
            self._live,
            attention,
            revision,
            HeadPlace(revision, int(index), int(number), head, shown, lens),
            head,
            selection.get("query"),
            axes,
            rows,
            keys,
            (min(fitting(rows), height), min(fitting(keys), width)),
            selection["scale"],
            lens,
        )

    def _head_reply(
        self, look: Look, tile: Tensor, rows: dict[str, Tensor | None], progress: str = ""
    ) -> Reply:
        return Reply(
            {
                **look.content,
                "unit": look.lens.unit(look.attention.source),
                "statistics": statistics_message(self._statistics.get(look.place), look.lens.units),
                "footer": " · ".join(part for part in look.said if part),
                "progress": progress,
            },
            {
                **look.pictures(tile),
                **{name: exact(row) for name, row in rows.items() if row is not None},
            },
        )

    def _refined(
        self, look: Look, tile: Tensor, rows: dict[str, Tensor | None], every: int
    ) -> Iterator[Reply | None]:
        """The preview in ``tile``, and what it becomes, from the top."""
        preview = f"preview from {sampled(every)}"
        yield self._head_reply(look, tile, rows, f"{preview}, 0 % refined")
        sent = time.monotonic()
        for step in look.tile_steps():
            tile[..., : step.done, :] = step.picture[..., : step.done, :]
            if time.monotonic() - sent > _PARTIAL_SECONDS and step.done < look.size[0]:
                share = 100 * step.done // look.size[0]
                yield self._head_reply(look, tile, rows, f"{preview}, {share} % refined")
                sent = time.monotonic()
            else:
                yield None

    def _read_statistics(self, look: Look) -> Iterator[None]:
        """Statistics of a head, kept: a query or window picked later changes none of them."""
        attention = look.attention
        if self._statistics.get(look.place) is None:
            for _ in self._statistics.steps(attention, look.place):
                if attention.queries * attention.keys > work_at_once(self._live.device):
                    yield

    def answer_statistics(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """The statistics of every head of every layer; other requests come between the heads."""
        most = _PATIENCE * work_at_once(self._live.device)
        yield from self._statistics.answer(selection, most)

    def head_table(self, selection: dict[str, Any], quick: bool = False) -> HeadTable:
        """What `answer_statistics` ends with; ``quick``: of long inputs from fewer queries."""
        sample, lens = int(selection["sample"]), Lens.of(selection.get("lens"))
        at_once = work_at_once(self._live.device)
        limits = (at_once, 1) if quick else (_PATIENCE * at_once,)
        *_, table = self._statistics.table(sample, lens, bool(selection.get("padding")), *limits)
        return table

    def answer_ahead(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """As `answer_head`, for a head that may be looked at next; not of what takes long."""
        attention = self._attention(selection)
        if attention.source == "flow" or attention.queries * attention.keys > work_at_once(
            self._live.device
        ):
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

    def answer_classes(self, selection: dict[str, Any]) -> Reply:
        """The classes that may be a target."""
        return Reply(classes_message(self._live, int(selection["sample"])))

    def answer_row(self, selection: dict[str, Any]) -> Reply:
        """Where one query looks, exactly."""
        attention = self._attention(selection)
        row = attention.row(selection["head"], int(selection["query"]))
        return Reply(arrays={"from": exact(row)})

    def answer_column(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Who looks at one key, exactly."""
        attention = self._attention(selection)
        for steps in (attention.prepare_steps, attention.sum_steps):
            for _ in steps(selection["head"]):
                yield None
        column = attention.column(selection["head"], int(selection["key"]))
        yield Reply(arrays={"to": exact(column)})

    def _attention(self, selection: dict[str, Any], layer: int | None = None) -> Attention:
        """What a request is about; ``layer``: another one of its sample."""
        number = int(selection["layer"]) if layer is None else layer
        lens = Lens.of(selection.get("lens"))
        return self.lenses.attention(number, int(selection["sample"]), lens)

    def _read(self, selection: dict[str, Any]) -> tuple[Attention, int]:
        """What a request is about, and the revision of the model that it was read of."""
        lens = Lens.of(selection.get("lens"))
        return self.lenses.read(int(selection["layer"]), int(selection["sample"]), lens)

    def _axes(self, layer: AttentionLayer, selection: dict[str, Any]) -> tuple[Axis, Axis]:
        lens, padding = Lens.of(selection.get("lens")), bool(selection.get("padding"))
        return self.lenses.axes(layer, int(selection["sample"]), lens, padding)


def _grid_passes(
    layers: Sequence[AttentionLayer], spans: Sequence[tuple[Span, Span]], height: int, at_once: int
) -> list[tuple[list[int], int]]:
    """In which order the thumbnails are computed: numbers of layers, and each how manieth query.

    A flow takes seconds, and of long inputs a rollout as well: only where they are picked.
    """
    read = [number for number, layer in enumerate(layers) if not layer.is_derived]
    derived = [number for number, layer in enumerate(layers) if layer.source == "rollout"]
    work = 0
    for number in read + derived:
        rows, keys = spans[number]
        work += 2 * layers[number].heads * (rows[1] - rows[0]) * (keys[1] - keys[0])
    if work <= at_once:
        return [(read + derived, 1)]
    queries = max(rows[1] - rows[0] for rows, _ in spans)
    few = max(1, queries // max(height, _GRID_QUERIES))
    if work > 8 * at_once:
        return [(read, few)]
    return [(read, few), (read + derived if few > 1 else derived, 1)]


def _prepared(look: Look) -> Iterator[Reply | None]:
    """Prepare a look; what takes longer says how far it is."""
    sent = time.monotonic()
    for share in look.prepare_steps():
        if time.monotonic() - sent > _PARTIAL_SECONDS:
            sent = time.monotonic()
            yield Reply({"preparing": f"{look.attention.origin}: {100 * share:.0f} % computed"})
        else:
            yield None


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
