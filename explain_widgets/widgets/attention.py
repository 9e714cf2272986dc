"""AttentionExplorer: which token looks where, in any head of any layer."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterator
from typing import Any

import matplotlib.figure
import numpy as np
import numpy.typing as npt
import torch
import traitlets
from torch import Tensor

from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.head_statistics import HeadStatistics
from explain_widgets.analysis.score_steps import Span
from explain_widgets.export.figures import attention_figure
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.attention.ablation import HeadAblation, checked
from explain_widgets.live.samples import Token
from explain_widgets.pictures.colormaps import SEQUENTIAL, check_colormap
from explain_widgets.pictures.quantise import SCALES, weights_picture
from explain_widgets.widgets.attention_words import (
    change_message,
    grid_message,
    head_name,
    layer_title,
    reduction,
    sampled,
    statistics_message,
    texts,
    token_message,
)
from explain_widgets.widgets.explorer import Explorer, bundle
from explain_widgets.widgets.lens import MEASURES, UNITS, Lens, Lenses
from explain_widgets.widgets.protocol import Reply

VIEWS = ("matrix", "lines", "text")
_MOST_PIXELS = 512
# The still picture of a saved notebook is drawn before the widget is shown: it must be quick.
_STILL_PIXELS = 96
_CPU_AT_ONCE = 2**25
_PARTIAL_SECONDS = 0.25
_GRID_SECONDS = 1.0
# Queries that a thumbnail of a long input is made of, at least.
_GRID_QUERIES = 64
_MOST_STATISTICS = 1000


class AttentionExplorer(Explorer):
    """Shows where tokens look, for every attention call of a live model.

    Parameters
    ----------
    model
        A `LiveModel`, or a model to make one of with ``samples`` and the options of `LiveModel`.
    samples, **options
        As for `LiveModel`; and any trait below, to begin with.

    Raises
    ------
    NoAttentionError
        When no attention is found in the forward of the first sample.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> layer = torch.nn.TransformerEncoderLayer(16, 4, batch_first=True)
    >>> xw.AttentionExplorer(layer, torch.randn(3, 7, 16), head="mean").data()["weights"].shape
    torch.Size([7, 7])
    """

    _esm = bundle("attention.js")
    _css = bundle("attention.css")

    layer = traitlets.Int(0).tag(sync=True)
    """Index into `layers`."""

    layer_name = traitlets.Unicode("").tag(sync=True)
    """Name of the layer. Any module's name may be set: the first layer inside it is picked, else
    the one around it; a name that is not in the model is a TraitError."""

    head = traitlets.Union([traitlets.Int(), traitlets.Enum(["mean", "max"])], default_value=0).tag(
        sync=True
    )
    """Index of the head, or ``"mean"`` or ``"max"`` over all heads of the layer."""

    query = traitlets.Int(0, allow_none=True).tag(sync=True)
    """Position of the picked token, or None: where it looks (as a query) and who looks at it."""

    view = traitlets.Enum(VIEWS, "matrix").tag(sync=True)
    """``"matrix"``, ``"lines"`` or ``"text"``."""

    scale = traitlets.Enum(SCALES, "linear").tag(sync=True)
    """``"linear"``, ``"log"``, or ``"row"``: each row by its own largest weight."""

    colormap = traitlets.Unicode("Blues").tag(sync=True)
    """Any colour map of matplotlib, by name."""

    padding = traitlets.Bool(False).tag(sync=True)
    """Whether padded positions are shown."""

    measure = traitlets.Enum(MEASURES, "weights").tag(sync=True)
    """``"weights"``, or ``"value-weighted"``: weights times the lengths of the values, α‖v‖
    (Kobayashi et al. 2020)."""

    units = traitlets.Enum(UNITS, "tokens").tag(sync=True)
    """``"tokens"``, or tokens grouped into ``"words"`` or ``"sentences"``: `query` counts these."""

    hide_sinks = traitlets.Bool(False).tag(sync=True)
    """Whether the first token, separators and punctuation are hidden and the rest rescaled."""

    ablated: Any = traitlets.List().tag(sync=True)
    """Heads that are taken out of the forward: lists [layer, head, how] of the index of the layer,
    the index of the head, and ``"zero"`` or ``"mean"`` (over positions). The model is untouched."""

    colormaps = traitlets.List(traitlets.Unicode(), list(SEQUENTIAL)).tag(sync=True)
    """What the menu of colour maps offers."""

    @property
    def layers(self) -> list[AttentionLayer]:
        """The attention calls of the current sample, in call order."""
        # A message of the browser arrives in another thread and must not wait for a forward: it
        # is checked against the layers that were read last.
        if self.live.is_home:
            self._layers = self.live.attention_layers(self.sample)
        return self._layers

    def _prepare(self) -> None:
        self._lenses = Lenses(self.live)
        self._statistics: dict[Hashable, HeadStatistics] = {}
        self._layers = self.live.attention_layers(self.sample)
        self.layer_name = self._layers[0].name
        self.query = self._first_word()

    def _first_word(self) -> int:
        """The first token that stands for text, else the first position."""
        tokens = self.live.samples[self.sample].tokens or []
        position = next((i for i, token in enumerate(tokens) if not token.special), 0)
        return min(position, self._layers[0].queries - 1)

    def data(self) -> dict[str, Any]:
        """What is shown now.

        Returns
        -------
        dict
            ``weights``: (queries, keys) of the picked layer and head, exact, on the model's device;
            ``from``: (keys,), where the picked query looks; ``to``: (queries,), who looks at it
            (both None without a query); ``query_tokens``, ``key_tokens``: lists of text, or None.
        """
        attention = self._lenses.attention(self.layer, self.sample, self._lens())
        layer = self.live.attention_layers(self.sample)[self.layer]
        sides = self._lenses.axes(layer, self.sample, self._lens())
        return {
            "weights": attention.weights(self.head),
            **_row_and_column(attention, self.head, self.query),
            "query_tokens": texts(sides[0].tokens),
            "key_tokens": texts(sides[1].tokens),
        }

    def figure(self) -> matplotlib.figure.Figure:
        """The matrix of the picked layer and head as a matplotlib figure.

        More than 512 positions on a side are pooled to 512 pixels (mean), as the title then says.
        """
        return self._figure(_MOST_PIXELS)

    def _still_figure(self) -> matplotlib.figure.Figure:
        return self._figure(_STILL_PIXELS, quick=True)

    def _figure(self, most_pixels: int, quick: bool = False) -> matplotlib.figure.Figure:
        lens = self._lens()
        attention = self._lenses.attention(self.layer, self.sample, lens)
        layer = self.live.attention_layers(self.sample)[self.layer]
        sides = self._lenses.axes(layer, self.sample, lens, self.padding)
        rows, keys = sides[0].shown, sides[1].shown
        size = _fitting(rows, most_pixels), _fitting(keys, most_pixels)
        every = 1
        if quick and 2 * attention.queries * attention.keys > _at_once(self.live.device):
            every = max(1, (rows[1] - rows[0]) // size[0])
        weights = attention.tile(self.head, rows, keys, size, every=every).float().cpu().numpy()
        labels = [
            texts(side.tokens[slice(*side.shown)])
            if side.tokens is not None and pixels == side.shown[1] - side.shown[0]
            else None
            for side, pixels in zip(sides, size, strict=True)
        ]
        sample = self.live.samples[self.sample]
        title = f"{layer_title(attention)} · {head_name(self.head)} · {sample.title}"
        said = [lens.note, reduction(rows, keys, size), sampled(every)]
        title += "".join(f"\n{part}" for part in said if part)
        return attention_figure(weights, labels[0], labels[1], title, self.scale, self.colormap)

    # Requests; see docs/protocol.md.

    def answer_sample(self, selection: dict[str, Any]) -> Reply:
        """What there is to pick from in a sample."""
        index = int(selection["sample"])
        self._layers = self.live.attention_layers(index)
        sample = self.live.samples[index]
        self.sample_count = self._count_samples()
        lens = Lens.of(selection.get("lens"))
        padding = bool(selection.get("padding"))
        tokens: dict[str, list[Token]] = dict(self.live.token_lists(index))
        layers = []
        for layer in self._layers:
            sides = self._lenses.axes(layer, index, lens, padding)
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
                "footer": self.live.status,
            }
        )

    def answer_grid(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """A thumbnail of every head of every layer; other requests come between the heads.

        Of long inputs first from some of the queries, then from all where that takes seconds.
        """
        index, (height, width) = int(selection["sample"]), selection["size"]
        layers = self.live.attention_layers(index)
        spans = [self._shown(layer, selection) for layer in layers]
        work = sum(
            2 * layer.heads * (rows[1] - rows[0]) * (keys[1] - keys[0])
            for layer, (rows, keys) in zip(layers, spans, strict=True)
        )
        queries = max(rows[1] - rows[0] for rows, _ in spans)
        few = max(1, queries // max(height, _GRID_QUERIES))
        at_once = 8 * _at_once(self.live.device)
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
        index, head = int(selection["sample"]), selection["head"]
        # Before the question, which may find that the model has changed.
        revision = self.live.revision
        attention = self._attention(selection)
        if selection.get("known") == self.live.revision:
            yield Reply({"unchanged": True})
            return
        number, lens = int(selection["layer"]), Lens.of(selection.get("lens"))
        shown = self._shown(self.live.attention_layers(index)[number], selection)
        rows = _span(selection.get("rows"), shown[0])
        keys = _span(selection.get("keys"), shown[1])
        height, width = selection.get("size") or (_MOST_PIXELS, _MOST_PIXELS)
        size = min(_fitting(rows), height), min(_fitting(keys), width)
        query = selection.get("query")
        place = (revision, index, number, head, shown, lens)

        def reply(tile: Tensor, exact: dict[str, Tensor | None], progress: str = "") -> Reply:
            picture = weights_picture(tile.float().cpu().numpy(), selection["scale"])
            statistics = self._statistics.get(place)
            return Reply(
                {
                    "revision": revision,
                    "rows": rows,
                    "keys": keys,
                    "statistics": statistics_message(statistics, head),
                    "footer": self._footer(attention, head, lens, reduction(rows, keys, size)),
                    "progress": progress,
                },
                {
                    "matrix": picture,
                    **{name: _float32(row) for name, row in exact.items() if row is not None},
                },
            )

        heads = attention.heads if isinstance(head, str) else 1
        work = heads * (rows[1] - rows[0]) * (attention.keys + keys[1] - keys[0])
        at_once = _at_once(self.live.device)
        every = max(1, (rows[1] - rows[0]) // size[0]) if work > at_once else 1
        tile = attention.tile(head, rows, keys, size, every=every)
        row = _row_and_column(attention, head, query, column=False)
        follows = self._statistics.get(place) is None or query is not None
        long = attention.queries * attention.keys > at_once
        if every > 1:
            preview = f"preview from {sampled(every)}"
            yield reply(tile, row, f"{preview}, 0 % refined")
            sent = time.monotonic()
            for step in attention.tile_steps(head, rows, keys, size):
                tile[: step.done] = step.picture[: step.done]
                if time.monotonic() - sent > _PARTIAL_SECONDS and step.done < size[0]:
                    yield reply(tile, row, f"{preview}, {100 * step.done // size[0]} % refined")
                    sent = time.monotonic()
                else:
                    yield None
        if long and follows:
            yield reply(tile, row, "exact; statistics and column follow")
        if query is not None:
            for _ in attention.sum_steps(head):
                yield None
        yield from self._read_statistics(attention, head, shown, place)
        yield reply(tile, _row_and_column(attention, head, query))

    def _read_statistics(
        self,
        attention: Attention,
        head: Head,
        shown: tuple[Span, Span],
        place: Hashable,
    ) -> Iterator[None]:
        """Statistics of a head, kept: a query or window picked later changes none of them."""
        if place in self._statistics:
            return
        steps = attention.statistics_steps(head, *shown)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                found: HeadStatistics = stop.value
                break
            if attention.queries * attention.keys > _at_once(self.live.device):
                yield None
        if len(self._statistics) >= _MOST_STATISTICS:
            self._statistics.pop(next(iter(self._statistics)))
        self._statistics[place] = found

    def answer_ahead(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """As `answer_head`, for a head that may be looked at next; not of long inputs."""
        attention = self._attention(selection)
        if attention.queries * attention.keys > _at_once(self.live.device):
            yield Reply({"skipped": True})
        else:
            yield from self.answer_head(selection)

    def answer_change(self, selection: dict[str, Any]) -> Reply:
        """How the output changes without the ablated heads."""
        index, lens = int(selection["sample"]), Lens.of(selection.get("lens"))
        if not lens.ablated:
            return Reply({"change": None})
        try:
            change = self.live.output_change(lens.ablated, index)
        except ValueError as error:
            return Reply({"change": None, "note": str(error)})
        sample = self.live.samples[index]
        return Reply({"change": change_message(change, sample)})

    def answer_row(self, selection: dict[str, Any]) -> Reply:
        """Where one query looks, exactly."""
        attention = self._attention(selection)
        row = attention.row(selection["head"], int(selection["query"]))
        return Reply(arrays={"from": _float32(row)})

    def answer_column(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Who looks at one key, exactly."""
        attention = self._attention(selection)
        for _ in attention.sum_steps(selection["head"]):
            yield None
        column = attention.column(selection["head"], int(selection["key"]))
        yield Reply(arrays={"to": _float32(column)})

    def _footer(self, attention: Attention, head: Head, lens: Lens, reduced: str) -> str:
        parts = [
            attention.source,
            f"{attention.origin} for {head_name(head)}",
            lens.note,
            reduced or "exact",
            attention.note,
            self.live.status,
        ]
        return " · ".join(part for part in parts if part)

    def _attention(self, selection: dict[str, Any], layer: int | None = None) -> Attention:
        """What a request is about; ``layer``: another one of its sample."""
        number = int(selection["layer"]) if layer is None else layer
        lens = Lens.of(selection.get("lens"))
        return self._lenses.attention(number, int(selection["sample"]), lens)

    def _shown(self, layer: AttentionLayer, selection: dict[str, Any]) -> tuple[Span, Span]:
        """The positions shown on each axis: all, or those that are no padding."""
        lens, padding = Lens.of(selection.get("lens")), bool(selection.get("padding"))
        query, key = self._lenses.axes(layer, int(selection["sample"]), lens, padding)
        return query.shown, key.shown

    def _lens(self) -> Lens:
        ablated = tuple(HeadAblation(*one) for one in self.ablated)
        return Lens(self.measure, self.units, self.hide_sinks, ablated)

    # Traits.

    @traitlets.validate("layer")
    def _check_layer(self, proposal: Any) -> int:
        return _in_range("layer", proposal["value"], len(self.layers))

    @traitlets.validate("layer_name")
    def _check_layer_name(self, proposal: Any) -> str:
        name = str(proposal["value"])
        known = {module for module, _ in self.live.model.named_modules()}
        if name not in known and name not in {layer.name for layer in self.layers}:
            raise traitlets.TraitError(f"layer_name: the model has no module {name!r}.")
        return name

    @traitlets.validate("head")
    def _check_head(self, proposal: Any) -> Head:
        value: Head = proposal["value"]
        return value if isinstance(value, str) else _in_range("head", value, self._heads())

    @traitlets.validate("query")
    def _check_query(self, proposal: Any) -> int | None:
        value = proposal["value"]
        layer = self.layers[self.layer]
        # In cross-attention a key may be picked as well, to see who looks at it.
        positions = max(layer.queries, layer.keys)
        return None if value is None else _in_range("query", value, positions)

    @traitlets.validate("ablated")
    def _check_ablated(self, proposal: Any) -> list[Any]:
        try:
            checked(proposal["value"], {layer.name: layer.heads for layer in self.layers})
        except (TypeError, ValueError) as error:
            raise traitlets.TraitError(str(error)) from error
        return [list(one) for one in proposal["value"]]

    @traitlets.validate("colormap")
    def _check_colormap(self, proposal: Any) -> str:
        try:
            check_colormap(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from error
        return str(proposal["value"])

    @traitlets.observe("layer")
    def _layer_changed(self, change: Any) -> None:
        name = self.layers[self.layer].name
        if self._resolved(self.layer_name) != self.layer:
            self.layer_name = name
        if not isinstance(self.head, str):
            self.head = min(self.head, self._heads() - 1)

    @traitlets.observe("layer_name")
    def _layer_name_changed(self, change: Any) -> None:
        index = self._resolved(self.layer_name)
        if index is not None:
            self.layer = index

    @traitlets.observe("sample")
    def _sample_changed(self, change: Any) -> None:
        if self.query is not None and self.live.is_home:
            layer = self.layers[min(self.layer, len(self.layers) - 1)]
            self.query = min(self.query, max(layer.queries, layer.keys) - 1)

    def _heads(self) -> int:
        return self.layers[self.layer].heads

    def _resolved(self, name: str) -> int | None:
        """The layer that a module's name means: itself, the first inside it, the nearest around."""
        names = [layer.name for layer in self.layers]
        if name in names:
            return names.index(name)
        inside = [i for i, other in enumerate(names) if other.startswith(f"{name}.") or not name]
        if inside:
            return inside[0]
        around = [i for i, other in enumerate(names) if name.startswith(f"{other}.")]
        return max(around, key=lambda i: len(names[i]), default=None)


def _in_range(what: str, value: int, count: int) -> int:
    if not 0 <= value < count:
        raise traitlets.TraitError(f"{what} must be 0 to {count - 1}, not {value}.")
    return int(value)


def _row_and_column(
    attention: Attention, head: Head, query: int | None, column: bool = True
) -> dict[str, Tensor | None]:
    has_row = query is not None and 0 <= query < attention.queries
    has_column = column and query is not None and 0 <= query < attention.keys
    return {
        "from": attention.row(head, query) if has_row and query is not None else None,
        "to": attention.column(head, query) if has_column and query is not None else None,
    }


def _at_once(device: torch.device) -> int:
    """Scores that are computed before anything is sent: a tenth of a second or less."""
    return _CPU_AT_ONCE if device.type == "cpu" else 64 * _CPU_AT_ONCE


def _float32(tensor: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.to(torch.float32).cpu().numpy()
    return array


def _span(given: Any, shown: Span) -> Span:
    return shown if given is None else (int(given[0]), int(given[1]))


def _fitting(span: Span, most: int = _MOST_PIXELS) -> int:
    """Pixels for a span: one a position, or the most that a whole number of positions shares."""
    length = span[1] - span[0]
    return math.ceil(length / math.ceil(length / most))


def _enlarged(levels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """All thumbnails have one size: short inputs are enlarged to it, by the nearest position."""
    rows = np.arange(height) * levels.shape[0] // height
    columns = np.arange(width) * levels.shape[1] // width
    return levels[np.ix_(rows, columns)]
