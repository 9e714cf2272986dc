"""Overlays: one number of each module, by which table and graph are coloured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explain_widgets.live.model import LiveModel
from explain_widgets.live.structure.dead import DeadUnits
from explain_widgets.live.structure.summary import Summary, SummaryRow
from explain_widgets.live.structure.trace import Trace
from explain_widgets.live.targets import Target


@dataclass(frozen=True)
class Overlay:
    """What modules can be coloured by.

    Attributes
    ----------
    name
        As the trait ``overlay`` takes it.
    label
        In words, for the menu and the legend.
    definition
        What the number is, in a sentence.
    unit
        Behind the numbers of the legend.
    log
        Whether colours follow the logarithm: the modules of a model differ by orders of magnitude.
    """

    name: str
    label: str
    definition: str
    unit: str = ""
    log: bool = False

    def message(self) -> dict[str, str]:
        """The overlay as the menu is told of it."""
        return {"name": self.name, "label": self.label, "definition": self.definition}


_ALL = (
    Overlay("", "none", "No colours."),
    Overlay(
        "parameters",
        "parameters",
        "Elements of the parameters in a module and below, shared ones counted once.",
        log=True,
    ),
    Overlay(
        "flops",
        "FLOPs",
        "Floating-point operations in a module and below; a multiplication with its addition "
        "counts 2.",
        "FLOPs",
        log=True,
    ),
    Overlay(
        "seconds",
        "time",
        "Seconds of this forward in a module and below, all its calls.",
        "s",
        log=True,
    ),
    Overlay(
        "backward_flops",
        "FLOPs of backward",
        "Floating-point operations of the target's backward through a module and those below, by "
        "the parameters that ask for gradients.",
        "FLOPs",
        log=True,
    ),
    Overlay(
        "backward_seconds",
        "time of backward",
        "Seconds of the target's backward through a module and those below, all its calls.",
        "s",
        log=True,
    ),
    Overlay(
        "memory",
        "memory",
        "Bytes that a module and those below keep for a backward; of a model without gradients, "
        "bytes of its outputs.",
        "B",
        log=True,
    ),
    Overlay(
        "deviation",
        "output deviation",
        "Standard deviation of the numbers in the output of a module's first call.",
        log=True,
    ),
    Overlay(
        "gradient",
        "gradient norm",
        "L2 norm of d target / d output of a module's first call.",
        log=True,
    ),
    Overlay(
        "dead",
        "dead share",
        "Share of units that are exactly zero at every position of every sample, in the output of "
        "a module's first call.",
    ),
    Overlay("nonfinite", "non-finite", "NaN and infinity in the outputs of a module.", log=True),
)
OVERLAYS: Mapping[str, Overlay] = {overlay.name: overlay for overlay in _ALL}


@dataclass(frozen=True)
class Coloured:
    """The numbers of an overlay.

    Attributes
    ----------
    values
        (rows,) float32, NaN where there is none.
    label
        What they are, where that is not what the menu says.
    note
        What should be said with them, or "".
    progress
        How many samples are done of how many, while more are read; None: all there is.
    """

    values: npt.NDArray[np.float32]
    label: str = ""
    note: str = ""
    progress: tuple[int, int] | None = None


def overlay_of(name: str) -> Overlay:
    """The overlay of this name.

    Raises
    ------
    ValueError
        When there is none.
    """
    if name not in OVERLAYS:
        raise ValueError(f"There is no overlay {name!r}: write {', '.join(map(repr, OVERLAYS))}.")
    return OVERLAYS[name]


def overlay_steps(live: LiveModel, name: str, sample: int, target: Target) -> Iterator[Coloured]:
    """The numbers of an overlay, refined step by step where they are of many samples.

    Parameters
    ----------
    live
        The model.
    name
        Of the overlay.
    sample, target
        What they are of.

    Raises
    ------
    GradientError, TargetError, RunError
        When they cannot be read.
    """
    if name != "dead":
        with live.reading():
            coloured = _read(live, name, sample, target)
        yield coloured  # not while others wait to ask
        return
    rows = live.summary(sample).rows
    for found in live.dead_units():
        yield _of_dead(rows, found)


def _read(live: LiveModel, name: str, sample: int, target: Target) -> Coloured:
    summary = live.summary(sample)
    if name == "memory":
        return _of_memory(summary, live.summary(sample, backward="memory"))
    if name in ("backward_flops", "backward_seconds"):
        return _of_backward(live.summary(sample, backward=True, target=target), name)
    if name == "gradient":
        return _of_gradients(summary.rows, live.gradient_norms(sample, target))
    if name not in ("deviation", "nonfinite"):
        return _of_table(summary.rows, name)
    trace = live.trace(sample, statistics=True)
    return (_of_deviations if name == "deviation" else _of_nonfinite)(summary.rows, trace)


def _of_table(rows: list[SummaryRow], name: str) -> Coloured:
    if name == "parameters":
        return Coloured(_numbers(row.parameters for row in rows))
    if name == "":
        return Coloured(_numbers(math.nan for _ in rows))
    return Coloured(_numbers(getattr(row, name) if row.is_used else math.nan for row in rows))


def _of_memory(summary: Summary, backward: Summary) -> Coloured:
    if backward.trace.failure is None and backward.trace.held:
        held = {row.name: row.held for row in backward.rows if row.is_used}
        values = _numbers(held.get(row.name, math.nan) for row in summary.rows)
        return Coloured(values, "memory kept for the backward")
    values = _numbers(row.output_bytes if row.calls else math.nan for row in summary.rows)
    return Coloured(values, "memory of outputs", "nothing is kept for a backward")


def _of_backward(backward: Summary, name: str) -> Coloured:
    """Summaries of one model have the same rows."""
    if backward.trace.backward_flops or backward.trace.backward_seconds:
        return _of_table(backward.rows, name)
    note = backward.trace.note or "no backward: the forward broke off"
    return Coloured(_numbers(math.nan for _ in backward.rows), note=note)


def _of_deviations(rows: list[SummaryRow], trace: Trace) -> Coloured:
    found = {one.name: one.statistics.deviation for one in trace.calls if one.statistics}
    return Coloured(_numbers(found.get(row.name, math.nan) for row in rows))


def _of_nonfinite(rows: list[SummaryRow], trace: Trace) -> Coloured:
    counts: dict[str, int] = {}
    wrong: list[int] = []
    for number, call in enumerate(trace.calls):
        if call.statistics is not None:
            count = call.statistics.nans + call.statistics.infinities
            counts[call.path] = counts.get(call.path, 0) + count
            if count:
                wrong.append(number)
    # They come from within where a part of a module has them, too.
    around = {trace.calls[number].parent for number in wrong}
    first = next((trace.calls[number].name for number in wrong if number not in around), None)
    values = _numbers(counts.get(row.name, math.nan) for row in rows)
    said = "all outputs are finite" if first is None else f"first in {first or 'the model itself'}"
    return Coloured(values, note=said)


def _of_gradients(rows: list[SummaryRow], norms: Mapping[str, float]) -> Coloured:
    # What is not a number is more than any: NaN says that there is none.
    found = {name: math.inf if math.isnan(norm) else norm for name, norm in norms.items()}
    wrong = sum(math.isinf(norm) for norm in found.values())
    left = sum(row.calls > 0 and row.name not in found for row in rows)
    parts = [
        f"not finite in {wrong} modules" if wrong else "",
        f"none in {left} modules" if left else "",
    ]
    values = _numbers(found.get(row.name, math.nan) for row in rows)
    return Coloured(values, note="; ".join(part for part in parts if part))


def _of_dead(rows: list[SummaryRow], found: DeadUnits) -> Coloured:
    values = _numbers(
        found.share(row.name) if row.name in found.active else math.nan for row in rows
    )
    is_last = found.samples == found.of
    return Coloured(
        values,
        note=f"over {found.samples:,} samples",
        progress=None if is_last else (found.samples, found.of),
    )


def _numbers(values: Iterable[float]) -> npt.NDArray[np.float32]:
    return np.array(list(values), np.float32)
