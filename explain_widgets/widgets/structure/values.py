"""The numbers of one module: its outputs, parameters and gradients, and how it was initialised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from explain_widgets.analysis.initialisation import (
    Expectation,
    Initialisation,
    compared_deviation,
    initialisation,
)
from explain_widgets.analysis.statistics import (
    Histogram,
    TensorStatistics,
    tensor_histogram,
    tensor_statistics,
)
from explain_widgets.live.errors import GradientError, LayerError, RunError, TargetError
from explain_widgets.live.model import LiveModel
from explain_widgets.live.structure.following import Following, Followings
from explain_widgets.live.structure.stored import own_tensors
from explain_widgets.live.structure.trace import Trace
from explain_widgets.live.targets import Target

MOST_PARTS = 300
"""Of a container so many tensors of parameters are listed."""
_MOST_OUTPUTS = 4


@dataclass(frozen=True)
class Quantity:
    """A tensor of a module in numbers.

    Attributes
    ----------
    name
        ``"output"``, ``"weight"``, ``"weight gradient"``, ….
    kind
        ``"output"``, ``"parameter"`` or ``"gradient"``.
    shape
        Of the tensor.
    statistics, histogram
        Of its numbers.
    tensor
        Itself, detached.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    statistics: TensorStatistics
    histogram: Histogram
    tensor: Tensor = field(repr=False, compare=False)


@dataclass(frozen=True)
class Part:
    """A tensor of parameters below a container.

    Attributes
    ----------
    name
        From the container on.
    shape
        Of the tensor.
    statistics
        Of its numbers.
    """

    name: str
    shape: tuple[int, ...]
    statistics: TensorStatistics


@dataclass(frozen=True)
class Initialised:
    """How a weight looks, and how it would be expected to.

    Attributes
    ----------
    module, parameter
        Path of the module, and the name of the weight within it.
    looks
        The initialisation that it looks like.
    expected
        What the activation that follows asks for; None: nothing is known.
    following
        What comes after it; None: it is no weight of a layer.
    """

    module: str
    parameter: str
    looks: Initialisation
    expected: Expectation | None
    following: Following | None

    @property
    def is_far(self) -> bool:
        """Whether its deviation is far from the one expected, and it looks untrained."""
        far = self.expected is not None and bool(self.expected.sentence)
        return far and self.looks.family != "other"

    @property
    def sentence(self) -> str:
        """What it looks like, beside what would be expected."""
        expected, following = self.expected, self.following
        looks = f"{self.parameter} looks like {self.looks}."
        if expected is None or following is None:
            return looks
        if following.normalised:
            return f"{looks} A normalisation follows, which undoes its scale."
        if expected.sentence:
            said = expected.sentence.removesuffix(".")
            return f"{looks} {said} ({expected.source})."
        return (
            f"{looks} Its deviation {self.looks.deviation:.3g} is not far from the "
            f"{expected.deviation:.3g} of {expected.scheme} ({expected.source})."
        )


