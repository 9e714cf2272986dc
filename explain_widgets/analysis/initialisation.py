"""Which initialisation a weight looks like, from its numbers alone.

The family (uniform, normal, truncated normal) is the likeliest of them; its scale is compared with
those that fan-in and fan-out give (Glorot and Bengio 2010; He et al. 2015; LeCun et al. 1998).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from explain_widgets.analysis.statistics import TensorStatistics, flat_values, tensor_statistics

Family: TypeAlias = Literal[
    "zero", "constant", "identity", "orthogonal", "uniform", "normal", "truncated normal", "other"
]
_FEW = 32
# The share of normal numbers that lies between −2σ and 2σ.
_KEPT = math.erf(math.sqrt(2))


@dataclass(frozen=True)
class Initialisation:
    """What a weight looks like.

    Attributes
    ----------
    family
        How its numbers are distributed; ``"other"``: as none of these, as after training.
    names
        The schemes that give this family with this deviation, likelier ones first:
        ``"He (fan-in)"``, ``"Xavier"``, ``"LeCun"``, ``"PyTorch's default"``. Several where they
        agree for this shape, none where the deviation is another.
    deviation
        That of its numbers.
    fan_in, fan_out
        Inputs of an output, and outputs of an input, as ``torch.nn.init`` counts them; 0 of a
        tensor with less than two axes.
    gain
        Of an orthogonal one the length of its rows (or columns); else 1.
    """

    family: Family
    names: tuple[str, ...]
    deviation: float
    fan_in: int
    fan_out: int
    gain: float = 1.0

    def __str__(self) -> str:
        if self.family == "other":
            return "no initialisation that is known"
        if not self.names:
            return self.family
        return f"{' or '.join(self.names)}, {self.family}"


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Fan-in and fan-out of a weight (outputs, inputs, …), as in ``torch.nn.init``; or (0, 0).

    Examples
    --------
    >>> fans((64, 3, 7, 7))
    (147, 3136)
    """
    if len(shape) < 2:
        return 0, 0
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def initialisation(weight: Tensor, known: TensorStatistics | None = None) -> Initialisation:
    """The initialisation that a weight looks like.

    Parameters
    ----------
    weight
        (outputs, inputs, …), or a vector, strided.
    known
        Its statistics, where they were taken already.

    Examples
    --------
    >>> weight = torch.nn.init.kaiming_normal_(torch.empty(64, 48))
    >>> str(initialisation(weight))
    'He (fan-in), normal'
    """
    found = tensor_statistics(weight) if known is None else known
    fan_in, fan_out = fans(tuple(weight.shape))

    def looks(family: Family, names: tuple[str, ...] = (), gain: float = 1.0) -> Initialisation:
        return Initialisation(family, names, found.deviation, fan_in, fan_out, gain)

    if found.nans or found.infinities or not found.count:
        return looks("other")
    if found.minimum == found.maximum:
        return looks("zero" if found.maximum == 0 else "constant")
    if _is_identity(weight):
        return looks("identity")
    gain = _orthogonal_gain(weight)
    if gain is not None:
        return looks("orthogonal", gain=gain)
    with torch.no_grad():
        family = _family(flat_values(weight), found)
    if family == "other" or not fan_in:
        return looks(family)
    names = tuple(
        name for name, expected in _schemes(fan_in, fan_out) if _agrees(family, found, expected)
    )
    return looks(family, names)


def _schemes(fan_in: int, fan_out: int) -> Iterator[tuple[str, float]]:
    """Names of schemes with their deviations, likelier ones first."""
    yield "He (fan-in)", math.sqrt(2 / fan_in)
    yield "Xavier", math.sqrt(2 / (fan_in + fan_out))
    yield "He (fan-out)", math.sqrt(2 / fan_out)
    yield "LeCun", math.sqrt(1 / fan_in)
    yield "PyTorch's default", math.sqrt(1 / (3 * fan_in))


def _agrees(family: Family, found: TensorStatistics, expected: float) -> bool:
    """Whether numbers of this family have an expected deviation, as far as chance allows."""
    count = found.count
    if family == "uniform":
        # The largest tells the bound to one part in their number.
        bound, largest = math.sqrt(3) * expected, max(-found.minimum, found.maximum)
        return (1 - 12 / count) * bound <= largest <= 1.001 * bound
    # Four standard errors of the deviation of normal numbers.
    return abs(found.deviation / expected - 1) <= max(0.001, 4 / math.sqrt(2 * count))


def _family(values: Tensor, found: TensorStatistics) -> Family:
    """The likeliest family of numbers that are not all the same."""
    count, mean, deviation = found.count, found.mean, found.deviation
    if count < _FEW:
        return "other"
    half, centre = (found.maximum - found.minimum) / 2, (found.maximum + found.minimum) / 2
    off_centre = abs(mean) / deviation * math.sqrt(count) > 5
    fourth = _fourth_moment(values, mean, deviation)
    # Mean log-likelihoods, beside constants that all share.
    normal = -0.5 - math.log(deviation) - _HALF_LOG_TAU
    uniform = -math.log(2 * half)
    scale = half / 2
    moment = (deviation**2 + (mean - centre) ** 2) / scale**2
    truncated = -moment / 2 - math.log(scale * _KEPT) - _HALF_LOG_TAU
    error = math.sqrt(24 / count)
    if uniform > max(normal, truncated) and abs(fourth - 1.8) < 0.1 + 5 * error / 4:
        return "uniform"
    if not off_centre and count * (truncated - normal) > 10 and abs(fourth - 2.365) < 0.1 + error:
        return "truncated normal"
    return "normal" if abs(fourth - 3) < 0.05 + 6 * error else "other"


