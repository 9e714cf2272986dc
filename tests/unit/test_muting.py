"""Channels taken out of the forward, against hooks on the model itself."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from small_models import IMAGES, UNCOPYABLE, WIDTH, Block, Classifier, Cnn, Recurrent, X
from small_transformers import inputs_of, small_model
from snapshot import untouched
from threads import in_thread
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.feature_maps import choose_layout
from explain_widgets.analysis.muting import channel_means, muted

Change = Callable[[Any], Any]


def by_hand(model: nn.Module, inputs: Any, changes: dict[str, Change]) -> Any:
    """The output of the model itself while the outputs of some modules are changed by hooks."""
    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda module, args, out, change=change: change(out))
        for name, change in changes.items()
    ]
    try:
        with torch.no_grad():
            return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    finally:
        for handle in handles:
            handle.remove()


def zeroed(axis: int, *channels: int) -> Change:
    def change(output: Tensor) -> Tensor:
        output = output.clone()
        output.index_fill_(axis, torch.tensor(channels), 0)
        return output

    return change


# --- analysis ---------------------------------------------------------------------------------


def test_a_channel_of_any_layout_is_muted() -> None:
    for shape, layout, index in [
        ((1, 4, 3, 5), None, (slice(None), 2)),
        ((1, 3, 5, 4), "channels_last", (..., 2)),
        ((1, 7, 4), ("batch", "token", "channel"), (..., 2)),
        ((4,), None, (2,)),
    ]:
        tensor = torch.randn(shape)
        expected = tensor.clone()
        expected[index] = 3.0
        laid_out = choose_layout(shape, layout=layout)
        assert torch.equal(muted(tensor, laid_out, 2, 3.0), expected), shape


def test_channels_in_two_axes_are_muted() -> None:
    tensor = torch.randn(3, 2, 5)  # directions and units are the channels of two layers, say
    layout = choose_layout(tensor.shape, layout=("channel", "step", "channel"))
    assert layout.channels == 15
    assert layout.axis("channel") is None
    for channel in range(15):
        expected = tensor.clone()
        expected[channel // 5, :, channel % 5] = 0
        assert torch.equal(muted(tensor, layout, channel, 0.0), expected)
        mean = channel_means(tensor, layout)[channel]
        assert mean == pytest.approx(float(tensor[channel // 5, :, channel % 5].double().mean()))


def test_means_of_halves_are_summed_in_more() -> None:
    tensor = torch.full((1, 1, 100, 100), 0.1, dtype=torch.float16)
    tensor[..., 0, 0] = 1000
    means = channel_means(tensor, choose_layout(tensor.shape))
    assert float(means[0]) == pytest.approx(float(tensor.double().mean()), rel=1e-6)


# --- the output without a channel -------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "channels", "axis"),
    [("features.0", 4, 1), ("features.1", 4, 1), ("features.2", 4, 1), ("features.3", 6, 1),
     ("features", 6, 1), ("head", 4, 1)],
)  # fmt: skip
def test_the_output_is_that_without_the_channel(layer: str, channels: int, axis: int) -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    plain = live.output(1)
    with untouched(model):
        for channel in range(channels):
            ours = live.output(1, mute=[(layer, channel)])
            assert torch.equal(ours, by_hand(model, IMAGES[1:2], {layer: zeroed(axis, channel)})), (
                channel
            )
    assert torch.equal(live.output(1), plain)  # released
    assert not torch.equal(live.output(1, mute=[("head", 0)]), plain)


@pytest.mark.parametrize("layer", ["block1", "block1.feed.0", "block1.norm", "block2.attend.qkv"])
def test_features_of_tokens_are_muted(layer: str) -> None:
    model = Classifier().eval()
    live = xw.LiveModel(model, X)
    for channel in (0, 5):
        ours = live.output(mute=[(layer, channel)])
        assert torch.equal(ours, by_hand(model, X[:1], {layer: zeroed(-1, channel)}))


def test_several_at_once_by_name_and_by_index() -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    index = [row.name for row in live.modules()].index("features.3")
    ours = live.output(mute=[("features.0", 1), ("features.0", 3), (index, 2)])
    changes = {"features.0": zeroed(1, 1, 3), "features.3": zeroed(1, 2)}
    assert torch.equal(ours, by_hand(model, IMAGES[:1], changes))


def test_later_layers_are_seen_without_the_channel() -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    mute = [("features.0", 2)]
    plain = live.activation("features.0")
    shown = live.activation("features.0", mute=mute)
    assert torch.equal(shown, zeroed(1, 2)(plain))  # before the in-place layers that follow
    seen: list[Tensor] = []
    watch = {"features.0": zeroed(1, 2), "features.3": lambda output: seen.append(output.clone())}
    by_hand(model, IMAGES[:1], watch)
    assert torch.equal(live.activation("features.3", mute=mute), seen[0])
    assert not torch.equal(live.activation("features.3"), seen[0])
    assert torch.equal(live.activation("features.0"), plain)


def test_what_else_uses_the_tensor_is_as_it_was() -> None:
    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = nn.Identity()
            self.rectified = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, self.same(x), self.rectified(x.clone())], 1)

    live = xw.LiveModel(Skips(), torch.randn(1, 3, 4, 4))
    plain, without = live.output(), live.output(mute=[("same", 1)])
    assert torch.equal(without[:, [0, 1, 2, 3, 5]], plain[:, [0, 1, 2, 3, 5]])
    assert not without[:, 4].any()


class Statements(nn.Module):
    """Works in place, with modules whose results nobody takes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Hardtanh(-0.5, 0.5, inplace=True), nn.ELU(inplace=True))
        self.same = nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.conv(x)
        kept = first + 1
        self.relu(first)
        second = self.conv(x)
        self.block(second[:, :3])  # a part of it
        self.same(kept)  # whose result is not used: the model does nothing with it
        return first, second + kept


