"""Attributions: in closed form, against torch.autograd.grad, and against Captum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from small_networks import Digits
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.quadrature import rule
from explain_widgets.live.batches import Batches

pytestmark = pytest.mark.filterwarnings("ignore:Setting")


class Plain(nn.Module):
    """A CNN of modules, each called once, that every method of Captum takes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 8, 3)
        self.relu2 = nn.ReLU()
        self.head = nn.Linear(32, 5)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.relu2(self.conv2(self.pool(self.relu1(self.conv1(image)))))
        return self.head(maps.flatten(1))


IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TABLE = torch.randn(9, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture(scope="module")
def plain() -> Plain:
    torch.manual_seed(3)
    model = Plain().double().eval()
    with torch.no_grad():
        for layer in (model.conv1, model.conv2, model.head):
            layer.weight.mul_(3)
    return model


@pytest.fixture
def live(plain: Plain) -> xw.LiveModel:
    return xw.LiveModel(plain, IMAGES)


def close(found: Attribution, expected: Tensor, atol: float = 1e-6) -> None:
    assert isinstance(found.values, Tensor)
    assert torch.allclose(found.values.double(), expected.detach().double(), atol=atol), found.note


def gap(found: Attribution) -> float:
    assert found.completeness_gap is not None
    return abs(found.completeness_gap)


# A linear model: every answer is known.


@pytest.mark.parametrize(
    ("method", "expected", "options"),
    [
        ("gradient", lambda w, x, b: w, {}),
        ("saliency", lambda w, x, b: w.abs(), {}),
        ("input_x_gradient", lambda w, x, b: w * x, {}),
        ("smooth_grad", lambda w, x, b: w, {}),
        ("integrated_gradients", lambda w, x, b: w * (x - b), {"n_steps": 3}),
        ("integrated_gradients", lambda w, x, b: w * (x - b), {"quadrature": "trapezoid"}),
        ("gradient_shap", lambda w, x, b: w * (x - b), {}),
        ("occlusion", lambda w, x, b: w * (x - b), {}),
        ("feature_ablation", lambda w, x, b: w * (x - b), {}),
        ("shapley_value_sampling", lambda w, x, b: w * (x - b), {"n_samples": 3}),
        ("deep_lift", lambda w, x, b: w * (x - b), {}),
        ("kernel_shap", lambda w, x, b: w * (x - b), {"n_samples": 300}),
    ],
)
@pytest.mark.parametrize("baseline", ["zero", "mean", 3, 0.5, "tensor"])
def test_linear(method: str, expected: Any, options: dict[str, Any], baseline: Any) -> None:
    model = nn.Linear(6, 3).double()
    live = xw.LiveModel(model, TABLE)
    has_baseline = {m.name: m.needs_baseline for m in live.attribution_methods()}[method]
    given = torch.full((1, 6), 0.25, dtype=torch.float64) if baseline == "tensor" else baseline
    start = {
        "zero": torch.zeros(6),
        "mean": TABLE.mean(0),
        3: TABLE[3],
        0.5: torch.full((6,), 0.5),
        "tensor": torch.full((6,), 0.25),
    }[baseline]
    more = {"baselines": given} if has_baseline else {}
    found = live.attribute(method, 1, 2, **options, **more)
    close(found, expected(model.weight[2], TABLE[1], start)[None], 1e-5)
    if has_baseline and found.completeness_gap is not None:
        difference = model(TABLE[1:2])[0, 2] - model(start[None].double())[0, 2]
        assert found.expected_sum == pytest.approx(difference.item())
        assert abs(found.completeness_gap) < 1e-5


def test_linear_by_other_samples_and_lrp() -> None:
    model = nn.Linear(6, 3, bias=False).double()
    live = xw.LiveModel(model, TABLE)
    w, x = model.weight[0], TABLE[0]
    others = live.attribute("feature_permutation", 0, 0, n_samples=8)
    close(others, (w * (x - TABLE[1:].mean(0)))[None])
    few = live.attribute("feature_permutation", 0, 0, n_samples=3)
    close(few, (w * (x - TABLE[1:4].mean(0)))[None])
    shap = live.attribute("deep_lift_shap", 0, 0)
    close(shap, (w * (x - TABLE[1:].mean(0)))[None])
    assert gap(shap) < 1e-6
    lrp = live.attribute("lrp", 0, 0)
    close(lrp, (w * x)[None])
    assert lrp.completeness_gap == pytest.approx(0, abs=1e-6)


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 3), nn.Linear(4, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.left(left) + self.right(right)


@pytest.mark.parametrize("method", ["occlusion", "feature_ablation", "shapley_value_sampling"])
def test_parts_of_several_inputs_are_replaced_in_many_batches(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step says what is known of every input: what is not yet is 0."""
    monkeypatch.setattr(Batches, "size", lambda self, gradients: 4)
    torch.manual_seed(0)
    model = Sum().double()
    inputs = {"left": TABLE, "right": TABLE[:, :4].flip(0)}
    live = xw.LiveModel(model, inputs)
    steps = list(live.attribution_steps(method, 1, 2, baselines=0.5))
    assert len(steps) > 2
    assert [one.is_final for one in steps] == [False] * (len(steps) - 1) + [True]
    for name, part in (("left", model.left), ("right", model.right)):
        expected = (part.weight[2] * (inputs[name][1:2] - 0.5)).detach().float()
        for one in steps:
            assert isinstance(one.values, dict)
            is_known = torch.isclose(one.values[name], expected, atol=1e-5)
            if one.is_final or method == "shapley_value_sampling":
                assert is_known.all()
            else:
                assert (is_known | (one.values[name] == 0)).all()


def test_lime_finds_the_strongest_features_of_a_linear_model() -> None:
    model = nn.Linear(6, 1).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[5.0, 0.0, 0.0, -4.0, 0.0, 0.0]]))
    x = torch.ones(1, 6, dtype=torch.float64)
    found = xw.LiveModel(model, x).attribute("lime", n_samples=400)
    assert isinstance(found.values, Tensor)
    row = found.values[0]
    assert row[0] > 3
    assert row[3] < -2
    assert row[[1, 2, 4, 5]].abs().max() < 0.3


# Against autograd and Captum, on a small CNN.

LAYER = "relu2"

ORACLES: dict[str, tuple[dict[str, Any], Callable[[Plain, Tensor, int], Tensor]]] = {
    "gradient": ({}, lambda m, x, t: captum.attr.Saliency(m).attribute(x, t, abs=False)),
    "saliency": ({}, lambda m, x, t: captum.attr.Saliency(m).attribute(x, t)),
    "input_x_gradient": ({}, lambda m, x, t: captum.attr.InputXGradient(m).attribute(x, t)),
    "integrated_gradients": (
        {"n_steps": 20},
        lambda m, x, t: captum.attr.IntegratedGradients(m).attribute(x, target=t, n_steps=20),
    ),
    "guided_backprop": ({}, lambda m, x, t: captum.attr.GuidedBackprop(m).attribute(x, t)),
    "deconvolution": ({}, lambda m, x, t: captum.attr.Deconvolution(m).attribute(x, t)),
    "guided_grad_cam": (
        {"layer": "relu1"},
        lambda m, x, t: captum.attr.GuidedGradCam(m, m.relu1).attribute(x, t),
    ),
    "deep_lift": ({}, lambda m, x, t: captum.attr.DeepLift(m).attribute(x, target=t)),
    "lrp": ({}, lambda m, x, t: captum.attr.LRP(m).attribute(x, t)),
    "grad_cam": (
        {"layer": LAYER},
        lambda m, x, t: captum.attr.LayerGradCam(m, m.relu2).attribute(x, t),
    ),
    "occlusion": (
        {"sliding_window_shapes": (3, 3, 2), "strides": (3, 2, 2)},
        lambda m, x, t: captum.attr.Occlusion(m).attribute(
            x, (3, 3, 2), strides=(3, 2, 2), target=t
        )[:, :1],
    ),
    "feature_ablation": (
        {"feature_mask": torch.arange(64).reshape(1, 1, 8, 8) // 5},
        lambda m, x, t: captum.attr.FeatureAblation(m).attribute(
            x, target=t, feature_mask=torch.arange(64).reshape(1, 1, 8, 8) // 5
        )[:, :1],
    ),
    "internal_influence": (
        {"layer": LAYER, "n_steps": 20},
        lambda m, x, t: captum.attr.InternalInfluence(m, m.relu2).attribute(
            x, target=t, n_steps=20
        ),
    ),
    "neuron_gradient": (
        {"layer": "conv2", "neuron_selector": (2, 1, 0)},
        lambda m, x, t: captum.attr.NeuronGradient(m, m.conv2).attribute(x, (2, 1, 0)),
    ),
    "neuron_integrated_gradients": (
        {"layer": "conv2", "neuron_selector": (2, 1, 0)},
        lambda m, x, t: captum.attr.NeuronIntegratedGradients(m, m.conv2).attribute(x, (2, 1, 0)),
    ),
    "neuron_conductance": (
        {"layer": LAYER, "neuron_selector": (3, 1, 1)},
        lambda m, x, t: captum.attr.NeuronConductance(m, m.relu2).attribute(
            x, (3, 1, 1), target=t, method="gausslegendre"
        ),
    ),
    "neuron_guided_backprop": (
        {"layer": "conv2", "neuron_selector": (2, 1, 0)},
        lambda m, x, t: captum.attr.NeuronGuidedBackprop(m, m.conv2).attribute(x, (2, 1, 0)),
    ),
    "neuron_deconvolution": (
        {"layer": "conv2", "neuron_selector": (2, 1, 0)},
        lambda m, x, t: captum.attr.NeuronDeconvolution(m, m.conv2).attribute(x, (2, 1, 0)),
    ),
    "neuron_feature_ablation": (
        {"layer": "conv2", "neuron_selector": (2, 1, 0),
         "feature_mask": torch.arange(192).reshape(1, 3, 8, 8)},
        lambda m, x, t: captum.attr.NeuronFeatureAblation(m, m.conv2).attribute(x, (2, 1, 0)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", ORACLES)
def test_like_captum(live: xw.LiveModel, plain: Plain, method: str) -> None:
    options, oracle = ORACLES[method]
    expected = oracle(plain, IMAGES[1:2].clone().requires_grad_(), 3)
    assert expected.abs().max() > 1e-4
    close(live.attribute(method, 1, 3, **options), expected)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_guided_grad_cam_is_enlarged_as_asked(live: xw.LiveModel, plain: Plain, mode: str) -> None:
    oracle = captum.attr.GuidedGradCam(plain, plain.relu2)
    expected = oracle.attribute(IMAGES[1:2].clone().requires_grad_(), 1, interpolate_mode=mode)
    assert expected.abs().max() > 1e-4
    found = live.attribute("guided_grad_cam", 1, 1, LAYER, interpolate_mode=mode)
    close(found, expected)
    assert found.layer == LAYER


@pytest.mark.parametrize("method", ["gradient", "saliency", "input_x_gradient"])
def test_gradients_of_layers_are_those_of_autograd(
    live: xw.LiveModel, plain: Plain, method: str
) -> None:
    maps = plain.conv1(IMAGES[:1]).detach().requires_grad_()
    out = plain.head(plain.relu2(plain.conv2(plain.pool(plain.relu1(maps)))).flatten(1))
    (slopes,) = torch.autograd.grad(out[0, 4], maps)
    expected = {"gradient": slopes, "saliency": slopes.abs(), "input_x_gradient": slopes * maps}
    found = live.attribute(method, 0, 4, "conv1")
    close(found, expected[method])
    assert (found.layer, found.target) == ("conv1", 4)


def test_one_pass_answers_for_every_layer() -> None:
    model = Digits().eval()
    live = xw.LiveModel(model, torch.randn(2, 1, 28, 28))
    live.modules()
    Digits.forwards = 0
    cams = [live.attribute("grad_cam", 0, 3, layer) for layer in ("conv1", "pool", "conv2")]
    live.attribute("input_x_gradient", 0, 3, "fc1")
    live.attribute("gradient", 0, 3, "pool:1")
    # What is predicted beside the target is read once.
    assert Digits.forwards <= 2
    assert [tuple(cam.values.shape) for cam in cams] == [
        (1, 1, 24, 24), (1, 1, 12, 12), (1, 1, 8, 8),
    ]  # fmt: skip
    before = Digits.forwards
    assert live.attribute("grad_cam", 0, 3, "conv2").values is not None
    assert Digits.forwards == before


def test_layer_integrated_gradients_and_conductance(live: xw.LiveModel, plain: Plain) -> None:
    x = IMAGES[2:3]
    expected = captum.attr.LayerIntegratedGradients(plain, plain.conv2).attribute(x, target=1)
    found = live.attribute("integrated_gradients", 2, 1, "conv2")
    close(found, expected)
    assert gap(found) < 0.05 * abs(found.expected_sum or 0)
    fine = captum.attr.LayerConductance(plain, plain.conv2).attribute(x, target=1, n_steps=2000)
    many = live.attribute("conductance", 2, 1, "conv2", n_steps=400)
    close(many, fine, 2e-3)
    assert gap(many) < 1e-3
    # By the definition: the sum over steps of mean gradient × change.
    points = torch.linspace(0, 1, 5, dtype=torch.float64)
    maps = [plain.conv2(plain.pool(plain.relu1(plain.conv1(p * x)))).detach() for p in points]
    slopes = []
    for one in maps:
        leaf = one.clone().requires_grad_()
        out = plain.head(plain.relu2(leaf).flatten(1))[0, 1]
        slopes += torch.autograd.grad(out, leaf)
    by_hand = sum(
        (slopes[n] + slopes[n + 1]) / 2 * (maps[n + 1] - maps[n]) for n in range(len(points) - 1)
    )
    close(live.attribute("conductance", 2, 1, "conv2", n_steps=5), by_hand, 1e-10)


def test_conductance_of_all_layers_comes_from_one_sweep() -> None:
    live = xw.LiveModel(Digits().eval(), torch.randn(2, 1, 28, 28))
    first = live.attribute("conductance", 0, 3, "conv2", n_steps=100)
    Digits.forwards = 0
    others = ("conv1", "pool", "fc2", "")
    found = [live.attribute("conductance", 0, 3, layer, n_steps=100) for layer in others]
    assert Digits.forwards == 0
    assert [one.layer for one in found] == ["conv1", "pool", "fc2", ""]
    # All of the target goes through each of these.
    for one in (first, *found):
        assert isinstance(one.values, Tensor)
        assert one.total == pytest.approx(
            one.expected_sum, abs=5e-3 * float(one.values.abs().sum())
        )
    assert live.attribution_cost("conductance", 0, 3, "fc1", n_steps=100).seconds == 0


def test_integrated_gradients_are_complete_and_refined(live: xw.LiveModel, plain: Plain) -> None:
    steps = list(live.attribution_steps("integrated_gradients", 0, 2, n_steps=200))
    last = steps[-1]
    difference = plain(IMAGES[:1])[0, 2] - plain(torch.zeros_like(IMAGES[:1]))[0, 2]
    assert last.expected_sum == pytest.approx(difference.item())
    assert last.total == pytest.approx(difference.item(), abs=2e-3)
    assert last.completeness_gap == pytest.approx(last.total - difference.item(), abs=1e-9)
    assert [one.is_final for one in steps] == [False] * (len(steps) - 1) + [True]
    assert isinstance(last.values, Tensor)
    first = steps[0].values
    assert isinstance(first, Tensor)
    # The first steps show the whole path already, coarsely.
    assert torch.corrcoef(torch.stack([first.flatten(), last.values.flatten()]))[0, 1] > 0.9
    rough = live.attribute("integrated_gradients", 0, 2, n_steps=2)
    doubled = live.attribute("integrated_gradients", 0, 2, n_steps=2, tolerance=1e-3)
    assert gap(doubled) < gap(rough) / 4


def test_the_tolerance_is_a_share_of_what_is_to_be_explained(live: xw.LiveModel) -> None:
    """So that the unit of the target does not matter."""

    def points(unit: float) -> tuple[int, bool]:
        found = live.attribute(
            "integrated_gradients", 0, lambda out: unit * out[0, 2], n_steps=2, tolerance=tolerance
        )
        assert found.completeness_gap is not None
        assert found.expected_sum is not None
        return found.steps, abs(found.completeness_gap) <= tolerance * abs(found.expected_sum)

    rough = live.attribute("integrated_gradients", 0, 2, n_steps=2)
    tolerance = abs(rough.completeness_gap / rough.expected_sum) / 2
    assert points(1.0)[0] > 2
    assert points(1e-3) == points(1.0) == points(1e3)


def test_smooth_grad_is_the_mean_of_noisy_gradients(live: xw.LiveModel, plain: Plain) -> None:
    draws = torch.Generator().manual_seed(7)
    scale = 0.2 * (IMAGES[0].max() - IMAGES[0].min())
    noise = torch.randn((5, 3, 8, 8), generator=draws).double() * scale
    noisy = (IMAGES[:1] + noise).requires_grad_()
    (slopes,) = torch.autograd.grad(plain(noisy)[:, 1].sum(), noisy)
    for kind, expected in {
        "smoothgrad": slopes.mean(0, keepdim=True),
        "smoothgrad_sq": slopes.square().mean(0, keepdim=True),
        "vargrad": slopes.var(0, keepdim=True, unbiased=False),
    }.items():
        options = {"nt_samples": 5, "stdevs": 0.2, "seed": 7, "nt_type": kind}
        close(live.attribute("smooth_grad", 0, 1, **options), expected)


def test_the_variance_of_a_gradient_that_noise_does_not_move_is_zero() -> None:
    """Not a little more or less than it: of a linear model, in float32."""
    torch.manual_seed(0)
    model = nn.Linear(50, 3)
    live = xw.LiveModel(model, torch.randn(2, 50))
    found = live.attribute("smooth_grad", 0, 1, nt_samples=9, nt_type="vargrad")
    assert torch.equal(found.values, torch.zeros(1, 50))


@pytest.mark.parametrize("layout", ["channels first", "channels last", "grey"])
@pytest.mark.parametrize("name", ["zero", "mean", "blur", 2, 0.25])
def test_baselines_of_images_are_what_their_names_say(name: Any, layout: str) -> None:
    """Of a linear model integrated gradients are weight × (input − baseline)."""
    channels = 1 if layout == "grey" else 3
    images = torch.randn(4, channels, 12, 20, generator=torch.Generator().manual_seed(5)).double()
    sigma = 0.1 * 12  # a tenth of the shorter side
    smooth = gaussian_filter(images[0].numpy(), (0, sigma, sigma), mode="nearest", truncate=3)
    baseline = {
        "zero": torch.zeros(channels, 12, 20),
        "mean": images[0].mean((1, 2), keepdim=True).expand(channels, 12, 20),
        "blur": torch.from_numpy(smooth),
        2: images[2],
        0.25: torch.full((channels, 12, 20), 0.25),
    }[name]
    if layout == "channels last":
        images, baseline = images.permute(0, 2, 3, 1).contiguous(), baseline.permute(1, 2, 0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 2)).double()
    live = xw.LiveModel(model, images)
    found = live.attribute("integrated_gradients", 0, 1, n_steps=2, baselines=name)
    expected = model[1].weight[1].reshape(images[:1].shape) * (images[0] - baseline)
    close(found, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_long_paths_in_half_precision_are_summed_in_more(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of the gradients that the model gives, however many batches they come in."""
    monkeypatch.setattr(Batches, "size", lambda self, gradients: 1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 3)).to(dtype)
    rows = torch.randn(2, 20).to(dtype)
    start = torch.full_like(rows[:1], 0.3)
    way = rows[:1].double() - start.double()
    mean = torch.zeros(1, 20, dtype=torch.float64)
    for point, weight in zip(*rule(100), strict=True):
        place = (start.float() + point.float() * way.float()).to(dtype).requires_grad_()
        (slopes,) = torch.autograd.grad(model(place)[0, 1], place)
        mean += weight * slopes.double()
    live = xw.LiveModel(model, rows)
    options = {"n_steps": 100, "baselines": start}
    close(live.attribute("integrated_gradients", 0, 1, **options), way * mean, atol=2e-6)


def test_squares_of_small_gradients_do_not_vanish_in_half_precision() -> None:
    """A gradient of 1e-4 is one in float16, its square is not."""
    model = nn.Linear(4, 2, bias=False).half()
    with torch.no_grad():
        model.weight.fill_(1e-4)
    live = xw.LiveModel(model, torch.rand(2, 4).half())
    options = {"nt_samples": 4, "nt_type": "smoothgrad_sq"}
    found = live.attribute("smooth_grad", 0, 1, **options)
    close(found, model.weight[1:].double().square(), atol=1e-14)


def test_shapley_values_of_a_game_known_by_hand() -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1] * x[:, 1:2] + x[:, 2:]

    live = xw.LiveModel(Product(), torch.tensor([[2.0, 3.0, 5.0]]))
    found = live.attribute("shapley_value_sampling", n_samples=400)
    close(found, torch.tensor([[3.0, 3.0, 5.0]]).double(), 0.5)
    assert found.completeness_gap == pytest.approx(0, abs=1e-5)
    exact = live.attribute("kernel_shap", n_samples=400)
    close(exact, torch.tensor([[3.0, 3.0, 5.0]]).double(), 0.3)
    steps = list(live.attribution_steps("shapley_value_sampling", n_samples=4, seed=1))
    assert [one.step for one in steps] == [1, 2, 3, 4]


