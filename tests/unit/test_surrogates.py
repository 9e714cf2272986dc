"""LIME and KernelShap: Captum's answers, and what there is of them on the way."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import captum.attr
import pytest
import torch
from captum._utils.models.linear_model import SkLearnLasso
from small_networks import Digits
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.surrogates import coin_sets, lasso, least_squares, shapley_sets

SQUARES = (torch.arange(28)[:, None] // 7 * 4 + torch.arange(28) // 7)[None, None]


class Pair(nn.Module):
    """Two inputs that work together."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 8), nn.Linear(5, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.tanh(self.first(a) * self.second(b)))


def values(found: Any) -> Tensor:
    assert isinstance(found.values, Tensor)
    return found.values


@pytest.fixture(scope="module")
def digits() -> tuple[xw.LiveModel, nn.Module, Tensor]:
    torch.manual_seed(3)
    model, images = Digits().eval(), torch.rand(2, 1, 28, 28)
    with torch.no_grad():  # an output of about 1, as trained ones have
        model.fc3.weight.mul_(20)
    return xw.LiveModel(model, images), model, images


@pytest.mark.parametrize("n_samples", [1, 5, 40, 150])
@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_both_are_captums(
    digits: tuple[xw.LiveModel, nn.Module, Tensor], n_samples: int, baseline: float
) -> None:
    live, model, images = digits
    given = {"n_samples": n_samples, "baselines": baseline, "feature_mask": SQUARES}
    theirs = {
        "kernel_shap": captum.attr.KernelShap(model),
        "lime": captum.attr.Lime(model, interpretable_model=SkLearnLasso(alpha=1e-3)),
    }
    for name, method in theirs.items():
        torch.manual_seed(11)  # it draws from the generator that all share
        expected = method.attribute(images[:1], target=2, **given)
        more = {"alpha": 1e-3} if name == "lime" else {}
        found = values(live.attribute(name, 0, 2, seed=11, **given, **more))
        assert torch.allclose(found.expand_as(expected), expected, atol=1e-6), name
        assert n_samples < 40 or expected.abs().max() > 0.01


def test_several_inputs_are_captums() -> None:
    torch.manual_seed(0)
    model, pair = Pair(), (torch.randn(2, 3), torch.randn(2, 5))
    live = xw.LiveModel(model, pair)
    torch.manual_seed(4)
    own = tuple(one[:1] for one in pair)
    expected = captum.attr.KernelShap(model).attribute(own, target=1, n_samples=80)
    found = live.attribute("kernel_shap", 0, 1, n_samples=80, seed=4).by_name
    assert torch.allclose(found["0"], expected[0], atol=1e-5)
    assert torch.allclose(found["1"], expected[1], atol=1e-5)


def test_what_comes_on_the_way_is_the_answer_for_so_many_samples(
    digits: tuple[xw.LiveModel, nn.Module, Tensor],
) -> None:
    live = digits[0]
    for method, more in (("lime", {"alpha": 1e-3}), ("kernel_shap", {})):
        given: dict[str, Any] = {"feature_mask": SQUARES, "seed": 2, **more}
        steps = list(live.attribution_steps(method, 1, 2, n_samples=60, **given))
        assert [(one.step, one.steps) for one in steps] == [(8, 60), (16, 60), (32, 60), (60, 60)]
        assert f"{steps[2].step} samples of 16 features" in steps[2].note
        for one in steps:
            alone = live.attribute(method, 1, 2, n_samples=one.step, **given)
            assert torch.allclose(values(one), values(alone), atol=1e-7)
        assert not torch.equal(values(steps[1]), values(steps[3]))


def test_kernel_shap_adds_up_and_one_feature_is_the_difference(
    digits: tuple[xw.LiveModel, nn.Module, Tensor],
) -> None:
    live, model, images = digits
    difference = (model(images[:1]) - model(torch.zeros_like(images[:1])))[0, 2].item()
    found = live.attribute("kernel_shap", 0, 2, feature_mask=SQUARES, n_samples=60)
    assert found.expected_sum == pytest.approx(difference, abs=1e-5)
    assert found.completeness_gap == pytest.approx(0, abs=1e-4)
    one = torch.zeros(1, 1, dtype=torch.int64)
    alone = live.attribute("kernel_shap", 0, 2, feature_mask=one, n_samples=5)
    assert values(alone).unique().tolist() == pytest.approx([difference], abs=1e-4)


def test_the_sets_of_the_shapley_kernel() -> None:
    drawn = shapley_sets(4, torch.Generator().manual_seed(0))
    sets = torch.stack(list(itertools.islice(drawn, 20_002)))
    assert sets[0].all()
    assert not sets[1].any()
    # 3 / (k (4 − k)) for one, two or three: 1, ¾, 1 of 2¾.
    counts = sets[2:].sum(1).bincount(minlength=5) / 20_000
    assert counts.tolist() == pytest.approx([0, 4 / 11, 3 / 11, 4 / 11, 0], abs=0.015)
    assert sets[2:].double().mean(0).tolist() == pytest.approx([0.5] * 4, abs=0.015)
    coins = torch.stack(list(itertools.islice(coin_sets(3, torch.Generator()), 8_000)))
    assert coins.double().mean(0).tolist() == pytest.approx([0.5] * 3, abs=0.025)


def test_the_linear_models_by_their_definitions() -> None:
    torch.manual_seed(1)
    sets, weights = torch.rand(30, 4) > 0.5, torch.rand(30)
    scores = sets.float() @ torch.tensor([2.0, -1.0, 0.0, 0.5]) + 3 + 0.1 * torch.randn(30)
    design = torch.cat([torch.ones(30, 1), sets.float()], 1).double()
    square = design.T @ (weights.double()[:, None] * design)
    expected = torch.linalg.solve(square, design.T @ (weights * scores).double())
    found = least_squares(sets, scores, weights)
    assert torch.allclose(found, expected[1:], atol=1e-9)
    assert torch.allclose(lasso(sets, scores, weights, 0.0), found)

    def loss(slopes: Tensor) -> float:
        rest = scores.double() - sets.double() @ slopes
        share = weights.double() / weights.double().sum()
        rest = rest - share @ rest
        return float((share * rest.square()).sum() / 2 + 0.05 * slopes.abs().sum())

    sparse = lasso(sets, scores, weights, 0.05)
    assert all(
        loss(sparse) <= loss(sparse + step * torch.eye(4).double()[n]) + 1e-7
        for n in range(4)
        for step in (-0.02, 0.02)
    )
    assert sparse.abs().sum() < found.abs().sum()


def test_lime_says_when_its_penalty_leaves_nothing_and_what_it_needs(
    digits: tuple[xw.LiveModel, nn.Module, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = digits[0].attribute("lime", 0, 2, feature_mask=SQUARES, alpha=1e3, n_samples=20)
    assert not values(found).any()
    assert "the penalty alpha=1000 leaves none of them" in found.note
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(xw.ExplainError, match="pip install scikit-learn"):
        digits[0].attribute("lime", 0, 2, n_samples=9)
