"""A bar under the cell while long work is under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

import ipywidgets
from IPython.core.getipython import get_ipython
from IPython.display import display


class Step(Protocol):
    """What long work has so far: the share that is done, 0…1, and what was done last."""

    @property
    def progress(self) -> float: ...  # noqa: D102 (as above)

    @property
    def doing(self) -> str: ...  # noqa: D102


_S = TypeVar("_S", bound=Step)


def watched(steps: Iterator[_S]) -> _S:
    """The last of the steps; in a notebook a bar shows how far they are."""
    bar = ipywidgets.FloatProgress(max=1.0)
    said = ipywidgets.Label()
    box = ipywidgets.HBox([bar, said])
    if getattr(get_ipython(), "kernel", None) is not None:
        display(box)
    found = next(steps)
    try:
        for found in steps:
            bar.value, said.value = found.progress, found.doing
    finally:
        for widget in (bar, said, box):
            widget.close()
    return found
