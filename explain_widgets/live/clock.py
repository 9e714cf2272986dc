"""How long something took: wall time on the CPU, events on an accelerator."""

from __future__ import annotations

import time
from typing import Any, Protocol

import torch


class Timed(Protocol):
    """What seconds are added to."""

    seconds: float


class Clock:
    """Adds up seconds; on an accelerator those between events, which are read once at the end.

    Parameters
    ----------
    device
        Where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._events = torch.get_device_module(device).Event if device.type == "cuda" else None
        self._pending: list[tuple[Timed, Any, Any]] = []

    def now(self) -> Any:
        """The present moment, for `add`."""
        if self._events is None:
            return time.perf_counter()
        event = self._events(enable_timing=True)
        event.record()
        return event

    def add(self, timed: Timed, started: Any) -> None:
        """Add the time from ``started`` to now; on an accelerator it is known after `settle`."""
        if self._events is None:
            timed.seconds += time.perf_counter() - started
        else:
            self._pending.append((timed, started, self.now()))

    def settle(self) -> None:
        """Wait until all that was added is known."""
        for timed, started, ended in self._pending:
            ended.synchronize()  # of several devices each has its own
            timed.seconds += started.elapsed_time(ended) / 1000
        self._pending.clear()
