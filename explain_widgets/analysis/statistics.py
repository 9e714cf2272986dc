"""A tensor of any size in a few numbers, on the device where it is.

What is dear is avoided: `std_mean` and `histc` take up to fifty times as long as means, extremes
and norms. On one core of a CPU numpy finds extremes and zeros two to five times as fast as torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from explain_widgets.analysis.channels import finite_range, histogram, histogram_edges

_ROW = 1024
_SMALL = 2**15
_BLOCK = 2**14
_PIECE = 2**18
_ARRAY_PIECE = 2**17
_SUMMED = 512
_ONES: dict[Any, npt.NDArray[Any]] = {
    np.dtype(kind): np.ones(_SUMMED, kind) for kind in (np.float32, np.float64)
}
_FEW_THREADS = 3
"""With more, torch spreads a large piece over them and is the faster one."""
SAMPLE = 2**14
"""Histograms of larger tensors are of about so many of their numbers."""


@dataclass(frozen=True)
class TensorStatistics:
    """Numbers about a tensor.

    Attributes
    ----------
    count
        How many numbers it holds.
    mean, deviation, minimum, maximum, norm
        Over those that are finite: NaN where none is. The deviation is that of all of them
        (``numpy.std``), the norm √Σ x².
    zeros
        Share of exact zeros among all.
    nans, infinities
        How many are not finite.
    """

    count: int
    mean: float
    deviation: float
    minimum: float
    maximum: float
    norm: float
    zeros: float
    nans: int = 0
    infinities: int = 0


def tensor_statistics(tensor: Tensor) -> TensorStatistics:
    """The statistics of a tensor.

    Parameters
    ----------
    tensor
        Any shape and dtype, strided; of complex numbers the magnitudes count.

    Raises
    ------
    ValueError
        When it is sparse or nested.

    Examples
    --------
    >>> found = tensor_statistics(torch.tensor([0.0, 3.0, 3.0, torch.nan]))
    >>> found.mean, round(found.deviation, 3), found.zeros, found.nans
    (2.0, 1.414, 0.25, 1)
    """
    # What is measured in a forward finds the code out of the caches: each further function of torch
    # that is called costs up to 20 µs there, so the common case goes to numpy at once.
    if tensor.dtype == torch.float32 and _is_for_numpy(tensor) and tensor.is_contiguous():
        array = tensor.numpy(force=True).reshape(-1)
        sums = _sums_of_array(array)
        if sums.are_plain(len(array)):
            return _summed_up(sums, len(array))
    with torch.no_grad():
        return _statistics(flat_values(tensor))


def _statistics(values: Tensor) -> TensorStatistics:
    count = rest = values.numel()
    nans, infinities = 0, 0
    sums = _sums(values)
    if count and not (math.isfinite(sums.low) and math.isfinite(sums.high)):
        nans, infinities = int(values.isnan().sum()), int(values.isinf().sum())
        values = values[values.isfinite()]
        rest = values.numel()
        sums = _sums(values)
    if not rest:
        nothing = math.nan
        return TensorStatistics(
            count, nothing, nothing, nothing, nothing, nothing, 0.0, nans, infinities
        )
    if values.dtype == torch.float32 and not sums.can_be_squared():
        values = values.double()
        sums = _sums(values)
    around = None
    if not sums.are_spread(rest):
        mean = sums.total / rest
        around = sum(_squares(piece - mean) for piece in values.split(_PIECE))
    return _summed_up(sums, rest, nans, infinities, around)


class _Sums(NamedTuple):
    """Extremes, Σ x, Σ x² and the number of zeros."""

    low: float
    high: float
    total: float
    squares: float
    zeros: int

    def can_be_squared(self) -> bool:
        """Whether squares stay in the range of float32; not with NaN."""
        return 1e-15 < max(-self.low, self.high) < 1e15

    def are_spread(self, count: int) -> bool:
        """Whether the mean is so near that Σ x² has the digits of the deviation."""
        mean = self.total / count
        return mean**2 <= 10 * (self.squares / count - mean**2)

    def are_plain(self, count: int) -> bool:
        """Whether all there is to say follows from these sums in float32."""
        is_finite = math.isfinite(self.low) and math.isfinite(self.high)
        return is_finite and self.can_be_squared() and self.are_spread(count)


def _summed_up(
    sums: _Sums, rest: int, nans: int = 0, infinities: int = 0, around: float | None = None
) -> TensorStatistics:
    """What the sums of ``rest`` finite numbers say, with Σ (x − mean)² where they do not."""
    count, mean = rest + nans + infinities, sums.total / rest
    variance = sums.squares / rest - mean**2 if around is None else around / rest
    return TensorStatistics(
        count,
        mean,
        min(math.sqrt(variance), sums.high - sums.low),
        sums.low,
        sums.high,
        math.sqrt(sums.squares),
        sums.zeros / count,
        nans,
        infinities,
    )


_NOTHING = _Sums(math.nan, math.nan, 0.0, 0.0, 0)


def _is_for_numpy(tensor: Tensor) -> bool:
    return (
        tensor.is_cpu
        and tensor.layout == torch.strided
        and not tensor.is_nested
        and (tensor.numel() <= _SMALL or torch.get_num_threads() <= _FEW_THREADS)
    )


def _sums(values: Tensor) -> _Sums:
    if not values.numel():
        return _NOTHING
    if _is_for_numpy(values):
        return _sums_of_array(values.numpy(force=True))
    if not values.is_cpu:
        return _sums_of_piece(values)
    # On the CPU piece by piece: what was read once is still near for the next sum.
    return _joined([_sums_of_piece(piece) for piece in values.split(_PIECE)])


def _joined(parts: Sequence[_Sums]) -> _Sums:
    if len(parts) == 1:
        return parts[0]
    lows, highs, totals, squares, zeros = zip(*parts, strict=True)
    # NaN would get lost in a comparison.
    low = math.nan if any(map(math.isnan, lows)) else min(lows)
    return _Sums(low, max(highs), math.fsum(totals), math.fsum(squares), sum(zeros))


def _sums_of_piece(values: Tensor) -> _Sums:
    low, high = _extremes(values)
    zeros = _zeros(values) if low <= 0 <= high else 0
    return _Sums(low, high, float(values.sum()), _squares(values), zeros)


def _sums_of_array(values: npt.NDArray[Any]) -> _Sums:
    count = len(values)
    if not count:
        return _NOTHING
    # What is not finite is seen to afterwards.
    with np.errstate(invalid="ignore", over="ignore"):
        starts = range(0, count, _ARRAY_PIECE)
        return _joined([_sums_of_array_piece(values[s : s + _ARRAY_PIECE]) for s in starts])


def _sums_of_array_piece(values: npt.NDArray[Any]) -> _Sums:
    low, high = float(np.minimum.reduce(values)), float(np.maximum.reduce(values))
    zeros = int(np.count_nonzero(values == 0)) if low <= 0 <= high else 0
    return _Sums(low, high, _total(values), _squares_of_blocks(values), zeros)


def _total(values: npt.NDArray[Any]) -> float:
    """Σ x: a product of rows with ones is three times as fast as a sum, and as exact."""
    count = len(values)
    whole = count - count % _SUMMED
    rows = np.dot(values[:whole].reshape(-1, _SUMMED), _ONES[values.dtype])
    rest = np.add.reduce(values[whole:]) if whole < count else 0.0
    return float(np.add.reduce(rows, dtype=np.float64)) + float(rest)


def _squares_of_blocks(values: npt.NDArray[Any]) -> float:
    """Σ x², block by block: one sum in float32 would lose four digits over millions."""
    if len(values) <= _BLOCK:
        return float(np.dot(values, values))
    blocks = [values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK)]
    return math.fsum([float(np.dot(block, block)) for block in blocks])


def _zeros(values: Tensor) -> int:
    """How many are 0 or −0: by their bits, ten times as fast as by their values."""
    bits = values.view(torch.int32 if values.dtype == torch.float32 else torch.int64)
    return values.numel() - int(torch.count_nonzero(bits << 1))  # without the sign


def _extremes(values: Tensor) -> tuple[float, float]:
    if not values.numel():
        return math.nan, math.nan
    low, high = torch.aminmax(values)
    return float(low), float(high)


def _squares(values: Tensor) -> float:
    """Σ x², by rows where it is long: one sum in float32 would lose four digits over millions."""
    if values.numel() <= _SMALL:
        return float(torch.dot(values, values))
    rows = values.numel() // _ROW
    lengths = torch.linalg.vector_norm(values[: rows * _ROW].view(rows, _ROW), dim=1).double()
    rest = values[rows * _ROW :]
    return float(torch.dot(lengths, lengths)) + float(torch.dot(rest, rest))


def flat_values(tensor: Tensor) -> Tensor:
    """All numbers of a tensor in memory order where they lie dense, in float32 or float64.

    Raises
    ------
    ValueError
        When it is sparse or nested.
    """
    if tensor.is_nested or tensor.layout != torch.strided:
        raise ValueError(
            "Statistics are of strided tensors: pass tensor.to_dense(), or the tensors inside."
        )
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = tensor.abs()
    if tensor.is_contiguous():
        flat = tensor.view(-1)
    else:
        # Channels last, say: only another order of the same memory, which no statistic depends on.
        strides = tensor.stride()
        order = sorted(range(tensor.ndim), key=lambda axis: -strides[axis])
        flat = tensor.permute(order).reshape(-1)
    if flat.dtype in (torch.float32, torch.float64):
        return flat
    return flat.float() if flat.is_floating_point() else flat.double()


@dataclass(frozen=True)
class Histogram:
    """How the numbers of a tensor are distributed.

    Attributes
    ----------
    edges
        (bins + 1,), from the smallest to the largest finite number of all; 0 is one of them.
    counts
        (bins,) int64: how many lie in each bin.
    looked_at, count
        Of how many numbers out of how many.
    """

    edges: Tensor
    counts: Tensor
    looked_at: int
    count: int

    @property
    def note(self) -> str:
        """What should be said with it, or ""."""
        if self.looked_at == self.count:
            return ""
        return f"histogram of {self.looked_at:,} of {self.count:,} numbers, evenly spread"


def tensor_histogram(
    tensor: Tensor,
    bins: int = 40,
    known: TensorStatistics | None = None,
    sample: int = SAMPLE,
) -> Histogram:
    """The histogram of a tensor; of a large one of a part, which it says.

    Parameters
    ----------
    tensor
        Any shape and dtype, strided.
    bins
        About how many; see `histogram_edges`.
    known
        Its statistics, where they were taken already: the range is always that of all numbers.
    sample
        Of more numbers than these every so-manyth is looked at.

    Examples
    --------
    >>> found = tensor_histogram(torch.linspace(0, 1, 10**6), bins=4)
    >>> found.note
    'histogram of 15,874 of 1,000,000 numbers, evenly spread'
    """
    with torch.no_grad():
        values = flat_values(tensor)
        if known is None:
            low, high = finite_range(values) or (math.nan, math.nan)
        else:
            low, high = known.minimum, known.maximum
        ends = torch.tensor([low, high], dtype=values.dtype, device=values.device)
        edges = histogram_edges(ends, bins)
        looked_at = values[:: sample_step(tuple(tensor.shape), sample)]
        return Histogram(edges, histogram(looked_at, edges), looked_at.numel(), values.numel())


def sample_step(shape: tuple[int, ...], sample: int) -> int:
    """Every how-manyth number of a tensor is looked at, for about ``sample`` of them.

    It shares no factor with any axis: else the same channel or position would come up each time.

    Examples
    --------
    >>> sample_step((512, 14, 14), 1024)
    99
    """
    count = math.prod(shape)
    step = max(1, -(-count // sample))
    while step > 1 and any(math.gcd(step, size) > 1 for size in shape):
        step += 1
    return step


def active_units(tensor: Tensor, axis: int) -> Tensor:
    """Which units of an activation are not zero everywhere.

    A unit is dead over samples where it is active in none of them.

    Parameters
    ----------
    tensor
        Activation of one sample or of many.
    axis
        Along which its units (channels, neurons) lie.

    Returns
    -------
    Tensor
        (units,) bool on the device of ``tensor``; NaN counts as active.

    Examples
    --------
    >>> active_units(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]), axis=1).tolist()
    [False, True, True]
    """
    with torch.no_grad():
        rows = tensor.detach().movedim(axis, 0).flatten(1)
        return torch.count_nonzero(rows, dim=1) > 0
