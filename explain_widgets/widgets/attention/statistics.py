"""Statistics of heads, one or all of them, as the attention explorer reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.head_statistics import HeadStatistics
from explain_widgets.analysis.score_steps import Span
from explain_widgets.export.heads import heads_figure
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.head_statistics import HeadSummary
from explain_widgets.live.model import LiveModel
from explain_widgets.widgets.attention.columns import COLUMNS, column_of, columns_in
from explain_widgets.widgets.attention.lens import Counted, Lens, Lenses
from explain_widgets.widgets.attention.words import sampled
from explain_widgets.widgets.protocol import Reply

_MOST_KEPT = 10_000
_PARTIAL_SECONDS = 0.6
# Queries that a head's statistics are made of where a few have to do.
_LEAST_QUERIES = 64


class HeadPlace(NamedTuple):
    """Of what a head's statistics are: of which state of the model, and how it is looked at."""

    revision: int
    sample: int
    layer: int
    head: Head
    shown: tuple[Span, Span]
    lens: Lens


@dataclass
class HeadTable:
    """Statistics of all heads of a sample, as far as they were read.

    Attributes
    ----------
    layers
        The attention calls.
    every
        For each of them, of how many queries one was looked at.
    heads
        By layer and head, those that are there.
    share
        How much of the work is done.
    """

    layers: list[AttentionLayer]
    every: list[int]
    heads: list[HeadSummary] = field(default_factory=list)
    share: float = 0.0

    @property
    def count(self) -> int:
        """How many heads there will be."""
        return sum(layer.heads for layer in self.layers)

    @property
    def is_done(self) -> bool:
        """Whether all are there."""
        return len(self.heads) == self.count

    @property
    def note(self) -> str:
        """Of how many queries it is made, in words; empty where of all."""
        some = "" if len(set(self.every)) == 1 else "at least "
        return "" if max(self.every) == 1 else some + sampled(max(self.every))

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """(heads of all layers, columns): NaN where one does not apply or is not there yet."""
        values = np.full((self.count, len(COLUMNS)), np.nan, np.float32)
        for row, head in zip(values, self.heads, strict=False):
            row[:] = [column.sent(head.statistics) for column in COLUMNS]
        return values


class HeadNumbers:
    """Reads statistics of heads in steps, and keeps them while the model's state is the same."""

    def __init__(self, live: LiveModel, lenses: Lenses) -> None:
        self._live, self._lenses = live, lenses
        self._kept: dict[tuple[HeadPlace, int], HeadStatistics] = {}

    def get(self, place: HeadPlace, every: int = 1) -> HeadStatistics | None:
        """The statistics of a head, if they were read."""
        return self._kept.get((place, every))

    def clear(self) -> None:
        """Forget what was read."""
        self._kept.clear()

    def steps(
        self,
        attention: Attention,
        place: HeadPlace,
        every: int = 1,
        counted: Counted | None = None,
    ) -> Iterator[float]:
        """Read the statistics of a head for `get`; yields the share that is done.

        ``counted``: what its layer's statistics count beside weights, where that is known.
        """
        if counted is None:
            layer = self._lenses.layers(place.sample)[place.layer]
            counted = self._lenses.counted(layer, place.sample, place.lens)
        steps = attention.statistics_steps(place.head, *place.shown, *counted, every)
        while True:
            try:
                yield next(steps)
            except StopIteration as stop:
                found: HeadStatistics = stop.value
                break
        if len(self._kept) >= _MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        # What single keys receive is not shown, and is as long as the input.
        self._kept[place, every] = replace(found, received=found.received.new_empty(0))

    def table(
        self, sample: int, lens: Lens, padding: bool, most: int, least: int = _LEAST_QUERIES
    ) -> Iterator[HeadTable]:
        """The statistics of all heads in steps: the same table, further filled.

        Parameters
        ----------
        sample, lens, padding
            What is looked at, and how.
        most
            Scores to be computed at most: of long inputs some queries have to do.
        least
            How many queries of a layer these are at least.
        """
        layers = self._live.attention_layers(sample)
        work = [layer.heads * layer.queries * layer.keys for layer in layers]
        few = -(-sum(work) // most)
        table = HeadTable(layers, [max(1, min(few, layer.queries // least)) for layer in layers])
        done = 0.0
        for number, layer in enumerate(layers):
            attention, revision = self._lenses.read(number, sample, lens)
            shown = [axis.shown for axis in self._lenses.axes(layer, sample, lens, padding)]
            counted = self._lenses.counted(layer, sample, lens)
            every, part = table.every[number], work[number] / sum(work) / layer.heads
            for head in range(layer.heads):
                place = HeadPlace(revision, sample, number, head, (shown[0], shown[1]), lens)
                if self.get(place, every) is None:
                    for share in self.steps(attention, place, every, counted):
                        table.share = done + part * share
                        yield table
                found = self.get(place, every)
                assert found is not None
                table.heads.append(HeadSummary(layer.name, number, head, found))
                done += part
        yield table

    def answer(self, selection: dict[str, Any], most: int) -> Iterator[Reply | None]:
        """The table as it is sent; what there is of it from time to time."""
        sample, lens = int(selection["sample"]), Lens.of(selection.get("lens"))
        sent = time.monotonic()
        for table in self.table(sample, lens, bool(selection.get("padding")), most):
            if table.is_done or time.monotonic() - sent > _PARTIAL_SECONDS:
                yield self._reply(table, lens)
                sent = time.monotonic()
            else:
                yield None

    def _reply(self, table: HeadTable, lens: Lens) -> Reply:
        done, count = len(table.heads), table.count
        exactness = f"from {table.note}" if table.note else "exact"
        said = f"statistics of {count} heads", exactness, lens.note, self._live.status
        progress = f"{done} of {count} heads, {100 * table.share:.0f} %"
        return Reply(
            {
                "columns": [asdict(column) for column in columns_in(lens.units)],
                "done": done,
                "note": table.note,
                "footer": " · ".join(part for part in said if part),
                "progress": "" if table.is_done else progress,
            },
            {"statistics": table.values},
        )


def table_figure(table: HeadTable, key: str, sample: str, lens: Lens, colormap: str) -> Figure:
    """One statistic of all heads of a sample as a figure."""
    column = column_of(key, lens.units)
    values = table.values[:, columns_in(lens.units).index(column)]
    borders = np.cumsum([layer.heads for layer in table.layers])[:-1]
    absent = "" if np.isfinite(values).all() else f"hatched: {column.absent or 'not finite'}"
    parts = [f"{column.name} · {sample}", lens.note, table.note and f"from {table.note}", absent]
    title = "\n".join(part.rstrip(".") for part in parts if part)
    label = f"{column.name} ({column.unit})" if column.unit else column.name
    return heads_figure(np.split(values, borders), title, label, colormap)
