"""The model is left as it was found: after every question, whatever happens inside."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_models import IMAGES, UNCOPYABLE, Classifier, Cnn, Draws, Writes, X
from snapshot import differences, snapshot, untouched
from torch import Tensor, nn

from explain_widgets import GradientError, LiveModel, RunError

QUESTIONS: dict[str, Callable[[LiveModel], Any]] = {
    "output": lambda live: live.output(),
    "class scores": lambda live: live.class_scores(),
    "modules": lambda live: live.modules(),
    "activation": lambda live: live.activation("block1"),
    "gradient": lambda live: live.gradient("block1"),
    "input gradient": lambda live: live.gradient("input"),
    "parameter gradients": lambda live: live.parameter_gradients(),
    "feature layers": lambda live: live.feature_layers(),
    "alignment": lambda live: live.alignment("block1"),
    "filters": lambda live: live.filters("head"),
    "attention layers": lambda live: live.attention_layers(),
    "attention": lambda live: live.attention(1).weights(),
    "rollout": lambda live: live.attention("rollout").weights(),
    "gradient attention": lambda live: live.gradient_attention(1).weights(),
    "head statistics": lambda live: live.head_statistics(),
    "without a channel": lambda live: live.output(mute=[("block1.feed", 2, "mean")]),
    "maximised": lambda live: live.maximised("block2", 2, steps=2).image,
    "conductance of a neuron": lambda live: live.attribute(
        "neuron_conductance", layer="block1", neuron_selector=lambda y: y.flatten()[2], n_steps=2
    ),
    "gradient norms": lambda live: live.gradient_norms(),
    "dead units": lambda live: list(live.dead_units()),
    "backward graph": lambda live: live.backward_graph(),
}
every_question = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)

KINDS = {"twin": lambda model: model, **UNCOPYABLE}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


# Weights that are offloaded are not there to be differentiated by: tested by itself below.
PAIRS = {
    f"{question}-{kind}": (KINDS[kind], QUESTIONS[question])
    for question in QUESTIONS
    for kind in KINDS
    if (question, kind) != ("parameter gradients", "offloaded")
}
every_kind_and_question = pytest.mark.parametrize(("kind", "question"), PAIRS.values(), ids=PAIRS)


def busy_model(kind: Callable[[nn.Module], nn.Module] = KINDS["twin"]) -> Any:
    """A model in the middle of training, with all that a user may have put on it."""
    model = Classifier()
    model.block2.requires_grad_(False)
    model(X).sum().backward()
    model.block2.eval()
    model.head.register_forward_hook(lambda module, args, output: output * 2)
    model.block1.register_forward_pre_hook(lambda module, args, kwargs: None, with_kwargs=True)
    model.block1.register_forward_hook(lambda module, args, output: None, always_call=True)
    model.norm.register_full_backward_hook(lambda module, inputs, outputs: None)
    model.norm.register_full_backward_pre_hook(lambda module, outputs: None)
    model.register_state_dict_post_hook(lambda module, state, prefix, metadata: None)
    model.register_load_state_dict_post_hook(lambda module, keys: None)
    return kind(model)


# --- the snapshot itself ----------------------------------------------------------------------


def change_grad(model: nn.Module) -> None:
    model.head.weight.grad = torch.ones_like(model.head.weight)


def change_grad_value(model: nn.Module) -> None:
    model.head.bias.grad += 1


def change_data(model: nn.Module) -> None:
    model.head.weight.data[0, 0] += 1


def change_buffer(model: nn.Module) -> None:
    model.norm.running_mean.data[0] += 1


def replace_buffer(model: nn.Module) -> None:
    model.norm.running_mean = model.norm.running_mean.clone()


def freeze(model: nn.Module) -> None:
    model.head.weight.requires_grad_(False)


def switch(model: nn.Module) -> None:
    model.block1.norm.eval()


def draw_torch(model: nn.Module) -> None:
    torch.rand(1)


def draw_numpy(model: nn.Module) -> None:
    np.random.rand()  # noqa: NPY002


def draw_python(model: nn.Module) -> None:
    random.random()


def hook(model: nn.Module) -> None:
    model.block1.register_forward_hook(lambda *args: None)


def pre_hook(model: nn.Module) -> None:
    model.block1.register_forward_pre_hook(lambda *args: None)


def backward_hook(model: nn.Module) -> None:
    model.register_full_backward_hook(lambda *args: None)


def tensor_hook(model: nn.Module) -> None:
    model.head.weight.register_hook(lambda gradient: None)


def attribute(model: nn.Module) -> None:
    model.inside = lambda: None


def replace_parameter(model: nn.Module) -> None:
    model.head.weight = nn.Parameter(model.head.weight.data)


def swap_class(model: nn.Module) -> None:
    model.dropout.__class__ = nn.AlphaDropout


@pytest.mark.parametrize(
    "change",
    [
        change_grad, change_grad_value, change_data, change_buffer, replace_buffer, freeze, switch,
        draw_torch, draw_numpy, draw_python, hook, pre_hook, backward_hook, tensor_hook, attribute,
        replace_parameter, swap_class,
    ],
)  # fmt: skip
def test_the_snapshot_sees(change: Callable[[nn.Module], None]) -> None:
    model = busy_model()
    before = snapshot(model)
    assert not differences(before, snapshot(model))
    change(model)
    assert differences(before, snapshot(model))


def test_the_snapshot_sees_a_global_hook() -> None:
    model = nn.Linear(1, 1)
    before = snapshot(model)
    handle = nn.modules.module.register_module_forward_hook(lambda *args: None)
    try:
        assert any("_global_forward_hooks" in text for text in differences(before, snapshot(model)))
    finally:
        handle.remove()


# --- every question ---------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["output", "activation", "muted", "traced"])
def test_the_samples_of_a_model_that_begins_in_place(question: str) -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Hardtanh(-0.5, 0.5, inplace=True)).eval()
    images = torch.randn(2, 3, 6, 6)
    before = images.clone()
    expected = model(images[:1].clone())
    live = LiveModel(model, images)
    ask: dict[str, Callable[[], Any]] = {
        "output": live.output,
        "activation": lambda: live.activation(""),
        "muted": lambda: live.output(mute=[("0", 1)]),
        "traced": lambda: (live.trace(backward=True), live.output())[1],
    }
    found = ask[question]()
    assert torch.equal(images, before)
    if question == "muted":
        expected[:, 1] = 0
    assert torch.equal(found, expected)


@every_kind_and_question
def test_after_a_normal_run(kind: Any, question: Any) -> None:
    model = busy_model(kind)
    live = LiveModel(model, X)
    with untouched(model):
        question(live)
    with untouched(model):
        question(live)


@every_kind_and_question
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_exception_inside_the_model(kind: Any, question: Any, error: Any) -> None:
    model = busy_model(kind)
    raises = []

    def inside() -> None:
        if raises:
            raise raises[0]("from inside")

    model.inside = inside
    live = LiveModel(model, X)
    question(live)  # works once: the table is known, so that the wanted run itself is broken
    live.refresh()
    raises.append(error)
    with (
        untouched(model),
        pytest.raises(RunError if error is ValueError else error, match="from inside"),
    ):
        question(live)
    raises.clear()
    with untouched(model):
        question(live)  # and it is alive


@every_kind_and_question
@pytest.mark.parametrize("register", ["forward", "pre", "always"])
def test_after_an_exception_inside_a_hook(kind: Any, question: Any, register: str) -> None:
    def hook(module: nn.Module, *args: Any) -> None:
        raise ValueError("from a hook")

    model = busy_model(kind)
    place = model.block2.feed
    if register == "pre":
        place.register_forward_pre_hook(hook)
    else:
        place.register_forward_hook(hook, always_call=register == "always")
    live = LiveModel(model, X)
    with untouched(model), pytest.raises(RunError, match="from a hook"):
        question(live)


@every_kind
def test_after_an_exception_in_the_target(kind: Any) -> None:
    def target(output: Tensor) -> Tensor:
        raise KeyboardInterrupt

    model = busy_model(kind)
    live = LiveModel(model, X)
    with untouched(model), pytest.raises(KeyboardInterrupt):
        live.gradient("block1", target=target)


def test_parameter_gradients_of_offloaded_weights_are_refused() -> None:
    model = busy_model(UNCOPYABLE["offloaded"])
    with untouched(model), pytest.raises(GradientError, match="offloaded"):
        LiveModel(model, X).parameter_gradients()


@every_kind
@pytest.mark.parametrize("train_mode", [False, True])
def test_in_train_mode(kind: Any, train_mode: bool) -> None:
    """Batch statistics and dropout: running means and generators stay where they are."""
    model = kind(Cnn().train())
    live = LiveModel(model, IMAGES, train_mode=train_mode)
    with untouched(model):
        live.output()
        live.activation("features.1", 1)
        live.gradient("features.2", 2)


@every_kind
@pytest.mark.parametrize("train_mode", [False, True])
def test_models_that_write_in_their_forward(kind: Any, train_mode: bool) -> None:
    model = Writes()
    for _ in range(2):
        model(X)
    model = kind(model)
    live = LiveModel(model, X, train_mode=train_mode)
    with untouched(model):
        for sample in (0, 1, 0):
            live.refresh()
            live.output(sample)
            live.activation("layer", sample)
            live.gradient("layer", sample, target=lambda output: output.sum())


@every_kind
@pytest.mark.parametrize("draw", ["torch", "dropout", "python", "numpy"])
def test_models_that_draw_random_numbers(kind: Any, draw: str) -> None:
    model = kind(Draws(draw))
    live = LiveModel(model, X)
    with untouched(model):
        live.output()
        live.activation("layer")
        live.gradient("layer")


@every_kind
@pytest.mark.parametrize("draw", ["own", "own python", "own numpy", "own legacy numpy"])
def test_generators_of_the_models_own(kind: Any, draw: str) -> None:
    """They stay where they are, and every run draws what the model itself would draw next."""
    model = kind(Draws(draw))
    live = LiveModel(model, X)
    for _ in range(2):
        first = live.output()
        live.refresh()
        assert torch.equal(live.output(), first)
        with torch.no_grad():
            assert torch.equal(model(X[:1]), first)
        live.refresh()


def test_scripted_parts_on_the_fallback() -> None:
    """They keep their fields below Python."""
    part = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(5), nn.Dropout(0.5)))
    model = UNCOPYABLE["lock"](nn.Sequential(part, nn.ReLU())).train()
    part[1].eval()
    for train_mode in (True, False):
        live = LiveModel(model, X, train_mode=train_mode)
        with untouched(model):
            live.output()
            live.activation("0")


def test_a_model_that_writes_only_sometimes() -> None:
    """The first run reads the attribute, a later one writes it."""

    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.window = torch.ones(8)

        def forward(self, x: Tensor) -> Tensor:
            if x[0, 0] > 0:
                self.window.mul_(2)
            return x * self.window

    model = Sometimes()
    live = LiveModel(model, torch.tensor([[-1.0] * 8, [1.0] * 8]))
    with untouched(model):
        assert torch.equal(live.output(0), -torch.ones(1, 8))
        assert torch.equal(live.output(1), 2 * torch.ones(1, 8))
        live.refresh()
        assert torch.equal(live.output(1), 2 * torch.ones(1, 8))


def test_a_train_method_that_writes_weights() -> None:
    """As LoRA layers do that merge into the weight when they are switched to evaluation."""

    class Merging(nn.Linear):
        merged = False

        def train(self, mode: bool = True) -> Any:
            if self.merged == mode:
                self.weight.data += -1 if mode else 1
                self.merged = not mode
            return super().train(mode)

    for kind in KINDS.values():
        model = kind(nn.Sequential(Merging(8, 8), nn.ReLU()))
        with untouched(model):
            LiveModel(model, X).output()
            LiveModel(model, X, train_mode=True).output()


@every_kind
def test_transformers_attention_implementation(kind: Any) -> None:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=40, intermediate_size=16, **sizes)
    model = kind(BertModel(config).train())
    live = LiveModel(model, {"input_ids": torch.arange(12).reshape(2, 6)})
    with untouched(model):
        assert live.attention(1, sample=1).source == "sdpa"
        live.output(1)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@every_question
def test_beside_a_mode_of_the_caller(mode: Any, question: Any) -> None:
    model = busy_model()
    expected = question(LiveModel(model, X))
    live = LiveModel(model, X)
    with mode(), untouched(model):
        found = question(live)
    if isinstance(found, Tensor):
        assert torch.equal(found, expected)


def test_beside_autocast_of_the_caller() -> None:
    model = busy_model()
    expected = LiveModel(model, X).output()
    with torch.autocast("cpu", torch.bfloat16), untouched(model):
        assert torch.equal(LiveModel(model, X).output(), expected)


def test_closing_gives_back_the_watch_over_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.optim import optimizer

    from explain_widgets.live import freshness
    from explain_widgets.live import model as model_file

    monkeypatch.setattr(freshness, "STEPS", freshness._StepWatch())
    monkeypatch.setattr(model_file, "STEPS", freshness.STEPS)
    before = dict(optimizer._global_optimizer_post_hooks)
    live, other = LiveModel(nn.Linear(8, 2), X), LiveModel(nn.Linear(8, 2), X)
    live.output()
    live.close()
    live.close()
    assert len(optimizer._global_optimizer_post_hooks) == len(before) + 1
    other.close()
    assert dict(optimizer._global_optimizer_post_hooks) == before
