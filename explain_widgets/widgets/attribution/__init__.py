"""The attribution explorer: which parts of an input a prediction rests on, and whether to trust it."""

from explain_widgets.widgets.attribution.explorer import AttributionExplorer

__all__ = ["AttributionExplorer"]
