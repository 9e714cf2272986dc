"""The input of a model as the image a person would see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

Pixels = npt.NDArray[np.uint8]

# Tried in this order; values are (mean, std) a channel, of images in 0…1.
_NORMALISATIONS: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...] = (
    ("mean 0.5 and std 0.5", (0.5,), (0.5,)),
    ("ImageNet's mean and std", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    (
        "CLIP's mean and std",
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
    ("CIFAR-10's mean and std", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ("CIFAR-10's mean and std", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    ("MNIST's mean and std", (0.1307,), (0.3081,)),
)


def picture_in(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """The first argument that is an image, without its batch axis, by its shape alone."""
    named = [value for name, value in kwargs.items() if "mask" not in name and "bias" not in name]
    values = [kwargs.get("pixel_values"), *args, *named]
    tensors = [v for v in values if isinstance(v, torch.Tensor) and v.ndim and v.shape[0] == 1]
    return next((tensor[0] for tensor in tensors if _is_picture_shape(tensor)), None)


def _is_picture_shape(tensor: torch.Tensor) -> bool:
    """(1, C, H, W) or (1, H, W, C) of 1, 3 or 4 channels; (1, H, W) if 8 bits or square.

    Three axes are more often a sequence of vectors than a grey image.
    """
    if tensor.ndim == 4:
        return bool({1, 3, 4} & {tensor.shape[1], tensor.shape[3]}) and tensor.numel() > 0
    square = tensor.ndim == 3 and tensor.shape[1] == tensor.shape[2] >= 8
    return tensor.ndim == 3 and (tensor.dtype == torch.uint8 or square) and tensor.numel() > 0


def _channels_first(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.ndim == 2:
        return values[None]
    return values if values.shape[0] in (1, 3, 4) else np.moveaxis(values, 2, 0)


class Scaling(NamedTuple):
    """How the values of an image become a picture of 0…1.

    Attributes
    ----------
    black, white
        The values that are 0 and 1, a channel each, or one for all.
    note
        How that is known, in words.
    known
        Whether no picture has values beyond them; else they are those of this one.
    """

    black: tuple[float, ...]
    white: tuple[float, ...]
    note: str
    known: bool = True

    def undone(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values (C, H, W) as 0…1."""
        black, white = (
            np.asarray(side, np.float32).reshape(-1, 1, 1) for side in (self.black, self.white)
        )
        return np.asarray((values - black) / (white - black))


def paint(image: torch.Tensor, denormalize: Any) -> tuple[Pixels, str]:
    """An image tensor as 8-bit pixels, and in words how."""
    if callable(denormalize):
        out = denormalize(image.detach().cpu())
        values = out.detach().cpu().numpy() if isinstance(out, torch.Tensor) else np.asarray(out)
        return _pixels(_unit(_channels_first(values))), "denormalize as given"
    values = _values(image)
    scaling = _scaling(values, denormalize)
    lost = 0 if denormalize is not None else int(values.size - np.isfinite(values).sum())
    note = scaling.note + (f"; {lost:,} values are not finite" if lost else "")
    return _pixels(scaling.undone(values)), note


def scaling_of(image: torch.Tensor, denormalize: Any) -> Scaling | None:
    """How an image tensor is painted; None: ``denormalize`` is a callable."""
    return None if callable(denormalize) else _scaling(_values(image), denormalize)


def _values(image: torch.Tensor) -> npt.NDArray[Any]:
    host = image.detach().cpu()
    as_float = host.float() if host.dtype != torch.uint8 else host
    return _channels_first(as_float.numpy())


def _scaling(values: npt.NDArray[Any], denormalize: Any) -> Scaling:
    if denormalize is None:
        return _guess(values)
    mean, std = (tuple(np.ravel(side).tolist()) for side in denormalize)
    return _normalised("the given mean and std undone", mean, std)


def _unit(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """0…1, from 0…255 where the values are that large."""
    finite = values[np.isfinite(values)]
    large = values.dtype == np.uint8 or (finite.size > 0 and finite.max() > 2)
    return values / np.float32(255) if large else values


def _normalised(note: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Scaling:
    pairs = list(zip(*np.broadcast_arrays(mean, std), strict=True))
    return Scaling(tuple(-m / s for m, s in pairs), tuple((1 - m) / s for m, s in pairs), note)


def _guess(values: npt.NDArray[Any]) -> Scaling:
    """What the numbers of an image (C, H, W) tell of how they were normalised."""
    if values.dtype == np.uint8:
        return Scaling((0,), (255,), "8-bit values as they are")
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        return Scaling((0,), (1,), "values 0…1 as they are")
    if low >= 0 and 128 <= high <= 255:
        return Scaling((0,), (255,), "values 0…255 as they are")
    few = values[:, :: values.shape[1] // 64 + 1, :: values.shape[2] // 64 + 1]
    for name, mean, std in _NORMALISATIONS:
        guess = _normalised(f"guessed: {name} undone", mean, std)
        if len(mean) in (1, len(values)) and _is_eight_bit(guess.undone(few)):
            return guess
    if -1 <= low < -0.5 and high <= 1:
        return Scaling((-1,), (1,), "guessed: values −1…1")
    if len(values) == 3 and low < 0:
        name, mean, std = _NORMALISATIONS[1]
        guess = _normalised(f"guessed: {name} undone", mean, std)
        undone = guess.undone(values)
        inside = undone[np.isfinite(undone)]
        if inside.min() > -0.02 and inside.max() < 1.02:
            return guess
    note = f"stretched: {_signed(low)}…{_signed(high)} as black…white"
    return Scaling((low,), (high if high > low else low + 1,), note, known=False)


def _is_eight_bit(values: npt.NDArray[Any]) -> bool:
    """Whether values are multiples of 1/255 in 0…1: what a photograph was before normalising."""
    finite = values[np.isfinite(values)] * 255
    if not finite.size or finite.min() < -0.1 or finite.max() > 255.1:
        return False
    return bool((np.abs(finite - finite.round()) < 0.02).mean() > 0.99)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _pixels(values: npt.NDArray[Any]) -> Pixels:
    """(C, H, W) in 0…1 → (H, W) or (H, W, 3); what is not finite is black, alpha is left out."""
    known = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    pixels = (np.clip(known, 0, 1) * 255).round().astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels[:3], 0, 2))
