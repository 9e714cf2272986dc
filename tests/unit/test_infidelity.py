"""Infidelity and sensitivity by hand, and against Captum."""

from __future__ import annotations

import pytest
import torch
from captum import metrics
from torch import Tensor, nn

from explain_widgets.analysis.infidelity import (
    completeness_gap,
    infidelity,
    random_removals,
    sensitivity,
)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 1)).double()


def test_infidelity_by_hand() -> None:
    """Errors of 1, −2 and 0: their squares are 5 / 3 in the mean."""
    explained, changes = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([2.0, 3.0, 2.0])
    assert infidelity(explained, changes) == pytest.approx(5 / 3, abs=1e-15)


def test_the_scale_that_is_best_by_hand() -> None:
    """β = (2 + 2) / (1 + 4) = 0.8: errors of 1.2 and −0.6."""
    explained, changes = torch.tensor([1.0, 2.0]).double(), torch.tensor([2.0, 1.0]).double()
    assert infidelity(explained, changes, scaled=True) == pytest.approx(0.9, abs=1e-15)


def test_an_attribution_of_zero_foretells_no_change() -> None:
    changes = torch.tensor([2.0, 4.0])
    assert infidelity(torch.zeros(2), changes) == 10
    assert infidelity(torch.zeros(2), changes, scaled=True) == 10


@pytest.mark.parametrize("scaled", [False, True])
def test_infidelity_of_noise_is_captums(scaled: bool) -> None:
    model, values = network(), torch.randn(1, 6).double()
    attribution = torch.randn(1, 6).double()
    noise = torch.randn(20, 6).double() * 0.1
    expected = metrics.infidelity(
        lambda x: model(x)[:, 0],
        lambda x: (noise, x - noise),
        values,
        attribution,
        n_perturb_samples=20,
        normalize=scaled,
    )
    changes = model(values)[:, 0] - model(values - noise)[:, 0]
    found = infidelity(noise @ attribution[0], changes.detach(), scaled)
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_integrated_gradients_of_a_linear_model_foretell_every_removal() -> None:
    weights, values = torch.randn(6).double(), torch.randn(6).double()
    keep = random_removals(30, 6, torch.Generator().manual_seed(0))
    explained = (~keep).double() @ (weights * values)
    changes = weights @ values - (keep * values) @ weights
    assert infidelity(explained, changes) == pytest.approx(0, abs=1e-24)
    assert infidelity(-explained, changes) > 0.1


def test_sensitivity_by_hand() -> None:
    found = sensitivity(
        torch.tensor([[3.0], [4.0]]), torch.tensor([[[3.0], [4.0]], [[0.0], [0.0]]])
    )
    assert found.tolist() == [0, 1]


def test_sensitivity_of_an_attribution_of_zero_is_not_divided() -> None:
    assert sensitivity(torch.zeros(2), torch.tensor([[3.0, 4.0]])).tolist() == [5]


def test_sensitivity_is_captums() -> None:
    model, values = network(), torch.randn(1, 6).double()
    nearby = values + torch.empty(10, 6).double().uniform_(-0.1, 0.1)

    def gradient(inputs: Tensor) -> Tensor:
        leaf = inputs.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(model(leaf).sum(), leaf)[0]

    def as_captum_calls_it(inputs: Tensor | tuple[Tensor]) -> Tensor | tuple[Tensor]:
        return gradient(inputs) if isinstance(inputs, Tensor) else (gradient(inputs[0]),)

    expected = metrics.sensitivity_max(
        as_captum_calls_it, values, perturb_func=lambda x: nearby, n_perturb_samples=10
    )
    found = sensitivity(gradient(values)[0], gradient(nearby)).max()
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


def test_removals_of_all_sizes_are_alike_likely() -> None:
    keep = random_removals(8000, 4, torch.Generator().manual_seed(1))
    removed = 4 - keep.sum(1)
    counts = torch.bincount(removed, minlength=5)
    assert counts[0] == 0
    # Four standard deviations of a binomial of 8,000 draws by ¼.
    assert (counts[1:] - 2000).abs().max() < 4 * (8000 * 0.25 * 0.75) ** 0.5
    # Each feature goes in (1 + 2 + 3 + 4) / 16 of them.
    gone = (~keep).sum(0)
    assert (gone - 5000).abs().max() < 4 * (8000 * 0.625 * 0.375) ** 0.5


def test_removals_leave_the_generator_of_the_user_alone() -> None:
    state = torch.get_rng_state()
    random_removals(3, 4, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_gap_says_how_much_too_much_was_handed_out() -> None:
    assert completeness_gap(3.0, at_input=2.5, at_baseline=0.5) == 1
    assert completeness_gap(1.0, at_input=2.5, at_baseline=0.5) == -1


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"explained \(2,\) and changes \(3,\)"):
        infidelity(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match="one number or more"):
        infidelity(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match=r"perturbed \(1, 3\)"):
        sensitivity(torch.zeros(2), torch.zeros(1, 3))
