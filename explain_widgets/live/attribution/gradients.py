"""Attributions that are gradients of the sample itself, or of it under noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from explain_widgets.analysis.attribution import Attribution, grad_cam
from explain_widgets.live.altered import Place
from explain_widgets.live.attribution.asked import Asked
from explain_widgets.live.batches import Passed
from explain_widgets.live.errors import GradientError, LayerError
from explain_widgets.live.feature_reader import FeatureLayer
from explain_widgets.live.targets import kept_by


def gradient(asked: Asked) -> Iterator[Attribution]:
    """The gradient itself."""
    values, _ = _gradients(asked)
    yield asked.answer(values)


def saliency(asked: Asked, abs: bool = True) -> Iterator[Attribution]:  # noqa: A002 (as in Captum)
    """The gradient without its sign."""
    values, _ = _gradients(asked)
    yield asked.answer({place: v.abs() if abs else v for place, v in values.items()})


def input_x_gradient(asked: Asked) -> Iterator[Attribution]:
    """Gradient times what is there: the input, or the activation of a layer."""
    gradients, there = _gradients(asked)
    yield asked.answer({place: there[place] * slope for place, slope in gradients.items()})


def layer_grad_cam(
    asked: Asked, relu_attributions: bool = False, alone: bool = False
) -> Iterator[Attribution]:
    """Grad-CAM of a layer: one pass serves all of them; ``alone``: only this one is read."""
    assert asked.spot is not None
    gradients, there = _of_layer(asked, alone)
    layout = asked.features.layout(asked.spot[0], asked.batches.sample.index, asked.spot[1])
    if layout.height * layout.width == 1:
        raise LayerError(
            f"Grad-CAM needs a layer with maps, and {asked.spot[0]!r} gives {layout.words}: take "
            "an earlier one."
        )
    found = grad_cam(there[asked.spot], gradients[asked.spot], layout)
    note = layout.words
    if not found.any() and not gradients[asked.spot].any():
        note += " · the gradient is zero here"
    elif not found.any():
        note += (
            " · the target does not depend on these positions, only on tokens beside them: take "
            "an earlier layer"
        )
    values: dict[Place, Tensor] = {asked.spot: found.clamp_min(0) if relu_attributions else found}
    yield asked.answer(values, note)


def smooth_grad(
    asked: Asked,
    nt_samples: int = 20,
    stdevs: float = 0.15,
    nt_type: str = "smoothgrad",
    seed: int = 0,
) -> Iterator[Attribution]:
    """Gradients under noise: their mean, the mean of their squares, or their variance."""
    noise = Noise(stdevs, seed)
    sums: dict[Place, Tensor] = {}
    squares: dict[Place, Tensor] = {}
    done = 0
    while done < nt_samples:
        count = min(asked.batches.size(gradients=True), nt_samples - done)
        altered = {place: noise.added(value, count) for place, value in asked.values.items()}
        passed = asked.batches.gradients(altered, asked.places)
        for place, slopes in passed.gradients.items():
            # In float64: squares of a half run over and under, and a variance is a small
            # difference of large sums.
            exact = slopes.double()
            sums[place] = sums.get(place, 0) + exact.sum(0, keepdim=True)
            squares[place] = squares.get(place, 0) + exact.square().sum(0, keepdim=True)
        done += count
        values = {
            place: {
                "smoothgrad": sums[place] / done,
                "smoothgrad_sq": squares[place] / done,
                "vargrad": (squares[place] / done - (sums[place] / done).square()).clamp_min(0),
            }[nt_type].to(torch.promote_types(value.dtype, torch.float32))
            for place, value in passed.gradients.items()
        }
        note = f"mean of {done} noisy samples, noise {stdevs:g} of the range of the input"
        yield asked.answer(values, note, step=done, steps=nt_samples)


class Noise:
    """Gaussian noise from a generator of its own, the same on every device.

    Parameters
    ----------
    share
        Its standard deviation, as a share of the range of what it is added to.
    seed
        Of the generator.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self.generator = torch.Generator().manual_seed(seed)

    def added(self, value: Tensor, count: int) -> Tensor:
        """(count, …): ``value`` so many times, each with noise of its own."""
        shape = (count, *value.shape[1:])
        draws = torch.randn(shape, generator=self.generator, dtype=torch.float32)
        scale = self._share * (value.max() - value.min()) if value.numel() else 0
        return value + draws.to(value) * scale


