"""The attribution explorer: what a prediction rests on, and whether to trust it."""

from explain_widgets.widgets.attribution.explorer import AttributionExplorer

__all__ = ["AttributionExplorer"]
