"""What of a live model can be shown as maps: laid out right, read once, bounded, untouched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_models import IMAGES, UNCOPYABLE, WIDTH, Cnn, Recurrent, X
from small_networks import Digits, ResNet, Vgg16
from small_transformers import inputs_of, small_model
from snapshot import untouched
from torch import Tensor, nn

from explain_widgets import LayerError, LiveModel
from explain_widgets.analysis.feature_maps import maps_of, view

DIGITS = torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(0))


class Encoder(nn.TransformerEncoder):
    def __init__(self) -> None:
        super().__init__(nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True), 2)


def words(live: LiveModel) -> dict[str, str]:
    return {layer.name: layer.words for layer in live.feature_layers()}


def live_transformer(kind: str, implementation: str | None = None) -> LiveModel:
    model = small_model(kind, implementation)
    return LiveModel(model, inputs_of(model))


# --- layouts of real models -------------------------------------------------------------------


def test_the_digits_network_as_it_is_drawn() -> None:
    live = LiveModel(Digits(), DIGITS)
    layers = live.feature_layers(3)
    assert [(layer.name, layer.words) for layer in layers] == [
        ("conv1", "6 channels of 24 × 24"),
        ("pool", "6 channels of 12 × 12"),
        ("conv2", "16 channels of 8 × 8"),
        ("pool:1", "16 channels of 4 × 4"),
        ("fc1", "120 units"),
        ("fc2", "84 units"),
        ("fc3", "10 units"),
        ("", "10 units"),
    ]
    conv2 = layers[2]
    assert (conv2.type, conv2.shape) == ("Conv2d", (1, 16, 8, 8))
    assert (conv2.channels, conv2.height, conv2.width) == (16, 8, 8)
    assert [layer.name for layer in layers if layer.has_filters] == [
        "conv1", "conv2", "fc1", "fc2", "fc3",
    ]  # fmt: skip
    tensor = live.activation("conv2", 3)
    assert torch.equal(view(tensor, conv2.layout), tensor[0])


def test_vgg16() -> None:
    live = LiveModel(Vgg16(), torch.rand(1, 3, 96, 128))
    said = words(live)
    assert said["features.0"] == said["features.1"] == "4 channels of 96 × 128"
    assert said["features.30"] == said["features"] == "32 channels of 3 × 4"
    assert said["avgpool"] == "32 channels of 7 × 7"
    assert said["classifier.0"] == "256 units"
    assert list(said)[-1] == ""


def test_resnet() -> None:
    said = words(LiveModel(ResNet(), torch.rand(1, 3, 32, 48)))
    assert said["blocks.1"] == said["blocks.1.act"] == said["blocks.1.shortcut"]
    assert said["blocks.1"] == "12 channels of 4 × 6"
    assert said["blocks.0.shortcut"] == "8 channels of 8 × 12"  # an Identity


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_layers(kind: type[nn.RNNBase], batch_first: bool) -> None:
    cells = kind(WIDTH, 6, num_layers=2, bidirectional=True, batch_first=batch_first)
    swap = lambda model, x: model(x if batch_first else x.transpose(0, 1))  # noqa: E731
    live = LiveModel(cells, X, forward=swap)
    states = "6 units in 2 layers × 2 directions"
    names = ["0", "1.0", "1.1"] if kind is nn.LSTM else ["0", "1"]
    assert [entry.name for entry in live.entries("")] == names
    assert live.feature_layers()[0].entries == tuple(names)
    assert live.layout("").words == "6 units × 2 directions over 5 steps"
    for name in names[1:]:
        assert live.layout("", entry=name).words == states
    with torch.no_grad():
        output, hidden = cells.eval()(X[:1] if batch_first else X[:1].transpose(0, 1))
    assert torch.equal(live.activation(""), output)
    hidden = hidden if kind is nn.LSTM else (hidden,)
    for name, expected in zip(names[1:], hidden, strict=True):
        assert torch.equal(live.activation("", entry=name), expected)
        assert torch.equal(live.activation("", entry=names.index(name)), expected)


def test_a_projected_lstm() -> None:
    live = LiveModel(nn.LSTM(WIDTH, 6, proj_size=4, batch_first=True), X)
    assert live.layout("").words == "4 units over 5 steps"
    assert live.layout("", entry="1.0").words == "4 units"
    assert live.layout("", entry="1.1").words == "6 units"


def test_packed_sequences() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.GRU(WIDTH, 6, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, [4], batch_first=True)
            result: Tensor = self.cells(packed)[0].data
            return result

    live = LiveModel(Packed(), X)
    assert live.layout("cells").words == "6 units over 4 steps"
    assert live.activation("cells").shape == (4, 6)
    assert live.gradient("cells", target=lambda output: output.sum()).shape == (4, 6)


def test_bert() -> None:
    live = live_transformer("bert", "eager")
    said = words(live)
    tokens = "32 features of 11 tokens"
    for name in ("embeddings.word_embeddings", "embeddings.dropout", "encoder.layer.0"):
        assert said[name] == tokens
    assert said["encoder.layer.0.intermediate"] == "64 features of 11 tokens"
    assert said["pooler.activation"] == "32 units"
    attention = "encoder.layer.0.attention.self"
    assert live.layout(attention, entry="1").words == "4 heads of 11 × 11 (queries × keys)"
    assert live.layout("", entry="pooler_output").words == "32 units"
    with torch.no_grad():
        expected = live.model(**live.samples[0].kwargs)
    assert torch.equal(live.activation("", entry="pooler_output"), expected.pooler_output)
    assert torch.equal(live.activation(""), expected.last_hidden_state)


def test_entries_deep_in_an_output() -> None:
    model = small_model("bert")
    live = LiveModel(model, inputs_of(model), forward=lambda model, **kwargs: model(**kwargs))
    model.config.output_hidden_states = True
    names = [entry.name for entry in live.entries("")]
    assert names == [
        "last_hidden_state",
        "pooler_output",
        *(f"hidden_states.{n}" for n in range(3)),
    ]
    with torch.no_grad():
        expected = model(**live.samples[0].kwargs).hidden_states
    assert torch.equal(live.activation("", entry="hidden_states.1"), expected[1])
    with pytest.raises(LayerError, match=r"'hidden_states' of layer '' holds 3 tensors: pick one"):
        live.activation("", entry="hidden_states")
    with pytest.raises(LayerError, match=r"no entry 'logits' but 5 others, among them"):
        live.activation("", entry="logits")
    with pytest.raises(LayerError, match=r"'pooler' returns one tensor: there is no entry 1"):
        live.activation("pooler", entry=1)


def test_vit() -> None:
    live = live_transformer("vit")
    said = words(live)
    assert said["embeddings.patch_embeddings.projection"] == "32 channels of 4 × 4"
    assert said["layers.1.mlp.fc1"] == (
        "64 features of 17 tokens (class token, then 4 × 4 patches)"
    )
    # The patches put back are the image: those of the first convolution, before it is flattened.
    patches = view(live.activation(name := "embeddings.patch_embeddings"), live.layout(name))
    maps = live.activation("embeddings.patch_embeddings.projection")
    assert torch.equal(patches, maps[0])


def test_text_beside_an_image_is_no_image() -> None:
    said = words(live_transformer("clip"))
    assert said["vision_model.encoder.layers.0"].endswith("(class token, then 4 × 4 patches)")
    assert said["text_model.encoder.layers.0"] == "32 features of 11 tokens"


def test_swin() -> None:
    said = words(live_transformer("swin"))
    assert said["encoder.layers.0.blocks.0"] == "16 features of 256 tokens (16 × 16 patches)"
    assert said["encoder.layers.0.downsample"] == "32 features of 64 tokens (8 × 8 patches)"
    windows = "encoder.layers.0.blocks.0.attention.q_proj"
    assert said[windows] == "16 features of 16 × 16 positions"


def test_convnext_turns_its_channels_around() -> None:
    live = live_transformer("convnext")
    said, layer = words(live), "encoder.stages.0.layers.0"
    layouts = {
        name: live.layout(f"{layer}.{name}").name
        for name in ("dwconv", "layernorm", "pwconv1", "act", "pwconv2", "drop_path")
    }
    assert layouts == {
        "dwconv": "channels_first",
        "layernorm": "channels_last",
        "pwconv1": "channels_last",
        "act": "channels_last",
        "pwconv2": "channels_last",
        "drop_path": "channels_first",
    }
    assert said[layer] == said[f"{layer}.dwconv"] == "32 channels of 8 × 8"
    assert live.layout("encoder.stages.1.downsampling_layer.0").name == "channels_first"


def test_one_and_three_dimensions() -> None:
    flat = nn.Sequential(
        nn.Conv1d(3, 6, 5), nn.BatchNorm1d(6), nn.ReLU(), nn.AvgPool1d(2), nn.GroupNorm(2, 6),
        nn.AdaptiveMaxPool1d(4),
    )  # fmt: skip
    said = words(LiveModel(flat, torch.rand(2, 3, 30)))
    assert said["2"] == said["1"] == "6 channels of 26 positions"
    assert said["4"] == "6 channels of 13 positions"
    assert said["5"] == "6 channels of 4 positions"
    volumes = nn.Sequential(
        nn.Conv3d(1, 6, 3), nn.InstanceNorm3d(6), nn.LeakyReLU(), nn.MaxPool3d(2),
        nn.ConvTranspose3d(6, 2, 2, 2),
    )  # fmt: skip
    said = words(LiveModel(volumes, torch.rand(2, 1, 8, 10, 12)))
    assert said["2"].startswith("6 channels of 6 × 8 × 10 (depth × height × width")
    assert said["3"].startswith("6 channels of 3 × 4 × 5")
    assert said["4"].startswith("2 channels of 6 × 8 × 10")


def test_every_kind_of_layer_for_images() -> None:
    layers = nn.Sequential(
        nn.ReLU(), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8),
        nn.LocalResponseNorm(2), nn.Dropout2d(), nn.MaxPool2d(2), nn.LPPool2d(2, 2),
        nn.Upsample(scale_factor=4), nn.ConvTranspose2d(8, 4, 2, 2), nn.PixelShuffle(2),
        nn.Softmax2d(), nn.AdaptiveMaxPool2d((5, 6)), nn.Flatten(), nn.Linear(30, 7),
        nn.LayerNorm(7), nn.Tanh(),
    )  # fmt: skip
    live = LiveModel(layers, torch.rand(2, 3, 18, 22))
    for name, layer in ((layer.name, layer) for layer in live.feature_layers()):
        tensor = live.activation(name)
        assert layer.channels == tensor.shape[1], name
        assert torch.equal(
            maps_of(tensor, layer.layout).flatten(1), tensor[0].reshape(layer.channels, -1)
        )


def test_tensors_without_a_batch() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.pool = nn.MaxPool2d(2)
            self.norm = nn.InstanceNorm2d(4)
            self.head = nn.Linear(4, 2)

        def forward(self, image: Tensor) -> Tensor:
            maps = self.norm(self.pool(self.conv(image[0]).relu()))
            return self.head(maps.mean((1, 2)))

    said = words(LiveModel(Single(), IMAGES))
    assert said == {
        "conv": "4 channels of 6 × 6",
        "pool": "4 channels of 3 × 3",
        "norm": "4 channels of 3 × 3",
        "head": "2 units",
        "": "2 units",
    }


@pytest.mark.parametrize("batch_first", [True, False])
def test_transformers_of_torch(batch_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=batch_first)
    model = nn.TransformerEncoder(layer, 2)
    swap = lambda model, x: model(x if batch_first else x.transpose(0, 1))  # noqa: E731
    said = words(LiveModel(model, X, forward=swap))
    assert said["layers.0"] == said["layers.1.norm2"] == said[""] == "8 features of 5 tokens"
    assert said["layers.0.linear1"] == "16 features of 5 tokens"


def test_attention_weights_are_heads() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attend(x, x, x, average_attn_weights=False)[1]

    live = LiveModel(Attends(), X)
    assert live.layout("attend", entry=0).words == "8 features of 5 tokens"
    assert live.layout("attend", entry=1).words == "2 heads of 5 × 5 (queries × keys)"
    assert live.layout("").words == "2 heads of 5 × 5 (queries × keys)"  # of its own module


def test_classes_that_are_called_as_those_of_torch() -> None:
    """A user's own LSTM is none of torch's, whatever it is called."""

    class LSTM(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.transpose(1, 2)

    class PatchEmbed2d(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    class MultiheadAttention(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, None]:
            return x, None

    class Mine(nn.Conv1d):
        pass

    own = (LSTM(), PatchEmbed2d(), Linear(), Mine(WIDTH, 6, 1), MultiheadAttention())
    for n, module in enumerate(own):
        live = LiveModel(nn.Sequential(nn.Linear(WIDTH, WIDTH), *own[: n + 1]), X)
        layer = next(layer for layer in live.feature_layers() if layer.name == str(n + 1))
        assert layer.has_filters == isinstance(module, nn.Conv1d)
    said = words(live)
    assert said["1"] == said["2"] == "8 features of 5 tokens"
    assert said["3"] == "8 channels of 5 positions"  # as the convolution takes it
    assert said["4"] == said["5"] == "6 channels of 5 positions"


def test_a_layout_can_be_had_otherwise() -> None:
    live = LiveModel(Digits(), DIGITS)
    assert live.layout("conv2", layout="channels_last").words == "8 channels of 16 × 8"
    assert live.layout("conv2", layout=("batch", "depth", "height", "width")).slices == 16
    with pytest.raises(ValueError, match=r"allows 'channels_first' \(16 channels of 8 × 8\)"):
        live.layout("conv2", layout="units")


def test_layers_without_maps_are_left_out() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 3)
            self.loss = nn.MSELoss()
            self.spectrum = nn.Identity()
            self.nothing = nn.Identity()
            self.empty = nn.Identity()
            self.counts = nn.Identity()

        def forward(self, x: Tensor) -> Any:
            maps = self.conv(x)
            self.nothing(None)
            self.empty(maps[:, :, :0])
            self.spectrum(torch.fft.rfft(maps))
            self.counts(maps.argmax(-1))
            return self.loss(maps, maps * 0)

    live = LiveModel(Odd(), torch.rand(2, 1, 12))
    assert list(words(live)) == ["conv", "counts"]
    assert live.entries("nothing") == []
    with pytest.raises(LayerError, match="'nothing' returns no tensor"):
        live.activation("nothing")


def test_scripted_parts() -> None:
    conv, norm = torch.jit.script(nn.Conv2d(3, 4, 3)), torch.jit.script(nn.BatchNorm2d(4))
    live = LiveModel(nn.Sequential(conv, norm, nn.ReLU()), IMAGES)
    assert set(words(live).values()) == {"4 channels of 6 × 6"}
    with torch.no_grad():
        assert torch.equal(live.filters("0").weights[:, :, 0], conv.weight)


# --- read once --------------------------------------------------------------------------------


@pytest.fixture
def digits() -> LiveModel:
    Digits.forwards = 0
    return LiveModel(Digits(), DIGITS)


def test_one_forward_shows_everything_of_a_sample(digits: LiveModel) -> None:
    for layer in digits.feature_layers(2):
        for entry in layer.entries:
            tensor = digits.activation(layer.name, 2, entry)
            digits.layout(layer.name, 2, entry, "maps" if tensor.ndim > 2 else "units")
        digits.entries(layer.name, 2)
    digits.modules(2)
    digits.filters("conv1", 2)
    assert Digits.forwards == 1


def test_one_backward_gives_all_gradients(digits: LiveModel) -> None:
    names = [layer.name for layer in digits.feature_layers(2)]
    Digits.forwards = 0
    for target in (None, 3):
        for name in names:
            digits.gradient(name, 2, target)
    assert Digits.forwards == 2  # one a target


def test_the_way_to_the_input_is_followed_once_for_all_samples(digits: LiveModel) -> None:
    for sample in (0, 1):
        names = [layer.name for layer in digits.feature_layers(sample)]
    Digits.forwards = 0
    for sample in (0, 1):
        for name in names:
            digits.alignment(name, sample)
    assert Digits.forwards == 1


def test_changed_weights_are_read_again(digits: LiveModel) -> None:
    before = digits.activation("conv2").clone()
    gradient = digits.gradient("conv1", target=0).clone()
    filters = digits.filters("conv2").weights.clone()
    with torch.no_grad():
        digits.model.conv2.weight.mul_(2)
    assert not torch.equal(digits.activation("conv2"), before)
    assert not torch.equal(digits.gradient("conv1", target=0), gradient)
    assert torch.equal(digits.filters("conv2").weights, filters * 2)


def test_a_replaced_layer_is_laid_out_anew(digits: LiveModel) -> None:
    assert digits.alignment("conv1").height.size == 5
    digits.model.conv1 = nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(1, 6, 7))
    assert digits.alignment("conv1").height.size == 7
    assert digits.layout("conv1.0").words == "1 channel of 30 × 30"


@pytest.mark.parametrize("memory", ["40KB", 3000])
def test_memory_bounds_activations_and_gradients(memory: Any) -> None:
    model = Digits().eval()
    free, live = LiveModel(model, DIGITS), LiveModel(model, DIGITS, memory=memory)
    for sample in (0, 1, 0):
        for name in ("fc3", "conv1", "pool:1", "conv1"):
            assert torch.equal(live.activation(name, sample), free.activation(name, sample))
            assert torch.equal(live.gradient(name, sample, 2), free.gradient(name, sample, 2))
        largest = max(row.bytes for row in live.modules(sample))
        assert live._store.used <= max(live._store.limit, largest)


# --- gradients, many at once ------------------------------------------------------------------


def alone(live: LiveModel, name: str, entry: Any = None) -> Tensor:
    """The gradient of the predicted class, at one layer and nowhere else."""
    largest = lambda output: output.max()  # noqa: E731
    return live.gradient(name, 0, largest, entry)  # by a callable: never kept, never along


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("model", "data"),
    [
        (Digits, DIGITS),
        (Cnn, IMAGES),
        (ResNet, torch.rand(2, 3, 32, 32)),
        (Vgg16, torch.rand(1, 3, 64, 64)),
        (lambda: Recurrent(nn.LSTM), X),
        (lambda: Recurrent(nn.GRU), X),
        (Encoder, X),
    ],
    ids=["digits", "cnn", "resnet", "vgg16", "lstm", "gru", "transformer"],
)  # fmt: skip
def test_gradients_read_together_are_those_read_alone(
    model: Callable[[], nn.Module], data: Tensor, frozen: bool
) -> None:
    flat = lambda model, x: model(x).flatten(1)[:, -10:]  # noqa: E731
    live = LiveModel(model().requires_grad_(not frozen), data, forward=flat)
    for layer in live.feature_layers():
        expected = alone(live, layer.name)
        assert torch.equal(live.gradient(layer.name), expected), layer.name


def test_gradients_at_entries() -> None:
    class Last(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            output, (hidden, cell) = self.cells(x)
            return self.head(output[:, -1]) + self.head(torch.cat([hidden[-1], cell[0]], -1))

    live = LiveModel(Last(), X)
    for entry in ("0", "1.0", "1.1"):
        together = live.gradient("cells", entry=entry)
        assert together.abs().sum() > 0
        assert torch.equal(together, alone(live, "cells", entry))
    with pytest.raises(LayerError, match="pick one"):
        live.gradient("cells", entry="1")


def test_gradients_at_inputs_by_name() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, *, scale: Tensor) -> Tensor:
            return (x * scale).sum(-1)

    live = LiveModel(
        Two(), {"x": X[:, 0], "scale": X[:, 1]}, forward=lambda m, x, scale: m(x, scale=scale)
    )
    assert torch.equal(live.gradient("input"), X[:1, 1])
    assert torch.equal(live.gradient("input", entry="scale"), X[:1, 0])
    with pytest.raises(LayerError, match=r"no entry 'y' of floating point, only 'x', 'scale'"):
        live.gradient("input", entry="y")


class WritesThrough(nn.Module):
    """Hands out views and its own input, and writes through them afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.first = self.Half()
        self.same = nn.Identity()
        self.head = nn.Linear(WIDTH, 3)

    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[..., :4]

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x[:, 0]) * 1
        half = self.first(x)
        half.mul_(3)  # and so x
        same = self.same(x)
        same.add_(1)  # and so x
        return self.head(x)


