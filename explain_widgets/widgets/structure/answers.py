"""What answers the requests of structure explorers; see docs/protocol.md."""

from __future__ import annotations

from typing import Any

from explain_widgets.live.model import LiveModel
from explain_widgets.live.structure.graph import StructureGraph
from explain_widgets.live.structure.summary import Summary
from explain_widgets.widgets.answers import Answers
from explain_widgets.widgets.protocol import Reply
from explain_widgets.widgets.structure.overlays import OVERLAYS, overlay_of, read_from_table
from explain_widgets.widgets.structure.words import (
    failure_message,
    rows_message,
    table_csv,
    totals_message,
)
from explain_widgets.widgets.targets import classes_message


class StructureAnswers(Answers):
    """Answers from the traces, tensors and gradients of a live model.

    Parameters
    ----------
    live
        The model.
    """

    def __init__(self, live: LiveModel) -> None:
        super().__init__(live.samples)
        self._live = live

    def answer_structure(self, selection: dict[str, Any]) -> Reply:
        """The whole structure: the graph, the layer table, what can be coloured."""
        index = int(selection["sample"])
        with self._live.reading():
            summary = self._live.summary(index)
            graph = StructureGraph(summary.trace)
            return Reply(
                {
                    "sample": index,
                    "title": self._samples[index].title,
                    "graph": graph.to_dict(),
                    "first_sight": sorted(graph.first_sight()),
                    "rows": rows_message(summary),
                    "totals": totals_message(summary),
                    "failure": failure_message(summary.trace),
                    "overlays": [overlay.message() for overlay in OVERLAYS.values()],
                    "note": summary.trace.note,
                    **self._classes(index, summary),
                    "revision": self._live.revision,
                    "footer": self._live.status,
                }
            )

    def _classes(self, index: int, summary: Summary) -> dict[str, Any]:
        """What a gradient may be of; nothing where the forward broke off."""
        if summary.trace.failure is not None:
            return {"classes": [], "predicted": None}
        return classes_message(self._live, index)

    def answer_text(self, selection: dict[str, Any]) -> Reply:
        """The layer table as plain text and as comma-separated values."""
        summary = self._live.summary(int(selection["sample"]))
        return Reply({"text": str(summary), "csv": table_csv(summary)})

    def answer_overlay(self, selection: dict[str, Any]) -> Reply:
        """One number of each module of the layer table."""
        index, overlay = int(selection["sample"]), overlay_of(str(selection["overlay"]))
        found = read_from_table(self._live.summary(index), overlay.name)
        return Reply(
            {
                "overlay": overlay.name,
                "label": found.label or overlay.label,
                "unit": overlay.unit,
                "log": overlay.log,
                "note": found.note,
            },
            {"values": found.values},
        )
