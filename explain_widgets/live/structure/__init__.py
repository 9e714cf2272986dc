"""The structure of a model as a forward shows it: operations, tensors, calls of modules."""

from explain_widgets.live.structure.trace import Trace

__all__ = ["Trace"]
