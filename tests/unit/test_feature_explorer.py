"""The feature explorer as its browser side meets it: exact maps, orders, gradients, mutes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from conversation import Conversation
from snapshot import untouched
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.feature_maps import maps_of
from explain_widgets.live.sought import AscentOptions
from explain_widgets.pictures.quantise import signed_picture

CLASSES = ["cat", "dog", "emu"]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 6, 5, stride=2)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 10, 3)
        self.fc = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        result: Tensor = self.fc(x.mean((2, 3)))
        return result


@pytest.fixture
def model() -> nn.Module:
    return Net().eval()


@pytest.fixture
def explorer(model: nn.Module) -> Any:
    images = torch.rand(4, 3, 25, 29, generator=torch.Generator().manual_seed(1))
    made = xw.FeatureExplorer(model, images, class_names=CLASSES)
    yield made
    made.close()


@pytest.fixture
def talk(explorer: Any) -> Conversation:
    return Conversation(explorer)


def place(**changes: Any) -> dict[str, Any]:
    return {"sample": 1, "layer": 0, "show": "activation", "target": None, **changes}


def page(**changes: Any) -> dict[str, Any]:
    asked = {"order": "index", "scale": "layer", "from": 0, "count": 64, "size": [99, 99]}
    return {**place(), **asked, **changes}


def test_layers_and_classes_of_a_sample(talk: Conversation, explorer: Any) -> None:
    content, _ = talk.ask("sample", {"sample": 2})
    names = [layer["name"] for layer in content["layers"]]
    assert names == ["conv1", "relu", "conv2", "relu:1", "fc", ""]
    assert content["layers"][0]["words"] == "6 channels of 11 × 13"
    assert content["classes"] == CLASSES
    scores = explorer.live.output(2)[0]
    assert content["predicted"]["name"] == CLASSES[int(scores.argmax())]


def test_maps_are_the_activation_with_zero_in_the_middle(talk: Conversation, explorer: Any) -> None:
    maps = explorer.live.activation("conv1", 1)[0].numpy()
    content, arrays = talk.ask("maps", page())
    assert (content["channels"], content["height"], content["width"]) == (6, 11, 13)
    np.testing.assert_array_equal(arrays["maps"], signed_picture(maps).levels)
    content, arrays = talk.ask("maps", page(scale="channel", **{"from": 2, "count": 3}))
    np.testing.assert_array_equal(arrays["maps"], signed_picture(maps[2:5], None, True).levels)


@pytest.mark.parametrize("strange", [torch.nan, torch.inf, None])
def test_pages_asked_again_are_drawn_alike_and_follow_the_weights(strange: float | None) -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    conv = nn.Conv2d(3, 6, 3).eval()
    if strange is not None:
        with torch.no_grad():
            conv.weight[2] = strange
    explorer = xw.FeatureExplorer(conv, images)
    asking = Conversation(explorer)

    def expected() -> Tensor:
        values = conv(images[1:2]).detach()[0]
        return values[values.isfinite()]

    for factor in (1, -3):
        with torch.no_grad():
            conv.weight.mul_(factor)
            conv.bias.mul_(factor)
        largest = float(expected().abs().max())
        for asked in (page(), page(), page(count=2), page(channel=1), page(sample=0), page()):
            _, arrays = asking.ask("maps", asked)
            if asked["sample"] == 1:
                sent, _ = asking.messages[-1]
                assert sent["arrays"]["maps"]["range"][1] == pytest.approx(largest, rel=1e-6)
                shown = conv(images[1:2]).detach()[0, : asked["count"]]
                drawn = signed_picture(shown.numpy(), largest)
                assert np.array_equal(arrays["maps"], drawn.levels)
        channel, _ = asking.ask("channel", place(channel=1, scale="layer"))
        means = conv(images[1:2]).detach()[0].mean((1, 2))
        means[~means.isfinite()] = -torch.inf  # of a channel without a finite number
        ranks = {row["name"]: row["text"] for row in channel["statistics"]}
        own = 1 + int((means > means[1]).sum())
        assert ranks["Rank by mean"] == f"{own} of 6"
    explorer.close()


@pytest.mark.parametrize("hidden", [torch.nan, torch.inf, None])
def test_pooled_pages_are_drawn_to_the_largest_number_of_the_layer(hidden: float | None) -> None:
    maps = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    maps[0, 1, 0, 1] = -9
    if hidden is not None:
        maps[0, 1, 0, 0] = hidden  # in the pixel of the largest number
    explorer = xw.FeatureExplorer(nn.Identity(), maps)
    talk = Conversation(explorer)
    for part in ({"count": 64}, {"from": 1, "count": 1}, {"order": "maximum"}):
        _, arrays = talk.ask("maps", page(**{"sample": 0, "size": [8, 8], **part}))
        assert arrays["maps"].shape[1:] == (8, 8)
        described = talk.messages[-1][0]["arrays"]["maps"]
        assert described["range"] == [-9.0, 9.0]
        assert described["nonfinite"] == (hidden is not None)
    explorer.close()


@pytest.mark.parametrize("order", ["mean", "maximum", "zeros", "activation_x_gradient"])
def test_channels_are_ordered_by_the_number_that_is_sent(
    talk: Conversation, explorer: Any, order: str
) -> None:
    values = explorer.live.activation("relu", 1)[0].double()
    gradient = explorer.live.gradient("relu", 1)[0].double()
    expected = {
        "mean": values.mean((1, 2)),
        "maximum": values.amax((1, 2)),
        "zeros": (values == 0).double().mean((1, 2)),
        "activation_x_gradient": (values * gradient).sum((1, 2)),
    }[order]
    _, arrays = talk.ask("maps", page(layer=1, order=order))
    np.testing.assert_allclose(arrays["scores"], expected, rtol=1e-4, atol=1e-7)
    sent = arrays["scores"][arrays["order"]]
    assert (np.diff(sent) <= 0).all()
    limit = float(values.abs().max())
    drawn = signed_picture(values[arrays["order"].tolist()].float().numpy(), limit)
    np.testing.assert_array_equal(arrays["maps"], drawn.levels)


def test_variance_is_over_samples(talk: Conversation, explorer: Any) -> None:
    activations = [explorer.live.activation("conv2", n)[0] for n in range(4)]
    means = torch.stack([one.double().mean((1, 2)) for one in activations])
    content, arrays = talk.ask("maps", page(layer=2, order="variance"))
    assert "variance over all 4 samples" in content["footer"]
    np.testing.assert_allclose(arrays["scores"], means.var(0, correction=0), rtol=1e-3, atol=1e-9)


def test_it_is_said_over_how_many_samples_the_variance_is() -> None:
    explorer = xw.FeatureExplorer(nn.Identity(), torch.rand(70, 2, 4, 4))
    content, _ = Conversation(explorer).ask("maps", page(order="variance"))
    assert "variance over the first 64 of 70 samples" in content["footer"]
    explorer.close()


@pytest.mark.parametrize("show", ["gradient", "activation_x_gradient"])
def test_gradients_are_of_the_picked_class(talk: Conversation, model: nn.Module, show: str) -> None:
    image = torch.rand(4, 3, 25, 29, generator=torch.Generator().manual_seed(1))[1:2]
    conv1, relu, conv2, fc = (getattr(model, name) for name in ("conv1", "relu", "conv2", "fc"))
    activation = conv1(image).detach().requires_grad_()
    fc(relu(conv2(relu(activation))).mean((2, 3)))[0, 2].backward()
    expected = activation.grad[0] * (activation[0] if show != "gradient" else 1)
    _, arrays = talk.ask("maps", page(show=show, target=2))
    difference = arrays["maps"].astype(int) - signed_picture(expected.detach().numpy()).levels
    assert np.abs(difference).max() <= 1


def test_large_maps_are_pooled_to_their_pixels_and_it_is_said(talk: Conversation) -> None:
    content, arrays = talk.ask("maps", page(size=[5, 6]))
    assert arrays["maps"].shape[0] == 6
    assert arrays["maps"].shape[1] <= 5
    assert arrays["maps"].shape[2] <= 6
    assert "numbers per pixel" in content["footer"]


def test_one_channel_with_its_numbers(talk: Conversation, explorer: Any) -> None:
    own = explorer.live.activation("conv1", 1)[0, 4]
    content, arrays = talk.ask("channel", place(channel=4))
    np.testing.assert_array_equal(arrays["values"], own)
    whole = explorer.live.activation("conv1", 1)[0].numpy()
    np.testing.assert_array_equal(arrays["map"], signed_picture(whole).levels[4:5])
    _, alone = talk.ask("channel", place(channel=4, scale="channel"))
    np.testing.assert_array_equal(alone["map"], signed_picture(whole[4:5]).levels)
    counts, _ = np.histogram(own.numpy(), arrays["edges"])
    np.testing.assert_array_equal(arrays["counts"], counts)
    texts = {row["name"]: row["text"] for row in content["statistics"]}
    assert texts["Positive"] == f"{100 * float((own > 0).double().mean()):.0f} %"
    assert float(texts["Max"]) == pytest.approx(float(own.max()), rel=1e-3)
    first = content["strongest"][0]
    assert float(own[first["y"], first["x"]]) == pytest.approx(first["value"])
    assert abs(first["value"]) == pytest.approx(float(own.abs().max()))
    # A 5 × 5 kernel with stride 2: row y is computed from rows 2y to 2y + 4.
    assert first["box"][0] == 2 * first["y"]
    assert first["box"][2] == 2 * first["y"] + 5
    overlay = content["overlay"]
    assert overlay["top"] == pytest.approx((2 - 1 + 0.5) / 25)
    assert overlay["height"] == pytest.approx(11 * 2 / 25)


@pytest.mark.parametrize("scale", ["layer", "channel"])
def test_a_page_brings_the_picked_channel_along(talk: Conversation, scale: str) -> None:
    without, maps = talk.ask("maps", page(order="mean", scale=scale))
    alone, own = talk.ask("channel", place(channel=4, scale=scale))
    content, arrays = talk.ask("maps", page(order="mean", scale=scale, channel=4))
    assert content.pop("channel") == alone
    assert content == without
    assert set(arrays) == {*maps, *own}
    for name, expected in (maps | own).items():
        np.testing.assert_array_equal(arrays[name], expected)


def test_a_page_comes_also_where_there_is_no_such_channel(talk: Conversation) -> None:
    content, arrays = talk.ask("maps", page(channel=6))
    assert "channel" not in content
    assert len(arrays["maps"]) == 6
    assert "6 is out of range" in talk.error("channel", place(channel=6))


def test_the_same_channel_across_samples(talk: Conversation, explorer: Any) -> None:
    content, arrays = talk.ask("across", place(channel=3, count=24))
    largest = [float(explorer.live.activation("conv1", n)[0, 3].max()) for n in range(4)]
    assert content["samples"] == sorted(range(4), key=lambda n: -largest[n])
    assert arrays["maps"].shape == (4, 11, 13)


def test_filters_of_an_image_are_coloured(talk: Conversation, model: Any) -> None:
    content, arrays = talk.ask("maps", page(show="filters"))
    assert content["channels"] == 6
    assert arrays["rgb"].shape == (6, 5, 5, 3)
    weights = model.conv1.weight.detach()
    expected = signed_picture(weights.permute(0, 2, 3, 1).numpy()).levels
    np.testing.assert_array_equal(arrays["rgb"], expected)
    np.testing.assert_allclose(arrays["scores"], weights.flatten(1).norm(dim=1), rtol=1e-5)
    _, second = talk.ask("maps", page(layer=2, show="filters", slice=5))
    expected = signed_picture(model.conv2.weight.detach()[:, 5].numpy()).levels
    np.testing.assert_array_equal(second["maps"], expected)
    assert "relu" in talk.error("maps", page(layer=1, show="filters"))


def test_what_maximises_a_channel_comes_step_by_step(
    talk: Conversation, model: nn.Module, explorer: Any
) -> None:
    with untouched(model):
        content, arrays = talk.ask("maximise", {**place(channel=2), "steps": 12, "seed": 3})
    assert content["step"] == content["steps"] == 12
    assert arrays["picture"].shape == (25, 29, 3)
    assert "seed 3" in content["note"]
    last = explorer.live.maximised("conv1", 2, 1, reduce="squares", steps=12, seed=3)
    assert content["value"] == pytest.approx(last.value, rel=1e-4)
    expected = (last.picture[0].permute(1, 2, 0) * 255).round()
    assert np.abs(arrays["picture"] - expected.numpy()).max() <= 1


def test_how_it_is_sought_is_set_by_options_whose_defaults_are_those_of_maximise(
    talk: Conversation, explorer: Any
) -> None:
    content, _ = talk.ask("sample", {"sample": 1})
    options = {
        "start": "sample",
        "parametrisation": "pixels",
        "steps": 4,
        "learning_rate": 0.03,
        "jitter": 2,
        "blur": 0.8,
        "total_variation": 0.1,
        "seed": 7,
    }
    assert content["ascent"].keys() == options.keys()
    defaults = AscentOptions()
    assert all(getattr(defaults, name) == value for name, value in content["ascent"].items())
    for name, other in options.items():  # each of them is heard
        asked = {**content["ascent"], "steps": 4, name: other}
        _, arrays = talk.ask("maximise", {**place(channel=2), **asked})
        last = explorer.live.maximised("conv1", 2, 1, reduce="squares", **asked)
        expected = (last.picture[0].permute(1, 2, 0) * 255).round()
        assert np.abs(arrays["picture"] - expected.numpy()).max() <= 1, name
    content, _ = talk.ask("maximise", {**place(channel=2), **options})
    assert content["steps"] == 4
    assert "from the sample, seed 7" in content["note"]
    assert "values one by one" in content["note"]
    assert "blur=-1" in talk.error("maximise", {**place(channel=2), "blur": -1})


def test_a_muted_channel_changes_the_output_until_it_is_released(
    talk: Conversation, explorer: Any
) -> None:
    muted = [["conv2", 4, "zero"]]
    content, _ = talk.ask("change", {"sample": 1, "muted": muted})
    expected = explorer.live.output_change(sample=1, mute=[("conv2", 4, "zero")])
    assert content["change"]["before"] == pytest.approx(list(expected.before))
    assert content["change"]["after"] == pytest.approx(list(expected.after))
    content, arrays = talk.ask("maps", page(layer=2, muted=muted))
    assert (arrays["maps"][4] == 127).all()
    assert "1 channel muted" in content["footer"]
    assert talk.ask("change", {"sample": 1, "muted": []})[0] == {"change": None}


def test_traits_say_their_ranges_and_layers_keep_no_channel_of_another(explorer: Any) -> None:
    explorer.layer_name = "conv2"
    explorer.channel = 9
    explorer.layer = 0
    assert explorer.channel == 5
    for name, value, message in (
        ("channel", 6, "channel must be 0 to 5, not 6"),
        ("layer", 9, "layer must be 0 to 5, not 9"),
        ("entry", "hidden", "entry must be one of"),
        ("colormap", "nonsense", "no colour map"),
    ):
        with pytest.raises(traitlets.TraitError, match=message):
            setattr(explorer, name, value)
    assert (explorer.layer, explorer.channel) == (0, 5)


def test_what_is_shown_is_data_and_a_figure(explorer: Any) -> None:
    explorer.layer_name, explorer.order, explorer.channel = "conv2", "maximum", 3
    shown = explorer.data()
    maps = explorer.live.activation("conv2", 0)[0]
    assert torch.equal(shown["maps"], maps)
    assert torch.equal(shown["map"], maps[3])
    assert shown["order"].tolist() == maps.amax((1, 2)).argsort(descending=True).tolist()
    assert "10 channels of 9 × 11" in explorer.figure().texts[0].get_text()


def test_no_second_forward_for_another_layer_channel_or_order(
    talk: Conversation, explorer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.ask("maps", page())
    runs = counted_runs(explorer, monkeypatch)
    for layer, order in ((0, "mean"), (2, "maximum"), (3, "index")):
        talk.ask("maps", page(layer=layer, order=order))
    assert runs == []


def test_a_page_that_was_read_ahead_is_confirmed_until_the_model_changes(
    talk: Conversation, explorer: Any, model: Any
) -> None:
    known = talk.ask("maps", page())[0]["revision"]
    asked = page(layer=2, channel=3, known=known)
    ahead, arrays = talk.ask("ahead", asked)
    assert ahead["channel"]["name"] == "channel 3"
    assert talk.ask("maps", asked)[0] == {"unchanged": True}
    model.conv2.weight.data *= -1
    assert talk.ask("ahead", asked)[0] == {"skipped": True}
    fresh, changed = talk.ask("maps", asked)
    assert fresh["revision"] > known
    maps = explorer.live.activation("conv2", 1)[0].numpy()
    np.testing.assert_array_equal(changed["maps"], signed_picture(maps).levels)
    assert (changed["maps"] != arrays["maps"]).any()


@pytest.mark.parametrize(
    "changes",
    [
        {"show": "gradient"},
        {"order": "activation_x_gradient"},
        {"order": "variance"},
        {"muted": [["conv1", 0, "zero"]]},
    ],
)
def test_nothing_is_read_ahead_that_takes_a_run(
    talk: Conversation, explorer: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    talk.ask("sample", {"sample": 1})
    known = talk.ask("maps", page())[0]["revision"]
    runs = counted_runs(explorer, monkeypatch)
    asked = page(layer=2, known=known, **changes)
    assert talk.ask("ahead", asked)[0] == {"skipped": True}
    assert runs == []
    if "gradient" in str(changes):
        # One backward reads the gradients of all layers.
        talk.ask("maps", {**asked, "layer": 0, "known": -1})
        runs.clear()
        content, arrays = talk.ask("ahead", asked)
        assert (content["channels"], runs) == (10, [])
        again = talk.ask("maps", {**asked, "known": -1})[1]
        assert all((arrays[name] == again[name]).all() for name in again)


def test_what_depends_on_samples_is_answered_anew(talk: Conversation, explorer: Any) -> None:
    known = talk.ask("maps", page())[0]["revision"]
    for changes in ({"order": "variance"}, {"muted": [["conv1", 0, "mean"]]}):
        content, _ = talk.ask("maps", page(layer=2, known=known, **changes))
        assert content["channels"] == 10


def counted_runs(explorer: Any, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    runs: list[object] = []
    run = explorer.live._runner.run
    monkeypatch.setattr(
        explorer.live._runner, "run", lambda *a, **k: (runs.append(a), run(*a, **k))[1]
    )
    return runs


class Reads(nn.Module):
    """A recurrent layer with all its outputs, and a linear one after it."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(5, 6, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.cells(x)[0])
        return result


