"""One question: what is attributed, to what, and how the answer is put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from explain_widgets.analysis.attribution import Attribution, total
from explain_widgets.live.access import Access
from explain_widgets.live.altered import Place
from explain_widgets.live.attribution.baselines import baseline_rows, baselines
from explain_widgets.live.attribution.inputs import Explained, explained_inputs
from explain_widgets.live.batches import Batches, Passed, Scalar
from explain_widgets.live.feature_reader import FeatureReader
from explain_widgets.live.recorder import Spot
from explain_widgets.live.store import Room


@dataclass(frozen=True, eq=False)
class Asked:
    """What one call of `LiveModel.attribute` asks.

    Attributes
    ----------
    access, features
        To the live model, and to its layers.
    method
        Name of the method.
    batches
        The model on altered versions of the sample, scored by the target (of neuron methods by
        the neuron).
    whole
        The same scored by the target in any case.
    only
        Names of the inputs that are attributed to; None: all.
    spot
        The layer that is attributed to; None: the inputs are.
    options
        How, by name.
    target
        As it was asked for.
    neuron
        Of neuron methods: where it is, and what picks it.
    siblings
        Given what the same work has found for other layers.
    """

    access: Access
    features: FeatureReader
    method: str
    batches: Batches
    whole: Batches
    only: str | tuple[str, ...] | None
    spot: Spot | None
    options: Mapping[str, Any]
    target: Any = None
    neuron: tuple[Spot, Scalar] | None = None
    siblings: Callable[[Spot, Attribution], None] = field(default=lambda spot, found: None)

    @cached_property
    def inputs(self) -> tuple[Explained, ...]:
        """What goes into the model; looked for when it is needed."""
        return explained_inputs(self.access, self.batches.sample, self.only)

    @property
    def layer(self) -> str | None:
        """Name of the layer that is attributed to, or that the neuron is in."""
        spot = self.spot if self.neuron is None else self.neuron[0]
        return None if spot is None else spot[0]

    @property
    def places(self) -> tuple[Place, ...]:
        """Where gradients are taken."""
        return self.input_places if self.spot is None else (self.spot,)

    @property
    def input_places(self) -> tuple[Place, ...]:
        """Where numbers go into the model."""
        return tuple(one.place for one in self.inputs)

    @property
    def values(self) -> dict[Place, Tensor]:
        """What goes in there for the sample."""
        return {one.place: one.value for one in self.inputs}

    def room(self, share: int) -> Room:
        """Room for what is read of other layers along with this one."""
        return Room(self.access.store.limit // share, self.spot)

    def baselines(self, asked: Any) -> tuple[dict[Place, Tensor], str]:
        """What each input is compared with, by its place, and that in words."""
        made, note = baselines(self.access, self.batches.sample, self.inputs, asked)
        return {one.place: made[one.name] for one in self.inputs}, note

    def own(self) -> Passed:
        """Gradients of the sample as it is."""
        return self.batches.own(self.values, self.places)

    def answer(
        self,
        values: Mapping[Place, Tensor],
        note: str = "",
        expected: float | None = None,
        step: int = 1,
        steps: int = 1,
    ) -> Attribution:
        """The attribution of values by place; ``expected``: what they should sum to."""
        found: Any
        if self.spot is not None and self.spot in values:
            found = values[self.spot]
        else:
            names = {one.place: one.name for one in self.inputs}
            found = {names[place]: tensor for place, tensor in values.items()}
            found = found if len(found) > 1 else next(iter(found.values()))
        return Attribution(
            found,
            self.method,
            self.batches.target,
            self.layer,
            None if expected is None else total(found) - expected,
            expected,
            " · ".join(part for part in (note, self.batches.note) if part),
            self.options,
            step,
            steps,
        )

    def baseline_rows(self, asked: Any) -> tuple[dict[Place, Tensor], str]:
        """Several baselines to draw from, (rows, …) by place, and that in words."""
        made, note = baseline_rows(self.access, self.batches.sample, self.inputs, asked)
        return {one.place: made[one.name] for one in self.inputs}, note

    def about(self, spot: Spot | None) -> Asked:
        """The same question about another layer; None: about the inputs."""
        return replace(self, spot=spot)


def line(starts: Mapping[Place, Tensor], ends: Mapping[Place, Tensor], points: Tensor) -> Any:
    """Inputs on the straight line between two, at these points of 0…1: (points, …) each."""
    found = {}
    for place, end in ends.items():
        start, dtype = starts[place], torch.promote_types(end.dtype, torch.float32)
        share = points.to(end.device, dtype).reshape(-1, *[1] * (end.ndim - 1))
        found[place] = (start + share * (end.to(dtype) - start)).to(end.dtype)
    return found
