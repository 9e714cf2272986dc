"""What the sides of a live model that are asked about trust have in common."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from explain_widgets.live.access import Access

if TYPE_CHECKING:
    from explain_widgets.live.model import LiveModel

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Side:
    """A side of a `LiveModel`."""

    _access: Access

    @property
    def _live(self) -> LiveModel:
        return cast("LiveModel", self)


def last_of(steps: Callable[_P, Iterator[_T]]) -> Callable[_P, _T]:
    """The method without ``_steps`` in its name: it answers with the last step alone."""

    @wraps(steps)
    def last(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return deque(steps(*args, **kwargs), maxlen=1).pop()

    last.__name__ = steps.__name__.removesuffix("_steps")
    last.__qualname__ = steps.__qualname__.removesuffix("_steps")
    return last
