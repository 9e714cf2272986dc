"""The graph of a model as boxes within boxes, any of them open, repeated blocks as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from explain_widgets.live.structure.description import described
from explain_widgets.live.structure.nesting import Nesting
from explain_widgets.live.structure.trace import OUTSIDE, Trace
from explain_widgets.live.structure.view import MOST_BOXES, Box, Edge, View, Viewer, shape_words

__all__ = ["MOST_BOXES", "Box", "Edge", "StructureGraph", "View", "shape_words"]


class StructureGraph:
    """The nested graph of a trace.

    Parameters
    ----------
    trace
        Of a forward, also of one that failed.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    >>> model = torch.nn.TransformerEncoder(layer, 6)
    >>> graph = StructureGraph(xw.LiveModel(model, torch.randn(1, 5, 16)).trace())
    >>> [(box.label, box.repeats) for box in graph.view({""}).boxes if box.repeats > 1]
    [('layers.0', 6)]
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.nesting = Nesting(trace)
        self.groups = self.nesting.groups
        self._first_sights: dict[int, frozenset[str]] = {}

    def view(self, opened: Iterable[str] = (), instances: Mapping[str, int] | None = None) -> View:
        """The boxes and edges where these are open.

        Parameters
        ----------
        opened
            Ids of boxes; those that are not shown do not count.
        instances
            By the id of a fold, which of its blocks is shown; the first where it says nothing.

        Raises
        ------
        ValueError
            When a fold has no such block.
        """
        return Viewer(self.nesting, frozenset(opened), instances or {}).view()

    def first_sight(self, most: int = MOST_BOXES) -> frozenset[str]:
        """Ids of the boxes that are open at first: outer ones first, while all fit."""
        if most not in self._first_sights:
            self._first_sights[most] = self._first_sight(most)
        return self._first_sights[most]

    def _first_sight(self, most: int) -> frozenset[str]:
        opened: set[str] = set()
        refused: set[str] = set()
        boxes = self._boxes(opened)
        while True:
            closed = [
                box
                for box in boxes
                if box.kind == "module" and not box.is_open and self._is_worth_opening(box)
            ]
            box = next((box for box in closed if box.id not in refused), None)
            if box is None:
                return frozenset(opened)
            after = self._boxes({*opened, box.id})
            if len(after) <= most:
                opened.add(box.id)
                boxes = after
            else:
                refused.add(box.id)

    def _boxes(self, opened: Iterable[str]) -> tuple[Box, ...]:
        return Viewer(self.nesting, frozenset(opened), {}).boxes()

    def _is_worth_opening(self, box: Box) -> bool:
        """Layers stay closed at first, but for a model that is nothing else."""
        return box.parent is None or any(
            item.call != OUTSIDE for item in self.groups[box.call].items
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain lists, for a front end: groups that are alike only once.

        ``groups``: by number their type, items ``[name, group or -1, FLOPs]``, ``tensors`` that
        pass in it (numbers of shapes), edges ``[from, to, *tensors]`` (-1: comes in, -2: goes
        out; places in ``tensors``), repeats ``[start, period, count]``. The tensors that come
        into a group are those that go to its item in the group around it, in the same order, and
        those that go out likewise. ``root``: the outermost. ``begins``: what the
        model is given, in a word. ``shapes``: in words, by number.
        ``calls``: lists in the order in which the groups are met from the root on, item by item.
        """
        return described(self.nesting)
