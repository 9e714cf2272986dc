"""A bar under the cell while long work is under way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol, TypeVar

import ipywidgets
from IPython.core.getipython import get_ipython
from IPython.display import Pretty, display


class Step(Protocol):
    """What long work has so far: the share that is done, 0…1, and what was done last."""

    @property
    def progress(self) -> float: ...  # noqa: D102 (as above)

    @property
    def doing(self) -> str: ...  # noqa: D102


_S = TypeVar("_S", bound=Step)


def watched(steps: Iterator[_S]) -> _S:
    """The last of the steps; in a notebook a bar shows how far they are.

    When it has ended, a line in the place of the bar says how far it came and how long it took: a
    saved notebook has no live bar.
    """
    begun = time.monotonic()
    bar = ipywidgets.FloatProgress(max=1.0)
    said = ipywidgets.Label()
    box = ipywidgets.HBox([bar, said])
    is_shown = getattr(get_ipython(), "kernel", None) is not None
    handle = display(box, display_id=True) if is_shown else None
    found: _S | None = None
    try:
        for found in steps:
            bar.value, said.value = found.progress, found.doing
    finally:
        if handle is not None:
            handle.update(Pretty(_last_words(found, time.monotonic() - begun)))
        for widget in (bar, said, box):
            widget.close()
    assert found is not None
    return found


def _last_words(found: Step | None, seconds: float) -> str:
    """How it ended: "Done in 3.4 s", "Stopped at 25 % after 1.2 s (sample 3: curves)"."""
    if found is None:
        return f"Stopped after {seconds:.1f} s"
    if found.progress >= 1:
        return f"Done in {seconds:.1f} s"
    return f"Stopped at {100 * found.progress:.0f} % after {seconds:.1f} s ({found.doing})"
