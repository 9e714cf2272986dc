"""The attribution explorer as its browser side meets it: exact scores, targets, trust."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import traitlets
from conversation import Conversation
from IPython.lib.pretty import pretty
from snapshot import untouched
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.pictures.quantise import signed_picture
from explain_widgets.widgets import progress

CLASSES = ["cat", "dog", "emu"]
IMAGES = torch.rand(4, 3, 18, 20, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 5)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv2(self.relu(self.conv(x))))
        result: Tensor = self.fc(x.mean((2, 3)))
        return result


class Words:
    """Every word a token, its number behind its letter: "w12"; "##" is joined to what is before."""

    all_special_ids = (0,)

    def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
        return {"input_ids": [0, *(int(word.strip("w#")) for word in text.split())]}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return ["[S]" if one == 0 else f"##{one}" if one % 2 else f"w{one}" for one in ids]

    def get_vocab(self) -> dict[str, int]:
        return {name: n for n, name in enumerate(self.convert_ids_to_tokens(list(range(40))))}


class Tagger(nn.Module):
    """Scores of five classes for each position, which see all others."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.mix = nn.Embedding(40, 8), nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, input_ids: Tensor) -> Tensor:
        result: Tensor = self.head(self.mix(self.words(input_ids))[0])
        return result


@pytest.fixture
def explorer() -> Any:
    made = xw.AttributionExplorer(Net().eval(), IMAGES, labels=[0, 1, 2, 0], class_names=CLASSES)
    yield made
    made.close()


@pytest.fixture
def talk(explorer: Any) -> Conversation:
    return Conversation(explorer)


def asked(**changes: Any) -> dict[str, Any]:
    plain = {"sample": 1, "layer": 0, "method": "gradient", "target": None, "options": {}}
    return {**plain, "channels": "sum", "sign": "all", "clip": 100.0, **changes}


def test_what_there_is_to_pick_from(talk: Conversation, explorer: Any) -> None:
    content, _ = talk.ask("sample", {"sample": 2})
    probabilities = explorer.live.output(2)[0].double().softmax(0)
    assert content["classes"] == CLASSES
    np.testing.assert_allclose(content["probabilities"], probabilities, atol=1e-6)
    assert [name for name, _ in content["losses"]] == [
        "cross_entropy",
        "mse",
        "binary_cross_entropy",
    ]
    methods = {method["name"]: method for method in content["methods"]}
    assert methods["grad_cam"]["takes_layer"]
    assert not methods["saliency"]["takes_layer"]
    assert methods["gradient"]["reason"] == ""
    steps = next(o for o in methods["integrated_gradients"]["options"] if o["name"] == "n_steps")
    assert (steps["kind"], steps["default"], steps["low"]) == ("integer", 50, 1)
    assert content["positions"] == 0


def test_baselines_are_offered_by_name(talk: Conversation) -> None:
    content, _ = talk.ask("sample", {"sample": 2})
    offered = {
        method["name"]: option["choices"]
        for method in content["methods"]
        for option in method["options"]
        if option["name"] == "baselines"
    }
    names = ["zero", "mean", "blur", "padding", "sample"]
    assert offered["integrated_gradients"] == ["", *names]
    assert offered["gradient_shap"] == ["", *names, "samples"]
    assert offered["deep_lift_shap"] == [*names, "samples"]  # which is what it takes unasked
    wanted = asked(method="integrated_gradients", options={"baselines": 3, "n_steps": 2})
    content, _ = talk.ask("attribution", wanted)
    assert content["note"].startswith("baseline: sample 3")


def test_scores_are_sums_over_channels_with_zero_in_the_middle(
    talk: Conversation, explorer: Any
) -> None:
    gradient = explorer.live.gradient("input", 1)[0]
    content, arrays = talk.ask("attribution", asked())
    np.testing.assert_allclose(arrays["values"], gradient.sum(0), rtol=1e-5, atol=1e-9)
    assert content["form"] == "map"
    assert content["overlay"] == {"top": 0, "left": 0, "height": 1, "width": 1}
    limit = float(gradient.sum(0).abs().max())
    assert content["limit"] == pytest.approx(limit, rel=1e-5)
    np.testing.assert_array_equal(
        arrays["map"], signed_picture(arrays["values"], content["limit"]).levels
    )


