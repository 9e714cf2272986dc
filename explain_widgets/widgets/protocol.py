"""Requests and replies as messages; the whole contract is in ``docs/protocol.md``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from explain_widgets.pictures.quantise import Picture

_ALIGNMENT = 8
# A reply never grows past this by padding: hosts cap messages at a few megabytes.
_MOST_PADDING = 1_000_000


@dataclass(frozen=True)
class Request:
    """One question of one view; answered from ``selection`` alone, never from traits."""

    id: str
    kind: str
    selection: dict[str, Any]
    pad: int

    @property
    def view(self) -> str:
        """The view that asks."""
        return self.id.rpartition(":")[0]


@dataclass
class Reply:
    """What answers a request: JSON content and named arrays."""

    content: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Picture | npt.NDArray[Any]] = field(default_factory=dict)


def read_request(message: object) -> Request | None:
    """The request in a custom message; None when it is none."""
    if not isinstance(message, dict):
        return None
    identity, kind, selection = (message.get(key) for key in ("id", "kind", "selection"))
    pad = message.get("pad", 0)
    if not (isinstance(identity, str) and isinstance(kind, str) and isinstance(selection, dict)):
        return None
    return Request(identity, kind, selection, pad if isinstance(pad, int) else 0)


def pack(reply: Reply, pad: int) -> tuple[dict[str, Any], bytes]:
    """The descriptions of a reply's arrays and the one buffer that holds them, padded."""
    described: dict[str, Any] = {}
    parts: list[bytes | memoryview] = []
    size = 0
    for name, array in reply.arrays.items():
        values = array.levels if isinstance(array, Picture) else array
        parts.append(bytes(-size % _ALIGNMENT))
        size += len(parts[-1])
        described[name] = {
            "shape": list(values.shape),
            "dtype": values.dtype.name,
            "offset": size,
        }
        if isinstance(array, Picture):
            described[name] |= {
                "range": list(array.range),
                "nonfinite": array.nonfinite,
                "note": array.note,
            }
        if values.size:
            parts.append(np.ascontiguousarray(values).data.cast("B"))
            size += values.nbytes
    parts.append(bytes(max(0, min(pad, _MOST_PADDING) - size)))
    return described, b"".join(parts)
