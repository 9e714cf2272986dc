"""One sample: the arguments of the model, and what to show of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from explain_widgets.live.samples.arguments import Built, label_index, label_name
from explain_widgets.live.samples.pixels import Pixels, Scaling, paint, picture_in, scaling_of
from explain_widgets.live.samples.token_reader import TokenReader
from explain_widgets.live.samples.tokens import Token, read


@dataclass(frozen=True)
class Show:
    """What a collection knows about showing its samples."""

    reader: TokenReader | None = None
    denormalize: Any = None
    feature_names: list[str] | None = None
    class_names: Any = None

    def class_name(self, index: int, count: int) -> str | None:
        """A class of ``count`` by name, by its token where these are a vocabulary; else None."""
        named = label_name(index, self.class_names)
        if named is None and self.reader is not None and count > _LEAST_VOCABULARY:
            return self.reader.tokens([index])[0].text
        return named


class Shown:
    """What a person sees of one sample, made when asked for and kept as long as the sample."""

    def __init__(self, built: Built, label: Any, show: Show) -> None:
        self.built, self.label, self.show = built, label, show

    @cached_property
    def picture(self) -> tuple[Pixels | None, str | None]:
        """The image, and how it was made."""
        image = picture_in(self.built.args, self.built.kwargs)
        return (None, None) if image is None else paint(image, self.show.denormalize)

    @cached_property
    def scaling(self) -> Scaling | None:
        """How the values of the image become the picture."""
        image = picture_in(self.built.args, self.built.kwargs)
        return None if image is None else scaling_of(image, self.show.denormalize)

    @cached_property
    def ids(self) -> dict[str, torch.Tensor]:
        """Argument name → ids (1, tokens); ids given by position are "input_ids"."""
        ids = {n: v for n, v in self.built.kwargs.items() if _is_ids(v)}
        named = {n: v for n, v in ids.items() if n.endswith("input_ids")}
        other = {n: v for n, v in ids.items() if not any(word in n for word in _NO_IDS)}
        first = dict(itertools.islice(other.items(), 1))
        position = next((value for value in self.built.args if _is_ids(value)), None)
        by_position = {} if position is None else {"input_ids": position}
        return named or first or by_position

    @cached_property
    def token_lists(self) -> dict[str, list[Token]]:
        """The tokens of each of `ids`; none without a tokenizer."""
        if self.show.reader is None:
            return {}
        lists = {}
        for n, (name, ids) in enumerate(self.ids.items()):
            offsets = self.built.offsets if n == 0 else None
            lists[name] = self.show.reader.tokens(ids[0], offsets)
        return lists

    def mask(self, name: str) -> torch.Tensor | None:
        """(tokens,) bool, True where a list is not padded; None: nothing says so."""
        kwargs = self.built.kwargs
        mask = kwargs.get(name.replace("input_ids", "attention_mask"))
        if mask is None and name == "input_ids":
            mask = self.built.mask
        if isinstance(mask, torch.Tensor) and mask.ndim == 2:
            return mask[0].detach().cpu() > 0
        padding = kwargs.get("src_key_padding_mask", kwargs.get("key_padding_mask"))
        if isinstance(padding, torch.Tensor) and padding.ndim == 2 and name == "input_ids":
            return ~padding[0].detach().cpu().bool()
        return None


# So many classes, with a tokenizer, are its tokens.
_LEAST_VOCABULARY = 1000

_LONGEST_LABEL = 40

_NO_IDS = ("mask", "type", "position", "label", "length")


def _is_ids(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.ndim == 2
        and value.shape[0] == 1
        and value.dtype in (torch.int64, torch.int32)
    )


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """One sample: the arguments of the model, and what to show of it.

    Attributes
    ----------
    index : int
        Its place in the collection.
    args : tuple
        Positional arguments; tensors have a batch axis of 1 and the dtype of the data.
    kwargs : dict
        Keyword arguments, likewise.
    label : int, float, str, list or tensor, or None
        The label as Python value; labels of several axes (masks) stay tensors.
    label_name : str or None
        Its name among ``class_names``.
    note : str or None
        What was left out of the data ("cut to the first 512 of 700 tokens").

    Examples
    --------
    >>> import torch
    >>> from explain_widgets.live.samples import Samples
    >>> Samples(torch.rand(2, 3, 8, 8), labels=[0, 7])[1].title
    'image 1 · label 7'
    """

    index: int
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    label: Any = None
    label_name: str | None = None
    note: str | None = None
    _shown: Shown | None = None

    @property
    def _view(self) -> Shown:
        if self._shown is None:  # a sample made by hand
            shown = Shown(Built(self.args, self.kwargs), self.label, Show())
            object.__setattr__(self, "_shown", shown)
        assert self._shown is not None
        return self._shown

    def to(self, device: torch.device | str) -> Sample:
        """The same sample with its tensors on `device`; what was made to show it is shared."""
        args = tuple(_moved(value, device) for value in self.args)
        return replace(self, args=args, kwargs=_moved(self.kwargs, device), _shown=self._view)

    @property
    def image(self) -> Pixels | None:
        """The input as an image: uint8 (height, width, 3) or (height, width); None: it is none."""
        return self._view.picture[0]

    @property
    def image_note(self) -> str | None:
        """In words, how `image` was made of the values ("guessed: ImageNet's mean … undone")."""
        return self._view.picture[1]

    @property
    def image_scaling(self) -> Scaling | None:
        """Which values are black and white; None: no image, or ``denormalize`` is a callable."""
        return self._view.scaling

    @property
    def token_lists(self) -> dict[str, list[Token]]:
        """The tokens of each argument that holds ids: "input_ids", "decoder_input_ids"."""
        return self._view.token_lists

    @property
    def token_ids(self) -> dict[str, torch.Tensor]:
        """The ids (tokens,) of each of these arguments; they need no tokenizer."""
        return {name: ids[0] for name, ids in self._view.ids.items()}

    @property
    def tokens(self) -> list[Token] | None:
        """The tokens of the first list; None without ids or tokenizer."""
        return next(iter(self.token_lists.values()), None)

    def tokens_of(self, name: str) -> list[Token]:
        """The tokens of one list; ``"labels"`` reads the label as ids.

        Raises
        ------
        KeyError
            If the sample has no such list; the text names those it has.
        """
        reader = self._view.show.reader
        if name in ("labels", "label") and isinstance(self.label, list) and reader is not None:
            return reader.tokens(self.label)
        if name not in self.token_lists:
            raise KeyError(f"no token list {name!r}; there are {list(self.token_lists)}")
        return self.token_lists[name]

    def read_tokens(self, ids: list[int] | torch.Tensor) -> list[Token] | None:
        """Ids (tokens,) as this sample's tokenizer spells them; None without one."""
        reader = self._view.show.reader
        return None if reader is None else reader.tokens(ids)

    def class_name(self, index: int, count: int) -> str:
        """A class of the model's output by name, by its token where ``count`` is a vocabulary."""
        named = self._view.show.class_name(index, count)
        return f"class {index}" if named is None else named

    @property
    def padding_id(self) -> int | None:
        """The id of the token that texts are padded with; None: no tokenizer says."""
        reader = self._view.show.reader
        return None if reader is None else reader.padding_id

    @property
    def label_index(self) -> int | None:
        """The class that the label stands for; None where it is no class."""
        return label_index(self.label, self._view.show.class_names)

    @property
    def label_text(self) -> str | None:
        """The label as people read it, its name or itself; None where there is no short one."""
        label = self.label_name if self.label_name is not None else self.label
        if not isinstance(label, int | float | str) or len(str(label)) > _LONGEST_LABEL:
            return None
        return f"{label:.4g}" if isinstance(label, float) else str(label)

    @property
    def text(self) -> str | None:
        """The text it was made from, else its tokens read as text (special ones left out)."""
        if self._view.built.text is not None or self.tokens is None:
            return self._view.built.text
        return read(token for token in self.tokens if not token.special)

    @property
    def valid(self) -> tuple[int, int]:
        """`valid_of` the first list."""
        return self.valid_of(next(iter(self._view.ids), "input_ids"))

    def valid_of(self, name: str) -> tuple[int, int]:
        """(start, stop) of the unpadded positions of a list, padding left and right cut off.

        Positions in between may be masked as well. Without a mask, or with one that hides all,
        these are all positions; (0, 0) where the sample has no such sequence.
        """
        mask = self._view.mask(name)
        shown = [] if mask is None else mask.nonzero().flatten().tolist()
        if shown:
            return shown[0], shown[-1] + 1
        ids = self._view.ids.get(name)
        embedded = self.kwargs.get(name.replace("input_ids", "inputs_embeds"))
        values = ids if ids is not None else embedded
        known = mask[None] if mask is not None else values
        return 0, int(known.shape[1]) if isinstance(known, torch.Tensor) else 0

    @property
    def feature_names(self) -> list[str] | None:
        """The names of the columns of a table; None for other data."""
        return self._view.show.feature_names

    @property
    def title(self) -> str:
        """Short and of one line: "sentence 0", "image 3 · label 7"."""
        view = self._view
        if view.built.text is not None or (view.show.reader is not None and view.ids):
            kind = "sentence"
        elif picture_in(view.built.args, view.built.kwargs) is not None:
            kind = "image"
        else:
            kind = "row" if view.show.feature_names else "sample"
        label = self.label_text
        return f"{kind} {self.index}" + ("" if label is None else f" · label {label}")

    def __repr__(self) -> str:
        named = [*map(_described, self.args)]
        named += [f"{name}={_described(value)}" for name, value in self.kwargs.items()]
        return f"Sample({self.title!r}: {', '.join(named)})"


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__


def _moved(value: Any, device: torch.device | str) -> Any:
    """Tensors to `device`, in whatever holds them; no cast."""
    if isinstance(value, Mapping):
        return {name: _moved(inner, device) for name, inner in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_moved(inner, device) for inner in value))
    if isinstance(value, list | tuple):
        return type(value)(_moved(inner, device) for inner in value)
    return value.to(device) if callable(getattr(value, "to", None)) else value
