"""AttentionExplorer: which token looks where, in any head of any layer."""

from __future__ import annotations

import contextlib
from typing import Any

import matplotlib.figure
import traitlets
from torch import Tensor

from explain_widgets.analysis.attention import Head
from explain_widgets.export.figures import attention_figure
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.attention.ablation import HeadAblation, checked
from explain_widgets.live.errors import ComparisonError
from explain_widgets.live.model import LiveModel
from explain_widgets.pictures.colormaps import DIVERGING
from explain_widgets.pictures.quantise import SCALES
from explain_widgets.widgets.attention.answers import (
    MOST_PIXELS,
    fitting,
    row_and_column,
    work_at_once,
)
from explain_widgets.widgets.attention.columns import GRID_BY, WEIGHTS
from explain_widgets.widgets.attention.comparison import (
    COMPARISONS,
    ComparisonAnswers,
    Place,
    checked_other,
    compared_figure,
)
from explain_widgets.widgets.attention.lens import MEASURES, UNITS, Lens
from explain_widgets.widgets.attention.statistics import HeadTable, table_figure
from explain_widgets.widgets.attention.words import place_title, reduction, sampled, texts
from explain_widgets.widgets.explorer import bundle, sample_count
from explain_widgets.widgets.layers import LayerExplorer, in_range
from explain_widgets.widgets.targets import TargetTrait, sent_target

VIEWS = ("matrix", "lines", "text", "table")
# The still picture of a saved notebook is drawn before the widget is shown: it must be quick.
_STILL_PIXELS = 96


