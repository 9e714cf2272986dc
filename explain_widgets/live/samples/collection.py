"""Samples: any collection of inputs, one sample at a time, and how to show it."""

from __future__ import annotations

import itertools
import operator
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch

from explain_widgets.live.randomness import kept_random_state
from explain_widgets.live.samples.arguments import Builder, label_name, python
from explain_widgets.live.samples.inputs import (
    NO_TOKENIZER,
    NO_TRANSFORM,
    SampleError,
    SampleIndexError,
    is_picture,
)
from explain_widgets.live.samples.sample import Sample, Show, Shown
from explain_widgets.live.samples.sources import (
    Guard,
    Item,
    Stream,
    is_array,
    listed,
    out_of_range,
    source_of,
    split,
)
from explain_widgets.live.samples.token_reader import TokenReader
from explain_widgets.live.samples.tokens import TokenizerError

Device = torch.device | str | None


class Samples:
    """Any collection of inputs, one sample at a time.

    Nothing is read before it is asked for; the last few samples are kept.

    Parameters
    ----------
    data
        One of:

        - a tensor, or an array (without `transform`): the first axis counts samples;
        - a tuple of tensors: positional arguments; a dict or ``BatchEncoding`` of tensors:
          keyword arguments, without ``labels`` (else ``label``, ``label_ids``), the label;
        - a list of texts (with `tokenizer`), of PIL images (with `transform`), of arrays (with
          `transform`, else each becomes a tensor as it is, dtype and axes untouched), of tensors
          of one sample each; one text or one image;
        - a map-style ``Dataset`` or a list of items: ``data[i]``; a ``DataLoader`` over one:
          ``collate_fn([dataset[i]])``, in the order of the dataset, whatever its sampler;
        - an iterable dataset, a loader over one, a generator: read once, in order, as far as
          asked for, and kept. Batches of generators and of loaders with ``batch_size=None`` are
          taken apart (a batch has as many labels as rows; without labels 4 axes or more);
        - a DataFrame of numbers: one row a sample, in torch's default dtype.

        In an item ``(x, y)`` y is the label; in ``(x1, x2, …, y)`` the last is, the others are
        positional arguments. ``(mapping, y)`` and rows ``{"text": …, "label": …}``,
        ``{"image": …, "label": …}`` work as well, as do the encodings that a tokenizer or processor
        returns with their batch axis of 1; a text beside tensors is shown and is no
        argument. Texts and PIL images within items go through `tokenizer` and `transform`.
    labels : sequence, tensor or array, optional
        One for each sample, instead of those in the data.
    tokenizer : object, optional
        See `TokenReader`. Also names the tokens of ids that are in the data.
    class_names : sequence of str or mapping, optional
        Names of the labels; by default ``data.classes`` of a dataset that has it.
    transform : callable, optional
        PIL image or array → tensor (channels, height, width), array, or mapping of them.
    denormalize : callable or (mean, std), optional
        How to undo the normalisation for showing: a callable from the tensor without batch axis
        to values in 0…1 or 0…255, or mean and std a channel. Otherwise it is guessed, and
        `Sample.image_note` says what.
    shown_only : bool, optional
        The samples are looked at and given to no model: texts need no `tokenizer`, PIL images no
        `transform`.

    Attributes
    ----------
    device : torch.device or None
        Where ``samples[i]`` puts tensors; None leaves them where they are.
    draws_random : bool or None
        Whether reading was seen to draw random numbers (an augmenting dataset); None: not known
        yet. Reading such data beside a running cell would change what that cell draws.

    Raises
    ------
    SampleError
        If texts come without tokenizer, images without transform, or lengths differ.

    Notes
    -----
    Called on the main thread, reading saves and restores the random states of torch (CPU),
    Python and NumPy, and seeds them with the index, so that sample i of an augmenting dataset is
    the same each time. Other threads leave these states, which all threads share, alone; see
    `get`.

    Examples
    --------
    >>> import torch
    >>> from explain_widgets.live.samples import Samples
    >>> Samples((torch.rand(4, 5), torch.rand(4, 2)))[3]
    Sample('sample 3': (1, 5) float32, (1, 2) float32)
    """

    def __init__(
        self,
        data: Any,
        *,
        labels: Any = None,
        tokenizer: Any = None,
        class_names: Sequence[str] | Mapping[Any, str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        denormalize: Any = None,
        shown_only: bool = False,
    ) -> None:
        reader = None if tokenizer is None else TokenReader(tokenizer)
        self._source = source_of(data, transform)
        self._builder = Builder(reader, transform, shown_only)
        self._class_names = class_names if class_names is not None else _classes_of(data)
        names = getattr(self._source, "names", None)
        self._show = Show(reader, denormalize, names, self._class_names)
        self._labels = labels.to_numpy() if hasattr(labels, "to_numpy") else labels
        self._appended: list[Item] = []
        self._lock = threading.RLock()  # datasets and generators serve one reader at a time
        self._living: WeakValueDictionary[int, Sample] = WeakValueDictionary()
        self._latest: deque[Sample] = deque(maxlen=8)
        self.device: torch.device | None = None
        self.draws_random: bool | None = None
        if not shown_only:
            _check_arguments(data, reader, transform)
        _check_labels(self._labels, self._source.count)

    @property
    def count(self) -> int | None:
        """How many samples there are; None while an iterable is not read to its end."""
        known = self._source.count
        return None if known is None else known + len(self._appended)

    @property
    def class_names(self) -> Sequence[str] | Mapping[Any, str] | None:
        """Names of the labels, where they are known."""
        return self._class_names

    def class_name(self, index: int, count: int) -> str | None:
        """A class of ``count`` by name, by its token where these are a vocabulary; else None."""
        return self._show.class_name(index, count)

    @property
    def reads_text(self) -> bool:
        """Whether a text can be appended: there is a tokenizer."""
        return self._show.reader is not None

    def token_id(self, text: str) -> int:
        """The index in the vocabulary of a text that is one token.

        Raises
        ------
        TokenizerError
            When it is several, or there is no tokenizer.
        """
        if self._show.reader is None:
            raise TokenizerError("A token needs a tokenizer: pass tokenizer=….")
        return self._show.reader.id_of(text)

    @property
    def read_so_far(self) -> int:
        """How many samples can be had without reading an iterable further."""
        if isinstance(self._source, Stream):
            return len(self._source.found)
        return self.count or 0

    def __len__(self) -> int:
        if self.count is None:
            raise TypeError(
                f"The length is not known before the data is read to its end"
                f" ({self.read_so_far:,} samples so far); samples.count is None until then."
            )
        return self.count

    def __bool__(self) -> bool:
        return self.count != 0

    def __getitem__(self, index: int) -> Sample:
        return self.get(index)

    def __iter__(self) -> Iterator[Sample]:
        for index in itertools.count():
            if not self._has(index):
                return
            yield self.get(index)

    def get(
        self, index: int, device: Device = None, *, keep_random_state: bool | None = None
    ) -> Sample:
        """Sample `index`, its tensors on `device`.

        Parameters
        ----------
        index : int
            From 0; negative indices are not counted from the end.
        device : torch.device or str, optional
            Default: `Samples.device`.
        keep_random_state : bool, optional
            Save the shared random states, seed them with the index for this read, and restore
            them. Default: only on the main thread, since restoring them beside a running cell
            would rewind that cell's draws.

        Returns
        -------
        Sample
            The same object as before, as long as someone holds it or it is one of the last few.

        Raises
        ------
        SampleIndexError
            An IndexError that names the range.
        SampleError
            If the item cannot be given to a model.
        """
        number = _number(index)
        with self._lock:
            sample = self._living.get(number)
            if sample is None:
                sample = self._read(number, self._guard(keep_random_state))
                self._living[number] = sample
            self._latest.append(sample)
        target = device if device is not None else self.device
        return sample if target is None else sample.to(target)

    def append(self, x: Any) -> int:
        """Add a sample at the end (of what has been read of an iterable) and return its index.

        Parameters
        ----------
        x : str, PIL image, array, tensor, mapping or (x, y)
            One sample. A tensor may have a batch axis of 1 if it then has as many axes as the
            tensors that are there already.

        Raises
        ------
        SampleError
            If it cannot be given to a model; nothing is added then.
        """
        with self._lock:
            value, label = split(x)
            item = Item(value, label, batched=self._has_batch_axis(value))
            with self._guard(None)(0):
                self._builder.build(item)  # raises now, not when it is looked at
            if isinstance(self._source, Stream):
                return self._source.insert(item)
            self._appended.append(item)
            return len(self) - 1

    def _has(self, index: int) -> bool:
        if isinstance(self._source, Stream):
            with self._lock:
                self._source.read_up_to(index, self._guard(None))
            return index < len(self._source.found)
        return index < len(self)

    def _read(self, index: int, guard: Guard) -> Sample:
        item, ordinal = self._item(index, guard)
        with guard(index):
            built = self._builder.build(item)
        own = None if self._labels is None or ordinal is None else self._labels[ordinal]
        label = python(item.y, item.batched) if own is None else python(own, False)
        name = label_name(label, self._class_names)
        shown = Shown(built, label, self._show)
        return Sample(index, built.args, built.kwargs, label, name, built.note, shown)

    def _item(self, index: int, guard: Guard) -> tuple[Item, int | None]:
        """The item, and its number in the data (which labels go by); None: appended."""
        source = self._source
        if isinstance(source, Stream):
            if index < 0:
                raise SampleIndexError(out_of_range(index, len(source.found)))
            source.read(index, guard)
            return source.found[index]
        if not 0 <= index < len(self):
            raise SampleIndexError(out_of_range(index, len(self)))
        count = len(self) - len(self._appended)
        if index >= count:
            return self._appended[index - count], None
        return source.read(index, guard), index

    def _has_batch_axis(self, value: Any) -> bool:
        """Whether a new value has as many axes as those that are there."""
        new = _tensors_in(value)
        if not new or any(tensor.ndim == 0 or len(tensor) != 1 for tensor in new.values()):
            return False
        there: dict[Any, Any] = {}
        if self.read_so_far:
            like = self.get(0)
            there = _tensors_in(like.kwargs) or _tensors_in(like.args)
        for name, tensor in new.items():
            if name in there:
                return bool(tensor.ndim == there[name].ndim)
        return next(iter(new.values())).ndim in (2, 4)  # (1, tokens), (1, C, H, W)

    def _guard(self, keep: bool | None) -> Guard:
        """What reading happens within: the shared random states kept, seeded with a number."""
        here = threading.current_thread() is threading.main_thread()

        @contextmanager
        def guard(seed: int) -> Iterator[None]:
            if not (here if keep is None else keep):
                yield
                return
            with kept_random_state(()):
                before = _seeded(seed)
                yield
                self.draws_random = bool(self.draws_random) or _moved_on(before)

        return guard


def _tensors_in(value: Any) -> dict[Any, Any]:
    """Name or position → tensor or array."""
    named = value.items() if isinstance(value, Mapping) else enumerate(listed(value))
    return {name: inner for name, inner in named if is_array(inner)}


def _number(index: Any) -> int:
    try:
        return operator.index(index)
    except TypeError:
        raise TypeError(f"A sample is picked by an integer, not {type(index).__name__}.") from None


def _classes_of(data: Any) -> Any:
    """Names of the classes that image folders and the like carry."""
    names = getattr(getattr(data, "dataset", data), "classes", None)
    is_names = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return names if is_names else None


def _check_arguments(data: Any, reader: Any, transform: Any) -> None:
    """What can be seen to be missing without reading anything."""
    first = data[0] if isinstance(data, list | tuple) and data else data
    if isinstance(first, str) and reader is None:
        raise SampleError(NO_TOKENIZER)
    if is_picture(first) and transform is None:
        raise SampleError(NO_TRANSFORM)


def _check_labels(labels: Any, count: int | None) -> None:
    if labels is not None and count is not None and len(labels) != count:
        raise SampleError(f"There are {len(labels)} labels for {count} samples.")


def _seeded(seed: int) -> tuple[Any, ...]:
    """Seed what a dataset draws from (the CPU's generator only), and return the states."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (the one that datasets draw from)
    return _states()


def _states() -> tuple[Any, ...]:
    _, keys, position, *_ = np.random.get_state(legacy=True)  # noqa: NPY002
    return torch.get_rng_state(), random.getstate(), keys, position


def _moved_on(before: tuple[Any, ...]) -> bool:
    tensor, python, keys, position = before
    now = _states()
    return not (
        torch.equal(tensor, now[0])
        and python == now[1]
        and np.array_equal(keys, now[2])
        and position == now[3]
    )
