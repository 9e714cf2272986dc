"""Through what attention is looked at: what is measured, by which units, without which heads."""

from __future__ import annotations

import bisect
import itertools
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
from explain_widgets.live.lookup import pick
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import Token
from explain_widgets.live.samples.groups import Units, unit_edges, united
from explain_widgets.live.sides import same_tokens, sink_mask, token_names, valid_span
from explain_widgets.live.targets import Target
from explain_widgets.widgets.attention.words import texts
from explain_widgets.widgets.targets import CUSTOM

Measure: TypeAlias = Literal["weights", "value-weighted", "gradient"]
MEASURES, UNITS = get_args(Measure), get_args(Units)

_MEASURED = {
    "weights": "",
    "value-weighted": "weights × length of values (α‖v‖)",
    "gradient": "",  # its attention says it of itself
}
Counted: TypeAlias = tuple[Sequence[int] | Tensor | None, Tensor]
"""Ids of what the positions hold, or None; and which keys are sinks, (keys,) bool."""

_UNIT_NAMES = {
    "weights": "weight",
    "value-weighted": "α‖v‖",
    "gradient": "gradient × attention",
}
_MOST_KEPT = 8


@dataclass(frozen=True)
class Lens:
    """What the reader has asked for beside the plain weights.

    Attributes
    ----------
    measure
        ``"weights"``, ``"value-weighted"``: times the lengths of the values, or ``"gradient"``:
        times the gradient of the target, where positive.
    units
        ``"tokens"``, ``"words"`` or ``"sentences"``.
    hide_sinks
        Leave out the first token, separators and punctuation.
    ablated
        Heads that are taken out of the forward.
    target
        Of the gradient: a class, None: the predicted one, or `CUSTOM`: the callable of
        `Lenses.target`.
    """

    measure: Measure = "weights"
    units: Units = "tokens"
    hide_sinks: bool = False
    ablated: tuple[HeadAblation, ...] = ()
    target: int | str | None = None

    @classmethod
    def of(cls, given: dict[str, Any] | None) -> Lens:
        """As it comes from the browser; ValueError for what there is not."""
        given = given or {}
        lens = cls(
            given.get("measure", "weights"),
            given.get("units", "tokens"),
            bool(given.get("hide_sinks")),
            tuple(HeadAblation(*one) for one in given.get("ablated", ())),
            given.get("target") if given.get("measure") == "gradient" else None,
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
            _MEASURED[self.measure],
            self._target_note,
            ""
            if self.units == "tokens"
            else f"{self.units}: sum over keys, mean over queries of their tokens",
            "" if count == 0 else f"{count} head{'s' * (count > 1)} ablated",
        ]
        return " · ".join(part for part in parts if part)

    def unit(self, source: str) -> str:
        """What the numbers are called; ``source``: of the attention that is looked at."""
        return "flow" if source == "flow" else _UNIT_NAMES[self.measure]

    @property
    def _target_note(self) -> str:
        if self.measure != "gradient":
            return ""
        if self.target is None:
            return "target: the predicted class"
        return "target: as given" if self.target == CUSTOM else f"target: class {self.target}"


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

    def labels(self, pixels: int) -> list[str] | None:
        """The texts of what is shown, where each has one of so many pixels to itself."""
        if self.tokens is None or pixels != self.shown[1] - self.shown[0]:
            return None
        return texts(self.tokens[slice(*self.shown)])


