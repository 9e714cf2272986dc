"""Floating-point operations of what a model calls.

As ``torch.utils.flop_counter`` counts them: 2 for a multiplication with its addition, in matrix
products, convolutions and attention, all others 0. Most calls are counted by the shapes they were
given. Only those that may hide such operations are looked into below Python, which costs more; the
fused attention on CPUs, fused recurrent layers and products with a vector are counted there as
well, which torch's counter leaves out.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop, sdpa_flop

from explain_widgets.live.dispatch import DispatchMode

Arguments: TypeAlias = tuple[Any, ...]
Formula: TypeAlias = Callable[[Arguments, dict[str, Any], Any], int]
"""From arguments, keywords and result of a call to its operations."""


def formula_of(name: str) -> Formula | None:
    """How the calls of a function of torch are counted by their shapes; None: not by those."""
    return _FORMULAS.get(name)


def registered_formula(operation: OpOverload) -> Formula | None:
    """How torch's own counter counts a basic operation; None: it does not."""
    formula = _REGISTRY.get(operation.overloadpacket)
    if formula is None:
        return None
    return lambda args, kwargs, result: int(formula(*args, **kwargs, out_val=result))


def may_hide_flops(name: str, function: Any) -> bool:
    """Whether a function of torch without a formula may call one that has some.

    Parameters
    ----------
    name
        Of the function, without the underscores of Python's operators.
    function
        Itself.
    """
    if name in _PLAIN:
        return False
    packet = getattr(torch.ops.aten, name.rstrip("_"), None)
    if isinstance(function, types.FunctionType) or packet is None:
        return True
    return packet in flop_registry or any(map(_is_composite, _overloads(packet)))


def _overloads(packet: Any) -> list[str]:
    return [getattr(packet, overload).name() for overload in packet.overloads()]


def _is_composite(overload: str) -> bool:
    """Whether an operation is made of others."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return torch._C._dispatch_has_kernel(
        overload
    ) and torch._C._dispatch_has_kernel_for_dispatch_key(overload, key)


# Functions that are made of others, none of which counts: what models call most.
_NAMES = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
adaptive_max_pool2d adaptive_max_pool3d alpha_dropout argsort argwhere as_tensor avg_pool1d
avg_pool2d batch_norm bfloat16 bool broadcast_tensors broadcast_to celu chunk clip contiguous cpu
cross_entropy cuda data diag diff double dropout dropout1d dropout2d dropout3d elu embedding
embedding_bag empty expand_as feature_dropout flatten float fold from_numpy gelu getitem glu
grid_sample group_norm gumbel_softmax H half hardsigmoid hardswish hardtanh hstack imag
instance_norm int interpolate layer_norm leaky_relu local_response_norm log_softmax logsigmoid
long max max_pool1d max_pool2d max_pool3d meshgrid mH min mish moveaxis movedim mse_loss mT narrow
new_tensor nll_loss norm normalize numpy one_hot outer pad pixel_shuffle pixel_unshuffle prelu
rand rand_like randn rdiv real relu relu6 repeat_interleave requires_grad_ reshape reshape_as
rms_norm rpow rrelu rsub selu setitem silu size softmax softmin softplus split split_with_sizes
square std swapaxes swapdims T take_along_dim tanhshrink tensor tensor_split threshold tile to
true_divide type type_as unflatten unfold unique unsafe_chunk upsample var view_as vstack where
"""
_PLAIN = frozenset(_NAMES.split())


def _argument(args: Arguments, kwargs: dict[str, Any], position: int, name: str) -> Tensor:
    tensor: Tensor = args[position] if position < len(args) else kwargs[name]
    return tensor


