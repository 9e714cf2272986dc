"""A trace as groups within groups: what each call of a module holds, and what passes between."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from explain_widgets.live.structure.folding import Repeat, repeats
from explain_widgets.live.structure.trace import OUTSIDE, Operation, Trace

INPUT, OUTPUT = -1, -2
"""In the place of an item: what comes into a group, and what goes out."""


@dataclass(frozen=True)
class Item:
    """A part of a group: a call of a module, or an operation.

    Attributes
    ----------
    call
        Number of the call; `OUTSIDE` of an operation.
    operation
        Number of the operation, or of the first in the call.
    """

    call: int
    operation: int


@dataclass
class Group:
    """What a call of a module holds.

    Attributes
    ----------
    items
        In the order in which they ran.
    edges
        (from, to) → numbers of the tensors that pass; places of items, or `INPUT` and `OUTPUT`.
    repeats
        Runs of items that are alike.
    structure
        The same number for groups of the same modules, settings, parameters and operations.
    exact
        The same number where also shapes and names agree.
    """

    items: list[Item] = field(default_factory=list)
    edges: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    repeats: list[Repeat] = field(default_factory=list)
    structure: int = -1
    exact: int = -1

    def tensors(self) -> list[int]:
        """Numbers of all tensors that pass in it, ascending.

        Those that come into a group are, in this order, the ones that go to its item in the group
        around it; those that go out likewise.
        """
        return sorted({tensor for tensors in self.edges.values() for tensor in tensors})


Route: TypeAlias = list[tuple[int, int]]
"""(group, place in it) from the outermost group to that of an operation."""


class Nesting:
    """The groups of a trace.

    Parameters
    ----------
    trace
        Of a forward.

    Attributes
    ----------
    trace
        That of which they are.
    groups
        By the numbers of calls; `OUTSIDE` holds the calls from outside. Calls in which nothing
        happened are left out.
    passed
        (from, to, tensor): operations, or `INPUT` and `OUTPUT` of the model.
    takes, returns
        Whether something comes from the one, and goes to the other.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.groups = _with_items(trace)
        self.passed = list(_passed(trace))
        self.takes = any(source == INPUT for source, _, _ in self.passed)
        self.returns = any(target == OUTPUT for _, target, _ in self.passed)
        self._routes = _routes(trace, self.groups)
        for source, target, tensor in self.passed:
            self._add_edge(source, target, tensor)
        _find_alike(trace, self.groups)

    def route(self, operation: int) -> Route:
        """Where an operation lies; nowhere if it is `INPUT` or `OUTPUT`."""
        return self._routes[operation] if operation >= 0 else []

    def _add_edge(self, source: int, target: int, tensor: int) -> None:
        """A tensor passes between two operations: out of the groups of one, into the other's."""
        before, after = self.route(source), self.route(target)
        common = 0
        while common < min(len(before), len(after)) and before[common] == after[common]:
            common += 1
        if common < len(before) and common < len(after):
            self._add(before[common][0], before[common][1], after[common][1], tensor)
            common += 1
        for group, place in before[common:]:
            self._add(group, place, OUTPUT, tensor)
        for group, place in after[common:]:
            self._add(group, INPUT, place, tensor)

    def _add(self, group: int, start: int, end: int, tensor: int) -> None:
        tensors = self.groups[group].edges.setdefault((start, end), [])
        if tensor not in tensors:
            tensors.append(tensor)


def _routes(trace: Trace, groups: dict[int, Group]) -> list[Route]:
    """The routes to all operations."""
    of_group: dict[int, Route] = {OUTSIDE: []}
    routes: list[Route] = [[] for _ in trace.operations]
    for number in sorted(groups):  # calls have higher numbers than those they were made in
        for place, item in enumerate(groups[number].items):
            route = [*of_group[number], (number, place)]
            if item.call == OUTSIDE:
                routes[item.operation] = route
            else:
                of_group[item.call] = route
    return routes