class ValueReader:
    """Reads the numbers of modules from a live model.

    Parameters
    ----------
    live
        The model.
    """

    def __init__(self, live: LiveModel) -> None:
        self._live = live

    def module(self, name: str) -> nn.Module:
        """The module of a call, as the model has it now."""
        # Scripted modules know no `get_submodule`.
        return dict(self._live.model.named_modules())[name.partition(":")[0]]

    def outputs(self, name: str, sample: int) -> Iterator[Quantity]:
        """The tensors of floating point that a call returns, the first of them.

        Raises
        ------
        LayerError, RunError
            When it never ran, returns none, or the forward failed.
        """
        entries = [one for one in self._live.entries(name, sample) if one.strided]
        floating = [one for one in entries if one.dtype.is_floating_point or one.dtype.is_complex]
        if not floating:
            raise LayerError(f"{name or 'The model'} returns no tensor of floating point.")
        for entry in floating[:_MOST_OUTPUTS]:
            tensor = self._live.activation(name, sample, entry.name)
            yield _quantity(f"output {entry.name}".rstrip(), "output", tensor)

    def parameters(self, name: str) -> Iterator[Quantity]:
        """The parameters and buffers of a module itself."""
        for own in own_tensors(self.module(name)):
            for parameter, tensor in own.items():
                if _has_numbers(tensor) and tensor.numel():
                    yield _quantity(parameter, "parameter", tensor)

    def parts(self, name: str) -> Iterator[Part]:
        """The tensors of parameters below a module, but for its own, each once."""
        for parameter, tensor in self._below(name):
            yield Part(parameter, tuple(tensor.shape), tensor_statistics(tensor))

    def count_parts(self, name: str) -> int:
        """How many `parts` there are."""
        return sum(1 for _ in self._below(name))

    def _below(self, name: str) -> Iterator[tuple[str, Tensor]]:
        for parameter, tensor in self.module(name).named_parameters():
            if "." in parameter and _has_numbers(tensor) and tensor.numel():
                yield parameter, tensor

    def weights(self, name: str) -> Iterator[tuple[str, Tensor]]:
        """The parameters of a module itself that are matrices, or kernels."""
        for parameter, tensor in own_tensors(self.module(name))[0].items():
            if _is_weight(tensor):
                yield parameter, tensor

    def gradients(self, name: str, sample: int, target: Target) -> Iterator[Quantity]:
        """The gradients of the target by the output of a call, and by the module's parameters.

        Raises
        ------
        GradientError, TargetError, LayerError, RunError
            When there are none.
        """
        yield _quantity("output gradient", "gradient", self._live.gradient(name, sample, target))
        own = self._own_names(name)
        if own:
            found = self._live.parameter_gradients(sample, target, own)
            for stored, parameter in own.items():
                slopes = found.get(stored)
                if slopes is not None:
                    yield _quantity(f"{parameter} gradient", "gradient", slopes)

    def all(self, name: str, sample: int, target: Target) -> tuple[list[Quantity], str]:
        """Outputs, parameters and gradients, and why there is no output or no gradient, or ""."""
        found, why = self.without_gradients(name, sample)
        try:
            return [*found, *self.gradients(name, sample, target)], why
        except NO_NUMBERS as error:
            return found, why or str(error)

    def without_gradients(self, name: str, sample: int) -> tuple[list[Quantity], str]:
        """Outputs and parameters, and why there is no output, or ""."""
        parameters = list(self.parameters(name))
        try:
            return [*self.outputs(name, sample), *parameters], ""
        except NO_NUMBERS as error:
            return parameters, str(error)

    def initialisations(self, name: str, trace: Trace) -> Iterator[Initialised]:
        """How the weights of a module itself look, and what is expected by what follows them."""
        yield from self._initialised(name.partition(":")[0], Followings(trace))

    def all_initialisations(self, trace: Trace) -> Iterator[Initialised]:
        """The same of all modules; a weight that is shared, at the first that has it."""
        followings, seen = Followings(trace), set[int]()
        for path, _ in self._live.model.named_modules():
            for one in self._initialised(path, followings):
                weight = own_tensors(self.module(path))[0][one.parameter]
                if id(weight) not in seen:
                    seen.add(id(weight))
                    yield one

    def _initialised(self, path: str, followings: Followings) -> Iterator[Initialised]:
        tensors = own_tensors(self.module(path))[0]
        for stored, parameter in self._own_names(path).items():
            weight = tensors[parameter]
            if not _is_weight(weight):
                continue
            following = followings.after(stored)
            lies = weight.mT if following is not None and following.turned else weight
            looks, expected = initialisation(lies), None
            if following is not None:
                shape, after = tuple(lies.shape), following.activation
                expected = compared_deviation(looks.deviation, shape, after, following.normalised)
            yield Initialised(path, parameter, looks, expected, following)

    def _own_names(self, name: str) -> dict[str, str]:
        """The module's parameters, by the names under which the model has them first."""
        own = own_tensors(self.module(name))[0]
        if not own:
            return {}
        names = {id(tensor): stored for stored, tensor in self._live.model.named_parameters()}
        return {names[id(t)]: parameter for parameter, t in own.items() if id(t) in names}


NO_NUMBERS = (GradientError, LayerError, RunError, TargetError)
"""What is raised where a module has no output or no gradient."""


def _quantity(name: str, kind: str, tensor: Tensor) -> Quantity:
    if tensor.layout != torch.strided:  # the gradient of an embedding may be sparse
        tensor = tensor.to_dense()
    known = tensor_statistics(tensor)
    histogram = tensor_histogram(tensor, known=known)
    return Quantity(name, kind, tuple(tensor.shape), known, histogram, tensor.detach())


def _has_numbers(tensor: Tensor | None) -> TypeGuard[Tensor]:
    """Whether it is there, and its numbers can be read."""
    return (
        isinstance(tensor, Tensor)
        and not isinstance(tensor, UninitializedParameter)
        and not (tensor.is_meta or tensor.is_nested or tensor.is_quantized)
        and tensor.layout == torch.strided
    )


def _is_weight(tensor: Tensor | None) -> TypeGuard[Tensor]:
    return (
        _has_numbers(tensor)
        and tensor.ndim > 1
        and tensor.is_floating_point()
        and tensor.numel() > 0
    )


def statistics_numbers(found: TensorStatistics) -> Mapping[str, float]:
    """The statistics by the names that messages, tables and figures give them."""
    return {
        "count": found.count,
        "mean": found.mean,
        "deviation": found.deviation,
        "minimum": found.minimum,
        "maximum": found.maximum,
        "zeros": found.zeros,
        "norm": found.norm,
        "nan": found.nans,
        "infinite": found.infinities,
    }