def _linear(args: Arguments, kwargs: dict[str, Any], _result: Any) -> int:
    weight = _argument(args, kwargs, 1, "weight")
    features = _argument(args, kwargs, 0, "input")
    return 2 * features.numel() * (weight.numel() // max(1, weight.shape[-1]))


def _product(first: int, *names: str) -> Formula:
    """Of a matrix product whose left factor is argument ``first``, by any of these names."""

    def formula(args: Arguments, kwargs: dict[str, Any], result: Any) -> int:
        left = args[first] if first < len(args) else next(kwargs[n] for n in names if n in kwargs)
        return 2 * result.numel() * left.shape[-1]

    return formula


def _convolution(args: Arguments, kwargs: dict[str, Any], result: Any) -> int:
    weight = _argument(args, kwargs, 1, "weight")
    return 2 * result.numel() * (weight.numel() // max(1, weight.shape[0]))


def _transposed_convolution(args: Arguments, kwargs: dict[str, Any], _result: Any) -> int:
    maps, weight = _argument(args, kwargs, 0, "input"), _argument(args, kwargs, 1, "weight")
    return 2 * maps.numel() * (weight.numel() // max(1, weight.shape[0]))


def _attention(args: Arguments, kwargs: dict[str, Any], result: Any) -> int:
    query, key = _argument(args, kwargs, 0, "query"), _argument(args, kwargs, 1, "key")
    return 2 * key.shape[-2] * (query.numel() + result.numel())


def _recurrent(args: Arguments, _kwargs: dict[str, Any], _result: Any) -> int:
    """Of a whole recurrent layer: each matrix is applied to each step of each sequence."""
    steps = args[0].numel() // max(1, args[0].shape[-1])
    lists = [value for value in args if isinstance(value, (tuple, list))]
    weights = max(lists, key=len)  # the states are at most two
    return sum(2 * steps * weight.numel() for weight in weights if weight.ndim == 2)


def _recurrent_cell(args: Arguments, _kwargs: dict[str, Any], _result: Any) -> int:
    rows = args[0].numel() // max(1, args[0].shape[-1])
    return sum(2 * rows * value.numel() for value in args[2:4])


def _recurrent_backward(inputs: Tensor, *args: Any, **_kwargs: Any) -> int:
    """Of a whole recurrent layer: by its inputs and by its weights as much as its forward."""
    # cuDNN takes a list of all weights, oneDNN two weights and two biases.
    weights = args[0] if isinstance(args[0], (tuple, list)) else args[:2]
    steps = inputs.numel() // max(1, inputs.shape[-1])
    return sum(4 * steps * weight.numel() for weight in weights if weight.ndim == 2)


_FORMULAS: dict[str, Formula] = {
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot", "vdot"), _product(0, "input", "self")),
    **dict.fromkeys(("addmm", "addmm_"), _product(1, "mat1")),
    **dict.fromkeys(("baddbmm", "baddbmm_"), _product(1, "batch1")),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed_convolution
    ),
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _recurrent_cell),
}

_REGISTRY: dict[Any, Any] = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: sdpa_backward_flop,
    torch.ops.aten.mv: lambda matrix, *_, **__: 2 * matrix.numel(),
    **dict.fromkeys(
        (torch.ops.aten.dot, torch.ops.aten.vdot), lambda vector, *_, **__: 2 * vector.numel()
    ),
    torch.ops.aten.mkldnn_rnn_layer_backward: _recurrent_backward,
    torch.ops.aten._cudnn_rnn_backward: _recurrent_backward,
}


class FlopCount(DispatchMode):
    """Counts the operations of what runs in it, in this thread.

    Torch's own ``FlopCounterMode`` also puts hooks on all modules of the process, where a cell may
    be training; this does not.

    Attributes
    ----------
    flops
        Of all that ran in it so far.

    Examples
    --------
    >>> with FlopCount() as count:
    ...     _ = torch.einsum("ij,kj->ik", torch.ones(2, 3), torch.ones(4, 3))
    >>> count.flops
    48
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = _REGISTRY.get(getattr(func, "_overloadpacket", func))
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        return result
