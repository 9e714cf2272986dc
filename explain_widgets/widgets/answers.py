"""What answers the requests of an explorer: from their selections alone, it knows no traits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, float32

from explain_widgets.live.samples import Samples
from explain_widgets.pictures.colormaps import colour_table
from explain_widgets.widgets.protocol import Reply, Request
from explain_widgets.widgets.worker import Pause

_MOST_PIXELS = 512


class Answers:
    """Answers to what every explorer is asked; each explorer has its own class with more.

    A method ``answer_<kind>(selection)`` for each kind of request. It returns a `Reply`, or is a
    generator of replies, each `Pause` and None: all replies but the last are shown as partial, and
    newer requests are served at each ``yield``.

    Parameters
    ----------
    samples
        The samples that selections are about.

    Attributes
    ----------
    patient
        Kinds that are answered while nothing else is asked, one after the other.
    """

    patient: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def to(self, request: Request) -> Iterator[Reply | Pause | None]:
        """The replies to a request.

        Raises
        ------
        ValueError
            When requests of this kind are not answered.
        """
        answer = getattr(self, f"answer_{request.kind}", None)
        if answer is None:
            raise ValueError(f"This explorer answers no requests of kind {request.kind!r}.")
        replies = answer(request.selection)
        if isinstance(replies, Reply):
            yield replies
        else:
            yield from replies

    def answer_colormap(self, selection: dict[str, Any]) -> Reply:
        """The colour table of a colour map."""
        return Reply(arrays={"table": colour_table(str(selection["name"]))})

    def answer_image(self, selection: dict[str, Any]) -> Reply:
        """The picture of a sample, no larger than `_MOST_PIXELS` a side."""
        sample = self._samples[int(selection["sample"])]
        image = sample.image
        if image is None:
            raise ValueError(f"{sample.title} is no image.")
        height, width = image.shape[:2]
        every = -(-max(height, width) // _MOST_PIXELS)
        small = image[::every, ::every]
        if small.ndim == 2:
            small = np.repeat(small[..., None], 3, -1)
        note = sample.image_note or ""
        if every > 1:
            note = "; ".join(part for part in (note, f"1 of {every} × {every} pixels") if part)
        return Reply({"note": note}, {"image": np.ascontiguousarray(small)})

    def answer_append(self, selection: dict[str, Any]) -> Reply:
        """Take in a new sentence as the last sample."""
        return Reply({"sample": self._samples.append(str(selection["text"]))})


def exact(tensor: Tensor) -> NDArray[np.float32]:
    """Numbers as they are sent where they are read one by one."""
    array: NDArray[np.float32] = tensor.to(float32).cpu().numpy()
    return array
