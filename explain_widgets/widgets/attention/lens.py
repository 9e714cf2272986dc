"""Through what attention is looked at: what is measured, by which units, without which heads."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.derived import grouped, value_weighted, without_keys
from explain_widgets.analysis.score_steps import Span
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.attention.ablation import HeadAblation
from explain_widgets.live.lookup import GENERATED
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import Token
from explain_widgets.live.samples.groups import Units, is_punctuation, unit_edges, united
from explain_widgets.widgets.attention.words import token_names

Measure: TypeAlias = Literal["weights", "value-weighted"]
MEASURES, UNITS = get_args(Measure), get_args(Units)

_MOST_KEPT = 8


@dataclass(frozen=True)
class Lens:
    """What the reader has asked for beside the plain weights.

    Attributes
    ----------
    measure
        ``"weights"``, or ``"value-weighted"``: times the lengths of the values.
    units
        ``"tokens"``, ``"words"`` or ``"sentences"``.
    hide_sinks
        Leave out the first token, separators and punctuation.
    ablated
        Heads that are taken out of the forward.
    """

    measure: Measure = "weights"
    units: Units = "tokens"
    hide_sinks: bool = False
    ablated: tuple[HeadAblation, ...] = ()

    @classmethod
    def of(cls, given: dict[str, Any] | None) -> Lens:
        """As it comes from the browser; ValueError for what there is not."""
        given = given or {}
        lens = cls(
            given.get("measure", "weights"),
            given.get("units", "tokens"),
            bool(given.get("hide_sinks")),
            tuple(HeadAblation(*one) for one in given.get("ablated", ())),
        )
        if lens.measure not in MEASURES or lens.units not in UNITS:
            raise ValueError(f"There is no {lens.measure!r} by {lens.units!r}.")
        return lens

    @property
    def note(self) -> str:
        """In words, how what is shown differs from the plain weights."""
        count = len(self.ablated)
        parts = [
            "sinks hidden, the rest rescaled" if self.hide_sinks else "",
            "" if self.measure == "weights" else "weights × length of values (α‖v‖)",
            ""
            if self.units == "tokens"
            else f"{self.units}: sum over keys, mean over queries of their tokens",
            "" if count == 0 else f"{count} head{'s' * (count > 1)} ablated",
        ]
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class Axis:
    """The positions of one side as they are shown.

    Attributes
    ----------
    name
        The list of tokens that labels them; None: there is none.
    tokens
        That list, put together into units.
    edges
        Borders of the units among the tokens.
    shown
        The units that are no padding.
    """

    name: str | None
    tokens: list[Token] | None
    edges: list[int]
    shown: Span


class Lenses:
    """Looks at the attention of a live model through lenses, and keeps what was made last."""

    def __init__(self, live: LiveModel) -> None:
        self._live = live
        self._made: list[tuple[Attention, Lens, tuple[int, ...], Attention]] = []

    def attention(self, layer: int, sample: int, lens: Lens) -> Attention:
        """One attention call through a lens."""
        base = self._live.attention(layer, sample, lens.ablated)
        if replace(lens, ablated=()) == Lens():
            return base
        described = self._live.attention_layers(sample)[layer]
        sides = self.axes(described, sample, lens)
        edges = tuple(edge for side in sides for edge in side.edges)
        for known, through, with_edges, made in self._made:
            if known is base and through == lens and with_edges == edges:
                return made
        made = self._through(base, lens, sides, sample)
        self._made = [(base, lens, edges, made), *self._made[: _MOST_KEPT - 1]]
        return made

    def axes(
        self,
        layer: AttentionLayer,
        sample: int,
        lens: Lens,
        padding: bool = False,
    ) -> tuple[Axis, Axis]:
        """Queries and keys of a layer as they are shown; ``padding``: also padded ones."""
        lists = self._live.token_lists(sample)
        query, key = token_names(layer, lists)
        return (
            self._axis(query, lists, layer.queries, sample, lens, padding),
            self._axis(key, lists, layer.keys, sample, lens, padding),
        )

    def _axis(
        self,
        name: str | None,
        lists: dict[str, list[Token]],
        count: int,
        sample: int,
        lens: Lens,
        padding: bool,
    ) -> Axis:
        tokens = None if name is None else lists[name]
        valid: Span = (0, count)
        if name not in (None, GENERATED) and not padding:
            found = self._live.samples[sample].valid_of(str(name))
            valid = found if found[1] <= count else valid
        if tokens is None or lens.units == "tokens":
            return Axis(name, tokens, list(range(count + 1)), valid)
        edges = unit_edges(tokens, lens.units)
        shown = bisect.bisect_right(edges, valid[0]) - 1, bisect.bisect_left(edges, valid[1])
        return Axis(name, united(tokens, edges), edges, shown)

    def _through(
        self, attention: Attention, lens: Lens, sides: Sequence[Axis], sample: int
    ) -> Attention:
        if lens.hide_sinks:
            attention = without_keys(attention, self._sinks(attention, sides[1], sample))
        if lens.measure == "value-weighted":
            attention = value_weighted(attention)
        if lens.units != "tokens" and any(side.tokens is not None for side in sides):
            attention = grouped(attention, sides[0].edges, sides[1].edges)
        return attention

    def _sinks(self, attention: Attention, keys: Axis, sample: int) -> Tensor:
        """(keys,) bool: the first token, separators and punctuation."""
        hidden = torch.zeros(attention.keys, dtype=torch.bool)
        hidden[keys.edges[keys.shown[0]]] = True
        if keys.name is not None:
            tokens = self._live.token_lists(sample)[keys.name]
            sinks = [token.special or is_punctuation(token) for token in tokens]
            hidden |= torch.tensor(sinks)
        return hidden
