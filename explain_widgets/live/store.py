"""What was read from the model and is kept: bounded, least recently used out first."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from explain_widgets.live.freshness import version
from explain_widgets.live.modules import flat_tensors

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
DEFAULT_LIMIT = 2 * 10**9


def parse_memory(memory: int | str | None) -> int:
    """Bytes of ``2_000_000``, ``"500MB"``, ``"2 GB"``; None: 2 GB.

    Raises
    ------
    ValueError
        When the text is no amount of memory.
    """
    if memory is None:
        return DEFAULT_LIMIT
    match = re.fullmatch(r"\s*(\d+\.?\d*)\s*([KMGT]?B?)\s*", str(memory).upper())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f'memory={memory!r} is no amount of memory: write "2GB" or a number.')
    return int(float(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True)
class _Entry:
    value: Any
    size: int
    tensors: list[tuple[Tensor, int]]  # each with its version when it was put here


class Store:
    """A dictionary of tensors, or of things that hold tensors, of at most ``limit`` bytes.

    What was written into since, by whom it was handed to, is forgotten. The newest entry always
    stays, even where it is larger than the limit alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """The value, or None; it becomes the most recently used."""
        entry = self._entries.get(key)
        if entry is None or any(version(tensor) != before for tensor, before in entry.tensors):
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep ``value``, which holds ``size`` bytes; older entries make room."""
        if key in self._entries:
            self.used -= self._entries.pop(key).size
        self._entries[key] = _Entry(value, size, [(t, version(t)) for t in flat_tensors(value)])
        self.used += size
        while self.used > self.limit and len(self._entries) > 1:
            self.used -= self._entries.popitem(last=False)[1].size

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.used = 0


class Room:
    """Which of many tensors are kept: in call order while there is room, ``always`` in any case."""

    def __init__(self, limit: int, always: Hashable | None) -> None:
        self._left = limit
        self._always = always

    def keeps(self, name: Hashable, size: int) -> bool:
        """Whether there is room for it; takes the room."""
        if name == self._always:
            return True
        if size > self._left:
            return False
        self._left -= size
        return True
