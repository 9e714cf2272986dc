"""The errors a user can make, each with one sentence that names the cause and the way out."""

from __future__ import annotations


class ExplainError(Exception):
    """Base of all errors of this library; its text is one sentence that can be shown as it is."""


class LayerError(ExplainError, LookupError):
    """A layer was asked for that is not there, was never called, or holds no tensor."""


class NoAttentionError(ExplainError):
    """No attention call was seen in a forward; the text says what was looked for."""


class GradientError(ExplainError):
    """A gradient does not exist, and why."""


class TargetError(ExplainError, ValueError):
    """The target cannot be read from the model's output; pass a callable."""


class ComparisonError(ExplainError, ValueError):
    """Two things were to be compared that have not the same size."""


class RunError(ExplainError, RuntimeError):
    """The model raised while it ran; the cause is chained."""


class NeedsHomeThreadError(ExplainError):
    """A run that may only happen in the notebook's own thread, when no cell is running.

    Raised on other threads for models that cannot be copied and for models that draw random
    numbers. Widgets catch it, say that they wait for the cell, and run there.
    """


class ChannelError(ExplainError, ValueError):
    """A channel, or its unit at a position, that is not there."""