class Lenses:
    """Looks at the attention of a live model through lenses, and keeps what was made last.

    Attributes
    ----------
    target
        A callable from the model's output to a scalar, where a lens has the target `CUSTOM`.
    """

    def __init__(self, live: LiveModel) -> None:
        self._live = live
        self.target: Target = None
        self._made: list[tuple[Attention, Lens, tuple[int, ...], Attention]] = []

    def layers(self, sample: int) -> list[AttentionLayer]:
        """What there is to look at: every attention call, then what is made of several."""
        return self._live.attention_layers(sample, derived=True)

    def attention(self, layer: int, sample: int, lens: Lens) -> Attention:
        """One of `layers` through a lens.

        Raises
        ------
        LayerError
            When there is no such layer.
        """
        offered = self.layers(sample)
        name = pick(layer, [one.name for one in offered], "attention layer")
        described = next(one for one in offered if one.name == name)
        base = self._base(described, sample, lens)
        if replace(lens, ablated=(), measure="weights", target=None) == Lens() and (
            lens.measure != "value-weighted"
        ):
            return base
        sides = self.axes(described, sample, lens)
        edges = tuple(edge for side in sides for edge in side.edges)
        for known, through, with_edges, made in self._made:
            if known is base and through == lens and with_edges == edges:
                return made
        made = self._through(base, lens, sides, sample)
        self._made = [(base, lens, edges, made), *self._made[: _MOST_KEPT - 1]]
        return made

    def read(self, layer: int, sample: int, lens: Lens) -> tuple[Attention, int]:
        """`attention`, and the revision of the model that it was read of.

        While a model is being trained it has changed again by then: of no earlier revision.
        """
        revision = self._live.revision
        attention = self.attention(layer, sample, lens)
        if self._live.revision != revision:  # the question has found that the model has changed
            revision = self._live.revision
            attention = self.attention(layer, sample, lens)
        return attention, revision

    def _base(self, layer: AttentionLayer, sample: int, lens: Lens) -> Attention:
        """What is measured, before anything is hidden or grouped."""
        if layer.is_derived and lens.measure == "value-weighted":
            raise ValueError("Values belong to single layers: there is no α‖v‖ of several.")
        if lens.measure != "gradient":
            return self._live.attention(layer.name, sample, lens.ablated)
        if layer.source == "flow":
            raise ValueError("Gradient × attention has no flow: look at its rollout, or a layer.")
        if lens.ablated:
            raise ValueError(
                "Gradient × attention is of the model as it is: put the ablated heads back."
            )
        target = self.target if lens.target == CUSTOM else None
        if isinstance(lens.target, int):
            target = lens.target
        return self._live.gradient_attention(layer.name, sample, target)

    def axes(
        self,
        layer: AttentionLayer,
        sample: int,
        lens: Lens,
        padding: bool = False,
    ) -> tuple[Axis, Axis]:
        """Queries and keys of a layer as they are shown; ``padding``: also padded ones."""
        lists = self._live.token_lists(sample)
        query, key = token_names(layer, self._live.token_ids(sample))
        return (
            self._axis(query, lists, layer.queries, sample, lens, padding),
            self._axis(key, lists, layer.keys, sample, lens, padding),
        )

    def counted(self, layer: AttentionLayer, sample: int, lens: Lens) -> Counted:
        """What statistics count beside weights.

        Ids only where queries and keys are the same tokens. A word or sentence is a sink where all
        its tokens are.
        """
        _, keys = self.axes(layer, sample, lens)
        ids = same_tokens(layer, self._live.token_ids(sample))
        sinks = self._sinks(keys, layer.keys, sample)
        if lens.units == "tokens" or keys.tokens is None:
            return ids, sinks
        whole = [bool(sinks[a:b].all()) for a, b in itertools.pairwise(keys.edges)]
        numbers: dict[str, int] = {}
        units = [numbers.setdefault(token.raw, len(numbers)) for token in keys.tokens]
        return None if ids is None else units, torch.tensor(whole)

    def _axis(
        self,
        name: str | None,
        lists: dict[str, list[Token]],
        count: int,
        sample: int,
        lens: Lens,
        padding: bool,
    ) -> Axis:
        tokens = None if name is None else lists.get(name)
        valid = (0, count) if padding else valid_span(name, count, self._live.samples[sample])
        if name is None or tokens is None or lens.units == "tokens":
            return Axis(None if tokens is None else name, tokens, list(range(count + 1)), valid)
        edges = unit_edges(tokens, lens.units)
        shown = bisect.bisect_right(edges, valid[0]) - 1, bisect.bisect_left(edges, valid[1])
        return Axis(name, united(tokens, edges), edges, shown)

    def _through(
        self, attention: Attention, lens: Lens, sides: Sequence[Axis], sample: int
    ) -> Attention:
        if lens.hide_sinks:
            attention = without_keys(attention, self._sinks(sides[1], attention.keys, sample))
        if lens.measure == "value-weighted":
            attention = value_weighted(attention)
        if lens.units != "tokens" and any(side.tokens is not None for side in sides):
            attention = grouped(attention, sides[0].edges, sides[1].edges)
        return attention

    def _sinks(self, keys: Axis, count: int, sample: int) -> Tensor:
        """(count,) bool: which tokens of the keys are sinks."""
        lists = self._live.token_lists(sample)
        tokens = None if keys.name is None else lists[keys.name]
        return sink_mask(tokens, count, keys.edges[keys.shown[0]])
