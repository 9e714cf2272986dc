"""Sources: item i of a collection of any form, as ``(x, y)``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, default_collate

from explain_widgets.live.samples.inputs import (
    SampleError,
    SampleIndexError,
    as_tensor,
    is_numeric,
    is_picture,
    is_table,
)
from explain_widgets.live.samples.tokens import Offsets

Guard = Callable[[int], AbstractContextManager[None]]


@dataclass(frozen=True)
class Item:
    """One sample as it was found.

    `batched`: values have their batch axis of 1 already. `origin`: the entry it was made from,
    which may hold the sentence behind the ids. `offsets`: where its tokens lie in the text.
    """

    x: Any
    y: Any = None
    batched: bool = False
    origin: Any = None
    offsets: Offsets | None = None


class _Source(Protocol):
    count: int | None

    def read(self, index: int, guard: Guard) -> Item: ...


def split(value: Any) -> tuple[Any, Any]:
    """``(x, y)`` of an item: the last of several is the label, the others are arguments."""
    if isinstance(value, Mapping):
        return split_mapping(value)
    if isinstance(value, list) and any(map(_is_object, value)):
        value = tuple(value)  # [image, 3] is an item as (image, 3) is; [1, 2, 3] is numbers
    if not isinstance(value, tuple) or not value:
        return value, None
    if len(value) == 1:
        return value[0], None
    x = value[0] if len(value) == 2 else tuple(value[:-1])
    y = value[-1]
    if isinstance(x, Mapping):
        x, inner = split_mapping(x)
        y = inner if y is None else y
    return x, y


def _is_object(value: Any) -> bool:
    """What is an argument by itself, other than a number in a list."""
    return isinstance(value, torch.Tensor | np.ndarray | Mapping) or is_picture(value)


def split_mapping(value: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The keys that transformers' own collator takes for the label."""
    rest = dict(value)
    name = next((name for name in ("labels", "label", "label_ids") if name in rest), None)
    return rest, None if name is None else rest.pop(name)


def _row(tree: Any, index: int, count: int) -> Any:
    """Row `index` of all that has `count` rows, with its axis; the rest is shared by all rows."""
    if isinstance(tree, Mapping):
        return {name: _row(value, index, count) for name, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_row(value, index, count) for value in tree)
    if isinstance(tree, torch.Tensor | np.ndarray):
        return as_tensor(tree)[index : index + 1] if _rows(tree) == count else tree
    if isinstance(tree, list) and len(tree) == count:
        row = tree[index]
        return as_tensor(row)[None] if is_numeric(row) else [row]
    return tree


def _rows(value: Any) -> int | None:
    if isinstance(value, torch.Tensor | np.ndarray):
        return int(value.shape[0]) if value.ndim else None
    return len(value) if isinstance(value, list) else None


class _Rows:
    """Tensors whose first axis counts samples: one, several (arguments) or a mapping of them."""

    def __init__(self, data: Any) -> None:
        named = data.items() if isinstance(data, Mapping) else enumerate(listed(data))
        rows = {name: n for name, value in named if (n := _rows(value)) is not None}
        if not rows:
            raise SampleError("The data has no first axis to count samples by: it is one number.")
        if len(set(rows.values())) > 1:
            sizes = ", ".join(f"{name}: {n}" for name, n in rows.items())
            raise SampleError(f"The first axis counts samples and must be equally long ({sizes}).")
        self.count: int | None = next(iter(rows.values()))
        self._x: Any = data
        self._y: Any = None
        if isinstance(data, Mapping):
            self._x, self._y = split_mapping(data)
        self._encodings = getattr(data, "encodings", None)

    def read(self, index: int, guard: Guard) -> Item:
        assert self.count is not None
        x, y = (_row(tree, index, self.count) for tree in (self._x, self._y))
        offsets = self._encodings[index].offsets if self._encodings else None
        return Item(x, y, batched=True, offsets=offsets)


def listed(data: Any) -> tuple[Any, ...]:
    """One argument or several, as several."""
    return data if isinstance(data, tuple) else (data,)


class _Indexed:
    """A list or a map-style dataset: ``data[i]``. `whole`: an entry is never (x, y)."""

    def __init__(self, data: Any, whole: bool = False) -> None:
        self.count: int | None = len(data)
        self._data, self._whole = data, whole

    def read(self, index: int, guard: Guard) -> Item:
        with guard(index):
            entry = self._data[index]
        return Item(entry) if self._whole else _item(entry)


