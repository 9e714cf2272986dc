"""Seeing attention where no Python code calls it (TorchScript), through torch's dispatch modes.

Below Python there are only basic operations: the kernels that ``F.scaled_dot_product_attention``
picks, products of matrices and softmaxes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from explain_widgets.live.attention.handwritten import BuiltWeights, Provenance
from explain_widgets.live.attention.seen import SeenCall
from explain_widgets.live.dispatch import DispatchMode

_KERNELS = "_scaled_dot_product_"
_SOFTMAXES = ("_softmax", "_safe_softmax")


class DispatchedCalls(DispatchMode):
    """Sees the basic operations of everything that runs under it in this thread.

    Parameters
    ----------
    provenance
        Follows tensors from products through softmaxes.
    look
        Called with an operation (function, arguments, keywords), its result and a function that
        reads them; returns what the result is to be.
    """

    def __init__(self, provenance: Provenance, look: Callable[..., Any]) -> None:
        super().__init__()
        self._provenance = provenance
        self._look = look

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if isinstance(result, tuple) and func.overloadpacket.__name__.startswith(_KERNELS):
            return self._look(func, args, kwargs, result, _read_kernel)
        if isinstance(result, Tensor):
            return self._look(func, args, kwargs, result, self._follow)
        return result

    def _follow(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> BuiltWeights | None:
        name = func.overloadpacket.__name__
        return self._provenance.see("softmax" if name in _SOFTMAXES else name, args, kwargs, result)


def _read_kernel(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> SeenCall:
    """A call of one of the kernels, whose arguments go by the same names."""
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    query, key, value = (given[name] for name in ("query", "key", "value"))
    scale = given.get("scale")
    mask = given.get("attn_mask", given.get("attn_bias"))
    return SeenCall(
        query,
        key,
        value,
        result[0],
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        source="sdpa (kernel)",
        mask=mask,
        is_causal=bool(given.get("is_causal")),
        dropout=float(given.get("dropout_p") or 0.0),
    )
