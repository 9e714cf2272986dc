"""Methods as they are picked for a comparison: by name, with options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.live.attribution.catalogue import METHODS
from explain_widgets.live.targets import Target

if TYPE_CHECKING:
    from explain_widgets.live.model import LiveModel

Methods: TypeAlias = str | Iterable[str] | Mapping[str, Mapping[str, Any]]
"""Names of methods; or any names, each with its options: ``method``, ``layer`` and its own."""


@dataclass(frozen=True)
class Pick:
    """A method that was picked, with its options.

    Attributes
    ----------
    name
        As it goes by in the comparison.
    method, layer, options
        As in `LiveModel.attribute`.
    """

    name: str
    method: str
    layer: int | str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def attribute(self, live: LiveModel, sample: int, target: Target) -> Attribution:
        """Its attribution of a sample."""
        return live.attribute(self.method, sample, target, self.layer, **self.options)


def picked(methods: Methods) -> list[Pick]:
    """The methods of a comparison.

    Raises
    ------
    ValueError
        When there is none, or a name comes twice.

    Examples
    --------
    >>> [one.layer for one in picked({"last": {"method": "grad_cam", "layer": "conv2"}})]
    ['conv2']
    """
    if isinstance(methods, Mapping):
        found = [_with_options(name, dict(options)) for name, options in methods.items()]
    else:
        names = [methods] if isinstance(methods, str) else list(methods)
        found = [Pick(name, name) for name in names]
    if not found or len({one.name for one in found}) < len(found):
        raise ValueError(
            "methods must be one or more different names; one method with two settings goes as "
            '{"coarse": {"method": "occlusion", …}, "fine": {"method": "occlusion", …}}.'
        )
    return found


def _with_options(name: str, options: dict[str, Any]) -> Pick:
    method, layer = options.pop("method", name), options.pop("layer", None)
    return Pick(name, method, layer, options)


def seeded(method: str, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method with its seed, where it takes one.

    Examples
    --------
    >>> seeded("smooth_grad", 3, {}), seeded("gradient", 3, {})
    ({'seed': 3}, {})
    """
    takes = method in METHODS and any(one.name == "seed" for one in METHODS[method].options)
    return {"seed": seed, **options} if takes else dict(options)
