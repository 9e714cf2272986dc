"""Numbers as bytes: 255 levels of a range, and one byte value for what is no finite number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Scale: TypeAlias = Literal["linear", "log", "row"]
"""How weights become colours: in proportion, by their logarithm, or each row by its maximum."""

SCALES: tuple[Scale, ...] = ("linear", "log", "row")
LEVELS = 254
_ZERO = LEVELS // 2
NOT_FINITE = 255

# The logarithmic scale ends this many decades below the largest weight.
_DECADES = 4


@dataclass(frozen=True)
class Picture:
    """Bytes to be drawn through a colour table.

    Attributes
    ----------
    levels
        uint8; 0 to 254 over ``range``, 255 where the number is not finite.
    range
        The numbers that 0 and 254 stand for.
    nonfinite
        How many numbers were not finite.
    note
        How numbers became bytes, in words.
    limits
        Where each channel has a scale of its own: (channels,), what its ``range`` is multiplied by.
    """

    levels: npt.NDArray[np.uint8]
    range: tuple[float, float]
    nonfinite: int
    note: str
    limits: npt.NDArray[np.float64] | None = None


def quantise(values: npt.NDArray[np.floating], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Levels 0 to 254 of [low, high], clipped; 255 where not finite. Rounds to the nearest.

    Examples
    --------
    >>> quantise(np.array([0.0, 0.5, 2.0, np.nan]), 0.0, 1.0)
    array([  0, 127, 254, 255], dtype=uint8)
    """
    span = high - low
    factor = LEVELS / span if span > 0 else 0.0
    scaled = np.nan_to_num((values - low) * factor, nan=0.0)
    levels = np.rint(np.clip(scaled, 0, LEVELS)).astype(np.uint8)
    finite = np.isfinite(values)
    return levels if finite.all() else np.where(finite, levels, np.uint8(NOT_FINITE))


def weights_picture(weights: npt.NDArray[np.floating], scale: Scale) -> Picture:
    """Attention weights, (..., rows, columns), as a picture.

    ``"linear"``: from 0 to the largest. ``"log"``: by the logarithm, over at most four decades
    below the largest; smaller ones and zeros are shown as the smallest. ``"row"``: each row from 0
    to its own largest.
    """
    finite = np.isfinite(weights)
    nonfinite = int(finite.size - np.count_nonzero(finite))
    largest = float(np.max(weights, initial=0.0, where=finite))
    if scale == "row":
        top = np.max(weights, axis=-1, keepdims=True, initial=0.0, where=finite)
        levels = quantise(weights / np.where(top > 0, top, 1.0), 0.0, 1.0)
        return Picture(levels, (0.0, 1.0), nonfinite, "uint8 of each row ÷ its largest weight")
    if scale == "log" and largest > 0:
        smallest = float(np.min(weights, initial=largest, where=finite & (weights > 0)))
        low = max(smallest, largest / 10**_DECADES)
        logarithms = np.log10(np.maximum(weights, low))
        levels = quantise(logarithms, np.log10(low), np.log10(largest))
        return Picture(levels, (low, largest), nonfinite, f"uint8 of log {low:.2g} … {largest:.3g}")
    levels = quantise(weights, 0.0, largest)
    return Picture(levels, (0.0, largest), nonfinite, f"uint8 of 0 … {largest:.3g}")


def signed_picture(
    values: npt.NDArray[np.floating],
    limit: float | None = None,
    per_channel: bool = False,
    is_within: bool = False,
) -> Picture:
    """Signed numbers as a picture for a diverging map: 127 is zero, the scale symmetric.

    Parameters
    ----------
    values
        Of any shape; with ``per_channel`` maps, (channels, rows, columns).
    limit
        The number that 254 stands for (and −``limit`` is 0), so that pages of one layer are
        drawn alike; None: the largest magnitude in ``values``. What is beyond is clipped.
    per_channel
        Each channel to its own largest magnitude instead: ``limits`` holds them.
    is_within
        All numbers are known to be finite, and none to be beyond ``limit``.

    Examples
    --------
    >>> signed_picture(np.array([[[-2.0, 0.0, 1.0]]], dtype=np.float32)).levels.tolist()
    [[[0, 127, 191]]]
    """
    rows = values.reshape(len(values), -1) if per_channel else values.reshape(1, -1)
    limits = None
    if limit is None or per_channel:
        largest, is_within = _magnitudes(rows)
    if per_channel:
        limits = largest
        factors = _factors(limits[:, None], values.dtype)
        limit, note = 1.0, "uint8 of each channel ÷ its largest magnitude"
    else:
        limit = float(largest[0]) if limit is None else limit
        factors = _factors(np.full((1, 1), limit), values.dtype)
        note = f"uint8 of ±{limit:.3g}"
    levels = np.empty(rows.shape, np.uint8)
    # Block by block, which stays in the processor's cache: while a slider moves there are many.
    down, across = max(1, _BLOCK // max(1, rows.shape[1])), _BLOCK
    nonfinite = sum(
        _write_levels(
            rows[top : top + down, left : left + across],
            factors[top : top + down],
            is_within,
            levels[top : top + down, left : left + across],
        )
        for top in range(0, rows.shape[0], down)
        for left in range(0, rows.shape[1], across)
    )
    return Picture(levels.reshape(values.shape), (-limit, limit), nonfinite, note, limits)


_BLOCK = 2**16


def _factors(limits: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> npt.NDArray[np.floating]:
    """What numbers are multiplied by to be levels; any where all of them are 0."""
    # Next to the smallest float the factor has no place in its type.
    wide = dtype if np.min(limits, initial=1, where=limits > 0) > 1e-36 else np.dtype(np.float64)
    factors: npt.NDArray[np.floating] = (_ZERO / np.where(limits > 0, limits, 1.0)).astype(wide)
    return factors


def _write_levels(
    values: npt.NDArray[np.floating],
    factors: npt.NDArray[np.floating],
    is_within: bool,
    levels: npt.NDArray[np.uint8],
) -> int:
    """Write the levels of numbers, 127 + ``factors`` times them; how many were not finite.

    ``is_within``: all are known to be finite and to lie on the scale.
    """
    scaled = values * factors
    nonfinite = 0
    if not is_within and not (scaled.min() >= -_ZERO and scaled.max() <= _ZERO):
        unknown = ~np.isfinite(values)
        nonfinite = int(np.count_nonzero(unknown))
        scaled[unknown] = 0
        np.clip(scaled, -_ZERO, _ZERO, out=scaled)
    # What is cut off behind the point rounds to the nearest.
    scaled += _ZERO + 0.5
    np.copyto(levels, scaled, casting="unsafe")
    if nonfinite:
        levels[unknown] = NOT_FINITE
    return nonfinite


def _magnitudes(rows: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.float64], bool]:
    """The largest finite magnitude of each row (0: there is none), and whether all are finite."""
    largest = np.maximum(rows.max(1, initial=0), -rows.min(1, initial=0)).astype(np.float64)
    unknown = np.flatnonzero(~np.isfinite(largest))
    for row in unknown:
        known = np.isfinite(rows[row])
        largest[row] = np.max(np.abs(rows[row]), initial=0, where=known)
    return largest, len(unknown) == 0
