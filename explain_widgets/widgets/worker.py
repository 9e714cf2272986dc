"""One worker thread a live model, or samples alone: answers requests beside the notebook's cells.

A handler of messages enqueues and waits for the blink of an eye at most, since a front end delivers
the messages of all widgets through one queue. Long work is a generator; newer requests are served
between its steps.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum

_LOG = logging.getLogger(__name__)

# An idle thread ends after this many seconds and is started again when there is work.
_IDLE = 5.0


class Pause(Enum):
    """What a job may yield between two of its steps, in the place of None."""

    GIVES_WAY = "the rest is done while no other work is under way"


@dataclass
class Job:
    """Work that answers one request.

    ``key``: newer work of the same key takes its place. ``identity``: by which it is stopped.
    ``steps``: the work; each ``next`` is one step (see `Pause`). ``superseded``, ``stopped``:
    called instead of (the rest of) the work. ``is_patient``: it is done while there is nothing else
    to do; ``gives_way``: the rest of it, while nothing but patient work is. ``moved``: its first
    step is over, or there will be none.
    """

    key: Hashable
    identity: str
    steps: Iterator[Pause | None]
    superseded: Callable[[], None]
    stopped: Callable[[], None]
    is_patient: bool = False
    gives_way: bool = False
    begun: bool = False
    given_up: bool = False
    moved: threading.Event = field(default_factory=threading.Event)


class Worker:
    """Runs jobs in a thread of its own, one step at a time, newest wins."""

    def __init__(self, inline: bool | None = None) -> None:
        self._inline = not threads_can_send() if inline is None else inline
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ending = False

    def submit(self, job: Job) -> None:
        """Do ``job`` soon; where a front end takes no messages from threads, do it now."""
        if self._inline:
            for _ in job.steps:
                pass
            job.moved.set()
            return
        with self._condition:
            replaced = self._jobs.pop(job.key, None)
            self._jobs[job.key] = job
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="explain_widgets", daemon=True
                )
                self._thread.start()
            self._condition.notify()
        if replaced is not None and not replaced.begun:
            replaced.superseded()
            replaced.moved.set()

    def stop(self, identity: str) -> None:
        """Give up the job of that request, if it is still here."""
        with self._condition:
            key = next((k for k, job in self._jobs.items() if job.identity == identity), None)
            stopped = None if key is None else self._jobs.pop(key)
        if stopped is not None:
            stopped.given_up = True
            stopped.stopped()
            stopped.moved.set()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._jobs or self._ending, _IDLE)
                if not self._jobs:
                    self._thread = None
                    return
                job = self._next()
                job.begun = True
            finished = _step(job)
            job.moved.set()
            with self._condition:
                replaced = self._jobs.get(job.key) is not job
                if finished and not replaced:
                    del self._jobs[job.key]
            if replaced and not finished and not job.given_up:
                job.superseded()

    def end(self) -> None:
        """Let the thread finish its step and stop: torch must not be torn down under it."""
        with self._condition:
            self._jobs.clear()
            thread, self._ending = self._thread, True
            self._condition.notify()
        if thread is not None:
            thread.join(_IDLE)

    def _next(self) -> Job:
        """The oldest job that has not begun, else the newest of those under way.

        Those that give way come after the others, and patient ones last of all, one after the
        other in the order they were asked for.
        """
        jobs = [job for job in self._jobs.values() if not job.is_patient]
        if not jobs:
            return next(iter(self._jobs.values()))
        jobs = [job for job in jobs if not job.gives_way] or jobs
        return next((job for job in jobs if not job.begun), jobs[-1])


def _step(job: Job) -> bool:
    """One step of a job; returns whether it was the last."""
    try:
        if next(job.steps) is Pause.GIVES_WAY:
            job.gives_way = True
    except StopIteration:
        return True
    except Exception:  # noqa: BLE001 (the thread must outlive what it runs)
        _LOG.exception("A request could not be answered.")
        return True
    return False


_WORKERS: weakref.WeakKeyDictionary[object, Worker] = weakref.WeakKeyDictionary()


def worker_of(asked: object) -> Worker:
    """The worker of what is asked, a live model or samples: all its explorers share it."""
    return _WORKERS.setdefault(asked, Worker())


@atexit.register
def _end_all() -> None:
    for worker in list(_WORKERS.values()):
        worker.end()


def threads_can_send() -> bool:
    """Whether the front end takes messages from other threads than the one of its handler.

    marimo ties messages to the thread of the cell; Pyodide has no threads.
    """
    if sys.platform == "emscripten":
        return False
    marimo = sys.modules.get("marimo")
    return marimo is None or not marimo.running_in_notebook()
