"""Attributions of awkward models: in place, reused, functional, of text, patches, tables."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum.attr._utils.lrp_rules import GammaRule
from small_models import IMAGES, UNCOPYABLE, Classifier, Cnn, Draws, Recurrent, X
from small_networks import Digits, ResNet, Vgg16
from snapshot import untouched
from threads import in_thread
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.attribution import token_scores

EVERY = [
    "gradient", "saliency", "input_x_gradient", "smooth_grad", "integrated_gradients",
    "gradient_shap", "occlusion", "feature_ablation", "shapley_value_sampling", "lime",
    "kernel_shap",
]  # fmt: skip
QUICK: dict[str, dict[str, Any]] = {
    "smooth_grad": {"nt_samples": 3},
    "integrated_gradients": {"n_steps": 4},
    "gradient_shap": {"n_samples": 4},
    "shapley_value_sampling": {"n_samples": 1},
    "lime": {"n_samples": 20, "alpha": 1e-6},
    "kernel_shap": {"n_samples": 20},
    "conductance": {"n_steps": 4},
    "internal_influence": {"n_steps": 4},
}


def numbers(found: Any) -> Tensor:
    assert isinstance(found.values, Tensor)
    assert found.values.isfinite().all()
    assert found.values.any()
    return found.values


def gap(found: Any) -> float:
    assert found.completeness_gap is not None
    return abs(float(found.completeness_gap))


# How ReLUs are written does not matter.


class Relus(nn.Module):
    """Two convolutions and their ReLUs, written in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(64, 3)
        self.way = way
        self.relu, self.relu2 = nn.ReLU(way == "in place"), nn.ReLU(way == "in place")

    def forward(self, x: Tensor) -> Tensor:
        first: Any = {
            "functional": F.relu, "method": lambda x: x.relu_(), "clamp": lambda x: x.clamp(min=0),
        }.get(self.way, self.relu)  # fmt: skip
        second = self.relu2 if self.way in ("modules", "in place") else first
        return self.head(second(self.conv2(first(self.conv1(x)))).flatten(1))


WAYS = ("modules", "in place", "reused", "functional", "method", "clamp")


@pytest.mark.parametrize(
    ("method", "layer"),
    [
        ("guided_backprop", None), ("deconvolution", None), ("integrated_gradients", None),
        ("integrated_gradients", "conv1"), ("integrated_gradients", "conv2"),
        ("conductance", "conv1"), ("conductance", "conv2"), ("grad_cam", "conv1"),
        ("grad_cam", "conv2"), ("input_x_gradient", "conv2"), ("internal_influence", "conv1"),
        ("guided_grad_cam", "conv2"),
    ],
)  # fmt: skip
def test_relus_in_place_reused_and_functional_are_no_obstacle(
    method: str, layer: str | None
) -> None:
    expected = None
    for way in WAYS:
        torch.manual_seed(0)
        live = xw.LiveModel(Relus(way).eval(), IMAGES)
        options = {"n_steps": 4} if method in ("integrated_gradients", "conductance") else {}
        found = numbers(live.attribute(method, 0, 1, layer, **options))
        expected = found if expected is None else expected
        assert torch.allclose(found, expected, atol=1e-7), way


@pytest.mark.parametrize("beside", ["bounds that are tensors", "no gradient"])
def test_what_stands_beside_relus_is_no_obstacle(beside: str) -> None:
    """A clamp to bounds of its own is no ReLU; a ReLU may lie where no gradient arrives."""

    class Stop(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *slopes: Tensor) -> None:
            return None

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 6), nn.Linear(8, 6)
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            maps, other = self.first(x), self.second(x)
            if beside == "no gradient":
                return self.head(F.relu(maps) + Stop.apply(F.relu(other)))
            zeros = torch.zeros(6, dtype=x.dtype)
            return self.head(maps.clamp(min=zeros) + other.clamp(min=zeros + 0.1))

    torch.manual_seed(0)
    model, rows = Two().double(), X[:, 0].double()
    live = xw.LiveModel(model, rows)
    arriving = model.head.weight[1]
    beyond = arriving * (model.second(rows[0]) >= 0.1) * (beside != "no gradient")
    plain = beyond @ model.second.weight
    for method, through in {
        "guided_backprop": arriving.clamp_min(0) * (model.first(rows[0]) > 0),
        "deconvolution": arriving.clamp_min(0),
    }.items():
        found = numbers(live.attribute(method, 0, 1))
        expected = through @ model.first.weight + plain
        assert torch.allclose(found[0], expected, atol=1e-12), method


