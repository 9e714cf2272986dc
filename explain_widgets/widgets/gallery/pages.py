"""Pages of the gallery: read in steps, so that pictures come first and long work can be stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from explain_widgets.analysis.predictions import Prediction
from explain_widgets.live.errors import NeedsHomeThreadError
from explain_widgets.live.home import Home
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import SampleIndexError, Samples
from explain_widgets.widgets.gallery.cards import Card, Cards, Label
from explain_widgets.widgets.gallery.predictions import Predictions
from explain_widgets.widgets.gallery.ranking import View, ranked

_PARTIAL_SECONDS = 0.25
_STEP_SECONDS = 0.02


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes
    ----------
    view
        Which samples, and in which order.
    page, per_page
        Which part of them.
    read
        Of data of unknown length, how many samples are to be read at least.
    goes_on
        Whether to read and run all that the view needs; else with what is there.
    until
        Time (`time.monotonic`) from which on nothing further is begun.
    """

    view: View
    page: int
    per_page: int
    read: int = 0
    goes_on: bool = True
    until: float = math.inf


@dataclass(frozen=True)
class Progress:
    """How far long work is, in words, and as a share of 1 (None: there is no telling)."""

    text: str
    share: float | None


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes
    ----------
    number
        Which page it is: the last, where fewer are left than were asked for.
    total
        Samples of the view, as far as is known.
    searched
        Samples of which it is known whether they are of the view.
    cards, predictions
        Its samples, and what is predicted for each.
    progress
        What is still to come.
    """

    number: int
    total: int
    searched: int
    cards: list[Card]
    predictions: list[Prediction | None]
    progress: Progress | None = None

    @property
    def indices(self) -> list[int]:
        """Its samples."""
        return [card.index for card in self.cards]


Steps: TypeAlias = Iterator[Page | Progress | None]


class Pages:
    """Reads pages of samples, and what a live model predicts for them."""

    def __init__(self, samples: Samples, live: LiveModel | None, home: Home) -> None:
        self.cards = Cards(samples, home)
        self.predictions = Predictions(live)
        self.unread = ""
        """Why no more samples can be read; empty where nothing went wrong."""
        self._samples, self._home = samples, home
        self._ranked: tuple[View, Sequence[int]] = (View(), ())

    @property
    def there(self) -> int:
        """How many samples there are, or were read so far."""
        return self._samples.read_so_far

    def steps(self, asked: Asked) -> Steps:
        """Read a page; the last `Page` is whole, those before it lack predictions, or more."""
        pace = _Pace()
        self.predictions.renew()
        if asked.goes_on:
            yield from self._read_on(asked, pace)
            yield from self._read_all(asked, pace)
        ranking = self._rank(asked.view)
        page = yield from self._page(asked, ranking, pace)
        if asked.goes_on:
            yield from self._predict_page(page, pace)
        else:
            yield page

    def count(self, view: View) -> int | None:
        """How many samples a view has; None: it is not known without reading them."""
        if view.is_plain:
            return self._samples.count
        known, ranking = self._ranked
        return len(ranking) if known == view else None

    def place(self, sample: int, view: View) -> int | None:
        """Where a sample comes in a view; None: nowhere, or it is not known without reading."""
        if view.is_plain:
            return sample
        known, ranking = self._ranked
        return ranking.index(sample) if known == view and sample in ranking else None

    def _label(self, index: int) -> Label:
        return self.cards.labels.get(index, Label())

    def _searched(self, view: View) -> int:
        if view.needs_predictions:
            return sum(self.predictions.is_known(index) for index in range(self.there))
        return len(self.cards.labels) if view.needs_labels else self.there

    def _rank(self, view: View) -> Sequence[int]:
        ranking: Sequence[int] = range(self.there)
        if not view.is_plain:
            ranking = ranked(ranking, view, self._label, self.predictions.known)
        self._ranked = view, ranking
        return ranking

    def _read_on(self, asked: Asked, pace: _Pace) -> Steps:
        """Read data of unknown length as far as the page needs it."""
        wanted = (asked.page + 1 if asked.view.is_plain else 1) * asked.per_page
        wanted = max(wanted, asked.read)
        self.unread = ""
        while self._samples.count is None and self.there < wanted:
            before = self.there
            try:
                self._home.read(self._samples, before)
            except SampleIndexError:
                return
            except NeedsHomeThreadError:
                raise
            except Exception as error:  # noqa: BLE001 (what was read is shown all the same)
                if self.there == before:
                    self.unread = str(error) or type(error).__name__
                    return
            if time.monotonic() > asked.until:
                return
            yield pace.progress("read", self.there, wanted)

    def _read_all(self, asked: Asked, pace: _Pace) -> Steps:
        """Read labels and predictions of all samples, where the view needs them."""
        view = asked.view
        if not (view.needs_labels or view.needs_predictions):
            return
        shown: list[int] = []
        for index in range(self.there):
            if view.needs_predictions and not self.predictions.is_known(index):
                self.predict(index)
            else:
                self.cards.read_label(index)
            progress = pace.progress(
                "predicted" if view.needs_predictions else "read", index + 1, self.there
            )
            if time.monotonic() > asked.until:
                return
            if progress is None and not pace.is_step_over():
                continue
            if progress is not None and view.keeps_its_place:
                # The first pages fill while the rest is worked out.
                page = yield from self._page(asked, self._rank(view), pace)
                if page.indices != shown:
                    shown = page.indices
                    yield replace(page, progress=progress)
                    continue
            yield progress

    def _page(
        self, asked: Asked, ranking: Sequence[int], pace: _Pace
    ) -> Generator[Page | Progress | None, None, Page]:
        """The page of a ranking, with the predictions that are there."""
        last = max(0, (len(ranking) - 1) // asked.per_page)
        number = min(asked.page, last)
        indices = ranking[number * asked.per_page : (number + 1) * asked.per_page]
        cards: list[Card] = []
        for index in indices:
            if cards and time.monotonic() > asked.until:
                break
            cards.append(self.cards.read(index))
            yield pace.progress("read", len(cards), len(indices))
        known = [self.predictions.known(card.index) for card in cards]
        return Page(number, len(ranking), self._searched(asked.view), cards, known)

    def _predict_page(self, page: Page, pace: _Pace) -> Steps:
        """The page, then again with the predictions that it lacks."""
        lacking = [index for index in page.indices if not self.predictions.is_known(index)]
        if lacking:
            yield self._renewed(page)
        for index in lacking:
            self.predict(index)
            if self.predictions.none:
                break
            yield self._renewed(page) if pace.is_due() else None
        yield replace(page, predictions=[self.predictions.known(i) for i in page.indices])

    def _renewed(self, page: Page) -> Page:
        known = [self.predictions.known(index) for index in page.indices]
        return replace(page, predictions=known, progress=self._predicted(page))

    def _predicted(self, page: Page) -> Progress:
        done = sum(self.predictions.is_known(index) for index in page.indices)
        return Progress(f"predicted {done} of {len(page.cards)}", done / len(page.cards))

    def predict(self, index: int) -> None:
        """Run the model for a sample, if nothing is known of it."""
        self.cards.read_label(index)
        self.predictions.read(index, self._label(index))


class _Pace:
    """When to say how far work is, and when to let newer requests come between."""

    def __init__(self) -> None:
        self._said = self._stepped = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time to say something; then it counts as said."""
        now = time.monotonic()
        if now - self._said < _PARTIAL_SECONDS:
            return False
        self._said = now
        return True

    def is_step_over(self) -> bool:
        """Whether the work goes on for so long that newer requests should be served."""
        now = time.monotonic()
        if now - self._stepped < _STEP_SECONDS:
            return False
        self._stepped = now
        return True

    def progress(self, what: str, done: int, total: int) -> Progress | None:
        """How far it is, if it is time to say so and there is more to come."""
        if done >= total or not self.is_due():
            return None
        return Progress(f"{what} {done:,} of {total:,}", done / total)


def whole(steps: Steps, until: float = math.inf) -> Page:
    """The last page of the steps; after ``until`` (`time.monotonic`) the first that is there."""
    page: Page | None = None
    for step in steps:
        page = step if isinstance(step, Page) else page
        if page is not None and time.monotonic() > until:
            break
    assert page is not None
    return page
