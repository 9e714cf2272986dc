"""SampleGallery: samples as a grid, with what the model predicts for them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import torch
import traitlets
from torch import nn

from explain_widgets.export.gallery import Captioned, gallery_figure
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import Samples
from explain_widgets.widgets.explorer import Explorer, bundle
from explain_widgets.widgets.gallery.answers import GalleryAnswers
from explain_widgets.widgets.gallery.cards import Value
from explain_widgets.widgets.gallery.pages import Asked, Page, whole
from explain_widgets.widgets.gallery.ranking import ORDERS, Order, View, is_wrong
from explain_widgets.widgets.gallery.words import caption, card_text
from explain_widgets.widgets.layers import in_range

_MOST_PER_PAGE = 200
_SIZES = (16, 512)
# The still picture of a saved notebook is drawn before the widget is shown: it must be quick.
_STILL_SECONDS = 0.5
_MOST_NAMED = 12
_VIEW = ("order", "descending", "label", "prediction", "wrong_only")


class SampleGallery(Explorer):
    """Shows samples as a grid of pictures, texts or rows, with what is predicted for each.

    Parameters
    ----------
    model
        A `LiveModel`; a model to make one of with ``samples`` and the options of `LiveModel`; or
        samples alone, as `Samples` takes them, or a `Samples`: then nothing is predicted, and
        texts and PIL images need no tokenizer or transform.
    samples, **options
        As for `LiveModel`, or (samples alone) for `Samples`: ``labels``, ``class_names``,
        ``denormalize``, …; and any trait below, to begin with.

    Notes
    -----
    The predicted class is the one of the largest class score (logit); its probability is the
    softmax, unless the model itself returns probabilities; the loss is the cross-entropy against
    the label. Sorting or filtering by these runs the model for all samples, once, and can be
    stopped. Data of unknown length (a generator, an iterable dataset) is read only as far as pages
    are asked for.

    Examples
    --------
    >>> import ipywidgets, torch, explain_widgets as xw
    >>> layer = torch.nn.TransformerEncoderLayer(16, 4, batch_first=True)
    >>> gallery = xw.SampleGallery(xw.LiveModel(layer, torch.randn(3, 7, 16)))
    >>> explorer = xw.AttentionExplorer(gallery.live)
    >>> link = ipywidgets.link((gallery, "sample"), (explorer, "sample"))
    >>> gallery.sample = 2
    >>> explorer.sample
    2
    """

    _esm = bundle("gallery.js")
    _css = bundle("gallery.css")

    picked: Any = traitlets.List(traitlets.Int()).tag(sync=True)
    """Indices of all picked samples, `sample` among them."""

    page = traitlets.Int(0).tag(sync=True)
    """Which page is shown, from 0."""

    per_page = traitlets.Int(24).tag(sync=True)
    """Samples on a page, 1 to 200."""

    size = traitlets.Int(None, allow_none=True).tag(sync=True)
    """Longer side of the pictures on the screen in pixels, 16 to 512; None: as fits them."""

    order = traitlets.Enum(ORDERS, "index").tag(sync=True)
    """``"index"``, ``"label"``, ``"prediction"``, ``"confidence"`` or ``"loss"``."""

    descending = traitlets.Bool(False).tag(sync=True)
    """Whether the largest comes first."""

    label: Any = traitlets.Union(
        [traitlets.Int(), traitlets.Float(), traitlets.Unicode()],
        default_value=None,
        allow_none=True,
    ).tag(sync=True)
    """Only samples of this label: its value, or the name of its class; None: of any."""

    prediction: Any = traitlets.Union(
        [traitlets.Int(), traitlets.Unicode()], default_value=None, allow_none=True
    ).tag(sync=True)
    """Only samples for which this class is predicted: its index or name; None: any."""

    wrong_only = traitlets.Bool(False).tag(sync=True)
    """Only samples whose predicted class is not their label."""

    _answers: GalleryAnswers

    def __init__(self, model: Any, samples: Any = None, **options: Any) -> None:
        # The names of traits that are being set together: of these none follows from another.
        self._told = frozenset(options)
        super().__init__(model, samples, **options)
        self._told = frozenset()

    def _open(
        self, model: Any, samples: Any, options: dict[str, Any]
    ) -> tuple[Samples, LiveModel | None]:
        if isinstance(model, LiveModel | nn.Module):
            return super()._open(model, samples, options)
        if samples is not None:
            raise TypeError(
                f"model must be a LiveModel or a torch.nn.Module, not {type(model).__name__}; "
                "samples alone come first: SampleGallery(samples, labels=…)."
            )
        if not isinstance(model, Samples):
            return Samples(model, shown_only=True, **options), None
        if options:
            raise TypeError(f"Samples are made already: pass {', '.join(options)} to Samples(...).")
        return model, None

    def _make_answers(self) -> GalleryAnswers:
        return GalleryAnswers(self.samples, self.live, self._home)

    def _prepare(self) -> None:
        # At home, where it is seen whether reading draws random numbers.
        if self.samples.count != 0:
            self._answers.pages.cards.read_label(0)

    @traitlets.default("picked")
    def _pick_sample(self) -> list[int]:
        return [self.sample]

    def data(self) -> dict[str, Any]:
        """What is on the page; runs what it needs.

        Returns
        -------
        dict
            ``indices``: list of the samples; ``labels``: list of their labels (None: none);
            ``predictions``: list of the predicted classes (None: none; the value of a model that
            returns a single number); ``probabilities``, ``losses``: (samples,) float64, NaN where
            there are none; ``picked``: list of all picked samples, on whatever page.
        """
        page = self._read()
        found = page.predictions
        return {
            "indices": page.indices,
            "labels": [card.label.value for card in page.cards],
            "predictions": [None if one is None else one.answer for one in found],
            "probabilities": _vector([None if one is None else one.probability for one in found]),
            "losses": _vector([None if one is None else one.loss for one in found]),
            "picked": list(self.picked),
        }

    def figure(self) -> matplotlib.figure.Figure:
        """The page as a matplotlib figure of pictures with captions."""
        return self._figure(self._read())

    def _still_figure(self) -> matplotlib.figure.Figure:
        return self._figure(self._read(time.monotonic() + _STILL_SECONDS))

    def _figure(self, page: Page) -> matplotlib.figure.Figure:
        captioned = [
            Captioned(
                card.image,
                card.problem or card_text(card),
                caption(card, found, self.samples, self.order == "loss"),
                is_wrong(card.label, found),
            )
            for card, found in zip(page.cards, page.predictions, strict=True)
        ]
        return gallery_figure(captioned, self._answers.heading(page, self._view()))

    def _view(self) -> View:
        return View(**{name: getattr(self, name) for name in _VIEW})

    def _read(self, until: float = math.inf) -> Page:
        asked = Asked(self._view(), self.page, self.per_page, until=until)
        return whole(self._answers.pages.steps(asked), until)

    # Traits.

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take in what the browser sets."""
        self._told = frozenset(sync_data)
        try:
            super().set_state(sync_data)
        finally:
            self._told = frozenset()

    @traitlets.validate("page")
    def _check_page(self, proposal: Any) -> int:
        return in_range("page", proposal["value"], self._page_count())

    def _page_count(self) -> int:
        """How many pages there are to turn to (one more than read, where the end is unknown)."""
        count = self._answers.pages.count(self._view())
        if count is None:
            count = self._answers.pages.there + self.per_page * (self.samples.count is None)
        return max(1, math.ceil(count / self.per_page))

    @traitlets.validate("per_page")
    def _check_per_page(self, proposal: Any) -> int:
        return _between("per_page", proposal["value"], 1, _MOST_PER_PAGE)

    @traitlets.validate("size")
    def _check_size(self, proposal: Any) -> int | None:
        value = proposal["value"]
        return None if value is None else _between("size", value, *_SIZES)

    @traitlets.validate("picked")
    def _check_picked(self, proposal: Any) -> list[int]:
        count = self._count_samples()
        picked = [in_range("picked", index, count) for index in proposal["value"]]
        return list(dict.fromkeys(picked)) or [self.sample]

    @traitlets.validate("order")
    def _check_order(self, proposal: Any) -> Order:
        order: Order = proposal["value"]
        if View(order).needs_predictions:
            self._check_predicts("order")
        return order

    @traitlets.validate("wrong_only")
    def _check_wrong_only(self, proposal: Any) -> bool:
        if proposal["value"]:
            self._check_predicts("wrong_only")
        return bool(proposal["value"])

    @traitlets.validate("label")
    def _check_label(self, proposal: Any) -> Value | None:
        choices = self._answers.label_choices()
        is_complete = self._answers.knows_all_labels()
        return _chosen("label", proposal["value"], choices, is_complete)

    @traitlets.validate("prediction")
    def _check_prediction(self, proposal: Any) -> int | None:
        value = proposal["value"]
        if value is None:
            return None
        self._check_predicts("prediction")
        count = self._answers.pages.predictions.count
        if isinstance(value, str):
            choices = self._answers.prediction_choices()
            return int(_chosen("prediction", value, choices, is_complete=True) or 0)
        # A message of the browser must not wait for a run: it is checked where the model has run.
        return in_range("prediction", value, count) if count > 1 else value

    def _check_predicts(self, what: str) -> None:
        """Raise a TraitError where it is known that the model predicts nothing."""
        pages = self._answers.pages
        if self._home.is_current() and pages.predictions.count == 0 and self.samples.count != 0:
            pages.predict(0)
        if pages.predictions.none:
            raise traitlets.TraitError(f"{what}: {pages.predictions.none}.")

    @traitlets.observe(*_VIEW)
    def _turn_to_the_first(self, change: Any) -> None:
        if "page" not in self._told:
            self.page = 0

    @traitlets.observe("per_page")
    def _keep_the_place(self, change: Any) -> None:
        if "page" not in self._told:
            self.page = min(self.page * change["old"] // change["new"], self._page_count() - 1)

    @traitlets.observe("sample")
    def _turn_to_sample(self, change: Any) -> None:
        if self.sample not in self.picked:
            self.picked = [self.sample]
        place = self._answers.pages.place(self.sample, self._view())
        if "page" not in self._told and place is not None:
            self.page = place // self.per_page

    @traitlets.observe("picked")
    def _pick_last(self, change: Any) -> None:
        if self.sample not in self.picked:
            self.sample = self.picked[-1]


def _between(what: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise traitlets.TraitError(f"{what} must be {low} to {high}, not {value}.")
    return value


def _chosen(
    what: str, value: Any, choices: Sequence[tuple[Any, str]], is_complete: bool
) -> Value | None:
    """The value of what is chosen by value or by name; a TraitError names what there is."""
    if value is None or any(value == known for known, _ in choices):
        return value
    by_name = next((known for known, name in choices if name == value), None)
    if by_name is None and is_complete:
        names = [name for _, name in choices]
        some = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
        raise traitlets.TraitError(f"{what} must be one of {some or 'none'}, not {value!r}.")
    return value if by_name is None else by_name


def _vector(numbers: list[float | None]) -> torch.Tensor:
    known = [math.nan if number is None else number for number in numbers]
    return torch.tensor(known, dtype=torch.float64)
