"""The module table: what ran in one forward, in call order."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


@dataclass
class ModuleRow:
    """One module of a forward.

    Attributes
    ----------
    name
        Path in the model, as in ``named_modules()``; the root is ``""``. A module that is reached
        by several paths goes by its first.
    type
        Class name.
    input_shapes, output_shapes
        Shapes of the tensors that went in and came out at the first call, containers flattened.
    parameters
        Number of parameter elements in the module and below, shared ones counted once.
    calls
        How often it ran in this forward; 0: never.
    seconds
        Wall time inside it, all calls together. On accelerators: between events on the device.
    bytes
        Bytes of its outputs, all calls together.
    """

    name: str
    type: str
    input_shapes: tuple[Shape, ...] = ()
    output_shapes: tuple[Shape, ...] = ()
    parameters: int = 0
    calls: int = 0
    seconds: float = 0.0
    bytes: int = 0
    order: int = field(default=-1, repr=False)


def kept_bytes(rows: Iterable[ModuleRow]) -> int:
    """About what a run with gradients keeps: the outputs of the modules that hold no others."""
    rows = list(rows)
    around = {row.name.rpartition(".")[0] for row in rows if row.name}
    return sum(row.bytes for row in rows if row.name not in around)


def library_classes(module: nn.Module) -> Iterator[str]:
    """Names of the classes of torch (and transformers) that a module is one of, its own first.

    A user's class may have any name; what it is derived from tells what it does.
    """
    original = getattr(module, "original_name", None)  # of scripted modules
    if isinstance(original, str):
        yield original
    for base in type(module).__mro__:
        if base.__module__.startswith(("torch.", "transformers.")):
            yield base.__name__


_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "groups", "output_size")


def settings(module: nn.Module) -> tuple[Any, ...]:
    """What sets a convolution or pooling apart from others of its weights; of the rest nothing.

    Examples
    --------
    >>> settings(nn.MaxPool2d(2)) == settings(nn.MaxPool2d(2, stride=1))
    False
    """
    found = map(module.__dict__.get, _SETTINGS)
    # Most modules have none of them, and a model has thousands of modules.
    return tuple([None if value is None or not _is_setting(value) else value for value in found])


def _is_setting(value: object) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return all(isinstance(one, (int, str, type(None))) for one in values)


def in_call_order(rows: list[ModuleRow]) -> list[ModuleRow]:
    """Rows by their first call; modules that were never called come last."""
    called = sorted((row for row in rows if row.calls), key=lambda row: row.order)
    return called + [row for row in rows if not row.calls]


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Elements of the parameters in each module and below, shared ones counted once there.

    One pass over the parameters: asking every module for its own would walk each subtree anew.
    """
    counted: dict[str, dict[int, int]] = {name: {} for name, _ in model.named_modules()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            continue
        path = name
        while path:
            path = path.rpartition(".")[0]
            if path in counted:
                counted[path][id(parameter)] = parameter.numel()
    return {name: sum(sizes.values()) for name, sizes in counted.items()}


def model_device(model: nn.Module) -> torch.device:
    """Where the inputs of a model belong: with its first parameter or buffer that has values.

    Of a model that is offloaded as a whole: where accelerate runs it.
    """
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if not tensor.is_meta:
            return tensor.device
    for module in model.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return torch.device("cpu")


def flat_tensors(value: object) -> Iterator[Tensor]:
    """The tensors in tuples, lists, mappings, dataclasses and model outputs, in order."""
    return (tensor for _, tensor in named_tensors(value))


def named_tensors(value: object) -> list[tuple[str, Tensor]]:
    """The tensors in tuples, lists, mappings, dataclasses and model outputs, with keys, in order.

    The keys of nested containers are joined: ``"hidden_states.3"``; a bare tensor has none.
    """
    if isinstance(value, Tensor):
        return [("", value)]
    found: list[tuple[str, Tensor]] = []
    _find_tensors(value, "", found)
    return found


def _find_tensors(value: object, before: str, found: list[tuple[str, Tensor]]) -> None:
    for key, item in _items(value):
        if isinstance(item, Tensor):
            found.append((f"{before}{key}", item))
        elif type(item) not in _PLAIN:  # most of what modules are called with
            _find_tensors(item, f"{before}{key}.", found)


_PLAIN = frozenset({type(None), bool, int, float, str})


def _items(value: object) -> Iterable[tuple[object, object]]:
    kind = type(value)
    if kind is tuple or kind is list:
        return enumerate(cast("Sequence[object]", value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return zip(value._fields, value, strict=True)
    if isinstance(value, (tuple, list)):
        return enumerate(value)
    if isinstance(value, Mapping):
        return value.items()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in fields(value)]
    return ()


def memory(tensor: Tensor) -> int:
    """Address of the memory that a tensor looks at; 0: not known."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse, or inside torch.func
        return 0


def shape(tensor: Tensor) -> Shape:
    """The shape; of a nested tensor, which has none, the number of tensors in it."""
    if tensor.is_nested and tensor.layout == torch.strided:
        return (tensor.size(0),)
    return tuple(tensor.shape)


def first_tensor(value: object) -> Tensor | None:
    """The first tensor of floating point in ``value``, else the first tensor, else None."""
    tensors = list(flat_tensors(value))
    floating = (t for t in tensors if t.is_floating_point() or t.is_complex())
    return next(floating, tensors[0] if tensors else None)


def with_tensor(output: Any, old: Tensor, new: Tensor) -> Any:
    """``output`` with one of its tensors replaced."""
    if output is old:
        return new
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(with_tensor(item, old, new) for item in output))
    if isinstance(output, (tuple, list)):
        return type(output)(with_tensor(item, old, new) for item in output)
    if isinstance(output, dict):
        items = {key: with_tensor(item, old, new) for key, item in output.items()}
        return type(output)(items) if type(output) is dict else type(output)(**items)
    if hasattr(output, "__dataclass_fields__"):
        entries = {name: getattr(output, name) for name in output.__dataclass_fields__}
        changed = {name: with_tensor(item, old, new) for name, item in entries.items()}
        return dataclasses.replace(output, **changed)
    return output
