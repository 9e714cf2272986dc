"""The model after attributions, measures of trust and traces that broke off half-way."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sklearn.linear_model  # noqa: F401 (beside a cell its import draws once: see below)
import torch
from snapshot import untouched
from threads import in_thread
from torch import nn

import explain_widgets as xw

# Forwards that are left until one breaks off, and with what; None: none does.
breaking: list[Any] = [None, None]


def break_off(module: nn.Module, args: Any) -> None:
    if breaking[0] is not None:
        breaking[0] -= 1
        if breaking[0] < 0:
            raise breaking[1]


@contextmanager
def doubled(module: nn.Module) -> Iterator[None]:
    """Hooks of ours on what runs, gone when the forward is."""
    handle = module.register_forward_hook(lambda module, args, output: 2 * output)
    try:
        yield
    finally:
        handle.remove()


QUESTIONS: dict[str, Callable[[xw.LiveModel], Any]] = {
    "gradient": lambda live: live.attribute("gradient"),
    "integrated gradients": lambda live: live.attribute("integrated_gradients", n_steps=6),
    "conductance": lambda live: live.attribute("conductance", layer="0"),
    "guided": lambda live: live.attribute("guided_backprop"),
    "DeepLIFT": lambda live: live.attribute("deep_lift"),
    "LRP": lambda live: live.attribute("lrp"),
    "occlusion": lambda live: live.attribute("feature_ablation"),
    "Shapley values": lambda live: live.attribute("shapley_value_sampling", n_samples=2),
    "LIME": lambda live: live.attribute("lime", n_samples=20),
    "KernelShap": lambda live: live.attribute("kernel_shap", n_samples=20),
    "context": lambda live: live.with_context(doubled).output(),
    "curves": lambda live: deque(live.faithfulness(live.attribute("gradient"), points=5), 0),
    "randomised": lambda live: deque(live.randomisation("gradient"), 0),
    "infidelity": lambda live: live.infidelity(live.attribute("gradient"), count=4),
    "sensitivity": lambda live: live.sensitivity("gradient", count=2),
    "trace": lambda live: live.trace(backward=True, statistics=True),
    "summary": lambda live: live.summary(),
    "dead units": lambda live: deque(live.dead_units(), 0),
    "gradient norms": lambda live: live.gradient_norms(),
    "backward graph": lambda live: live.backward_graph(),
}


def ask(live: xw.LiveModel, question: str, error: BaseException, after: int) -> bool:
    """Whether the question broke off; interrupts come through as they are."""
    breaking[:] = [after, error]
    try:
        QUESTIONS[question](live)
    except KeyboardInterrupt as raised:
        return raised is error
    except Exception:  # noqa: BLE001 (a sentence about it, or the trace's own)
        return True
    finally:
        breaking[:] = [None, None]
    return False


@pytest.mark.parametrize("beside", [False, True], ids=["home", "beside"])
@pytest.mark.parametrize(
    "error", [ValueError("broken"), KeyboardInterrupt()], ids=["error", "stop"]
)
@pytest.mark.parametrize("question", QUESTIONS)
def test_broken_off(question: str, error: BaseException, beside: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).train()
    model[2].register_forward_pre_hook(break_off)
    live = xw.LiveModel(model, torch.rand(3, 6))
    broke: list[bool] = []
    with untouched(model):
        for after in (0, 1, 3):
            work = lambda after=after: broke.append(ask(live, question, error, after))  # noqa: E731
            if beside:
                in_thread(work)
            else:
                work()
        QUESTIONS[question](live)  # and it answers as if nothing had been
    # A trace, and the summary of it, have a forward that fails as data.
    assert broke[0] or (question in ("trace", "summary") and isinstance(error, ValueError))
    own = live.samples[0].args[0]
    torch.testing.assert_close(live.output(), model.eval()(own))


FIRST = """
import random, torch, explain_widgets as xw
live = xw.LiveModel(torch.nn.Linear(3, 2), torch.randn(2, 3))
before = random.getstate()
live.attribute("lime", n_samples=8)
print("drawn" if random.getstate() != before else "as before")
"""


def test_what_the_first_lime_imports_draws_nothing_of_the_users() -> None:
    found = subprocess.run(
        [sys.executable, "-c", FIRST], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "as before"
