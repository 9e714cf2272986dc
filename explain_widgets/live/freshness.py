"""Whether what was read from a model still holds, or something in it has changed since."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import optimizer as torch_optimizer

_SAMPLE = 64


@dataclass(frozen=True)
class WeightState:
    """What tells one state of a model's tensors from another.

    ``tensors``: data pointer and version of each parameter and buffer. ``values``: the bytes of
    the same up to 64 elements of each, since fused optimizers and writes through ``.data`` do not
    raise versions. ``steps``: optimizer steps seen in this process.
    """

    tensors: tuple[tuple[int, int], ...]
    values: bytes
    steps: int


def weight_state(model: nn.Module) -> WeightState:
    """The state of all parameters and buffers of ``model``: one copy to the host a device."""
    steps = STEPS.count
    tensors = list(_tensors(model))
    pointers = tuple((_pointer(tensor), _version(tensor)) for tensor in tensors)
    return WeightState(pointers, _sampled_bytes(tensors), steps)


def quick_state(model: nn.Module) -> tuple[object, ...]:
    """Pointers, versions and optimizer steps only: to see whether something moved meanwhile."""
    pointers = tuple((_pointer(tensor), _version(tensor)) for tensor in _tensors(model))
    return (*pointers, STEPS.count)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _pointer(tensor: Tensor) -> int:
    try:
        return tensor.data_ptr()
    except (RuntimeError, NotImplementedError):  # meta, sparse, fake and wrapper tensors
        return id(tensor)


def _version(tensor: Tensor) -> int:
    # Tensors made in inference mode do not count their versions.
    return -1 if tensor.is_inference() else tensor._version


def _sampled_bytes(tensors: list[Tensor]) -> bytes:
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        if tensor.layout == torch.strided and tensor.device.type != "meta" and tensor.numel():
            groups.setdefault((tensor.device, tensor.dtype), []).append(_sample(tensor.detach()))
    parts = []
    with torch.no_grad():
        for samples in groups.values():
            joined = torch.cat(samples)
            parts.append(joined.view(torch.uint8).cpu().numpy().tobytes())
    return b"".join(parts)


def _sample(tensor: Tensor) -> Tensor:
    """Up to 64 elements spread over the tensor, as a view where the memory allows."""
    flat = tensor.view(-1) if tensor.is_contiguous() else tensor.reshape(-1)
    stride = -(-flat.numel() // _SAMPLE)
    return flat[::stride].resolve_conj().resolve_neg()


class _StepWatch:
    """Counts the optimizer steps of this process while at least one live model asks for it."""

    def __init__(self) -> None:
        self.count = 0
        self._last: tuple[int, float] | None = None  # thread, time of the latest step
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

    def seen_elsewhere(self, since: float) -> bool:
        """Whether another thread than the calling one has stepped since that time."""
        last = self._last
        return last is not None and last[0] != threading.get_ident() and last[1] >= since

    def _seen(self, *_: object) -> None:
        self.count += 1
        self._last = (threading.get_ident(), time.monotonic())


STEPS = _StepWatch()
