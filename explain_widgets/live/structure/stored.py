"""The parameters and buffers of a model, each once however often it is shared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from explain_widgets.live.modules import shape
from explain_widgets.live.structure.trace import StoredTensor


def stored_tensors(
    modules: Sequence[tuple[str, nn.Module]],
) -> tuple[list[StoredTensor], list[StoredTensor]]:
    """Parameters and buffers of modules that are given with their paths.

    Examples
    --------
    >>> parameters, _ = stored_tensors(list(nn.Linear(3, 2).named_modules()))
    >>> [(one.name, one.numel) for one in parameters]
    [('weight', 6), ('bias', 2)]
    """
    owned = [(path, own_tensors(module)) for path, module in modules]
    return (
        _once((path, parameters) for path, (parameters, _) in owned if parameters),
        _once((path, buffers) for path, (_, buffers) in owned if buffers),
    )


def own_tensors(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of a module itself by their names; None where there may be one."""
    if isinstance(module, torch.jit.ScriptModule):
        return dict(module.named_parameters(recurse=False)), dict(
            module.named_buffers(recurse=False)
        )
    return module._parameters, module._buffers


def _once(owned: Iterable[tuple[str, Mapping[str, Tensor | None]]]) -> list[StoredTensor]:
    names: dict[int, tuple[str, Tensor, list[str]]] = {}
    for path, tensors in owned:
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            full = f"{path}.{name}" if path else name
            owners = names.setdefault(id(tensor), (full, tensor, []))[2]
            if path not in owners:
                owners.append(path)
    return [
        StoredTensor(
            name, shape(tensor), tensor.dtype, tensor.device, tensor.requires_grad, tuple(owners)
        )
        for name, tensor, owners in names.values()
        if not isinstance(tensor, UninitializedParameter)
    ]
