"""The picture that gradient ascent seeks: how it is made, moved, and changed in a step."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from explain_widgets.analysis.ascent import (
    Adam,
    blurred,
    from_spectrum,
    mixed_colours,
    shifted,
    spectrum_scale,
    total_variation,
    turned,
)
from explain_widgets.live.canvas import Canvas

Start: TypeAlias = Literal["noise", "sample"]
Parametrisation: TypeAlias = Literal["frequency", "pixels"]

# The same numbers whatever the defaults of torch are, and on every device.
_DRAWS: Any = {"dtype": torch.float32, "device": "cpu"}
# Coefficients of noise; where no gradient is felt from there, anew so often, stronger each time.
_FIRST_NOISE = 0.01
_MOST_STARTS = 3
# By how much the values of frequencies are divided: less saturated (as Lucid has it).
_CALM = 4


@dataclass(frozen=True)
class AscentOptions:
    """How an input is sought.

    Attributes
    ----------
    start
        ``"noise"`` about what is usual in the samples, or the ``"sample"`` itself.
    steps
        How many.
    parametrisation
        ``"frequency"``: what is learnt are the coefficients of a Fourier transform, low
        frequencies as quickly as high ones, and the uncorrelated colours of photographs where the
        input is known to be red, green and blue. ``"pixels"``: the values themselves; an input
        that has no axes of space is always sought so.
    learning_rate
        Of Adam, for the logits of values of 0…1 or their coefficients.
    jitter
        By how many pixels the picture is moved at random before each step, along each axis of
        space; None: a sixteenth of the shortest.
    rotate, rescale
        By how many degrees, and by which share of its size, a picture of two axes is turned and
        scaled at random before each step.
    blur
        Standard deviation in pixels of a Gaussian with which the gradient is blurred; 0: not.
    total_variation
        The pull of neighbours on each other: 1 is as strong as the mean pull of the objective.
    decay
        The pull towards the start: what is usual in the samples, or the sample. 1: as strong, at
        the far end of the values, as the mean pull of the objective.
    seed
        Of all that is drawn at random.
    """

    start: Start = "noise"
    steps: int = 128
    parametrisation: Parametrisation = "frequency"
    learning_rate: float = 0.1
    jitter: int | None = None
    rotate: float = 5.0
    rescale: float = 0.05
    blur: float = 0.0
    total_variation: float = 0.3
    decay: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (("start", Start), ("parametrisation", Parametrisation)):
            if getattr(self, name) not in get_args(choices):
                listed = " or ".join(f'"{choice}"' for choice in get_args(choices))
                raise ValueError(f"{name}={getattr(self, name)!r} must be {listed}.")
        if self.steps < 1 or not self.learning_rate > 0:
            raise ValueError("steps must be 1 or more, and learning_rate more than 0.")
        negative = [
            field.name
            for field in fields(self)
            if field.name not in {"start", "parametrisation", "seed"}
            and (getattr(self, field.name) or 0) < 0
        ]
        if negative or self.rescale >= 1:
            name = negative[0] if negative else "rescale"
            raise ValueError(f"{name}={getattr(self, name)} is out of range.")


class Sought:
    """The picture that is sought, made of what is learnt, and how it is moved and changed."""

    def __init__(self, field: Canvas, options: AscentOptions) -> None:
        self._field, self._options = field, options
        self._generator = torch.Generator().manual_seed(options.seed)
        self._size = field.shape[2:]
        self._scale: Tensor | None = None
        if options.parametrisation == "frequency" and self._size:
            self._scale = spectrum_scale(self._size).to(field.black)
        self._start = field.picture() if options.start == "sample" else field.usual
        self._starts = 0
        self._is_felt = False
        self._is_silent = False
        self._begin()

    @property
    def note(self) -> str:
        """What is said with every step."""
        options = self._options
        parts = [
            self._field.note,
            f"from the {options.start}, seed {options.seed}",
            "frequencies" if self._scale is not None else "values one by one",
        ]
        if self._starts > 1:
            parts.append(f"begun {self._starts} times, since no gradient was felt")
        if self._is_silent:
            parts.append(
                "no gradient is felt here: another seed, the sample as start or the layer "
                "before an activation function may help"
            )
        return " · ".join(parts)

    def _begin(self) -> None:
        """At the start, or near it: the noise is stronger each time."""
        shape = self._field.shape
        if self._scale is not None:
            shape = (*shape[:2], *self._scale.shape, 2)
        deviation = _FIRST_NOISE * 10**self._starts if self._options.start == "noise" else 0.0
        noise = torch.randn(shape, generator=self._generator, **_DRAWS)
        self._learnt = noise.to(self._field.black) * deviation
        self._adam = Adam(self._options.learning_rate)
        self._starts += 1

    def picture(self) -> Tensor:
        """(1, channels, …space), in the graph of what is learnt."""
        self._learnt = self._learnt.detach().requires_grad_()
        logits = self._learnt
        if self._scale is not None:
            logits = from_spectrum(logits, self._scale, self._size) / _CALM
            logits = mixed_colours(logits) if self._field.is_colour else logits
        return (self._start.logit() + logits).sigmoid()

    def moved(self, picture: Tensor) -> Tensor:
        """The picture as it is shown to the model next: turned, scaled, shifted at random."""
        options = self._options
        count = 2 + len(self._size)
        draws = torch.rand(count, generator=self._generator, **_DRAWS).mul(2).sub(1).tolist()
        if len(self._size) == 2 and (options.rotate or options.rescale):
            scale = 1 + draws[1] * options.rescale
            picture = turned(picture, draws[0] * options.rotate, scale)
        if self._size and self._jitter:
            picture = shifted(picture, [round(draw * self._jitter) for draw in draws[2:]])
        return picture

    @property
    def _jitter(self) -> int:
        given = self._options.jitter
        return min(self._size) // 16 if given is None else given

    def climb(self, picture: Tensor, given: Tensor, gradient: Tensor) -> None:
        """One step: ``picture`` as it was made, ``given`` to the model, the gradient there."""
        options = self._options
        (pull,) = torch.autograd.grad(given, picture, gradient)
        strength = pull.abs().mean()
        self._is_silent = not strength > 0
        if strength > 0:
            self._is_felt = True
            pull = pull / strength
        elif not self._is_felt and options.start == "noise" and self._starts < _MOST_STARTS:
            self._begin()
            return
        if options.blur and self._size:
            pull = blurred(pull, options.blur)
        if options.total_variation and self._size:
            leaf = picture.detach().requires_grad_()
            (rough,) = torch.autograd.grad(total_variation(leaf), leaf)
            pull = pull - options.total_variation * rough
        pull = pull - 2 * options.decay * (picture.detach() - self._start)
        (uphill,) = torch.autograd.grad(picture, self._learnt, pull)
        self._learnt = self._adam.stepped(self._learnt.detach(), uphill)
