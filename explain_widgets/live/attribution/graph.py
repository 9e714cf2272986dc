"""What a forward was made of, seen in its graph: operations, however they were called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import Tensor

# Names of the nodes that nonlinear operations leave in a graph.
_ACTIVATIONS = {
    "Elu": "ELU",
    "LeakyRelu": "LeakyReLU",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Softplus": "Softplus",
    "Gelu": "GELU",
    "Silu": "SiLU",
    "Mish": "Mish",
    "Hardswish": "Hardswish",
    "Hardtanh": "Hardtanh",
    "Hardsigmoid": "Hardsigmoid",
    "PreluKernel": "PReLU",
    "LogSigmoid": "LogSigmoid",
}


def nodes_of(score: Tensor) -> Iterator[Any]:
    """All nodes of the graph that a tensor came from."""
    waiting = [score.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(following for following, _ in node.next_functions)


def operations(score: Tensor) -> Counter[str]:
    """How often each operation is in the graph: "Relu", "NativeLayerNorm", …."""
    return Counter(_operation(node) for node in nodes_of(score))


def relu_nodes(score: Tensor) -> list[Any]:
    """The nodes of ReLUs: modules, functions, in place, and ``clamp(min=0)``."""
    return [node for node in nodes_of(score) if _is_relu(node)]


def other_activations(score: Tensor) -> str:
    """Names of the activation functions in the graph that are no ReLU, or ""."""
    found = {_ACTIVATIONS[name] for name in operations(score) if name in _ACTIVATIONS}
    return ", ".join(sorted(found))


def _is_relu(node: Any) -> bool:
    name = _operation(node)
    if name in ("Clamp", "ClampMin"):
        least, most = getattr(node, "_saved_min", None), getattr(node, "_saved_max", None)
        is_zero = not least.any() if isinstance(least, Tensor) else least == 0
        return is_zero and most is None
    return name == "Relu"


def _operation(node: Any) -> str:
    return str(node.name()).partition("Backward")[0]
