"""Layouts in words: "512 channels of 14 × 14"."""

from __future__ import annotations

from explain_widgets.analysis.layout_rules import Axis
from explain_widgets.analysis.patches import ImageGrid

_SIDES = ("depth", "height", "width")
_PLURALS = {"query": "queries", "entry": "batch entries"}
_SINGULARS = {"entry": "batch entry"}


def counted(count: int, role: str) -> str:
    """A number of things: "1 channel", "4,096 units"."""
    one, many = _SINGULARS.get(role, role), _PLURALS.get(role, role + "s")
    return f"{count:,} {one if count == 1 else many}"


def in_words(axes: tuple[Axis, ...], grid: ImageGrid | None) -> str:
    """What the axes are, with their sizes; ``grid``: the patches that the tokens are."""
    # Units are named before their directions, as one thinks of them.
    channels = sorted((a for a in axes if a.place == "channel"), key=lambda a: a.role != "unit")
    text = _several(channels) or "1 map"
    entries = [axis for axis in axes if axis.role == "entry"]
    inner = [a for a in axes if a.place not in ("batch", "channel") and a.role != "entry"]
    text += _positions(inner, grid)
    if entries:
        text += " in " + " × ".join(counted(axis.size, "entry") for axis in entries)
        text += " (shown one by one)"
    return text


def _positions(axes: list[Axis], grid: ImageGrid | None) -> str:
    roles = [axis.role for axis in axes]
    sizes = " × ".join(f"{axis.size:,}" for axis in axes)
    if not axes:
        return ""
    if grid is not None:
        return f" of {counted(axes[0].size, axes[0].role)} ({_patches(axes[0].size, grid)})"
    if set(roles) <= set(_SIDES):
        if len(axes) == 1:
            return f" of {counted(axes[0].size, 'position')}"
        order = f" ({' × '.join(roles)}, shown slice by slice)" if "depth" in roles else ""
        return f" of {sizes}{order}"
    if roles == ["query", "key"]:
        return f" of {sizes} (queries × keys)"
    if set(roles) <= {"layer", "direction"}:
        several = [counted(axis.size, axis.role) for axis in axes if axis.size > 1]
        return " in " + " × ".join(several) if several else ""
    if roles == ["step"]:
        return f" over {counted(axes[0].size, 'step')}"
    return f" of {_several(axes)}"


def _several(axes: list[Axis]) -> str:
    """As "64 units × 2 directions", or "5 × 2 maps" where all are of one kind."""
    roles = {axis.role for axis in axes}
    if len(axes) < 2 or len(roles) > 1:
        return " × ".join(counted(axis.size, axis.role) for axis in axes)
    *before, last = axes
    return "".join(f"{axis.size:,} × " for axis in before) + counted(last.size, last.role)


def _patches(tokens: int, grid: ImageGrid) -> str:
    before = {0: "", 1: "class token, then "}.get(grid.start, f"{grid.start:,} tokens, then ")
    after = tokens - grid.stop
    rest = f", then {counted(after, 'token')}" if after else ""
    return f"{before}{grid.height} × {grid.width} patches{rest}"