def test_occlusion_shows_a_coarse_map_first(live: xw.LiveModel, plain: Plain) -> None:
    steps = list(
        live.attribution_steps("occlusion", 0, 1, sliding_window_shapes=(3, 1, 1), strides=1)
    )
    assert "coarse" in steps[0].note
    assert "coarse" not in steps[-1].note
    values = steps[0].values
    assert isinstance(values, Tensor)
    assert values.shape == (1, 1, 8, 8)
    assert values.unique().numel() <= 16
    # Nothing of the coarse map is left in the last.
    without = IMAGES[:1].repeat(64, 1, 1, 1)
    for n in range(64):
        without[n, :, n // 8, n % 8] = 0
    falls = plain(IMAGES[:1])[0, 1] - plain(without)[:, 1]
    close(steps[-1], falls.reshape(1, 1, 8, 8))


def test_gradient_shap_draws_from_its_own_generator(live: xw.LiveModel, plain: Plain) -> None:
    before = torch.get_rng_state()
    one = live.attribute("gradient_shap", 0, 1, n_samples=300, baselines="samples")
    assert torch.equal(torch.get_rng_state(), before)
    again = live.attribute("gradient_shap", 0, 1, n_samples=300, baselines="samples", seed=1)
    assert isinstance(one.values, Tensor)
    assert isinstance(again.values, Tensor)
    # The expectation: integrated gradients, the mean over the baselines.
    expected = sum(
        captum.attr.IntegratedGradients(plain).attribute(IMAGES[:1], IMAGES[n : n + 1], target=1)
        for n in (1, 2, 3)
    )
    difference = plain(IMAGES[:1])[0, 1] - plain(IMAGES[1:])[:, 1].mean()
    assert one.expected_sum == pytest.approx(difference.item())
    for found in (one.values, again.values):
        assert F.cosine_similarity(found.flatten(), expected.flatten(), 0) > 0.95
    assert not torch.equal(one.values, again.values)


def test_gradient_shap_of_a_neuron(live: xw.LiveModel, plain: Plain) -> None:
    """Captum's where the neuron is linear; else by its own draws, and Captum's expectation."""
    given: dict[str, Any] = {"baselines": IMAGES[3:4]}
    exact = captum.attr.NeuronGradientShap(plain, plain.conv1).attribute(
        IMAGES[:1], (2, 3, 4), n_samples=3, **given
    )
    alone = live.attribute(
        "neuron_gradient_shap", 0, layer="conv1", neuron_selector=(2, 3, 4), n_samples=3, **given
    )
    close(alone, exact, 1e-10)
    assert gap(alone) < 1e-10
    given |= {"neuron_selector": (2, 1, 0)}
    drawn = torch.Generator().manual_seed(5)
    torch.randint(1, (6,), generator=drawn)
    shares = torch.rand(6, generator=drawn, dtype=torch.float64).reshape(6, 1, 1, 1)
    points = (IMAGES[3:4] + shares * (IMAGES[:1] - IMAGES[3:4])).requires_grad_()
    neuron = plain.conv2(plain.pool(plain.relu1(plain.conv1(points))))[:, 2, 1, 0]
    (slopes,) = torch.autograd.grad(neuron.sum(), points)
    few = live.attribute("neuron_gradient_shap", 0, layer="conv2", n_samples=6, seed=5, **given)
    close(few, slopes.mean(0, keepdim=True) * (IMAGES[:1] - IMAGES[3:4]), 1e-10)
    expected = captum.attr.NeuronGradientShap(plain, plain.conv2).attribute(
        IMAGES[:1], n_samples=4000, **given
    )
    many = live.attribute("neuron_gradient_shap", 0, layer="conv2", n_samples=4000, **given)
    close(many, expected, 0.03 * float(expected.abs().max()))


def test_saliency_of_a_loss(plain: Plain) -> None:
    live = xw.LiveModel(plain, IMAGES, labels=[4, 0, 1, 2])
    leaf = IMAGES[:1].clone().requires_grad_()
    loss = F.cross_entropy(plain(leaf), torch.tensor([4]))
    (slopes,) = torch.autograd.grad(loss, leaf)
    close(live.attribute("saliency", 0, "cross_entropy"), slopes.abs())
    found = live.attribute("integrated_gradients", 0, "cross_entropy", n_steps=300)
    assert found.target == "cross_entropy"
    expected = loss - F.cross_entropy(plain(torch.zeros_like(leaf)), torch.tensor([4]))
    assert found.total == pytest.approx(expected.item(), abs=2e-3)
