"""A sample whose numbers move a little, to be asked about as if it were another sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from explain_widgets.live.access import Access
from explain_widgets.live.altered import arguments
from explain_widgets.live.attribution.inputs import Explained, explained_inputs
from explain_widgets.live.errors import GradientError
from explain_widgets.live.gradients import floating_input, swapped
from explain_widgets.live.modules import named_tensors, with_tensor
from explain_widgets.live.samples import Sample, Samples
from explain_widgets.live.samples.collection import Device

if TYPE_CHECKING:
    from explain_widgets.live.model import LiveModel

FIRST_VARIATION = 2**40
"""Index of the first variation: no collection has as many samples."""

Noise: TypeAlias = Callable[[Tensor], Tensor]
"""Noise of its own for a tensor, of the same shape, type and device."""


@dataclass(frozen=True, eq=False)
class Shaken:
    """A live model beside another, with variations of one of its samples.

    Attributes
    ----------
    live
        The live model that answers for them.
    vary
        Makes the next variation and gives the index that it is asked about by.
    words
        What has moved.
    """

    live: LiveModel
    vary: Callable[[], int]
    words: str


def shaken(live: LiveModel, access: Access, sample: Sample, radius: float, seed: int) -> Shaken:
    """Variations of a sample: uniform noise on its first input of floating point.

    Where there is none, as with token ids, the noise is on the vectors that the ids are embedded
    as, which is where attributions of text are read.

    Parameters
    ----------
    live, access
        The live model; it is left as it is.
    sample
        Which sample.
    radius
        No number moves by more than this.
    seed
        Of a generator of its own.

    Raises
    ------
    GradientError
        When the sample holds no numbers that could move a little, and no module embeds its ids.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(like: Tensor) -> Tensor:
        draws = torch.rand(like.shape, generator=generator, device="cpu", dtype=torch.float32)
        return ((draws * 2 - 1) * radius).to(like)

    tensor = floating_input(sample.args, sample.kwargs)
    return (
        _shaken_embedding(live, explained_inputs(access, sample), sample, noise)
        if tensor is None
        else _shaken_input(live, tensor, sample, noise)
    )


# Numbers that the sample itself holds.


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
        self._variations = variations

    def get(
        self, index: int, device: Device = None, *, keep_random_state: bool | None = None
    ) -> Sample:
        """A sample of the collection, or a variation; see `Samples.get`."""
        if index < FIRST_VARIATION:
            return super().get(index, device, keep_random_state=keep_random_state)
        sample = self._variations[index - FIRST_VARIATION]
        target = device if device is not None else self.device
        return sample if target is None else sample.to(target)


def _shaken_input(live: LiveModel, tensor: Tensor, sample: Sample, noise: Noise) -> Shaken:
    variations: list[Sample] = []

    def vary() -> int:
        index = FIRST_VARIATION + len(variations)
        moved = tensor.detach() + noise(tensor)
        args, kwargs = swapped((sample.args, sample.kwargs), tensor, moved)
        variations.append(replace(sample, index=index, args=args, kwargs=kwargs))
        return index

    return Shaken(live.with_samples(Varied(live.samples, variations)), vary, "input")


# Vectors that token ids are embedded as.


def _shaken_embedding(
    live: LiveModel, inputs: tuple[Explained, ...], sample: Sample, noise: Noise
) -> Shaken:
    given = arguments(sample.args, sample.kwargs)
    embedded = [_Embedded(one, given[one.ids]) for one in inputs if one.ids is not None]
    if not embedded:
        raise GradientError(
            "Sensitivity asks what becomes of an attribution when the input moves a little, and "
            "this one holds neither numbers that could nor token ids that are embedded."
        )

    @contextmanager
    def moving(module: nn.Module) -> Iterator[None]:
        handles = [one.hook(module) for one in embedded]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def vary() -> int:
        for one in embedded:
            one.noise = noise(one.value)
        return sample.index

    deviation = max(float(one.value.std()) for one in embedded)
    words = f"embedding, whose numbers deviate by {deviation:.2g} from each other,"
    return Shaken(live.with_context(moving), vary, words)


class _Embedded:
    """Adds noise to what comes out of an embedding for the ids of the sample, and only for those.

    Other ids, as of a baseline, are embedded as ever.
    """

    def __init__(self, one: Explained, ids: Tensor) -> None:
        assert isinstance(one.place, tuple)
        call, self._entry = one.place
        self._path, _, number = call.partition(":")
        self._number = int(number or 0)
        self._ids, self.value = ids, one.value
        self.noise = torch.zeros_like(one.value)

    def hook(self, module: nn.Module) -> Any:
        """Watch the embedding for one forward; what looks on sees the vectors that have moved."""
        calls = 0

        def moved(_: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls != self._number + 1:
                return output
            tensors = [tensor for _, tensor in named_tensors((args, kwargs))]
            ids = next(t for t in tensors if t.shape[1:] == self._ids.shape[1:])
            vectors = dict(named_tensors(output))[self._entry]
            is_own = (ids == self._ids).all(1).to(vectors)[:, None, None]
            return with_tensor(output, vectors, vectors + is_own * self.noise)

        embedding = module.get_submodule(self._path)
        return embedding.register_forward_hook(moved, with_kwargs=True)
