"""Variations of a sample, to be asked about as if they were samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from explain_widgets.live.errors import GradientError
from explain_widgets.live.gradients import floating_input, swapped
from explain_widgets.live.samples import Sample, Samples
from explain_widgets.live.samples.collection import Device

FIRST_VARIATION = 2**40
"""Index of the first variation: no collection has as many samples."""


class Varied(Samples):
    """A collection with some variations beside it, which do not count as samples of it.

    Parameters
    ----------
    samples
        The collection; it is shared, not copied.
    variations
        Answer to the indices from `FIRST_VARIATION` on.
    """

    def __init__(self, samples: Samples, variations: Sequence[Sample]) -> None:
        self.__dict__.update(samples.__dict__)
        self._variations = [
            replace(sample, index=FIRST_VARIATION + n) for n, sample in enumerate(variations)
        ]

    def get(
        self, index: int, device: Device = None, *, keep_random_state: bool | None = None
    ) -> Sample:
        """A sample of the collection, or a variation; see `Samples.get`."""
        if index < FIRST_VARIATION:
            return super().get(index, device, keep_random_state=keep_random_state)
        sample = self._variations[index - FIRST_VARIATION]
        target = device if device is not None else self.device
        return sample if target is None else sample.to(target)


def shaken(sample: Sample, count: int, radius: float, seed: int) -> list[Sample]:
    """Variations of a sample: its first input of floating point with uniform noise.

    Parameters
    ----------
    sample
        Which sample.
    count
        How many.
    radius
        No number moves by more than this.
    seed
        Of a generator of its own.

    Raises
    ------
    GradientError
        When the sample holds no numbers that could move a little.
    """
    tensor = floating_input(sample.args, sample.kwargs)
    if tensor is None:
        raise GradientError(
            "Sensitivity asks what becomes of an attribution when the input moves a little, and "
            "token ids and whole numbers have nothing in between."
        )
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        draws = torch.rand(tensor.shape, generator=generator, device="cpu", dtype=torch.float32)
        moved = tensor.detach() + ((draws * 2 - 1) * radius).to(tensor)
        args, kwargs = swapped((sample.args, sample.kwargs), tensor, moved)
        found.append(replace(sample, args=args, kwargs=kwargs))
    return found
