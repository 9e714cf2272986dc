"""The rules by which the axes of an activation are told: what each of them is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias, cast

from explain_widgets.analysis.patches import ImageGrid

Shape: TypeAlias = tuple[int, ...]
Place: TypeAlias = Literal["batch", "channel", "slice", "height", "width"]
Kind: TypeAlias = Literal[
    "channels_first", "features_last", "recurrent", "states", "attention", "other"
]

ROLES: dict[str, Place] = {
    "batch": "batch",
    "channel": "channel",
    "feature": "channel",
    "unit": "channel",
    "head": "channel",
    "map": "channel",
    "direction": "channel",
    "entry": "slice",
    "depth": "slice",
    "height": "height",
    "query": "height",
    "layer": "height",
    "width": "width",
    "token": "width",
    "step": "width",
    "position": "width",
    "key": "width",
}
"""What an axis can be, and where it goes in a picture. ``"entry"``: one of a batch of several."""

_SPATIAL: dict[int, tuple[str, ...]] = {
    0: (),
    1: ("position",),
    2: ("height", "width"),
    3: ("depth", "height", "width"),
}


class Axis(NamedTuple):
    """A part of a tensor's shape: a whole axis, or a factor of one.

    Attributes
    ----------
    role
        What it is, a key of `ROLES`.
    size
        How many there are.
    of
        The axis of the tensor that it is, or is a factor of.
    place
        Where it goes in a picture.
    """

    role: str
    size: int
    of: int
    place: Place


class Axes(NamedTuple):
    """All axes of a tensor in order, and how such a layout is called."""

    name: str
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class Known:
    """What is known of a tensor beside its shape.

    Attributes
    ----------
    kind
        What made it: ``"channels_first"`` (convolutions, pooling, most normalisation),
        ``"features_last"`` (linear layers, embeddings, layer norm), ``"recurrent"`` (the output
        over time), ``"states"`` (the last hidden states), ``"attention"`` (its weights).
    spatial
        How many axes a map has, of what has channels first.
    channels
        Size of the axis of channels, where the module tells.
    batched
        Whether the first axis is the batch whatever its size.
    batch_first
        Of sequences; None: not known.
    directions, layers
        Of recurrent layers.
    grid
        The image that its tokens are patches of.
    like
        The axes of the same tensor, or of one of its shape, in a layer before or after it.
    features, tokens, maps
        Numbers of channels, lengths of sequences and sizes of maps elsewhere in the forward.
    """

    kind: Kind = "other"
    spatial: int | None = None
    channels: int | None = None
    batched: bool = False
    batch_first: bool | None = None
    directions: int = 1
    layers: int = 1
    grid: ImageGrid | None = None
    like: Axes | None = None
    features: frozenset[int] = frozenset()
    tokens: frozenset[int] = frozenset()
    maps: frozenset[tuple[int, int]] = frozenset()


def axes_of(shape: Shape, known: Known) -> Axes:
    """What the axes of a tensor are: by what made it, by its neighbours, else by its shape."""
    found = axes_by_kind(shape, known)
    if found is None and known.like is not None and _shape(known.like) == shape:
        found = known.like
    return found or _by_shape(shape, known)


def axes_by_kind(shape: Shape, known: Known) -> Axes | None:
    """What the axes are by what made the tensor alone; None: that says nothing, or does not fit."""
    rule = _BY_KIND.get(known.kind)
    return None if rule is None else rule(shape, known)


def axes_by_name(shape: Shape, known: Known, name: str) -> Axes | None:
    """The axes in a layout of `NAMED`, whatever else is known; None: it does not fit."""
    fits = known.spatial is not None and len(shape) - known.spatial in (1, 2)
    return NAMED[name](
        shape, replace(known, channels=None, spatial=known.spatial if fits else None)
    )


def axes_by_role(shape: Shape, roles: tuple[str, ...]) -> Axes:
    """The axes as they are said to be, one role each.

    Raises
    ------
    ValueError
        When the roles do not fit; the text says why.
    """
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise ValueError(f"there is no role {unknown[0]!r}, only {', '.join(ROLES)}")
    if len(roles) != len(shape):
        raise ValueError(f"{len(roles)} roles are not one for each of {len(shape)} axes")
    for role, size in zip(roles, shape, strict=True):
        if role == "batch" and size > 1:
            raise ValueError(f'an axis of {size} is not the batch of one sample but an "entry"')
    return _axes("axes", shape, *roles)


# Each rule takes a shape and what is known of it, and gives None where it does not fit.


def _channels_first(shape: Shape, known: Known) -> Axes | None:
    spatial = known.spatial
    if spatial is None:  # of several samples in one batch only the module knows
        spatial = len(shape) - 1 - (known.batched or shape[0] == 1 or len(shape) > 4)
    batched = len(shape) == spatial + 2
    if known.batched and len(shape) == 2:  # batch norm after a linear layer
        batched, spatial = True, 0
    if spatial not in _SPATIAL or len(shape) != spatial + 1 + batched:
        return None
    if known.channels not in (None, shape[int(batched)]):
        return None
    batch = (_batch(shape[0]),) if batched else ()
    if spatial == 0:
        return _axes("units", shape, *batch, "unit")
    return _axes("channels_first", shape, *batch, "channel", *_SPATIAL[spatial])


def _channels_last(shape: Shape, _: Known) -> Axes | None:
    spatial = len(shape) - 1 - (shape[0] == 1)
    if spatial not in (1, 2, 3):
        return None
    batch = ("batch",) if shape[0] == 1 else ()
    return _axes("channels_last", shape, *batch, *_SPATIAL[spatial], "channel")


def _features_last(shape: Shape, known: Known) -> Axes | None:
    if known.channels not in (None, shape[-1]):
        return None
    if len(shape) <= 2:
        return _units(shape, known) or _tokens(shape, known)
    if len(shape) == 3:
        return _tokens(shape, known)
    return _channels_last(shape, known)


def _tokens(shape: Shape, known: Known) -> Axes | None:
    if len(shape) == 3 and 1 not in shape[:2]:  # windows, or experts, each with positions
        return _axes("tokens", shape, "position@height", "position", "feature")
    return _sequence("tokens", "token", shape, known)


def _steps(shape: Shape, known: Known) -> Axes | None:
    return _sequence("steps", "step", shape, known)


def _sequence(name: str, role: str, shape: Shape, known: Known) -> Axes | None:
    """(batch, positions, features), or the batch second, or without batch."""
    if len(shape) == 2:
        before: tuple[str, ...] = (role,)
    elif len(shape) != 3:
        return None
    elif known.batch_first is None:
        before = ("batch", role) if shape[0] == 1 else (role, "batch")
        if 1 not in shape[:2]:
            return None
    else:
        before = (_batch(shape[0]), role) if known.batch_first else (role, _batch(shape[1]))
    if known.directions == 1 or shape[-1] % known.directions:
        return _axes(name, shape, *before, "unit" if role == "step" else "feature")
    units = shape[-1] // known.directions
    return _axes(name, shape, *before, [("direction", known.directions), ("unit", units)])


def _units(shape: Shape, _: Known) -> Axes | None:
    if math.prod(shape) != shape[-1]:
        return None
    return _axes("units", shape, *("batch" for _ in shape[1:]), "unit")


def _states(shape: Shape, known: Known) -> Axes | None:
    """(layers × directions, batch, units), or without batch."""
    if len(shape) not in (2, 3) or shape[0] != known.layers * known.directions:
        return None
    first: _Split = [("layer", known.layers), ("direction@width", known.directions)]
    batch = (_batch(shape[1]),) if len(shape) == 3 else ()
    return _axes("states", shape, first, *batch, "unit")


def _heads(shape: Shape, known: Known) -> Axes | None:
    """(batch, heads, queries, keys), (heads, queries, keys) or (queries, keys)."""
    if len(shape) < 2 or len(shape) > 4 or (len(shape) == 4 and shape[0] != 1):
        return None
    averaged = len(shape) == 3 and shape[0] == 1 and known.kind == "attention"
    before = ("batch",) if averaged else ("batch", "head")[4 - len(shape) :]
    return _axes("heads", shape, *before, "query", "key")


def _maps(shape: Shape, _: Known) -> Axes | None:
    """The last two axes are maps, of whatever is before."""
    if len(shape) < 2:
        return None
    before = ["batch" if size == 1 else "map" for size in shape[:-2]]
    return _axes("maps", shape, *before, "height", "width")


Rule: TypeAlias = Callable[[Shape, Known], "Axes | None"]

NAMED: dict[str, Rule] = {
    "channels_first": _channels_first,
    "channels_last": _channels_last,
    "tokens": _tokens,
    "steps": _steps,
    "units": _units,
    "states": _states,
    "heads": _heads,
    "maps": _maps,
}
_BY_KIND: dict[str, Rule] = {
    "channels_first": _channels_first,
    "features_last": _features_last,
    "recurrent": _steps,
    "states": _states,
    "attention": _heads,
}


def _by_shape(shape: Shape, known: Known) -> Axes:
    """The first rule that fits of those that its size, and the sizes of what is around, suggest."""
    around = Known(features=known.features, tokens=known.tokens, maps=known.maps)
    found = (rule(shape, around) for rule in (*_likely(shape, around), _maps, _units))
    return next(axes for axes in found if axes is not None)


def _likely(shape: Shape, around: Known) -> list[Rule]:
    if math.prod(shape) == shape[-1]:
        return [_units]
    if len(shape) == 2:
        is_map = shape[0] in around.features and shape[1] not in around.features
        return [_channels_first if is_map else _tokens]
    if shape[0] != 1:
        return [_tokens] if len(shape) == 3 and shape[1] == 1 else [_maps]
    first, last = shape[1] in around.features, shape[-1] in around.features
    pairs = shape[-1] in around.tokens and shape[-2] in around.tokens
    if len(shape) == 3:
        return [_channels_first if first and not last else _heads if pairs > last else _tokens]
    if len(shape) == 4:
        votes: dict[Rule, float] = {
            _channels_first: first + (shape[2:] in around.maps),
            _channels_last: last + (shape[1:3] in around.maps),
            _heads: 2 * pairs,
            # Heads and tokens and what is in a head: nothing says what the channels are.
            _maps: (shape[1] in around.tokens or shape[2] in around.tokens) / 2,
        }
        return sorted(votes, key=lambda rule: -votes[rule])  # the first of equals stays first
    return [_channels_last if last and not first else _channels_first]


_Split: TypeAlias = "list[tuple[str, int]]"


def _axes(name: str, shape: Shape, *roles: str | _Split) -> Axes:
    """Axes from a role each (``"role"`` or ``"role@place"``), or from several of a split one."""
    axes: list[Axis] = []
    for axis, (role, size) in enumerate(zip(roles, shape, strict=True)):
        for part, length in [(role, size)] if isinstance(role, str) else role:
            word, _, place = part.partition("@")
            axes.append(Axis(word, length, axis, cast("Place", place) if place else ROLES[word]))
    return Axes(name, tuple(axes))


def _batch(size: int) -> str:
    return "batch" if size == 1 else "entry"


def _shape(axes: Axes) -> Shape:
    """The shape of the tensor whose axes these are."""
    sizes: dict[int, int] = {}
    for axis in axes.axes:
        sizes[axis.of] = sizes.get(axis.of, 1) * axis.size
    return tuple(sizes.values())
