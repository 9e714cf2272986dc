"""Following the positions of an input through a forward, operation by operation."""

from explain_widgets.live.tracing.traced import Factor, Traced, input_traced
from explain_widgets.live.tracing.tracer import Tracer

__all__ = ["Factor", "Traced", "Tracer", "input_traced"]
