"""From an item to the arguments of a model, with a batch axis of 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from explain_widgets.live.samples.inputs import (
    NO_TOKENIZER,
    NO_TRANSFORM,
    SampleError,
    as_tensor,
    is_numeric,
    is_picture,
    picture_pixels,
)
from explain_widgets.live.samples.sources import Item, is_array, listed, split, split_mapping
from explain_widgets.live.samples.token_reader import Encoded, TokenReader
from explain_widgets.live.samples.tokens import Offsets


@dataclass(frozen=True)
class Built:
    """The arguments made of an item, and what is known about its text."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    offsets: Offsets | None = None
    mask: torch.Tensor | None = None
    note: str | None = None


@dataclass(frozen=True)
class Builder:
    """How values become arguments: texts by the tokenizer, images and arrays by the transform.

    `shown_only`: no model takes them; texts stay texts and images become their pixels.
    """

    reader: TokenReader | None
    transform: Callable[[Any], Any] | None
    shown_only: bool = False

    def build(self, item: Item) -> Built:
        """The arguments of one item."""
        x, batched = item.x, item.batched
        if isinstance(x, Mapping):
            built = self._mapping(x, batched)
        else:
            built = self._positional(listed(x), batched)
        if item.offsets is not None:
            built = replace(built, offsets=item.offsets)
        return built if built.text is not None else replace(built, text=_text_in(item.origin))

    def _positional(self, values: tuple[Any, ...], batched: bool) -> Built:
        single = tuple(value[0] if _is_one_text(value) else value for value in values)
        if single and all(isinstance(value, str) for value in single):
            return self._texts(single)
        if len(single) == 1 and not batched and self._is_raw(single[0]):
            return self._transformed(single[0])
        return Built(tuple(self._argument(value, batched) for value in single))

    def _mapping(self, values: Mapping[str, Any], batched: bool) -> Built:
        """The values of a row by name.

        Texts and images of a row without tensors are its input; beside tensors a text is what
        the row was made from, and no argument.
        """
        single = {
            name: value[0] if _is_one_text(value) else value for name, value in values.items()
        }
        texts = {name: value for name, value in single.items() if isinstance(value, str)}
        rest = {name: value for name, value in single.items() if name not in texts}
        raw = [value for value in rest.values() if is_picture(value)]
        if len(raw) == 1 and len(rest) == 1 and not texts:
            return self._transformed(raw[0])
        if texts and not rest:
            if len(texts) == 1:
                return self._texts(tuple(texts.values()))
            raise SampleError(
                f"The samples have several texts ({', '.join(texts)}): pass the texts of one of"
                " them as a list, or tokenise them into a mapping of tensors."
            )
        kwargs = {name: self._argument(value, batched) for name, value in rest.items()}
        return Built((), kwargs, next(iter(texts.values()), None))

    def _argument(self, value: Any, batched: bool) -> Any:
        """One value with its batch axis; what is no number stays what it is."""
        if is_picture(value):
            made = self._transformed(value)
            if len(made.args) != 1:
                raise SampleError("transform=… has to return one tensor for an image among others.")
            return made.args[0]
        if isinstance(value, list | tuple) and any(map(is_array, value)):
            return [self._argument(inner, batched) for inner in value]
        is_option = isinstance(value, bool) or (batched and isinstance(value, int | float))
        if is_option or not is_numeric(value):
            return value
        tensor = as_tensor(value)
        return tensor if batched else tensor[None]

    def _is_raw(self, value: Any) -> bool:
        return is_picture(value) or (isinstance(value, np.ndarray) and self.transform is not None)

    def _texts(self, texts: tuple[str, ...]) -> Built:
        if self.reader is None and self.shown_only:
            return Built(text=" · ".join(texts))
        if self.reader is None:
            raise SampleError(NO_TOKENIZER)
        out: Encoded = self.reader.encode(*texts)
        text = " · ".join(texts)
        # Places in a pair start at 0 again in the second text.
        offsets = out.offsets if len(texts) == 1 else None
        return Built(out.args, split_mapping(out.kwargs)[0], text, offsets, out.mask, out.note)

    def _transformed(self, raw: Any) -> Built:
        if self.transform is None and self.shown_only:
            return Built((picture_pixels(raw)[None],))
        if self.transform is None:
            raise SampleError(NO_TRANSFORM)
        out = self.transform(raw)
        if is_picture(out):
            raise SampleError("transform=… returned an image; it has to end in a tensor.")
        if isinstance(out, Mapping):
            return Built((), {name: _with_batch_axis(value) for name, value in out.items()})
        return Built(tuple(map(_with_batch_axis, listed(out))))


def _is_one_text(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str)


def _text_in(entry: Any) -> str | None:
    """The text that an entry ``text``, ``(text, y)`` or ``{"…": text}`` was made of."""
    x, _ = split(entry)
    if isinstance(x, Mapping):
        x = next((value for value in x.values() if isinstance(value, str)), None)
    return x if isinstance(x, str) else None


def _with_batch_axis(value: Any) -> Any:
    """Transforms return (C, H, W); image processors and ``t(image)[None]`` have the axis."""
    if not is_numeric(value):
        return value
    tensor = as_tensor(value)
    return tensor if tensor.ndim >= 4 and tensor.shape[0] == 1 else tensor[None]


def python(y: Any, batched: bool) -> Any:
    """A label as Python value; large ones (masks) stay tensors."""
    if isinstance(y, list | tuple) and batched and len(y) == 1:
        y = y[0]
    if isinstance(y, np.ndarray):
        y = as_tensor(y)
    if isinstance(y, np.generic):
        return y.item()
    if not isinstance(y, torch.Tensor):
        return y
    y = y.detach()
    if batched and y.ndim and y.shape[0] == 1:
        y = y[0]
    if y.numel() == 1:
        return y.item()
    return y.tolist() if y.numel() <= 1024 and y.ndim <= 1 else y


def label_index(label: Any, class_names: Any) -> int | None:
    """The class a label stands for: an index, a name, a row of 0 and a single 1; else None.

    Examples
    --------
    >>> label_index("cat", ["cow", "cat"]), label_index([0, 0, 1], None), label_index(2.0, None)
    (1, 2, 2)
    """
    if isinstance(label, float):
        return int(label) if label.is_integer() else None
    if isinstance(label, int):
        return int(label)
    if isinstance(label, str) and isinstance(class_names, list | tuple):
        return class_names.index(label) if label in class_names else None
    if isinstance(label, list) and len(label) > 1 and all(on in (0, 1) for on in label):
        return label.index(1) if sum(label) == 1 else None
    return None


def label_name(label: Any, class_names: Any) -> str | None:
    """The class a label names: an index, a key, or a row of 0 and 1 over the classes."""
    if label is None or class_names is None:
        return None
    try:
        if isinstance(label, list) and len(label) == len(class_names):
            if set(label) <= {0, 1}:
                chosen = [i for i, on in enumerate(label) if on]
                return ", ".join(str(class_names[i]) for i in chosen) or None
            return None
        if isinstance(label, float) and label.is_integer():
            label = int(label)
        is_index = isinstance(label, int) and not isinstance(class_names, Mapping)
        if is_index and not 0 <= label < len(class_names):
            return None
        return str(class_names[label])
    except (KeyError, TypeError):
        return None
