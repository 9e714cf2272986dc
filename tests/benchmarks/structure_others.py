"""What else draws or lists the structure of a model, each by what its documentation shows.

    pip install --no-deps --target DIR torchinfo torchview torchviz torchvista graphviz

and PYTHONPATH=DIR: none of them needs more than torch. torchview and torchviz are measured up
to the text for ``dot``, which draws it afterwards.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

Answer = tuple[int | None, int | None]
"""Parameters that it counts, and bytes of what it hands to a browser or to ``dot``."""


def torchinfo(model: nn.Module, inputs: Any) -> Answer:
    package = importlib.import_module("torchinfo")
    summary = package.summary(model, input_data=inputs, verbose=0, depth=99)
    return summary.total_params, len(str(summary).encode())


def torchview(model: nn.Module, inputs: Any) -> Answer:
    package = importlib.import_module("torchview")
    graph = package.draw_graph(model, input_data=inputs, depth=99, expand_nested=True)
    return None, len(graph.visual_graph.source.encode())


def torchviz(model: nn.Module, inputs: Any) -> Answer:
    package = importlib.import_module("torchviz")
    output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    output = getattr(output, "logits", output)
    dot = package.make_dot(output, params=dict(model.named_parameters()))
    return None, len(dot.source.encode())


class _Keywords(nn.Module):
    """For what can only hand on arguments by their places."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *values: Tensor) -> Any:
        return self.model(**dict(zip(self.names, values, strict=True)))


def torchvista(model: nn.Module, inputs: Any) -> Answer:
    package = importlib.import_module("torchvista")
    shown: list[Any] = []
    if isinstance(inputs, dict):
        model, inputs = _Keywords(model, list(inputs)).eval(), tuple(inputs.values())
    with (
        mock.patch("torchvista.render.display", shown.append),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        package.trace_model(model, inputs)
    return None, sum(len(one.data.encode()) for one in shown)


OTHERS: Mapping[str, Callable[[nn.Module, Any], Answer]] = {
    "torchinfo": torchinfo,
    "torchview": torchview,
    "torchviz": torchviz,
    "torchvista": torchvista,
}


def is_installed(name: str) -> bool:
    """Whether it can be imported, with what it needs."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def attempt(name: str, model: nn.Module, inputs: Any) -> Answer | str:
    """What it says of a model, or how it breaks off."""
    try:
        with torch.enable_grad():
            return OTHERS[name](model, inputs)
    except (Exception, RecursionError) as error:  # noqa: BLE001
        return f"fails: {type(error).__name__}: {str(error)[:60]!r}"
