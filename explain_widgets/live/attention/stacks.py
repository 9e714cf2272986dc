"""Which attention calls of a forward are layers of one stack, and what is made of a stack.

The layers of a stack are self-attention, one after another over the same positions, inside the same
part of the model. Parts are told apart by name: up to the first number that stands by itself
("encoder.layers" of "encoder.layers.3.self_attn"), else up to the first digit ("block" of
"block2.attend"), else the module around. So encoder, decoder and the towers of images and text are
stacks by themselves, and so are stages that halve an image. A module that is called again begins a
new stack, unless it is the only one (layers that share their weights).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from explain_widgets.analysis import flow, rollout
from explain_widgets.analysis.layered import group_borders, pooled_note
from explain_widgets.analysis.score_steps import Span
from explain_widgets.live.attention.layer import AttentionLayer

Made: TypeAlias = Literal["rollout", "flow"]

_CROSSED = "what cross-attention brings in between is left out"
# Text before the patches of an image is not kept apart token by token.
_MOST_ALONE = 16


@dataclass(frozen=True)
class Stack:
    """Layers of self-attention that go on from each other.

    Attributes
    ----------
    part
        Path of the module that all of them are inside.
    layers
        At least two, from the input up.
    is_crossed
        Whether cross-attention lies between them.
    """

    part: str
    layers: tuple[AttentionLayer, ...]
    is_crossed: bool

    def noted(self, note: str) -> str:
        """What is said of something made of it: ``note``, and what is said of its layers."""
        said = [note, *(layer.note for layer in self.layers), _CROSSED if self.is_crossed else ""]
        return "; ".join(part for part in dict.fromkeys(said) if part)


@dataclass(frozen=True)
class MadeLayer:
    """What is made of a stack.

    Attributes
    ----------
    layer
        As it is listed: like an attention call, its heads are the layers of the stack.
    made
        What it is.
    stack
        What it is made of.
    borders
        Of the groups of positions that are treated as one; None: each by itself.
    """

    layer: AttentionLayer
    made: Made
    stack: Stack
    borders: list[int] | None


def stacks_of(layers: Iterable[AttentionLayer], problems: Iterable[str] = ()) -> list[Stack]:
    """The stacks among the attention calls of a forward, in call order.

    Parts in which a call could not be read (``problems`` begin with its name), or in which batch
    entries follow each other as heads (windows, frames), have none: layers would be left out.
    """
    parts: dict[str, list[AttentionLayer]] = {}
    crossed = set()
    broken = {_part(problem.partition(": ")[0]) for problem in problems}
    for layer in layers:
        part = _part(layer.name)
        if layer.is_batched:
            broken.add(part)
        if layer.kind == "cross":
            crossed.add(part)
        elif layer.kind == "self":
            parts.setdefault(part, []).append(layer)
    return [
        Stack(_common_path(run), run, part in crossed)
        for part, inside in parts.items()
        if part not in broken
        for run in _runs(inside)
        if len(run) > 1
    ]


def made_layers(
    stacks: Sequence[Stack], taken: Collection[str], valid: Callable[[int], Span]
) -> dict[str, MadeLayer]:
    """What is made of stacks, by its name: ``"rollout"`` and ``"flow"``.

    Of several stacks, or where a module has that name (``taken``), with the part of the model
    before it: ``"encoder.layers · rollout"``, and ``":1"`` behind it for a second stack there.

    Parameters
    ----------
    valid
        Of so many positions, those that are no padding.
    """
    found: dict[str, MadeLayer] = {}
    for made in ("rollout", "flow"):
        for stack in stacks:
            name: str = made
            if len(stacks) > 1 or made in taken:
                name = f"{stack.part or '(model)'} · {made}"
            same = sum(_path(other) == name for other in found)
            name = f"{name}:{same}" if same else name
            found[name] = _made(name, made, stack, valid)
    return found


def _made(name: str, made: Made, stack: Stack, valid: Callable[[int], Span]) -> MadeLayer:
    first = stack.layers[0]
    count, depth = first.queries, len(stack.layers)
    most = rollout.MOST_POSITIONS if made == "rollout" else flow.most_positions(depth)
    before = 1 if first.query_grid is None else first.query_grid.start
    alone = before if before <= _MOST_ALONE else 1
    borders = group_borders(count, most, alone, valid(count)) if count > most else None
    note = pooled_note(rollout.NOTE if made == "rollout" else flow.NOTE, count, borders)
    layer = AttentionLayer(
        name,
        heads=depth,
        queries=count,
        keys=count,
        kind="self",
        source=made,
        check=None,
        note=stack.noted(note),
        prompt=first.prompt,
        query_grid=first.query_grid,
        key_grid=first.key_grid,
    )
    return MadeLayer(layer, made, stack, borders)


def _path(name: str) -> str:
    """The name of a call without its number."""
    return name.partition(":")[0]


def _part(name: str) -> str:
    path = _path(name)
    number = re.search(r"(^|\.)\d+(\.|$)", path) or re.search(r"\d", path)
    return path.rpartition(".")[0] if number is None else path[: number.start()]


def _runs(layers: Iterable[AttentionLayer]) -> Iterator[tuple[AttentionLayer, ...]]:
    """Layers that go on from each other, among those of one part."""
    run: list[AttentionLayer] = []
    for layer in layers:
        paths = {_path(one.name) for one in run}
        is_again = len(paths) > 1 and _path(layer.name) in paths
        if run and (is_again or layer.queries != run[-1].queries):
            yield tuple(run)
            run = []
        run.append(layer)
    yield tuple(run)


def _common_path(layers: Iterable[AttentionLayer]) -> str:
    paths = [_path(layer.name).split(".") for layer in layers]
    same = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in same)
