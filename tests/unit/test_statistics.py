"""Statistics, histograms, initialisations and spectra against their definitions in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explain_widgets.analysis.initialisation import (
    compared_deviation,
    expected_deviation,
    fans,
    initialisation,
)
from explain_widgets.analysis.spectra import weight_spectrum
from explain_widgets.analysis.statistics import (
    active_units,
    sample_step,
    tensor_histogram,
    tensor_statistics,
)

# --- statistics -------------------------------------------------------------------------------

TENSORS: dict[str, Callable[[], Tensor]] = {
    "normal": lambda: torch.randn(7, 33, 129),
    "large": lambda: torch.randn(3_000_000),
    "far from zero": lambda: torch.randn(50_000) + 1000,
    "half zeros": lambda: torch.randn(64, 300).relu(),
    "zeros of both signs": lambda: torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-45]).repeat(9),
    "one number": lambda: torch.tensor(3.5),
    "all the same": lambda: torch.full((4000,), 0.1),
    "all the same and many": lambda: torch.full((300_001,), 0.3),
    "a negated view": lambda: torch.randn(600, dtype=torch.complex64).conj().imag,
    "float64": lambda: torch.randn(5000, dtype=torch.float64),
    "bfloat16": lambda: torch.randn(4000).bfloat16(),
    "float16, large": lambda: (1e4 * torch.randn(3000)).clamp(-6e4, 6e4).half(),
    "int64": lambda: torch.randint(-9, 9, (40, 50)),
    "bool": lambda: torch.rand(500) > 0.3,
    "complex": lambda: torch.randn(500, dtype=torch.complex64),
    "channels last": lambda: torch.randn(2, 5, 9, 8).to(memory_format=torch.channels_last),
    "every other": lambda: torch.randn(100, 100)[:, ::2],
    "expanded": lambda: torch.randn(1, 50).expand(40, 50),
    "tiny": lambda: 1e-30 * torch.randn(4000),
    "huge": lambda: 1e30 * torch.randn(4000),
}


@pytest.mark.parametrize("few_threads", [0, 99], ids=["many threads", "few threads"])
@pytest.mark.parametrize("kind", TENSORS)
def test_statistics_are_those_of_numpy(
    monkeypatch: pytest.MonkeyPatch, kind: str, few_threads: int
) -> None:
    monkeypatch.setattr("explain_widgets.analysis.statistics._FEW_THREADS", few_threads)
    tensor = TENSORS[kind]()
    plain = (tensor.abs() if tensor.is_complex() else tensor).double().numpy()
    found = tensor_statistics(tensor)
    spread = max(plain.std(), abs(plain.mean()), 1e-300)
    assert found.count == plain.size
    assert found.mean == pytest.approx(plain.mean(), abs=1e-6 * spread)
    assert found.deviation == pytest.approx(plain.std(), rel=1e-5, abs=1e-9 * spread)
    assert (found.minimum, found.maximum) == (plain.min(), plain.max())
    assert found.norm == pytest.approx(np.linalg.norm(plain.ravel()), rel=1e-6)
    assert found.zeros == np.mean(plain == 0)
    assert (found.nans, found.infinities) == (0, 0)


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    tensor = torch.randn(2000)
    tensor[:3], tensor[3:8], tensor[8], tensor[9:19] = torch.nan, torch.inf, -torch.inf, 0
    found = tensor_statistics(tensor)
    plain = tensor.double().numpy()
    finite = plain[np.isfinite(plain)]
    assert (found.count, found.nans, found.infinities) == (2000, 3, 6)
    assert found.mean == pytest.approx(finite.mean(), abs=1e-7)
    assert found.deviation == pytest.approx(finite.std(), rel=1e-6)
    assert (found.minimum, found.maximum) == (finite.min(), finite.max())
    assert found.zeros == 10 / 2000
    nothing = tensor_statistics(torch.full((4,), torch.nan))
    assert (nothing.nans, nothing.zeros) == (4, 0)
    assert math.isnan(nothing.mean)
    assert tensor_statistics(torch.empty(0)).count == 0


def test_statistics_of_sparse_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="to_dense"):
        tensor_statistics(torch.eye(3).to_sparse())


def test_a_tensor_is_not_touched() -> None:
    tensor = torch.randn(3000, requires_grad=True)
    before = tensor.detach().clone()
    tensor_statistics(tensor), tensor_histogram(tensor)
    initialisation(tensor.view(30, 100))
    assert torch.equal(tensor, before)
    assert tensor._version == 0


# --- histograms -------------------------------------------------------------------------------


def test_a_histogram_is_that_of_numpy() -> None:
    tensor = torch.randn(5000)
    found = tensor_histogram(tensor, bins=30)
    assert found.note == ""
    assert torch.equal(
        found.counts, torch.from_numpy(np.histogram(tensor.numpy(), found.edges.numpy())[0])
    )
    assert int(found.counts.sum()) == 5000
    assert 0.0 in found.edges.tolist()


def test_a_histogram_of_many_numbers_is_of_a_part_and_says_so() -> None:
    tensor = torch.randn(400_000)
    tensor[777] = 12.5  # rare numbers are not lost: the range is that of all
    found = tensor_histogram(tensor)
    assert found.looked_at < 20_000
    assert "of 400,000 numbers" in found.note
    assert float(found.edges[-1]) >= 12.5
    assert int(found.counts.sum()) == found.looked_at
    exact = np.histogram(tensor.numpy(), found.edges.numpy())[0] / tensor.numel()
    assert np.abs(found.counts.numpy() / found.looked_at - exact).max() < 0.02


def test_a_part_is_of_all_channels_alike() -> None:
    """Every 196th number of maps of 14 × 14 would be one pixel, every 512th one channel."""
    maps = torch.arange(512.0).view(512, 1, 1).expand(512, 14, 14).contiguous()
    for tensor in (maps, maps.movedim(0, -1).contiguous()):
        found = tensor_histogram(tensor, bins=8, sample=512)
        shares = found.counts / found.looked_at
        assert float((shares - 1 / 8).abs().max()) < 0.03
    assert math.gcd(sample_step((512, 14, 14), 512), 512 * 196) == 1


def test_a_histogram_with_nan_is_of_the_rest() -> None:
    tensor = torch.tensor([0.0, 1.0, torch.nan, 2.0, torch.inf])
    assert int(tensor_histogram(tensor, bins=2).counts.sum()) == 3


def test_dead_units_are_those_that_no_sample_moves() -> None:
    layer = nn.Linear(4, 6)
    with torch.no_grad():
        layer.bias[2], layer.bias[4] = -100, -100
    masks = [active_units(layer(torch.randn(1, 5, 4)).relu(), axis=-1) for _ in range(20)]
    assert (~torch.stack(masks).any(0)).nonzero().flatten().tolist() == [2, 4]
    assert active_units(torch.full((1, 2, 3, 3), torch.nan), axis=1).all()


# --- initialisations --------------------------------------------------------------------------

INIT = nn.init
MADE: dict[str, tuple[Callable[[Tensor], Any], str, str]] = {
    "xavier_uniform_": (INIT.xavier_uniform_, "uniform", "Xavier"),
    "xavier_normal_": (INIT.xavier_normal_, "normal", "Xavier"),
    "kaiming_uniform_": (
        lambda w: INIT.kaiming_uniform_(w, nonlinearity="relu"),
        "uniform",
        "He (fan-in)",
    ),
    "kaiming_normal_": (INIT.kaiming_normal_, "normal", "He (fan-in)"),
    "kaiming_normal_ fan_out": (
        lambda w: INIT.kaiming_normal_(w, mode="fan_out"),
        "normal",
        "He (fan-out)",
    ),
    "default": (lambda w: INIT.kaiming_uniform_(w, a=5**0.5), "uniform", "PyTorch's default"),
    "lecun": (lambda w: INIT.normal_(w, std=fans(w.shape)[0] ** -0.5), "normal", "LeCun"),
    "normal_ 0.02": (lambda w: INIT.normal_(w, std=0.02), "normal", ""),
    "uniform_ 0.03": (lambda w: INIT.uniform_(w, -0.03, 0.03), "uniform", ""),
    "trunc_normal_": (INIT.trunc_normal_, "truncated normal", ""),
    "trunc_normal_ wide": (lambda w: INIT.trunc_normal_(w, std=0.02), "normal", ""),
    "zeros_": (INIT.zeros_, "zero", ""),
    "ones_": (INIT.ones_, "constant", ""),
    "constant_": (lambda w: INIT.constant_(w, 0.3), "constant", ""),
    "orthogonal_": (INIT.orthogonal_, "orthogonal", ""),
}


@pytest.mark.parametrize("shape", [(96, 40), (48, 130), (40, 12, 3, 3)], ids=str)
@pytest.mark.parametrize("name", MADE)
def test_initialisations_are_recognised(name: str, shape: tuple[int, ...]) -> None:
    make, family, scheme = MADE[name]
    for seed in range(8):
        torch.manual_seed(seed)
        weight = torch.empty(shape)
        make(weight)
        found = initialisation(weight)
        assert found.family == family, seed
        assert found.names == ((scheme,) if scheme else ()), seed


def test_schemes_that_agree_are_all_named() -> None:
    found = initialisation(INIT.kaiming_normal_(torch.empty(300, 300)))
    assert found.names == ("He (fan-in)", "He (fan-out)")
    assert str(found) == "He (fan-in) or He (fan-out), normal"


def test_identities_and_gains() -> None:
    assert initialisation(INIT.eye_(torch.empty(9, 12))).family == "identity"
    assert initialisation(INIT.dirac_(torch.empty(8, 8, 3, 3))).family == "identity"
    found = initialisation(INIT.orthogonal_(torch.empty(200, 50), gain=1.5))
    assert found.gain == pytest.approx(1.5, rel=1e-5)
    half = initialisation(INIT.orthogonal_(torch.empty(64, 64)).bfloat16())
    assert half.family == "orthogonal"


def test_what_was_trained_is_not_taken_for_new() -> None:
    heavy = torch.distributions.StudentT(3.0).sample((100, 100))
    assert initialisation(heavy).family == "other"
    two = torch.cat([torch.randn(50, 100) - 3, torch.randn(50, 100) + 3])
    assert initialisation(two).family == "other"
    assert initialisation(torch.randn(5, 5).fill_diagonal_(torch.nan)).family == "other"
    assert str(initialisation(torch.randn(2, 3))) == "no initialisation that is known"


def test_fresh_layers_of_torch_show_their_default() -> None:
    for layer in (nn.Linear(70, 30), nn.Conv2d(6, 20, 5)):
        assert initialisation(layer.weight).names == ("PyTorch's default",)
    assert initialisation(nn.LayerNorm(40).weight).family == "constant"
    assert initialisation(nn.Embedding(100, 64).weight).family == "normal"


@pytest.mark.parametrize("follows", ["relu", "relu_", "tanh", ""])
def test_the_deviation_expected_is_that_of_torch(follows: str) -> None:
    weight = torch.empty(300, 400)
    gain = nn.init.calculate_gain(follows.rstrip("_") or "linear")
    if follows.startswith("relu"):
        INIT.kaiming_normal_(weight)
    else:
        INIT.xavier_normal_(weight, gain)
    expected = expected_deviation((300, 400), follows)
    assert expected is not None
    assert expected.deviation == pytest.approx(float(weight.double().std()), rel=0.01)


def test_a_deviation_far_off_is_said() -> None:
    near = compared_deviation(0.08, (64, 200), "relu")
    assert near is not None
    assert near.sentence == ""
    far = compared_deviation(0.001, (64, 200), "relu")
    assert far is not None
    assert far.sentence == (
        "Deviation 0.001 is 0.01 times the 0.1 of He (fan-in) before relu: signals shrink in this "
        "layer."
    )
    grown = compared_deviation(1.0, (64, 200), "tanh")
    assert grown is not None
    assert "signals grow" in grown.sentence
    silent = compared_deviation(0.001, (64, 200), "relu", normalised=True)
    assert silent is not None
    assert silent.sentence == ""
    # Far from Xavier, as of a layer of many more outputs than inputs, but signals stay alike.
    for follows, gain in (("", 1.0), ("tanh", 5 / 3)):
        wide = compared_deviation(gain * 8**-0.5, (512, 8), follows)
        assert wide is not None
        assert wide.deviation == pytest.approx(gain * (2 / 520) ** 0.5)
        assert wide.sentence == ""
    assert compared_deviation(1.0, (64,), "relu") is None
    assert expected_deviation((3, 4), "some_activation") is None


# --- spectra ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(30, 80), (80, 30), (12, 5, 3, 3)], ids=str)
def test_spectra_are_those_of_numpy(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape)
    found = weight_spectrum(weight)
    values = np.linalg.svd(weight.double().numpy().reshape(shape[0], -1), compute_uv=False)
    shares = values / values.sum()
    assert np.allclose(found.singular_values.numpy(), values, rtol=1e-9)
    assert found.spectral_norm == pytest.approx(values[0], rel=1e-10)
    assert found.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-9)
    assert found.stable_rank == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-9)
    assert found.full_rank == min(shape[0], math.prod(shape[1:]))


def test_the_effective_rank_of_few_directions_is_small() -> None:
    basis, _ = torch.linalg.qr(torch.randn(200, 4, dtype=torch.float64))
    found = weight_spectrum(basis @ torch.randn(4, 4, dtype=torch.float64) @ basis.mT)
    exact = np.linalg.svd((basis.numpy()), compute_uv=False)
    assert len(exact) == 4
    assert found.effective_rank <= 4 + 1e-9
    assert weight_spectrum(basis @ basis.mT).effective_rank == pytest.approx(4, abs=1e-6)
    assert weight_spectrum(torch.zeros(3, 4)).effective_rank == 0


def test_spectra_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="two axes"):
        weight_spectrum(torch.randn(5))
    with pytest.raises(ValueError, match="NaN or infinity"):
        weight_spectrum(torch.full((2, 2), torch.inf))
