"""Queries and keys as they are, in the place of copies, where nobody will write into them.

When a forward is over most of its queries and keys are held by nobody else any more. Copying them
all the same would cost a good part of what looking costs: memory that is asked for anew.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch import Tensor

from explain_widgets.live.attention.seen import folded, folded_copy
from explain_widgets.live.freshness import version

# How many hold the memory of a tensor: of torch's own, and not promised to be there.
_holders: Callable[[int], int] | None = getattr(torch._C, "_storage_Use_Count", None)
_SAMPLE = 16
# Of more positions a copy costs little beside the forward, and products with its heads, each in one
# piece then, are a tenth faster.
_MOST_POSITIONS = 2048


class HeldTensors:
    """Holds tensors from the middle of a run to its end, and tells what became of them."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[weakref.ref[Tensor], int, Tensor]] = {}

    def hold(self, tensor: Tensor) -> Tensor:
        """`folded`, as a view where its memory is all that it keeps alive; else as a copy."""
        if tensor.shape[-2] > _MOST_POSITIONS or not _is_whole(tensor):
            return folded_copy(tensor)
        view = folded(tensor)
        if view.data_ptr() != tensor.data_ptr():
            return view  # batch and head axes could not be one: folding was a copy already
        self._held[id(view)] = weakref.ref(view), version(view), _sampled(view).clone()
        return view

    def were_written(self) -> bool:
        """Whether anybody has written into what is held; asked once, when the run is over.

        By versions, and by 16 numbers of each: writes through ``.data`` do not raise versions.
        """
        before, after = [], []
        for reference, number, sample in self._held.values():
            view = reference()
            if view is None:
                continue
            if version(view) != number or not _is_whole(view):
                return True
            before.append(sample)
            after.append(_sampled(view))
        return bool(before) and _bytes(before) != _bytes(after)

    def own(self, tensor: Tensor) -> Tensor:
        """A tensor that was held, or a copy where somebody else holds its memory still."""
        held = self._held.get(id(tensor))
        if held is None or held[0]() is not tensor:
            return tensor
        assert _holders is not None  # nothing is held without it
        # The tensor, and what it is asked through.
        is_alone = _holders(tensor.untyped_storage()._cdata) == 2
        return tensor if is_alone else tensor.clone(memory_format=torch.contiguous_format)


def _is_whole(tensor: Tensor) -> bool:
    """Whether it is a plain tensor, and all of the memory that it looks at."""
    return (
        _holders is not None
        and type(tensor) is Tensor
        and tensor.layout == torch.strided
        and not (tensor.requires_grad or tensor.is_inference() or tensor.is_meta)
        and not (tensor.is_conj() or tensor.is_neg())
        and 0 < tensor.nbytes == tensor.untyped_storage().nbytes()
    )


def _sampled(view: Tensor) -> Tensor:
    """Numbers spread over all of the memory, in whatever order its axes lie."""
    step = -(-view.numel() // _SAMPLE)
    return view.as_strided((-(-view.numel() // step),), (step,), 0)


def _bytes(samples: list[Tensor]) -> list[bytes]:
    kinds = dict.fromkeys((sample.device, sample.dtype) for sample in samples)
    joined = (
        torch.cat([sample for sample in samples if (sample.device, sample.dtype) == kind])
        for kind in kinds
    )
    return [numbers.view(torch.uint8).cpu().numpy().tobytes() for numbers in joined]
