"""Looking at a model must not move any random number generator that the user draws from."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# Arguments that switch randomness off in operations that could draw: no dropout, no training.
_SWITCHES = frozenset({"dropout_p", "dropout", "train", "training"})


@contextmanager
def kept_random_state(devices: Iterable[torch.device]) -> Iterator[None]:
    """Save the generators of torch (CPU and ``devices``), Python and NumPy; put them back after.

    Only for the home thread: the CPU generator is shared by all threads, and putting its state
    back beside a running cell would rewind the draws of that cell.
    """
    python_state = random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    cpu_state = torch.get_rng_state()
    accelerators = [(d, torch.get_device_module(d)) for d in devices if _has_generator(d)]
    device_states = [module.get_rng_state(device) for device, module in accelerators]
    try:
        yield
    finally:
        for (device, module), state in zip(accelerators, device_states, strict=True):
            module.set_rng_state(state, device)
        torch.set_rng_state(cpu_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
        random.setstate(python_state)


def _has_generator(device: torch.device) -> bool:
    return device.type in {"cuda", "xpu", "mps"}


class DrawsRandomNumbersError(Exception):
    """An operation was about to draw from a shared generator; nothing was drawn."""


class NoRandomDraws(TorchDispatchMode):
    """Stops a run of this thread before its first draw from a shared generator.

    Used on threads beside a running cell. Operations that draw from a generator of their own
    (``generator=…``) pass.

    Attributes
    ----------
    refused
        Whether a draw was refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and _draws(func, args, kwargs):
            self.refused = True
            raise DrawsRandomNumbersError(str(func))
        return func(*args, **kwargs)


def _draws(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if kwargs.get("generator") is not None:
        return False
    for position, argument in enumerate(func._schema.arguments):
        if argument.name in _SWITCHES:
            value = args[position] if position < len(args) else None
            value = kwargs.get(argument.name, argument.default_value if value is None else value)
            if value is not None and not value:
                return False
    return True