class _Collated:
    """A DataLoader over a map-style dataset, each sample collated by itself, in dataset order."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.count: int | None = len(loader.dataset)  # type: ignore[arg-type]
        self._dataset, self._collate = loader.dataset, loader.collate_fn
        # batch_size=None with a BatchSampler as sampler: the dataset takes lists of indices.
        self._by_list = loader.batch_sampler is None

    def read(self, index: int, guard: Guard) -> Item:
        with guard(index):
            if self._by_list:
                return _batch_item(self._collate(self._dataset[[index]]))
            entry = self._dataset[index]
            return _collated(entry, self._collate)


def _collated(entry: Any, collate: Callable[[list[Any]], Any]) -> Item:
    """An entry as the batch of one that the loader would make of it."""
    if collate is default_collate and _holds_picture(entry):
        return Item(*split(entry))  # which default_collate cannot stack: the transform will
    return replace(_batch_item(collate([entry])), origin=entry)


def _holds_picture(entry: Any) -> bool:
    values = entry.values() if isinstance(entry, Mapping) else listed(entry)
    return any(map(is_picture, values))


def _batch_item(batch: Any) -> Item:
    """A batch as loaders hand it out: default_collate makes lists of tuples."""
    if isinstance(batch, list) and not all(isinstance(value, str) for value in batch):
        batch = tuple(batch)
    x, y = split(batch)
    several = isinstance(x, list) and bool(x) and all(map(is_array, x))
    return Item(tuple(x) if several else x, y, batched=True)


class _Table:
    """A DataFrame: one row a sample, in torch's default dtype."""

    def __init__(self, table: Any) -> None:
        other = [str(name) for name, kind in table.dtypes.items() if kind.kind not in "biuf"]
        if other:
            raise SampleError(
                f"The table has columns that are not numbers ({', '.join(other)}):"
                " drop or encode them, as for the model."
            )
        self.count: int | None = len(table)
        self.names = [str(name) for name in table.columns]
        self._table = table

    def read(self, index: int, guard: Guard) -> Item:
        row = np.array(self._table.iloc[[index]])  # a copy: torch warns about views it could write
        return Item(torch.as_tensor(row, dtype=torch.get_default_dtype()), batched=True)


class Stream:
    """An iterable, read once, in order, as far as asked for, and kept."""

    def __init__(self, entries: Iterable[Any], items: Callable[[Any], Iterable[Item]]) -> None:
        self.count: int | None = None
        # Not yet iter(): that may run the user's code, and nothing is read before it is asked for.
        self._entries = entries
        self._iterator: Iterator[Any] = iter(())
        self._started, self._items = False, items
        self.found: list[tuple[Item, int | None]] = []
        self._numbers = itertools.count()
        self._failure: BaseException | None = None

    def read(self, index: int, guard: Guard) -> Item:
        """Item `index`, reading on where it was not reached yet."""
        self.read_up_to(index, guard)
        if index >= len(self.found):
            raise SampleIndexError(out_of_range(index, len(self.found)))
        return self.found[index][0]

    def read_up_to(self, index: int, guard: Guard) -> None:
        """Read until item `index` is there or the data ends."""
        while index >= len(self.found) and self.count is None:
            if self._failure is not None:
                raise SampleError(
                    f"Reading the data stopped after {len(self.found)} samples:"
                    f" {type(self._failure).__name__}: {self._failure}"
                ) from self._failure
            self._step(guard)

    def _step(self, guard: Guard) -> None:
        try:
            with guard(len(self.found)):
                if not self._started:
                    self._iterator, self._started = iter(self._entries), True
                items = list(self._items(next(self._iterator)))
        except StopIteration:
            self.count = len(self.found)
        except BaseException as failure:  # a generator that raised once has ended for good
            self._failure = failure
            raise
        else:
            self.found.extend(zip(items, self._numbers, strict=False))

    def insert(self, item: Item) -> int:
        """Put an item behind those that were read; its index."""
        self.found.append((item, None))
        self.count = None if self.count is None else len(self.found)
        return len(self.found) - 1


def out_of_range(index: int, count: int) -> str:
    """The sentence of an IndexError."""
    if not count:
        return f"There is no sample {index}: the collection is empty."
    return f"There is no sample {index}: the {count:,} samples are 0…{count - 1}."


def _item(entry: Any) -> Item:
    x, y = split(entry)
    return Item(x, y, _is_batch_of_one(x), entry, _offsets(entry, 1)[0])


def _offsets(entry: Any, count: int) -> list[Offsets | None]:
    """Where the tokens of each text lie in it, as a tokenizer's answer says."""
    given = entry[0] if isinstance(entry, tuple) and entry else entry
    encodings = getattr(given, "encodings", None) or ()
    return [one.offsets for one in encodings] if len(encodings) == count else [None] * count


def _items_of_entry(entry: Any) -> Iterator[Item]:
    yield _item(entry)


