"""The maps of a layer as they are asked for: what is shown, in which order, at which scale."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from explain_widgets.analysis.channels import (
    ORDERS,
    Order,
    channel_scores,
    histogram,
    histogram_edges,
    ranked,
)
from explain_widgets.analysis.feature_maps import Layout, maps_of
from explain_widgets.analysis.filters import Filters
from explain_widgets.live.freshness import version
from explain_widgets.live.model import LiveModel
from explain_widgets.live.muting import Mute

Show: TypeAlias = Literal["activation", "gradient", "activation_x_gradient", "filters"]
MapScale: TypeAlias = Literal["layer", "channel"]
SHOWN, MAP_SCALES = get_args(Show), get_args(MapScale)

MOST_SAMPLES = 64
"""Samples that the variance of channels is taken over."""

_BINS = 24
_MOST_REMEMBERED = 256

NAMES: dict[str, str] = {
    "activation": "activation",
    "gradient": "gradient of the target",
    "activation_x_gradient": "activation × gradient",
    "filters": "filter",
}


@dataclass(frozen=True)
class MapsOf:
    """What maps are of: the place in the model, and what of it.

    Attributes
    ----------
    sample, layer
        Index of the sample, name of the layer's call.
    entry
        Of several tensors in its output, the one by this name; "": the first.
    layout
        Name of the layout, or "" for the one that is chosen for it.
    show
        What is shown of it.
    target
        Of gradients: a class, or None: the predicted one.
    slice
        Of volumes: which slice.
    muted
        Channels that are taken out of the forward.
    """

    sample: int
    layer: str
    entry: str = ""
    layout: str = ""
    show: Show = "activation"
    target: int | None = None
    slice: int = 0
    muted: tuple[Mute, ...] = ()


class Remembered:
    """A few numbers about large tensors, as long as these are there and unchanged."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[weakref.ref[Tensor], int, Any]] = OrderedDict()

    def get(self, key: Hashable, source: Tensor | None) -> Any:
        """What is known of ``source`` under this key; None: nothing, or no longer."""
        known = self._known.get(key)
        if known is None or source is None or known[0]() is not source:
            return None
        return known[2] if known[1] == version(source) else None

    def put(self, key: Hashable, source: Tensor | None, numbers: Any) -> None:
        """Keep numbers about ``source``, and forget the oldest of many."""
        if source is not None:
            self._known[key] = weakref.ref(source), version(source), numbers
            while len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)


