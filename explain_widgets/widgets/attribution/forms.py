"""From an attribution to what is shown of it: a map, one number a token, or bars by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from explain_widgets.analysis.alignment import Alignment
from explain_widgets.analysis.attribution import (
    Attribution,
    over_channels,
    with_sign,
    word_scores,
)
from explain_widgets.analysis.feature_maps import choose_layout, maps_of
from explain_widgets.analysis.mosaic import mosaic
from explain_widgets.live.errors import ExplainError
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import Sample, Token
from explain_widgets.live.samples.groups import Units, unit_edges, united
from explain_widgets.widgets.attribution.asked import Handling

Form: TypeAlias = Literal["map", "text", "bars"]

_MOST_SIDE = 512


@dataclass(frozen=True, eq=False)
class Scores:
    """One score for each position, and how they are shown.

    Attributes
    ----------
    form
        How they are shown.
    values
        (height, width), float32 or float64, on the model's device; one row for text and bars.
    names
        Of the positions of bars.
    tokens
        Of text.
    alignment
        Where a map of a layer lies on the image; None: all over it, or there is no image.
    on_image
        Whether a map lies on the image of the sample.
    note
        What was pooled or left out.
    """

    form: Form
    values: Tensor
    names: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()
    alignment: Alignment | None = None
    on_image: bool = False
    note: str = ""


def scores_of(live: LiveModel, sample: Sample, attribution: Attribution, how: Handling) -> Scores:
    """One score for each position of an attribution.

    Parameters
    ----------
    live
        The model that it is of.
    sample
        The sample that it is of.
    attribution
        What is shown; where it is of several inputs, the first.
    how
        How channels and signs are put together.
    """
    name, values = next(iter(attribution.by_name.items()))
    note = f"of the input {name!r}" if len(attribution.by_name) > 1 else ""
    maps = _maps(live, sample, attribution, values)
    channels, slices, height, width = maps.shape
    if channels > 1 and slices == height == width == 1:
        row = with_sign(maps.reshape(1, -1), how.sign)
        names = sample.feature_names if attribution.layer is None else None
        fallback = "feature" if attribution.layer is None else "unit"
        return Scores("bars", row, _names(names, channels, fallback), note=note)
    summed = with_sign(over_channels(maps, 0, how.channels), how.sign)
    if height == slices == 1:
        return _row(sample, name, attribution, summed[0], note, how.units)
    return _map(live, sample, attribution, summed, note)


def _maps(live: LiveModel, sample: Sample, attribution: Attribution, values: Tensor) -> Tensor:
    """(channels, slices, height, width)."""
    if attribution.layer is not None:
        layout = live.layout(attribution.layer, sample.index)
        if layout.shape == tuple(values.shape):
            return maps_of(values, layout)
    elif sample.image is not None:
        maps = _image_maps(values, sample.image.shape[:2])
        if maps is not None:
            return maps
    if values.ndim == 3 and values.shape[:2] == (1, 1):  # a map that is a row
        return values[0][:, None, None]
    return maps_of(values, choose_layout(tuple(values.shape)))


def _image_maps(values: Tensor, size: tuple[int, ...]) -> Tensor | None:
    """The same of an image, whose channels are first, last or missing; None: it is none."""
    shape = tuple(values.shape)
    if shape[-2:] == size and values.ndim in (3, 4):
        return values.reshape(-1, 1, *size)
    if values.ndim == 4 and shape[1:3] == size:
        return values[0].movedim(-1, 0)[:, None]
    return None


def _names(given: list[str] | None, count: int, fallback: str) -> tuple[str, ...]:
    if given is not None and len(given) == count:
        return tuple(given)
    return tuple(f"{fallback} {index}" for index in range(count))


def _row(
    sample: Sample, name: str, attribution: Attribution, row: Tensor, note: str, units: Units
) -> Scores:
    """Tokens where there is one for each position, else bars."""
    count = row.shape[-1]
    lists = sample.token_lists
    own = lists.get(name)
    fitting = [tokens for tokens in lists.values() if len(tokens) == count]
    tokens = own if own is not None and len(own) == count else next(iter(fitting), None)
    if tokens is not None:
        if units != "tokens":
            edges = unit_edges(tokens, units)
            row, tokens = word_scores(row[0], edges)[None], united(tokens, edges)
            note = " · ".join(part for part in (note, f"summed by {units}") if part)
        return Scores("text", row, tokens=tuple(tokens), note=note)
    names = sample.feature_names if attribution.layer is None else None
    return Scores("bars", row, _names(names, count, "position"), note=note)


def _map(
    live: LiveModel, sample: Sample, attribution: Attribution, maps: Tensor, note: str
) -> Scores:
    notes = [note]
    if len(maps) > 1:
        notes.append(f"sum of {len(maps)} slices")
    whole = maps.sum(0)
    size = tuple(min(side, _MOST_SIDE) for side in whole.shape)
    drawn = whole
    if size != tuple(whole.shape):
        drawn = mosaic(whole[None], [0], (size[0], size[1]))[0]
        per = [side / pixels for side, pixels in zip(whole.shape, size, strict=True)]
        notes.append(f"strongest of {per[0]:.3g} × {per[1]:.3g} numbers per pixel")
    alignment = None
    if sample.image is not None and attribution.layer is not None:
        alignment = _alignment(live, sample, attribution.layer)
    on_image = sample.image is not None and (attribution.layer is None or alignment is not None)
    said = " · ".join(part for part in notes if part)
    return Scores("map", drawn, alignment=alignment, on_image=on_image, note=said)


def _alignment(live: LiveModel, sample: Sample, layer: str) -> Alignment | None:
    try:
        return live.alignment(layer, sample.index)
    except ExplainError:
        return None  # it is shown beside the image


def limit_of(values: Tensor, clip: float) -> tuple[float, float]:
    """The magnitude that colours end at, and the share of the numbers beyond it.

    Parameters
    ----------
    values
        Of any shape.
    clip
        A percentile of the magnitudes of the finite ones; 100: the largest.

    Examples
    --------
    >>> limit_of(torch.tensor([0.0, 1.0, 2.0, 3.0, -4.0]), 75.0)
    (3.0, 0.2)
    """
    sizes = values[values.isfinite()].abs().double().flatten()
    if not sizes.numel():
        return 0.0, 0.0
    largest = float(sizes.max())
    if clip >= 100:
        return largest, 0.0
    # The percentile is one of the numbers, as with "nearest" of NumPy.
    place = round((sizes.numel() - 1) * clip / 100)
    limit = float(sizes.sort().values[place]) or largest
    return limit, float((sizes > limit).double().mean())
