"""Inputs of which some features are replaced: pixels, patches, tokens, columns, embeddings.

A feature is a set of numbers of an input that are kept or replaced together. Which number belongs
to which feature is written down once, as a tensor of the shape of the input (``groups``); all else
follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def feature_groups(shape: Sequence[int], axes: Sequence[int], patch: int = 1) -> Tensor:
    """To which feature each number of an input belongs.

    Parameters
    ----------
    shape
        Of one input, without the axis of the batch.
    axes
        Along which features lie; numbers along the other axes belong together. Of an image
        (channels, height, width): (1, 2); of token ids (tokens,) and of embeddings (tokens,
        values): (0,); of the row of a table (columns,): (0,).
    patch
        So many positions along each of ``axes`` are one feature; the last one may be smaller.

    Returns
    -------
    Tensor
        ``shape``, int64, 0…features − 1, the last of ``axes`` counting fastest.

    Raises
    ------
    ValueError
        When ``patch`` is below 1, or there is no such axis.

    Examples
    --------
    >>> feature_groups((3, 4, 4), axes=(1, 2), patch=2)[0].tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    """
    if patch < 1:
        raise ValueError(f"patch={patch} must be 1 or more positions.")
    if not all(-len(shape) <= axis < len(shape) for axis in axes):
        raise ValueError(f"axes {tuple(axes)} are not all among those of {tuple(shape)}.")
    groups = torch.zeros((), dtype=torch.int64)
    for axis in axes:
        cells = torch.arange(shape[axis]) // patch
        along = [1] * len(shape)
        along[axis] = shape[axis]
        groups = groups * math.ceil(shape[axis] / patch) + cells.reshape(along)
    return groups.expand(tuple(shape)).contiguous()


def without_features(groups: Tensor, fixed: Tensor) -> Tensor:
    """The same features but for some, whose numbers are always kept: special tokens, padding.

    Parameters
    ----------
    groups
        See `feature_groups`.
    fixed
        (features,), bool: True for what is no feature any more.

    Returns
    -------
    Tensor
        Shape of ``groups``, int64: the features that are left, numbered anew; −1: always kept.

    Examples
    --------
    >>> without_features(torch.arange(4), torch.tensor([True, False, False, True])).tolist()
    [-1, 0, 1, -1]
    """
    fixed = fixed.to(groups.device)
    numbers = torch.where(fixed, -1, (~fixed).cumsum(0) - 1)
    # −1 in `groups` is the last place here, and stays −1.
    return torch.cat([numbers, numbers.new_tensor([-1])])[groups]


def feature_count(groups: Tensor) -> int:
    """How many features there are."""
    return int(groups.max()) + 1 if groups.numel() else 0


def feature_sums(values: Tensor, groups: Tensor) -> Tensor:
    """The sum of the numbers of each feature: an attribution by number, as one by feature.

    Sums, since attributions are shares of the output: those of a feature add up.

    Parameters
    ----------
    values
        (…, *shape of groups): an attribution of an input, or of several.
    groups
        See `feature_groups`; what is always kept is left out.

    Returns
    -------
    Tensor
        (…, features), float64, on the device of ``values``.

    Raises
    ------
    ValueError
        When the shapes do not fit.

    Examples
    --------
    >>> feature_sums(torch.ones(3, 4, 4), feature_groups((3, 4, 4), (1, 2), patch=2)).tolist()
    [12.0, 12.0, 12.0, 12.0]
    """
    inner = groups.ndim
    if inner > values.ndim or values.shape[values.ndim - inner :] != groups.shape:
        raise ValueError(
            f"An attribution of shape {tuple(values.shape)} does not fit an input of shape "
            f"{tuple(groups.shape)}."
        )
    flat = values.detach().double().reshape(*values.shape[: values.ndim - inner], -1)
    places = groups.to(values.device).flatten()
    found = flat.new_zeros(*flat.shape[:-1], feature_count(groups))
    return found.index_add(-1, places[places >= 0], flat[..., places >= 0])


def shared(values: Tensor, groups: Tensor) -> Tensor:
    """What was found for each feature and stands at all of its numbers, shared out among them.

    So that the numbers of a feature sum to what was found for it.

    Parameters
    ----------
    values
        Of any shape.
    groups
        (…) that broadcasts to it, whole numbers of 0 or more, equal where numbers are one feature.

    Returns
    -------
    Tensor
        Shape of ``values``, float64.

    Examples
    --------
    >>> shared(torch.tensor([6.0, 6.0, 6.0, 5.0]), torch.tensor([0, 0, 0, 1])).tolist()
    [2.0, 2.0, 2.0, 5.0]
    """
    places = groups.to(values.device).expand(values.shape)
    return values.detach().double() / places.flatten().bincount()[places]


def masked(values: Tensor, baseline: Tensor, groups: Tensor, keep: Tensor) -> Tensor:
    """Inputs that keep some features and have those of a baseline for the others.

    Parameters
    ----------
    values
        One input, without the axis of the batch; any dtype (token ids are integers).
    baseline
        What replaces it: broadcast to the shape of ``values``. The id of a padding or mask token,
        the mean of each column, a blurred image.
    groups
        See `feature_groups`, of the shape of ``values``.
    keep
        (n, features), bool.

    Returns
    -------
    Tensor
        (n, *shape of values), of its dtype and on its device; numbers that are kept are those of
        ``values`` bit for bit.

    Raises
    ------
    ValueError
        When the shapes do not fit.

    Examples
    --------
    >>> ids, padding = torch.tensor([11, 12, 13]), torch.tensor(0)
    >>> masked(ids, padding, torch.arange(3), torch.tensor([[True, False, True]])).tolist()
    [[11, 0, 13]]
    """
    if values.shape != groups.shape:
        raise ValueError(
            f"groups of shape {tuple(groups.shape)} do not fit an input of shape "
            f"{tuple(values.shape)}."
        )
    features = feature_count(groups)
    if keep.ndim != 2 or keep.shape[1] != features or keep.dtype != torch.bool:
        raise ValueError(
            f"keep must be (n, {features}) of bool, not {tuple(keep.shape)} of {keep.dtype}."
        )
    keep = keep.to(values.device)
    # One column more, which −1 finds: what is always kept.
    kept = torch.cat([keep, keep.new_ones(len(keep), 1)], 1)[:, groups.to(values.device)]
    return torch.where(kept, values, baseline.to(values))
