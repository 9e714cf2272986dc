"""Flex attention, compiled or not, seen at the names by which the model's code calls it.

Compiled it runs below Python, and torch's compiler does not take a function mode that looks on: so
for the time of a run the names lead through a function of ours, which calls what was there.
"""

from __future__ import annotations

import inspect
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from explain_widgets.analysis.flex_steps import MaskFunction, ScoreFunction
from explain_widgets.analysis.score_steps import ScoreStep
from explain_widgets.live.attention.seen import SeenCall

_FLEX = "torch.nn.attention.flex_attention"
_TRANSFORMERS = "transformers.integrations.flex_attention"
See = Callable[[Callable[[], Any], Callable[[Any], SeenCall | None]], Any]
"""Calls the first without looking on and has the second read what it returned."""


@contextmanager
def flex_calls(module: nn.Module, see: See) -> Iterator[None]:
    """Lead the calls of flex attention in this thread through ``see``; other threads' stay theirs.

    Parameters
    ----------
    module
        The module that runs: names are looked for in the files that define its parts, and on them.
    see
        Called for each call.
    """
    replaced: list[tuple[dict[str, Any], str, Any]] = []
    thread = threading.get_ident()
    try:
        for names in _namespaces(module):
            for name, value in list(names.items()):
                # First what is quick: all names of many files are gone through before every run.
                if type(value) is types.FunctionType and _is_flex(value):
                    replaced.append((names, name, value))
                    names[name] = _watched(value, see, thread)
        yield
    finally:
        for names, name, value in replaced:
            names[name] = value


def _namespaces(module: nn.Module) -> list[dict[str, Any]]:
    if _FLEX not in sys.modules:
        return []
    parts = list(module.modules())
    files = {base.__module__ for kind in {type(part) for part in parts} for base in kind.__mro__}
    # Those of torch and Python are large, and call no flex attention.
    files = {name for name in files if name.partition(".")[0] not in ("torch", "builtins")}
    named = [sys.modules.get(name) for name in sorted({*files, _TRANSFORMERS})]
    found = [vars(file) for file in named if file is not None]
    # Few parts hold a function of their own.
    fields = (vars(part) for part in parts)
    return [*found, *(names for names in fields if types.FunctionType in map(type, names.values()))]


def _is_flex(value: types.FunctionType) -> bool:
    if value.__module__ == _TRANSFORMERS:
        return value.__name__ == "compile_friendly_flex_attention"
    inner = value.__dict__.get("_torchdynamo_orig_callable", value)
    return inner is getattr(sys.modules[_FLEX], "flex_attention", None)


def _watched(original: Callable[..., Any], see: See, thread: int) -> Callable[..., Any]:
    def flex_attention(*args: Any, **kwargs: Any) -> Any:
        # Where torch's compiler reads this, the call becomes part of a kernel.
        if torch.compiler.is_compiling() or threading.get_ident() != thread:
            return original(*args, **kwargs)
        return see(
            lambda: original(*args, **kwargs), lambda result: _read(result, args, dict(kwargs))
        )

    return flex_attention


def _read(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SeenCall:
    kwargs.pop("training", None)  # of transformers' own function
    given = inspect.signature(sys.modules[_FLEX].flex_attention).bind(*args, **kwargs)
    given.apply_defaults()
    values = given.arguments
    query: Tensor = values["query"]
    heads = query.shape[1]
    steps: list[ScoreStep] = []
    if values["score_mod"] is not None:
        steps.append(ScoreFunction(_frozen(values["score_mod"]), heads))
    if values["block_mask"] is not None:
        steps.append(MaskFunction(_frozen(values["block_mask"].mask_mod), heads))
    scale = values["scale"]
    return SeenCall(
        query,
        values["key"].expand(query.shape[0], -1, -1, -1),
        values["value"].expand(query.shape[0], -1, -1, -1),
        result[0] if isinstance(result, tuple) else result,
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        source="flex attention",
        steps=tuple(steps),
    )


def _frozen(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """A function as it is now: with copies of the tensors that it holds, however deep."""
    memo = {} if memo is None else memo
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, Tensor):
        memo[id(value)] = value.detach().clone()
        return memo[id(value)]
    if isinstance(value, (tuple, list)) and type(value) in (tuple, list):
        return type(value)(_frozen(item, memo) for item in value)
    if not isinstance(value, types.FunctionType) or value.__closure__ is None:
        return value
    cells = tuple(types.CellType() for _ in value.__closure__)
    copied = types.FunctionType(
        value.__code__, value.__globals__, value.__name__, value.__defaults__, cells
    )
    copied.__kwdefaults__ = value.__kwdefaults__
    memo[id(value)] = copied  # first: a function may hold itself
    for cell, held in zip(cells, value.__closure__, strict=True):
        cell.cell_contents = _frozen(held.cell_contents, memo)
    return copied