def test_deep_lift_is_refused_where_its_rules_would_miss_a_relu() -> None:
    for way, said in {
        "functional": "2 of 2 Relu operations are functions",
        "method": "2 of 2 Relu operations are functions",
        "reused": "module 'relu' is called 2 times",
    }.items():
        model = Relus(way).eval()
        live = xw.LiveModel(model, IMAGES)
        for method in ("deep_lift", "deep_lift_shap"):
            with pytest.raises(ValueError, match=said), untouched(model):
                live.attribute(method)
        reasons = {one.name: one.reason for one in live.attribution_methods()}
        assert said in reasons["deep_lift"]
        assert reasons["guided_backprop"] == ""
    for way in ("modules", "in place"):
        live = xw.LiveModel(Relus(way).eval(), IMAGES)
        found = live.attribute("deep_lift", 0, 1)
        assert gap(found) < 1e-5


def test_what_a_method_cannot_do_is_said_before_it_starts() -> None:
    live = xw.LiveModel(Classifier().eval(), X)
    for method, said in {
        "lrp": "there is no rule for LayerNorm",
        "feature_permutation": "needs other samples",
    }.items():
        with pytest.raises(ValueError, match=said):
            xw.LiveModel(live.model, X[:1]).attribute(method)
    smooth = xw.LiveModel(nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2)), X[:, 0])
    for method in ("guided_backprop", "deconvolution"):
        with pytest.raises(xw.ExplainError, match="has none: it would be the plain gradient"):
            smooth.attribute(method)
        reason = {m.name: m.reason for m in smooth.attribution_methods()}[method]
        assert reason == "this forward has no ReLU, so that it would be the plain gradient"
    assert gap(smooth.attribute("deep_lift", 0, 1)) < 1e-5
    mixed = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2))
    found = xw.LiveModel(mixed, X[:, 0]).attribute("guided_backprop")
    assert found.note == "1 ReLUs · plain gradient through GELU"
    lifted = xw.LiveModel(mixed, X[:, 0]).attribute("deep_lift")
    assert "no rule for GELU, layer norm" in lifted.note
    assert gap(lifted) > 1e-4


def test_bad_questions() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    with pytest.raises(ValueError, match="There is no method 'gradcam'; did you mean 'grad_cam'"):
        live.attribute("gradcam")
    with pytest.raises(TypeError, match="has no option 'steps'; its options are n_steps"):
        live.attribute("integrated_gradients", steps=3)
    for options, said in [
        ({"n_steps": 0}, "n_steps=0 must be a number, 1…10000"),
        ({"n_steps": 2.5}, "n_steps=2.5 must be a number"),
        ({"quadrature": "simpson"}, "must be one of 'gauss_legendre'"),
        ({"baselines": "black"}, "baselines='black' is none of"),
        ({"baselines": "padding"}, "is for token ids"),
        ({"baselines": torch.zeros(2, 2)}, r"shape \(2, 2\)"),
        ({"baselines": {"x": 0.0}}, "no input 'x'"),
    ]:
        with pytest.raises(ValueError, match=said):
            live.attribute("integrated_gradients", **options)
    squares = nn.Sequential(
        nn.Unflatten(1, (1, 4, 2)), nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)
    )
    with pytest.raises(xw.GradientError, match=r"the map is \(4, 2\), and the input \(1, 8\)"):
        xw.LiveModel(squares, X[:, 0]).attribute("guided_grad_cam", layer="2")
    for method, layer, options, said in [
        ("occlusion", "head", {}, "takes no layer"),
        ("conductance", None, {}, "name one with layer="),
        ("grad_cam", "head", {}, "needs a layer with maps"),
        ("gradient", None, {"inputs": "mask"}, "no input 'mask'"),
        ("neuron_gradient", "head", {"neuron_selector": 9}, "is no index into layer 'head'"),
        ("neuron_gradient", "features.0", {"neuron_selector": 1}, "picks no single number"),
        ("feature_ablation", None, {"feature_mask": torch.zeros(3)}, "whole numbers"),
        ("occlusion", None, {"sliding_window_shapes": (3, 9, 9)}, "does not fit"),
    ]:
        with pytest.raises((xw.ExplainError, ValueError), match=said):
            live.attribute(method, layer=layer, **options)


# Containers, several inputs, frozen weights.


