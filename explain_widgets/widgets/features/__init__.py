"""The feature explorer: what every layer makes of a sample, channel by channel."""

from explain_widgets.widgets.features.explorer import FeatureExplorer

__all__ = ["FeatureExplorer"]
