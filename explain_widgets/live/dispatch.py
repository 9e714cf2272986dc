"""Modes that see every operation of a run, and do not have torch import its compiler for that."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from torch._compile import _disable_dynamo
from torch.utils._python_dispatch import TorchDispatchMode


class DispatchMode(TorchDispatchMode):
    """A `TorchDispatchMode` whose first operation does not take ten seconds.

    Of other modes torch keeps its compiler away, and imports it for that. Here that happens only
    where something has imported it already: else nothing that is compiled can run.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Asked by torch when a class is made."""
        return False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__torch_dispatch__" in cls.__dict__:
            cls.__torch_dispatch__ = _not_compiled(cls.__torch_dispatch__)  # type: ignore[method-assign]


def _not_compiled(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """The same, which the compiler does not look into."""
    kept_away = _disable_dynamo(dispatch)  # imports the compiler when it is called

    @functools.wraps(dispatch)
    def called(*args: Any, **kwargs: Any) -> Any:
        is_there = "torch._dynamo" in sys.modules
        return (kept_away if is_there else dispatch)(*args, **kwargs)

    return called
