"""The attention explorer: which token looks where, in any head of any layer."""

from explain_widgets.widgets.attention.explorer import AttentionExplorer

__all__ = ["AttentionExplorer"]
