"""Look inside a live PyTorch model from a notebook."""

from explain_widgets.live.errors import (
    ChannelError,
    ComparisonError,
    ExplainError,
    GradientError,
    LayerError,
    NeedsHomeThreadError,
    NoAttentionError,
    RunError,
    TargetError,
)
from explain_widgets.live.model import LiveModel
from explain_widgets.live.muting import Mute
from explain_widgets.live.samples import Samples
from explain_widgets.widgets.attention import AttentionExplorer
from explain_widgets.widgets.attribution import AttributionExplorer
from explain_widgets.widgets.features import FeatureExplorer
from explain_widgets.widgets.gallery import SampleGallery
from explain_widgets.widgets.structure import StructureExplorer

__version__ = "0.1.0"

__all__ = [
    "AttentionExplorer",
    "AttributionExplorer",
    "ChannelError",
    "ComparisonError",
    "ExplainError",
    "FeatureExplorer",
    "GradientError",
    "LayerError",
    "LiveModel",
    "Mute",
    "NeedsHomeThreadError",
    "NoAttentionError",
    "RunError",
    "SampleGallery",
    "Samples",
    "StructureExplorer",
    "TargetError",
]
