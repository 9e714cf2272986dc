"""Finding queries, keys and masks of every attention call of a forward, whatever computes it."""

from explain_widgets.analysis.patches import ImageGrid
from explain_widgets.live.attention.capture import LOOKED_FOR, AttentionCapture
from explain_widgets.live.attention.layer import AttentionLayer

__all__ = ["LOOKED_FOR", "AttentionCapture", "AttentionLayer", "ImageGrid"]
