"""Trust on the live model: held against the model itself, called on each altered input."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum import metrics
from scipy import stats
from small_models import IMAGES, UNCOPYABLE, WIDTH, Cnn, Draws, X
from snapshot import untouched
from threads import in_thread
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.faithfulness import Faithfulness
from explain_widgets.live.errors import GradientError
from explain_widgets.live.trust.curves import named
from explain_widgets.live.trust.replaceable import FeatureError, replaceable
from explain_widgets.live.trust.varied import FIRST_VARIATION

ROWS = torch.randn(5, 6, generator=torch.Generator().manual_seed(3))


def last(steps: Any) -> Any:
    *_, found = steps
    return found


def linear() -> nn.Linear:
    torch.manual_seed(2)
    return nn.Linear(6, 3)


def mlp() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


class Words(nn.Module):
    """A bag of words, with a bend; looks at the ids in one place only."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.embed = nn.Embedding(30522, 8)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> Tensor:
        words = self.mix(self.embed(input_ids)).tanh() * attention_mask[..., None]
        return self.head(words.sum(1))


def given(values: Tensor, target: int = 1, method: str = "given") -> Attribution:
    return Attribution(values, method, target)


def plain(
    order: list[int], model: nn.Module, values: Tensor, baseline: Tensor, groups: Tensor
) -> list[float]:
    """The probability of class 1 while features go, one after the other."""
    altered = values.clone()
    found = []
    for feature in [None, *order]:
        if feature is not None:
            altered[groups == feature] = baseline[groups == feature]
        with torch.no_grad():
            found.append(float(model(altered[None])[0].softmax(0)[1]))
    return found


# --- deletion and insertion -------------------------------------------------------------------


def test_curves_of_a_table_are_those_of_the_model_itself() -> None:
    model = mlp()
    live = xw.LiveModel(model, ROWS)
    values = torch.randn(1, 6)
    with untouched(model):
        found: Faithfulness = last(live.faithfulness(given(values), sample=2, points=7))
    order = values[0].argsort(descending=True).tolist()
    groups, zero = torch.arange(6), torch.zeros(6)
    deletion = plain(order, model, ROWS[2], zero, groups)
    insertion = plain(order[::-1], model, ROWS[2], zero, groups)[::-1]
    np.testing.assert_allclose(found.deletion.scores[0], deletion, atol=1e-6)
    np.testing.assert_allclose(found.insertion.scores[0], insertion, atol=1e-6)
    assert found.note == "probability of class 1 · 6 columns · baseline: zero"


def test_the_logit_of_a_linear_model_falls_by_the_share_of_each_feature() -> None:
    model = linear()
    live = xw.LiveModel(model, ROWS)
    shares = (model.weight[1] * ROWS[0]).detach()
    found = last(live.faithfulness(given(shares[None]), points=7, probability=False))
    with torch.no_grad():
        left = model(ROWS[:1])[0, 1] - shares.sort(descending=True).values.cumsum(0)
    np.testing.assert_allclose(found.deletion.scores[0, 1:], left, atol=1e-5)
    assert "logit of class 1" in found.note


