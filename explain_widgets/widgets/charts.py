"""Charts beside an explorer: bqplot figures that follow its selection until either is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from explain_widgets.live.errors import NeedsHomeThreadError
from explain_widgets.live.home import Home
from explain_widgets.widgets.worker import Job, Worker

if TYPE_CHECKING:  # bqplot brings pandas along, which takes seconds: it is imported when asked for
    import bqplot
    from traitlets import HasTraits


class Chart(Protocol):
    """A bqplot figure and what draws into it."""

    figure: bqplot.Figure

    def draw(self, shown: Any) -> None:
        """Show what was read."""

    def say(self, sentence: str) -> None:
        """Show nothing but why there is nothing."""

    def close(self) -> None:
        """Close the figure and all widgets that it is made of."""


@dataclass(frozen=True)
class ChartKind:
    """A chart that an explorer has.

    Attributes
    ----------
    make
        Makes an empty one.
    read
        What it shows now, by the explorer's traits.
    follows
        The traits after whose change it is read anew.
    """

    make: Callable[[], Chart]
    read: Callable[[], Any]
    follows: tuple[str, ...]


class Following:
    """Keeps a chart at what an explorer shows.

    Parameters
    ----------
    explorer
        Whose traits are followed.
    kind
        The chart.
    worker, home
        Of the explorer: where it is read beside the cells, and the thread of the cells.
    explain
        The sentence for what the user reads of an error.
    """

    def __init__(
        self,
        explorer: HasTraits,
        kind: ChartKind,
        worker: Worker,
        home: Home,
        explain: Callable[[Exception], str],
    ) -> None:
        self._explorer, self._kind = explorer, kind
        self._worker, self._home, self._explain = worker, home, explain
        self.is_open = True
        # Two threads may update: the last one has read the newest traits.
        self._lock = threading.RLock()
        self.chart = kind.make()
        self._update()
        explorer.observe(self._changed, kind.follows)
        self.chart.figure.observe(self._figure_changed, "comm")

    def end(self) -> None:
        """Follow no longer, and close the chart."""
        with self._lock:
            if not self.is_open:
                return
            self.is_open = False
        self._explorer.unobserve(self._changed, self._kind.follows)
        self.chart.figure.unobserve(self._figure_changed, "comm")
        self.chart.close()

    def _changed(self, change: Any) -> None:
        if self._home.is_current():
            self._update()
            return
        # A message of the browser moved a trait: its thread must not wait for a forward. Of
        # several changes the newest is drawn, and nobody waits for an answer.
        key = (id(self), "chart")
        steps = self._update_beside()
        self._worker.submit(Job(key, f"chart {id(self)}", steps, lambda: None, lambda: None))

    def _update_beside(self) -> Iterator[None]:
        try:
            self._update()
        except NeedsHomeThreadError as error:
            if not self._home.call_when_free(self._update):
                self.chart.say(self._explain(error))
        yield

    def _update(self) -> None:
        with self._lock:
            if not self.is_open:
                return
            try:
                self.chart.draw(self._kind.read())
            except NeedsHomeThreadError:
                raise
            except Exception as error:  # noqa: BLE001 (the next selection may be fine)
                self.chart.say(self._explain(error))

    def _figure_changed(self, change: Any) -> None:
        if change["new"] is None:  # the user closed it
            self.end()
