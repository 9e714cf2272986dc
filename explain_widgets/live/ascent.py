"""Which input maximises a channel, a unit or a class: gradient ascent, a step at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from explain_widgets.live.access import Access, some_of
from explain_widgets.live.canvas import Canvas, Seen, canvas, seen
from explain_widgets.live.errors import GradientError, LayerError
from explain_widgets.live.goal import Goal
from explain_widgets.live.gradients import differentiated, floating_input, swapped
from explain_widgets.live.modules import named_tensors
from explain_widgets.live.recorder import Spot, Wanted
from explain_widgets.live.runs import Run, plain_thread
from explain_widgets.live.samples import Sample
from explain_widgets.live.sought import AscentOptions, Sought

RANGE_SAMPLES = 64
"""The values that inputs have are read from no more samples than these."""


@dataclass(frozen=True, eq=False)
class AscentStep:
    """Where an ascent is.

    Attributes
    ----------
    step, steps
        Steps made, of how many.
    image
        The input, of the shape and dtype that the model gets.
    picture
        The same to be shown: (1, channels, …space) of 0…1, between the least and the largest that
        its values may be; (1, values) where the input has no axes of space.
    value
        What is maximised. Of the image as it was moved before the next step; of the last step of
        the image itself.
    note
        Which values the image may have, how it is sought, and what went wrong, in words.
    """

    step: int
    steps: int
    image: Tensor
    picture: Tensor
    value: float
    note: str


class _Watched:
    """Keeps what one call returned, in the graph, before in-place operations follow."""

    def __init__(self, spot: Spot) -> None:
        self._spot = spot
        self.tensor: Tensor | None = None

    def __call__(self, call: str, output: Any, is_written: Callable[[Tensor], bool]) -> None:
        if call == self._spot[0]:
            tensor = dict(named_tensors(output)).get(self._spot[1])
            self.tensor = None if tensor is None else tensor.clone()

    def check(self) -> None:
        if self.tensor is None:
            raise LayerError(f"Layer {self._spot[0]!r} was not called in this run.")


def ascend(access: Access, goal: Goal, sample: int, options: AscentOptions) -> Iterator[AscentStep]:
    """Seek the input that maximises ``goal``, beginning with the start.

    Between two steps nothing is held: others may ask, and closing the generator leaves nothing.

    Raises
    ------
    GradientError
        When the input has no gradient, or the goal does not depend on it.
    LayerError, ChannelError, TargetError
        When there is no such goal.
    """
    with plain_thread(differentiable=False):
        loaded = access.sample(sample)
        field = _canvas(access, loaded)
        sought = Sought(field, options)
    for step in range(options.steps + 1):
        is_last = step == options.steps
        with plain_thread(differentiable=True):
            picture = sought.picture()
            moved = picture if is_last else sought.moved(picture)
            given = field.tensor(moved)
            value, gradient = _pull(access, goal, loaded, given)
            if not is_last:
                sought.climb(picture, given, gradient)
            shown = picture.detach()
            image = field.tensor(shown)
        yield AscentStep(step, options.steps, image, shown, value, sought.note)


def _canvas(access: Access, sample: Sample) -> Canvas:
    like = _sought_input(sample)
    with access.reading():
        values: Seen | None = access.store.get(_VALUES)
    if values is None:
        others = (floating_input(one.args, one.kwargs) for one in access.some(RANGE_SAMPLES))
        values = seen(tensor for tensor in others if tensor is not None)
        with access.reading():
            access.store.put(_VALUES, values, sum(part.nbytes for part in values[:3]))
    read = some_of(values.samples, access.samples.count)
    return canvas(like, values, sample.image_scaling, read)


_VALUES = "values of the input"


def _sought_input(sample: Sample) -> Tensor:
    tensor = floating_input(sample.args, sample.kwargs)
    if tensor is None:
        raise GradientError(
            "What maximises a channel cannot be sought here: the input holds no tensor of floating "
            "point (token ids and whole numbers have no values in between). Look for the samples "
            "that drive it most instead."
        )
    return tensor


def _pull(access: Access, goal: Goal, sample: Sample, given: Tensor) -> tuple[float, Tensor]:
    """The goal for an input in the place of the sample's own, and its gradient there."""
    leaf = given.detach().requires_grad_()
    inputs = swapped((sample.args, sample.kwargs), _sought_input(sample), leaf)
    watched = None if goal.spot is None else _Watched(goal.spot)
    wanted = None
    if goal.spot is not None:
        wanted = Wanted(outputs=watched, last=goal.spot[0])
    found: list[Tensor] = []

    def differentiate(run: Run) -> None:
        if watched is None:
            value = access.target(run.output, goal.channel, sample.index)
        else:
            assert watched.tensor is not None
            value = goal.value(watched.tensor)
        gradient = differentiated(value, [leaf], "the input")[0]
        if gradient is None:
            raise GradientError("What is to be maximised does not depend on the input.")
        found[:] = [value.detach(), gradient.detach()]

    with access.reading():
        access.run(sample.index, wanted, "activations", differentiate, inputs)
    value, gradient = found
    if not (value.isfinite() and gradient.isfinite().all()):
        raise GradientError(
            "The gradient of what is maximised is not finite (NaN or Inf): does the sample itself "
            "give a finite output?"
        )
    return float(value), gradient
