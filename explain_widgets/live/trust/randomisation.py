"""The model-randomisation test: whether an attribution depends on what the model has learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from explain_widgets.analysis.ranks import Similarity, similarity
from explain_widgets.live.trust.redrawing import Redrawing, parameter_layers, private_copy

if TYPE_CHECKING:
    from explain_widgets.live.model import LiveModel


@dataclass(frozen=True, eq=False)
class RandomisationStep:
    """How alike an attribution still is when the parameters of some layers are random.

    Attributes
    ----------
    layer
        Of which the parameters were drawn last, by name, ``""``: the model's own; None: none yet.
    step, steps
        How many layers were drawn, of how many.
    similarity
        Rank correlations with the attribution of the model as it is, signed and of magnitudes.
    values
        The attribution of the model with these random parameters.
    """

    layer: str | None
    step: int
    steps: int
    similarity: Similarity
    values: Tensor


def cascade(
    live: LiveModel,
    explain: Callable[[LiveModel], Tensor],
    sample: int,
    seed: int,
    at_once: bool = False,
) -> Iterator[RandomisationStep]:
    """Draw the parameters anew from the last layer to the first, in a copy, a layer a step.

    Cascading randomisation of Adebayo et al. (2018), "Sanity Checks for Saliency Maps", section 3.
    First comes a step with nothing drawn: there an attribution that is computed twice in the same
    way is alike by 1.

    Parameters
    ----------
    live
        The live model; its parameters are copied when the first step is asked for.
    explain
        From a live model to the attribution; of the same shape for all.
    sample
        In whose forward the order of the layers is seen.
    seed
        Of what is drawn, from generators of its own.
    at_once
        All layers in one step.

    Raises
    ------
    RunError
        When the model cannot be copied.
    """
    before = explain(live)
    rows = live.modules(sample)
    with private_copy(live.model) as model:
        layers = parameter_layers(model, rows)[::-1]
        groups = [layers] if at_once else [[layer] for layer in layers]
        redrawing = Redrawing(seed)
        copied = live.with_model(model)
        try:
            for step, group in enumerate([[], *groups]):
                for layer in group:
                    redrawing.redraw(layer)
                copied.refresh()
                values = explain(copied)
                name = group[-1].name if group else None
                alike = similarity(before, values)
                yield RandomisationStep(name, step, len(groups), alike, values)
        finally:
            copied.close()
