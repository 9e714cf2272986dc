"""Attention written by hand: scores from activations, a softmax, and a sum weighted by it.

What tells attention from other softmaxes (classifier heads, routers of experts, codebooks): its
scores are a product of two activations, and it weighs an activation, along the softmax's own axis.
Where one of the two is a parameter it is a weighted mixture: positions pooled by a learned query;
or additive attention (Bahdanau et al. 2015), where each pair of positions has a score of its own.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from explain_widgets.live.attention.seen import lengths

_ADDED = frozenset({"addmm", "baddbmm"})  # the first argument is what is added
_PRODUCTS = _ADDED | {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "einsum"}
_TIMES = frozenset({"mul", "multiply", "__mul__", "__rmul__"})
# A linear layer of more outputs is no set of queries; following it would cost in every forward.
_MOST_QUERIES = 32


@dataclass(frozen=True)
class BuiltWeights:
    """Weights that a model has built and used: (…, queries, keys).

    ``operand``: what weighed the values, and ``order`` how its axes lie as (…, queries, keys), of
    which the queries may be missing. ``is_product``: in a product of matrices, not number by
    number. ``mixture``: the query is a parameter. ``value_norms``: (…, keys), the lengths of the
    values, with the axes before the queries or 1; None: not known.
    """

    weights: Tensor
    before_dropout: bool
    operand: Tensor
    order: tuple[int, ...]
    is_product: bool = True
    mixture: bool = False
    value_norms: Tensor | None = None


@dataclass(frozen=True)
class _Trail:
    """What a tensor is on the way: scores, or weights once it went through a softmax.

    ``axis``: of the softmax, counted from the end; None: still scores. ``undropped``: the weights
    as they were before a dropout. ``learned``: of a mixture, how many queries its parameter holds;
    0: no mixture. ``weighed``: the weights, where this is them times what they weigh, not summed.
    """

    axis: int | None = None
    undropped: Tensor | None = None
    learned: int = 0
    weighed: Tensor | None = None


class Provenance:
    """Follows tensors from a product of activations through a softmax to where they are used.

    Parameters
    ----------
    module
        The module that runs: its parameters are no activations.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._trails: dict[int, tuple[weakref.ref[Tensor], _Trail]] = {}

    @functools.cached_property
    def _weights(self) -> set[int]:
        """Where the parameters lie; asked for only where there are products of tensors."""
        return {_storage(parameter) for parameter in self._module.parameters()}

    def concerns(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether an operation may be one to take note of: asked of every one."""
        if name == "linear":
            return _is_few_queries(_weight(args, kwargs))
        if name in _PRODUCTS:
            return True
        trails = self._trails  # of a model that builds no weights there are none
        return bool(trails) and any(id(argument) in trails for argument in _flat(args))

    def see(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor
    ) -> BuiltWeights | None:
        """Take note of one operation; returns the weights where it was the use of attention."""
        if name in _PRODUCTS:
            return self._product(name, args, kwargs, result)
        if name == "linear":
            self._score_by_parameter(_weight(args, kwargs), result)
            return None
        source = next((a for a in _flat(args) if id(a) in self._trails), None)
        trail = self._trail(source) if isinstance(source, Tensor) else None
        if trail is None or not isinstance(source, Tensor):
            return None
        if trail.weighed is not None:
            return self._summed(name, args, kwargs, source, trail)
        if name == "softmax":
            axis = _axis(args, kwargs, result)
            # Over the outputs of a linear layer it is a router's or a classifier's.
            if axis is not None and result.shape[axis] != trail.learned:
                self._follow(result, _Trail(axis, learned=trail.learned))
        elif name in _TIMES and trail.learned and trail.axis is not None:
            self._weigh(args, source, trail, result)
        elif _stays(trail, source, result):
            if "dropout" in name and result is not source and trail.axis is not None:
                trail = replace(trail, undropped=source)
            self._follow(result, _moved(trail, source, result))
        return None

    def _score_by_parameter(self, parameter: Tensor, result: Tensor) -> None:
        """Scores of positions against a learned query, or a few."""
        if _is_few_queries(parameter) and result.ndim > 1:
            queries = parameter.shape[0] if parameter.ndim > 1 else 1
            self._follow(result, _Trail(learned=queries))

    def _weigh(self, args: tuple[Any, ...], weights: Tensor, trail: _Trail, result: Tensor) -> None:
        """Note a product, number by number, of weights with an activation of more channels."""
        other = next((a for a in args if isinstance(a, Tensor) and a is not weights), None)
        if other is None:  # by a number: still weights
            self._follow(result, trail)
        elif result.ndim == weights.ndim and result.numel() > weights.numel():
            self._follow(result, replace(trail, weighed=weights))

    def _summed(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        source: Tensor,
        trail: _Trail,
    ) -> BuiltWeights | None:
        """The weights, where what they weigh is summed along their axis."""
        axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
        axis = axis[0] if isinstance(axis, (tuple, list)) and len(axis) == 1 else axis
        if name != "sum" or not isinstance(axis, int) or trail.axis is None:
            return None
        if (axis if axis < 0 else axis - source.ndim) != trail.axis:
            return None
        assert trail.weighed is not None
        undropped = trail.weighed if trail.undropped is None else trail.undropped
        order = list(range(source.ndim))
        order.append(order.pop(trail.axis))
        weights = undropped.reshape(trail.weighed.shape).permute(order)
        weights = weights if weights.ndim > 2 else weights[..., None, :]
        return BuiltWeights(
            weights,
            trail.undropped is not None,
            trail.weighed,
            tuple(order),
            is_product=False,
            mixture=True,
        )

    def _product(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor
    ) -> BuiltWeights | None:
        equation, operands = _operands(name, args, kwargs)
        if len(operands) != 2:
            return None
        for position, operand in enumerate(operands):
            trail = self._trail(operand)
            if trail is not None and trail.axis is not None:
                return self._use(equation, operands, position, trail)
        parameters = [operand for operand in operands if _storage(operand) in self._weights]
        if not parameters:
            self._follow(result, _Trail())
        elif len(parameters) == 1 and not equation:
            is_first = parameters[0] is operands[0]
            parameter = parameters[0] if is_first or parameters[0].ndim < 2 else parameters[0].mT
            self._score_by_parameter(parameter, result)
        return None

    def _use(
        self, equation: str, operands: list[Tensor], position: int, trail: _Trail
    ) -> BuiltWeights | None:
        """The weights as (…, queries, keys), where they weigh an activation along their axis."""
        weights, value = operands[position], operands[1 - position]
        if trail.axis is None or _storage(value) in self._weights:
            return None
        order = _order(equation, weights, position, trail.axis)
        if order is None:
            return None
        self._trails.pop(id(weights), None)
        is_dropped = trail.undropped is not None
        undropped = weights if trail.undropped is None else trail.undropped.reshape(weights.shape)
        return BuiltWeights(
            undropped.permute(order),
            is_dropped,
            weights,
            tuple(order),
            # Of more queries than the parameter holds each is a position: additive attention.
            mixture=bool(trail.learned) and weights.shape[order[-2]] <= trail.learned,
            value_norms=_value_norms(equation, value, position, order),
        )

    def _trail(self, tensor: Tensor) -> _Trail | None:
        reference, trail = self._trails.get(id(tensor), (None, None))
        return trail if reference is not None and reference() is tensor else None

    def _follow(self, tensor: Tensor, trail: _Trail) -> None:
        self._trails[id(tensor)] = (weakref.ref(tensor), trail)


def _weight(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    weight: Tensor = args[1] if len(args) > 1 else kwargs["weight"]
    return weight


def _is_few_queries(parameter: Tensor) -> bool:
    """Whether a linear layer may score positions against learned queries, by its size."""
    queries = parameter.shape[0] if parameter.ndim > 1 else 1
    return queries <= _MOST_QUERIES and queries < parameter.shape[-1]


def _flat(args: tuple[Any, ...]) -> Iterator[Any]:
    """The arguments, and what is in lists of them (``torch.cat``)."""
    for argument in args:
        if isinstance(argument, (list, tuple)):
            yield from argument
        else:
            yield argument


def _stays(trail: _Trail, source: Tensor, result: Tensor) -> bool:
    """Whether a result is still scores, or still weights, after scaling, masks, views, casts.

    What is much smaller is a sum. Weights that grow were padded or cut into bands (local
    attention): a position of theirs is no longer that of a key.
    """
    if result.ndim < 2 or 2 * result.numel() <= source.numel():
        return False
    return trail.axis is None or result.numel() <= source.numel()


def _moved(trail: _Trail, source: Tensor, result: Tensor) -> _Trail:
    """The trail of a view of weights: their axis may lie elsewhere by now."""
    if trail.axis is None or (source.shape == result.shape and source.stride() == result.stride()):
        return trail
    size = source.shape[trail.axis]
    if _storage(source) != _storage(result) or size == 1:
        return trail
    place = (size, source.stride(trail.axis))
    places = zip(result.shape, result.stride(), strict=True)
    axes = [index - result.ndim for index, other in enumerate(places) if other == place]
    return replace(trail, axis=axes[0]) if len(axes) == 1 else trail


def _storage(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # wrapper and sparse tensors
        return id(tensor)


def _axis(args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> int | None:
    """The axis of a softmax, counted from the end."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if not isinstance(axis, int):
        return None
    return axis if axis < 0 else axis - result.ndim


def _operands(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, list[Tensor]]:
    """The two factors of a product, and its equation for einsum (else "")."""
    equation = ""
    if name == "einsum" and args and isinstance(args[0], str):
        equation, *rest = args
        factors = list(rest[0]) if rest and isinstance(rest[0], (tuple, list)) else rest
    elif name in _ADDED:
        named = [kwargs[key] for key in ("mat1", "mat2", "batch1", "batch2") if key in kwargs]
        factors = [*args[1:], *named]
    else:
        named = [kwargs[key] for key in ("other", "mat2", "tensor2") if key in kwargs]
        factors = [*args, *named]
    return equation, [factor for factor in factors if isinstance(factor, Tensor)]


def _value_norms(equation: str, value: Tensor, position: int, order: list[int]) -> Tensor | None:
    """The lengths of the values, (…, keys), with the axes of the weights before the queries."""
    if not equation:
        return lengths(value, -1 if position == 0 else -2)
    letters = equation.replace(" ", "").partition("->")[0].split(",")
    own, others = letters[position], letters[1 - position]
    if "." in others or len(others) != value.ndim:
        return None
    summed = [index for index, letter in enumerate(others) if letter not in own]
    norms = lengths(value, summed)
    left = [letter for letter in others if letter in own]
    wanted = [own[index] for index in order if index != order[-2]]
    norms = norms.permute([left.index(letter) for letter in wanted if letter in left])
    for index, letter in enumerate(wanted):
        if letter not in left:
            norms = norms.unsqueeze(index)
    return norms


def _order(equation: str, weights: Tensor, position: int, axis: int) -> list[int] | None:
    """How to permute weights to (…, queries, keys); None: they are not summed along their axis."""
    if not equation:
        # weights @ value, or valueᵀ @ weightsᵀ: the axis that is summed is the last or the second.
        summed = -1 if position == 0 else -2
        if axis != summed or weights.ndim < 2:
            return None
        order = list(range(weights.ndim))
        if position == 1:
            order[-2:] = order[:-3:-1]
        return order
    terms, _, output = equation.replace(" ", "").partition("->")
    letters = terms.split(",")
    own, others = letters[position], letters[1 - position]
    if "." in own or len(own) != weights.ndim or not output:
        return None
    key = own[axis]
    queries = [letter for letter in own if letter in output and letter not in others]
    if key in output or key not in others or len(queries) != 1:
        return None
    query = queries[0]
    rest = [index for index, letter in enumerate(own) if letter not in (key, query)]
    return [*rest, own.index(query), own.index(key)]