@pytest.mark.parametrize("how", ["zero", "mean"])
@pytest.mark.parametrize("layer", ["relu", "block", "block.1", "block.0"])
def test_modules_that_work_in_place_are_muted_also_where_their_result_is_not_used(
    layer: str, how: Any
) -> None:
    model = Statements().eval()
    images = torch.randn(3, 3, 9, 9)
    live = xw.LiveModel(model, images)
    means = torch.stack([live.activation(layer, n)[0, 2].double().mean() for n in range(3)])
    value = 0.0 if how == "zero" else float(means.mean())

    def overwrite(output: Tensor) -> None:  # the hook's own result is not used, either
        output[:, 2] = value

    expected = by_hand(model, images[:1], {layer: overwrite})
    with untouched(model):
        found = live.output(mute=[(layer, 2, how)])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    changed = [not torch.equal(*pair) for pair in zip(found, live.output(), strict=True)]
    assert changed == [layer == "relu", layer != "relu"]
    assert torch.equal(
        live.activation(layer, mute=[(layer, 2, how)])[0, 2], torch.full((7, 7), value)
    )
    assert torch.equal(live.samples[0].args[0], images[:1])


def test_a_module_whose_result_is_not_used_changes_nothing_that_it_has_not_written() -> None:
    live = xw.LiveModel(Statements().eval(), torch.randn(1, 3, 9, 9))
    for one, plain in zip(live.output(mute=[("same", 2)]), live.output(), strict=True):
        assert torch.equal(one, plain)


@pytest.mark.parametrize("kind", UNCOPYABLE.values(), ids=UNCOPYABLE)
def test_models_that_cannot_be_copied(kind: Any) -> None:
    model, mute = Cnn().eval(), [("features.0", 1, "mean")]
    expected = xw.LiveModel(model, IMAGES).output(mute=mute)
    awkward = kind(model)
    live = xw.LiveModel(awkward, IMAGES)
    with untouched(awkward):
        assert torch.equal(live.output(mute=mute), expected)


def test_after_an_error_in_the_model_and_from_another_thread() -> None:
    model = Classifier().train()
    raises: list[type[BaseException]] = []

    def inside() -> None:
        if raises:
            raise raises[0]("from inside")

    model.inside = inside
    live = xw.LiveModel(model, X)
    mute = [("block1.norm", 3, "mean")]
    with untouched(model):
        expected = live.output(mute=mute)
    live.refresh()
    raises.append(ValueError)
    with untouched(model), pytest.raises(xw.RunError, match="from inside"):
        live.output(mute=mute)
    raises[:] = [KeyboardInterrupt]
    with untouched(model), pytest.raises(KeyboardInterrupt):
        live.output(mute=mute)
    raises.clear()
    with untouched(model):
        assert torch.equal(in_thread(lambda: live.output(mute=mute)), expected)


