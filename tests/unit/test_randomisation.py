"""The model-randomisation test: parameters drawn anew in a copy, the user's model as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from small_models import IMAGES, UNCOPYABLE, WIDTH, Cnn, Recurrent, X
from snapshot import untouched
from threads import in_thread
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.live.errors import RunError
from explain_widgets.live.trust.randomisation import RandomisationStep, cascade
from explain_widgets.live.trust.redrawing import Redrawing, parameter_layers, private_copy


def gradient(live: xw.LiveModel) -> Tensor:
    return live.gradient("input", sample=1, target=2)


def names(live: xw.LiveModel) -> list[str]:
    return [layer.name for layer in parameter_layers(live.model, live.modules())]


def steps_of(live: xw.LiveModel, seed: int = 0) -> list[RandomisationStep]:
    return list(cascade(live, gradient, sample=1, seed=seed))


def redrawn(model: nn.Module, inputs: Any, seed: int = 0) -> dict[str, Tensor]:
    """The parameters of a copy, all of them drawn anew."""
    live = xw.LiveModel(model, inputs)
    redrawing = Redrawing(seed)
    with private_copy(model) as copied:
        for layer in parameter_layers(copied, live.modules())[::-1]:
            redrawing.redraw(layer)
        return {name: tensor.detach().clone() for name, tensor in copied.named_parameters()}


class Tied(nn.Module):
    """Embedding and decoder share their weights, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.mix = nn.Linear(4, 4)
        self.decode = nn.Linear(4, 9, bias=False)
        self.decode.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.decode(self.mix(self.embed(ids)).tanh()).mean(1)


class Own(nn.Module):
    """Parameters of its own that nothing draws, one of them used before all layers."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(WIDTH))
        self.constant = nn.Parameter(torch.ones(3))
        self.layer = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer((x + self.shift).mean(1)) * self.constant


class Refusing(nn.Module):
    """A way to draw that fails halfway."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, 3))

    def reset_parameters(self) -> None:
        self.weight.data.zero_()
        raise RuntimeError("halfway")

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1) @ self.weight


# --- the cascade ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A small CNN that tells where the bright half of an image is."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 36, 3),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        labels = torch.randint(3, (64,))
        images = torch.randn(64, 3, 8, 8) * 0.3
        for n, label in enumerate(labels):
            images[n, :, :, 2 * label : 2 * label + 3] += 1
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval()


def test_alike_before_and_no_more_when_all_is_random(trained: nn.Module) -> None:
    live = xw.LiveModel(trained, IMAGES)
    steps = steps_of(live)
    assert [step.layer for step in steps] == [None, "5", "2", "0"]
    assert [(step.step, step.steps) for step in steps] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert steps[0].similarity == (1, 1)
    for step in steps[1:]:
        assert abs(step.similarity.signed) < 0.6
        assert step.similarity.absolute < 0.6
    assert abs(steps[-1].similarity.signed) < 0.3


def test_correlations_are_those_of_the_gradients_of_the_random_models(trained: nn.Module) -> None:
    """Written out: a copy whose layers are drawn one by one from one generator."""
    before = gradient(xw.LiveModel(trained, IMAGES)).double()
    found = steps_of(xw.LiveModel(trained, IMAGES), seed=7)
    random = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 36, 3),
    )  # fmt: skip
    random.load_state_dict(trained.state_dict())
    torch.manual_seed(7)
    for step in found:
        if step.layer is not None:
            random[int(step.layer)].reset_parameters()
        leaf = IMAGES[1:2].clone().requires_grad_()
        (after,) = torch.autograd.grad(random(leaf)[0, 2], leaf)
        torch.testing.assert_close(step.values, after)
        expected = stats.spearmanr(before.flatten(), after.double().flatten()).statistic
        assert step.similarity.signed == pytest.approx(expected, abs=1e-3)


def test_a_method_that_ignores_the_model_stays_alike(trained: nn.Module) -> None:
    live = xw.LiveModel(trained, IMAGES)
    edges = lambda live: live.samples[1].args[0].diff(dim=-1).abs()  # noqa: E731
    steps = list(cascade(live, edges, sample=1, seed=0))
    assert [step.similarity for step in steps] == [(1, 1)] * 4


@pytest.mark.parametrize("model", [Cnn(), Recurrent(), Own()], ids=lambda m: type(m).__name__)
def test_the_model_is_left_as_it_was(model: nn.Module) -> None:
    live = xw.LiveModel(model, IMAGES if isinstance(model, Cnn) else X)
    with untouched(model):
        steps = steps_of(live)
        assert len(steps) > 2
        for_a_start = cascade(live, gradient, 1, 0)
        next(for_a_start)
        next(for_a_start)
        for_a_start.close()
    assert steps[0].similarity == (1, 1)
    assert steps[-1].similarity.signed < 1


def test_the_same_seed_draws_the_same(trained: nn.Module) -> None:
    live = xw.LiveModel(trained, IMAGES)
    first = steps_of(live)
    torch.randn(3)
    again, other = steps_of(live), steps_of(live, seed=1)
    assert [step.similarity for step in first] == [step.similarity for step in again]
    assert first[1].similarity != other[1].similarity


