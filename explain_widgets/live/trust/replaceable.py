"""What of a sample can be replaced, feature by feature: patches, tokens, time steps, columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.masking import (
    feature_count,
    feature_groups,
    feature_sums,
    masked,
    shared,
    without_features,
)
from explain_widgets.live.access import Access
from explain_widgets.live.altered import Place
from explain_widgets.live.attribution.baselines import baselines as baselines_of
from explain_widgets.live.attribution.groups import feature_masks
from explain_widgets.live.attribution.inputs import Explained, explained_inputs
from explain_widgets.live.canvas import arrangement
from explain_widgets.live.errors import ExplainError
from explain_widgets.live.samples import Sample

MOST_FEATURES = 1024
"""Pixels are put together into patches until there are no more features than these."""

Kind: TypeAlias = Literal["image", "tokens", "vectors", "columns"]


class FeatureError(ExplainError, ValueError):
    """An attribution cannot be held against the features of its sample, and why."""


@dataclass(frozen=True, eq=False)
class Replaceable:
    """The input of a sample whose features are kept or replaced.

    Attributes
    ----------
    one
        The input; of token ids, their embeddings.
    values
        What goes in there, without the axis of the batch.
    baseline
        What replaces it, of the same shape.
    groups
        To which feature each of its numbers belongs, see `feature_groups`.
    kind
        What the features are: pixels or patches of an ``"image"``, ``"tokens"``, steps of a
        sequence of ``"vectors"``, ``"columns"`` of a table.
    axes
        Axes of ``values`` along which features lie.
    note
        How many of what, and what replaces them, in words.
    """

    one: Explained
    values: Tensor
    baseline: Tensor
    groups: Tensor
    kind: Kind
    axes: tuple[int, ...]
    note: str

    @property
    def count(self) -> int:
        """How many features there are."""
        return feature_count(self.groups)

    @property
    def name(self) -> str:
        """Of the input, as attributions call it."""
        return self.one.name

    @property
    def place(self) -> Place:
        """Where it goes into the model, as in `Batches`."""
        return self.one.place

    def masked(self, keep: Tensor) -> dict[Place, Tensor]:
        """The input with some features replaced, (n, *shape of values), by its place.

        Parameters
        ----------
        keep
            (n, features), bool.
        """
        return {self.place: masked(self.values, self.baseline, self.groups, keep)}

    def sums(self, attribution: Attribution) -> Tensor:
        """An attribution as one number a feature, (features,), float64: sums of its numbers.

        Parameters
        ----------
        attribution
            Of this input, or of several and of this: with its axis of the batch, 1 long where
            numbers were attributed to together; of tokens also (1, tokens). What was found for
            features of its own is shared out among their numbers. Maps of a layer are summed over
            channels and stretched over an image first, bilinearly.

        Raises
        ------
        FeatureError
            When they cannot be brought together.
        """
        values = attribution.values
        if isinstance(values, Mapping):
            if self.name not in values:
                listed = ", ".join(map(repr, values)) or "nothing"
                raise FeatureError(
                    f"The attribution is of {listed}, and features of {self.name!r} are replaced."
                )
            values = values[self.name]
        if "feature_mask" in attribution.options:
            masks = feature_masks((self.one,), attribution.options["feature_mask"])
            values = shared(values, masks[self.place])
        own = values.detach()[0] if values.ndim and len(values) == 1 else values.detach()
        laid = self._laid_on(own)
        if laid is None:
            raise FeatureError(
                f"An attribution of shape {tuple(values.shape)} does not lie on the features of an "
                f"input of shape {tuple(self.values.shape)}: attribute to the input, or to a layer "
                "whose maps or positions are those of the input."
            )
        # An axis of 1 stands for all numbers along it.
        groups = self.groups
        for axis, length in enumerate(laid.shape):
            if length == 1:
                groups = groups.narrow(axis, 0, 1)
        return feature_sums(laid, groups)

    def _laid_on(self, own: Tensor) -> Tensor | None:
        """An attribution with the axes of the input, 1 long where it does not tell apart."""
        shape, along = tuple(self.values.shape), {axis % self.values.ndim for axis in self.axes}
        if own.ndim == len(shape) and all(
            have == want or (have == 1 and axis not in along)
            for axis, (have, want) in enumerate(zip(own.shape, shape, strict=True))
        ):
            return own
        if self.kind == "image":
            return self._stretched(own)
        steps = shape[self.axes[0]]
        # Channels of embeddings, or of a layer: those of a position add up.
        if own.ndim == 2 and self.kind != "columns" and own.shape[0] == steps:
            own = own.sum(-1)
        elif own.ndim == 2 and own.shape == (1, steps):
            own = own[0]
        if own.shape != (steps,):
            return None
        return own.reshape(steps, *[1] * (len(shape) - 1))

    def _stretched(self, own: Tensor) -> Tensor | None:
        """Maps (channels, …space) of a layer, summed over channels and stretched over the image."""
        space = [self.values.shape[axis] for axis in self.axes]
        if own.ndim != len(space) + 1 or len(space) != 2:
            return None
        one = own.double().sum(0)[None, None]
        over = F.interpolate(one, size=space, mode="bilinear", align_corners=False)[0, 0]
        return over.reshape([n if a in self.axes else 1 for a, n in enumerate(self.values.shape)])


def replaceable(
    access: Access,
    sample: Sample,
    only: str | None = None,
    patch: int | None = None,
    baselines: Any = None,
) -> Replaceable:
    """What can be replaced of a sample: the embeddings of its token ids, else its first input.

    Special tokens and padding stay as they are.

    Parameters
    ----------
    access
        To the live model.
    sample
        Which sample, on the device of the model.
    only
        The name of an input; None: the first.
    patch
        Of an image: pixels along a side of what is one feature; None: as few as leave no more
        than `MOST_FEATURES`. All channels go together.
    baselines
        What replaces features, as in `LiveModel.attribute`; None: padding for tokens, else zero.

    Raises
    ------
    GradientError, LayerError, BaselineError
        When there is no such input, or the baseline does not fit it.
    FeatureError
        When nothing in it can be replaced, or ``patch`` is given and it is no image.
    """
    one = explained_inputs(access, sample, only)[0]
    if isinstance(baselines, Mapping):
        baselines = baselines.get(one.name)
    made, words = baselines_of(access, sample, (one,), baselines)
    if one.value.ndim < 2 or len(one.value) != 1:
        raise FeatureError(
            f"Features of input {one.name!r} {tuple(one.value.shape)} cannot be replaced: its "
            "first axis must be a batch of 1, followed by others."
        )
    values, kind = one.value[0], _kind(one)
    axes = _space(one.value) if kind == "image" else (0,)
    if kind == "image":
        patch = patch or _smallest([values.shape[axis] for axis in axes])
    elif patch is not None:
        raise FeatureError(f"patch={patch} is for images, and input {one.name!r} is none.")
    groups = feature_groups(values.shape, axes, patch or 1)
    if kind in ("tokens", "vectors"):
        groups = without_features(groups, _staying(sample, one))
    note = f"{_counted(feature_count(groups), kind, patch)} · {words}"
    return Replaceable(one, values, made[one.name][0], groups, kind, axes, note)


def _kind(one: Explained) -> Kind:
    if one.ids is not None:
        return "tokens"
    if _space(one.value):
        return "image"
    return "columns" if one.value.ndim == 2 else "vectors"


def _space(tensor: Tensor) -> tuple[int, ...]:
    """The axes of space, without that of the batch; none: it is no image."""
    arranged = arrangement(tensor)
    missing = len(arranged.shape) - tensor.ndim
    return () if arranged.axes is None else tuple(a - 1 - missing for a in arranged.axes[2:])


def _smallest(sides: list[int]) -> int:
    """The smallest patch that leaves few enough features."""
    patch = 1
    while math.prod(-(-side // patch) for side in sides) > MOST_FEATURES:
        patch += 1
    return patch


def _staying(sample: Sample, one: Explained) -> Tensor:
    """(positions,), bool: special tokens and padding."""
    count = one.value.shape[1]
    stays = torch.zeros(count, dtype=torch.bool)
    start, stop = sample.valid_of(one.name)
    if start < stop <= count:
        stays[:start] = stays[stop:] = True
    tokens = sample.token_lists.get(one.name, [])
    if len(tokens) == count:
        stays |= torch.tensor([token.special for token in tokens])
    if bool(stays.all()):
        raise FeatureError("There is no token but special ones and padding: nothing to replace.")
    return stays


def _counted(count: int, kind: Kind, patch: int | None) -> str:
    """How many of what, in words."""
    if kind == "image":
        return f"{count:,} pixels" if patch == 1 else f"{count:,} patches, {patch} pixels wide"
    return f"{count:,} {'steps' if kind == 'vectors' else kind}"
