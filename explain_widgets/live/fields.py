"""The fields of modules: what tells two states of a model apart, and how all are put back."""

from __future__ import annotations

import itertools
import operator
import types
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from explain_widgets.live.randomness import generator_state

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
_MODULE_FIELDS = frozenset(nn.Module().__dict__) | {"_modules", "_parameters", "_buffers"}
_NO_ATTRIBUTES = _MODULE_FIELDS | {"_hf_hook"}  # accelerate's, which may hold all weights
_PLAIN = (int, float, str, bool, bytes, type(None))
_NO_HOLDERS = (*_PLAIN, type, types.FunctionType, types.ModuleType)


class Structure:
    """What must stay as it is for a twin to stay a copy of a model.

    Modules and classes, parameter and buffer objects by name, hooks, and plain attributes by
    value (``dropout.p``), others by identity, plain fields of configuration objects by value.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parts = _structure(model)
        self._watch()

    def _watch(self) -> None:
        self.modules = list(self._model.modules())
        self._alive = all_fields(self.modules)  # whose addresses stand in the parts
        # Scripted modules wrap what they hold anew at each access.
        is_scripted = any(isinstance(module, torch.jit.ScriptModule) for module in self.modules)
        self._containers = None if is_scripted else list(_containers(self.modules))
        buffers = [module._buffers for module in self.modules]
        # Of most modules all but a few of them are empty: that they still are is seen at once.
        self._empty = [one for one in (*(self._containers or ()), *buffers) if not one]
        self._filled = [one for one in (*(self._containers or ()), *buffers) if one]
        self._sizes = [*map(len, self._filled)]
        # Of dictionaries live views; buffers are other tensors at any time, under the same names.
        views = [
            view
            for one in (held for held in self._containers or () if held)
            for view in ((one.keys(), one.values()) if isinstance(one, dict) else (one,))
        ]
        self._views = [*views, *(one.keys() for one in buffers if one)]
        self._held = [*itertools.chain.from_iterable(self._views)]
        self._types = [*map(type, self.modules)]

    def holds(self) -> bool:
        """Whether nothing of it has changed."""
        if self._containers is not None and self._is_the_same():
            return True
        if _structure(self._model) != self._parts:
            return False
        self._watch()  # what has changed makes no difference: a flag, or an equal number
        return True

    def _is_the_same(self) -> bool:
        """Whether the same objects are everywhere: seen at once, and asked before every answer."""
        return (
            not any(self._empty)
            and [*map(len, self._filled)] == self._sizes
            and all(map(operator.is_, itertools.chain.from_iterable(self._views), self._held))
            and all(map(operator.is_, map(type, self.modules), self._types))
        )


def _containers(modules: Iterable[nn.Module]) -> Iterator[Any]:
    """All dictionaries and lists that `_structure` looks into, but for buffers, each once."""
    seen: set[int] = set()
    stack: list[object] = []
    for module in modules:
        fields = module.__dict__
        yield fields
        stack.extend(fields[name] for name in ("_modules", "_parameters", *HOOKS))
        stack.extend(value for name, value in fields.items() if name not in _MODULE_FIELDS)
    while stack:
        value = stack.pop()
        if isinstance(value, (*_NO_HOLDERS, nn.Module, Tensor)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, (list, tuple)):
            yield value
            stack.extend(value)
        else:
            held = value if isinstance(value, dict) else getattr(value, "__dict__", None)
            if isinstance(held, dict):
                yield held


def _structure(model: nn.Module) -> tuple[object, ...]:
    seen: set[int] = set()
    parts: list[object] = []
    for module in model.modules():
        parts.append((id(module), type(module)))
        if isinstance(module, torch.jit.ScriptModule):  # wraps its tensors anew at each access
            parts.extend(p.data_ptr() for _, p in module.named_parameters(recurse=False))
            continue
        parts.extend((name, id(child)) for name, child in module._modules.items())
        parts.extend((name, id(tensor)) for name, tensor in module._parameters.items())
        parts.extend(module._buffers)
        for field in HOOKS:
            parts.extend((key, id(hook)) for key, hook in module.__dict__.get(field, {}).items())
        for name, value in list(module.__dict__.items()):
            if name not in _MODULE_FIELDS and name != "training":
                parts.append((name, _plain_or_id(value)))
                parts.extend(_plain_fields(value, seen))
    return tuple(parts)


def _plain_or_id(value: object) -> object:
    if isinstance(value, (list, tuple)) and len(value) <= 64:
        return tuple(_plain_or_id(item) for item in value)
    return (type(value), value) if isinstance(value, _PLAIN) else id(value)


def _plain_fields(value: object, seen: set[int]) -> Iterator[object]:
    fields = value if isinstance(value, dict) else getattr(value, "__dict__", None)
    if not isinstance(fields, dict) or isinstance(value, (nn.Module, Tensor, type)):
        return
    if id(value) not in seen:
        seen.add(id(value))
        for name, field in list(fields.items()):
            if isinstance(field, (*_PLAIN, Tensor)):
                yield (name, _plain_or_id(field))


def hidden_tensors(model: nn.Module) -> list[Tensor]:
    """Tensors in plain attributes, however deep in containers, objects and unregistered modules."""
    return [item for item in _hidden(model) if isinstance(item, Tensor)]


def own_generators(model: nn.Module) -> list[Any]:
    """Random number generators (of torch, NumPy, Python) that the model holds itself."""
    return [item for item in _hidden(model) if generator_state(item) is not None]


def _hidden(model: nn.Module) -> Iterator[object]:
    modules = list(model.modules())
    known = {id(tensor) for tensor in (*modules, *model.parameters(), *model.buffers())}
    stack: list[object] = []
    for module in modules:
        stack.extend(v for name, v in list(module.__dict__.items()) if name not in _NO_ATTRIBUTES)
    while stack and len(known) < 100_000:
        item = stack.pop()
        if isinstance(item, _NO_HOLDERS) or id(item) in known:
            continue
        known.add(id(item))
        yield item
        if isinstance(item, Tensor):
            continue
        if isinstance(item, dict):
            stack.extend(list(item.values()))
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend(item)
        elif isinstance(getattr(item, "__dict__", None), dict):
            stack.extend(list(item.__dict__.values()))


@dataclass(frozen=True)
class _Fields:
    """All fields of a module as they were, and what was in those that are containers."""

    module: nn.Module
    training: bool
    values: dict[str, Any]
    contents: list[tuple[Any, Any]]


_CONTAINERS = (dict, OrderedDict, list, set)


def all_fields(modules: Iterable[nn.Module]) -> list[_Fields]:
    """The fields of modules, as they are now."""
    found = []
    for module in modules:
        values = dict(module.__dict__)
        # Of empty ones no copies: most modules have a dozen of them.
        inside = [(v, v.copy() if v else ()) for v in values.values() if type(v) in _CONTAINERS]
        if isinstance(module, torch.jit.ScriptModule):
            inside.append((None, dict(module.named_buffers(recurse=False))))
        found.append(_Fields(module, module.training, values, inside))
    return found


@contextmanager
def restored(before: list[_Fields]) -> Iterator[None]:
    """Put every field of `all_fields` back at the end: children, parameters, hooks, attributes."""
    try:
        yield
    finally:
        for fields in before:
            now = fields.module.__dict__
            set_training(fields.module, fields.training)
            if now.keys() != fields.values.keys():
                for name in now.keys() - fields.values.keys():
                    del now[name]
            now.update(fields.values)
            for container, contents in fields.contents:
                if container or contents or container is None:
                    _refill(fields.module, container, contents)


def _refill(module: nn.Module, container: Any, contents: Any) -> None:
    if container is None:  # the buffers of a scripted module
        for name, buffer in contents.items():
            set_buffer(module, name, buffer)
    elif isinstance(container, list):
        container[:] = contents
    else:
        container.clear()
        container.update(contents)


class Copies:
    """Copies of tensors, one of each."""

    def __init__(self) -> None:
        # With the tensors themselves: scripted modules wrap theirs anew at each access.
        self._made: dict[int, tuple[Tensor, Tensor]] = {}

    def of(self, tensor: Tensor) -> Tensor:
        """The copy of ``tensor``."""
        if id(tensor) not in self._made:
            self._made[id(tensor)] = tensor, tensor.detach().clone()
        return self._made[id(tensor)][1]


def give_own_tensors(module: nn.Module, copies: Copies) -> None:
    """Copies in the place of tensors in plain attributes and in lists and dictionaries there."""
    for name, value in module.__dict__.items():
        if name in _MODULE_FIELDS:
            continue
        if isinstance(value, Tensor):
            module.__dict__[name] = copies.of(value)
        elif type(value) is dict:
            value.update({k: copies.of(v) for k, v in value.items() if isinstance(v, Tensor)})
        elif type(value) is list:
            value[:] = [copies.of(v) if isinstance(v, Tensor) else v for v in value]


def set_training(module: nn.Module, training: bool) -> None:
    """Set the flag, where it is another: modules take long over each attribute."""
    if module.training != training:
        module.training = training


def set_buffer(module: nn.Module, name: str, tensor: Tensor | None) -> None:
    """Put a tensor in the place of a buffer, also in a scripted module."""
    if isinstance(module, torch.jit.ScriptModule):
        cast("Any", module)._c.setattr(name, tensor)
    else:
        module._buffers[name] = tensor
