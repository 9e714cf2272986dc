"""The sample gallery: samples as a grid, with what the model predicts for them."""

from explain_widgets.widgets.gallery.explorer import SampleGallery

__all__ = ["SampleGallery"]