class MapReader:
    """Reads maps from a live model; all are views of what it keeps.

    Parameters
    ----------
    live
        The model.
    """

    def __init__(self, live: LiveModel) -> None:
        self._live = live
        self.remembered = Remembered()

    def of(self, selection: dict[str, Any]) -> MapsOf:
        """What a selection of the browser is about, whose layer is an index into those with maps.

        Raises
        ------
        IndexError, ValueError
            When there is no such layer, or nothing of this name to show.
        """
        sample, index = int(selection["sample"]), int(selection["layer"])
        layers = self._live.feature_layers(sample)
        if not 0 <= index < len(layers):
            raise IndexError(
                f"layer {index} is out of range: there are {len(layers)} (0 to {len(layers) - 1})."
            )
        show = selection.get("show", "activation")
        if show not in SHOWN:
            raise ValueError(f"There is nothing to show called {show!r}.")
        return MapsOf(
            sample,
            layers[index].name,
            str(selection.get("entry") or ""),
            str(selection.get("map_layout") or ""),
            show,
            selection.get("target"),
            int(selection.get("slice") or 0),
            tuple(Mute(*one) for one in selection.get("muted", ())),
        )

    def layout(self, of: MapsOf) -> Layout:
        """How the activation is laid out."""
        return self._live.layout(of.layer, of.sample, of.entry or None, of.layout or None)

    def maps(self, of: MapsOf) -> Tensor:
        """(channels, height, width) of the slice that is looked at."""
        return sliced(self.volume(of), of)

    def source(self, of: MapsOf) -> Tensor | None:
        """The tensor that the live model keeps and the maps are a view of; None: there is none."""
        if of.show == "activation":
            return self._activation(of)
        return self._gradient(of) if of.show == "gradient" else None

    def volume(self, of: MapsOf, source: Tensor | None = None) -> Tensor:
        """(channels, slices, height, width); of filters a slice is one input that they see.

        ``source``: that of `source`, where it has been read.
        """
        if of.show == "filters":
            weights = self.filters(of).weights
            return weights.flatten(1, 2)
        layout = self.layout(of)
        kept = self.source(of) if source is None else source
        if kept is not None:
            return maps_of(kept, layout)
        gradient, activation = (
            maps_of(tensor, layout) for tensor in (self._gradient(of), self._activation(of))
        )
        return activation.to(gradient.dtype) * gradient

    def filters(self, of: MapsOf) -> Filters:
        """The weights of the layer; LayerError where it has none of that kind."""
        return self._live.filters(of.layer)

    def words(self, of: MapsOf) -> str:
        """What the maps are, in words."""
        return self.filters(of).words if of.show == "filters" else self.layout(of).words

    def name(self, of: MapsOf, channel: int) -> str:
        """A channel in words."""
        if of.show == "filters":
            return f"filter {channel}"
        return self.layout(of).channel_name(channel)

    def is_there(self, of: MapsOf, order: Order) -> bool:
        """Whether maps are sure to be shown in this order without running the model."""
        if of.show == "filters" or order == "variance" or of.muted:
            return False
        entry = of.entry or None
        if not self._live.has_activation(of.layer, of.sample, entry):
            return False
        needs_gradient = of.show != "activation" or order == "activation_x_gradient"
        return not needs_gradient or self._live.has_gradient(of.layer, of.sample, of.target, entry)

    def scores(self, of: MapsOf, order: Order, volume: Tensor) -> Tensor:
        """(channels,): the number by which each channel of its `volume` is ordered.

        See `channel_scores`.
        """
        if order not in ORDERS:
            raise ValueError(f"There is no order {order!r}: write {', '.join(ORDERS)}.")
        if of.show == "filters":
            return self.filters(of).norms if order == "index" else _weights(volume, order)
        if order == "activation_x_gradient":
            layout = self.layout(of)
            values, gradient = (
                maps_of(tensor, layout) for tensor in (self._activation(of), self._gradient(of))
            )
            return channel_scores(values, order, gradient)
        return channel_scores(volume, order)

    def variance_steps(self, of: MapsOf) -> Iterator[Tensor | None]:
        """The variance of each channel's mean over samples; Nones while samples are read."""
        means = []
        for sample in range(self._of_samples()[0]):
            other = MapsOf(sample, of.layer, of.entry, of.layout)
            means.append(
                maps_of(self._activation(other), self.layout(other)).float().mean((1, 2, 3))
            )
            yield None
        sizes = {len(one) for one in means}
        if len(sizes) > 1:
            raise ValueError(
                "The variance over samples is of channels that all samples have: their numbers "
                "differ here."
            )
        yield channel_scores(self.volume(of), "variance", means=torch.stack(means))

    def said_of_order(self, of: MapsOf, order: Order) -> str:
        """Over what channels are ordered where that is more than what is shown; else ""."""
        if order != "variance" or of.show == "filters":
            return ""
        few, count = self._of_samples()
        which = f"all {few:,}" if few == count else f"the first {few:,} of {count:,}"
        return f"variance over {which} samples"

    def _of_samples(self) -> tuple[int, int]:
        """Over how many samples the variance is, and of how many."""
        samples = self._live.samples
        count = samples.read_so_far if samples.count is None else samples.count
        return min(count, MOST_SAMPLES), count

    def order(self, of: MapsOf, scores: Tensor, order: Order) -> Tensor:
        """(channels,): the channels, largest score first; of filters by index the first first."""
        if order == "index":
            return torch.arange(len(scores), device=scores.device)
        return ranked(scores)

    def _activation(self, of: MapsOf) -> Tensor:
        return self._live.activation(of.layer, of.sample, of.entry or None, mute=of.muted)

    def _gradient(self, of: MapsOf) -> Tensor:
        return self._live.gradient(of.layer, of.sample, of.target, of.entry or None)


def sliced(volume: Tensor, of: MapsOf) -> Tensor:
    """(channels, height, width): the slice of a volume that is looked at."""
    return volume[:, min(of.slice, volume.shape[1] - 1)]


def _weights(volume: Tensor, order: Order) -> Tensor:
    if order in ("variance", "activation_x_gradient"):
        raise ValueError("Filters are ordered by index, mean, maximum or share of zeros.")
    return channel_scores(volume, order)


def binned(values: Tensor) -> tuple[Tensor, Tensor]:
    """The histogram of one channel: borders of its bins, and how many numbers are in each.

    Examples
    --------
    >>> edges, counts = binned(torch.tensor([[-1.0, 0.0], [0.5, 3.0]]))
    >>> float(edges[0]), float(edges[-1]), int(counts.sum())
    (-1.0, 3.0, 4)
    """
    edges = histogram_edges(values, _BINS)
    return edges, histogram(values, edges)


def picked(maps: Tensor, channel: int) -> Tensor:
    """(height, width) of one channel of (channels, height, width); IndexError: there is none."""
    if not 0 <= channel < len(maps):
        raise IndexError(
            f"channel {channel} is out of range: there are {len(maps)} (0 to {len(maps) - 1})."
        )
    return maps[channel]
