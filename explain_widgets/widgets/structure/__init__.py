"""The structure explorer: what a model is made of, and what is in it, in numbers."""

from explain_widgets.widgets.structure.explorer import StructureExplorer

__all__ = ["StructureExplorer"]