_HALF_LOG_TAU = math.log(2 * math.pi) / 2


def _fourth_moment(values: Tensor, mean: float, deviation: float) -> float:
    """Kurtosis: 1.8 of uniform numbers, 3 of normal ones."""
    return float(((values - mean) / deviation).square_().square_().mean())


def _is_identity(weight: Tensor) -> bool:
    """Ones where input and output have the same index (at the middle of a kernel), else zeros."""
    if weight.ndim < 2 or min(weight.shape[:2]) < 2:
        return False
    # By its sums first: nothing of the size of a weight is made for most.
    if int(torch.count_nonzero(weight.detach())) != min(weight.shape[:2]):
        return False
    kernels = weight.detach().reshape(*weight.shape[:2], -1)
    middle = kernels[..., kernels.shape[-1] // 2]
    return bool((middle.diagonal() == 1).all())


_ROWS = 64
_NEARLY = {torch.bfloat16: 2e-2, torch.float16: 3e-3}


def _orthogonal_gain(weight: Tensor) -> float | None:
    """Length of the rows of a matrix with orthogonal rows (or columns, if fewer); None: it has not.

    Looked at in the first rows: random ones are far from orthogonal.
    """
    if weight.ndim < 2 or not weight.is_floating_point():
        return None
    with torch.no_grad():
        matrix = weight.detach().flatten(1)
        short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
        if short.shape[0] < 2 or short.shape[1] < 4:
            return None
        rows = short[:_ROWS].double()
        products = rows @ rows.mT
        squared = float(products.diagonal().mean())
        if squared <= 0:
            return None
        off = (products / squared - torch.eye(len(rows), device=rows.device)).abs().max()
    return math.sqrt(squared) if float(off) < _NEARLY.get(weight.dtype, 1e-3) else None


@dataclass(frozen=True)
class Expectation:
    """How a deviation compares with what the activation that follows asks for.

    Attributes
    ----------
    scheme
        The scheme for it, in words.
    deviation
        What that gives for the fan-in (and fan-out).
    forward
        What keeps signals alike on their way forward, whatever gradients do on their way back.
    source
        Where the scheme was published.
    sentence
        What should be said where the one found is far from it, or "".
    """

    scheme: str
    deviation: float
    forward: float
    source: str
    sentence: str = ""


# Gains by activation, √ of what E[f(x)²] of a normal x leaves (He et al. 2015; torch.nn.init).
_RECTIFIERS = frozenset(
    {"relu", "relu6", "gelu", "silu", "mish", "leaky_relu", "elu", "prelu", "hardswish", "hardtanh"}
)
# PyTorch's own default is √6, 2.4 times, below He: that alone is not worth a warning.
_FAR = 3.0


def expected_deviation(weight_shape: tuple[int, ...], follows: str) -> Expectation | None:
    """The deviation that keeps signals alike through the activation that follows.

    Parameters
    ----------
    weight_shape
        (outputs, inputs, …).
    follows
        Name of the activation as in torch (``"relu"``, ``"tanh"``); "" : none.

    Returns
    -------
    Expectation or None
        None: of a vector, or of an activation that nothing is known of.

    Examples
    --------
    >>> round(expected_deviation((64, 50), "relu").deviation, 3)
    0.2
    """
    fan_in, fan_out = fans(weight_shape)
    if not fan_in:
        return None
    name = follows.rstrip("_")
    if name in _RECTIFIERS:
        deviation = math.sqrt(2 / fan_in)
        return Expectation(f"He (fan-in) before {name}", deviation, deviation, "He et al. 2015")
    gains = {"tanh": 5 / 3, "sigmoid": 1.0, "": 1.0, "selu": 0.75}
    if name not in gains:
        return None
    before = f" with gain {gains[name]:.3g} before {name}" if name else ""
    gain = gains[name]
    deviation = gain * math.sqrt(2 / (fan_in + fan_out))
    forward = gain * math.sqrt(1 / fan_in)
    return Expectation(f"Xavier{before}", deviation, forward, "Glorot and Bengio 2010")


def compared_deviation(
    found: float, weight_shape: tuple[int, ...], follows: str, normalised: bool = False
) -> Expectation | None:
    """The expectation, with a sentence where the deviation found is further off than threefold.

    Before anything but a rectifier it is also held against what keeps signals alike on their way
    forward alone: of layers with many more outputs than inputs Xavier lies far below that.

    Parameters
    ----------
    found
        Deviation of the weight.
    weight_shape, follows
        As in `expected_deviation`.
    normalised
        Whether a normalisation comes between: then scales do not matter, and none is judged.

    Examples
    --------
    >>> compared_deviation(0.02, (64, 50), "relu").sentence[:46]
    'Deviation 0.02 is 0.1 times the 0.2 of He (fan'
    """
    expected = expected_deviation(weight_shape, follows)
    if expected is None or normalised or not math.isfinite(found):
        return expected
    ratio = found / expected.deviation
    judged = (expected.deviation, expected.forward)
    if any(1 / _FAR <= found / scale <= _FAR for scale in judged):
        return expected
    effect = "shrink" if ratio < 1 else "grow"
    sentence = (
        f"Deviation {found:.3g} is {ratio:.2g} times the {expected.deviation:.3g} of "
        f"{expected.scheme}: signals {effect} in this layer."
    )
    return replace(expected, sentence=sentence)
