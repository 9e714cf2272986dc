"""Functions of torch as a trace names them, and how their floating-point operations are counted."""

from __future__ import annotations

import types
from typing import Any, NamedTuple

from torch._ops import OpOverload

from explain_widgets.live.structure.flops import (
    Formula,
    formula_of,
    may_hide_flops,
    registered_formula,
)


class TorchFunction(NamedTuple):
    """A function of torch.

    Attributes
    ----------
    name
        As in torch, operators by their functions: ``"add"``.
    formula
        From its arguments to its floating-point operations; None: it has none itself.
    hides
        Whether it may call others that have some.
    may_hand_on
        Whether it may return what it was given.
    """

    name: str
    formula: Formula | None = None
    hides: bool = False
    may_hand_on: bool = False


class _Functions(dict[Any, TorchFunction | None]):
    """Functions of torch, each looked up when it is first asked for.

    Examples
    --------
    >>> import torch
    >>> FUNCTIONS[torch.Tensor.__iadd__].name, FUNCTIONS[torch.Tensor.shape.__get__]
    ('add_', None)
    """

    def __missing__(self, function: Any) -> TorchFunction | None:
        found = self[function] = _looked_up(function)
        return found


FUNCTIONS = _Functions()
"""What a function mode was told of; None: it only asks something of a tensor."""


def _looked_up(function: Any) -> TorchFunction | None:
    if isinstance(function, OpOverload):  # called directly, or by a scripted module
        formula = registered_formula(function)
        name = function.overloadpacket.__name__
        return TorchFunction(name, formula, formula is None and may_hide_flops(name, function))
    name = getattr(function, "__name__", type(function).__name__)
    if name in ("__get__", "__set__", "__delete__"):
        name = getattr(getattr(function, "__self__", None), "__name__", "")
        return TorchFunction(name, may_hand_on=True) if name in _TENSOR_ATTRIBUTES else None
    if name.startswith("__") and name.endswith("__"):
        bare = name.strip("_")
        if f"{bare}_" in _ASKS:  # __bool__, as against `Tensor.bool`
            return None
        name = _OPERATORS.get(bare, bare)
    if name in _ASKS:
        return None
    formula = formula_of(name)
    # A function in Python has its arguments in another order (`Tensor.__rmatmul__`).
    if formula is not None and not isinstance(function, types.FunctionType):
        return TorchFunction(name, formula)
    return TorchFunction(name, None, may_hide_flops(name, function), name in _CONVERSIONS)


_CONVERSION_NAMES = "bfloat16 contiguous cpu cuda double float half int long to type type_as"
_CONVERSIONS = frozenset(_CONVERSION_NAMES.split())
# What only asks something of a tensor.
_ASKS = frozenset(
    {
        "allclose", "backward", "bool_", "complex_", "contains", "data_ptr", "dim", "element_size",
        "equal", "float_", "get_device", "has_names", "hash", "index", "int_", "is_coalesced",
        "is_complex", "is_conj", "is_contiguous", "is_floating_point", "is_inference", "is_neg",
        "is_nonzero", "is_pinned", "is_same_size", "is_set_to", "is_shared", "is_signed",
        "is_tensor", "item", "len", "ndimension", "nelement", "numel", "register_hook", "repr",
        "size", "storage_offset", "str", "stride", "tolist", "untyped_storage",
    }
)  # fmt: skip
# Attributes of a tensor that are tensors.
_TENSOR_ATTRIBUTES = frozenset({"T", "H", "mT", "mH", "data", "real", "imag", "grad"})
_OPERATORS = {
    "truediv": "div", "itruediv": "div_", "rtruediv": "rdiv", "iadd": "add_", "isub": "sub_",
    "imul": "mul_", "idiv": "div_", "radd": "add", "rmul": "mul", "ipow": "pow_", "iand": "and_",
    "ior": "or_", "rmatmul": "matmul", "invert": "bitwise_not",
}  # fmt: skip
