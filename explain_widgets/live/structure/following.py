"""What a forward does with a weight: how it is laid out, and which activation comes after it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from explain_widgets.live.structure.trace import OUTSIDE, Operation, Trace

_PRODUCTS = frozenset({"matmul", "mm", "bmm", "addmm", "addmm_", "baddbmm"})
_LAYERS = frozenset(
    {"linear", "bilinear"}
    | {f"conv{n}d" for n in (1, 2, 3)}
    | {f"conv_transpose{n}d" for n in (1, 2, 3)}
)
_TURNS = frozenset({"T", "t", "mT", "transpose", "transpose_", "permute", "swapaxes", "swapdims"})
_ACTIVATIONS = frozenset(
    {
        "relu", "relu6", "gelu", "silu", "mish", "leaky_relu", "elu", "prelu", "hardswish",
        "hardtanh", "tanh", "sigmoid", "selu", "softplus", "hardsigmoid",
        "celu", "glu", "softsign", "logsigmoid", "tanhshrink", "threshold", "rrelu",
    }
)  # fmt: skip
_NORMALISATIONS = frozenset({"layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm"})
# What hands values on, in another form or fewer of them.
_HANDS_ON = frozenset(
    {
        "identity", "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute",
        "transpose", "contiguous", "dropout", "dropout1d", "dropout2d", "dropout3d", "to", "float",
        "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
        "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "clone", "type_as",
    }
)  # fmt: skip
_FARTHEST = 12
# Classes of activations that are written out in other operations, as in transformers.
_CLASSES = re.compile(r"leakyrelu|prelu|relu6|relu|gelu|silu|swish|mish|selu|elu|tanh|sigmoid")
_OTHERWISE = {"leakyrelu": "leaky_relu", "swish": "silu"}


@dataclass(frozen=True)
class Following:
    """What comes after a weight.

    Attributes
    ----------
    activation
        Name of the function of torch, ``"relu"``; "" where there is none before the next layer.
    normalised
        Whether a normalisation comes between: it undoes the scale of the weight.
    turned
        Whether the weight lies as (inputs, outputs), as it does where it is multiplied from the
        right without being transposed.
    """

    activation: str = ""
    normalised: bool = False
    turned: bool = False


class Followings:
    """Looks up in a trace what comes after weights.

    Parameters
    ----------
    trace
        Of a forward.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> Followings(xw.LiveModel(model, torch.randn(2, 4)).trace()).after("0.weight")
    Following(activation='relu', normalised=False, turned=False)
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._takers: dict[int, list[Operation]] = {}
        for operation in trace.operations:
            for tensor in dict.fromkeys(operation.inputs):
                self._takers.setdefault(tensor, []).append(operation)
        self._stored = {
            tensor.name: number
            for number, tensor in reversed(list(enumerate(trace.tensors)))
            if tensor.origin == "parameter" and tensor.operation == OUTSIDE
        }

    def after(self, parameter: str) -> Following | None:
        """What comes after a parameter, by its (first) name; None: it is no weight of a layer.

        A weight is what a linear layer, a convolution or a matrix product takes; a table of
        embeddings is none.
        """
        number = self._stored.get(parameter)
        if number is None:
            return None
        takers = self._takers.get(number, ())
        if any("embedding" in taker.name for taker in takers):
            return None
        for operation in takers:
            is_first = operation.inputs[:1] == (number,)
            if operation.name in _LAYERS:
                return self._behind(operation, turned=False)
            if operation.name in _PRODUCTS:
                return self._behind(operation, turned=not is_first)
            if operation.name in _TURNS:
                for product in self._takers.get(operation.outputs[0], ()):
                    if product.name in _PRODUCTS | _LAYERS:
                        return self._behind(product, turned=False)
        return None

    def _behind(self, operation: Operation, turned: bool) -> Following:
        normalised = False
        for _ in range(_FARTHEST):
            takers = [t for number in operation.outputs for t in self._takers.get(number, ())]
            if not takers:
                break
            names = [self._name(taker, operation) for taker in takers]
            found = next((name for name in names if name in _ACTIVATIONS), None)
            if found is not None:
                return Following(found, normalised, turned)
            # A sum with what skips the layer, a product with a gate: no activation of this layer.
            go_on = next((t for t, n in zip(takers, names, strict=True) if n in _GOES_ON), None)
            if go_on is None:
                break
            normalised = normalised or go_on.name in _NORMALISATIONS
            operation = go_on
        return Following("", normalised, turned)

    def _name(self, taker: Operation, before: Operation) -> str:
        """Of an operation, or the activation that it begins in a module of its own."""
        name = taker.name.rstrip("_")
        if name in _ACTIVATIONS or taker.call in (OUTSIDE, before.call):
            return name
        call = self._trace.calls[taker.call]
        found = _CLASSES.search(call.type.lower())
        if found is None or not set(call.inputs) & set(before.outputs) or self._holds(taker.call):
            return name
        return _OTHERWISE.get(found[0], found[0])

    def _holds(self, call: int) -> bool:
        """Whether other calls were made in a call."""
        after = call + 1
        return after < len(self._trace.calls) and self._trace.calls[after].parent == call


_GOES_ON = _HANDS_ON | _NORMALISATIONS