@pytest.mark.parametrize("frozen", [False, True])
def test_looking_everywhere_changes_nothing(frozen: bool) -> None:
    model = WritesThrough().requires_grad_(not frozen)
    live = LiveModel(model, X)
    with torch.no_grad():
        expected = model(X[:1])
    if frozen:  # an in-place operation on what begins the graph: no gradient but at the end
        assert torch.equal(live.gradient("head", target=1), torch.eye(3)[1:2])
    else:
        weight = model.head.weight[1:2].detach()
        gradient = live.gradient("layer", target=1)
        assert torch.allclose(gradient, torch.cat([weight[:, :4] * 3, weight[:, 4:]], 1))
    assert torch.equal(live.output(), expected)


@pytest.mark.parametrize("frozen", [False, True])
def test_lists_that_modules_share_stay_the_same(frozen: bool) -> None:
    class Collects(nn.Module):
        def forward(self, x: Tensor, found: list[Tensor]) -> list[Tensor]:
            found.append(x[..., :4])
            return found

    class Collector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.collect, self.head = (
                nn.Linear(WIDTH, WIDTH),
                Collects(),
                nn.Linear(4, 3),
            )

        def forward(self, x: Tensor) -> Tensor:
            found: list[Tensor] = []
            x = self.layer(x[:, 0])
            assert self.collect(x, found) is found
            return self.head(self.collect(x * 2, found)[1] + found[0])

    model = Collector().requires_grad_(not frozen)
    live = LiveModel(model, X)
    expected = torch.cat([3 * model.head.weight[1:2].detach(), torch.zeros(1, 4)], 1)
    assert torch.allclose(live.gradient("layer", target=1), expected)