def test_the_menu_of_layouts_offers_what_fits_what_is_known_of_each_entry() -> None:
    explorer: Any = xw.FeatureExplorer(Reads().eval(), torch.randn(2, 7, 5), layer_name="cells")
    talk = Conversation(explorer)
    content, _ = talk.ask("sample", {"sample": 0})
    offered = content["layers"][explorer.layer]["layouts"]
    assert set(offered) == {"0", "1.0", "1.1"}
    words = {name: {one["name"]: one["words"] for one in found} for name, found in offered.items()}
    assert words["0"][""] == "6 units × 2 directions over 7 steps"
    assert words["1.0"][""] == "6 units in 2 layers × 2 directions"
    assert not words["0"].keys() & {"steps", "tokens"}  # shown as the chosen one
    head = content["layers"][explorer.layer + 1]["layouts"][""]  # no hidden states, no attention
    assert [one["name"] for one in head] == ["", "channels_first", "maps"]
    for entry, found in offered.items():
        assert len({one["words"] for one in found}) == len(found) > 1
        for one in found:
            layout = explorer.live.layout("cells", 0, entry, one["name"] or None)
            assert (one["words"], one["channels"]) == (layout.words, layout.channels)
            asked = {"layer": explorer.layer, "entry": entry, "map_layout": one["name"]}
            content, arrays = talk.ask("maps", page(**asked, sample=0))
            assert content["words"] == one["words"]
            tensor = explorer.live.activation("cells", 0, entry=entry)
            maps = maps_of(tensor, layout)[:, 0].numpy()
            np.testing.assert_array_equal(arrays["maps"], signed_picture(maps).levels)
    explorer.close()


def test_another_layout_has_its_own_channels(explorer: Any) -> None:
    explorer.map_layout = "channels_last"  # of (1, 6, 11, 13)
    explorer.channel = 12
    assert torch.equal(explorer.data()["map"], explorer.live.activation("conv1", 0)[0, ..., 12])
    explorer.map_layout = ""
    assert explorer.channel == 5
    with pytest.raises(traitlets.TraitError, match="map_layout must be one of channels_first, "):
        explorer.map_layout = "states"
    explorer.layout.width = "50%"  # as of any widget


def test_tokens_and_units_have_maps_too() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, batch_first=True)
    explorer = xw.FeatureExplorer(layer, torch.randn(3, 7, 16), layer_name="linear1")
    content, arrays = Conversation(explorer).ask("maps", page(layer=explorer.layer))
    assert content["channels"] == len(arrays["order"])
    activation = explorer.live.activation("linear1", 1)[0].mT
    maps = activation.reshape(-1, *arrays["maps"].shape[1:])[: len(arrays["maps"])].numpy()
    limit = float(activation.abs().max())
    np.testing.assert_array_equal(arrays["maps"], signed_picture(maps, limit).levels)
    explorer.close()