def _with_items(trace: Trace) -> dict[int, Group]:
    first: dict[int, int] = {}
    found: dict[int, list[Item]] = {}
    for number, operation in enumerate(trace.operations):
        first.setdefault(operation.call, number)
        found.setdefault(operation.call, []).append(Item(OUTSIDE, number))
    for number in range(len(trace.calls) - 1, -1, -1):
        if number in first:
            parent = trace.calls[number].parent
            first[parent] = min(first[number], first.get(parent, first[number]))
            found.setdefault(parent, []).append(Item(number, first[number]))
    groups = {OUTSIDE: Group()}
    for number, items in found.items():
        groups[number] = Group(sorted(items, key=lambda item: item.operation))
    return groups


def _passed(trace: Trace) -> Iterator[tuple[int, int, int]]:
    """(from, to, tensor): operations, or `INPUT` and `OUTPUT` of the model."""
    for number, operation in enumerate(trace.operations):
        for tensor in dict.fromkeys(operation.inputs):
            seen = trace.tensors[tensor]
            if seen.operation != OUTSIDE:
                yield seen.operation, number, tensor
            elif seen.origin == "input":
                yield INPUT, number, tensor
    for call in trace.calls:
        if call.parent == OUTSIDE:
            for tensor in dict.fromkeys(call.outputs):
                if trace.tensors[tensor].operation != OUTSIDE:
                    yield trace.tensors[tensor].operation, OUTPUT, tensor


# --- what is alike ------------------------------------------------------------------------------


def _find_alike(trace: Trace, groups: dict[int, Group]) -> None:
    """Number the structures, from the inside out, and find the runs of those that are alike."""
    structures, exacts = _Numbers(), _Numbers()
    owned: dict[str, list[Hashable]] = {}
    for parameter in trace.parameters:
        for owner in parameter.owners:
            owned.setdefault(owner, []).append((parameter.shape, str(parameter.dtype)))
    # Calls have higher numbers than those they were made in.
    for number in sorted(groups, reverse=True):
        group = groups[number]
        kind: tuple[Hashable, ...] = ("outside",)
        if number != OUTSIDE:
            call = trace.calls[number]
            kind = (call.type, call.settings, tuple(owned.get(call.path, ())))
        kinds = [_kind(trace.operations, groups, item, structures) for item in group.items]
        places = tuple(sorted(group.edges))
        group.structure = structures.of((*kind, tuple(kinds), places))
        ranks = {tensor: rank for rank, tensor in enumerate(group.tensors())}
        shapes = _shapes(trace, tuple(ranks))
        passing = tuple(tuple(ranks[tensor] for tensor in group.edges[edge]) for edge in places)
        inside = tuple(
            (_relative(trace, number, item), groups[item.call].exact)
            for item in group.items
            if item.call != OUTSIDE
        )
        group.exact = exacts.of((group.structure, shapes, passing, inside))
        sources: list[list[int]] = [[] for _ in group.items]
        for start, end in places:
            if end >= 0:
                sources[end].append(start)
        blocks = [_is_block(groups, item) for item in group.items]
        group.repeats = repeats(kinds, sources, blocks)


class _Numbers:
    """Small numbers for things that are equal."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}

    def of(self, thing: Hashable) -> int:
        return self._known.setdefault(thing, len(self._known))


def _kind(
    operations: Sequence[Operation], groups: dict[int, Group], item: Item, numbers: _Numbers
) -> int:
    if item.call != OUTSIDE:
        return groups[item.call].structure
    return numbers.of(("operation", operations[item.operation].name))


def _is_block(groups: dict[int, Group], item: Item) -> bool:
    """Whether a call holds other calls."""
    return item.call != OUTSIDE and any(i.call != OUTSIDE for i in groups[item.call].items)


def _shapes(trace: Trace, tensors: Sequence[int]) -> tuple[Hashable, ...]:
    seen = (trace.tensors[tensor] for tensor in tensors)
    return tuple((tensor.shape, str(tensor.dtype)) for tensor in seen)


def _relative(trace: Trace, group: int, item: Item) -> str:
    """Path of a module from that around it: "attn" rather than "h.3.attn"."""
    path = trace.calls[item.call].path
    around = trace.calls[group].path if group != OUTSIDE else ""
    return path[len(around) + 1 :] if around and path.startswith(f"{around}.") else path


def relative_name(trace: Trace, group: int, item: Item) -> str:
    """Name of an item within its group: the path from there, or the name of the operation."""
    if item.call == OUTSIDE:
        return trace.operations[item.operation].name
    return _relative(trace, group, item)
