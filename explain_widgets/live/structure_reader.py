"""Reading the structure of a live model: what a forward of a sample did."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from explain_widgets.live.errors import (
    GradientError,
    NeedsHomeThreadError,
    RunError,
    TargetError,
)
from explain_widgets.live.modules import named_tensors
from explain_widgets.live.recorder import Wanted
from explain_widgets.live.runs import Run
from explain_widgets.live.store import Store
from explain_widgets.live.structure.backward import CallSpans, backward_trace
from explain_widgets.live.structure.costs import BackwardCosts, backward_costs
from explain_widgets.live.structure.graph import StructureGraph
from explain_widgets.live.structure.held import HeldMemory
from explain_widgets.live.structure.summary import Summary
from explain_widgets.live.structure.trace import Backward, Trace
from explain_widgets.live.structure.tracer import Tracer
from explain_widgets.live.targets import Target, kept_by


class StructureReader:
    """The side of a live model that reads its structure; what was read is kept.

    Parameters
    ----------
    run
        Runs the model for a sample and records what is wanted.
    inputs
        The arguments of a sample, copied: a model may begin in place.
    target
        The scalar that a target picks from the output for a sample.
    module
        The model as it is now.
    store
        That of the live model.
    keep_scores
        Told of the output of a sample, for the scores of classes in it.
    """

    def __init__(
        self,
        run: Callable[..., Run],
        inputs: Callable[[int], tuple[tuple[Any, ...], dict[str, Any]]],
        target: Callable[[Any, Target, int], Tensor],
        module: Callable[[], nn.Module],
        store: Store,
        keep_scores: Callable[[int, Any], object],
    ) -> None:
        self._run = run
        self._inputs = inputs
        self._target = target
        self._module = module
        self._store = store
        self._keep_scores = keep_scores

    def trace(
        self, sample: int, backward: Backward, statistics: bool, target: Target = None
    ) -> Trace:
        """See `LiveModel.trace`."""
        of = kept_by(target) if backward is True else ""
        key = ("trace", sample, backward, statistics, of)
        kept: Trace | None = self._store.get(key)
        if kept is not None and of is not None:
            return kept
        trace = self._traced(sample, bool(backward), statistics)
        failed = "" if trace.failure is None else trace.failure.type
        if backward is True and not failed:
            failed = self._add_backward(trace, sample, target)
        # What fails would fail again, unless what it lacked was memory.
        if of is not None and failed not in _OUT_OF_MEMORY:
            self._store.put(key, trace, trace.nbytes)
        return trace

    def summary(
        self, sample: int, backward: Backward, depth: int | None, target: Target = None
    ) -> Summary:
        """See `LiveModel.summary`."""
        modules = [(path, type(one).__name__) for path, one in self._module().named_modules()]
        return Summary(self.trace(sample, backward, False, target), modules, depth)

    def _add_backward(self, trace: Trace, sample: int, target: Target) -> str:
        """Run a backward, by parameters that stand in for the model's own, and note its costs.

        Returns the class of the exception that it ended with, or "".
        """
        spans = CallSpans()
        found: list[BackwardCosts] = []

        def differentiate(run: Run) -> None:
            scalar = self._target(run.output, target, sample)
            asked = {id(one): one for one in run.parameters.values() if one.requires_grad}
            found.append(backward_costs(scalar, spans, list(asked.values())))

        try:
            self._run(
                sample, Wanted(watcher=spans), "training", differentiate, self._inputs(sample)
            )
        except NeedsHomeThreadError:
            raise
        except Exception as error:  # noqa: BLE001 (functions of the model's own raise anything)
            trace.note = "; ".join(part for part in (trace.note, f"no backward: {error}") if part)
            return type(error).__name__
        costs = found[-1]
        trace.backward_flops = costs.flops
        for call in trace.calls:
            cost = costs.calls.get(call.name)
            if cost is not None:
                call.backward_flops, call.backward_seconds = cost.flops, cost.seconds
        return ""

    def _traced(self, sample: int, backward: bool, statistics: bool) -> Trace:
        inputs = self._inputs(sample)
        looking = _Looking(Tracer(inputs, statistics), backward)
        wanted = Wanted(beside=looking, watcher=looking.tracer)
        gradients = "activations" if backward else "none"
        try:
            run = self._run(sample, wanted, gradients, inputs=inputs)
        except RunError as error:
            if not isinstance(error.__cause__, Exception):
                raise
            return looking.trace(error.__cause__)
        with suppress(TargetError):  # there may be none
            self._keep_scores(sample, run.output)
        return looking.trace()

    def forward_graph(self, sample: int) -> StructureGraph:
        """See `LiveModel.forward_graph`."""
        trace = self.trace(sample, backward=False, statistics=False)
        kept: StructureGraph | None = self._store.get(("forward graph", sample))
        if kept is not None and kept.trace is trace:
            return kept
        graph = StructureGraph(trace)
        self._store.put(("forward graph", sample), graph, trace.nbytes)
        return graph

    def backward_graph(self, sample: int, target: Target) -> StructureGraph:
        """See `LiveModel.backward_graph`."""
        key = ("backward graph", sample, kept_by(target))
        kept: StructureGraph | None = self._store.get(key)
        if kept is not None and kept_by(target) is not None:
            return kept
        inputs, spans = self._inputs(sample), CallSpans()
        found: list[Trace] = []

        def read(run: Run) -> None:
            scalar = self._target(run.output, target, sample)
            if scalar.grad_fn is None:
                raise GradientError(
                    "The target depends on no parameter that asks for gradients: all are frozen, "
                    "or the forward is inside torch.no_grad, detached or in integers."
                )
            assert run.module is not None
            stored = dict(run.module.named_parameters()) | dict(run.module.named_buffers())
            named = {**{str(n): value for n, value in enumerate(inputs[0])}, **inputs[1]}
            stored |= {f"input {name}": tensor for name, tensor in named_tensors(named)}
            found.append(backward_trace(scalar, spans, stored | run.parameters))

        self._run(sample, Wanted(watcher=spans), "activations", read, inputs)
        graph = StructureGraph(found[-1])
        if kept_by(target) is not None:
            self._store.put(key, graph, found[-1].nbytes)
        return graph


_OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryError")


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
