"""What attributions are asked for, by the browser or by the traits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from explain_widgets.analysis.attribution import Channels, Sign
from explain_widgets.live.attribution.catalogue import METHODS
from explain_widgets.live.attribution.reader import pick_method
from explain_widgets.live.model import LiveModel
from explain_widgets.live.targets import Target
from explain_widgets.widgets.targets import CUSTOM

CHANNELS, SIGNS = get_args(Channels), get_args(Sign)

# Settings that the browser gives as the side of a square.
_WINDOWS = ("sliding_window_shapes", "strides")


@dataclass(frozen=True)
class Asked:
    """Of what, for what, by which method.

    Attributes
    ----------
    sample
        Index of the sample.
    method
        Its name.
    target
        A class, the name of a loss, a callable, or None: the predicted class.
    layer
        Name of the layer, for methods that attribute to one; else None.
    options
        Of the method.
    """

    sample: int
    method: str
    target: Target | str
    layer: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def call(self) -> dict[str, Any]:
        """As `LiveModel.attribute` takes it."""
        return {
            "method": self.method,
            "sample": self.sample,
            "target": self.target,
            "layer": self.layer,
            **self.options,
        }


@dataclass(frozen=True)
class Handling:
    """How the numbers of an attribution become one score for each position.

    Attributes
    ----------
    channels, sign
        As in `explain_widgets.analysis.attribution.over_channels` and ``with_sign``.
    clip
        Colours end at this percentile of the magnitudes; 100: at the largest.
    """

    channels: Channels = "sum"
    sign: Sign = "all"
    clip: float = 99.0


class Questions:
    """Reads what is asked for from selections.

    Parameters
    ----------
    live
        The model.

    Attributes
    ----------
    custom
        The callable that stands behind the target `CUSTOM`.
    """

    def __init__(self, live: LiveModel) -> None:
        self._live = live
        self.custom: Callable[[Any], Any] | None = None

    def asked(self, selection: Mapping[str, Any]) -> Asked:
        """What a selection asks for.

        Raises
        ------
        ValueError
            When there is no such method.
        IndexError
            When there is no such layer.
        """
        sample, method = int(selection["sample"]), str(selection["method"])
        if method not in METHODS:
            raise ValueError(pick_method(method))
        options = {
            name: self._window(value, sample) if name in _WINDOWS else value
            for name, value in selection.get("options", {}).items()
        }
        layer = self._layer(sample, int(selection["layer"])) if takes_layer(method) else None
        return Asked(sample, method, self.target(selection.get("target")), layer, options)

    def target(self, sent: Any) -> Target | str:
        """The target that stands behind what was sent."""
        return self.custom if sent == CUSTOM else sent

    def _layer(self, sample: int, index: int) -> str:
        layers = self._live.feature_layers(sample)
        if not 0 <= index < len(layers):
            raise IndexError(
                f"layer {index} is out of range: there are {len(layers)} (0 to {len(layers) - 1})."
            )
        return layers[index].name

    def _window(self, value: Any, sample: int) -> Any:
        """A square over all channels of an image, or a stretch of anything else."""
        if not isinstance(value, int):
            return value
        loaded = self._live.samples[sample]
        image = loaded.image
        if image is None:
            return (value,)
        tensors = [t for t in (*loaded.args, *loaded.kwargs.values()) if hasattr(t, "shape")]
        shape = next(t.shape[1:] for t in tensors if t.ndim >= 3)
        sides = {image.shape[0], image.shape[1]}
        return tuple(value if size in sides else size for size in shape)


def handling(selection: Mapping[str, Any]) -> Handling:
    """How a selection wants the numbers put together.

    Raises
    ------
    ValueError
        When the percentile is none.
    """
    clip = float(selection.get("clip", 99.0))
    if not 0 < clip <= 100:
        raise ValueError(f"clip={clip:g} must be a percentile, above 0 and up to 100.")
    return Handling(selection.get("channels", "sum"), selection.get("sign", "all"), clip)


def takes_layer(method: str) -> bool:
    """Whether the explorer asks a method for its layer; others it has attribute to the input."""
    return METHODS[method].layer == "required"