def _gradients(asked: Asked) -> tuple[dict[Place, Tensor], dict[Place, Tensor]]:
    """Gradients by place, and what is there: kept where they are by a class or a loss."""
    if asked.neuron is not None:
        return asked.own().gradients, asked.values
    if asked.spot is not None:
        return _of_layer(asked)
    is_kept = kept_by(asked.target) is not None
    found: dict[Place, Tensor] | None = None
    if is_kept:
        found = asked.access.store.get(_inputs_key(asked))
    if found is None:
        found = asked.own().gradients
        if is_kept:
            _keep_inputs(asked, found)
    return found, asked.values


def _of_layer(asked: Asked, alone: bool = False) -> tuple[dict[Place, Tensor], dict[Place, Tensor]]:
    """All layers are read in the same pass, and kept for whoever asks next; or one ``alone``."""
    assert asked.spot is not None
    spot, index = asked.spot, asked.batches.sample.index
    kept = asked.features.kept(index, asked.target, spot)
    if kept is None:
        passed = _read(asked, {}, (spot,), alone)
        if spot not in passed.gradients:
            asked.features.gradient(spot[0], index, asked.target, spot[1])  # raises, and says why
        there = passed.activations.get(spot)
        if there is None:
            there = asked.features.activation(spot[0], index, spot[1])
        kept = passed.gradients[spot], there
    return {spot: kept[0]}, {spot: kept[1]}


def _read(
    asked: Asked, values: dict[Place, Tensor], at: tuple[Place, ...], alone: bool = False
) -> Passed:
    """One pass over the sample; all layers along with ``at`` where that changes nothing."""
    features, batches, key = asked.features, asked.batches, kept_by(asked.target)
    along = None if key is None or alone else asked.room(3).keeps
    try:
        passed = batches.own(values, at, along, shared=features.may_share)
    except RuntimeError:
        # Everywhere may be too much, or meet an operation that has no gradient.
        passed = batches.own(values, at, shared=features.may_share)
    features.keep_pass(
        batches.sample.index,
        asked.target,
        {place: found for place, found in passed.activations.items() if isinstance(place, tuple)},
        {place: found for place, found in passed.gradients.items() if isinstance(place, tuple)},
        passed.overwritten,
    )
    return passed


def read_all(asked: Asked) -> None:
    """Read the gradients of the inputs and of all layers that there is room for in one pass."""
    index, key = asked.batches.sample.index, kept_by(asked.target)
    root = asked.features.table(index).calls.get("")
    if root is None or root.default is None or key is None:
        return
    passed = _read(asked, asked.values, (*asked.places, (root.name, root.default.name)))
    _keep_inputs(asked, {place: passed.gradients[place] for place in asked.places})


def _keep_inputs(asked: Asked, found: dict[Place, Tensor]) -> None:
    size = sum(tensor.nbytes for tensor in found.values())
    asked.access.store.put(_inputs_key(asked), found, size)


def _inputs_key(asked: Asked) -> tuple[Any, ...]:
    key = kept_by(asked.target)
    return ("input gradients", asked.batches.sample.index, key, asked.places)


def best_layer(asked: Asked, candidates: list[FeatureLayer]) -> FeatureLayer:
    """The last layer with maps that the target depends on at more than one position.

    Of the patches of a vision transformer only what goes along its main path counts: its blocks
    and norms, not projections inside them.

    Raises
    ------
    LayerError
        When there is none.
    """
    for layer in reversed(candidates):
        holds_others = any(other.name.startswith(f"{layer.name}.") for other in candidates)
        is_main = layer.layout.grid is None or holds_others or "norm" in layer.type.lower()
        if layer.height * layer.width < 4 or layer.channels < 2 or not is_main:
            continue
        spot = (layer.name, layer.entry)
        try:
            slopes = _of_layer(asked.about(spot))[0][spot]
        except GradientError:
            continue
        if grad_cam(slopes, slopes, layer.layout).count_nonzero() > 1:
            return layer
    raise LayerError(
        "No layer of this forward has maps that the target depends on: name one with layer=…."
    )