class Awkward(nn.Module):
    """Tuples with None, a module that is called twice, two inputs, a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.shared = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, left: Tensor, right: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        _, (both, _) = self.pair(left, right * mask)
        return self.head(self.shared(torch.relu(self.shared(both))).mean(1)), None


class Pair(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> tuple[None, tuple[Tensor, str]]:
        return None, (left * right + left, "text")


def test_tuples_none_reused_modules_and_several_inputs() -> None:
    torch.manual_seed(0)
    model = Awkward().eval()
    model.requires_grad_(False)
    inputs = {"left": X, "right": X.flip(0), "mask": torch.ones_like(X)}
    live = xw.LiveModel(model, inputs)
    pick = lambda output: output[0][0, 1]  # noqa: E731
    leaves = [X[:1].clone().requires_grad_(), X.flip(0)[:1].clone().requires_grad_()]
    slopes = torch.autograd.grad(model(*leaves, inputs["mask"][:1])[0][0, 1], leaves)
    with untouched(model):
        found = live.attribute("gradient", 0, pick)
        path = live.attribute("integrated_gradients", 0, pick, n_steps=100)
        one = live.attribute("integrated_gradients", 0, pick, inputs="right")
        first, second = (
            live.attribute("input_x_gradient", 0, pick, layer) for layer in ("shared", "shared:1")
        )
        inside = live.attribute("integrated_gradients", 0, pick, "pair", n_steps=100)
    assert isinstance(found.values, dict)
    assert list(found.values) == ["left", "right"]
    for values, expected in zip(found.values.values(), slopes, strict=True):
        assert torch.allclose(values, expected, atol=1e-6)
    assert gap(path) < 1e-3
    assert gap(inside) < 1e-3
    assert numbers(one).shape == X[:1].shape
    # The second call is linear up to the output: what goes through it sums to it.
    assert second.total == pytest.approx(
        live.batches(0, pick).score - float(model.head.bias[1]), abs=1e-4
    )
    assert not torch.allclose(numbers(first), numbers(second))


def test_entries_that_influence_each_other() -> None:
    class Mixes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.square().mean(1)
            return x - x.mean(0, keepdim=True) / 2

    live = xw.LiveModel(Mixes(), X)
    found = live.attribute("integrated_gradients", 0, 1)
    expected = torch.zeros(1, 5, 8)
    expected[0, :, 1] = X[0, :, 1].square() / 10
    assert torch.allclose(numbers(found), expected, atol=1e-5)
    assert "one by one" in found.note
    with pytest.raises(ValueError, match="entries of a batch influence each other"):
        live.attribute("deep_lift", 0, 1)


# Text.


def bert(layers: int = 2) -> Any:
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, num_labels=3, pad_token_id=0,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config).eval()


TEXT = {
    "input_ids": torch.tensor([[2, 7, 9, 11, 3]]),
    "attention_mask": torch.ones(1, 5, dtype=torch.int64),
}


@pytest.mark.parametrize("method", EVERY)
def test_text_is_attributed_at_its_embedding(method: str) -> None:
    model = bert()
    live = xw.LiveModel(model, TEXT)
    with untouched(model):
        found = live.attribute(method, 0, 1, **QUICK.get(method, {}))
    assert token_scores(numbers(found)).shape == (5,)


def test_gradients_of_tokens_are_those_of_their_embedding() -> None:
    model = bert()
    words = model.bert.embeddings.word_embeddings(TEXT["input_ids"]).detach().requires_grad_()
    out = model(inputs_embeds=words, attention_mask=TEXT["attention_mask"]).logits[0, 2]
    (slopes,) = torch.autograd.grad(out, words)
    live = xw.LiveModel(model, TEXT)
    assert torch.allclose(numbers(live.attribute("gradient", 0, 2)), slopes, atol=1e-6)
    padding = model.bert.embeddings.word_embeddings(torch.zeros(1, 5, dtype=torch.int64))
    alone = model(inputs_embeds=padding, attention_mask=TEXT["attention_mask"]).logits[0, 2]
    path = live.attribute("integrated_gradients", 0, 2)
    assert path.expected_sum == pytest.approx((out - alone).item(), abs=1e-6)
    assert gap(path) < 1e-3 * float(numbers(path).abs().sum())
    assert "padding" in path.note
    # Taking a token out is: its embedding becomes that of padding.
    gone = words.detach().clone()
    gone[0, 3] = padding[0, 3]
    fall = out - model(inputs_embeds=gone, attention_mask=TEXT["attention_mask"]).logits[0, 2]
    taken = numbers(live.attribute("occlusion", 0, 2))
    assert taken.shape == (1, 5, 1)
    assert float(taken[0, 3, 0]) == pytest.approx(fall.item(), abs=1e-6)


def test_a_language_model_with_frozen_weights() -> None:
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=40, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    model = transformers.GPT2LMHeadModel(config).eval().requires_grad_(False)
    live = xw.LiveModel(model, {"input_ids": torch.tensor([[5, 8, 13, 21]])})
    with untouched(model):
        found = live.attribute("input_x_gradient")
        flow = live.attribute("conductance", layer="transformer.h.0", n_steps=6)
    assert found.target == int(model(torch.tensor([[5, 8, 13, 21]])).logits[0, -1].argmax())
    assert numbers(found).shape == (1, 4, 16)
    assert numbers(flow).shape == (1, 4, 16)
    early = live.attribute("gradient", target=lambda output: output.logits[0, 1, 3])
    # What comes later has no part in an earlier prediction.
    assert numbers(early)[0, 2:].abs().max() == 0


def test_ids_that_no_module_embeds() -> None:
    class Counts(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            return F.one_hot(ids, 5).float().mean(1)

    live = xw.LiveModel(Counts(), {"ids": torch.tensor([[1, 2, 2]])})
    with pytest.raises(xw.GradientError, match="No module takes the token ids 'ids'"):
        live.attribute("gradient")
    reasons = {one.name: one.reason for one in live.attribution_methods()}
    assert "No module takes the token ids" in reasons["saliency"]


# Patches and tables.


def test_grad_cam_of_a_vision_transformer() -> None:
    import transformers

    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8, num_labels=4,
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    live = xw.LiveModel(model, {"pixel_values": torch.randn(1, 3, 32, 32)})
    name = next(one.name for one in live.feature_layers() if one.name.endswith("layers.1"))
    found = live.attribute("grad_cam", 0, 2, name)
    tokens, slopes = live.activation(name), live.gradient(name, 0, 2)
    weights = slopes[0, 1:].mean(0)
    expected = (tokens[0, 1:] * weights).sum(-1).reshape(4, 4)
    assert found.values.shape == (1, 1, 4, 4)  # type: ignore[union-attr]
    assert torch.allclose(numbers(found)[0, 0], expected, atol=1e-6)
    # In the last layer only the class token is read.
    last = live.attribute("grad_cam", 0, 2, "vit.layers.2")
    assert "take an earlier layer" in last.note
    assert not last.values.any()  # type: ignore[union-attr]
    chosen = live.attribute("grad_cam", 0, 2)
    assert (chosen.layer, numbers(chosen).shape) == ("vit.layers.2.layernorm_before", (1, 1, 4, 4))
    assert numbers(live.attribute("gradient", 0, 2)).shape == (1, 3, 32, 32)


def test_a_table_with_a_trained_model() -> None:
    from sklearn.datasets import load_wine

    data = load_wine()
    x = torch.tensor(data.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    y = torch.tensor(data.target)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.zero_grad()
    live = xw.LiveModel(model.eval(), x, labels=data.target)
    sums = {}
    for method in ("integrated_gradients", "shapley_value_sampling", "deep_lift", "kernel_shap"):
        found = live.attribute(method, 3, baselines="mean", **{
            "kernel_shap": {"n_samples": 2000}, "integrated_gradients": {"n_steps": 200},
        }.get(method, {}))  # fmt: skip
        assert found.target == 0
        assert gap(found) < 0.02 * abs(found.expected_sum or 0)
        sums[method] = numbers(found)[0]
    together = torch.corrcoef(torch.stack(list(sums.values())))
    assert together.min() > 0.9
    assert torch.allclose(sums["shapley_value_sampling"], sums["kernel_shap"], atol=0.4)


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (Cnn(), IMAGES), (Classifier(), X), (Recurrent(), X), (Digits(), torch.rand(2, 1, 28, 28)),
        (ResNet(), torch.randn(2, 3, 32, 32)), (Vgg16(32), torch.randn(2, 3, 32, 32)),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_users_model_is_untouched_by_every_method(model: nn.Module, x: Tensor) -> None:
    model.train()
    live = xw.LiveModel(model, x)
    answered: list[str] = []
    layer = next(one.name for one in live.feature_layers() if one.name and one.height > 1) \
        if x.ndim == 4 else live.feature_layers()[0].name  # fmt: skip
    with untouched(model):
        for method in live.attribution_methods():
            options = dict(QUICK.get(method.name.removeprefix("neuron_"), {}))
            if method.of_neuron:
                options["neuron_selector"] = lambda output: output.flatten()[3]
            where = None if method.layer == "never" else layer
            if "grad_cam" in method.name and x.ndim == 3:
                where = None
            # Before the first ReLU a neuron has no guided gradient, and rows have no Grad-CAM.
            with suppress(xw.ExplainError):
                answered.append(live.attribute(method.name, 0, 1, where, **options).method)
    assert len(answered) > 15
    assert model.training


def test_lrp_leaves_the_weights_alone_and_knows_what_is_linear() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Identity(), nn.AvgPool2d(2),
        nn.Dropout2d(), nn.Flatten(), nn.Linear(36, 3, bias=False),
    ).eval()  # fmt: skip
    live = xw.LiveModel(model, IMAGES)
    with untouched(model):
        found = live.attribute("lrp", 0, 1)
    # Without biases the ε-rule gives input × gradient.
    expected = numbers(live.attribute("input_x_gradient", 0, 1))
    assert torch.allclose(numbers(found), expected, atol=1e-5)
    assert gap(found) < 1e-5
    # What a run of Captum that has failed leaves on modules, and a rule that changes weights.
    model[1].rule = None  # type: ignore[assignment]
    model[0].rule = GammaRule(set_bias_to_zero=True)  # type: ignore[assignment]
    with untouched(model):
        ruled = live.attribute("lrp", 0, 1)
    assert not torch.allclose(numbers(ruled), expected, atol=1e-5)
    layer = nn.Linear(8, 8)
    twice = xw.LiveModel(nn.Sequential(layer, nn.ReLU(), layer), X[:, 0])
    with pytest.raises(ValueError, match="module '0' is called 2 times"):
        twice.attribute("lrp")


@pytest.mark.parametrize("why", ["lock", "closure"])
def test_a_model_that_cannot_be_copied(why: str) -> None:
    model = UNCOPYABLE[why](Cnn().eval())
    live = xw.LiveModel(model, IMAGES)
    with untouched(model):
        for method in ("gradient", "integrated_gradients", "occlusion", "guided_backprop"):
            numbers(live.attribute(method, 0, 1, **QUICK.get(method, {})))


def test_beside_a_running_cell_nothing_shared_is_drawn() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    before = torch.get_rng_state()
    for method in ("smooth_grad", "gradient_shap", "shapley_value_sampling", "lime", "kernel_shap"):
        in_thread(lambda method=method: live.attribute(method, 0, 1, **QUICK[method]))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_draws_in_evaluation_mode() -> None:
    model = Draws()
    with untouched(model):
        numbers(xw.LiveModel(model, X).attribute("integrated_gradients", 0, 1, n_steps=4))


def test_answers_are_kept_until_the_weights_change() -> None:
    model = Digits().eval()
    live = xw.LiveModel(model, torch.rand(2, 1, 28, 28))
    first = live.attribute("integrated_gradients", 0, 3, n_steps=4)
    Digits.forwards = 0
    assert live.attribute("integrated_gradients", 0, 3, n_steps=4) is first
    assert live.attribute("occlusion", 0, 3) is not None
    after = Digits.forwards
    assert live.attribute("integrated_gradients", 0, 3, n_steps=4) is first
    assert Digits.forwards == after
    with torch.no_grad():
        model.fc3.weight.mul_(2)
    again = live.attribute("integrated_gradients", 0, 3, n_steps=4)
    assert torch.allclose(numbers(again), 2 * numbers(first), atol=1e-6)


def test_weights_that_change_on_the_way_are_said() -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    notes = []
    for one in live.attribution_steps("integrated_gradients", 0, 1, n_steps=200):
        notes.append(one.note)
        with torch.no_grad():
            model.head.weight.mul_(1.1)
    assert "the weights changed meanwhile" not in notes[0]
    assert "the weights changed meanwhile" in notes[-1]


def test_costs_are_told_before() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    cost = live.attribution_cost("integrated_gradients", 0, 1, n_steps=30)
    assert (cost.forwards, cost.backwards) == (2, 30)
    assert cost.seconds > 0
    assert cost.bytes > 0
    assert "30 with a backward" in cost.words
    runs = live.attribution_cost(
        "feature_ablation", 0, 1, feature_mask=torch.arange(8)[:, None] // 2
    )
    assert runs.forwards == 1 + 4
    names = {one.name: one for one in live.attribution_methods()}
    assert names["integrated_gradients"].needs_baseline
    assert names["integrated_gradients"].is_progressive
    assert [option.name for option in names["grad_cam"].options] == ["relu_attributions"]
    for one in names.values():
        assert one.title
        assert one.definition
        assert one.source
        assert all(option.words for option in one.options)
