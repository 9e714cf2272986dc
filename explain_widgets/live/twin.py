"""The twin: a structural copy of the user's model that shares its parameters and runs for it.

Hooks, modes and buffers of the twin are its own, so that looking never touches the user's model,
also while a cell trains it. Where a model cannot be copied, `Borrowed` runs the model itself and
puts everything back.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
_MODULE_FIELDS = frozenset(nn.Module().__dict__) | {"_modules", "_parameters", "_buffers"}
_PLAIN = (int, float, str, bool, bytes, type(None))


class CannotCopyError(Exception):
    """The model cannot be copied; the text says why."""


def plain_module(model: nn.Module) -> nn.Module:
    """The module inside wrappers that only change how it runs: compiled, DataParallel, DDP."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = cast("nn.Module", model._orig_mod)
        elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        else:
            return model


class Twin:
    """A copy of ``model`` for running: parameters shared, everything else its own.

    Tensors in plain attributes are shared where the model only reads them; which ones it writes
    is seen in the first run, for which all of them are private copies.

    Parameters
    ----------
    model
        Any module, as returned by `plain_module`.

    Raises
    ------
    CannotCopyError
        When a field refuses to be copied, or weights are offloaded or sharded.
    """

    reason = ""

    def __init__(self, model: nn.Module) -> None:
        _refuse_special(model)
        self._original = model
        self._structure = structure(model)
        hidden = _hidden_tensors(model)
        self._settled = not hidden
        self._build([(tensor, tensor.detach().clone()) for tensor in hidden])

    def _build(self, private: list[tuple[Tensor, Tensor]]) -> None:
        self._private = private
        try:
            self.module = _copy(self._original, {id(tensor): own for tensor, own in private})
        except Exception as error:
            raise CannotCopyError(f"{type(error).__name__}: {error}") from error
        self._buffers = _buffer_places(self._original, self.module)

    def follows(self, model: nn.Module) -> bool:
        """Whether this is still a copy of ``model``: same modules, parameters, plain attributes."""
        return self._original is model and self._structure == structure(model)

    @contextmanager
    def ready(self, train_mode: bool) -> Iterator[nn.Module]:
        """The module to run once: fresh copies of what it may write, the mode set everywhere."""
        copies: dict[int, Tensor] = {}
        for source, target, name in self._buffers:
            buffer = getattr(source, name)
            if buffer is not None:
                _set_buffer(target, name, copies.setdefault(id(buffer), buffer.detach().clone()))
        with torch.no_grad():
            for tensor, own in self._private:
                own.copy_(tensor)
        versions = [own._version for _, own in self._private]
        self.module.train(train_mode)
        yield self.module
        if not self._settled:
            self._settled = True
            pairs = zip(self._private, versions, strict=True)
            self._build([pair for pair, version in pairs if pair[1]._version != version])


class Borrowed:
    """The user's own model, run where no twin can be made, and left as it was found.

    Parameters
    ----------
    model
        Any module, as returned by `plain_module`.
    reason
        Why it cannot be copied, in words.
    """

    def __init__(self, model: nn.Module, reason: str) -> None:
        self.module = model
        self.reason = reason

    def follows(self, model: nn.Module) -> bool:
        """Whether this still stands for ``model``."""
        return self.module is model

    @contextmanager
    def ready(self, train_mode: bool) -> Iterator[nn.Module]:
        """The module to run once: modes and buffers are put back whatever happens."""
        modules = list(self.module.modules())
        modes = [module.training for module in modules]
        buffers = [dict(module._buffers) for module in modules]
        copies: dict[int, Tensor] = {}
        try:
            for module in modules:
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        copied = copies.setdefault(id(buffer), buffer.detach().clone())
                        module._buffers[name] = copied
            self.module.train(train_mode)
            yield self.module
        finally:
            for module, mode, own in zip(modules, modes, buffers, strict=True):
                module.training = mode
                module._buffers.clear()
                module._buffers.update(own)


@contextmanager
def replaced_parameters(
    module: nn.Module, replace: Callable[[nn.Parameter], Tensor]
) -> Iterator[dict[str, Tensor]]:
    """Put ``replace(parameter)`` in the place of every parameter of a twin, for one run.

    Yields the new tensors by name; a shared parameter is replaced once, under its first name.
    """
    named: dict[str, Tensor] = {}
    copies: dict[int, nn.Parameter] = {}
    places: list[tuple[nn.Module, str, nn.Parameter]] = []
    try:
        for prefix, owner in module.named_modules():
            for name, parameter in list(owner._parameters.items()):
                if parameter is None:
                    continue
                if id(parameter) not in copies:
                    tensor = replace(parameter)
                    copies[id(parameter)] = nn.Parameter(tensor, tensor.requires_grad)
                    named[f"{prefix}.{name}" if prefix else name] = copies[id(parameter)]
                places.append((owner, name, parameter))
                # setattr and not the dictionary: recurrent layers keep a flat list as well.
                setattr(owner, name, copies[id(parameter)])
        yield named
    finally:
        for owner, name, parameter in places:
            setattr(owner, name, parameter)


