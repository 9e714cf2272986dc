"""Answers questions for attributions, keeps the answers, and says beforehand what they cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.live.access import Access
from explain_widgets.live.attribution.asked import Asked
from explain_widgets.live.attribution.catalogue import METHODS
from explain_widgets.live.attribution.facts import facts
from explain_widgets.live.attribution.gradients import best_layer, read_all
from explain_widgets.live.attribution.groups import features_in
from explain_widgets.live.attribution.inputs import explained_inputs
from explain_widgets.live.attribution.limits import CannotAttributeError
from explain_widgets.live.attribution.methods import Method
from explain_widgets.live.batches import Batches, Scalar
from explain_widgets.live.errors import ExplainError, LayerError
from explain_widgets.live.feature_reader import FeatureReader
from explain_widgets.live.lookup import pick
from explain_widgets.live.modules import kept_bytes
from explain_widgets.live.recorder import Spot
from explain_widgets.live.runs import plain_thread
from explain_widgets.live.targets import Target, kept_by


@dataclass(frozen=True)
class AttributionCost:
    """What an attribution will take, about.

    Attributes
    ----------
    forwards, backwards
        Forwards without gradients, and forwards with a backward, one sample each.
    seconds
        By what runs of this sample have taken so far.
    bytes
        What is kept on the device meanwhile, beside the model.
    """

    forwards: int
    backwards: int
    seconds: float
    bytes: int

    @property
    def words(self) -> str:
        """In words: "2 forwards, 50 with a backward · about 1.3 s · 45 MB"."""
        if not self.forwards and not self.backwards:
            return "computed already"
        parts = [f"{self.forwards:,} forwards"] if self.forwards else []
        parts += [f"{self.backwards:,} with a backward"] if self.backwards else []
        size = f"{self.bytes / 1e6:,.3g} MB"
        return f"{', '.join(parts)} · about {self.seconds:.2g} s · {size}"


class AttributionReader:
    """The side of a live model that attributes.

    Parameters
    ----------
    access
        To the live model.
    features
        To its layers.
    """

    def __init__(self, access: Access, features: FeatureReader) -> None:
        self._access = access
        self._features = features

    def steps(
        self,
        method: str,
        sample: int,
        target: Target,
        layer: int | str | None,
        options: Mapping[str, Any],
    ) -> Iterator[Attribution]:
        """See `LiveModel.attribution_steps`."""
        # One question with the first step: each looks whether the model is as it was.
        with self._access.reading():
            asked, one = self._asked(method, sample, target, layer, options)
            key = _key(asked, sample)
            kept: Attribution | None = None if key is None else self._access.store.get(key)
            if kept is not None:
                return iter([kept])
            work = self._driven(asked, one, sample)
            first = next(work)
        return iter([first]) if first.is_final else itertools.chain([first], work)

    def read_gradients(self, sample: int, target: Target) -> None:
        """See `LiveModel.read_gradients`."""
        with self._access.reading(), plain_thread(differentiable=False):
            asked, _ = self._asked("gradient", sample, target, None, {})
            # Where looking everywhere is too much, each layer is read when it is asked for.
            with suppress(RuntimeError):
                read_all(asked)

    def methods(self, sample: int) -> list[Method]:
        """See `LiveModel.attribution_methods`."""
        return [replace(one, reason=self._reason(one, sample)) for one in METHODS.values()]

    def cost(
        self,
        method: str,
        sample: int,
        target: Target,
        layer: int | str | None,
        options: Mapping[str, Any],
    ) -> AttributionCost:
        """See `LiveModel.attribution_cost`."""
        asked, one = self._asked(method, sample, target, layer, options)
        key = _key(asked, sample)
        with self._access.reading():
            if key is not None and self._access.store.get(key) is not None:
                return AttributionCost(0, 0, 0.0, 0)
        features = features_in(asked)
        passes = one.passes(asked.options, features)
        batches = asked.batches
        with self._access.reading():
            rows = self._features.table(sample).rows
        root = next((row.seconds for row in rows if not row.name), 0.0)
        forward = batches.seconds(gradients=False) or root
        backward = batches.seconds(gradients=True) or 3 * root
        size = kept_bytes(rows)
        entries = batches.size(gradients=passes.backwards > 0)
        each = size * min(entries, max(1, round(passes.backwards))) if passes.backwards else (
            size // 4 * entries
        )  # fmt: skip
        if one.layer == "required" and one.is_progressive:
            each += 3 * size  # gradients, activations and sums of all layers
        return AttributionCost(
            round(passes.forwards),
            round(passes.backwards),
            passes.forwards * forward + passes.backwards * backward,
            each,
        )

    # One question.

    def _asked(
        self,
        method: str,
        sample: int,
        target: Target,
        layer: int | str | None,
        options: Mapping[str, Any],
    ) -> tuple[Asked, Method]:
        one = METHODS.get(method)
        if one is None:
            name = pick_method(method)
            raise ValueError(name)
        given = dict(options)
        only, entry = given.pop("inputs", None), given.pop("entry", None)
        filled = one.filled(given)
        layer = None if layer == "input" else layer
        if one.layer == "never" and layer is not None:
            raise LayerError(f"{method} attributes to the input: it takes no layer.")
        if one.layer == "required" and layer is None and "grad_cam" not in method:
            raise LayerError(f"{method} attributes to a layer: name one with layer=….")
        with self._access.reading():
            size = kept_bytes(self._features.table(sample).rows)
            spot = None if layer is None else self._features.spot(layer, sample, entry)
        neuron = None
        if one.of_neuron:
            assert spot is not None
            neuron = (spot, _neuron(filled["neuron_selector"], spot))
            spot = None
        whole = Batches(self._access, sample, target, entry_bytes=size)
        batches = whole if neuron is None else Batches(
            self._access, sample, target, neuron, entry_bytes=size
        )  # fmt: skip
        asked = Asked(
            self._access, self._features, method, batches, whole,
            only if only is None or isinstance(only, str) else tuple(only),
            spot, filled, target, neuron,
        )  # fmt: skip
        if one.layer == "required" and layer is None:
            with self._access.reading():
                best = best_layer(asked, self._features.layers(sample))
            asked = replace(asked, spot=(best.name, best.entry))
        return replace(asked, siblings=self._keeps(asked, sample)), one

    def _keeps(self, asked: Asked, sample: int) -> Callable[[Spot, Attribution], None]:
        def keep(spot: Spot, found: Attribution) -> None:
            self._keep(_key(asked.about(spot), sample), found)

        return keep

    def _driven(self, asked: Asked, method: Method, sample: int) -> Iterator[Attribution]:
        """The work, a step at a time; between two of them nothing is held."""
        options = dict(asked.options)
        options.pop("neuron_selector", None)
        work = method.work(asked, **options)
        revision = self._access.revision()
        key = _key(asked, sample)
        while True:
            with self._access.reading(), plain_thread(differentiable=False):
                found = next(work, None)
                if found is None:
                    return
                if self._access.revision() != revision:
                    words = " · ".join(part for part in (found.note, _MOVED) if part)
                    found = replace(found, note=words)
                elif found.is_final:
                    self._keep(key, found)
            yield found

    def _keep(self, key: tuple[Any, ...] | None, found: Attribution) -> None:
        if key is not None:
            size = sum(tensor.nbytes for tensor in found.by_name.values())
            self._access.store.put(key, found, size)

    def _reason(self, method: Method, sample: int) -> str:
        """Why a method has no answer for this sample, or ""."""
        try:
            batches = Batches(self._access, sample)
            if method.layer != "required" or method.of_neuron:
                with self._access.reading():
                    loaded = self._access.sample(sample)
                explained_inputs(self._access, loaded)
            if method.limit is not None:
                return method.limit(facts(self._access, batches))
        except ExplainError as error:
            return str(error)
        return ""


_MOVED = "read during training: the weights changed meanwhile"


def pick_method(name: str) -> str:
    """What to say of a method that there is not."""
    try:
        pick(name, list(METHODS), "method")
    except LayerError as error:
        return str(error)
    return ""


def _neuron(selector: Any, spot: Spot) -> Scalar:
    """What picks a neuron from the output of its layer."""

    def scalar(output: Tensor) -> Tensor:
        if callable(selector):
            found = selector(output)
        else:
            index = selector if isinstance(selector, tuple) else (selector,)
            try:
                found = output[0][index]
            except (IndexError, TypeError) as error:
                raise CannotAttributeError(
                    f"neuron_selector={selector!r} is no index into layer {spot[0]!r}, whose "
                    f"output is {tuple(output.shape[1:])} without its batch axis."
                ) from error
        if not isinstance(found, Tensor) or found.numel() != 1:
            raise CannotAttributeError(
                f"neuron_selector={selector!r} picks no single number of layer {spot[0]!r}, whose "
                f"output is {tuple(output.shape[1:])} without its batch axis."
            )
        return found.reshape(())

    return scalar


def _key(asked: Asked, sample: int) -> tuple[Any, ...] | None:
    """What an answer is kept under; None: it is not, since what it rests on may change."""
    target = kept_by(asked.target)
    options = tuple(sorted((name, value) for name, value in asked.options.items()))
    plain = (str, int, float, bool, tuple, type(None))
    if target is None or not all(isinstance(value, plain) for _, value in options):
        return None
    spot = asked.spot if asked.neuron is None else asked.neuron[0]
    return ("attribution", asked.method, sample, target, spot, asked.only, options)
