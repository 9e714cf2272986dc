"""StructureExplorer: what a model is made of, as a table, as a graph, and in numbers."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import traitlets

from explain_widgets.export.graphs import graph_figure
from explain_widgets.export.structure import Bars, table_figure, values_figure
from explain_widgets.live.model import LiveModel
from explain_widgets.live.structure.graph import StructureGraph
from explain_widgets.live.structure.summary import Summary
from explain_widgets.widgets.charts import ChartKind
from explain_widgets.widgets.explorer import Explorer, bundle
from explain_widgets.widgets.structure.answers import StructureAnswers
from explain_widgets.widgets.structure.overlays import OVERLAYS, overlay_steps
from explain_widgets.widgets.structure.values import Initialised
from explain_widgets.widgets.structure.words import shapes_words
from explain_widgets.widgets.targets import TargetTrait

VIEWS = ("layers", "graph", "values")
GRAPHS = ("forward", "backward")


class StructureExplorer(Explorer):
    """Shows the structure of a model: its layer table, its graph, the numbers of each module.

    Parameters
    ----------
    model
        A `LiveModel`, or a model to make one of with ``samples`` and the options of `LiveModel`.
    samples, **options
        As for `LiveModel`; and any trait below, to begin with.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> xw.StructureExplorer(model, torch.randn(2, 4)).summary().parameters
    15
    """

    _esm = bundle("structure.js")
    _css = bundle("structure.css")
    _still_cut = None

    live: LiveModel

    layer_name = traitlets.Unicode("").tag(sync=True)
    """The module that is picked, by its path (``"block:1"``: its second call; ``""``: the model).
    A name that is not in the model is a TraitError."""

    view = traitlets.Enum(VIEWS, "graph").tag(sync=True)
    """``"layers"``: the table, ``"graph"``, or ``"values"``: the numbers of what is picked."""

    overlay = traitlets.Enum(tuple(OVERLAYS), "").tag(sync=True)
    """What table and graph are coloured by; ``""``: nothing."""

    target = TargetTrait()
    """What gradients and the backward graph are of: the index of a class, None: the predicted one,
    or a callable from the model's output to a scalar."""

    opened: Any = traitlets.List(traitlets.Unicode(), None, allow_none=True).tag(sync=True)
    """Ids of the boxes of the graph that are open; None: as at first sight."""

    instances: Any = traitlets.Dict(
        key_trait=traitlets.Unicode(), value_trait=traitlets.Int(min=0)
    ).tag(sync=True)
    """Of blocks that are folded into one, by the id of the fold, which of them is shown."""

    graph = traitlets.Enum(GRAPHS, "forward").tag(sync=True)
    """The graph of the ``"forward"``, or that by which the target is differentiated."""

    _answers: StructureAnswers

    def _make_answers(self) -> StructureAnswers:
        return StructureAnswers(self.live)

    def summary(self) -> Summary:
        """The layer table of the current sample: its ``str`` is text, ``.to_dataframe()`` data."""
        return self.live.summary(self.sample)

    def initialisations(self) -> list[Initialised]:
        """How every weight of the model looks beside what the activation after it asks for.

        ``one.is_far`` says which to look at, ``one.sentence`` why (Glorot and Bengio 2010; He et
        al. 2015).
        """
        return list(self._answers.values.all_initialisations(self.live.trace(self.sample)))

    def structure(self) -> StructureGraph:
        """The graph that is picked: of the forward, or by which the target is differentiated."""
        if self.graph == "backward":
            return self.live.backward_graph(self.sample, self.target)
        return self.live.forward_graph(self.sample)

    def data(self) -> dict[str, Any]:
        """What is shown now.

        Returns
        -------
        dict
            ``summary``: the layer table; ``overlay``: the numbers by which modules are coloured,
            by their names; of the graph ``graph``, the `StructureGraph`; of the values the tensors
            of the picked module by name (``"output"``, ``"weight"``, ``"weight gradient"``), on
            the model's device.
        """
        if self.view == "values":
            found, _ = self._answers.values.all(self.layer_name, self.sample, self.target)
            return {one.name: one.tensor for one in found}
        summary = self.summary()
        shown: dict[str, Any] = {"summary": summary}
        if self.view == "graph":
            shown["graph"] = self.structure()
        if self.overlay:
            steps = overlay_steps(self.live, self.overlay, self.sample, self.target)
            *_, last = steps
            names = [row.name for row in summary.rows]
            shown["overlay"] = dict(zip(names, last.values.tolist(), strict=True))
        return shown

    def figure(self) -> matplotlib.figure.Figure:
        """What is shown as a matplotlib figure.

        The first rows of the layer table with bars; the boxes of the graph, those that are open;
        or histograms of the tensors of the picked module.
        """
        title = f"{type(self.live.model).__name__} · {self.samples[self.sample].title}"
        if self.view == "layers":
            return table_figure(self.summary(), title)
        if self.view == "graph":
            graph = self.structure()
            title += " · backward" if self.graph == "backward" else ""
            opened = graph.first_sight() if self.opened is None else self.opened
            return graph_figure(graph.view(opened, self.instances), graph.trace, title)
        found, why = self._answers.values.all(self.layer_name, self.sample, self.target)
        bars = [
            Bars(
                f"{one.name}, {shapes_words([one.shape])}",
                one.histogram.edges.cpu().numpy(),
                one.histogram.counts.cpu().numpy(),
                one.histogram.note,
            )
            for one in found
        ]
        said = [title, self.layer_name or "(model)", why]
        return values_figure(bars, " · ".join(part for part in said if part))

    def _chart_kinds(self) -> dict[str, ChartKind]:
        # bqplot takes seconds to be imported, and most never ask for a chart.
        from explain_widgets.widgets.histogram_chart import HistogramChart  # noqa: PLC0415
        from explain_widgets.widgets.structure.charts import read_histogram  # noqa: PLC0415

        def kind(name: str) -> ChartKind:
            def read() -> Any:
                place = self.layer_name, self.sample, self.target
                return read_histogram(self._answers.values, name, *place)

            return ChartKind(HistogramChart, read, ("sample", "layer_name", "target"))

        return {name: kind(name) for name in ("weights", "outputs", "gradients")}

    # Traits.

    @traitlets.observe("target")
    def _give_target(self, change: Any) -> None:
        if callable(self.target):
            self._answers.custom = self.target
            # Another function is sent by the same word as the one before.
            self.send({"notice": "stale"})

    @traitlets.validate("layer_name")
    def _check_layer_name(self, proposal: Any) -> str:
        name = str(proposal["value"])
        path, _, nth = name.partition(":")
        is_call = not nth or nth.isdigit()
        if not is_call or all(path != module for module, _ in self.live.model.named_modules()):
            raise traitlets.TraitError(f"layer_name: the model has no module {name!r}.")
        return name