@pytest.mark.parametrize("channels", ["mean", "max", "norm"])
@pytest.mark.parametrize("sign", ["absolute", "positive", "negative"])
def test_channels_and_signs(talk: Conversation, explorer: Any, channels: str, sign: str) -> None:
    values = explorer.live.attribute("input_x_gradient", 1).values[0].double().numpy()
    together = {
        "mean": values.mean(0),
        "max": np.take_along_axis(values, np.abs(values).argmax(0)[None], 0)[0],
        "norm": np.sqrt((values**2).sum(0)),
    }[channels]
    expected = {
        "absolute": np.abs(together),
        "positive": np.maximum(together, 0),
        "negative": np.minimum(together, 0),
    }[sign]
    _, arrays = talk.ask(
        "attribution", asked(method="input_x_gradient", channels=channels, sign=sign)
    )
    np.testing.assert_allclose(arrays["values"], expected, rtol=1e-5, atol=1e-9)


def test_colours_are_clipped_at_the_percentile_and_the_share_is_said(
    talk: Conversation, explorer: Any
) -> None:
    content, arrays = talk.ask("attribution", asked(clip=90.0))
    sizes = np.abs(arrays["values"])
    limit = np.percentile(sizes, 90, method="nearest")
    assert content["limit"] == pytest.approx(limit, rel=1e-6)
    assert content["clipped"] == pytest.approx((sizes > content["limit"] * (1 + 1e-7)).mean())
    assert (arrays["map"] == 254).sum() + (arrays["map"] == 0).sum() >= (sizes > limit).sum()
    said = {row["name"]: row["text"] for row in content["statistics"]}
    assert said["Clipped"] == f"{100 * content['clipped']:.2g} %"


def test_a_method_of_a_layer_lies_where_the_layer_looks(talk: Conversation, explorer: Any) -> None:
    layer = explorer.layer_names.index("conv2")
    found = explorer.live.attribute("grad_cam", 1, 2, "conv2")
    content, arrays = talk.ask("attribution", asked(method="grad_cam", target=2, layer=layer))
    np.testing.assert_allclose(arrays["values"], found.values[0, 0], rtol=1e-6)
    alignment = explorer.live.alignment("conv2", 1)
    box = content["overlay"]
    # The middle of the first place, in pixels, is that of what it is computed from.
    top, _, bottom, _ = alignment.box(0, 0)
    middle = 18 * (box["top"] + box["height"] / content["height"] / 2)
    assert middle == pytest.approx((top + bottom) / 2, abs=1e-6)


def test_the_gap_of_completeness_is_shown(talk: Conversation, explorer: Any) -> None:
    content, _ = talk.ask(
        "attribution", asked(method="integrated_gradients", options={"n_steps": 3})
    )
    found = explorer.live.attribute("integrated_gradients", 1, n_steps=3)
    said = {row["name"]: row["text"].replace("−", "-") for row in content["statistics"]}
    assert float(said["Completeness gap"].split()[0]) == pytest.approx(
        found.completeness_gap, rel=1e-3
    )
    with torch.no_grad():
        scores = explorer.live.model(torch.stack([IMAGES[1], torch.zeros(3, 18, 20)]))
    best = int(scores[0].argmax())
    assert float(said["Should be"]) == pytest.approx(float(scores[0, best] - scores[1, best]), 1e-3)


def test_long_work_comes_in_steps(explorer: Any) -> None:
    talk = Conversation(explorer)
    wanted = asked(method="occlusion", options={"sliding_window_shapes": 4, "strides": 1})
    replies = list(explorer._answers.answer_attribution(wanted))
    first = next(reply for reply in replies if reply is not None)
    assert first.content["step"] < first.content["steps"]
    content, arrays = talk.ask("attribution", wanted)
    assert content["step"] == content["steps"]
    expected = explorer.live.attribute(
        "occlusion", 1, sliding_window_shapes=(3, 4, 4), strides=(3, 1, 1)
    )
    np.testing.assert_allclose(arrays["values"], expected.values[0].sum(0), rtol=1e-5, atol=1e-8)


