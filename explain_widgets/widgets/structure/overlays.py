"""Overlays: one number of each module, by which table and graph are coloured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from explain_widgets.live.structure.summary import Summary, SummaryRow


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
        True,
    ),
    Overlay("memory", "memory", "Bytes kept for a backward in a module and below.", "B", log=True),
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
    """

    values: npt.NDArray[np.float32]
    label: str = ""
    note: str = ""


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


def by_row(summary: Summary, number: Callable[[SummaryRow], float]) -> npt.NDArray[np.float32]:
    """(rows,): a number of each row of the layer table."""
    return np.array([number(row) for row in summary.rows], np.float32)


def read_from_table(summary: Summary, name: str) -> Coloured:
    """The overlays that the layer table holds; modules that never ran have none but parameters."""
    if name == "":
        return Coloured(by_row(summary, lambda row: math.nan))
    if name == "parameters":
        return Coloured(by_row(summary, lambda row: row.parameters))
    if name in ("flops", "seconds"):
        return Coloured(by_row(summary, lambda row: _of_used(row, getattr(row, name))))
    if summary.trace.backward:
        values = by_row(summary, lambda row: _of_used(row, row.held))
        return Coloured(values, "memory kept for the backward")
    values = by_row(summary, lambda row: row.output_bytes if row.calls else math.nan)
    return Coloured(values, "memory of outputs")


def _of_used(row: SummaryRow, number: Any) -> float:
    return float(number) if row.is_used else math.nan