def test_only_so_many_calls_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    from explain_widgets.live import lookup, recorder

    class Often(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(40):
                x = self.layer(x)
            return x

    for module in (lookup, recorder):
        monkeypatch.setattr(module, "MOST_CALLS", 30)
    live = LiveModel(Often(), X)
    assert len(live.feature_layers()) == 30
    assert live.modules()[1].calls == 40
    assert live.activation("layer:28").shape == live.gradient("", target=0).shape
    with pytest.raises(LayerError, match=r"'layer:35' is not among the first 30 calls"):
        live.activation("layer:35")


def test_where_gradients_everywhere_are_too_much_one_is_still_had() -> None:
    class NoBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            raise RuntimeError("not implemented")

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.after(NoBackward.apply(self.before(x)).mean(1))

    live = LiveModel(Half(), X)
    assert torch.equal(live.gradient("after", target=0), torch.tensor([[1.0, 0.0]]))
    with pytest.raises(RuntimeError, match="not implemented"):
        live.gradient("before", target=0)


# --- untouched --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [lambda model: model, *UNCOPYABLE.values()], ids=["twin", *UNCOPYABLE]
)
def test_the_model_is_left_as_it_was_found(kind: Callable[[nn.Module], nn.Module]) -> None:
    model = Cnn()
    model.features[0] = nn.utils.parametrizations.spectral_norm(model.features[0])
    model.features[3] = nn.utils.parametrizations.weight_norm(model.features[3])
    model(IMAGES).sum().backward()
    model.train()
    model = kind(model)
    live = LiveModel(model, IMAGES)
    for question in (
        live.feature_layers,
        lambda: live.entries("features.1"),
        lambda: live.layout("features.2", layout="maps"),
        lambda: live.activation("features.4", entry=0),
        lambda: live.gradient("features.2"),
        lambda: live.gradient("features.0", target=1, entry=0),
        lambda: live.gradient("input", entry=0),
        lambda: live.alignment("features.3"),
        lambda: live.filters("features.0"),
        lambda: live.filters("features.3"),
    ):
        with untouched(model):
            question()