def structure(model: nn.Module) -> tuple[object, ...]:
    """What must stay equal for a twin to stay a copy: a cheap fingerprint of the module tree.

    Modules and classes, parameter and buffer objects by name, hooks, and plain attributes by
    value (``dropout.p``), others by identity, plain fields of configuration objects by value.
    """
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
        for field in _HOOKS:
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


def _refuse_special(model: nn.Module) -> None:
    inside = {id(module) for module in model.modules()}
    for module in model.modules():
        if any(base.__name__ in _SHARDED for base in type(module).__mro__):
            raise CannotCopyError("its weights are sharded over processes (FSDP)")
        hook = getattr(module, "_hf_hook", None)
        if any(getattr(h, "offload", False) for h in (hook, *getattr(hook, "hooks", ()))):
            raise CannotCopyError("its weights are offloaded by accelerate")
        for name, value in module.__dict__.items():
            if isinstance(value, types.FunctionType) and _closes_over(value, inside):
                raise CannotCopyError(f"{name} was replaced by a function that holds the module")


_SHARDED = frozenset({"FullyShardedDataParallel", "FSDPModule"})


def _closes_over(function: types.FunctionType, inside: set[int]) -> bool:
    """Whether a function put on a module would still call into the original when copied."""
    for cell in function.__closure__ or ():
        try:
            held = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        if id(held) in inside or id(getattr(held, "__self__", None)) in inside:
            return True
    return False


def _copy(model: nn.Module, private: dict[int, Tensor]) -> nn.Module:
    memo: dict[int, Any] = {id(tensor): tensor for tensor in _hidden_tensors(model)}
    memo.update(private)
    inside = {id(module) for module in model.modules()}
    for module in model.modules():
        if not isinstance(module, torch.jit.ScriptModule):
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                memo[id(tensor)] = tensor
        _share_hook_owners(module, memo, inside)
    for module in reversed(list(model.modules())):  # inner ones first
        if hasattr(module, "_orig_mod"):  # a compiled part runs eagerly in the twin
            memo[id(module)] = copy.deepcopy(module._orig_mod, memo)
    twin = copy.deepcopy(model, memo)
    _share_scripted_parameters(model, twin)
    return twin


def _share_hook_owners(module: nn.Module, memo: dict[int, Any], inside: set[int]) -> None:
    """Objects that the user's hooks are bound to are shared: their records stay the user's."""
    for field in _HOOKS:
        for hook in module.__dict__.get(field, {}).values():
            owner = hook.__self__ if isinstance(hook, types.MethodType) else hook
            if id(owner) not in inside and not isinstance(owner, types.FunctionType):
                memo[id(owner)] = owner


def _hidden_tensors(model: nn.Module) -> list[Tensor]:
    """Tensors in plain attributes, however deep in containers and objects."""
    stack: list[object] = []
    known = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        stack.extend(v for name, v in module.__dict__.items() if name not in _MODULE_FIELDS)
    found = []
    while stack and len(known) < 100_000:
        item = stack.pop()
        if isinstance(item, (*_PLAIN, nn.Module, type, types.FunctionType)) or id(item) in known:
            continue
        known.add(id(item))
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend(item)
        elif isinstance(getattr(item, "__dict__", None), dict):
            stack.extend(item.__dict__.values())
    return found


def _share_scripted_parameters(model: nn.Module, twin: nn.Module) -> None:
    """Scripted and traced modules copy their weights below Python: put the shared ones back."""
    for source, target in zip(_tree(model), _tree(twin), strict=True):
        if isinstance(source, torch.jit.ScriptModule):
            for name, parameter in source.named_parameters(recurse=False):
                _scripted(target).setattr(name, parameter)
            copies = dict(target.named_parameters(recurse=False))
            for name, parameter in source.named_parameters(recurse=False):
                if copies[name].data_ptr() != parameter.data_ptr():
                    raise CannotCopyError(f"the scripted parameter {name} cannot be shared")


def _tree(model: nn.Module) -> list[nn.Module]:
    """All modules in one fixed order, compiled wrappers left out (the twin has none)."""
    return [module for module in model.modules() if not hasattr(module, "_orig_mod")]


def _buffer_places(model: nn.Module, twin: nn.Module) -> list[tuple[nn.Module, nn.Module, str]]:
    """For each buffer: the module of the original that owns it, the twin's, and its name."""
    return [
        (source, target, name)
        for source, target in zip(_tree(model), _tree(twin), strict=True)
        for name, _ in source.named_buffers(recurse=False)
    ]


def _scripted(module: nn.Module) -> Any:
    """The module below Python of a scripted one, which holds its tensors."""
    return cast("Any", module)._c


def _set_buffer(module: nn.Module, name: str, tensor: Tensor) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        _scripted(module).setattr(name, tensor)
    else:
        module._buffers[name] = tensor
