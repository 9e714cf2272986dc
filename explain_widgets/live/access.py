"""How work of many runs asks a live model: one question at a time, others in between."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from explain_widgets.live.runs import Run
from explain_widgets.live.samples import Sample, Samples
from explain_widgets.live.samples.inputs import SampleIndexError
from explain_widgets.live.store import Store
from explain_widgets.live.targets import Target


@dataclass(frozen=True)
class Access:
    """What a live model hands to long work.

    Attributes
    ----------
    samples
        Its samples.
    sample
        One of them by index, on the model's device.
    reading
        Entered for each question: nobody else asks meanwhile. Never kept open over a ``yield``.
    run
        Runs the model for a sample; see `Runner.run` for what follows. ``inputs``: in the place
        of the sample's own arguments.
    lend
        Lends the module that runs; see `Runner.lend`.
    target
        The scalar that a target picks from an output; see `LiveModel.gradient`.
    last
        The last unpadded position of a sample.
    module
        The model as it is now.
    revision
        Number of the state of the model that was read last.
    store
        What is kept until the model changes.
    known
        What is known of the structure of the model, until that changes.
    is_home
        Whether the calling thread is the notebook's own.
    """

    samples: Samples
    sample: Callable[[int], Sample]
    reading: Callable[[], AbstractContextManager[None]]
    run: Callable[..., Run]
    lend: Callable[..., None]
    target: Callable[[Any, Target, int], Tensor]
    last: Callable[[int], int]
    module: Callable[[], nn.Module]
    revision: Callable[[], int]
    store: Store
    known: dict[Hashable, Any]
    is_home: Callable[[], bool]

    def some(self, most: int) -> Iterator[Sample]:
        """No more than ``most`` samples: spread evenly, or the first where none knows how many."""
        count = self.samples.count
        few = most if count is None else min(most, count)
        for index in range(few):
            try:
                # What samples keep must not depend on the caller.
                with torch.inference_mode(False):
                    sample = self.sample(index if count is None else index * count // few)
            except SampleIndexError:  # an iterable has ended
                return
            yield sample


def some_of(samples: int, count: int | None) -> str:
    """In words, how many of all samples were read: "all 12 samples"."""
    if count is None:
        return f"the first {samples:,} samples"
    return f"all {samples:,} samples" if samples == count else f"{samples:,} of {count:,} samples"


_T = TypeVar("_T")


def finished(work: Generator[Any, None, _T]) -> _T:
    """What long work gives in the end, done all at once."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: _T = stop.value
            return result
