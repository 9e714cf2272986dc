"""Answers about the numbers of one module: values, dead units, spectra."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from explain_widgets.analysis.spectra import weight_spectrum
from explain_widgets.live.errors import LayerError
from explain_widgets.live.model import LiveModel
from explain_widgets.widgets.answers import Answers, exact
from explain_widgets.widgets.protocol import Reply
from explain_widgets.widgets.structure.values import (
    MOST_PARTS,
    NO_NUMBERS,
    Quantity,
    ValueReader,
)
from explain_widgets.widgets.structure.words import (
    SPECTRUM_WORDS,
    dead_words,
    initialised_message,
    module_words,
    part_message,
    quantity_message,
)
from explain_widgets.widgets.targets import CUSTOM

_PARTIAL_SECONDS = 0.3
_MOST_NAMES = 20


class NumberAnswers(Answers):
    """Answers about the numbers of one module.

    Attributes
    ----------
    values
        Reads them.
    custom
        The callable that stands behind the target `CUSTOM`.
    """

    def __init__(self, live: LiveModel) -> None:
        super().__init__(live.samples)
        self._live = live
        self.values = ValueReader(live)
        self.custom: Callable[[Any], Tensor] | None = None

    def target(self, sent: Any) -> Any:
        """The target that stands behind what was sent."""
        return self.custom if sent == CUSTOM else sent

    def answer_values(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """Outputs, parameters and gradients of a module; first without the gradients."""
        name, sample = str(selection["layer_name"]), int(selection["sample"])
        with self._live.reading():
            found, why = self.values.without_gradients(name, sample)
            content = self._described(name, sample)
        parts, waiting = [], time.monotonic()
        for part in self.values.parts(name):
            parts.append(part_message(part))
            if len(parts) >= MOST_PARTS:
                break
            if time.monotonic() - waiting > _PARTIAL_SECONDS:
                waiting = time.monotonic()
                yield None
        content |= {
            "parts": parts,
            "parts_left_out": self.values.count_parts(name) - len(parts),
        }
        yield _values_reply(content, found, why)
        try:
            target = self.target(selection.get("target"))
            found += self.values.gradients(name, sample, target)
        except NO_NUMBERS as error:
            why = why or str(error)
        yield _values_reply(content, found, why)

    def _described(self, name: str, sample: int) -> dict[str, Any]:
        summary = self._live.summary(sample)
        path = name.partition(":")[0]
        row = next(row for row in summary.rows if row.name == path)
        return {
            "layer_name": name,
            "type": row.type,
            "words": module_words(row),
            "initialisation": [
                initialised_message(one) for one in self.values.initialisations(name, summary.trace)
            ],
            "footer": self._live.status,
        }

    def answer_dead(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """The units of a module that are zero for every one of some samples, sample by sample."""
        name, sent = str(selection["layer_name"]), time.monotonic()
        count = self._samples.count
        known = self._samples.read_so_far if count is None else count
        samples = range(min(int(selection["count"]), known))
        for found in self._live.dead_units(samples):
            if name not in found.active:
                raise LayerError(
                    f"{name or 'The model'} has no units that all samples share: dead units are "
                    "of layers whose output has channels, and always as many."
                )
            if found.samples < found.of and time.monotonic() - sent < _PARTIAL_SECONDS:
                yield None
                continue
            sent = time.monotonic()
            dead, channels = found.dead(name), len(found.active[name])
            yield Reply(
                {
                    "layer_name": name,
                    "channels": channels,
                    "dead": len(dead),
                    "samples": found.samples,
                    "of": found.of,
                    "names": [str(unit) for unit in dead[:_MOST_NAMES]],
                    "words": dead_words(len(dead), channels, found.samples),
                }
            )

    def answer_spectrum(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """The singular values of the weights of a module, one after the other."""
        name = str(selection["layer_name"])
        spectra: list[dict[str, Any]] = []
        arrays: dict[str, Any] = {}
        for parameter, weight in self.values.weights(name):
            spectrum = weight_spectrum(weight)
            arrays[f"singular_{len(spectra)}"] = exact(spectrum.singular_values)
            spectra.append(
                {
                    "parameter": parameter,
                    "shape": " × ".join(map(str, weight.shape)),
                    "spectral_norm": spectrum.spectral_norm,
                    "effective_rank": spectrum.effective_rank,
                    "stable_rank": spectrum.stable_rank,
                    "rank_limit": spectrum.full_rank,
                    "definition": SPECTRUM_WORDS,
                }
            )
            yield None
        if not spectra:
            raise LayerError(
                f"{name or 'The model itself'} has no weight with two axes of its own: pick a "
                "linear layer, a convolution or an embedding."
            )
        yield Reply({"spectra": spectra}, arrays)


def _values_reply(content: dict[str, Any], found: list[Quantity], why: str) -> Reply:
    """``why``: there is no gradient."""
    arrays: dict[str, Any] = {}
    for number, quantity in enumerate(found):
        arrays[f"edges_{number}"] = exact(quantity.histogram.edges)
        arrays[f"counts_{number}"] = quantity.histogram.counts.cpu().numpy().astype(np.int32)
    quantities = [quantity_message(quantity, number) for number, quantity in enumerate(found)]
    return Reply({**content, "quantities": quantities, "gradient_note": why}, arrays)
