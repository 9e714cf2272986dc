"""Reading the structure of a live model: what a forward of a sample did."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from torch import nn

from explain_widgets.live.errors import RunError
from explain_widgets.live.recorder import Wanted
from explain_widgets.live.runs import Run
from explain_widgets.live.store import Store
from explain_widgets.live.structure.held import HeldMemory
from explain_widgets.live.structure.summary import Summary
from explain_widgets.live.structure.trace import Trace
from explain_widgets.live.structure.tracer import Tracer


class StructureReader:
    """The side of a live model that reads its structure; what was read is kept.

    Parameters
    ----------
    run
        Runs the model for a sample and records what is wanted.
    inputs
        The arguments of a sample.
    module
        The model as it is now.
    store
        That of the live model.
    """

    def __init__(
        self,
        run: Callable[..., Run],
        inputs: Callable[[int], tuple[tuple[Any, ...], dict[str, Any]]],
        module: Callable[[], nn.Module],
        store: Store,
    ) -> None:
        self._run = run
        self._inputs = inputs
        self._module = module
        self._store = store

    def trace(self, sample: int, backward: bool, statistics: bool) -> Trace:
        """See `LiveModel.trace`."""
        key = ("trace", sample, backward, statistics)
        kept: Trace | None = self._store.get(key)
        if kept is not None:
            return kept
        trace = self._traced(sample, backward, statistics)
        if trace.failure is None:
            self._store.put(key, trace, trace.nbytes)
        return trace

    def summary(self, sample: int, backward: bool, depth: int | None) -> Summary:
        """See `LiveModel.summary`."""
        modules = [(path, type(one).__name__) for path, one in self._module().named_modules()]
        return Summary(self.trace(sample, backward, statistics=False), modules, depth)

    def _traced(self, sample: int, backward: bool, statistics: bool) -> Trace:
        inputs = self._inputs(sample)
        looking = _Looking(Tracer(inputs, statistics), backward)
        wanted = Wanted(beside=looking, watcher=looking.tracer)
        gradients = "activations" if backward else "none"
        try:
            self._run(sample, wanted, gradients, inputs=inputs)
        except RunError as error:
            if not isinstance(error.__cause__, Exception):
                raise
            return looking.trace(error.__cause__)
        return looking.trace()


class _Looking:
    """Everything that looks on, entered around a forward; anew where that is run once more."""

    def __init__(self, tracer: Tracer, backward: bool) -> None:
        self.tracer = tracer
        self._held = HeldMemory(tracer) if backward else None
        self._stack = ExitStack()

    def __enter__(self) -> None:
        if self._held is not None:
            self._stack.enter_context(self._held.counting())
        self._stack.enter_context(self.tracer.looking())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def trace(self, error: Exception | None = None) -> Trace:
        return self.tracer.trace(None if self._held is None else self._held.bytes, error)
