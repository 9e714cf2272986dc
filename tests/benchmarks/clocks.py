"""How long a call takes, on a machine that does other things, too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def least(call: Callable[[], Any], rounds: int, warm: bool = True) -> float:
    """Seconds of this thread, the least of some rounds; ``warm``: after one that is not counted."""
    if warm:
        call()
    found = []
    for _ in range(rounds):
        started = time.thread_time()
        call()
        found.append(time.thread_time() - started)
    return min(found)
