"""Explorers of one layer at a time: the layer by index and by name."""

from __future__ import annotations

from typing import Any

import traitlets

from explain_widgets.live.feature_reader import FeatureLayer
from explain_widgets.live.model import LiveModel
from explain_widgets.pictures.colormaps import DIVERGING
from explain_widgets.widgets.answers import Answers
from explain_widgets.widgets.explorer import Explorer


class MapsAnswers(Answers):
    """Answers about the layers whose output has maps.

    Attributes
    ----------
    layers
        Those of the sample that was described last.
    """

    layers: list[FeatureLayer]


class LayerExplorer(Explorer):
    """An `Explorer` with a layer; a subclass says which there are (`layer_names`)."""

    live: LiveModel

    layer = traitlets.Int(0).tag(sync=True)
    """Index into `layers`."""

    layer_name = traitlets.Unicode("").tag(sync=True)
    """Name of the layer. Any module's name may be set: the first layer inside it is picked, else
    the one around it; a name that is not in the model is a TraitError."""

    @property
    def layer_names(self) -> list[str]:
        """The names of `layers`, in order."""
        raise NotImplementedError

    @traitlets.validate("layer")
    def _check_layer(self, proposal: Any) -> int:
        return in_range("layer", proposal["value"], len(self.layer_names))

    @traitlets.validate("layer_name")
    def _check_layer_name(self, proposal: Any) -> str:
        name = str(proposal["value"])
        known = {module for module, _ in self.live.model.named_modules()}
        if name not in known and name not in self.layer_names:
            raise traitlets.TraitError(f"layer_name: the model has no module {name!r}.")
        return name

    @traitlets.observe("layer")
    def _name_layer(self, change: Any) -> None:
        name = self.layer_names[self.layer]
        # What is no module means nothing to the explorers that follow the name.
        if resolved(self.layer_name, self.layer_names) != self.layer and self._is_module(name):
            self.layer_name = name

    def _is_module(self, name: str) -> bool:
        path = name.partition(":")[0]
        return any(module == path for module, _ in self.live.model.named_modules())

    @traitlets.observe("layer_name")
    def _follow_layer_name(self, change: Any) -> None:
        index = resolved(self.layer_name, self.layer_names)
        if index is not None:
            self.layer = index


class MapsExplorer(LayerExplorer):
    """A `LayerExplorer` of the layers whose output has maps, in diverging colours."""

    _answers: MapsAnswers

    @traitlets.default("colormap")
    def _diverging(self) -> str:
        return DIVERGING[0]

    @traitlets.default("colormaps")
    def _diverging_maps(self) -> list[str]:
        return list(DIVERGING)

    @property
    def layers(self) -> list[FeatureLayer]:
        """The layers of the current sample whose output has maps, in call order."""
        # As for attention: a message of the browser must not wait for a forward.
        if self.live.is_home:
            self._answers.layers = self.live.feature_layers(self.sample)
        return self._answers.layers

    @property
    def layer_names(self) -> list[str]:
        """The names of `layers`, in order."""
        return [layer.name for layer in self.layers]


def resolved(name: str, names: list[str]) -> int | None:
    """The layer that a module's name means: itself, the first inside it, the nearest around.

    Examples
    --------
    >>> resolved("encoder", ["encoder.0.attention", "encoder.1.attention"])
    0
    """
    if name in names:
        return names.index(name)
    inside = [i for i, other in enumerate(names) if other.startswith(f"{name}.") or not name]
    if inside:
        return inside[0]
    around = [i for i, other in enumerate(names) if name.startswith(f"{other}.")]
    return max(around, key=lambda i: len(names[i]), default=None)


def in_range(what: str, value: int, count: int) -> int:
    """``value``, or a TraitError that names the range."""
    if not 0 <= value < count:
        raise traitlets.TraitError(f"{what} must be 0 to {count - 1}, not {value}.")
    return int(value)
