"""Asking a live model from another thread than the notebook's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def in_thread(question: Callable[[], Any]) -> Any:
    """The answer to one question, asked in another thread; what it raises is raised here."""
    with Asker(question, times=1) as asker:
        asker.thread.join()
    if asker.errors:
        raise asker.errors[0]
    return asker.result


class Asker:
    """A thread that asks one question after another until it is left, or one goes wrong.

    Attributes: `answers`, their number; `result`, the newest; `errors`.
    """

    def __init__(self, *questions: Callable[[], Any], wait: float = 0.0, times: int = -1) -> None:
        self.answers = 0
        self.result: Any = None
        self.errors: list[BaseException] = []
        self.thread = threading.Thread(target=self._ask)
        self._questions, self._wait, self._times = questions, wait, times
        self._stopped = threading.Event()

    def __enter__(self) -> Asker:  # noqa: PYI034 (typing.Self is younger than 3.10)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.thread.join()

    def _ask(self) -> None:
        while not self._stopped.is_set() and self.answers != self._times:
            try:
                self.result = self._questions[self.answers % len(self._questions)]()
            except BaseException as error:  # noqa: BLE001 (the test looks at it)
                self.errors.append(error)
                return
            self.answers += 1
            time.sleep(self._wait)
