"""What answers the requests of sample galleries; see docs/protocol.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from explain_widgets.live.home import Home
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import Samples
from explain_widgets.pictures.thumbnails import Thumbnails, thumbnails
from explain_widgets.widgets.answers import Answers
from explain_widgets.widgets.gallery.pages import Asked, Page, Pages, Progress
from explain_widgets.widgets.gallery.ranking import Order, View
from explain_widgets.widgets.gallery.words import (
    card_message,
    class_text,
    heading,
    label_texts,
    notes,
    prediction_message,
)
from explain_widgets.widgets.protocol import Reply

# Hosts cap messages at a few megabytes.
_MOST_BYTES = 2_000_000
_MOST_CHOICES = 1000


class GalleryAnswers(Answers):
    """Answers from samples, and what a live model (if there is one) predicts for them.

    Attributes
    ----------
    pages
        What reads the pages.
    """

    def __init__(self, samples: Samples, live: LiveModel | None, home: Home) -> None:
        super().__init__(samples)
        self.pages = Pages(samples, live, home)
        self._live = live

    def answer_page(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """One page: first its pictures, then what is predicted for them, as it is read."""
        asked = Asked(
            View.of(selection["view"]),
            int(selection["page"]),
            int(selection["per_page"]),
            int(selection.get("read") or 0),
            bool(selection.get("goes_on", True)),
        )
        pictured: list[int] | None = None
        small = thumbnails([], 1, 1)
        for step in self.pages.steps(asked):
            if isinstance(step, Progress):
                yield Reply(_progress_message(step))
            elif isinstance(step, Page):
                arrays: dict[str, Any] = {}
                if step.indices != pictured:
                    small = _thumbnails(step, int(selection["pixels"]))
                    arrays = {"thumbnails": small.pixels} if small.boxes else {}
                    pictured = step.indices
                yield Reply(self._page_message(step, asked.view, small), arrays)
            if not isinstance(step, Page) or step.progress is not None:
                yield None  # what was found is sent before more is worked out

    def orders(self) -> list[Order]:
        """What there is to order by, as far as was read."""
        found: list[Order] = ["index"]
        has_labels = any(
            label.value is not None for label in list(self.pages.cards.labels.values())
        )
        count = self.pages.predictions.count
        if has_labels:
            found.append("label")
        if count > 0:
            found.append("prediction")
        if count > 1:
            found.append("confidence")
            if has_labels:
                found.append("loss")
        return found

    def label_choices(self) -> list[tuple[Any, str]]:
        """The labels to pick from: those of the classes, else those that were read."""
        named = label_texts(self._samples.class_names)
        if named:
            return named[:_MOST_CHOICES]
        texts: dict[Any, str] = {}
        for label in list(self.pages.cards.labels.values()):
            if isinstance(label.value, float) and not label.value.is_integer():
                return []  # measured, no classes
            if label.value is not None:
                texts.setdefault(label.value, label.text or str(label.value))
        found = sorted(texts.items(), key=lambda item: (isinstance(item[0], str), item[0]))
        return found[:_MOST_CHOICES]

    def prediction_choices(self) -> list[tuple[int, str]]:
        """The classes that may be predicted."""
        count = self.pages.predictions.count
        if not 1 < count <= _MOST_CHOICES:
            return []
        return [(index, class_text(self._samples, index, count)) for index in range(count)]

    def knows_all_labels(self) -> bool:
        """Whether there can be no other labels than `label_choices`."""
        is_read = len(self.pages.cards.labels) == self._samples.count
        return is_read or self._samples.class_names is not None

    def heading(self, page: Page, view: View) -> str:
        """What is on the page, in one line."""
        labels, classes = dict(self.label_choices()), dict(self.prediction_choices())
        chosen = []
        if view.label is not None:
            chosen.append(f"label {labels.get(view.label, view.label)}")
        if view.prediction is not None:
            chosen.append(f"predicted {classes.get(view.prediction, view.prediction)}")
        is_open = self._samples.count is None
        return heading(page, view, self.pages.cards.noun, self.pages.there, is_open, chosen)

    def _page_message(self, page: Page, view: View, small: Thumbnails) -> dict[str, Any]:
        boxes = iter(enumerate(small.boxes))
        choices = self.label_choices(), self.prediction_choices()
        return {
            "heading": self.heading(page, view),
            "page": page.number,
            "total": page.total,
            "count": self._samples.count,
            "there": self.pages.there,
            "cards": [
                card_message(card, None if card.image is None else next(boxes))
                for card in page.cards
            ],
            "predictions": [
                prediction_message(card, found, self._samples)
                for card, found in zip(page.cards, page.predictions, strict=True)
            ],
            "labels": choices[0],
            "classes": choices[1],
            "orders": list(dict.fromkeys([*self.orders(), view.order])),
            "footer": " · ".join(self._notes(page, small)),
            "problem": self._problem(page),
            **_progress_message(page.progress),
        }

    def _notes(self, page: Page, small: Thumbnails) -> Iterator[str]:
        yield from notes(page, small.boxes)
        if self._live is not None and self.pages.predictions.none:
            yield self.pages.predictions.none
        if self._live is not None and self._live.status:
            yield self._live.status

    def _problem(self, page: Page) -> str:
        """What went wrong on the page, in one sentence."""
        if self.pages.unread:
            return f"Reading the data stopped: {self.pages.unread}"
        cards = [card.index for card in page.cards if not card.problem]
        found = [text for index in cards if (text := self.pages.predictions.problem(index))]
        if not found:
            return ""
        return f"No prediction for {len(found)} of {len(page.cards)} samples here: {found[0]}"


def _thumbnails(page: Page, side: int) -> Thumbnails:
    images = [card.image for card in page.cards if card.image is not None]
    return thumbnails(images, side, _MOST_BYTES)


def _progress_message(progress: Progress | None) -> dict[str, Any]:
    if progress is None:
        return {"progress": "", "share": None}
    return {"progress": progress.text, "share": progress.share}