def _items_of_batch(entry: Any) -> Iterator[Item]:
    """The rows of an entry that is a batch, else the entry."""
    value = tuple(entry) if isinstance(entry, list) and not _is_texts(entry) else entry
    x, y = split(value)
    count = _batch_size(x, y)
    if count is None:
        yield Item(x, y, origin=entry)
        return
    for index, offsets in enumerate(_offsets(entry, count)):
        row, label = _row(x, index, count), _row(y, index, count)
        yield Item(row, label, batched=True, offsets=offsets)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _batch_size(x: Any, y: Any) -> int | None:
    """How many samples an entry of unknown kind holds; None: it is one sample.

    A batch has as many labels as rows; without labels, 4 axes or more, or a mapping whose values
    all have 2 axes or more and equally many rows.
    """
    if _is_texts(x):
        return len(x)
    first = x if isinstance(x, torch.Tensor) else None
    if isinstance(x, tuple | Mapping):
        values = list(x.values() if isinstance(x, Mapping) else x)
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        same = len({value.shape[:1] for value in tensors}) == 1
        if not same or min(value.ndim for value in tensors) < 2:
            return None
        first = tensors[0]
        if y is None:
            return int(first.shape[0])
    if first is None or first.ndim < 2:
        return None
    rows = _rows(list(y) if isinstance(y, tuple) else y)
    is_batch = first.ndim >= 4 if y is None else rows == first.shape[0]
    return int(first.shape[0]) if is_batch else None


def source_of(data: Any, transform: Any) -> _Source:
    """The source for a collection of any form."""
    if isinstance(data, str) or is_picture(data):
        return _Indexed([data], whole=True)
    if is_table(data):
        return _Table(data)
    if isinstance(data, np.ndarray) and transform is not None:
        return _Indexed(data, whole=True)
    if isinstance(data, torch.Tensor | np.ndarray):
        return _Rows(data)
    if isinstance(data, Mapping):
        return _Indexed([data]) if _is_one_encoding(data) else _Rows(data)
    if isinstance(data, list | tuple):
        return _source_of_list(data)
    return _source_of_dataset(data)


def _source_of_dataset(data: Any) -> _Source:
    """By what it can do, so that it need not be one of torch's classes."""
    if isinstance(data, DataLoader):
        return _source_of_loader(data)
    if isinstance(data, IterableDataset):
        return Stream(data, _items_of_entry)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _Indexed(data)
    if hasattr(data, "__iter__"):
        return Stream(data, _items_of_batch)
    if hasattr(data, "__getitem__"):
        return Stream(_counted(data), _items_of_entry)
    raise SampleError(
        f"Samples cannot be read from {type(data).__name__}: pass a tensor, a tuple or dict of"
        " tensors, a list (of texts, images, arrays or tensors), a Dataset or a DataLoader."
    )


def _source_of_list(data: Sequence[Any]) -> _Source:
    if isinstance(data, tuple) and data and all(map(is_array, data)):
        return _Rows(tuple(map(as_tensor, data)))
    whole = all(isinstance(entry, str) or is_picture(entry) or is_array(entry) for entry in data)
    return _Indexed(data, whole=whole)


def is_array(value: Any) -> bool:
    """Whether it has axes."""
    return isinstance(value, torch.Tensor | np.ndarray)


_AXES = {"input_ids": 2, "pixel_values": 4}  # of a batch, as transformers' models take them


def _is_batch_of_one(x: Any) -> bool:
    """``tokenizer(text, return_tensors="pt")``, or a processor's: one sample with a batch axis."""
    if not isinstance(x, Mapping):
        return False
    arrays = {name: value for name, value in x.items() if is_array(value)}
    known = [value.ndim == _AXES[name] for name, value in arrays.items() if name in _AXES]
    return any(known) and all(value.ndim and len(value) == 1 for value in arrays.values())


def _is_one_encoding(data: Mapping[str, Any]) -> bool:
    """``tokenizer(text)`` of one text: ids without a batch axis."""
    ids = data.get("input_ids")
    if isinstance(ids, list):
        return bool(ids) and isinstance(ids[0], int)
    return is_array(ids) and getattr(ids, "ndim", 0) == 1


def _source_of_loader(loader: DataLoader[Any]) -> _Source:
    """Around the loader's own iterator: it shuffles, starts workers and draws random numbers."""
    dataset, collate = loader.dataset, loader.collate_fn
    if isinstance(dataset, IterableDataset):
        if loader.batch_size is None and loader.batch_sampler is None:
            return Stream(dataset, lambda entry: _items_of_batch(collate(entry)))
        return Stream(dataset, lambda entry: [_collated(entry, collate)])
    if loader.batch_sampler is None and not isinstance(loader.sampler, BatchSampler):
        # Entries go to the model as they are: each may be a sample or a batch, so in order.
        return Stream(_counted(dataset), lambda entry: _items_of_batch(collate(entry)))
    return _Collated(loader)


def _counted(data: Any) -> Iterator[Any]:
    """The entries of what has no iterator of its own, by index."""
    if hasattr(data, "__len__"):
        yield from (data[index] for index in range(len(data)))
        return
    with suppress(IndexError):  # how Python's own iteration by index ends
        yield from (data[index] for index in itertools.count())
