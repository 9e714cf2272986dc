"""Whether what was read from a model still holds, or something in it has changed since."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import optimizer as torch_optimizer

from explain_widgets.live.home import running_code

_SAMPLE = 64
# Steps further apart than these seconds are two trainings rather than one slow one.
_SLOWEST_PACE = 20.0


@dataclass(frozen=True)
class WeightState:
    """What tells one state of a model's tensors from another.

    ``tensors``: data pointers and versions. ``values``: the bytes of the same up to 64
    elements of each, since fused optimizers and writes through ``.data`` do not raise versions.
    ``steps``: optimizer steps seen in this process.
    """

    tensors: tuple[list[int], list[int]]
    values: bytes
    steps: int


def model_tensors(modules: Iterable[nn.Module], others: Iterable[Tensor] = ()) -> list[Tensor]:
    """Parameters and buffers of modules, and ``others``, each once: all they compute with."""
    found = {  # by id: tensors take long to say their hash
        id(tensor): tensor
        for module in modules
        for own in (module._parameters, module._buffers)
        if own  # most modules have neither
        for tensor in own.values()
        if tensor is not None
    }
    return [*found.values(), *others]


def weight_state(tensors: list[Tensor]) -> WeightState:
    """The state of the tensors of a model: one copy to the host a device."""
    steps = STEPS.count
    return WeightState(_places(tensors), _sampled_bytes(tensors), steps)


def quick_state(tensors: list[Tensor]) -> tuple[object, ...]:
    """Pointers, versions and optimizer steps only: to see whether something moved meanwhile."""
    return _places(tensors), STEPS.count


def version(tensor: Tensor) -> int:
    """How often a tensor was written in place; -1 where torch does not count (inference mode)."""
    return -1 if tensor.is_inference() else tensor._version


def _places(tensors: list[Tensor]) -> tuple[list[int], list[int]]:
    """Data pointers and versions."""
    try:
        return [*map(Tensor.data_ptr, tensors)], [tensor._version for tensor in tensors]
    except (RuntimeError, NotImplementedError):  # some of them have none
        return [*map(_pointer, tensors)], [*map(version, tensors)]


def _pointer(tensor: Tensor) -> int:
    try:
        return tensor.data_ptr()
    except (RuntimeError, NotImplementedError):  # meta, sparse, fake and wrapper tensors
        return id(tensor)


def _sampled_bytes(tensors: list[Tensor]) -> bytes:
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    parts = []
    with torch.inference_mode():  # quicker than no_grad: these views are never written
        for tensor in tensors:
            count = tensor.numel()
            if count and tensor.layout == torch.strided and not tensor.is_meta:
                kind = tensor.device, tensor.dtype
                groups.setdefault(kind, []).append(_sample(tensor, count))
        for samples in groups.values():
            joined = torch.cat(samples)
            parts.append(joined.view(torch.uint8).cpu().numpy().tobytes())
    return b"".join(parts)


def _sample(tensor: Tensor, count: int) -> Tensor:
    """Up to 64 of its ``count`` elements, spread, as a view where the memory allows."""
    stride = -(-count // _SAMPLE)
    if tensor.is_contiguous() and not tensor.is_complex() and not tensor.is_neg():
        return tensor.as_strided((-(-count // stride),), (stride,))
    return tensor.reshape(-1)[::stride].resolve_conj().resolve_neg()


class _StepWatch:
    """Counts the optimizer steps of this process while at least one live model asks for it."""

    def __init__(self) -> None:
        self.count = 0
        # Thread, time and running cell of the latest step, and seconds since the one before it.
        self._last: tuple[int, float, object] | None = None
        self._pace = 0.0
        self._users = 0
        self._handle: Any = None
        self._lock = threading.Lock()

    def start(self) -> None:
        with self._lock:
            self._users += 1
            if self._handle is None:
                self._handle = torch_optimizer.register_optimizer_step_post_hook(self._seen)

    def stop(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._handle is not None:
                self._handle.remove()
                self._handle = None

    def training_elsewhere(self) -> bool:
        """Whether another thread than this one steps, in code that still runs.

        That is so while the latest step is not much longer ago than steps take.
        """
        if self._last is None:
            return False
        ident, stepped, code = self._last
        is_recent = time.monotonic() - stepped < max(1.0, 3 * self._pace)
        return ident != threading.get_ident() and is_recent and running_code(ident) == code

    def _seen(self, *_: object) -> None:
        self.count += 1
        ident, now = threading.get_ident(), time.monotonic()
        if self._last is not None:
            self._pace = min(now - self._last[1], _SLOWEST_PACE)
        self._last = (ident, now, running_code(ident))


STEPS = _StepWatch()
