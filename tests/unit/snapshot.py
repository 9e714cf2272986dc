"""A complete picture of a model and of torch's global state, and what has changed since."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

Facts = dict[str, object]


class Same:
    """An object by identity; kept alive, so that no other can take its address."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        text = f"{type(self.value).__name__} at {id(self.value):#x}"
        return text if isinstance(self.value, Tensor | nn.Module) else f"{text} {self.value!r:.60}"


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Assert that `model` and torch's global state are left by the block as they were found."""
    before = snapshot(model)
    yield
    changes = differences(before, snapshot(model))
    assert not changes, "changed:\n" + "\n".join(changes)


def differences(before: Facts, after: Facts) -> list[str]:
    """What differs, each named: "encoder.weight.grad: Same(None) → …"."""
    missing = "nothing"
    return [
        f"{name}: {_short(before.get(name, missing))} → {_short(after.get(name, missing))}"
        for name in dict.fromkeys((*before, *after))
        if name not in before or name not in after or before[name] != after[name]
    ]


def snapshot(model: nn.Module) -> Facts:
    """Everything about `model` that looking at it must not change, by name."""
    facts: Facts = dict(_global_facts())
    for path, module in model.named_modules(remove_duplicate=False):
        facts.update((f"{path or 'model'}.{name}", fact) for name, fact in _module_facts(module))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        facts.update((f"{name}: {what}", fact) for what, fact in _tensor_facts(tensor))
    return facts


def _module_facts(module: nn.Module) -> Iterator[tuple[str, object]]:
    yield "class", Same(type(module))
    yield "training", module.training
    config = getattr(module, "config", None)
    yield "config._attn_implementation", getattr(config, "_attn_implementation", None)
    for name, value in list(module.__dict__.items()):
        yield f"{name} (object)", Same(value)
        # Parameters, buffers, children and all hook dictionaries are among these.
        if isinstance(value, dict):
            yield f"{name} (contents)", [(key, Same(item)) for key, item in value.items()]
        elif isinstance(value, list | tuple | set):
            yield f"{name} (contents)", [Same(item) for item in value]
        elif isinstance(value, Tensor):
            yield from ((f"{name}: {what}", fact) for what, fact in _tensor_facts(value))


def _tensor_facts(tensor: Tensor) -> Iterator[tuple[str, object]]:
    # A scripted module wraps its tensors anew at each access: the memory tells, not the object.
    yield "data pointer", tensor.data_ptr() if tensor.device.type != "meta" else None
    yield "values", _bytes(tensor)
    yield "version", None if tensor.is_inference() else tensor._version
    yield "requires_grad", tensor.requires_grad
    yield "hooks", dict(tensor._backward_hooks or {})
    if tensor.is_leaf:
        yield "grad (object)", Same(tensor.grad)
        yield "grad values", None if tensor.grad is None else _bytes(tensor.grad)


def _bytes(tensor: Tensor) -> bytes:
    if tensor.device.type == "meta":
        return b""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _global_facts() -> Iterator[tuple[str, object]]:
    for name, value in vars(torch_module).items():
        if name.startswith("_global_"):
            contents = [(k, Same(v)) for k, v in value.items()] if isinstance(value, dict) else 0
            yield f"torch.nn.modules.module.{name}", (Same(value), contents)
    yield "random state of torch", torch.get_rng_state().numpy().tobytes()
    if torch.cuda.is_available():
        states = torch.cuda.get_rng_state_all()
        yield "random state of CUDA", [state.numpy().tobytes() for state in states]
    yield "random state of Python", random.getstate()
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 (what users seed)
    yield "random state of NumPy", (kind, np.asarray(keys).tobytes(), *rest)
    yield "grad mode", torch.is_grad_enabled()
    yield "inference mode", torch.is_inference_mode_enabled()
    yield "autocast", torch.is_autocast_enabled("cpu")
    yield "function modes", torch._C._len_torch_function_stack()
    yield "dispatch modes", torch._C._len_torch_dispatch_stack()
    yield "default dtype", torch.get_default_dtype()


def _short(fact: object) -> str:
    text: Any = repr(fact)
    return text if len(text) < 120 else f"{text[:80]}… ({len(text)} characters)"
