"""What answers the requests of feature explorers; see docs/protocol.md."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explain_widgets.analysis.alignment import Alignment
from explain_widgets.analysis.channels import finite_means, finite_range, rank, strongest
from explain_widgets.analysis.mosaic import fitting_size, mosaic
from explain_widgets.live.feature_reader import FeatureLayer
from explain_widgets.live.model import LiveModel
from explain_widgets.live.muting import Mute
from explain_widgets.live.sought import AscentOptions
from explain_widgets.pictures.quantise import Picture, signed_picture
from explain_widgets.widgets.answers import exact
from explain_widgets.widgets.changes import change_message
from explain_widgets.widgets.features.maps import MapReader, MapsOf, binned, picked, sliced
from explain_widgets.widgets.features.words import (
    footer,
    input_picture,
    layer_message,
    overlay_message,
    position_message,
    reduction,
    statistics_message,
)
from explain_widgets.widgets.layers import MapsAnswers
from explain_widgets.widgets.protocol import Reply
from explain_widgets.widgets.targets import classes_message

_T = TypeVar("_T")

# Numbers of one map that are sent as they are, to be read one by one.
_MOST_EXACT = 2**16
_MOST_SIDE = 512
_PARTIAL_SECONDS = 0.3
_STRONGEST = 5
_ACROSS_SIDE = 48
# What the browser sets of how the input that maximises a channel is sought.
_ASCENT = (
    "start", "parametrisation", "steps", "learning_rate", "jitter", "blur", "total_variation",
    "seed",
)  # fmt: skip


class FeatureAnswers(MapsAnswers):
    """Answers from the activations and gradients of a live model.

    Attributes
    ----------
    layers
        The layers of the sample that was described last.
    """

    def __init__(self, live: LiveModel) -> None:
        super().__init__(live.samples)
        self._live = live
        self.reader = MapReader(live)
        self.layers: list[FeatureLayer] = live.feature_layers()

    def answer_sample(self, selection: dict[str, Any]) -> Reply:
        """What there is to pick from in a sample."""
        index = int(selection["sample"])
        self.layers = self._live.feature_layers(index)
        sample = self._samples[index]
        return Reply(
            {
                "sample": index,
                "title": sample.title,
                "has_image": sample.image is not None,
                "layers": [layer_message(layer) for layer in self.layers],
                **classes_message(self._live, index),
                "ascent": {name: getattr(AscentOptions(), name) for name in _ASCENT},
                "footer": self._live.status,
            }
        )

    def answer_maps(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """A page of maps, pooled to the pixels they are drawn with, and the order of all.

        With ``channel`` in the selection also that one of them closely, as `answer_channel`: what
        changes both is one request, one reply and one drawing. Where the browser has them already,
        read from the revision ``known``, and nothing has changed since: no more than that.
        """
        if self._is_known(selection):
            yield Reply({"unchanged": True})
            return
        scores: Tensor | None = None
        if selection["order"] == "variance" and selection.get("show") != "filters":
            for found in self.reader.variance_steps(self.reader.of(selection)):
                scores = found
                yield None
        yield self._maps(selection, scores)

    def answer_ahead(self, selection: dict[str, Any]) -> Reply:
        """As `answer_maps`, for a layer that may be looked at next: only of what is there."""
        with self._live.reading():
            # Of a model that is another by now nothing is read for nothing.
            if self._is_known(selection):
                of = self.reader.of(selection)
                if self.reader.is_there(of, selection["order"]):
                    return self._maps(selection)
        return Reply({"skipped": True})

    def _is_known(self, selection: dict[str, Any]) -> bool:
        """Whether the model is in the state that the browser knows, and maps depend on no more.

        The variance, and the means that channels are muted to, are of the samples read so far.
        """
        if "known" not in selection or selection["order"] == "variance" or selection.get("muted"):
            return False
        with self._live.reading():
            return bool(selection["known"] == self._live.revision)

    def _maps(self, selection: dict[str, Any], scores: Tensor | None = None) -> Reply:
        """``scores``: the variances, where channels are ordered by them."""
        with self._live.reading():
            shown = _Shown(self.reader, selection)
            reply = self._page(shown, selection, scores)
            # Filters can be fewer than the channels that are picked from: the page shows them.
            if selection.get("channel") in range(len(shown.maps)):
                channel = self._channel(shown, selection)
                reply.content["channel"] = channel.content
                reply.arrays |= channel.arrays
        return reply

    def _page(self, shown: _Shown, selection: dict[str, Any], scores: Tensor | None) -> Reply:
        of, maps, order = shown.of, shown.maps, selection["order"]
        if scores is None:
            scores = self.reader.scores(of, order, shown.volume)
        channels = self.reader.order(of, scores, order)
        start, stop = (int(selection["from"]) + n for n in (0, int(selection["count"])))
        page = channels[start:stop]
        size = _page_size(selection["size"], len(page), maps)
        # By index they lie side by side: no copy of them is made.
        pooled = (
            mosaic(maps[start:stop], None, size) if order == "index" else mosaic(maps, page, size)
        )
        tile = pooled.cpu().numpy()
        picture = _drawn(tile, shown, selection["scale"] == "channel")
        words, slices = self.reader.words(of), shown.volume.shape[1]
        reduced = reduction(maps.shape[1:], tile.shape[1:])
        ordered = self.reader.said_of_order(of, order)
        return Reply(
            {
                "words": words,
                "channels": len(maps),
                "slices": slices,
                "height": maps.shape[1],
                "width": maps.shape[2],
                "from": start,
                "footer": footer(self._live, of, reduced, words, slices, ordered),
                "revision": self._live.revision,
            },
            {
                "maps": picture,
                "order": channels.to(torch.int32).cpu().numpy(),
                "scores": exact(scores),
                **self._coloured(of, page, size),
            },
        )

    def _coloured(self, of: MapsOf, page: Tensor, size: tuple[int, int]) -> dict[str, Any]:
        """Filters that see red, green and blue as coloured pictures; grey is zero."""
        if of.show != "filters" or not self.reader.filters(of).is_rgb:
            return {}
        weights = self.reader.filters(of).rgb()
        planes = [mosaic(weights[:, plane], page, size) for plane in range(3)]
        colours = signed_picture(torch.stack(planes, -1).cpu().numpy(), Extent.of(weights).largest)
        return {"rgb": colours.levels}

    def answer_channel(self, selection: dict[str, Any]) -> Reply:
        """One channel: its map, its numbers, their histogram, and where it lies on the input."""
        with self._live.reading():
            return self._channel(_Shown(self.reader, selection), selection)

    def _channel(self, shown: _Shown, selection: dict[str, Any]) -> Reply:
        of, maps, channel = shown.of, shown.maps, int(selection["channel"])
        by_channel = selection.get("scale") == "channel"
        own = picked(maps, channel)
        size = _page_size((_MOST_SIDE, _MOST_SIDE), 1, maps)
        tile = mosaic(maps, [channel], size)[0].cpu().numpy()
        edges, counts = binned(own)
        alignment = self._alignment(of)
        means = shown.means
        arrays: dict[str, Any] = {
            "map": signed_picture(tile[None], None if by_channel else shown.extent.largest),
            "edges": exact(edges),
            "counts": counts.to(torch.int32).cpu().numpy(),
        }
        if own.numel() <= _MOST_EXACT:
            arrays["values"] = exact(own)
        return Reply(
            {
                "name": self.reader.name(of, channel),
                "height": own.shape[0],
                "width": own.shape[1],
                "statistics": statistics_message(own, rank(means, channel), len(means)),
                "strongest": [
                    position_message(one, alignment) for one in strongest(own, _STRONGEST)
                ],
                "overlay": None if alignment is None else overlay_message(alignment, own.shape),
                "alignment": "" if alignment is None else alignment.words,
                "reduced": reduction(own.shape, tile.shape),
            },
            arrays,
        )

    def _alignment(self, of: MapsOf) -> Alignment | None:
        """Where the maps lie on the input; None: they are weights."""
        if of.show == "filters":
            return None
        return self._live.alignment(of.layer, of.sample, of.entry or None, of.layout or None)

    def answer_value(self, selection: dict[str, Any]) -> Reply:
        """One number of a map, exactly: of maps that are too large to be sent as a whole."""
        of = self.reader.of(selection)
        place = [int(selection[name]) for name in ("channel", "y", "x")]
        value = float(self.reader.maps(of)[tuple(place)])
        return Reply({"place": place}, {"value": np.array([value], np.float32)})

    def answer_across(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """The same channel for every sample, those that drive it most first."""
        channel, count = int(selection["channel"]), int(selection["count"])
        known = self._samples.count
        available = self._samples.read_so_far if known is None else known
        drawn: list[Tensor] = []
        values: list[float] = []
        for sample in range(min(count, available)):
            of = self.reader.of({**selection, "sample": sample, "show": "activation", "muted": ()})
            own = picked(self.reader.maps(of), channel)
            drawn.append(mosaic(own[None], None, (_ACROSS_SIDE, _ACROSS_SIDE))[0].cpu())
            values.append(float(own.max()))
            yield None
        order = sorted(range(len(values)), key=lambda index: -values[index])
        sizes = {tuple(one.shape) for one in drawn}
        arrays: dict[str, Any] = {}
        if len(sizes) == 1:  # texts of other lengths have maps of other sizes
            arrays["maps"] = signed_picture(torch.stack([drawn[n] for n in order]).numpy())
        yield Reply(
            {
                "samples": order,
                "values": [values[n] for n in order],
                "titles": [self._samples[n].title for n in order],
                "of": available,
            },
            arrays,
        )

    def answer_maximise(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """The input that a channel answers to most, as it is found, a step at a time.

        Its options are those of `AscentOptions`. The mean of the squares is sought: the mean of a
        first convolution is linear, and a plain picture maximises it.
        """
        of = self.reader.of({**selection, "show": "activation", "muted": ()})
        sent = time.monotonic() - _PARTIAL_SECONDS
        steps = self._live.maximise(
            of.layer,
            int(selection["channel"]),
            of.sample,
            entry=of.entry or None,
            layout=of.layout or None,
            reduce="squares",
            **{name: selection[name] for name in _ASCENT if name in selection},
        )
        for step in steps:
            if step.step == step.steps or time.monotonic() - sent > _PARTIAL_SECONDS:
                sent = time.monotonic()
                content = {"step": step.step, "steps": step.steps, "value": step.value}
                picture = input_picture(step.picture)
                yield Reply({**content, "note": step.note}, {"picture": picture})
            else:
                yield None

    def answer_change(self, selection: dict[str, Any]) -> Reply:
        """How the output changes without the muted channels."""
        index = int(selection["sample"])
        muted = [Mute(*one) for one in selection.get("muted", ())]
        if not muted:
            return Reply({"change": None})
        try:
            change = self._live.output_change(sample=index, mute=muted)
        except ValueError as error:
            return Reply({"change": None, "note": str(error)})
        return Reply({"change": change_message(change, self._samples[index])})


class Extent(NamedTuple):
    """The largest finite magnitude of maps, 0 where there is none, and whether all are finite."""

    largest: float
    is_finite: bool

    @classmethod
    def of(cls, maps: Tensor) -> Extent:
        """Of all numbers of ``maps``."""
        low, high = map(float, maps.aminmax()) if maps.numel() else (0.0, 0.0)
        is_finite = math.isfinite(low) and math.isfinite(high)
        if not is_finite:
            low, high = finite_range(maps) or (0.0, 0.0)
        return cls(max(-low, high), is_finite)


class _Shown:
    """What a selection is about, and what a page of it and one channel both need."""

    def __init__(self, reader: MapReader, selection: dict[str, Any]) -> None:
        self.of = reader.of(selection)
        self._source = reader.source(self.of)
        self.volume = reader.volume(self.of, self._source)
        self.maps = sliced(self.volume, self.of)
        self._remembered = reader.remembered

    @property
    def extent(self) -> Extent:
        """Of all maps of the layer: what all its pages are drawn to."""
        return self._once("extent", lambda: Extent.of(self.maps))

    @property
    def known_extent(self) -> Extent | None:
        """The same, if it was read or told before."""
        found: Extent | None = self._remembered.get(("extent", self.of), self._source)
        return found

    def tell(self, extent: Extent) -> None:
        """The extent, found on the way."""
        self._remembered.put(("extent", self.of), self._source, extent)

    @property
    def means(self) -> Tensor:
        """(channels,): the mean of the finite numbers of each."""
        return self._once("means", lambda: finite_means(self.maps))

    def _once(self, name: str, read: Callable[[], _T]) -> _T:
        found: _T | None = self._remembered.get((name, self.of), self._source)
        if found is None:
            found = read()
            self._remembered.put((name, self.of), self._source, found)
        return found


def _drawn(tile: NDArray[np.floating], shown: _Shown, by_channel: bool) -> Picture:
    """A page of maps, to the scale of all maps of the layer or of each channel."""
    if by_channel:
        return signed_picture(tile, per_channel=True)
    if len(tile) == len(shown.maps) and shown.known_extent is None:
        # All of them: the strongest of the pixels is that of the layer, unless what is no number
        # hides others from their pixel.
        picture = signed_picture(tile)
        if not picture.nonfinite:
            shown.tell(Extent(picture.range[1], True))
            return picture
    extent = shown.extent
    return signed_picture(tile, extent.largest, is_within=extent.is_finite)


def _page_size(size: Any, count: int, maps: Tensor) -> tuple[int, int]:
    """(height, width) of the pictures: what was asked for, in a message of bearable size."""
    wanted = min(int(size[0]), maps.shape[1]), min(int(size[1]), maps.shape[2])
    return fitting_size(max(1, count), max(1, wanted[0]), max(1, wanted[1]))
