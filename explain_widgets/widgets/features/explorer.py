"""FeatureExplorer: what every layer makes of a sample, channel by channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.figure
import torch
import traitlets

from explain_widgets.analysis.channels import ORDERS
from explain_widgets.analysis.feature_maps import Layout
from explain_widgets.analysis.mosaic import mosaic
from explain_widgets.export.maps import maps_figure
from explain_widgets.live.errors import ExplainError
from explain_widgets.live.muting import Mute
from explain_widgets.widgets.charts import ChartKind
from explain_widgets.widgets.explorer import bundle
from explain_widgets.widgets.features.answers import FeatureAnswers
from explain_widgets.widgets.features.maps import MAP_SCALES, NAMES, SHOWN, MapsOf
from explain_widgets.widgets.layers import MapsExplorer, in_range

_STILL_MAPS = 64
_STILL_PIXELS = 32
_FIGURE_PIXELS = 128
_PLACE = ("sample", "layer", "entry", "map_layout", "show", "target", "slice", "muted")


class FeatureExplorer(MapsExplorer):
    """Shows the activations of any layer as channels of maps, on the input, with their gradients.

    Parameters
    ----------
    model
        A `LiveModel`, or a model to make one of with ``samples`` and the options of `LiveModel`.
    samples, **options
        As for `LiveModel`; and any trait below, to begin with.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> explorer = xw.FeatureExplorer(torch.nn.Conv2d(3, 6, 5), torch.rand(2, 3, 28, 28))
    >>> explorer.data()["maps"].shape
    torch.Size([6, 24, 24])
    """

    _esm = bundle("features.js")
    _css = bundle("features.css")

    entry = traitlets.Unicode("").tag(sync=True)
    """Of a layer that returns several tensors, the one by this name; "": the first."""

    map_layout = traitlets.Unicode("").tag(sync=True)
    """Name of the layout (``"channels_last"``, …) where another is wanted than the one chosen.

    (``layout`` is what it is of every widget: its place on the page.)"""

    slice = traitlets.Int(0).tag(sync=True)
    """Of volumes: which slice."""

    channel = traitlets.Int(0).tag(sync=True)
    """Index of the channel that is looked at closely."""

    show = traitlets.Enum(SHOWN, "activation").tag(sync=True)
    """``"activation"``, ``"gradient"`` (d target / d activation), ``"activation_x_gradient"``, or
    ``"filters"``: the weights of the layer."""

    target = traitlets.Int(None, allow_none=True).tag(sync=True)
    """Index of the class whose score is differentiated, or None: the predicted one."""

    order = traitlets.Enum(ORDERS, "index").tag(sync=True)
    """By what channels are ordered: ``"index"``, or the largest first by ``"mean"``,
    ``"maximum"``, ``"zeros"`` (share), ``"variance"`` (of the mean, over samples) or
    ``"activation_x_gradient"`` (sum over positions)."""

    scale = traitlets.Enum(MAP_SCALES, "layer").tag(sync=True)
    """Colours by the largest magnitude of the ``"layer"``, or of each ``"channel"``."""

    muted: Any = traitlets.List().tag(sync=True)
    """Channels that are taken out of the forward: lists [layer, channel, how] of the name of the
    layer, the index of the channel and ``"zero"`` or ``"mean"``. The model is untouched."""

    _answers: FeatureAnswers

    def _make_answers(self) -> FeatureAnswers:
        return FeatureAnswers(self.live)

    def _prepare(self) -> None:
        if not self.layers:
            raise ExplainError("No module of this forward returns a tensor that could be shown.")
        self.layer_name = self.layers[0].name

    def data(self) -> dict[str, Any]:
        """What is shown now.

        Returns
        -------
        dict
            ``maps``: (channels, height, width), exact, on the model's device, in the order of
            their indices; ``order``: (channels,) int64, the channels as they are shown; ``scores``:
            (channels,), by what they are ordered; ``map``: (height, width) of the picked channel.
        """
        of = self._maps_of()
        maps = self._answers.reader.maps(of)
        scores = self._scores(of)
        return {
            "maps": maps,
            "order": self._answers.reader.order(of, scores, self.order),
            "scores": scores,
            "map": maps[self.channel],
        }

    def figure(self) -> matplotlib.figure.Figure:
        """The channels, as they are ordered, as a matplotlib figure with a colour bar.

        The first 64 of them; larger maps are pooled, as the title then says.
        """
        return self._figure(_FIGURE_PIXELS)

    def _still_figure(self) -> matplotlib.figure.Figure:
        return self._figure(_STILL_PIXELS)

    def _figure(self, pixels: int) -> matplotlib.figure.Figure:
        of = self._maps_of()
        maps = self._answers.reader.maps(of)
        channels = self._answers.reader.order(of, self._scores(of), self.order)[:_STILL_MAPS]
        tile = mosaic(maps, channels, (pixels, pixels)).float().cpu().numpy()
        said = [f"{of.layer or '(model)'} · {NAMES[of.show]} · {self._answers.reader.words(of)}"]
        if len(channels) < len(maps):
            said.append(f"first {len(channels)} of {len(maps):,} channels")
        if tile.shape[1:] != maps.shape[1:]:
            said.append(f"pooled to {tile.shape[1]} × {tile.shape[2]} pixels, strongest number")
        return maps_figure(
            tile, channels.tolist(), "\n".join(said), self.colormap, self.scale == "channel"
        )

    def _scores(self, of: MapsOf) -> torch.Tensor:
        if self.order != "variance" or of.show == "filters":
            reader = self._answers.reader
            return reader.scores(of, self.order, reader.volume(of))
        *_, scores = self._answers.reader.variance_steps(of)
        assert scores is not None
        return scores

    def _maps_of(self) -> MapsOf:
        return self._answers.reader.of({name: getattr(self, name) for name in _PLACE})

    def _chart_kinds(self) -> dict[str, ChartKind]:
        # bqplot takes seconds to be imported, and most never ask for a chart.
        from explain_widgets.widgets.features.charts import histogram_shown  # noqa: PLC0415
        from explain_widgets.widgets.histogram_chart import HistogramChart  # noqa: PLC0415

        def read() -> Any:
            return histogram_shown(self._answers.reader, self._maps_of(), self.channel)

        return {"histogram": ChartKind(HistogramChart, read, (*_PLACE, "channel"))}

    # Traits.

    @traitlets.validate("channel")
    def _check_channel(self, proposal: Any) -> int:
        return in_range("channel", proposal["value"], self._channels())

    @traitlets.validate("entry")
    def _check_entry(self, proposal: Any) -> str:
        name = str(proposal["value"])
        entries = self.layers[self.layer].entries
        if name and name not in entries:
            raise traitlets.TraitError(f"entry must be one of {', '.join(entries)}, not {name!r}.")
        return name

    @traitlets.validate("map_layout")
    def _check_map_layout(self, proposal: Any) -> str:
        name = str(proposal["value"])
        if name not in self._layouts():
            names = ", ".join(one for one in self._layouts() if one)
            raise traitlets.TraitError(f"map_layout must be one of {names}, not {name!r}.")
        return name

    @traitlets.validate("muted")
    def _check_muted(self, proposal: Any) -> list[Any]:
        try:
            return [list(Mute(*one)[:3]) for one in proposal["value"]]
        except TypeError as error:
            raise traitlets.TraitError(f"muted: {error}") from error

    @traitlets.observe("layer")
    def _keep_channel(self, change: Any) -> None:
        # Entries, layouts and slices are of one layer.
        self.entry, self.map_layout, self.slice = "", "", 0
        self._stay_within(change)

    @traitlets.observe("entry", "map_layout")
    def _stay_within(self, change: Any) -> None:
        self.channel = min(self.channel, self._channels() - 1)

    def _channels(self) -> int:
        layouts = self._layouts()
        return layouts.get(self.map_layout, layouts[""]).channels

    def _layouts(self) -> Mapping[str, Layout]:
        """The layouts of the entry that is looked at, by name."""
        layer = self.layers[self.layer]
        return layer.layouts.get(self.entry, layer.layouts[layer.entry])