@pytest.mark.parametrize("channels_last", [False, True])
def test_patches_of_an_image_are_replaced_with_all_their_channels(channels_last: bool) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Cnn()

        def forward(self, image: Tensor) -> Tensor:
            return self.inner(image.permute(0, 3, 1, 2))

    torch.manual_seed(1)
    model = (Turned() if channels_last else Cnn()).eval()
    images = IMAGES.permute(0, 2, 3, 1).contiguous() if channels_last else IMAGES
    live = xw.LiveModel(model, images)
    values, baseline = torch.randn(images[:1].shape), torch.randn(images[:1].shape)
    steps = live.faithfulness(given(values), 1, patch=4, baselines=baseline, points=5)
    found = last(steps)
    cells = torch.arange(64).reshape(8, 8)
    groups = (cells // 8 // 4) * 2 + cells % 8 // 4
    groups = groups[..., None].expand(8, 8, 3) if channels_last else groups.expand(3, 8, 8)
    sums = torch.stack([values[0][groups == n].sum() for n in range(4)])
    order = sums.argsort(descending=True).tolist()
    deletion = plain(order, model, images[1], baseline[0], groups)
    np.testing.assert_allclose(found.deletion.scores[0], deletion, atol=1e-6)
    assert found.deletion.features == 4


def test_words_become_padding_and_special_tokens_stay(minilm_tokenizer: Any) -> None:
    model = Words()
    live = xw.LiveModel(
        model, ["a fine day", "what a truly awful film"], tokenizer=minilm_tokenizer
    )
    ids = live.samples[1].kwargs["input_ids"]
    values = torch.randn(1, ids.shape[1], 8)
    with untouched(model):
        found = last(live.faithfulness(given(values), sample=1, points=100))
    inner = values[0, 1:-1].sum(-1)
    altered, expected = ids.clone(), []
    for position in [None, *inner.argsort(descending=True).tolist()]:
        if position is not None:
            altered[0, position + 1] = minilm_tokenizer.pad_token_id
        with torch.no_grad():
            output = model(altered, torch.ones_like(ids))
        expected.append(float(output[0].softmax(0)[1]))
    assert found.deletion.features == ids.shape[1] - 2
    np.testing.assert_allclose(found.deletion.scores[0], expected, atol=1e-6)
    assert "5 tokens · baseline: padding" in found.note


def test_padded_places_are_no_features() -> None:
    ids = torch.tensor([[5, 6, 7, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    live = xw.LiveModel(Words(), {"input_ids": ids, "attention_mask": mask})
    found = last(live.faithfulness(given(torch.randn(1, 5, 8))))
    assert found.deletion.features == 3


def test_steps_of_a_sequence_of_vectors() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(5 * WIDTH, 3))
    live = xw.LiveModel(model, X)
    found = last(live.faithfulness(given(torch.randn(1, 5, WIDTH)), points=6))
    assert found.deletion.features == 5
    assert "5 steps" in found.note


def test_maps_of_a_layer_are_stretched_over_the_image() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    maps = torch.zeros(1, 6, 2, 2)
    maps[0, 3, 1, 0] = 1
    found = last(live.faithfulness(given(maps), patch=4, points=5))
    one = torch.zeros(1, 3, 8, 8)
    one[0, :, 5, 2] = 1  # bottom left as well
    other = last(live.faithfulness(given(one), patch=4, points=5))
    assert found.deletion.scores[0, 1] == other.deletion.scores[0, 1]
    # What is handed out over channels adds up: their mean would foretell less.
    maps = torch.randn(1, 6, 2, 2, generator=torch.Generator().manual_seed(0))
    options = {"perturbation": "removal", "patch": 4, "count": 8}
    several = live.infidelity(given(maps), **options).value
    joined = live.infidelity(given(maps.sum(1, keepdim=True)), **options).value
    assert several == pytest.approx(joined)


def test_several_methods_go_side_by_side_and_share_the_random_orders() -> None:
    live = xw.LiveModel(mlp(), ROWS)
    one, two = given(torch.randn(1, 6)), given(torch.randn(1, 6))
    found = last(live.faithfulness([one, two], points=7))
    assert found.deletion.names == ("given", "given 2")
    alone = last(live.faithfulness(two, points=7))
    np.testing.assert_allclose(found.insertion.scores[1], alone.insertion.scores[0], atol=1e-6)
    random = found.random_deletion.scores, alone.random_deletion.scores
    np.testing.assert_allclose(*random, atol=1e-6)


def test_names_say_the_layer() -> None:
    one = Attribution(torch.zeros(1), "grad_cam", 0, "conv1")
    other = Attribution(torch.zeros(1), "grad_cam", 0, "conv2")
    assert list(named([one, other, one])) == [
        "grad_cam · conv1", "grad_cam · conv2", "grad_cam · conv1 2",
    ]  # fmt: skip


def test_other_questions_come_between_two_steps() -> None:
    model = mlp()
    live = xw.LiveModel(model, ROWS)
    steps = live.faithfulness(given(torch.randn(1, 6)), points=7)
    first = next(steps)
    assert first.progress < 1
    assert torch.equal(live.output(3), model(ROWS[3:4]))
    next(steps)
    steps.close()


@pytest.mark.parametrize(
    ("attributions", "words"),
    [
        ([], "no attribution"),
        ([given(torch.randn(1, 6), 0), given(torch.randn(1, 6), 1)], "2 targets cannot"),
        (given(torch.randn(1, 7)), r"shape \(1, 7\) does not lie on .* shape \(6,\)"),
        (given({"1": torch.randn(1, 6)}), "is of '1', and features of '0'"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(attributions: Any, words: str) -> None:
    live = xw.LiveModel(mlp(), ROWS)
    with pytest.raises(FeatureError, match=words):
        last(live.faithfulness(attributions))


def test_patches_of_a_table_are_refused() -> None:
    live = xw.LiveModel(mlp(), ROWS)
    with pytest.raises(FeatureError, match="patch=2 is for images"):
        last(live.faithfulness(given(torch.randn(1, 6)), patch=2))


def test_large_images_are_cut_into_few_enough_patches() -> None:
    live = xw.LiveModel(Cnn().eval(), torch.rand(1, 3, 224, 160))
    with live._access.reading():
        found = replaceable(live._access, live.samples[0])
    assert found.count == 32 * 23
    assert "736 patches, 7 pixels wide" in found.note


def test_a_neuron_is_not_the_output() -> None:
    live = xw.LiveModel(mlp(), ROWS)
    one = live.attribute("neuron_gradient", layer="1", neuron_selector=2)
    with pytest.raises(FeatureError, match="attributes a neuron of '1'"):
        last(live.faithfulness(one))
    with pytest.raises(FeatureError, match="attributes a neuron of '1'"):
        live.infidelity(one)


# --- infidelity and sensitivity ---------------------------------------------------------------


def test_shares_of_a_linear_model_foretell_every_removal() -> None:
    model = linear()
    live = xw.LiveModel(model, ROWS)
    shares = (model.weight[1] * ROWS[0]).detach()[None]
    with untouched(model):
        right = live.infidelity(given(shares))
        wrong = live.infidelity(given(2 * shares))
    assert right.value < 1e-10
    assert right.perturbation == "removal"
    assert (right.done, right.count) == (64, 64)
    assert wrong.value > 1e-3
    assert wrong.scaled < 1e-10


def test_slopes_of_a_linear_model_foretell_all_noise() -> None:
    model = linear()
    live = xw.LiveModel(model, ROWS)
    slopes = model.weight[1:2].detach()
    found = live.infidelity(given(slopes, method="gradient"), deviation=0.5)
    assert found.perturbation == "noise"
    assert found.value < 1e-10
    assert live.infidelity(given(-slopes, method="gradient"), deviation=0.5).value > 1e-2


def test_infidelity_of_noise_is_captums() -> None:
    model = mlp()
    slopes = torch.randn(1, 6)
    found = xw.LiveModel(model, ROWS).infidelity(
        given(slopes), 2, perturbation="noise", count=20, deviation=0.3, seed=9
    )
    generator = torch.Generator().manual_seed(9)
    noise = torch.randn(20, 6, generator=generator) * 0.3
    for scaled, value in ((False, found.value), (True, found.scaled)):
        expected = metrics.infidelity(
            model, lambda x: (noise, x - noise), ROWS[2:3], slopes, target=1,
            n_perturb_samples=20, normalize=scaled,
        )  # fmt: skip
        assert value == pytest.approx(float(expected), rel=1e-4)


def test_noise_needs_a_slope_for_each_number() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    with pytest.raises(FeatureError, match='or perturbation="removal"'):
        live.infidelity(given(torch.randn(1, 1, 8, 8)), perturbation="noise")
    assert live.infidelity(given(torch.randn(1, 1, 8, 8)), count=3).count == 3


def test_what_was_found_for_squares_of_an_image_is_shared_out_among_their_pixels() -> None:
    """A linear model: each square foretells its own removal."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    live = xw.LiveModel(model, IMAGES)
    mask = (torch.arange(8)[:, None] // 4) * 2 + torch.arange(8) // 4
    one = live.attribute("feature_ablation", 1, feature_mask=mask)
    assert live.infidelity(one, 1, patch=4).value < 1e-9


def test_integrated_gradients_foretell_what_a_bag_of_words_says_without_words(
    minilm_tokenizer: Any,
) -> None:
    """Words add up behind their bend: the sum of all of a word is what it adds."""
    live = xw.LiveModel(Words(), ["what a truly awful film"], tokenizer=minilm_tokenizer)
    one = live.attribute("integrated_gradients", n_steps=50)
    assert live.infidelity(one).value < 1e-9
    assert live.infidelity(live.attribute("input_x_gradient")).value > 1e-6


def test_sensitivity_of_the_gradient_is_captums() -> None:
    model = mlp()
    live = xw.LiveModel(model, ROWS)
    with untouched(model):
        found = live.sensitivity("gradient", 2, 1, radius=0.3, count=6, seed=5)
    generator = torch.Generator().manual_seed(5)
    noise = [torch.rand(1, 6, generator=generator) * 2 - 1 for _ in range(6)]
    nearby = ROWS[2:3] + torch.cat(noise) * 0.3

    def gradient(inputs: Any) -> Any:
        leaf = (inputs if isinstance(inputs, Tensor) else inputs[0]).detach().requires_grad_()
        with torch.enable_grad():
            found = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)[0]
        return found if isinstance(inputs, Tensor) else (found,)

    expected = metrics.sensitivity_max(
        gradient, ROWS[2:3], perturb_func=lambda x: nearby, n_perturb_samples=6
    )
    assert found.value == pytest.approx(float(expected), rel=1e-4)
    assert 0 < found.mean < found.value
    assert found.count == 6


def test_sensitivity_keeps_the_class_that_is_predicted_for_the_sample() -> None:
    """Noise that turns the prediction over: the slope of a linear model's class stays."""
    live = xw.LiveModel(linear(), ROWS)
    assert live.sensitivity("gradient", radius=100.0).value == 0


def test_variations_are_no_samples_of_the_collection() -> None:
    live = xw.LiveModel(mlp(), ROWS)
    live.sensitivity("gradient", count=2)
    assert len(live.samples) == 5
    with pytest.raises(IndexError):
        live.samples[FIRST_VARIATION]


@pytest.mark.parametrize("method", ["gradient", "input_x_gradient", "integrated_gradients"])
def test_sensitivity_to_what_token_ids_are_embedded_as(method: str) -> None:
    """By the definition, on the model behind its embedding; the baseline does not move."""
    ids = torch.tensor([[5, 6, 7]])
    model = Words().double()
    live = xw.LiveModel(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    options: dict[str, Any] = {"n_steps": 7} if method == "integrated_gradients" else {}
    with untouched(model):
        found = live.sensitivity(method, 0, 1, radius=0.5, count=4, seed=3, **options)
    assert "embedding, whose numbers deviate by" in found.note

    def explained(vectors: Tensor) -> Tensor:
        leaf = vectors.detach().requires_grad_()
        padding = model.embed(torch.zeros_like(ids)).detach()
        if method == "integrated_gradients":
            points, weights = np.polynomial.legendre.leggauss(7)
            total = torch.zeros_like(leaf)
            for point, weight in zip(points, weights, strict=True):
                at = padding + (point + 1) / 2 * (leaf - padding)
                total = total + weight / 2 * slope(at)
            return (leaf - padding) * total
        return slope(leaf) * (leaf if method == "input_x_gradient" else 1)

    def slope(vectors: Tensor) -> Tensor:
        leaf = vectors.detach().requires_grad_()
        score = model.head(model.mix(leaf).tanh().sum(1))[0, 1]
        return torch.autograd.grad(score, leaf)[0]

    generator = torch.Generator().manual_seed(3)
    own = model.embed(ids).detach()
    here = explained(own)
    noise = [(torch.rand(1, 3, 8, generator=generator) * 2 - 1) * 0.5 for _ in range(4)]
    here = here.detach()
    there = [explained(own + one).detach() for one in noise]
    moved = [float((one - here).norm() / here.norm()) for one in there]
    assert found.value == pytest.approx(max(moved), rel=1e-5)
    assert found.mean == pytest.approx(sum(moved) / 4, rel=1e-5)
    # What was moved was beside the live model, which answers as before.
    after = live.attribute(method, 0, 1, **options).values
    assert isinstance(after, Tensor)
    assert torch.allclose(after, here)


def test_ids_that_nothing_embeds_cannot_move_a_little() -> None:
    class Counted(nn.Module):
        def forward(self, input_ids: Tensor) -> Tensor:
            return F.one_hot(input_ids, 10).float().sum(1)

    live = xw.LiveModel(Counted(), {"input_ids": torch.tensor([[5, 6, 7]])})
    with pytest.raises(GradientError, match="No module takes the token ids"):
        live.sensitivity("gradient")


# --- randomisation ----------------------------------------------------------------------------


def test_randomisation_of_a_method() -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    with untouched(model):
        steps = list(live.randomisation("input_x_gradient", 1, 2))
    assert [step.layer for step in steps] == [
        None,
        "head",
        "features.3",
        "features.1",
        "features.0",
    ]
    assert steps[0].similarity == (1, 1)
    assert steps[-1].similarity.signed < 0.8
    assert steps[-1].values.shape == (1, 3, 8, 8)


def test_randomisation_keeps_the_class_that_the_model_predicts() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    predicted = int(live.class_scores(1).argmax())
    free, fixed = live.randomisation("gradient", 1), live.randomisation("gradient", 1, predicted)
    assert [s.similarity for s in free] == [s.similarity for s in fixed]


def test_the_seed_is_also_that_of_a_method_that_draws() -> None:
    live = xw.LiveModel(mlp(), ROWS)
    drawn = live.attribute("smooth_grad", 1, 2, nt_samples=2, seed=3).values
    first = next(live.randomisation("smooth_grad", 1, 2, nt_samples=2, seed=3))
    assert torch.equal(first.values, drawn)
    # A selection of an explorer holds the seed among the options of its method.
    assert math.isfinite(live.sensitivity("smooth_grad", 1, 2, nt_samples=2, seed=3).value)


# --- agreement --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["infidelity", "sensitivity", "agreement"])
def test_the_last_step_is_asked_for_under_the_same_signature(name: str) -> None:
    last, steps = (getattr(xw.LiveModel, name + end) for end in ("", "_steps"))
    assert last.__name__ == name
    assert inspect.signature(last).parameters == inspect.signature(steps).parameters
    assert last.__doc__ == steps.__doc__


def test_agreement_is_the_rank_correlation_of_the_features() -> None:
    model = mlp()
    live = xw.LiveModel(model, ROWS)
    with untouched(model):
        found = live.agreement(["gradient", "input_x_gradient"], samples=[1, 3], target=2)
    assert found.names == ("gradient", "input_x_gradient")
    assert found.samples == (1, 3)
    for matrix, sample in zip(found.matrices, (1, 3), strict=True):
        leaf = ROWS[sample : sample + 1].clone().requires_grad_()
        (slopes,) = torch.autograd.grad(model(leaf)[0, 2], leaf)
        expected = stats.spearmanr(slopes[0], (slopes * leaf)[0].detach()).statistic
        assert float(matrix[0, 1]) == pytest.approx(expected, abs=1e-9)
    assert float(found.mean[0, 1]) == pytest.approx(float(found.matrices[:, 0, 1].mean()))


def test_magnitudes_agree_where_signs_do_not() -> None:
    live = xw.LiveModel(mlp(), ROWS)
    signed = live.agreement(["gradient", "saliency"], absolute=False)
    absolute = live.agreement(["gradient", "saliency"], absolute=True)
    assert float(absolute.mean[0, 1]) == 1
    assert float(signed.mean[0, 1]) < 1


# --- the table --------------------------------------------------------------------------------


def test_a_table_of_methods_and_samples() -> None:
    model = mlp()
    live = xw.LiveModel(model, ROWS)
    every = ["curves", "infidelity", "sensitivity", "completeness", "randomisation"]
    with untouched(model):
        steps = list(live.evaluation(["gradient", "input_x_gradient"], [0, 3], every, target=1))
    progress = [step.progress for step in steps]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    table = steps[-1].to_dataframe()
    assert table["sample"].tolist() == [0, 0, 0, 3, 3, 3]
    assert table["method"].tolist() == ["gradient", "input_x_gradient", "random"] * 2
    row = table.iloc[4]
    one = live.attribute("input_x_gradient", 3, 1)
    areas = last(live.faithfulness(one, 3)).to_dicts()
    assert row["deletion"] == pytest.approx(areas[0]["deletion"], abs=1e-6)
    assert table.iloc[5]["insertion_spread"] == pytest.approx(
        areas[1]["insertion_spread"], abs=1e-6
    )
    assert row["infidelity"] == pytest.approx(live.infidelity(one, 3).value, abs=1e-6)
    assert row["sensitivity"] == live.sensitivity("input_x_gradient", 3, 1).value
    randomised = last(live.randomisation("input_x_gradient", 3, 1)).similarity
    assert row["randomisation"] == randomised.signed
    with torch.no_grad():
        change = model(ROWS[3:4])[0, 1] - model(torch.zeros(1, 6))[0, 1]
    assert row["completeness_gap"] == pytest.approx(one.total - float(change), abs=1e-5)


def test_rows_are_there_while_the_table_is_filled() -> None:
    live = xw.LiveModel(mlp(), ROWS)
    steps = live.evaluation(["gradient"], [0, 1], ["curves"])
    first = next(steps)
    assert [row["method"] for row in first.rows] == ["gradient"]
    assert "deletion" not in first.rows[0]
    assert first.doing == "sample 0: attributions"
    for _ in steps:
        pass
    assert "deletion" not in first.rows[0]


def test_a_method_with_two_settings() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    methods = {
        "early": {"method": "grad_cam", "layer": "features.1"},
        "late": {"method": "grad_cam", "layer": "features.3"},
    }
    found = last(live.evaluation(methods, [0], ["curves"], options={"curves": {"points": 5}}))
    assert [row["method"] for row in found.rows] == ["early", "late", "random"]
    assert all(math.isfinite(row["deletion"]) for row in found.rows)


def test_a_cell_that_cannot_be_filled_says_why_and_stops_no_other() -> None:
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    live = xw.LiveModel(Words(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    neuron = {"method": "neuron_gradient", "layer": "mix", "neuron_selector": (0, 2)}
    found = last(live.evaluation({"neuron": neuron}, [0, 1], ["infidelity", "sensitivity"]))
    assert len(found.rows) == 2
    for row in found.rows:
        assert "attributes a neuron of 'mix'" in row["problem"]
        assert math.isfinite(row["sensitivity"])
    table = found.to_dataframe()
    assert "infidelity" not in table


def test_a_method_without_finite_numbers_stops_no_other() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.abs().sqrt())

    rows = ROWS.clone()
    rows[0, 2] = 0
    live = xw.LiveModel(Root(), rows)
    found = last(live.evaluation(["gradient", "occlusion"], [0], ["curves"]))
    assert "1 features have no finite attribution" in found.rows[0]["problem"]
    assert math.isfinite(found.rows[1]["deletion"])
    assert "problem" not in found.rows[1]


def test_squares_that_are_ablated_leave_no_gap_in_a_linear_model() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    mask = (torch.arange(8)[:, None] // 4) * 2 + torch.arange(8) // 4
    methods = {"squares": {"method": "feature_ablation", "feature_mask": mask}}
    found = last(xw.LiveModel(model, IMAGES).evaluation(methods, [0], ["completeness"]))
    assert found.rows[0]["completeness_gap"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ((["gradient"], [0], ["beauty"]), "no metric 'beauty': metrics are \"curves\""),
        ((["gradient"], []), "There is no sample"),
        ((["gradient", "gradient"], [0]), "different names"),
    ],
)
def test_a_table_that_cannot_be_made_is_refused_at_once(asked: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        xw.LiveModel(mlp(), ROWS).evaluation(*asked)


def test_infidelity_is_held_against_the_attributions_own_baseline() -> None:
    model = linear()
    live = xw.LiveModel(model, ROWS)
    start = torch.full((1, 6), 2.0)
    shares = (model.weight[1] * (ROWS[:1] - start)).detach()
    own = Attribution(shares, "given", 1, options={"baselines": start})
    assert live.infidelity(own).value < 1e-10
    assert live.infidelity(own, baselines="zero").value > 1e-3


@pytest.mark.parametrize("kind", ["lock", "closure"])
def test_a_model_that_cannot_be_copied_is_run_itself_and_left_as_it_was(kind: str) -> None:
    model = UNCOPYABLE[kind](mlp())
    live, values = xw.LiveModel(model, ROWS), torch.randn(1, 6)
    with untouched(model):
        found = last(live.faithfulness(given(values), points=7))
        live.infidelity(given(values))
        live.sensitivity("gradient", count=2)
    plain_one = last(xw.LiveModel(mlp(), ROWS).faithfulness(given(values), points=7))
    assert torch.equal(found.deletion.scores, plain_one.deletion.scores)


def test_in_inference_mode() -> None:
    live, values = xw.LiveModel(mlp(), ROWS), torch.randn(1, 6)

    def asked() -> list[Any]:
        return [
            last(live.faithfulness(given(values), points=7)).to_dicts(),
            live.infidelity(given(values)),
            live.sensitivity("gradient", count=2),
            [step.similarity for step in live.randomisation("gradient")],
        ]

    with torch.inference_mode():
        inside = asked()
    assert inside == asked()


def test_from_another_thread() -> None:
    """As widgets ask, beside a cell: the same numbers, and no shared generator moves."""
    model = mlp()
    live = xw.LiveModel(model, ROWS)
    every = ["curves", "infidelity", "sensitivity", "completeness", "randomisation"]
    asked = lambda: last(live.evaluation(["gradient"], [0], every)).rows  # noqa: E731
    with untouched(model):
        rows = in_thread(asked)
    here = asked()
    for row, other in zip(rows, here, strict=True):
        row.pop("seconds", None)
        other.pop("seconds", None)
        assert row == other


def test_models_that_draw_leave_the_random_numbers_alone() -> None:
    model = Draws("torch")
    live, values = xw.LiveModel(model, X), torch.randn(1, 5, WIDTH)
    with untouched(model):
        last(live.faithfulness(given(values), points=3))