def test_a_method_that_cannot_be_used_says_why_and_the_widget_lives(talk: Conversation) -> None:
    assert "did you mean 'lrp'" in talk.error("attribution", asked(method="lrpp"))
    sentence = talk.error("attribution", asked(options={"depth": 3}))
    assert "no option 'depth'" in sentence
    content, _ = talk.ask("attribution", asked())
    assert content["form"] == "map"


def test_two_methods_side_by_side(explorer: Any) -> None:
    explorer.method, explorer.target = "saliency", 1
    explorer.other = {"method": "input_x_gradient", "target": 2}
    found = explorer.data()
    live = explorer.live
    torch.testing.assert_close(found["scores"], live.attribute("saliency", 0, 1).values[0].sum(0))
    torch.testing.assert_close(
        found["other"]["scores"], live.attribute("input_x_gradient", 0, 2).values[0].sum(0)
    )
    assert len(explorer.figure().axes) >= 4


def test_losses_and_functions_are_targets(explorer: Any) -> None:
    def target(output: Tensor) -> Tensor:
        return output[0, 0] - output[0, 2]

    explorer.target = target
    talk = Conversation(explorer)
    _, arrays = talk.ask("attribution", asked(target="custom"))
    expected = explorer.live.gradient("input", 1, target)[0].sum(0)
    np.testing.assert_allclose(arrays["values"], expected, rtol=1e-5, atol=1e-9)
    _, arrays = talk.ask("attribution", asked(target="cross_entropy"))
    images = IMAGES[1:2].clone().requires_grad_()
    loss = nn.functional.cross_entropy(explorer.live.model(images), torch.tensor([1]))
    (gradient,) = torch.autograd.grad(loss, images)
    np.testing.assert_allclose(arrays["values"], gradient[0].sum(0), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("mse", nn.functional.mse_loss),
        ("binary_cross_entropy", nn.functional.binary_cross_entropy_with_logits),
    ],
)
def test_losses_of_numbers_are_targets(name: str, loss: Any) -> None:
    labels = torch.rand(4, 3, generator=torch.Generator().manual_seed(2))
    explorer = xw.AttributionExplorer(Net().eval(), IMAGES, labels=labels)
    _, arrays = Conversation(explorer).ask("attribution", asked(target=name))
    images = IMAGES[1:2].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(explorer.live.model(images), labels[1:2]), images)
    np.testing.assert_allclose(arrays["values"], gradient[0].sum(0), rtol=1e-4, atol=1e-8)
    explorer.close()


def test_parameters_have_one_number_each(talk: Conversation, explorer: Any) -> None:
    with torch.no_grad():
        explorer.live.model.fc.weight[1] = 0
    wanted = {"sample": 1, "target": 1, "measure": "norm"}
    content, arrays = talk.ask("parameters", wanted)
    gradients = explorer.live.parameter_gradients(1, 1)
    expected = [float(gradient.double().norm()) for gradient in gradients.values()]
    np.testing.assert_allclose(arrays["values"], expected, rtol=1e-6)
    paths = [".".join(p) for p in zip(content["modules"], content["names"], strict=True)]
    assert paths == list(gradients)
    # Class 1 looks at nothing now, so that nothing before it matters.
    assert content["states"] == ["zero"] * 4 + ["", ""]
    content, arrays = talk.ask("parameters", {**wanted, "measure": "weight_x_gradient"})
    weights = explorer.live.model.fc.bias
    assert arrays["values"][-1] == pytest.approx(
        float((weights * gradients["fc.bias"]).abs().sum())
    )
    assert "no measure" in talk.error("parameters", {**wanted, "measure": "size"})