class AttentionExplorer(LayerExplorer):
    """Shows where tokens look, for every attention call of a live model.

    Parameters
    ----------
    model
        A `LiveModel`, or a model to make one of with ``samples`` and the options of `LiveModel`.
    samples, **options
        As for `LiveModel`; and any trait below, to begin with.
    other
        Another model to compare with (before and after a training, say): a `LiveModel`, or a model
        that is given the same samples.

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

    head = traitlets.Union([traitlets.Int(), traitlets.Enum(["mean", "max"])], default_value=0).tag(
        sync=True
    )
    """Index of the head, or ``"mean"`` or ``"max"`` over all heads of the layer."""

    query = traitlets.Int(0, allow_none=True).tag(sync=True)
    """Position of the picked token, or None: where it looks (as a query) and who looks at it."""

    view = traitlets.Enum(VIEWS, "matrix").tag(sync=True)
    """``"matrix"``, ``"lines"`` or ``"text"`` of the picked head, or the ``"table"`` of all heads'
    statistics."""

    grid_by = traitlets.Enum(GRID_BY, WEIGHTS).tag(sync=True)
    """What colours the grid of all heads: ``"weights"``, or a statistic of
    `HeadStatistics`: ``"entropy"``, ``"distance"``, ``"first"``, ``"last"``, ``"sink"``,
    ``"previous"``, ``"same"``, ``"following"``, ``"induction"``."""

    scale = traitlets.Enum(SCALES, "linear").tag(sync=True)
    """``"linear"``, ``"log"``, or ``"row"``: each row by its own largest weight."""

    padding = traitlets.Bool(False).tag(sync=True)
    """Whether padded positions are shown."""

    measure = traitlets.Enum(MEASURES, "weights").tag(sync=True)
    """``"weights"``; ``"value-weighted"``: weights times the lengths of the values, α‖v‖
    (Kobayashi et al. 2020); or ``"gradient"``: weights times the gradient of `target` by them,
    where it is positive (Chefer et al. 2021)."""

    target = TargetTrait()
    """What ``measure="gradient"`` differentiates: the index of a class, None: the predicted one,
    or a callable from the model's output to a scalar."""

    units = traitlets.Enum(UNITS, "tokens").tag(sync=True)
    """``"tokens"``, or tokens grouped into ``"words"`` or ``"sentences"``: `query` counts these."""

    hide_sinks = traitlets.Bool(False).tag(sync=True)
    """Whether the first token, separators and punctuation are hidden and the rest rescaled."""

    ablated: Any = traitlets.List().tag(sync=True)
    """Heads that are taken out of the forward: lists [layer, head, how] of the index of the layer,
    the index of the head, and ``"zero"`` or ``"mean"`` (over positions). The model is untouched."""

    compared: Any = traitlets.Any(None, allow_none=True).tag(sync=True)
    """What is compared with what is shown, or None: [sample, layer, head], with the model as a
    fourth (0: this one, 1: ``other``), or a dict of these. A None among them follows what is
    shown: {"model": 1} is always the same place in the other model."""

    comparison = traitlets.Enum(COMPARISONS, "side").tag(sync=True)
    """``"side"``: both matrices side by side; ``"difference"``: what is shown − what is
    compared."""

    difference_colormap = traitlets.Unicode("RdBu_r").tag(sync=True)
    """Any diverging colour map of matplotlib, by name: its middle is zero."""

    difference_colormaps = traitlets.List(traitlets.Unicode(), list(DIVERGING)).tag(sync=True)
    """What the menu of colour maps of differences offers."""

    other_model = traitlets.Bool(False).tag(sync=True)
    """Whether there is another model to compare with."""

    _answers: ComparisonAnswers

    def __init__(
        self, model: Any, samples: Any = None, *, other: Any = None, **options: Any
    ) -> None:
        self._given_other = other
        self.other: LiveModel | None = None
        super().__init__(model, samples, **options)

    @property
    def layers(self) -> list[AttentionLayer]:
        """The attention calls of the current sample, then the rollouts and flows over them."""
        # A message of the browser arrives in another thread and must not wait for a forward: it
        # is checked against the layers that were read last.
        if self.live.is_home:
            self._answers.layers = self._answers.lenses.layers(self.sample)
        return self._answers.layers

    @property
    def layer_names(self) -> list[str]:
        """The names of `layers`, in order."""
        return [layer.name for layer in self.layers]

    def _make_answers(self) -> ComparisonAnswers:
        given = self._given_other
        if given is not None:
            self.other = given if isinstance(given, LiveModel) else self.live.with_model(given)
        self.other_model = self.other is not None
        return ComparisonAnswers(self.live, self.other)

    def close(self) -> None:
        """Close the widget and give back what it holds (live models of one's own stay)."""
        other = self.__dict__.get("other")  # what failed to be made has none
        if other is not None and other is not self._given_other:
            other.close()
        super().close()

    def _prepare(self) -> None:
        self.layer_name = self.layers[0].name
        self.query = self._first_word()

    def _first_word(self) -> int:
        """The first token that stands for text, else the first position."""
        tokens = self.live.samples[self.sample].tokens or []
        position = next((i for i, token in enumerate(tokens) if not token.special), 0)
        return min(position, self.layers[0].queries - 1)

    def data(self) -> dict[str, Any]:
        """What is shown now.

        Returns
        -------
        dict
            ``weights``: (queries, keys) of the picked layer and head, exact, on the model's device;
            ``from``: (keys,), where the picked query looks; ``to``: (queries,), who looks at it
            (both None without a query); ``query_tokens``, ``key_tokens``: lists of text, or None.
            While two are compared also ``other``: the weights of the other one, its
            ``other_query_tokens`` and ``other_key_tokens``, and ``difference``: weights − other.
            While the table is shown also ``statistics``: a list of `HeadSummary` of all heads, as
            looked at, without what single keys receive; of long inputs from some of the queries
            (``every``).

        Raises
        ------
        ComparisonError
            When what is compared is of another length.
        """
        attention = self._answers.lenses.attention(self.layer, self.sample, self._lens())
        layer = self._answers.lenses.layers(self.sample)[self.layer]
        sides = self._answers.lenses.axes(layer, self.sample, self._lens())
        weights = attention.weights(self.head)
        return {
            "weights": weights,
            **row_and_column(attention, self.head, self.query),
            "query_tokens": texts(sides[0].tokens),
            "key_tokens": texts(sides[1].tokens),
            **({} if self.compared is None else self._other_data(weights)),
            **({"statistics": self._table().heads} if self.view == "table" else {}),
        }

    def _other_data(self, weights: Tensor) -> dict[str, Any]:
        look = self._answers.pair(self._compared_selection()).other
        other = look.attention.weights(look.head).to(weights)
        queries, keys = (texts(axis.tokens) for axis in look.axes)
        return {
            "other": other,
            "other_query_tokens": queries,
            "other_key_tokens": keys,
            "difference": weights - other,
        }

    def _compared_selection(self, most_pixels: int = MOST_PIXELS) -> dict[str, Any]:
        """What a `compare` request of the browser would ask for now."""
        place = Place(self.sample, self.layer, self.head)
        asked = {name: getattr(self, name) for name in ("query", "padding", "scale", "comparison")}
        other = vars(Place.of(self.compared, place))
        size = (most_pixels, most_pixels)
        return {**vars(place), **asked, "size": size, "lens": self._sent_lens(), "other": other}

    def figure(self) -> matplotlib.figure.Figure:
        """The matrix of the picked layer and head as a matplotlib figure.

        While two are compared: both, and their difference. More than 512 positions on a side are
        pooled to 512 pixels (mean), as the title then says.
        While the table is shown: a heat map of layers × heads of the statistic `grid_by`, of the
        entropy where that is ``"weights"``; hatched where it does not apply.
        """
        if self.view == "table":
            return self._table_figure()
        if self.compared is not None:
            return self._compared_figure(MOST_PIXELS)
        return self._figure(MOST_PIXELS)

    def _table(self, quick: bool = False) -> HeadTable:
        selection = {"sample": self.sample, "padding": self.padding}
        return self._answers.head_table({**selection, "lens": self._sent_lens()}, quick)

    def _table_figure(self, quick: bool = False) -> matplotlib.figure.Figure:
        table, sample = self._table(quick), self.live.samples[self.sample].title
        return table_figure(table, self.grid_by, sample, self._lens(), self.colormap)

    def _still_figure(self) -> matplotlib.figure.Figure:
        if self.view == "table":
            return self._table_figure(quick=True)
        if self.compared is not None:
            with contextlib.suppress(ComparisonError):
                return self._compared_figure(_STILL_PIXELS, quick=True)
        return self._figure(_STILL_PIXELS, quick=True)

    def _compared_figure(self, most_pixels: int, quick: bool = False) -> matplotlib.figure.Figure:
        selection = self._compared_selection(most_pixels)
        maps = self.colormap, self.difference_colormap
        return compared_figure(self._answers, selection, maps, quick)

    def _figure(self, most_pixels: int, quick: bool = False) -> matplotlib.figure.Figure:
        lens = self._lens()
        attention = self._answers.lenses.attention(self.layer, self.sample, lens)
        layer = self._answers.lenses.layers(self.sample)[self.layer]
        sides = self._answers.lenses.axes(layer, self.sample, lens, self.padding)
        rows, keys = sides[0].shown, sides[1].shown
        size = fitting(rows, most_pixels), fitting(keys, most_pixels)
        every = 1
        if quick and 2 * attention.queries * attention.keys > work_at_once(self.live.device):
            every = max(1, (rows[1] - rows[0]) // size[0])
        weights = attention.tile(self.head, rows, keys, size, every=every).float().cpu().numpy()
        labels = [side.labels(pixels) for side, pixels in zip(sides, size, strict=True)]
        title = place_title(attention, self.head, self.live.samples[self.sample])
        measured = attention.origin if lens.measure == "gradient" else ""
        said = [measured, lens.note, reduction(rows, keys, size), sampled(every)]
        title += "".join(f"\n{part}" for part in said if part)
        unit = lens.unit(attention.source)
        return attention_figure(
            weights, labels[0], labels[1], title, self.scale, self.colormap, unit
        )

    def _lens(self) -> Lens:
        ablated = tuple(HeadAblation(*one) for one in self.ablated)
        target = sent_target(self.target) if self.measure == "gradient" else None
        return Lens(self.measure, self.units, self.hide_sinks, ablated, target)

    def _sent_lens(self) -> dict[str, Any]:
        names = ("measure", "units", "hide_sinks", "ablated")
        return {name: getattr(self, name) for name in names} | {"target": sent_target(self.target)}

    # Traits.

    @traitlets.validate("head")
    def _check_head(self, proposal: Any) -> Head:
        value: Head = proposal["value"]
        return value if isinstance(value, str) else in_range("head", value, self._heads())

    @traitlets.validate("query")
    def _check_query(self, proposal: Any) -> int | None:
        value = proposal["value"]
        layer = self.layers[self.layer]
        # In cross-attention a key may be picked as well, to see who looks at it.
        positions = max(layer.queries, layer.keys)
        return None if value is None else in_range("query", value, positions)

    @traitlets.validate("ablated")
    def _check_ablated(self, proposal: Any) -> list[Any]:
        try:
            calls = [layer for layer in self.layers if not layer.is_derived]
            checked(proposal["value"], {layer.name: layer.heads for layer in calls})
        except (TypeError, ValueError) as error:
            raise traitlets.TraitError(str(error)) from error
        return [list(one) for one in proposal["value"]]

    @traitlets.validate("compared")
    def _check_compared(self, proposal: Any) -> list[Any] | None:
        if proposal["value"] is None:
            return None
        lives = [self.live, *([] if self.other is None else [self.other])]
        layers = [self.layers, *(side.layers for side in self._answers.others[1:])]
        return checked_other(
            proposal["value"],
            [sample_count(live.samples) for live in lives],
            [[layer.heads for layer in found] for found in layers],
        )

    @traitlets.validate("difference_colormap")
    def _check_difference_colormap(self, proposal: Any) -> str:
        return self._check_colormap(proposal)

    @traitlets.observe("layer")
    def _keep_head(self, change: Any) -> None:
        if not isinstance(self.head, str):
            self.head = min(self.head, self._heads() - 1)

    @traitlets.observe("target")
    def _give_target(self, change: Any) -> None:
        if callable(self.target):
            self._answers.set_target(self.target)
            # Another function is sent by the same word as the one before.
            self.send({"notice": "stale"})

    @traitlets.observe("sample")
    def _sample_changed(self, change: Any) -> None:
        if self.query is not None and self.live.is_home:
            layer = self.layers[min(self.layer, len(self.layers) - 1)]
            self.query = min(self.query, max(layer.queries, layer.keys) - 1)

    def _heads(self) -> int:
        return self.layers[self.layer].heads
