"""Samples: any collection of inputs, one sample at a time, and how to show it."""

from explain_widgets.live.samples.collection import Samples
from explain_widgets.live.samples.inputs import SampleError, SampleIndexError
from explain_widgets.live.samples.sample import Sample
from explain_widgets.live.samples.tokens import Token

__all__ = ["Sample", "SampleError", "SampleIndexError", "Samples", "Token"]
