"""What attributions are asked for, by the browser or by the traits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from torch import Tensor

from explain_widgets.analysis.attribution import Channels, Sign
from explain_widgets.live.attribution.catalogue import METHODS
from explain_widgets.live.attribution.reader import pick_method
from explain_widgets.live.errors import TargetError
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples.groups import Units
from explain_widgets.live.targets import Target, scores_in, target_value
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
    sent, position
        The target as it was sent, and the position of the output, where one was picked.
    """

    sample: int
    method: str
    target: Target | str
    layer: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    sent: int | str | None = None
    position: int | None = None

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
    units
        Of texts: one score a token, word or sentence, summed.
    """

    channels: Channels = "sum"
    sign: Sign = "all"
    clip: float = 99.0
    units: Units = "tokens"


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
        self._at: dict[tuple[int | None, int], Callable[[Any], Tensor]] = {}

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
        sent = selection.get("target")
        target = self.target(sent, selection.get("position"))
        at = None if isinstance(sent, str) else selection.get("position")
        return Asked(sample, method, target, layer, options, sent, at)

    def sides(self, selection: Mapping[str, Any]) -> dict[str, Asked]:
        """What is shown, by name, and the other side where there is one."""
        asked = self.asked(selection)
        sides = {asked.method: asked}
        other = selection.get("other")
        if other is not None:
            own = selection.get("options", {}) if other["method"] == asked.method else {}
            beside = self.asked({**selection, **other, "options": own})
            sides[beside.method if beside.method != asked.method else f"{asked.method} (B)"] = (
                beside
            )
        return sides

    def beside(self, selection: Mapping[str, Any], usual: Iterable[str] = ()) -> dict[str, Asked]:
        """The methods that were picked to be compared with what is shown, by name.

        Parameters
        ----------
        selection
            Its ``compared`` are names of methods.
        usual
            Where there are none.
        """
        shown = {one.method for one in self.sides(selection).values()}
        return {
            name: self.asked({**selection, "method": name, "options": {}})
            for name in selection.get("compared") or usual
            if name not in shown
        }

    def target(self, sent: Any, position: int | None = None) -> Target | str:
        """The target that stands behind what was sent.

        Parameters
        ----------
        sent
            A class, the name of a loss, `CUSTOM` or None.
        position
            Of outputs of one row of scores a position: which; None: the last.
        """
        if sent == CUSTOM:
            return self.custom
        if position is None or isinstance(sent, str):
            return sent
        # The same callable for the same place: what was computed for it is found again.
        return self._at.setdefault((sent, position), _at_position(sent, position))

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


def _at_position(index: int | None, position: int) -> Callable[[Any], Tensor]:
    def score(output: Any) -> Tensor:
        row = scores_in(output)
        if not isinstance(row, Tensor) or row.ndim != 3 or not position < row.shape[1]:
            raise TargetError(f"The output has no scores at position {position}.")
        return target_value(row[:, position], index)

    return score


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
    given = {name: selection[name] for name in ("channels", "sign", "units") if name in selection}
    return Handling(clip=clip, **given)


def takes_layer(method: str) -> bool:
    """Whether the explorer asks a method for its layer; others it has attribute to the input."""
    return METHODS[method].layer == "required"
