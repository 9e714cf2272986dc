"""From what a user writes to what ran: layers by name or index, and what to say where none is."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explain_widgets.live.attention import LOOKED_FOR, AttentionLayer
from explain_widgets.live.entries import MOST_CALLS, Call, Calls
from explain_widgets.live.errors import LayerError
from explain_widgets.live.modules import ModuleRow

GENERATED = "generated"
"""The list of tokens that a generation has read and written, among those of a sample."""


@dataclass(frozen=True)
class Table:
    """What is known of a sample's forward; ``attention`` is None until it was looked for.

    ``calls``: all calls of modules by name, in call order. ``generated``: ids of the prompt and the
    new tokens, where the model wrote any.
    """

    rows: list[ModuleRow]
    calls: Calls
    attention: list[AttentionLayer] | None = None
    problems: tuple[str, ...] = ()
    generated: Tensor | None = None


def generated_ids(output: Any) -> Tensor | None:
    """Ids (tokens,) of what ``model.generate`` has returned; None: it is something else."""
    ids = getattr(output, "sequences", output)
    if isinstance(ids, Tensor) and ids.dtype == torch.int64 and ids.ndim == 2 and len(ids) == 1:
        return ids[0].detach()
    return None


def layer_name(layer: int | str, rows: list[ModuleRow]) -> str:
    """The call name that ``layer`` means: a name of the model, or an index into ``rows``.

    Raises
    ------
    LayerError
        When there is no such layer, or it was never called.
    """
    if isinstance(layer, str):
        name, _, call = layer.rpartition(":")
        row = next((row for row in rows if row.name == layer), None)
        if row is None and call.isdigit():
            row = next((row for row in rows if row.name == name), None)
            if row is not None and not 0 < int(call) < row.calls:
                raise LayerError(f"{name!r} was called {row.calls} times, not {int(call) + 1}.")
        if row is None:
            return pick(layer, [row.name for row in rows], "layer")  # raises
        if row.calls == 0:
            raise LayerError(
                f"Layer {layer!r} is in the model but was never called by this forward."
            )
        return layer
    return pick(layer, [row.name for row in rows if row.calls], "layer")


def pick(layer: int | str, names: list[str], what: str) -> str:
    """The name that an index or a name means; else a LayerError that offers others."""
    if isinstance(layer, str):
        if layer in names:
            return layer
        close = difflib.get_close_matches(layer, names, n=3, cutoff=0.4) or names[:3]
        raise LayerError(f"There is no {what} {layer!r}; did you mean {_listed(close)}?")
    if not 0 <= layer < len(names):
        raise LayerError(
            f"{what} {layer} is out of range: there are {len(names)} (0 to {len(names) - 1})."
        )
    return names[layer]


def _listed(names: list[str]) -> str:
    return " or ".join(repr(name) for name in names)


def called(name: str, calls: Calls) -> Call:
    """The call of this name; LayerError: there was none."""
    if name in calls and calls[name].ended >= 0:
        return calls[name]
    if len(calls) >= MOST_CALLS:
        raise LayerError(
            f"Layer {name!r} is not among the first {MOST_CALLS:,} calls of this forward: no more "
            "are remembered, ask for an earlier one or for a sample with a shorter forward."
        )
    raise LayerError(f"Layer {name!r} was not called in this run.")


# What the name of a module says of why there are no softmax weights to be seen.
_REASONS = (
    (
        r"Mamba|SSM|StateSpace|S4|Rwkv|RWKV|RetNet|Retention|Hyena|DeltaNet|LinearAttention|Lightning",
        "state-space or linear attention: there are no softmax weights",
    ),
    (
        r"Longformer|LEDEncoder|Reformer|LSH|Mra|Yoso|Nystrom|Sparse\w*Attention|Local\w*Attention",
        "sparse layout (bands, hashing): no row of weights exists as a whole",
    ),
    (r"Fourier", "tokens are mixed by a Fourier transform: there are no weights"),
    (r"[Aa]dditiveAttention", "additive attention: nothing is weighed pair by pair"),
    (r"Attention|Attn", "attention in a kernel that cannot be seen, or without a softmax"),
)


def _reasons(kinds: Iterable[str]) -> list[str]:
    """Why modules of these types show no attention, as far as their names say."""
    found: dict[str, str] = {}
    for kind in kinds:
        reason = next((why for pattern, why in _REASONS if re.search(pattern, kind)), None)
        if reason is not None:
            found.setdefault(reason, kind)
    # The last says least: only where nothing says more.
    known = [f"{kind}: {reason}" for reason, kind in found.items() if reason != _REASONS[-1][1]]
    return known or [f"{kind}: {reason}" for reason, kind in found.items()]


def nothing_found(table: Table) -> str:
    """What to say of a forward without attention: why, what was looked for, and what ran."""
    if table.problems:
        return "No attention could be read: " + "; ".join(table.problems) + "."
    types = Counter(row.type for row in table.rows if row.calls)
    seen = ", ".join(f"{count} × {kind}" for kind, count in types.most_common(6))
    why = "; ".join(_reasons(types)) or "none of its modules is an attention by its name"
    return (
        f"No attention was found in this forward ({why}). Looked for calls of {LOOKED_FOR}; what "
        f"ran: {seen}."
    )
