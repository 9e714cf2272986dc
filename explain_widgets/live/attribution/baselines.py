"""What an input is compared with: baselines by name, by sample, or as a tensor."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from explain_widgets.analysis.ascent import blurred
from explain_widgets.live.access import Access
from explain_widgets.live.altered import arguments
from explain_widgets.live.attribution.inputs import Explained, explained_inputs
from explain_widgets.live.canvas import arrangement
from explain_widgets.live.errors import ExplainError
from explain_widgets.live.recorder import Wanted
from explain_widgets.live.runs import Run
from explain_widgets.live.samples import Sample

BASELINES = {
    "zero": "zeros in the model's own values",
    "mean": "the mean colour of the image; else the mean over the samples",
    "blur": "the image, blurred until nothing is left to see of it",
    "padding": "padding tokens; special tokens stay",
}
"""The baselines by name, with what they are; an index means another sample."""

MOST_SAMPLES = 64

_NAMED = ", ".join(f'"{name}"' for name in BASELINES)
# Standard deviation of the blur, as a share of the shorter side.
_BLUR = 0.1


class BaselineError(ExplainError, ValueError):
    """A baseline that does not fit the input, and which do."""


def baselines(
    access: Access, sample: Sample, inputs: tuple[Explained, ...], asked: Any
) -> tuple[dict[str, Tensor], str]:
    """A baseline for each input, (1, …) as its value, and in words what it is.

    Parameters
    ----------
    access
        To the live model.
    sample
        Which sample.
    inputs
        What is attributed to.
    asked
        A name of `BASELINES`, the index of another sample, a number, a tensor; a mapping from the
        name of an input to one of them; None: padding for token ids, else zero.

    Raises
    ------
    BaselineError
        When a baseline does not fit an input.
    """
    given = asked if isinstance(asked, Mapping) else {one.name: asked for one in inputs}
    unknown = set(given) - {one.name for one in inputs}
    if unknown:
        names = [one.name for one in inputs]
        raise BaselineError(f"There is no input {min(unknown)!r} to attribute to, only {names}.")
    made, words = {}, []
    for one in inputs:
        tensor, note = _baseline(access, sample, one, given.get(one.name))
        made[one.name] = tensor.to(one.value).expand_as(one.value)
        words.append(note)
    return made, "baseline: " + ", ".join(dict.fromkeys(words))


def baseline_rows(
    access: Access, sample: Sample, inputs: tuple[Explained, ...], asked: Any
) -> tuple[dict[str, Tensor], str]:
    """Several baselines for each input, (rows, …): tensors of many rows, or other samples.

    Parameters
    ----------
    access, sample, inputs
        As in `baselines`.
    asked
        As in `baselines`; ``"samples"``: the other samples, of the same shape; a tensor may have
        as many rows as wanted.

    Raises
    ------
    BaselineError
        When a baseline does not fit, or there are no other samples of this shape.
    """
    rows: dict[str, Tensor] = {}
    given = asked if isinstance(asked, Mapping) else {one.name: asked for one in inputs}
    for one in inputs:
        tensor = given.get(one.name)
        if isinstance(tensor, Tensor) and tensor.shape[1:] == one.value.shape[1:]:
            rows[one.name] = tensor.to(one.value)
        elif isinstance(tensor, str) and tensor == "samples":
            rows[one.name] = torch.cat(_others(access, one))
    if len(rows) < len(inputs):
        return baselines(access, sample, inputs, asked)
    counts = {len(tensor) for tensor in rows.values()}
    if len(counts) > 1:
        raise BaselineError(f"The inputs have different numbers of baselines: {sorted(counts)}.")
    return rows, f"{counts.pop():,} baselines"


def _others(access: Access, one: Explained) -> list[Tensor]:
    values = [] if one.ids is not None else other_values(access, one)
    own = [torch.equal(value, one.value) for value in values]
    found = [value for value, is_own in zip(values, own, strict=True) if not is_own]
    if not found:
        raise BaselineError(
            f'baselines="samples" needs other samples whose input {one.name!r} has the shape '
            f"{tuple(one.value.shape)}, and there are none."
        )
    return found


def _baseline(access: Access, sample: Sample, one: Explained, asked: Any) -> tuple[Tensor, str]:
    if asked is None:
        asked = "zero" if one.ids is None else "padding"
    if isinstance(asked, (Tensor, float)):
        return _fitting(torch.as_tensor(asked), one), "as given"
    if not isinstance(asked, str):
        return _of_sample(access, one, asked)
    if asked == "zero":
        return torch.zeros_like(one.value), "zero"
    if asked == "mean":
        return _mean(access, one)
    if asked == "blur":
        values = arrangement(one.value)
        if one.ids is not None or values.axes is None:
            raise BaselineError(f'baselines="blur" is for images: input {one.name!r} is none.')
        picture = values.picture(one.value)
        deviation = _BLUR * min(picture.shape[2:])
        return values.tensor(blurred(picture, deviation), one.value), "blur"
    if asked == "padding":
        return _padding(access, sample, one)
    raise BaselineError(
        f"baselines={asked!r} is none of {_NAMED}, the index of a sample, or a tensor."
    )


def _fitting(tensor: Tensor, one: Explained) -> Tensor:
    try:
        torch.broadcast_shapes(tensor.shape, one.value.shape)
        return tensor.to(one.value).expand(one.value.shape)
    except RuntimeError as error:
        raise BaselineError(
            f"The baseline has the shape {tuple(tensor.shape)}, and the input {one.name!r} "
            f"{tuple(one.value.shape)}."
        ) from error


def _of_sample(access: Access, one: Explained, asked: Any) -> tuple[Tensor, str]:
    try:
        index = operator.index(asked)
    except TypeError as error:
        raise BaselineError(
            f"baselines={asked!r} is none of {_NAMED}, the index of a sample, or a tensor."
        ) from error
    value = value_in(access, index, one)
    if value is None or value.shape != one.value.shape:
        found = "no such input" if value is None else f"the shape {tuple(value.shape)} there"
        raise BaselineError(
            f"Sample {index} cannot be the baseline: input {one.name!r} has {found}, not "
            f"{tuple(one.value.shape)}."
        )
    return value, f"sample {index}"


def value_in(access: Access, index: int, one: Explained) -> Tensor | None:
    """What goes in at the same place for another sample; None: it has no such input."""
    with access.reading():
        other = access.sample(index)
    if one.ids is None:
        return arguments(other.args, other.kwargs).get(one.name)
    named = {found.name: found.value for found in explained_inputs(access, other)}
    return named.get(one.name)


def _mean(access: Access, one: Explained) -> tuple[Tensor, str]:
    values = arrangement(one.value)
    if one.ids is not None:
        return one.value.mean(1, keepdim=True), "mean of the tokens"
    if values.axes is not None:
        picture = values.picture(one.value)
        axes = tuple(range(2, picture.ndim))
        return values.tensor(
            picture.mean(axes, keepdim=True).expand_as(picture), one.value
        ), "mean of the image"
    others = other_values(access, one)
    return torch.cat(others).mean(0, keepdim=True), f"mean of {len(others):,} samples"


def other_values(access: Access, one: Explained) -> list[Tensor]:
    """The same input of some samples, where it has the same shape."""
    with access.reading():
        found = [arguments(other.args, other.kwargs) for other in access.some(MOST_SAMPLES)]
    values = [tensors.get(one.name) for tensors in found]
    return [value for value in values if value is not None and value.shape == one.value.shape]


def _padding(access: Access, sample: Sample, one: Explained) -> tuple[Tensor, str]:
    """The embedding of padding in the place of all tokens that stand for text."""
    if one.ids is None or not isinstance(one.place, tuple):
        raise BaselineError(f'baselines="padding" is for token ids: input {one.name!r} is none.')
    spot = one.place
    ids = arguments(sample.args, sample.kwargs)[one.ids]
    padding, where = _padding_id(access, sample)
    tokens = sample.token_lists.get(one.name)
    stays = torch.tensor([token.special for token in tokens or []], dtype=torch.bool)
    padded = torch.full_like(ids, padding)
    if len(stays) == ids.shape[1]:
        padded = torch.where(stays.to(ids.device), ids, padded)
    swap = lambda tensor: padded if tensor is ids else tensor  # noqa: E731
    inputs = torch.utils._pytree.tree_map_only(Tensor, swap, (sample.args, sample.kwargs))
    found: list[Tensor] = []

    def finish(run: Run) -> None:
        assert run.recorder is not None
        found.append(run.recorder.activations[spot])

    wanted = Wanted(activations=lambda place, size: place == spot)
    with access.reading():
        access.run(sample.index, wanted, "none", finish, inputs)
    return found[0], f"padding{where}"


def _padding_id(access: Access, sample: Sample) -> tuple[int, str]:
    """The id of padding, and in words where it is from if that is a guess."""
    config = getattr(access.module(), "config", None)
    known = (sample.padding_id, getattr(config, "pad_token_id", None))
    found = next((number for number in known if number is not None), None)
    return (0, " (taken for id 0)") if found is None else (int(found), "")
