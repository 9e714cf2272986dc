"""Operations that only arrange: views, slices, concatenation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from explain_widgets.live.modules import shape
from explain_widgets.live.tracing.operation import Operation, dims_of, numbers_of, rule
from explain_widgets.live.tracing.traced import (
    Factor,
    Traced,
    TracedAxis,
    broadcast,
    concatenated,
    plain_axis,
    regrouped,
    untraced,
)


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten")
def _view(operation: Operation) -> list[Traced | None]:
    traced, size = operation.known(operation.args[0]), shape(operation.first_result)
    return [traced if traced.shape == size else regrouped(traced, size)]


@rule("unsqueeze")
def _unsqueeze(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["self"])
    n = operation["dim"] % (len(traced.axes) + 1)
    return [traced.with_axes((*traced.axes[:n], untraced(1), *traced.axes[n:]))]


@rule("squeeze")
def _squeeze(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["self"])
    dims = dims_of(operation.get("dim"), len(traced.axes))
    gone = [n for n in dims if traced.axes[n].size == 1]
    kept = [axis for n, axis in enumerate(traced.axes) if n not in gone]
    return [traced.with_axes(kept, gone)]


@rule("permute", "transpose", "t", "movedim")
def _permutation(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation.args[0])
    order = list(range(len(traced.axes)))
    if operation.name == "permute":
        order = dims_of(operation["dims"], len(order))
    else:
        one, other = (-2, -1) if operation.name == "t" else (operation["dim0"], operation["dim1"])
        if len(order) > 1:
            order[one], order[other] = order[other], order[one]
    return [traced.with_axes(traced.axes[n] for n in order)]


def _cut(axis: TracedAxis, places: range) -> TracedAxis | None:
    """Some positions of an axis in their order; None: not understood."""
    count = math.prod(f.size for f in axis.factors)
    if not axis.sources:
        return untraced(len(places))
    if places.step == 1 and places.start <= axis.start and places.stop >= axis.start + count:
        return TracedAxis(len(places), axis.factors, axis.start - places.start)
    if axis.start and (places.stop <= axis.start or places.start >= axis.start + count):
        return untraced(len(places))
    plain = axis.plain
    if plain is None or plain.map is None:
        return None
    taken = plain.map.taken(np.array(places), places.step)
    return plain_axis(Factor(len(places), plain.source, taken))


def _with_axis(traced: Traced, n: int, axis: TracedAxis | None, size: int) -> Traced:
    """With another axis ``n``; None: it is not understood."""
    there = untraced(size) if axis is None else axis
    axes = (*traced.axes[:n], there, *traced.axes[n + 1 :])
    return replace(traced, axes=axes, is_partial=traced.is_partial or axis is None)


@rule("slice", "narrow")
def _slice(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["self"])
    n = operation["dim"] % len(traced.axes)
    start, stop, step = (operation.get(name) for name in ("start", "end", "step"))
    places = range(*slice(start, stop, step or 1).indices(traced.axes[n].size))
    return [_with_axis(traced, n, _cut(traced.axes[n], places), len(places))]


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk")
def _split(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["self"])
    n = operation.get("dim", 0) % len(traced.axes)
    found: list[Traced | None] = []
    start = 0
    for part in operation.results:
        places = range(start, start + part.shape[n])
        found.append(_with_axis(traced, n, _cut(traced.axes[n], places), len(places)))
        start = places.stop
    return found


@rule("select", "unbind")
def _select(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["self"])
    n = operation.get("dim", 0) % len(traced.axes)
    axes = (*traced.axes[:n], *traced.axes[n + 1 :])
    # One position of the input: which one is not kept.
    is_partial = traced.is_partial or bool(traced.axes[n].sources)
    found = replace(traced, axes=axes, is_partial=is_partial)
    return [found] * len(operation.results)


@rule("cat", "concat", "concatenate")
def _concatenation(operation: Operation) -> list[Traced | None]:
    tensors = [t for t in operation["tensors"] if t.numel()]
    size = shape(operation.first_result)
    n = operation.get("dim", 0) % len(size)
    parts = [operation.known(tensor) for tensor in tensors]
    # Along the other axes it is as if they were added up.
    wide = [
        part.with_axes((*part.axes[:n], untraced(size[n]), *part.axes[n + 1 :])) for part in parts
    ]
    joint = broadcast(size, *wide)
    traced = [part.axes[n] if part.axes[n].sources else None for part in parts]
    axis = concatenated(traced, [tensor.shape[n] for tensor in tensors])
    return [_with_axis(joint, n, axis, size[n])]


@rule("stack")
def _stack(operation: Operation) -> list[Traced | None]:
    parts = [operation.known(tensor) for tensor in operation["tensors"]]
    size = shape(operation.first_result)
    n = operation.get("dim", 0) % len(size)
    inner = broadcast((*size[:n], *size[n + 1 :]), *parts)
    return [inner.with_axes((*inner.axes[:n], untraced(size[n]), *inner.axes[n:]))]


@rule("flip", "roll")
def _moved(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["self"])
    dims = dims_of(operation["dims"], len(traced.axes))
    shifts = numbers_of(operation.get("shifts", 0), len(dims))
    axes = list(traced.axes)
    for n, shift in zip(dims, shifts, strict=True):
        if not axes[n].sources:
            continue
        plain = axes[n].plain
        if plain is None or plain.map is None:
            return []
        places = np.arange(axes[n].size)
        places = places[::-1] if operation.name == "flip" else np.roll(places, shift)
        axes[n] = plain_axis(Factor(plain.size, plain.source, plain.map.taken(places)))
    return [traced.with_axes(axes)]