def test_beside_a_cell_that_draws(trained: nn.Module) -> None:
    """In a worker's thread no shared generator moves."""
    live = xw.LiveModel(trained, IMAGES)
    found: list[RandomisationStep] = []
    with untouched(trained):
        in_thread(lambda: found.extend(steps_of(live)))
    assert [step.similarity for step in found] == [step.similarity for step in steps_of(live)]


def test_other_questions_come_in_between(trained: nn.Module) -> None:
    live = xw.LiveModel(trained, IMAGES)
    steps = cascade(live, gradient, 1, 0)
    next(steps)
    before = gradient(live)
    next(steps)
    output = live.output(1)
    assert torch.equal(output, trained(IMAGES[1:2]))
    assert torch.equal(gradient(live), before)
    steps.close()


def test_a_model_that_cannot_be_copied_is_left_alone() -> None:
    model = UNCOPYABLE["lock"](Own())
    live = xw.LiveModel(model, X)
    with untouched(model), pytest.raises(RunError, match=r"cannot be copied .* in a copy only"):
        steps_of(live)


# --- what is drawn ----------------------------------------------------------------------------


def test_each_layer_draws_as_it_does_when_it_is_made() -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 300), nn.LayerNorm(300), nn.Linear(300, 3)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(9).add_(1)
    found = redrawn(model, X.double())
    assert found["1.weight"].eq(1).all()
    assert found["1.bias"].eq(0).all()
    bound = 300**-0.5
    assert 0.9 * bound < float(found["2.weight"].abs().max()) <= bound
    assert float(found["2.weight"].std()) == pytest.approx(bound / 3**0.5, rel=0.1)


def test_every_parameter_of_attention_is_drawn_once_in_its_layer() -> None:
    model = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
    with torch.no_grad():
        model.out_proj.bias.fill_(5)
    found = redrawn(model, (X, X, X))
    for name, parameter in model.named_parameters():
        assert not torch.equal(found[name], parameter) or name == "in_proj_bias", name
    assert found["in_proj_bias"].eq(0).all()
    assert float(found["out_proj.bias"].abs().max()) <= WIDTH**-0.5  # drawn by itself, not zero
    assert found["out_proj.bias"].ne(0).all()


def test_what_nothing_draws_is_shuffled() -> None:
    model = Own()
    live = xw.LiveModel(model, X)
    assert names(live) == ["", "layer"]
    found = redrawn(model, X)
    assert not torch.equal(found["shift"], model.shift)
    assert torch.equal(found["shift"].sort().values, model.shift.detach().sort().values)
    assert torch.equal(found["constant"], model.constant)


def test_a_way_to_draw_that_fails_is_not_taken() -> None:
    model = nn.Sequential(Refusing())
    found = redrawn(model, X)["0.weight"]
    before = model[0].weight.detach()
    assert torch.equal(found.flatten().sort().values, before.flatten().sort().values)
    assert not torch.equal(found, before)


def test_tied_weights_stay_tied_and_are_drawn_once() -> None:
    model, ids = Tied(), torch.randint(9, (2, 5))
    live = xw.LiveModel(model, ids)
    redrawing = Redrawing(0)
    with private_copy(model) as copied:
        first = dict(copied.named_parameters())["embed.weight"].detach().clone()
        layers = parameter_layers(copied, live.modules())
        assert [layer.name for layer in layers] == ["embed", "mix", "decode"]
        redrawing.redraw(layers[2])
        once = copied.embed.weight.detach().clone()
        assert copied.decode.weight is copied.embed.weight
        assert not torch.equal(once, first)
        redrawing.redraw(layers[0])
        assert torch.equal(copied.embed.weight, once)


@pytest.mark.parametrize("wrap", ["weight_norm", "parametrized"])
def test_computed_weights_are_drawn_through_what_they_are_computed_of(wrap: str) -> None:
    layer = nn.Linear(WIDTH, 3)
    if wrap == "weight_norm":
        layer = nn.utils.weight_norm(layer)
    else:
        layer = nn.utils.parametrizations.weight_norm(layer)
    model = nn.Sequential(nn.Flatten(), nn.Linear(5 * WIDTH, WIDTH), layer)
    live = xw.LiveModel(model, X)
    steps = steps_of(live)
    last = next(step for step in steps if step.layer is not None)
    assert last.layer.startswith("2")
    assert last.similarity.signed < 1
    found = redrawn(model, X)
    for name, parameter in model.named_parameters():
        assert not torch.equal(found[name], parameter), name


def test_running_statistics_of_the_user_are_not_reset() -> None:
    model = Cnn()
    model.train()(IMAGES)
    running = model.features[1].running_mean.clone()
    assert running.abs().max() > 0
    redrawn(model, IMAGES)
    assert torch.equal(model.features[1].running_mean, running)


def test_buffers_written_by_drawing_belong_to_the_copy() -> None:
    model = Cnn()
    with untouched(model), private_copy(model) as copied:
        copied.features[1].reset_parameters()
        copied.features[1].running_mean.fill_(3)


def test_frozen_parameters_are_drawn_and_stay_frozen() -> None:
    model = Cnn()
    model.head.requires_grad_(False)
    live = xw.LiveModel(model, IMAGES)
    with private_copy(model) as copied:
        layer = parameter_layers(copied, live.modules())[-1]
        Redrawing(0).redraw(layer)
        assert not torch.equal(copied.head.weight, model.head.weight)
        assert not copied.head.weight.requires_grad
