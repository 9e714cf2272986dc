"""The twin: a structural copy of the user's model that shares its parameters and runs for it.

Hooks, modes and buffers of the twin are its own, so that looking never touches the user's model,
also while a cell trains it. Where a model cannot be copied, `Borrowed` runs the model itself and
puts everything back.
"""

from __future__ import annotations

import copy
import functools
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explain_widgets.live.fields import (
    HOOKS,
    Copies,
    Structure,
    all_fields,
    give_own_tensors,
    hidden_tensors,
    own_generators,
    restored,
    set_buffer,
    set_training,
)
from explain_widgets.live.freshness import version
from explain_widgets.live.modules import parameter_counts
from explain_widgets.live.randomness import generator_state, set_generator_state

_STATE_HOOKS = (
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


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

    Tensors in plain attributes are private copies. Large ones are shared where the model only
    reads them, which is seen in the first run.

    Parameters
    ----------
    model
        Any module, as returned by `plain_module`.

    Attributes
    ----------
    hidden
        The user's tensors that are neither parameters nor buffers.
    module
        What runs.
    modules
        The modules of what runs, by their paths.
    counts
        See `parameter_counts`.

    Raises
    ------
    CannotCopyError
        When a field refuses to be copied, or weights are offloaded or sharded.
    """

    reason = ""

    def __init__(self, model: nn.Module) -> None:
        _refuse_special(model)
        self._original = model
        self._structure = Structure(model)
        self.hidden = hidden_tensors(model)
        self._settled = not any(map(_is_large, self.hidden))
        self._build([(tensor, tensor.detach().clone()) for tensor in self.hidden])

    def _build(self, private: list[tuple[Tensor, Tensor]]) -> None:
        self._private = private
        try:
            self.module = _copy(self._original, {id(tensor): own for tensor, own in private})
        except Exception as error:
            if "during iteration" in str(error):  # the model was being changed: worth another try
                raise
            raise CannotCopyError(f"{type(error).__name__}: {error}") from error
        self._generators = [
            *zip(own_generators(self._original), own_generators(self.module), strict=True)
        ]
        self._pairs = list(zip(_tree(self._original), _tree(self.module), strict=True))
        self.modules = list(self.module.named_modules())
        self._fields = all_fields(module for _, module in self.modules)
        self.counts = parameter_counts(self.module)

    @property
    def originals(self) -> list[nn.Module]:
        """The user's modules, as of the last question whether this follows them."""
        return self._structure.modules

    def follows(self, model: nn.Module) -> bool:
        """Whether this is still a copy of ``model``: same modules, parameters, plain attributes."""
        return self._original is model and self._structure.holds()

    @contextmanager
    def ready(self, train_mode: bool) -> Iterator[nn.Module]:
        """The module to run once, as the model is now, in the mode asked for."""
        versions = []
        with restored(self._fields):
            copies = Copies()
            for source, target in self._pairs:
                is_training = source.training or not self._original.training
                set_training(target, train_mode and is_training)
                for name, buffer in list(source._buffers.items()):
                    own = None if buffer is None else copies.of(buffer)
                    set_buffer(target, name, own)
            for source, own in self._generators:
                set_generator_state(own, generator_state(source))
            with torch.no_grad():
                for tensor, own in self._private:
                    own.copy_(tensor)
                    versions.append(own._version)
            yield self.module
        if not self._settled:
            self._settled = True
            self._build(
                [
                    (tensor, own)
                    for (tensor, own), before in zip(self._private, versions, strict=True)
                    if not _is_large(tensor) or own._version != before
                ]
            )


class Borrowed:
    """The user's own model, run where no twin can be made, and left as it was found.

    Parameters
    ----------
    model
        Any module, as returned by `plain_module`.
    reason
        Why it cannot be copied, in words.

    Attributes
    ----------
    module, hidden, modules, counts
        As in `Twin`, and as of the last question whether this follows the model.
    """

    def __init__(self, model: nn.Module, reason: str) -> None:
        self.module = model
        self.reason = reason
        self.hidden = hidden_tensors(model)
        self._generators = own_generators(model)
        self._look()

    def _look(self) -> None:
        self._structure = Structure(self.module)
        self.modules = list(self.module.named_modules())
        self.counts = parameter_counts(self.module)

    @property
    def originals(self) -> list[nn.Module]:
        """As in `Twin`."""
        return self._structure.modules

    def follows(self, model: nn.Module) -> bool:
        """Whether this still stands for ``model`` as it is; if not, it may have become copyable."""
        return self.module is model and self._structure.holds()

    @contextmanager
    def ready(self, train_mode: bool) -> Iterator[nn.Module]:
        """The module to run once: everything on it is put back whatever happens."""
        values = [(tensor, version(tensor), tensor.detach().clone()) for tensor in self.hidden]
        states = [(generator, generator_state(generator)) for generator in self._generators]
        modules = list(self.module.modules())
        with restored(all_fields(modules)):
            copies = Copies()
            was_training = self.module.training
            for module in modules:
                set_training(module, train_mode and (module.training or not was_training))
                for name, buffer in list(module._buffers.items()):
                    if buffer is not None:
                        set_buffer(module, name, copies.of(buffer))
                if not isinstance(module, torch.jit.ScriptModule):
                    give_own_tensors(module, copies)
            try:
                yield self.module
            finally:
                for generator, state in states:
                    set_generator_state(generator, state)
                with torch.no_grad():
                    for tensor, before, value in values:
                        if version(tensor) != before:
                            tensor.copy_(value)
        # Objects on it may have changed in running (accelerate's hooks note devices).
        self._look()


_LARGE = 2**24


def _is_large(tensor: Tensor) -> bool:
    return tensor.nbytes > _LARGE


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


def _refuse_special(model: nn.Module) -> None:
    inside = {id(module) for module in model.modules()}
    for module in model.modules():
        if any(base.__name__ in _SHARDED for base in type(module).__mro__):
            raise CannotCopyError("its weights are sharded over processes (FSDP)")
        hook = getattr(module, "_hf_hook", None)
        if any(getattr(h, "offload", False) for h in (hook, *getattr(hook, "hooks", ()))):
            raise CannotCopyError("its weights are offloaded by accelerate")
        if hasattr(module, "_orig_mod"):  # a compiled part, of which the twin has the inside
            continue
        for name, value in list(module.__dict__.items()):
            # Set by `module.compile()`; not copied, so that the twin runs eagerly.
            if name != "_compiled_call_impl" and _holds(value, inside, 4):
                raise CannotCopyError(f"{name} was replaced by a function that holds the module")


_SHARDED = frozenset({"FullyShardedDataParallel", "FSDPModule"})


def _holds(value: object, inside: set[int], depth: int) -> bool:
    """Whether a function put on a module would still call into the original when copied.

    Bound methods and partial functions are copied with what they hold; functions are not.
    """
    if depth == 0:
        return False
    if isinstance(value, types.FunctionType):
        held = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        for cell in value.__closure__ or ():
            try:
                held.append(cell.cell_contents)
            except ValueError:  # not filled yet
                continue
        return any(
            id(item) in inside or id(getattr(item, "__self__", None)) in inside for item in held
        ) or any(_holds(item, inside, depth - 1) for item in held)
    if isinstance(value, functools.partial):
        return any(_holds(v, inside, depth - 1) for v in (value.func, *value.args))
    return False


def _copy(model: nn.Module, private: dict[int, Tensor]) -> nn.Module:
    memo: dict[int, Any] = {id(tensor): tensor for tensor in hidden_tensors(model)}
    memo.update(private)
    inside = {id(module) for module in model.modules()}
    for module in model.modules():
        if not isinstance(module, torch.jit.ScriptModule):
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                memo[id(tensor)] = tensor
        _share_hook_owners(module, memo, inside)
    for module in reversed(list(model.modules())):  # inner ones first
        if hasattr(module, "_orig_mod"):  # a compiled part runs eagerly in the twin
            with _SharedTensors():
                memo[id(module)] = copy.deepcopy(module._orig_mod, memo)
    with _SharedTensors():
        twin = copy.deepcopy(model, memo)
    _share_scripted_parameters(model, twin)
    return twin


class _SharedTensors(TorchFunctionMode):
    """Lets a deep copy share each tensor it meets, where copying would refuse (a graph behind it).

    All known ones are in the memo; others were put there by a cell that runs meanwhile.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__deepcopy__:
            return args[0].detach()
        return func(*args, **(kwargs or {}))


def _share_hook_owners(module: nn.Module, memo: dict[int, Any], inside: set[int]) -> None:
    """Objects that the user's hooks are bound to are shared: their records stay the user's.

    Hooks on state dictionaries have no part in running and are left out.
    """
    for field in _STATE_HOOKS:
        hooks = module.__dict__.get(field)
        if hooks is not None:
            memo[id(hooks)] = OrderedDict()
    for field in HOOKS:
        for hook in module.__dict__.get(field, {}).values():
            owner = hook.__self__ if isinstance(hook, types.MethodType) else hook
            if id(owner) not in inside and not isinstance(owner, types.FunctionType):
                memo[id(owner)] = owner


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


def _scripted(module: nn.Module) -> Any:
    """The module below Python of a scripted one, which holds its tensors."""
    return cast("Any", module)._c