def test_compiled_and_scripted_models() -> None:
    model = Cnn().eval()
    expected = by_hand(model, IMAGES[:1], {"features.0": zeroed(1, 1)})
    live = xw.LiveModel(torch.compile(model), IMAGES)
    assert torch.equal(live.output(mute=[("features.0", 1)]), expected)
    scripted = nn.Sequential(torch.jit.script(nn.Conv2d(3, 4, 3)), nn.ReLU(inplace=True))
    live = xw.LiveModel(scripted, IMAGES)
    plain, without = live.output(), live.output(mute=[("0", 1)])
    assert torch.equal(without[:, [0, 2, 3]], plain[:, [0, 2, 3]])
    assert not without[:, 1].any()


# --- calls and entries ------------------------------------------------------------------------


def test_calls_of_one_module_are_told_apart() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.same = self.layer  # reached by two paths: it goes by the first

        def forward(self, x: Tensor) -> Tensor:
            return self.same(self.layer(x))

    model = Twice()
    x = torch.randn(1, 4)
    live = xw.LiveModel(model, x)
    cut = zeroed(1, 2)
    with torch.no_grad():
        first, second = model.layer(cut(model.layer(x))), cut(model.layer(model.layer(x)))
        every = cut(model.layer(cut(model.layer(x))))
    assert torch.equal(live.output(mute=[("layer", 2)]), first)
    assert torch.equal(live.output(mute=[("layer:1", 2)]), second)
    assert torch.equal(live.output(mute=[xw.Mute("layer", 2, every=True)]), every)
    with pytest.raises(xw.LayerError, match="called 2 times"):
        live.output(mute=[("layer:2", 2)])


class Pair(NamedTuple):
    ids: Tensor
    maps: Tensor


@dataclass
class Named:
    maps: Tensor
    extra: tuple[Tensor, ...] = ()


class Holds(nn.Module):
    """Returns its input, and a half of it, in a container."""

    def __init__(self, container: str) -> None:
        super().__init__()
        self.container = container

    def forward(self, x: Tensor) -> Any:
        ids = torch.arange(3)
        return {
            "tuple": (ids, x, x / 2),
            "dict": {"ids": ids, "maps": x, "extra": [x / 2]},
            "named": Pair(ids, x),
            "dataclass": Named(x, (x / 2,)),
        }[self.container]


class Around(nn.Module):
    def __init__(self, container: str) -> None:
        super().__init__()
        self.holds = Holds(container)

    def forward(self, x: Tensor) -> Tensor:
        found = self.holds(x)
        values = found.values() if isinstance(found, dict) else found
        parts = [found.maps, *found.extra] if isinstance(found, Named) else list(values)
        flat = [part[0] if isinstance(part, list) else part for part in parts]
        return torch.cat([part for part in flat if part.is_floating_point()], 1)


@pytest.mark.parametrize(
    ("container", "other"),
    [("tuple", "2"), ("tuple", 2), ("dict", "extra.0"), ("named", None), ("dataclass", "extra.0")],
)
def test_entries_of_containers(container: str, other: str | int | None) -> None:
    x = torch.randn(1, 3, 4, 4)
    live = xw.LiveModel(Around(container), x)
    plain = live.output()
    without = live.output(mute=[("holds", 1)])
    assert not without[:, 1].any()
    assert torch.equal(without[:, [0, 2]], plain[:, [0, 2]])
    if other is not None:
        assert torch.equal(without[:, 3:], plain[:, 3:])
        other_one = live.output(mute=[("holds", 1, "zero", other)])
        assert not other_one[:, 4].any()
        assert torch.equal(other_one[:, :4], plain[:, :4])


def test_units_of_recurrent_layers() -> None:
    model = Recurrent().eval()
    live = xw.LiveModel(model, X)
    for unit in (1, 8):  # forward and backward
        ours = live.output(mute=[("cells", unit)])

        def change(output: Any, unit: int = unit) -> Any:
            return zeroed(-1, unit)(output[0]), output[1]

        assert torch.equal(ours, by_hand(model, X[:1], {"cells": change}))


def test_channels_that_are_laid_out_otherwise() -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    live = xw.LiveModel(nn.Sequential(Last(), nn.ReLU()), torch.rand(1, 5, 5, 5) + 1)
    first = live.output(mute=[xw.Mute("0", 2, layout="channels_first")])
    last = live.output(mute=[xw.Mute("0", 2, layout=["batch", "height", "width", "channel"])])
    assert not first[:, 2].any()
    assert not last[..., 2].any()
    assert (first == 0).sum() == (last == 0).sum() == 25


