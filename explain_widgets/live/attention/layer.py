"""What is known of an attention call without its tensors."""

from __future__ import annotations

from dataclasses import dataclass

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.patches import ImageGrid

BATCHED = "batch entries follow each other as heads"
"""In the note of a call of more than one batch entry."""


@dataclass(frozen=True)
class AttentionLayer:
    """One attention call of a forward.

    Attributes
    ----------
    name
        Path of the module that made the call; ``:1`` and so on for its further calls.
    heads, queries, keys
        Their numbers.
    kind
        ``"self"``, ``"cross"``, or ``"mixture"``: positions pooled by a query that is a parameter.
    source
        What it was read from (``"sdpa"``, ``"nn.MultiheadAttention"``).
    check
        The self-check, see `Attention`.
    note
        What should be said with the picture, or "".
    prompt
        Queries of the prompt, where the steps of a generation were put together; else None.
    query_grid, key_grid
        Which of them are patches of the image, and how they lie; None: none.
    """

    name: str
    heads: int
    queries: int
    keys: int
    kind: str
    source: str
    check: float | None
    note: str
    prompt: int | None = None
    query_grid: ImageGrid | None = None
    key_grid: ImageGrid | None = None

    @property
    def is_batched(self) -> bool:
        """Whether its heads are those of several batch entries: windows, frames."""
        return BATCHED in self.note

    @property
    def is_derived(self) -> bool:
        """Whether it is no call but made of several: a rollout or flow over the layers."""
        return self.source in ("rollout", "flow")


def layer_of(attention: Attention) -> AttentionLayer:
    """The description of ``attention``."""
    return AttentionLayer(
        attention.name,
        attention.heads,
        attention.queries,
        attention.keys,
        attention.kind,
        attention.source,
        attention.check,
        attention.note,
        attention.prompt,
    )
