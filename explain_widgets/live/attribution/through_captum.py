"""Methods of Captum, run on the twin."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.live.altered import Place
from explain_widgets.live.attribution.asked import Asked
from explain_widgets.live.attribution.facts import facts
from explain_widgets.live.attribution.limits import (
    HANDED_ON,
    LINEAR,
    CannotAttributeError,
    checked,
    deep_lift_note,
    without_deep_lift,
    without_relevance,
)
from explain_widgets.live.errors import ExplainError, RunError
from explain_widgets.live.modules import named_tensors, with_tensor
from explain_widgets.live.runs import Call


def deep_lift(asked: Asked, baselines: Any = None, eps: float = 1e-10) -> Iterator[Attribution]:
    """Differences of activations from those for a baseline, taken back by the rescale rule."""
    known = facts(asked.access, asked.batches)
    checked(asked.method, known, without_deep_lift)
    starts, note = asked.baselines(baselines)
    _refuse_mixing(asked, starts)
    seen: list[Tensor] = []
    values = _run(
        asked,
        lambda model, attr, inputs: attr.DeepLift(model, eps=eps).attribute(
            inputs, baselines=_in_order(asked, starts)
        ),
        seen=seen.append,
    )
    # Of the input and the baseline, which run as one batch.
    own, other = seen[-1].tolist()
    yield asked.answer(values, _joined(note, deep_lift_note(known)), own - other)


def deep_lift_shap(asked: Asked, baselines: Any = "samples") -> Iterator[Attribution]:
    """DeepLIFT against several baselines: the mean."""
    known = facts(asked.access, asked.batches)
    checked(asked.method, known, without_deep_lift)
    rows, note = asked.baseline_rows(baselines)
    if len(next(iter(rows.values()))) < 2:
        raise CannotAttributeError(
            'deep_lift_shap needs several baselines: write baselines="samples", or a tensor of '
            "several rows; deep_lift takes one."
        )
    _refuse_mixing(asked, {place: tensor[:1] for place, tensor in rows.items()})
    expected = asked.batches.score - float(asked.batches.scores(rows).double().mean())
    values = _run(
        asked,
        lambda model, attr, inputs: attr.DeepLiftShap(model).attribute(
            inputs, baselines=_in_order(asked, rows)
        ),
    )
    yield asked.answer(values, _joined(note, deep_lift_note(known)), expected)


def lrp(asked: Asked) -> Iterator[Attribution]:
    """Layer-wise relevance propagation by the ε-rule: the output is handed down to the input."""
    checked(asked.method, facts(asked.access, asked.batches), without_relevance)
    seen: list[Tensor] = []
    # Rules that a user has put on modules may change weights while they work.
    copied = any(hasattr(module, "rule") for module in asked.access.module().modules())

    def relevance(model: nn.Module, attr: Any, inputs: tuple[Tensor, ...]) -> Any:
        with _ruled(model):
            work = attr.LRP(model)
            if not copied:
                work._restore_state = lambda: None  # else weights are written, with themselves
            return work.attribute(inputs)

    values = _run(asked, relevance, seen.append, copied=copied)
    yield asked.answer(values, "ε-rule", float(seen[0][0]))


@contextmanager
def _ruled(model: nn.Module) -> Iterator[None]:
    """The ε-rule on modules that Captum knows no rule for, and that are linear."""
    rules = importlib.import_module("captum.attr._utils.lrp_rules")
    handed_on = [module for module in model.modules() if type(module) in HANDED_ON]
    for module in model.modules():
        if getattr(module, "rule", 0) is None:  # left there by a run of Captum that has failed
            del module.rule
        if type(module) in LINEAR + HANDED_ON and not hasattr(module, "rule"):
            module.rule = rules.EpsilonRule()
    for module in handed_on:
        # A tensor of its own: the rule's hooks on what goes in and out would be on one.
        module.__dict__["forward"] = torch.clone
    try:
        yield
    finally:
        for module in handed_on:
            del module.__dict__["forward"]


# Captum on the twin.

_Work = Callable[[nn.Module, Any, tuple[Tensor, ...]], Any]
_Seen = Callable[[Tensor], None] | None


def _run(asked: Asked, work: _Work, seen: _Seen = None, **how: bool) -> dict[Place, Tensor]:
    found = _captum(asked, work, seen, **how)
    return {place: tensor.detach() for place, tensor in zip(asked.input_places, found, strict=True)}


def _captum(asked: Asked, work: _Work, seen: _Seen = None, **how: bool) -> tuple[Tensor, ...]:
    """What Captum answers for the inputs, as a tuple; ``seen``: told the scores of each run."""
    attr = importlib.import_module("captum.attr")
    inputs = tuple(asked.values[place].detach().clone() for place in asked.input_places)
    found: list[Any] = []

    def action(module: nn.Module, call: Call) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it sets hooks, which are the twin's
            model = _Called(module, call, asked, seen)
            try:
                found.append(work(model, attr, inputs))
            finally:
                model.close()

    _ = asked.batches.target  # it is known before the module is lent
    with asked.access.reading():
        try:
            asked.access.lend(action, **how)
        except ExplainError:
            raise
        except Exception as error:
            raise RunError(
                f"Captum's {asked.method} raised {type(error).__name__}: {error}"
            ) from error
    return found[0] if isinstance(found[0], tuple) else (found[0],)


class _Called(nn.Module):
    """The twin as Captum wants a model: from tensors to a score for each entry."""

    def __init__(self, module: nn.Module, call: Call, asked: Asked, seen: _Seen) -> None:
        super().__init__()
        self.twin = module
        self._seen = seen
        self._call, self._asked = call, asked
        self._instead: dict[Place, Tensor] = {}
        self._counts: dict[str, int] = {}
        calls = [place[0] for place in asked.input_places if isinstance(place, tuple)]
        self._handles = [
            module.get_submodule(path).register_forward_hook(self._put(path))
            for path in {call.partition(":")[0] for call in calls}
        ]

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def forward(self, *tensors: Tensor) -> Tensor:
        """(entries,) the target for inputs in the order of those that are attributed to."""
        altered = dict(zip(self._asked.input_places, tensors, strict=True))
        self._instead, self._counts = altered, {}
        args, kwargs = self._asked.batches.inputs(altered)
        scores = self._asked.batches.scores_of(self._call(args, kwargs), len(tensors[0]))
        if self._seen is not None:
            self._seen(scores.detach())
        return scores

    def _put(self, path: str) -> Callable[..., Any]:
        """What a call returns in the place of the embeddings that are altered."""

        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            count = self._counts.get(path, 0)
            self._counts[path] = count + 1
            name = f"{path}:{count}" if count else path
            for entry, tensor in dict(named_tensors(output)).items():
                new = self._instead.get((name, entry))
                if new is not None:
                    output = with_tensor(output, tensor, new.clone())
            return output

        return hook


def _refuse_mixing(asked: Asked, starts: dict[Place, Tensor]) -> None:
    """The input and the baseline are run as one batch, which must not mix them."""
    asked.batches.check_independent(
        {place: torch.cat([value, starts[place]]) for place, value in asked.values.items()}
    )
    if asked.batches.note:
        raise CannotAttributeError(
            f"{asked.method} runs the input and the baseline as one batch, and here the entries of "
            "a batch influence each other."
        )


def _in_order(asked: Asked, tensors: dict[Place, Tensor]) -> tuple[Tensor, ...]:
    return tuple(tensors[place] for place in asked.input_places)


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)
