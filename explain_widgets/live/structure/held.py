"""How much memory a forward keeps for its backward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from explain_widgets.live.modules import memory
from explain_widgets.live.structure.tracer import Tracer


class HeldMemory:
    """Counts what autograd keeps, beside the tensors of the model and its inputs: each memory once.

    Parameters
    ----------
    tracer
        Knows which call of a module runs, and what the model holds anyway.

    Attributes
    ----------
    bytes
        By the number of the call in which a memory was kept first.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self.bytes: Counter[int] = Counter()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what is kept in this thread."""
        self.bytes.clear()
        self._seen = {memory(tensor) for tensor in self._tracer.stored()}
        with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor):
            yield

    def _keep(self, tensor: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():
            address = memory(tensor)
            if address not in self._seen:
                self._seen.add(address)
                self.bytes[self._tracer.place] += kept_size(tensor)
        return tensor


def kept_size(tensor: Tensor) -> int:
    """Bytes of all its memory: a view keeps the whole."""
    try:
        return tensor.untyped_storage().nbytes()
    except (RuntimeError, NotImplementedError):  # sparse
        return tensor.numel() * tensor.element_size()
