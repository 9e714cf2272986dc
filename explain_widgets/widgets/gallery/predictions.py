"""What the model predicts for each sample, kept while the weights stay as they are."""

from __future__ import annotations

from explain_widgets.analysis.predictions import Prediction, predicted
from explain_widgets.live.errors import NeedsHomeThreadError, TargetError
from explain_widgets.live.model import LiveModel
from explain_widgets.widgets.explorer import sentence
from explain_widgets.widgets.gallery.cards import Label

NO_SCORES = "no predictions: what the model returns has no class scores"


class Predictions:
    """The predictions of a live model; without one there are none.

    Attributes
    ----------
    count
        How many scores the model returns, one a class; a single one is a value and no class. 0
        while it is not known, or there are none.
    none
        Why there are no predictions at all; empty where there are, or it is not known yet.
    """

    def __init__(self, live: LiveModel | None) -> None:
        self.count = 0
        self.none = "" if live is not None else "no model"
        self._live = live
        # Of each sample, the state of the model it was read in, and what was found or went wrong.
        self._found: dict[int, tuple[int, Prediction | str]] = {}
        self._since = 0

    def renew(self) -> None:
        """Notice where the model has changed: what was found before holds no longer."""
        if self._live is None:
            return
        latest = next(reversed(self._found), None)
        if latest is not None:
            self._ask(latest, Label())
        if self._live.revision != self._since:
            self._since, self.none = self._live.revision, ""

    def is_known(self, index: int) -> bool:
        """Whether nothing has to be run for a sample."""
        return bool(self.none) or self._fresh(index) is not None

    def known(self, index: int) -> Prediction | None:
        """What was found for a sample; None: nothing, or not yet."""
        found = self._fresh(index)
        return found if isinstance(found, Prediction) else None

    def problem(self, index: int) -> str:
        """Why nothing was found for a sample; empty where something was, or it was not run."""
        found = self._fresh(index)
        return found if isinstance(found, str) else ""

    def read(self, index: int, label: Label) -> None:
        """Run the model for a sample, if nothing is known of it."""
        if self._live is None or self.is_known(index):
            return
        found = self._ask(index, label)
        # What moved while it was read is said by the model's status; it is not read again for it.
        if found is not None:
            self._found.pop(index, None)
            self._found[index] = (self._live.revision, found)
        if isinstance(found, Prediction):
            self.count = found.count

    def _fresh(self, index: int) -> Prediction | str | None:
        state, found = self._found.get(index, (-1, None))
        return found if state >= self._since else None

    def _ask(self, index: int, label: Label) -> Prediction | str | None:
        assert self._live is not None
        try:
            return predicted(self._live.class_scores(index), label.index)
        except TargetError:
            self.count, self.none = 0, NO_SCORES
        except NeedsHomeThreadError:
            raise
        except Exception as error:  # noqa: BLE001 (of this sample: the others may do)
            return sentence(error)
        return None
