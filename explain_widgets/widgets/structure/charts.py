"""The charts of the structure explorer, for the user's own boxes."""

from __future__ import annotations

from explain_widgets.live.errors import LayerError
from explain_widgets.live.targets import Target
from explain_widgets.widgets.histogram_chart import HistogramShown
from explain_widgets.widgets.structure.values import Quantity, ValueReader


def read_histogram(
    values: ValueReader, chart: str, name: str, sample: int, target: Target
) -> HistogramShown:
    """The histogram of a module's weight, output or output gradient.

    Parameters
    ----------
    values
        Reads it.
    chart
        ``"weights"``, ``"outputs"`` or ``"gradients"``.
    name
        Of the call of the module.
    sample, target
        What outputs and gradients are of.

    Raises
    ------
    LayerError, GradientError, TargetError, RunError
        When there is none.
    """
    shown = _quantity(values, chart, name, sample, target)
    where = "" if chart == "weights" else f"sample {sample}"
    parts = [name or "(model)", where, shown.histogram.note]
    return HistogramShown(
        shown.histogram.edges.cpu().numpy(),
        shown.histogram.counts.cpu().numpy(),
        " · ".join(part for part in parts if part),
        shown.name,
        "numbers",
    )


def _quantity(values: ValueReader, chart: str, name: str, sample: int, target: Target) -> Quantity:
    if chart == "outputs":
        return next(values.outputs(name, sample))
    if chart == "gradients":
        return next(values.gradients(name, sample, target))
    parameters = list(values.parameters(name))
    if not parameters:
        raise LayerError(
            f"{name or 'The model itself'} has no parameters of its own: pick a layer that has."
        )
    return max(parameters, key=lambda one: len(one.shape) > 1)
