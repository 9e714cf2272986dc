"""What was read from the model and is kept: bounded, least recently used out first."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

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
    if isinstance(memory, int):
        return memory
    match = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?B?)\s*", memory.upper())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f'memory={memory!r} is no amount of memory: write "2GB" or a number.')
    return int(float(match[1]) * _UNITS[match[2]])


class Store:
    """A dictionary of tensors, or of things that hold tensors, of at most ``limit`` bytes.

    The newest entry always stays, even where it is larger than the limit alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable) -> Any:
        """The value, or None; it becomes the most recently used."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep ``value``, which holds ``size`` bytes; older entries make room."""
        if key in self._entries:
            self.used -= self._entries.pop(key)[1]
        self._entries[key] = (value, size)
        self.used += size
        while self.used > self.limit and len(self._entries) > 1:
            self.used -= self._entries.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.used = 0