# --- the mean ---------------------------------------------------------------------------------


def mean_of(model: nn.Module, layer: str, samples: Any, channel: int, axis: int = 1) -> float:
    seen: list[Tensor] = []
    keep = {layer: lambda output: seen.append(output.double().movedim(axis, 0)[channel].flatten())}
    for sample in samples:
        by_hand(model, sample[None], keep)
    return float(torch.cat(seen).mean())


@pytest.mark.parametrize("layer", ["features.0", "features.3"])
def test_a_channel_becomes_its_mean_over_samples_and_positions(layer: str) -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    mean = mean_of(model, layer, IMAGES, 2)

    def change(output: Tensor) -> Tensor:
        output = output.clone()
        output[:, 2] = mean
        return output

    ours = live.output(1, mute=[(layer, 2, "mean")])
    assert torch.allclose(ours, by_hand(model, IMAGES[1:2], {layer: change}), atol=1e-6)
    shown = live.activation(layer, 1, mute=[(layer, 2, "mean")])[0, 2]
    assert float(shown.min()) == float(shown.max()) == pytest.approx(mean, abs=1e-6)
    change_of = live.output_change(mute=[(layer, 2, "mean")])
    assert change_of.note == "mean over all 3 samples and all positions"
    assert live.output_change(mute=[(layer, 2)]).note == ""


def test_the_mean_of_a_vision_transformer_counts_its_class_token() -> None:
    """Maps hold the patches alone; what is muted, and its mean, are all tokens."""
    torch.manual_seed(0)
    model = small_model("vit").eval()
    layer = next(name for name, _ in model.named_modules() if name.endswith("layernorm_before"))
    images = inputs_of(model)["pixel_values"][:1] + torch.randn(3, 1, 1, 1)
    live = xw.LiveModel(model, {"pixel_values": images})
    assert live.layout(layer).grid is not None
    shown = live.activation(layer, 1, mute=[(layer, 2, "mean")])[..., 2]
    every = torch.cat([live.activation(layer, n) for n in range(3)])[..., 2]
    assert torch.allclose(shown, every.mean().expand_as(shown), atol=1e-6)


class Counted(torch.utils.data.Dataset[Tensor]):
    def __init__(self, count: int) -> None:
        self.read: list[int] = []
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        self.read.append(index)
        return torch.full((3, 8, 8), float(index))


def test_means_are_of_few_samples_and_kept() -> None:
    data = Counted(1000)
    live = xw.LiveModel(Cnn().eval(), data)
    mute = [("features.0", 1, "mean"), ("head", 0, "mean")]
    change = live.output_change(mute=mute)
    assert change.note == "mean over 64 of 1,000 samples and all positions"
    assert len(set(data.read)) <= 65
    assert max(data.read) > 900  # spread, since samples are often sorted by class
    data.read.clear()
    for index in range(1, 4):
        live.output(index, mute=mute)
        live.output(index, mute=[("features.0", 3, "mean")])
    assert set(data.read) <= {1, 2, 3}


def test_means_of_an_iterable_are_of_its_first_samples() -> None:
    class Endless(torch.utils.data.IterableDataset[Tensor]):
        def __iter__(self) -> Any:
            index = 0
            while True:
                yield torch.full((3, 8, 8), float(index))
                index += 1

    live = xw.LiveModel(Cnn().eval(), Endless())
    note = live.output_change(mute=[("head", 1, "mean")]).note
    assert note == "mean over the first 64 samples and all positions"
    assert live.samples.read_so_far == 64


def test_means_of_texts_of_several_lengths_weigh_positions_alike() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(10, 6), nn.Linear(6, 4))
    texts = [torch.arange(length)[None] % 10 for length in (3, 9, 5)]
    live = xw.LiveModel(model, [(text, 0) for text in texts])
    with torch.no_grad():
        values = torch.cat([model[0](text).flatten(0, 1) for text in texts])[:, 2]
    shown = live.activation("0", 1, mute=[("0", 2, "mean")])[..., 2]
    assert torch.allclose(shown, values.mean().expand_as(shown), atol=1e-6)


