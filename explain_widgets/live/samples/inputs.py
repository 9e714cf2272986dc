"""What kind of thing a value is, without importing what the user may not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from explain_widgets.live.errors import ExplainError


class SampleError(ExplainError, ValueError):
    """The samples cannot be given to a model as they are, and what is missing."""


class SampleIndexError(ExplainError, IndexError):
    """There is no sample of this index; the text names the range."""


NO_TOKENIZER = (
    "The samples are text, and a model takes numbers: pass tokenizer=…, for example"
    " tokenizer=AutoTokenizer.from_pretrained(…)."
)
NO_TRANSFORM = (
    "The samples are PIL images, and a model takes tensors: pass transform=…, a callable from an"
    " image to a tensor (channels, height, width), as in training."
)


def _comes_from(value: Any, package: str) -> bool:
    return any(base.__module__.partition(".")[0] == package for base in type(value).__mro__)


def is_picture(value: Any) -> bool:
    """Whether it is a PIL image."""
    return _comes_from(value, "PIL") and hasattr(value, "getpixel")


def picture_pixels(picture: Any) -> torch.Tensor:
    """A PIL image as (height, width) where it is grey, else as (height, width, 3)."""
    is_grey = picture.mode in ("L", "F") or picture.mode.startswith("I")
    known = picture if is_grey else picture.convert("L" if picture.mode == "1" else "RGB")
    return as_tensor(np.array(known))


def is_table(value: Any) -> bool:
    """Whether it is a DataFrame."""
    return _comes_from(value, "pandas") and getattr(value, "ndim", 0) == 2


def is_numeric(value: Any) -> bool:
    """A tensor, an array, a number, or nested lists of numbers."""
    if isinstance(value, list | tuple):
        return bool(value) and is_numeric(value[0])
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufc"
    return isinstance(value, torch.Tensor | np.generic | int | float | complex)


def as_tensor(value: Any) -> torch.Tensor:
    """No cast: an array keeps its dtype, numbers get torch's."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        value = value.copy()  # torch warns about arrays it could write into by mistake
    if isinstance(value, list | tuple) and value and isinstance(value[0], np.ndarray):
        value = np.stack(value)
    return torch.as_tensor(value)