def test_tensors_of_parameters_without_a_number_say_why() -> None:
    class Gaps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 2), nn.Linear(4, 2)
            self.broken = nn.Parameter(torch.zeros(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x) + self.broken.sqrt()

    explorer = xw.AttributionExplorer(Gaps(), torch.rand(2, 4))
    wanted = {"sample": 1, "target": 1, "measure": "norm"}
    content, _ = Conversation(explorer).ask("parameters", wanted)
    paths = [".".join(p) for p in zip(content["modules"], content["names"], strict=True)]
    assert dict(zip(paths, content["states"], strict=True)) == {
        ".broken": "not finite",
        "used.weight": "",
        "used.bias": "",
        "unused.weight": "no gradient",
        "unused.bias": "no gradient",
    }
    explorer.close()


def test_what_was_computed_is_shown_again_without_a_forward(
    talk: Conversation, explorer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    forward = Net.forward
    monkeypatch.setattr(Net, "forward", lambda *args: (runs.append(1), forward(*args))[1])
    picks = [
        asked(method=method, target=target, layer=2)
        for method in ("gradient", "input_x_gradient", "grad_cam", "integrated_gradients", "lime")
        for target in (0, 2, "cross_entropy")
    ]

    def answers() -> list[Any]:
        for one in picks:
            talk.ask("cost", one)
        return [talk.ask("attribution", one)[1]["values"] for one in picks]

    first = answers()
    assert runs
    runs.clear()
    again = answers()
    assert not runs
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_trust_is_measured_for_what_is_shown(talk: Conversation, explorer: Any) -> None:
    wanted = asked(method="input_x_gradient", other={"method": "saliency", "target": None})
    content, arrays = talk.ask("curves", wanted)
    assert content["names"] == ["input_x_gradient", "saliency", "random (mean)"]
    *_, found = explorer.live.faithfulness(
        {name: explorer.live.attribute(name, 1) for name in content["names"][:2]}, 1
    )
    np.testing.assert_allclose(arrays["deletion"][:2], found.deletion.scores, rtol=1e-6)
    np.testing.assert_allclose(
        [area[1] for area in content["areas"][:2]], found.insertion.areas, rtol=1e-6
    )
    content, _ = talk.ask("measures", asked(method="input_x_gradient"))
    said = {row["name"]: float(row["text"].replace("−", "-")) for row in content["rows"]}
    expected = explorer.live.infidelity(explorer.live.attribute("input_x_gradient", 1), 1).value
    assert said["Infidelity"] == pytest.approx(expected, rel=1e-4)
    assert said["Sensitivity"] == pytest.approx(
        explorer.live.sensitivity("input_x_gradient", 1).value, rel=1e-4
    )
    content, arrays = talk.ask("randomisation", asked())
    assert content["layers"] == ["(nothing)", "fc", "conv2", "conv"]
    assert arrays["signed"][0] == pytest.approx(1)
    assert arrays["signed"][-1] < 0.9
    content, arrays = talk.ask("agreement", wanted)
    matrix = arrays["matrix"].reshape(len(content["names"]), -1)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-6)
    place = [content["names"].index(name) for name in ("input_x_gradient", "saliency")]
    pair = explorer.live.agreement(["input_x_gradient", "saliency"], [1]).mean
    assert matrix[place[0], place[1]] == pytest.approx(float(pair[0, 1]), rel=1e-5)


def test_picked_methods_stand_beside_what_is_shown(talk: Conversation, explorer: Any) -> None:
    compared = ["saliency", "grad_cam", "input_x_gradient", "feature_permutation"]
    wanted = asked(method="input_x_gradient", compared=compared)
    content, arrays = talk.ask("curves", wanted)
    # Methods of a layer are of the one that is picked; none stands there twice.
    names = ["input_x_gradient", "saliency", "grad_cam", "feature_permutation"]
    assert content["names"] == [*names, "random (mean)"]
    assert content["score"].startswith("probability of class")
    layer = explorer.layers[0].name
    held = {
        name: explorer.live.attribute(name, 1, layer=layer if name == "grad_cam" else None)
        for name in names
    }
    *_, found = explorer.live.faithfulness(held, 1)
    np.testing.assert_allclose(arrays["deletion"][:-1], found.deletion.scores, rtol=1e-6)
    wanted["agreement_samples"] = 8
    content, arrays = talk.ask("agreement", wanted)
    assert content["names"] == names
    assert content["note"].startswith("mean over samples 1 to 3")
    picked = {name: {"layer": one.layer} for name, one in held.items()}
    expected = explorer.live.agreement(picked, [1, 2, 3]).mean.flatten()
    np.testing.assert_allclose(arrays["matrix"], expected, rtol=1e-5)
    explorer.method, explorer.compared = "input_x_gradient", compared[:2]
    figure = explorer.chart("insertion")
    assert len(figure.marks) == 4 + 1
    frame = explorer.evaluation(samples=[0], metrics=["curves"]).to_dataframe()
    assert frame["method"].tolist() == [*names[:3], "random"]


def test_a_picked_method_that_cannot_be_used_stops_no_other(talk: Conversation) -> None:
    wanted = asked(compared=["lrp", "saliency"])
    content, _ = talk.ask("curves", wanted)
    assert content["names"] == ["gradient", "saliency", "random (mean)"]
    assert "lrp: lrp cannot be computed here: module 'relu' is called 2 times" in content["note"]
    content, _ = talk.ask("agreement", wanted)
    assert content["names"] == ["gradient", "saliency"]


def test_measures_say_how_far_they_are(explorer: Any) -> None:
    answers = explorer._answers
    for kind in sorted(answers.patient):
        replies = [one for one in getattr(answers, f"answer_{kind}")(asked()) if one is not None]
        shares = [reply.content["progress"] for reply in replies]
        assert shares == sorted(shares)
        assert shares[-1] == 1
        if kind in ("curves", "measures", "randomisation"):
            assert shares[0] < 1


def test_the_curves_are_charts_that_follow(explorer: Any) -> None:
    explorer.method = "input_x_gradient"
    figure = explorer.chart("deletion")

    def assert_shows(*methods: str) -> None:
        *_, found = explorer.live.faithfulness(
            [explorer.live.attribute(method, explorer.sample) for method in methods],
            explorer.sample,
        )
        *lines, names = figure.marks
        assert [line.labels[0] for line in lines] == [*methods, "random (mean)"]
        assert [name.split(" ", 1)[1] for name in names.text] == [*methods, "random (mean)"]
        np.testing.assert_allclose(figure.marks[0].x, found.deletion.fractions)
        for line, scores in zip(lines, found.deletion.scores, strict=False):
            np.testing.assert_allclose(line.y, scores, rtol=1e-6)

    assert_shows("input_x_gradient")
    explorer.sample = 2
    assert_shows("input_x_gradient")
    explorer.other = {"method": "gradient"}
    assert_shows("input_x_gradient", "gradient")
    other = 1 - int(explorer.live.output(2)[0].argmax() == 1)
    explorer.other = {"method": "gradient", "target": other}
    assert_shows("input_x_gradient")  # curves of another target are about another number
    with pytest.raises(ValueError, match='"deletion" or "insertion"'):
        explorer.chart("roc")
    explorer.close()
    assert figure.comm is None


def test_a_text_has_one_score_a_token_and_sums_by_word() -> None:
    explorer = xw.AttributionExplorer(Tagger().eval(), ["w2 w5 w8 w7 w9"], tokenizer=Words())
    talk = Conversation(explorer)
    content, _ = talk.ask("sample", {"sample": 0})
    assert content["positions"] == 6
    wanted = asked(sample=0, method="input_x_gradient", position=2, target=3)
    content, arrays = talk.ask("attribution", wanted)
    assert content["form"] == "text"
    assert [token[0] for token in content["tokens"]] == ["[S]", "w2", "5", "w8", "7", "9"]
    model = explorer.live.model
    vectors = model.words(explorer.samples[0].kwargs["input_ids"]).detach().requires_grad_()
    output = model.head(model.mix(vectors)[0])[0, 2, 3]
    expected = (torch.autograd.grad(output, vectors)[0] * vectors)[0].sum(-1)
    np.testing.assert_allclose(arrays["values"][0], expected.detach(), rtol=1e-4, atol=1e-7)
    # Later tokens cannot matter to position 2 of a recurrent network.
    assert not arrays["values"][0, 3:].any()
    assert arrays["values"][0, :3].all()
    content, arrays = talk.ask("attribution", {**wanted, "units": "words"})
    assert [token[0] for token in content["tokens"]] == ["[S]", "w25", "w879"]
    sums = [expected[0], expected[1:3].sum(), expected[3:].sum()]
    np.testing.assert_allclose(arrays["values"][0], [float(s) for s in sums], rtol=1e-4, atol=1e-7)
    assert "position 9" in talk.error("attribution", {**wanted, "position": 9})
    # Named is what is predicted there, not at the end.
    predicted = explorer.live.output(0)[0].argmax(-1).tolist()
    assert predicted[2] != predicted[-1]
    content, _ = talk.ask("attribution", {**wanted, "target": None})
    assert content["title"].endswith(f"predicted “class {predicted[2]}” at position 2")
    explorer.close()


def test_a_table_has_a_bar_for_each_feature() -> None:
    rows = torch.rand(3, 4)
    table = pd.DataFrame(rows.numpy(), columns=["ash", "hue", "flavour", "alcohol"])
    explorer = xw.AttributionExplorer(nn.Linear(4, 2), table, method="input_x_gradient")
    content, arrays = Conversation(explorer).ask(
        "attribution", asked(method="input_x_gradient", target=1)
    )
    assert content["form"] == "bars"
    assert content["names"] == ["ash", "hue", "flavour", "alcohol"]
    weight = explorer.live.model.weight.detach()
    np.testing.assert_allclose(arrays["values"][0], weight[1] * rows[1], rtol=1e-6)
    explorer.figure()
    explorer.close()


def test_evaluation_is_a_table_of_methods_and_samples(explorer: Any) -> None:
    explorer.method = "input_x_gradient"
    frame = explorer.evaluation(samples=range(2), metrics=["curves"]).to_dataframe()
    assert frame["method"].tolist() == ["input_x_gradient", "random"] * 2


class Output:
    """What stands under a cell."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def display(self, what: Any, display_id: bool = False) -> Any:
        assert display_id
        self.shown.append(what)
        return SimpleNamespace(update=self.shown.append)


@pytest.mark.parametrize("stops", [False, True])
def test_long_work_shows_a_bar_that_a_line_takes_the_place_of(
    monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    output, seen = Output(), []
    monkeypatch.setattr(progress, "get_ipython", lambda: SimpleNamespace(kernel=True))
    monkeypatch.setattr(progress, "display", output.display)

    def steps() -> Iterator[SimpleNamespace]:
        for share, doing in ((0.25, "gradient"), (0.5, "curves"), (1.0, "curves")):
            if stops and share == 1:
                raise KeyboardInterrupt
            yield SimpleNamespace(progress=share, doing=doing)
            bar, said = output.shown[0].children
            seen.append((bar.value, said.value))

    if stops:
        with pytest.raises(KeyboardInterrupt):
            progress.watched(steps())
    else:
        assert progress.watched(steps()).progress == 1.0
    assert seen[:2] == [(0.25, "gradient"), (0.5, "curves")]
    assert output.shown[0].comm is None
    # Plain text, which a saved notebook shows as it is.
    _, line = output.shown
    said = r"Stopped at 50 % after \d+\.\d s \(curves\)" if stops else r"Done in \d+\.\d s"
    assert re.fullmatch(said, pretty(line))


@pytest.mark.parametrize(
    ("trait", "value", "said"),
    [
        ("method", "gradients", "did you mean"),
        ("target", 1.5, "index of a class"),
        ("target", "hinge", "cross_entropy"),
        ("clip", 0.0, "percentile"),
        ("other", {"method": "saliency", "layer": 2}, "method and a target"),
        ("compared", ["saliencies"], "did you mean"),
        ("compared", ["neuron_gradient"], "about a neuron"),
        ("layer", 99, "0 to"),
    ],
)
def test_bad_traits_are_refused_with_the_reason(
    explorer: Any, trait: str, value: Any, said: str
) -> None:
    before = getattr(explorer, trait)
    with pytest.raises(traitlets.TraitError, match=said):
        setattr(explorer, trait, value)
    assert getattr(explorer, trait) == before


def test_the_model_is_left_as_it_was() -> None:
    model = Net().train()
    explorer = xw.AttributionExplorer(model, IMAGES, labels=[0, 1, 2, 0])
    talk = Conversation(explorer)
    with untouched(model):
        for method in ("integrated_gradients", "grad_cam", "guided_backprop", "occlusion"):
            talk.ask("attribution", asked(method=method))
        for kind in ("curves", "measures", "randomisation", "agreement"):
            talk.ask(kind, asked(method="saliency"))
    explorer.close()