def test_means_can_be_read_sample_by_sample() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    mute = [("features.0", 1, "mean")]
    reading = live.read_means(mute)
    assert next(reading) == (1, 3)
    assert in_thread(live.output).shape == (1, 4)  # others are served in between
    assert list(reading) == [(2, 3), (3, 3)]
    assert list(live.read_means(mute)) == []  # kept
    assert list(live.read_means([("features.0", 1)])) == []


def test_means_are_read_again_where_the_model_changes() -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    mute = [("features.0", 1, "mean")]
    live.output(mute=mute)
    reading = live.read_means(mute)
    assert list(reading) == []
    with torch.no_grad():
        model.features[0].bias += 1
    reading = live.read_means(mute)
    next(reading)
    with torch.no_grad():
        model.features[0].bias += 1
    assert list(reading) == [(1, 3), (2, 3), (3, 3)]
    mean = mean_of(model, "features.0", IMAGES, 1)
    shown = live.activation("features.0", mute=mute)[0, 1]
    assert float(shown[0, 0]) == pytest.approx(mean, abs=1e-6)


# --- with attention heads ---------------------------------------------------------------------


def test_heads_and_channels_at_once() -> None:
    model = nn.Sequential(Block(), Block()).eval()
    live = xw.LiveModel(model, X)
    mute, ablate = [("0.feed.0", 3)], [("1.attend", 1, "zero")]
    with torch.no_grad():
        middle = by_hand(model[0], X[:1], {"feed.0": zeroed(-1, 3)})
    expected = xw.LiveModel(model[1], middle).output(ablate=[("attend", 1, "zero")])
    assert torch.allclose(live.output(ablate=ablate, mute=mute), expected, atol=1e-6)
    assert live.output_change(ablate, 0, mute).cosine < live.output_change(mute=mute).cosine
    shown = live.activation("1.attend", ablate=ablate, mute=mute)
    assert not torch.equal(shown, live.activation("1.attend", mute=mute))


# --- errors -----------------------------------------------------------------------------------


def test_what_cannot_be_muted_is_said() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    for wrong, said in [
        (("features.0", 4), "channel 4 is out of range: 'features.0' has 4 channels"),
        (("features.0", -1), "channel -1 is out of range"),
        (("nothing", 0), "no layer 'nothing'"),
        (("features.0", 0, "half"), "neither"),
        (("features.0", 0, "zero", "x"), "no entry 'x'"),
    ]:
        with pytest.raises(xw.ExplainError, match=said):
            live.output(mute=[wrong])
    with pytest.raises(xw.ChannelError, match="named twice"):
        live.output(mute=[("features.0", 0), ("features.0", 0, "mean")])
    ids = xw.LiveModel(nn.Sequential(nn.Linear(3, 4), Argmax()), torch.rand(1, 3))
    with pytest.raises(xw.ChannelError, match="no numbers of floating point"):
        ids.output(mute=[("1", 0)])


class Argmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.argsort(-1)


def test_a_channel_that_was_not_muted_is_an_error() -> None:
    skipped: list[bool] = []

    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            return x if skipped else F.relu(self.layer(x))

    live = xw.LiveModel(Sometimes(), X)
    live.output(mute=[("layer", 1)])
    live._store.clear()
    skipped.append(True)
    with pytest.raises(xw.RunError, match="'layer' was not called in this run"):
        live.output(mute=[("layer", 1)])


def test_a_module_that_is_called_more_often_without_its_channel_is_an_error() -> None:
    class Loops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3 if x[0, 1] else 5):
                x = self.layer(x)
            return x if x[0, 1] else self.layer(x)

    live = xw.LiveModel(Loops(), torch.ones(1, 4))
    assert live.output(mute=[("layer", 0)]).tolist() == [[0, 1, 1, 1]]
    assert live.output(mute=[xw.Mute("layer", 0, every=True)]).tolist() == [[0, 1, 1, 1]]
    with pytest.raises(xw.ChannelError, match="called more often"):
        live.output(mute=[xw.Mute("layer", 1, every=True)])


def test_a_container_that_cannot_be_filled_anew_is_an_error() -> None:
    class Returns(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return UserDict(maps=x)

    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.returns = Returns()

        def forward(self, x: Tensor) -> Tensor:
            return self.returns(x)["maps"] * 2

    live = xw.LiveModel(Reads(), torch.rand(1, 3, 4, 4))
    with pytest.raises(xw.ChannelError, match="UserDict, in which no tensor can be replaced"):
        live.output(mute=[("returns", 1)])
