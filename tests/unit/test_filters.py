"""Filters: the weights that a layer computes with, laid out so that they can be drawn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_models import IMAGES, UNCOPYABLE, WIDTH, X
from small_networks import Digits, Vgg16
from snapshot import untouched
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from explain_widgets import LayerError, LiveModel
from explain_widgets.analysis.filters import convolution_filters


def read(layer: nn.Module, data: Tensor) -> Any:
    return LiveModel(layer, data).filters("")


# --- laid out ---------------------------------------------------------------------------------


def test_a_first_layer_of_colours_is_drawn_in_colour() -> None:
    model = Vgg16()
    live = LiveModel(model, torch.rand(2, 3, 64, 64))
    filters = live.filters("features.0")
    assert filters.words == "4 filters of 3 × 3 × 3 (red, green, blue)"
    assert torch.equal(filters.rgb(), model.features[0].weight)
    expected = model.features[0].weight.double().flatten(1).pow(2).sum(1).sqrt()
    assert torch.allclose(filters.norms.double(), expected)
    second = live.filters("features.2")
    assert second.words == "4 filters of 4 × 3 × 3"
    with pytest.raises(ValueError, match="do not see the red, green and blue"):
        second.rgb()


def test_three_channels_inside_are_no_colours() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 4, 3))
    live = LiveModel(model, IMAGES)
    assert live.filters("0").is_rgb
    assert (
        not LiveModel(nn.Sequential(nn.Conv2d(1, 3, 1), *model), IMAGES[:, :1]).filters("1").is_rgb
    )
    grouped = LiveModel(nn.Conv2d(3, 3, 3, groups=3), IMAGES)
    assert not grouped.filters("").is_rgb


def seen_by(layer: nn.Module, x: Tensor) -> Tensor:
    """(out, in): whether an output moves when an input channel does."""
    with torch.no_grad():
        before = layer(x)
        moved = []
        for channel in range(x.shape[1]):
            changed = x.clone()
            changed[:, channel] += 1
            moved.append((layer(changed) - before).abs().flatten(2).amax((0, 2)) > 1e-9)
    return torch.stack(moved, 1)


CONVOLUTIONS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "plain": (lambda: nn.Conv2d(4, 6, (3, 5), stride=2, padding=(1, 2)), (9, 11)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=2), (9, 11)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), (9, 11)),
    "one": (lambda: nn.Conv1d(4, 6, 5, 2), (15,)),
    "three": (lambda: nn.Conv3d(4, 6, (2, 3, 4), padding=1), (5, 6, 7)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1), (5, 6)),
    "transposed, grouped": (
        lambda: nn.ConvTranspose2d(4, 6, (3, 2), 2, groups=2, dilation=2), (5, 6),
    ),
    "transposed, one": (lambda: nn.ConvTranspose1d(4, 8, 5, 3, groups=4, output_padding=1), (7,)),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_and_which_channels_each_filter_sees(name: str) -> None:
    make, sides = CONVOLUTIONS[name]
    layer = make().double()
    x = torch.rand(2, 4, *sides, dtype=torch.float64)
    filters = read(layer, x)
    outputs = layer.out_channels
    sees = torch.zeros(outputs, 4, dtype=torch.bool)
    sees[torch.arange(outputs)[:, None], filters.inputs] = True
    assert torch.equal(sees, seen_by(layer, x))
    # The layer's own answer, one filter and one input channel at a time.
    apply = getattr(F, f"conv{'_transpose' * layer.transposed}{len(sides)}d")
    options = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    if layer.transposed:
        options["output_padding"] = layer.output_padding
    missing = 5 - 2 - len(sides)
    kernels = filters.weights.flatten(2, 2 + missing) if missing else filters.weights
    with torch.no_grad():
        answer = layer(x) - layer.bias.view(-1, *(1,) * len(sides))
        for output in range(outputs):
            total = 0
            for place, channel in enumerate(filters.inputs[output].tolist()):
                kernel = kernels[output, place][None, None]
                total = total + apply(x[:, channel : channel + 1], kernel, **options)
            assert torch.allclose(total[:, 0], answer[:, output])
    for channel in range(4):
        which, pictures = filters.of_input(channel)
        assert which.tolist() == sees[:, channel].nonzero().flatten().tolist()
        for n, output in enumerate(which.tolist()):
            place = filters.inputs[output].tolist().index(channel)
            assert torch.equal(pictures[n], filters.of_output(output)[place])


def test_slices_of_volumes() -> None:
    weight = torch.randn(5, 2, 3, 4, 6)
    filters = convolution_filters(weight)
    assert (filters.depth, filters.words) == (3, "5 filters of 2 × 3 × 4 × 6")
    assert torch.equal(filters.of_output(1, 2), weight[1, :, 2])
    assert torch.equal(filters.of_input(1, 2)[1], weight[:, 1, 2])
    assert convolution_filters(torch.randn(5, 2, 7)).words == "5 filters of 2 × 7"


def test_a_linear_layer_after_a_map_is_laid_out_as_the_map() -> None:
    model = Digits()
    live = LiveModel(model, torch.rand(2, 1, 28, 28))
    first, second = live.filters("fc1"), live.filters("fc2")
    assert torch.equal(first.weights, model.fc1.weight.view(120, 16, 1, 4, 4))
    assert first.note == "laid out as the map before: 16 channels of 4 × 4"
    assert first.words == "120 filters of 16 × 4 × 4"
    # The definition: the map times the weights, summed.
    maps = live.activation("pool:1")[0].relu()
    with torch.no_grad():
        expected = (first.weights[:, :, 0] * maps).sum((1, 2, 3)) + model.fc1.bias
    assert torch.allclose(live.activation("fc1")[0], expected, atol=1e-5)
    assert second.words == "84 units with 120 weights each"
    assert torch.equal(second.weights.view(84, 120), model.fc2.weight)
    assert torch.equal(second.norms, model.fc2.weight.norm(dim=1))


def test_maps_that_have_their_channels_last_are_flattened_so() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.head = nn.Linear(3, 5), nn.Linear(5 * 8 * 8, 4)

        def forward(self, image: Tensor) -> Tensor:
            return self.head(self.mix(image.permute(0, 2, 3, 1)).flatten(1))

    model = Last()
    filters = LiveModel(model, IMAGES).filters("head")
    assert torch.equal(
        filters.weights[:, :, 0], model.head.weight.view(4, 8, 8, 5).permute(0, 3, 1, 2)
    )


# --- as the layer computes with them ----------------------------------------------------------


class Adapted(nn.Module):
    """A linear layer with an adapter, as written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(WIDTH, 5)
        self.lora_down = nn.Parameter(torch.randn(2, WIDTH))
        self.lora_up = nn.Parameter(torch.randn(5, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 0.5 * x @ self.lora_down.T @ self.lora_up.T

    @property
    def effective(self) -> Tensor:
        return self.base.weight + 0.5 * self.lora_up @ self.lora_down


class AdaptedConvolution(nn.Module):
    """As PEFT wraps one: the layer itself is `base_layer`."""

    def __init__(self) -> None:
        super().__init__()
        self.base_layer = nn.Conv2d(3, 4, 3, 2, 1)
        self.lora_A, self.lora_B = (
            nn.Conv2d(3, 2, 3, 2, 1, bias=False),
            nn.Conv2d(2, 4, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + self.lora_B(self.lora_A(x))

    @property
    def effective(self) -> Tensor:
        return self.base_layer.weight + torch.einsum(
            "orij,rchw->ochw", self.lora_B.weight, self.lora_A.weight
        )


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * 2, self.bias)


def hooked() -> nn.Module:
    layer = nn.Linear(WIDTH, 3)
    layer.register_forward_hook(lambda module, args, output: output * 3)
    return layer


def old_weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(nn.ConvTranspose2d(3, 4, 3, 2, 1, dilation=2))


WEIGHT = lambda layer: layer.weight  # noqa: E731

MADE: dict[str, tuple[Callable[[], nn.Module], Tensor, Callable[[Any], Tensor]]] = {
    "weight norm": (
        lambda: parametrizations.weight_norm(nn.Conv2d(3, 4, 3, 2, 2)), IMAGES, WEIGHT,
    ),
    "old weight norm": (old_weight_norm, IMAGES, lambda layer: layer.weight.transpose(0, 1)),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(WIDTH, 5)), X, WEIGHT),
    "old spectral norm": (
        lambda: nn.utils.spectral_norm(nn.Conv2d(3, 4, 3, padding="same")), IMAGES, WEIGHT,
    ),
    "pruned": (
        lambda: prune.l1_unstructured(nn.Linear(WIDTH, 5), "weight", 0.5), X, WEIGHT,
    ),
    "adapter": (Adapted, X, lambda layer: layer.effective),
    "adapted convolution": (AdaptedConvolution, IMAGES, lambda layer: layer.effective),
    "own forward": (lambda: Doubled(WIDTH, 3), X, lambda layer: layer.weight * 2),
    "hook": (hooked, X, lambda layer: layer.weight * 3),
    "grouped circular": (
        lambda: parametrizations.weight_norm(
            nn.Conv2d(4, 6, 3, 3, 2, groups=2, padding_mode="circular")
        ),
        torch.rand(2, 4, 9, 9), WEIGHT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_weights_that_are_made_in_the_forward(name: str) -> None:
    make, data, effective = MADE[name]
    layer = make()
    with torch.no_grad():
        layer(data)  # in training mode, as users have them: spectral norm moves with each forward
        layer.eval()
        layer(data)
        expected = effective(layer)
    layer.train()
    with untouched(layer):
        found = read(layer, data).weights
    assert torch.allclose(
        found.squeeze((1, 2, 3) if expected.ndim == 2 else 2), expected, atol=1e-6
    )


@pytest.mark.parametrize("kind", UNCOPYABLE)
def test_weights_of_models_that_cannot_be_copied(kind: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), parametrizations.weight_norm(nn.Conv2d(4, 2, 3)))
    with torch.no_grad():
        expected = [layer.weight.clone() for layer in model]
    model = UNCOPYABLE[kind](model)
    live = LiveModel(model, IMAGES)
    for n in (0, 1):
        with untouched(model):
            assert torch.allclose(live.filters(str(n)).weights[:, :, 0], expected[n], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_of_other_dtypes(dtype: torch.dtype) -> None:
    layer = nn.Linear(WIDTH, 5).to(dtype)
    filters = read(layer, X.to(dtype))
    assert torch.equal(filters.weights.view(5, WIDTH), layer.weight)
    assert torch.allclose(filters.norms.double(), layer.weight.double().norm(dim=1), rtol=1e-6)
    adapted = Adapted().to(dtype)
    found = read(adapted, X.to(dtype)).weights.view(5, WIDTH)
    assert torch.allclose(found, adapted.effective, rtol=0.05, atol=0.05)


def test_quantised_weights() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.Linear(WIDTH, 5)
        model = torch.ao.quantization.quantize_dynamic(nn.Sequential(layer), {nn.Linear})
    found = LiveModel(model, X).filters("0").weights.view(5, WIDTH)
    assert torch.equal(found, model[0].weight().dequantize())
    assert (found - layer.weight).abs().max() < 0.02


def test_the_linear_layers_of_gpt2() -> None:
    from transformers import GPT2Config, GPT2Model

    model = GPT2Model(GPT2Config(vocab_size=50, n_positions=9, n_embd=8, n_layer=1, n_head=2))
    live = LiveModel(model, {"input_ids": torch.arange(6)[None]})
    filters = live.filters("h.0.attn.c_attn")
    assert filters.words == "24 units with 8 weights each"
    assert torch.equal(filters.weights.view(24, 8), model.h[0].attn.c_attn.weight.T)


def test_writing_into_what_was_handed_out_changes_no_model() -> None:
    layer = nn.Linear(WIDTH, 5)
    live = LiveModel(layer, X)
    with untouched(layer):
        live.filters("").weights.zero_()
    assert torch.equal(live.filters("").weights.view(5, WIDTH), layer.weight)


# --- none -------------------------------------------------------------------------------------


class Gated(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).tanh()


def test_layers_without_filters_say_what_has_some() -> None:
    live = LiveModel(Digits(), torch.rand(2, 1, 28, 28))
    with pytest.raises(
        LayerError,
        match=r"'pool' \(MaxPool2d\) has no filters: .* layers have, such as 'conv1' or 'fc3'\.",
    ):
        live.filters("pool")
    with pytest.raises(LayerError, match=r"'' \(Tanh\) has no filters: no layer has\."):
        LiveModel(nn.Tanh(), X).filters("")
    with pytest.raises(LayerError, match=r"no layer 'conv3'; did you mean 'conv2'"):
        live.filters("conv3")
    with pytest.raises(LayerError, match=r"does not compute with one weight"):
        read(Gated(WIDTH, 3), X)


def test_samples_share_the_filters() -> None:
    live = LiveModel(Digits(), torch.rand(3, 1, 28, 28))
    for layer in ("conv1", "fc1"):
        assert live.filters(layer, 2) is live.filters(layer, 0)


def test_a_layer_that_was_not_called_has_filters_too() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.other = nn.Linear(WIDTH, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    live = LiveModel(Half(), X)
    assert live.filters("other").count == 4
    assert not live.filters("other").is_rgb
    assert live.filters(0 + 1).count == 3
