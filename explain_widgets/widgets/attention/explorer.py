"""AttentionExplorer: which token looks where, in any head of any layer."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import traitlets

from explain_widgets.analysis.attention import Head
from explain_widgets.export.figures import attention_figure
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.attention.ablation import HeadAblation, checked
from explain_widgets.pictures.quantise import SCALES
from explain_widgets.widgets.attention.answers import (
    MOST_PIXELS,
    AttentionAnswers,
    fitting,
    row_and_column,
    work_at_once,
)
from explain_widgets.widgets.attention.lens import MEASURES, UNITS, Lens
from explain_widgets.widgets.attention.words import (
    head_name,
    layer_title,
    reduction,
    sampled,
    texts,
)
from explain_widgets.widgets.explorer import bundle
from explain_widgets.widgets.layers import LayerExplorer, in_range

VIEWS = ("matrix", "lines", "text")
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
    """``"matrix"``, ``"lines"`` or ``"text"``."""

    scale = traitlets.Enum(SCALES, "linear").tag(sync=True)
    """``"linear"``, ``"log"``, or ``"row"``: each row by its own largest weight."""

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

    _answers: AttentionAnswers

    @property
    def layers(self) -> list[AttentionLayer]:
        """The attention calls of the current sample, in call order."""
        # A message of the browser arrives in another thread and must not wait for a forward: it
        # is checked against the layers that were read last.
        if self.live.is_home:
            self._answers.layers = self.live.attention_layers(self.sample)
        return self._answers.layers

    @property
    def layer_names(self) -> list[str]:
        """The names of `layers`, in order."""
        return [layer.name for layer in self.layers]

    def _make_answers(self) -> AttentionAnswers:
        return AttentionAnswers(self.live)

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
        """
        attention = self._answers.lenses.attention(self.layer, self.sample, self._lens())
        layer = self.live.attention_layers(self.sample)[self.layer]
        sides = self._answers.lenses.axes(layer, self.sample, self._lens())
        return {
            "weights": attention.weights(self.head),
            **row_and_column(attention, self.head, self.query),
            "query_tokens": texts(sides[0].tokens),
            "key_tokens": texts(sides[1].tokens),
        }

    def figure(self) -> matplotlib.figure.Figure:
        """The matrix of the picked layer and head as a matplotlib figure.

        More than 512 positions on a side are pooled to 512 pixels (mean), as the title then says.
        """
        return self._figure(MOST_PIXELS)

    def _still_figure(self) -> matplotlib.figure.Figure:
        return self._figure(_STILL_PIXELS, quick=True)

    def _figure(self, most_pixels: int, quick: bool = False) -> matplotlib.figure.Figure:
        lens = self._lens()
        attention = self._answers.lenses.attention(self.layer, self.sample, lens)
        layer = self.live.attention_layers(self.sample)[self.layer]
        sides = self._answers.lenses.axes(layer, self.sample, lens, self.padding)
        rows, keys = sides[0].shown, sides[1].shown
        size = fitting(rows, most_pixels), fitting(keys, most_pixels)
        every = 1
        if quick and 2 * attention.queries * attention.keys > work_at_once(self.live.device):
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

    def _lens(self) -> Lens:
        ablated = tuple(HeadAblation(*one) for one in self.ablated)
        return Lens(self.measure, self.units, self.hide_sinks, ablated)

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
            checked(proposal["value"], {layer.name: layer.heads for layer in self.layers})
        except (TypeError, ValueError) as error:
            raise traitlets.TraitError(str(error)) from error
        return [list(one) for one in proposal["value"]]

    @traitlets.observe("layer")
    def _keep_head(self, change: Any) -> None:
        if not isinstance(self.head, str):
            self.head = min(self.head, self._heads() - 1)

    @traitlets.observe("sample")
    def _sample_changed(self, change: Any) -> None:
        if self.query is not None and self.live.is_home:
            layer = self.layers[min(self.layer, len(self.layers) - 1)]
            self.query = min(self.query, max(layer.queries, layer.keys) - 1)

    def _heads(self) -> int:
        return self.layers[self.layer].heads
