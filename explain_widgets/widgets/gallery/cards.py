"""Cards: what is shown of each sample, read once and kept while there is room."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import TypeAlias

from explain_widgets.live.errors import NeedsHomeThreadError
from explain_widgets.live.home import Home
from explain_widgets.live.modules import flat_tensors
from explain_widgets.live.samples import Sample, SampleIndexError, Samples
from explain_widgets.live.samples.pixels import Pixels
from explain_widgets.live.store import Store
from explain_widgets.pictures.thumbnails import fitting, shrunk

MOST_PIXELS = 1024
"""The longest side of a picture: the largest that is shown, on a dense screen."""

_MEMORY = 64_000_000
_MOST_TEXT = 240
_MOST_VALUES = 16
_MOST_SHAPES = 3


Value: TypeAlias = int | float | str


@dataclass(frozen=True)
class Label:
    """The label of a sample.

    Attributes
    ----------
    value
        What it is sorted and filtered by; None where it is no single value.
    index
        The class it stands for, if any.
    text
        As people read it.
    """

    value: Value | None = None
    index: int | None = None
    text: str | None = None

    @classmethod
    def of(cls, sample: Sample) -> Label:
        """The label of a sample; a row of 0 and a single 1 is the class it marks."""
        value, index = sample.label, sample.label_index
        if not isinstance(value, int | float | str):
            value = index
        return cls(value, index, sample.label_text)


@dataclass(frozen=True)
class Card:
    """What is shown of one sample.

    Attributes
    ----------
    title
        Short and of one line, with the label.
    label
        The label of the sample.
    image, note
        The picture, no side longer than `MOST_PIXELS`, and in words how it was made.
    image_size
        Height and width of the whole picture.
    text
        The text, or its beginning.
    names, values, more
        Of a row of numbers: names and values of its first features, and how many more there are.
    shape
        The shape of anything else.
    problem
        Why the sample could not be read.
    """

    index: int
    title: str
    label: Label = Label()
    image: Pixels | None = None
    image_size: tuple[int, int] = (0, 0)
    note: str | None = None
    text: str | None = None
    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    more: int = 0
    shape: str = ""
    problem: str = ""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return 2_000 + (0 if self.image is None else self.image.nbytes)


class Cards:
    """Cards of samples, and the labels of all that were read."""

    def __init__(self, samples: Samples, home: Home) -> None:
        self.labels: dict[int, Label] = {}
        self.noun = "sample"
        """What a sample is called: "image", "sentence", "row"."""
        self._samples, self._home = samples, home
        self._kept = Store(_MEMORY)
        self._lock = threading.Lock()

    def read(self, index: int) -> Card:
        """The card of a sample; of one that cannot be read it says why.

        Raises
        ------
        SampleIndexError, NeedsHomeThreadError
            When there is no such sample, or it may not be read in this thread.
        """
        with self._lock:
            card: Card | None = self._kept.get(index)
            if card is None:
                card = self._card(index)
                if not card.problem:  # it may be readable next time
                    self._kept.put(index, card, card.size)
            return card

    def read_label(self, index: int) -> None:
        """See to it that the label of a sample is among `labels`; errors as in `read`."""
        if index not in self.labels:
            try:
                self.labels[index] = Label.of(self._home.read(self._samples, index))
            except (SampleIndexError, NeedsHomeThreadError):
                raise
            except Exception:  # noqa: BLE001 (its card says why)
                self.labels[index] = Label()

    def _card(self, index: int) -> Card:
        try:
            sample = self._home.read(self._samples, index)
            self.labels[index] = Label.of(sample)
            self.noun = sample.title.partition(" ")[0]
            return _card_of(sample, self.labels[index])
        except (SampleIndexError, NeedsHomeThreadError):
            raise
        except Exception as error:  # noqa: BLE001 (the others are shown all the same)
            self.labels.setdefault(index, Label())
            return Card(index, f"sample {index}", problem=f"{type(error).__name__}: {error}")


def _card_of(sample: Sample, label: Label) -> Card:
    text = sample.text
    if text is not None and len(text) > _MOST_TEXT:
        text = text[:_MOST_TEXT].rstrip() + "…"
    image, size = sample.image, (0, 0)
    if image is not None:
        size = (image.shape[0], image.shape[1])
        image = shrunk(image, fitting(size, MOST_PIXELS))
    names, values = _row(sample) if image is None and text is None else ((), ())
    return Card(
        sample.index,
        sample.title,
        label,
        image,
        size,
        sample.image_note,
        text,
        names[:_MOST_VALUES],
        values[:_MOST_VALUES],
        max(0, len(values) - _MOST_VALUES),
        _shapes(sample),
    )


def _row(sample: Sample) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names and values of the features, where the sample is a row of numbers."""
    tensor = next(iter(flat_tensors((sample.args, sample.kwargs))), None)
    if tensor is None or tensor.ndim != 2 or len(tensor) != 1 or tensor.is_complex():
        return (), ()
    values = tuple(float(value) for value in tensor[0].tolist())
    names = sample.feature_names
    if names is None or len(names) != len(values):
        names = [str(position) for position in range(len(values))]
    return tuple(names), values


def _shapes(sample: Sample) -> str:
    found = []
    for tensor in itertools.islice(flat_tensors((sample.args, sample.kwargs)), _MOST_SHAPES):
        sides = " × ".join(f"{side:,}" for side in tensor.shape[1:]) or "1"
        found.append(f"{sides} {str(tensor.dtype).removeprefix('torch.')}")
    return "; ".join(found)
