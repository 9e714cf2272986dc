"""The inputs that a target is attributed to: tensors of numbers, and embeddings of token ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from explain_widgets.live.access import Access
from explain_widgets.live.altered import Place, arguments
from explain_widgets.live.errors import GradientError, LayerError
from explain_widgets.live.recorder import Spot, Wanted
from explain_widgets.live.samples import Sample


@dataclass(frozen=True, eq=False)
class Explained:
    """One input that is attributed to.

    Attributes
    ----------
    name
        Of the argument (``"0"``, ``"pixel_values"``); of token ids that of their list.
    place
        Where numbers go into the model: the argument, or what comes out of the embedding.
    value
        What goes in there, (1, …).
    ids
        Of token ids, the name of the argument that holds them.
    """

    name: str
    place: Place
    value: Tensor
    ids: str | None = None


def explained_inputs(
    access: Access, sample: Sample, only: str | Iterable[str] | None = None
) -> tuple[Explained, ...]:
    """The inputs of a sample that gradients exist of; masks and biases are left out.

    Token ids are whole numbers: the place of theirs is the output of the first module that takes
    them and returns a vector for each.

    Parameters
    ----------
    access
        To the live model.
    sample
        Which sample.
    only
        Names of those that are wanted; None: all.

    Raises
    ------
    GradientError
        When there is nothing to attribute to, or no module embeds the ids.
    LayerError
        When there is no input of a name in ``only``.
    """
    tensors = arguments(sample.args, sample.kwargs)
    found = [
        Explained(name, name, tensor.detach())
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not ("mask" in name or "bias" in name)
    ]
    ids = _ids(sample, tensors)
    names = [*ids, *(one.name for one in found)]
    picked = names if only is None else [only] if isinstance(only, str) else list(only)
    for name in picked:
        if name not in names:
            raise LayerError(f"There is no input {name!r} to attribute to, only {names}.")
    wanted = {name: ids[name] for name in ids if name in picked}
    embedded = _embedded(access, sample, {name: tensors[name] for name in wanted.values()})
    of_ids = [Explained(name, *embedded[place], place) for name, place in wanted.items()]
    result = (*of_ids, *(one for one in found if one.name in picked))
    if not result:
        raise GradientError(
            "There is nothing to attribute to: the sample holds neither a tensor of floating "
            "point nor token ids."
        )
    return result


def _ids(sample: Sample, tensors: dict[str, Tensor]) -> dict[str, str]:
    """Name of each list of token ids → name of the argument that holds it."""
    found: dict[str, str] = {}
    for name, ids in sample.token_ids.items():
        for place, tensor in tensors.items():
            is_it = tensor.shape == (1, *ids.shape) and not tensor.is_floating_point()
            if place == name or (name not in tensors and is_it):
                found.setdefault(name, place)
    return found


def _embedded(
    access: Access, sample: Sample, ids: dict[str, Tensor]
) -> dict[str, tuple[Spot, Tensor]]:
    """By the name of the argument: where its embedding comes out, and the vectors."""
    if not ids:
        return {}
    key = ("embedded", sample.index, *ids)
    with access.reading():
        kept: dict[str, tuple[Spot, Tensor]] | None = access.store.get(key)
    if kept is not None:
        return kept
    search = _Search(ids)
    with access.reading():
        access.run(sample.index, Wanted(entered=search.entered, seen=search.seen))
        for name in ids:
            if name not in search.found:
                raise GradientError(
                    f"No module takes the token ids {name!r} and returns a vector for each: ask "
                    "for a layer behind the embedding, with layer=…."
                )
        size = sum(tensor.nbytes for _, tensor in search.found.values())
        access.store.put(key, search.found, size)
    return search.found


class _Search:
    """Looks during a run for the calls that ids go into and vectors come out of."""

    def __init__(self, ids: dict[str, Tensor]) -> None:
        self._ids = ids
        self._takers: dict[str, list[str]] = {}  # name of the call → arguments that go in
        self.found: dict[str, tuple[Spot, Tensor]] = {}

    def entered(self, call: str, inputs: list[Tensor]) -> None:
        """Notes the calls that ids go into."""
        for name, ids in self._ids.items():
            if name not in self.found and any(_is_same(tensor, ids) for tensor in inputs):
                self._takers.setdefault(call, []).append(name)

    def seen(self, spot: Spot, tensor: Tensor) -> None:
        """Notes the first that returns a vector for each."""
        for name in self._takers.get(spot[0], []):
            is_vectors = tensor.ndim == 3 and tensor.shape[:2] == self._ids[name].shape
            taken = any(place == spot for place, _ in self.found.values())
            if name not in self.found and is_vectors and tensor.is_floating_point() and not taken:
                self.found[name] = spot, tensor.detach().clone()


def _is_same(tensor: Tensor, ids: Tensor) -> bool:
    return tensor.dtype == ids.dtype and tensor.shape == ids.shape and torch.equal(tensor, ids)
