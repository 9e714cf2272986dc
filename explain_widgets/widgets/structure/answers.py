"""What answers the requests of structure explorers; see docs/protocol.md."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from explain_widgets.live.structure.summary import Summary
from explain_widgets.widgets.protocol import Reply
from explain_widgets.widgets.structure.numbers import NumberAnswers
from explain_widgets.widgets.structure.overlays import OVERLAYS, overlay_of, overlay_steps
from explain_widgets.widgets.structure.words import (
    failure_message,
    rows_message,
    table_csv,
    totals_message,
)
from explain_widgets.widgets.targets import classes_message

_PARTIAL_SECONDS = 0.3


class StructureAnswers(NumberAnswers):
    """Answers from the traces, tensors and gradients of a live model."""

    def answer_structure(self, selection: dict[str, Any]) -> Reply:
        """The whole structure: the graph, the layer table, what can be coloured."""
        index = int(selection["sample"])
        with self._live.reading():
            summary = self._live.summary(index)
            graph = self._live.forward_graph(index)
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

    def answer_overlay(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """One number of each module of the layer table; dead shares over more and more samples."""
        overlay = overlay_of(str(selection["overlay"]))
        target = self.target(selection.get("target"))
        sent = time.monotonic()
        for found in overlay_steps(self._live, overlay.name, int(selection["sample"]), target):
            if found.progress is not None and time.monotonic() - sent < _PARTIAL_SECONDS:
                yield None
                continue
            sent = time.monotonic()
            content = {
                "overlay": overlay.name,
                "label": found.label or overlay.label,
                "unit": overlay.unit,
                "log": overlay.log,
                "note": found.note,
                "progress": None if found.progress is None else list(found.progress),
            }
            yield Reply(content, {"values": found.values})

    def answer_backward(self, selection: dict[str, Any]) -> Reply:
        """The graph by which the target is differentiated."""
        target = self.target(selection.get("target"))
        graph = self._live.backward_graph(int(selection["sample"]), target)
        return Reply(
            {
                "graph": graph.to_dict(),
                "first_sight": sorted(graph.first_sight()),
                "note": graph.trace.note,
            }
        )
