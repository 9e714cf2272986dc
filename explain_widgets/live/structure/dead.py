"""Dead units: those that are exactly zero at every position of every sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from explain_widgets.analysis.statistics import active_units
from explain_widgets.live.access import Access
from explain_widgets.live.feature_reader import FeatureLayer
from explain_widgets.live.recorder import Spot, Wanted


@dataclass(frozen=True)
class DeadUnits:
    """Which units of each layer were active, over some samples.

    Attributes
    ----------
    active
        By the name of a call: (units,) bool on the model's device.
    samples, of
        Over how many samples so far, and over how many in the end.
    """

    active: dict[str, Tensor]
    samples: int
    of: int

    def dead(self, name: str) -> list[int]:
        """Indices of the dead units (channels, neurons) of a call."""
        return torch.nonzero(~self.active[name]).flatten().tolist()

    def share(self, name: str) -> float:
        """The share of units of a call that are dead."""
        return 1 - float(self.active[name].double().mean())


def dead_units_steps(
    access: Access, layers: Sequence[FeatureLayer], samples: Sequence[int]
) -> Iterator[DeadUnits]:
    """The dead units over the first of some samples, over the first two, …: one run for each.

    Parameters
    ----------
    access
        To the live model.
    layers
        Of the first sample: they say along which axis units lie.
    samples
        Indices.
    """
    axes = {(one.name, one.entry): one.layout.axis("channel") for one in layers}
    watch = _Watch({spot: axis for spot, axis in axes.items() if axis is not None})
    for done, sample in enumerate(samples, 1):
        with access.reading():
            access.run(sample, Wanted(seen=watch))
        yield DeadUnits(dict(watch.active), done, len(samples))


class _Watch:
    """Notes which units are active, while modules return what they are in."""

    def __init__(self, axes: dict[Spot, int]) -> None:
        self._axes = axes
        self._settled: set[Spot] = set()  # no unit is left to look for
        self.active: dict[str, Tensor] = {}

    def __call__(self, spot: Spot, tensor: Tensor) -> None:
        axis = self._axes.get(spot)
        if axis is None or spot in self._settled:
            return
        known = self.active.get(spot[0])
        if axis >= tensor.ndim or (known is not None and len(known) != tensor.shape[axis]):
            # Another sample has other units there: nothing can be said of them.
            self.active.pop(spot[0], None)
            self._settled.add(spot)
            return
        active = active_units(tensor, axis)
        self.active[spot[0]] = active if known is None else known | active
        if bool(self.active[spot[0]].all()):
            self._settled.add(spot)
