"""A graph as plain lists, for a front end: groups that are alike only once."""

from __future__ import annotations

from typing import Any

from explain_widgets.live.structure.nesting import Nesting, relative_name
from explain_widgets.live.structure.trace import OUTSIDE
from explain_widgets.live.structure.view import shape_words


def described(nesting: Nesting) -> dict[str, Any]:
    """See `StructureGraph.to_dict`."""
    trace, groups = nesting.trace, nesting.groups
    shapes: dict[str, int] = {}
    known: dict[int, int] = {}
    described: list[dict[str, Any]] = []
    for number in sorted(groups, reverse=True):
        group = groups[number]
        if group.exact in known:
            continue
        known[group.exact] = len(described)
        tensors = group.tensors()
        places = {tensor: place for place, tensor in enumerate(tensors)}
        described.append(
            {
                "type": trace.calls[number].type if number != OUTSIDE else "",
                "items": _items(nesting, number, known),
                "tensors": [
                    shapes.setdefault(shape_words(trace, tensor), len(shapes)) for tensor in tensors
                ],
                "edges": [
                    [*ends, *(places[tensor] for tensor in passed)]
                    for ends, passed in group.edges.items()
                ],
                "repeats": [[run.start, run.period, run.count] for run in group.repeats],
            }
        )
    return {
        "groups": described,
        "root": known[groups[OUTSIDE].exact],
        "begins": trace.begins,
        "shapes": list(shapes),
        "calls": _numbers(nesting),
    }


def _items(nesting: Nesting, number: int, known: dict[int, int]) -> list[list[Any]]:
    trace, found = nesting.trace, list[list[Any]]()
    for item in nesting.groups[number].items:
        name = relative_name(trace, number, item)
        if item.call == OUTSIDE:
            found.append([name, -1, trace.operations[item.operation].flops])
        else:
            group = known[nesting.groups[item.call].exact]
            found.append([name, group, trace.calls[item.call].flops])
    return found


def _numbers(nesting: Nesting) -> dict[str, list[Any]]:
    """What is known of every call, in the order in which a front end meets them."""
    trace, order, waiting = nesting.trace, list[int](), [OUTSIDE]
    while waiting:
        number = waiting.pop()
        if number != OUTSIDE:
            order.append(number)
        inside = [item.call for item in nesting.groups[number].items if item.call != OUTSIDE]
        waiting.extend(reversed(inside))
    calls = [trace.calls[number] for number in order]
    return {
        "name": [call.name for call in calls],
        "flops": [call.flops for call in calls],
        "microseconds": [round(1e6 * call.seconds) for call in calls],
        "held": [call.held for call in calls],
        "bytes": [sum(trace.tensors[n].bytes for n in call.outputs) for call in calls],
    }
