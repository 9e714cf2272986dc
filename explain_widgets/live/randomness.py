"""Looking at a model must not move any random number generator that the user draws from."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from explain_widgets.live.dispatch import DispatchMode

# Arguments that switch randomness off in operations that could draw: no dropout, no training.
_SWITCHES = frozenset({"dropout_p", "dropout", "train", "training"})


@contextmanager
def kept_random_state(devices: Iterable[torch.device]) -> Iterator[Callable[[], bool]]:
    """Save the generators of torch (CPU and ``devices``), Python and NumPy; put them back after.

    Only for the home thread: the CPU generator is shared by all threads, and putting its state
    back beside a running cell would rewind the draws of that cell. Yields a function that says
    whether anything was drawn on the host since.
    """
    python_state = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    numpy_state = None if numpy is None else numpy.random.get_state()
    cpu_state = torch.get_rng_state()

    def has_moved() -> bool:
        if numpy_state is not None and _key(numpy.random.get_state()) != _key(numpy_state):
            return True
        return random.getstate() != python_state or not torch.equal(
            torch.get_rng_state(), cpu_state
        )

    accelerators = [(d, torch.get_device_module(d)) for d in devices if _has_generator(d)]
    device_states = [module.get_rng_state(device) for device, module in accelerators]
    try:
        yield has_moved
    finally:
        for (device, module), state in zip(accelerators, device_states, strict=True):
            module.set_rng_state(state, device)
        torch.set_rng_state(cpu_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
        random.setstate(python_state)


def _key(numpy_state: Any) -> tuple[object, ...]:
    return (numpy_state[1].tobytes(), *numpy_state[2:])


def generator_state(generator: Any) -> Any:
    """The state of a generator of torch, Python or NumPy; None: it is none of those."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if not type(generator).__module__.startswith("numpy.random"):
        return None
    if hasattr(generator, "bit_generator"):
        return generator.bit_generator.state
    return generator.get_state() if hasattr(generator, "get_state") else None


def set_generator_state(generator: Any, state: Any) -> None:
    """Put a generator into a state of `generator_state`."""
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


def _has_generator(device: torch.device) -> bool:
    return device.type in {"cuda", "xpu", "mps"}


class DrawsRandomNumbersError(Exception):
    """An operation was about to draw from a shared generator; nothing was drawn."""


class NoRandomDraws(DispatchMode):
    """Stops a run of this thread before it moves a shared generator for the first time.

    Used on threads beside a running cell. Operations that draw from a generator of their own
    (``generator=…``) pass. Checkpointed parts of a differentiable run do not: they put the state
    of the generators back while gradients are computed.

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
        if torch.Tag.nondeterministic_seeded in func.tags and draws(func, args, kwargs):
            self.refused = True
            raise DrawsRandomNumbersError(str(func))
        if _in_checkpoint():
            self.refused = True
            raise DrawsRandomNumbersError("checkpoint")
        return func(*args, **kwargs)


def _in_checkpoint() -> bool:
    """Whether this runs inside ``torch.utils.checkpoint``, to be run again in the backward."""
    hooks: Any = torch._C._autograd._top_saved_tensors_default_hooks(True)
    return hooks is not None and hooks[0].__module__ == "torch.utils.checkpoint"


def draws(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operation that can draw from a shared generator is called so that it does."""
    if kwargs.get("generator") is not None:
        return False
    for position, argument in enumerate(func._schema.arguments):
        if argument.name in _SWITCHES:
            value = args[position] if position < len(args) else None
            value = kwargs.get(argument.name, argument.default_value if value is None else value)
            if value is not None and not value:
                return False
    return True
