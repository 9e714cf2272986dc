"""StructureExplorer: what a model is made of, as a table, as a graph, and in numbers."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import traitlets

from explain_widgets.export.structure import table_figure
from explain_widgets.live.model import LiveModel
from explain_widgets.live.structure.summary import Summary
from explain_widgets.widgets.explorer import Explorer, bundle
from explain_widgets.widgets.structure.answers import StructureAnswers
from explain_widgets.widgets.structure.overlays import OVERLAYS
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

    def data(self) -> dict[str, Any]:
        """What is shown now.

        Returns
        -------
        dict
            ``trace``: the `Trace` of the forward; ``summary``: the layer table.
        """
        summary = self.summary()
        return {"trace": summary.trace, "summary": summary}

    def figure(self) -> matplotlib.figure.Figure:
        """The layer table as a matplotlib figure."""
        title = f"{type(self.live.model).__name__} · {self.samples[self.sample].title}"
        return table_figure(self.summary(), title)

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
