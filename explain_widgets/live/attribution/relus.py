"""Guided backpropagation and deconvolution: gradients with another rule at every ReLU.

The rule is put on the nodes of the graph, not on modules: ReLUs that are functions, in place, or
called many times follow it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.live.altered import Place
from explain_widgets.live.attribution.asked import Asked
from explain_widgets.live.attribution.gradients import layer_grad_cam
from explain_widgets.live.attribution.graph import other_activations, relu_nodes
from explain_widgets.live.errors import GradientError

_Rule = Callable[[Tensor, Tensor], Tensor]


def guided_backprop(asked: Asked) -> Iterator[Attribution]:
    """Gradients of which every ReLU lets through what is positive and where it is open."""
    values, note = _ruled(asked, lambda through, arriving: through.clamp_min(0))
    yield asked.answer(values, note)


def deconvolution(asked: Asked) -> Iterator[Attribution]:
    """Gradients of which every ReLU lets through what is positive, open or not."""
    values, note = _ruled(asked, lambda through, arriving: arriving.clamp_min(0))
    yield asked.answer(values, note)


def guided_grad_cam(asked: Asked, interpolate_mode: str = "nearest") -> Iterator[Attribution]:
    """Guided backpropagation times the Grad-CAM of a layer (its ReLU), drawn as large as it."""
    assert asked.spot is not None
    (cam,) = layer_grad_cam(asked, relu_attributions=True, alone=True)
    assert isinstance(cam.values, Tensor)
    values, note = _ruled(asked, lambda through, arriving: through.clamp_min(0), inputs=True)
    found: dict[Place, Tensor] = {}
    for place, guided in values.items():
        size = guided.shape[2:]
        if cam.values.ndim != guided.ndim or not size:
            raise GradientError(
                f"Guided Grad-CAM needs an input with the axes of the map: the map is "
                f"{tuple(cam.values.shape[2:])}, and the input {tuple(guided.shape)}."
            )
        found[place] = guided * F.interpolate(cam.values, size, mode=interpolate_mode)
    answer = asked.about(None).answer(found, f"{cam.note} · {note}")
    yield replace(answer, layer=asked.spot[0])


def _ruled(asked: Asked, rule: _Rule, inputs: bool = False) -> tuple[dict[Place, Tensor], str]:
    """Gradients under a rule, and what is said with them."""
    notes: list[str] = []

    def put(score: Tensor) -> None:
        nodes = relu_nodes(score)
        if not nodes:
            raise GradientError(
                f"{asked.method} changes how gradients pass ReLUs, and this forward has none: it "
                "would be the plain gradient, which is the method gradient."
            )
        for node in nodes:
            node.register_hook(lambda through, arriving: _passing(rule, through, arriving))
        others = other_activations(score)
        notes.append(f"{len(nodes)} ReLUs")
        if others:
            notes.append(f"plain gradient through {others}")

    places = asked.input_places if inputs else asked.places
    found = asked.batches.own(asked.values, places, rule=put).gradients
    return found, " · ".join(notes)


def _passing(rule: _Rule, through: tuple[Any, ...], arriving: tuple[Any, ...]) -> Any:
    if through[0] is None or arriving[0] is None:
        return through
    return (rule(through[0], arriving[0]), *through[1:])
