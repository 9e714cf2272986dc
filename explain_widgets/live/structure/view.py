"""What is seen of a graph where some of its boxes are open: boxes, and the edges between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from explain_widgets.live.structure.folding import Repeat
from explain_widgets.live.structure.nesting import INPUT, OUTPUT, Nesting, Route, relative_name
from explain_widgets.live.structure.trace import OUTSIDE, Trace

MOST_BOXES = 40
"""So many boxes are shown at first sight, and so many parts of one at once."""

Kind: TypeAlias = Literal["module", "operation", "bundle", "input", "output"]


@dataclass(frozen=True)
class Box:
    """One box of a view.

    Attributes
    ----------
    id
        By which it is opened: the name of the call, ``"#12"`` of an operation; of parts that are
        bundled ``"layer[3:9]"``.
    kind
        What it stands for; ``"input"`` and ``"output"`` are those of the model.
    label
        Its name within the box around it, or in words what it bundles.
    parent
        Id of the box around it; None: it is in none.
    call
        Number of the call of a module, or `OUTSIDE`.
    is_open
        Whether its parts are shown.
    parts
        How many it has; 0: it cannot be opened.
    repeats, instance
        How many blocks it stands for in a row, and which of them it is; 1 and 0: for itself.
    fold
        Id of the run of blocks it is shown of, for the choice of an instance; None: it is in none.
    """

    id: str
    kind: Kind
    label: str
    parent: str | None
    call: int = OUTSIDE
    is_open: bool = False
    parts: int = 0
    repeats: int = 1
    instance: int = 0
    fold: str | None = None


@dataclass(frozen=True)
class Edge:
    """Tensors that pass between two boxes of a view.

    Attributes
    ----------
    source, target
        Ids of boxes.
    shapes
        In words, each once: ``"1 × 128 × 768"``.
    """

    source: str
    target: str
    shapes: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """Boxes, those around others first, and the edges between those that are not open."""

    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]


def shape_words(trace: Trace, tensor: int) -> str:
    """Shape of a tensor, with its dtype where that is not float32: "1 × 12 int64"."""
    seen = trace.tensors[tensor]
    sizes = " × ".join(map(str, seen.shape)) or "number"
    dtype = str(seen.dtype).removeprefix("torch.")
    return sizes if dtype == "float32" else f"{sizes} {dtype}"


class Viewer:
    """Makes one view.

    Parameters
    ----------
    nesting
        Of the trace.
    opened, instances
        See `StructureGraph.view`.
    """

    def __init__(
        self, nesting: Nesting, opened: frozenset[str], instances: Mapping[str, int]
    ) -> None:
        self._trace = nesting.trace
        self._nesting = nesting
        self._groups = nesting.groups
        self._opened = opened
        self._instances = instances
        self._boxes: list[Box] = []
        self._open: set[int] = set()
        self._shown: dict[tuple[int, int], str] = {}  # group and place → id of its box
        self._edges: dict[tuple[str, str], dict[str, None]] = {}

    def view(self) -> View:
        """The view."""
        boxes = self.boxes()
        self._add_edges()
        edges = (Edge(*ends, tuple(shapes)) for ends, shapes in self._edges.items())
        return View(boxes, tuple(edges))

    def boxes(self) -> tuple[Box, ...]:
        """The boxes of the view, which take far less than the edges between them."""
        waiting: list[tuple[int, str | None]] = [(OUTSIDE, None)]
        while waiting:
            number, parent = waiting.pop()
            before = len(self._boxes)
            self._add_parts(number, parent)
            inside = [box for box in self._boxes[before:] if box.is_open and box.kind == "module"]
            self._open.update(box.call for box in inside)
            waiting.extend((box.call, box.id) for box in reversed(inside))
        if self._nesting.takes:
            self._boxes.append(Box(_PORTS[INPUT], "input", self._trace.begins, None))
        if self._nesting.returns:
            self._boxes.append(Box(_PORTS[OUTPUT], "output", "output", None))
        return tuple(self._boxes)

    def _add_parts(self, number: int, parent: str | None) -> None:
        group = self._groups[number]
        name = self._trace.calls[number].name if number != OUTSIDE else ""
        visible: list[tuple[int, Repeat | None]] = []
        place = 0
        runs = {repeat.start: repeat for repeat in group.repeats}
        while place < len(group.items):
            run = runs.get(place)
            if run is None:
                visible.append((place, None))
                place += 1
                continue
            instance = self._instance(self._fold(number, run), run)
            block = range(run.start, run.start + run.period)
            visible.extend((run.shown(other, instance), run) for other in block)
            place = run.stop
        for bundle in _bundles([group.items[place].call for place, _ in visible], MOST_BOXES):
            self._add_bundle(number, name, parent, [visible[n] for n in bundle])

    def _add_bundle(
        self,
        number: int,
        name: str,
        parent: str | None,
        parts: list[tuple[int, Repeat | None]],
    ) -> None:
        inside = parent
        if len(parts) > 1:
            items = self._groups[number].items
            identity = f"{name}[{parts[0][0]}:{parts[-1][0] + 1}]"
            modules = sum(items[place].call != OUTSIDE for place, _ in parts)
            what = f"{len(parts)} parts" if modules else f"{len(parts)} operations"
            is_open = identity in self._opened
            self._boxes.append(
                Box(identity, "bundle", what, parent, is_open=is_open, parts=len(parts))
            )
            if not is_open:
                for place, _ in parts:
                    self._shown[number, place] = identity
                return
            inside = identity
        for place, run in parts:
            self._add_part(number, inside, place, run)

    def _add_part(self, number: int, parent: str | None, place: int, run: Repeat | None) -> None:
        item = self._groups[number].items[place]
        is_module = item.call != OUTSIDE
        identity = self._trace.calls[item.call].name if is_module else f"#{item.operation}"
        self._shown[number, place] = identity
        self._boxes.append(
            Box(
                identity,
                "module" if is_module else "operation",
                relative_name(self._trace, number, item),
                parent,
                item.call,
                is_open=is_module and identity in self._opened,
                parts=len(self._groups[item.call].items) if is_module else 0,
                repeats=1 if run is None else run.count,
                instance=0 if run is None else run.block(place),
                fold=None if run is None else self._fold(number, run),
            )
        )

    def _instance(self, fold: str, run: Repeat) -> int:
        instance = self._instances.get(fold, 0)
        if not 0 <= instance < run.count:
            raise ValueError(
                f"Block {instance} of {fold!r} is out of range: there are {run.count} "
                f"(0 to {run.count - 1})."
            )
        return instance

    # An edge is between what is seen of its ends: the boxes that hold the two operations, or the
    # same place in the block that stands for theirs.

    def _add_edges(self) -> None:
        visible = {OUTSIDE: ""}
        for source, target, tensor in self._nesting.passed:
            before, after = self._nesting.route(source), self._nesting.route(target)
            if self._is_left_out(before, after):
                continue
            ends = []
            for operation, route in ((source, before), (target, after)):
                if operation not in visible:
                    visible[operation] = self._seen(route)
                ends.append(_PORTS[operation] if operation < 0 else visible[operation])
            if ends[0] != ends[1]:
                words = shape_words(self._trace, tensor)
                self._edges.setdefault((ends[0], ends[1]), {})[words] = None

    def _is_left_out(self, before: Route, after: Route) -> bool:
        """Whether an edge is within a block that is not shown, or leads from one to another."""
        for (group, start), (_, end) in zip(before, after, strict=False):
            runs = self._groups[group].repeats
            if any(run.holds(start) and run.holds(end) for run in runs) and not all(
                place == self._shown_place(group, place) for place in (start, end)
            ):
                return True
            if start != end:
                return False
        return False

    def _seen(self, route: Route) -> str:
        """Id of the closed box in which an operation is shown."""
        group = OUTSIDE
        identity = ""
        for _, place in route:
            # Blocks that are alike have the same places within.
            seen = self._shown_place(group, place)
            identity = self._shown[group, seen]
            group = self._groups[group].items[seen].call
            if group not in self._open:
                break
        return identity

    def _shown_place(self, number: int, place: int) -> int:
        for run in self._groups[number].repeats:
            if run.holds(place):
                return run.shown(place, self._instances.get(self._fold(number, run), 0))
        return place

    def _fold(self, number: int, run: Repeat) -> str:
        """Id of a run of blocks in a group."""
        name = self._trace.calls[number].name if number != OUTSIDE else ""
        return f"{name}*{run.start}"


_PORTS = {INPUT: "(input)", OUTPUT: "(output)"}


def _bundles(parts: list[int], most: int) -> list[list[int]]:
    """Parts of a group by the numbers of their calls, in bundles where there are too many.

    First operations that follow each other, then all that do.
    """
    bundles: list[list[int]] = [[place] for place in range(len(parts))]
    if len(bundles) > most:
        bundles = []
        for place, call in enumerate(parts):
            follows = bundles and call == OUTSIDE == parts[bundles[-1][-1]]
            if follows:
                bundles[-1].append(place)
            else:
                bundles.append([place])
    if len(bundles) > most:
        size = -(-len(bundles) // most)
        chunks = [bundles[n : n + size] for n in range(0, len(bundles), size)]
        bundles = [[place for bundle in chunk for place in bundle] for chunk in chunks]
    return bundles
