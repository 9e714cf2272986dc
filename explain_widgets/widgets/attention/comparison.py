"""Two heads, layers, samples or models beside each other, and their difference."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from explain_widgets.analysis.attention import Head
from explain_widgets.analysis.score_steps import Span
from explain_widgets.analysis.tiles import Tile
from explain_widgets.export.figures import comparison_figure
from explain_widgets.live.errors import ComparisonError
from explain_widgets.live.model import LiveModel
from explain_widgets.pictures.quantise import (
    NOT_FINITE,
    Picture,
    Scale,
    signed_picture,
    weights_picture,
)
from explain_widgets.widgets.attention.answers import AttentionAnswers, Look, work_at_once
from explain_widgets.widgets.attention.words import place_title, reduction, sampled
from explain_widgets.widgets.layers import in_range
from explain_widgets.widgets.protocol import Reply

Comparison: TypeAlias = Literal["side", "difference"]
COMPARISONS = get_args(Comparison)

Other: TypeAlias = list[Any]
"""[sample, layer, head, model] of the other side; None where it is that of what is shown."""

NO_OTHER = "there is no other model; make the explorer with other=…"
_MEMBERS = ("sample", "layer", "head", "model")


@dataclass(frozen=True)
class Place:
    """Where one side of a comparison is read; ``model`` 1 is the other live model."""

    sample: int
    layer: int
    head: Head
    model: int = 0

    @classmethod
    def of(cls, other: Other, shown: Place) -> Place:
        """What `Other` means while ``shown`` is looked at."""
        values = (getattr(shown, name) for name in _MEMBERS)
        picked = (old if new is None else new for old, new in zip(values, other, strict=True))
        return cls(*picked)


@dataclass(frozen=True)
class Pair(Look):
    """Two looks at as many queries and keys, A and B, as a `compare` request asks for them."""

    other: Look
    comparison: Comparison

    @property
    def work(self) -> int:
        """Scores of both."""
        return super().work + self.other.work

    def tile(self, every: int = 1) -> Tensor:
        """(2, height, width): A and B."""
        return _stacked(super().tile(every), self.other.tile(every))

    def tile_steps(self) -> Iterator[Tile]:
        """As far as both sides are done: each may take its rows in other steps."""
        sides = super().tile_steps(), self.other.tile_steps()
        latest = [next(side) for side in sides]
        while True:
            done = min(tile.done for tile in latest)
            yield Tile(_stacked(*(tile.picture for tile in latest)), done)
            if done == self.size[0]:
                return
            behind = next(i for i, tile in enumerate(latest) if tile.done == done)
            latest[behind] = next(sides[behind])

    def prepare_steps(self) -> Iterator[float]:
        """Those of A, then those of B."""
        yield from super().prepare_steps()
        yield from self.other.prepare_steps()

    def sum_steps(self) -> Iterator[float]:
        """Those of A, then those of B."""
        yield from super().sum_steps()
        yield from self.other.sum_steps()

    def lines(self, column: bool = True) -> dict[str, Tensor | None]:
        """``from`` and ``to`` of A, ``other_from`` and ``other_to`` of B."""
        theirs = self.other.lines(column)
        return super().lines(column) | {f"other_{name}": row for name, row in theirs.items()}

    def pictures(self, tile: Tensor) -> dict[str, Picture]:
        """``a`` and ``b`` in one range, or their ``difference``."""
        if self.comparison == "difference":
            return {"difference": difference_picture(_numbers(tile[0] - tile[1]), self.scale)}
        both = weights_picture(_numbers(tile), self.scale)
        note = both.note if self.scale == "row" else f"{both.note} for both"
        return {
            name: replace(
                both, levels=levels, nonfinite=int((levels == NOT_FINITE).sum()), note=note
            )
            for name, levels in zip("ab", both.levels, strict=True)
        }

    @property
    def content(self) -> dict[str, Any]:
        """As of A, and of which state of its model B is."""
        return {**super().content, "other_revision": self.other.revision}

    @property
    def said(self) -> list[str]:
        """Once where it is the same of both."""
        parts = [_told_apart(*both) for both in zip(super().said, self.other.said, strict=True)]
        is_combined = isinstance(self.head, str) or isinstance(self.other.head, str)
        is_reduced = self.size != (_length(self.rows), _length(self.keys))
        if self.comparison == "difference" and (is_combined or is_reduced):
            parts.append("difference of pooled weights")
        return parts

    def size_problem(self, names: tuple[str, str], what: str) -> str:
        """Why A and B, which have these names, cannot be compared; empty where they can."""
        sides = self, self.other
        totals = [(side.attention.queries, side.attention.keys) for side in sides]
        shown = [(_length(side.shown[0]), _length(side.shown[1])) for side in sides]
        if self.shown == self.other.shown and totals[0] == totals[1]:
            return ""
        sizes = shown if shown[0] != shown[1] else totals
        if sizes[0] == sizes[1]:
            return (
                f"The padding of {names[0]} and {names[1]} lies on different sides: show it to "
                "compare them position by position."
            )
        square = all(queries == keys for queries, keys in sizes)
        told = [f"{size[0]:,}" if square else f"{size[0]:,} × {size[1]:,}" for size in sizes]
        unit, measure = (self.lens.units, "length") if square else ("weights", "size")
        way_out = "; show padding to compare them" if totals[0] == totals[1] else ""
        return (
            f"{names[0]} has {told[0]} {unit}, {names[1]} has {told[1]}: "
            f"only {what} of the same {measure} can be compared{way_out}."
        )


class ComparisonAnswers(AttentionAnswers):
    """Answers that compare as well: within a live model, and with another one.

    Parameters
    ----------
    live
        The live model that is shown: A is always of it.
    other
        The live model that B may be of.
    """

    def __init__(self, live: LiveModel, other: LiveModel | None) -> None:
        super().__init__(live)
        # Answers of their own also within one model: what was described last stays A's.
        self.others = [AttentionAnswers(one) for one in (live, other) if one is not None]

    def pair(self, selection: dict[str, Any]) -> Pair:
        """What a `compare` request looks at, read now.

        Raises
        ------
        ComparisonError
            When the sides have not as many queries and keys.
        """
        if selection["comparison"] not in COMPARISONS:
            raise ValueError(f"There is no comparison {selection['comparison']!r}.")
        theirs = {**selection, **{name: selection["other"][name] for name in _MEMBERS[:3]}}
        look, other = self.look(selection), self._side(selection["other"]).look(theirs)
        pair = Pair(**vars(look), other=other, comparison=selection["comparison"])
        names, what = ("this model", "the other model"), "inputs"
        for name in ("layer", "sample"):
            if selection[name] != theirs[name]:
                names = f"{name} {selection[name]}", f"{name} {theirs[name]}"
                what = "inputs" if name == "sample" else "layers"
        problem = pair.size_problem(names, what)
        if problem:
            raise ComparisonError(problem)
        return pair

    def answer_compare(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """As `answer_head`, of two heads at once: both matrices in one range, or A − B."""
        yield from self._in_steps(self.pair(selection))

    def answer_other(self, selection: dict[str, Any]) -> Reply:
        """What there is to pick from on the other side: as `answer_sample`."""
        return self._side(selection).answer_sample(selection)

    def answer_other_row(self, selection: dict[str, Any]) -> Reply:
        """Where one query of the other side looks, exactly."""
        return self._side(selection).answer_row(selection)

    def answer_difference_colormap(self, selection: dict[str, Any]) -> Reply:
        """As `answer_colormap`: a kind of its own, so that neither replaces the other."""
        return self.answer_colormap(selection)

    def _side(self, selection: dict[str, Any]) -> AttentionAnswers:
        model = int(selection["model"])
        if not 0 <= model < len(self.others):
            raise IndexError(f"model {model}: {NO_OTHER}.")
        return self.others[model]


def difference_picture(difference: npt.NDArray[np.floating], scale: Scale) -> Picture:
    """A difference (rows, columns) for a diverging map; only ``"row"`` scales it otherwise."""
    if scale != "row":
        return signed_picture(difference)
    size = np.abs(difference)
    top = np.max(size, axis=-1, keepdims=True, initial=0.0, where=np.isfinite(size))
    picture = signed_picture(difference / np.where(top > 0, top, 1.0), 1.0)
    return replace(picture, note="uint8 of each row ÷ its largest difference")


def compared_figure(
    answers: ComparisonAnswers,
    selection: dict[str, Any],
    colormaps: tuple[str, str],
    quick: bool = False,
) -> Figure:
    """A, B and A − B of a `compare` selection; ``colormaps``: of weights and of differences.

    ``quick``: of long inputs from some of the queries only, as the title then says.
    """
    pair = answers.pair(selection)
    every = 1
    if quick and pair.work > work_at_once(pair.live.device):
        every = max(1, _length(pair.rows) // pair.size[0])
    said = [pair.lens.note, reduction(pair.rows, pair.keys, pair.size), sampled(every)]
    titles, labels = [], []
    for name, look, place in (("A", pair, selection), ("B", pair.other, selection["other"])):
        title = place_title(look.attention, look.head, look.live.samples[place["sample"]])
        model = "the other model · " if place.get("model") else ""
        titles.append(f"{name}: {model}{title}")
        queries, keys = look.axes
        labels.append((queries.labels(pair.size[0]), keys.labels(pair.size[1])))
    titles.append("A − B")
    titles = ["\n".join([title, *filter(None, said)]) for title in titles]
    units = dict.fromkeys(pair.lens.unit(side.attention.source) for side in (pair, pair.other))
    drawn, unit = _numbers(pair.tile(every)), ", ".join(units)
    return comparison_figure(drawn, labels, titles, pair.scale, colormaps, unit)


def checked_other(given: Any, counts: Sequence[int], heads: Sequence[Sequence[int]]) -> Other:
    """The other side as it is kept, from a list or dict.

    Parameters
    ----------
    given
        [sample, layer, head] or with the model as a fourth; or a dict of these. None or nothing:
        as that of what is shown.
    counts
        Samples of each model.
    heads
        Heads of each layer of each model.

    Raises
    ------
    TraitError
        When a value is out of range; the text names the range.
    """
    sample, layer, head, model = _members(given)
    model = model or 0
    if model and len(counts) == 1:
        raise traitlets.TraitError(f"compared: {NO_OTHER}.")
    in_range("the compared model", model, len(counts))
    if sample is not None:
        in_range("the compared sample", sample, counts[model])
    if layer is not None:
        in_range("the compared layer", layer, len(heads[model]))
    if head is not None and head not in ("mean", "max"):
        most = max(heads[model]) if layer is None else heads[model][layer]
        in_range("the compared head", head, most)
    return [sample, layer, head, model]


def _members(given: Any) -> list[Any]:
    if isinstance(given, dict) and set(given) <= set(_MEMBERS):
        values = [given.get(name) for name in _MEMBERS]
    elif isinstance(given, (list, tuple)) and len(given) in (3, 4):
        values = [*given, 0][:4]
    else:
        raise traitlets.TraitError(
            "compared must be None, [sample, layer, head], [sample, layer, head, model] or a dict "
            f"of these, not {given!r}."
        )
    for number, (name, value) in enumerate(zip(_MEMBERS, values, strict=True)):
        if value is None or (name == "head" and value in ("mean", "max")):
            continue
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise traitlets.TraitError(f"the compared {name} must be a number, not {value!r}.")
        values[number] = operator.index(value)
    return values


def _told_apart(mine: str, theirs: str) -> str:
    """What is said of A and of B, once as far as it is the same.

    >>> _told_apart("weights of head 3", "weights of head 5")
    'weights of head 3 (A), 5 (B)'
    """
    if mine == theirs:
        return mine
    words = mine.split(), theirs.split()
    pairs = zip(*words, strict=False)
    same = [word for word, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]
    rests = [" ".join(some[len(same) :]) for some in words]
    told = [f"{rest} ({side})" for rest, side in zip(rests, "AB", strict=True) if rest]
    return " ".join([*same, ", ".join(told)])


def _length(span: Span) -> int:
    return span[1] - span[0]


def _numbers(values: Tensor) -> npt.NDArray[np.float32]:
    numbers: npt.NDArray[np.float32] = values.float().cpu().numpy()
    return numbers


def _stacked(mine: Tensor, theirs: Tensor) -> Tensor:
    return torch.stack([mine, theirs.to(mine)])
