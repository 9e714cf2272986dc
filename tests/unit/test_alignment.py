"""Where positions of a map lie on the input: checked against what the outputs depend on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_networks import ResNet, Vgg16
from small_transformers import inputs_of, small_model
from torch import Tensor, nn

from explain_widgets import LiveModel
from explain_widgets.analysis.alignment import (
    Alignment,
    AxisAlignment,
    IndexMap,
    rule_of,
    stretched,
)

SOME = 40  # positions of a map that are tried


def box_of(mask: Tensor) -> tuple[int, ...]:
    """(top, left, bottom, right) of what is True in (height, width)."""
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    if not len(rows):
        return (0, 0, 0, 0)
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def supports(function: Callable[[Tensor], Tensor], image: Tensor) -> dict[tuple[int, int], Any]:
    """For some positions of the map (1, channels, h, w) the box of pixels that move them."""
    image = image.clone().requires_grad_()
    maps = function(image)
    weights = torch.rand(
        maps.shape[1], dtype=maps.dtype, generator=torch.Generator().manual_seed(1)
    )
    height, width = maps.shape[2:]
    every = max(1, round((height * width / SOME) ** 0.5))
    rows, columns = {*range(0, height, every), height - 1}, {*range(0, width, every), width - 1}
    boxes = {}
    for y in sorted(rows):
        for x in sorted(columns):
            scalar = (maps[0, :, y, x] * weights).sum()
            (gradient,) = torch.autograd.grad(scalar, image, retain_graph=True, allow_unused=True)
            boxes[y, x] = box_of((gradient[0] != 0).any(0))
    return boxes


def assert_aligned(
    alignment: Alignment, boxes: dict[tuple[int, int], Any], height: int, width: int
) -> None:
    """Every box is that of the alignment, and follows from its rule where it is not clipped."""
    assert alignment.source == "modules"
    down, right = alignment.height, alignment.width
    for (y, x), box in boxes.items():
        assert alignment.box(y, x) == box, (y, x)
        if not (down.is_exact and right.is_exact):
            continue
        for axis, index, start, stop, extent in (
            (down, y, box[0], box[2], height), (right, x, box[1], box[3], width),
        ):  # fmt: skip
            low = axis.start + index * axis.step - (axis.size - 1) / 2
            if low >= 0 and low + axis.size <= extent:
                assert (start, stop) == (low, low + axis.size)


# --- networks ---------------------------------------------------------------------------------

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Conv2d(2, 3, 5),
    "padded": lambda: nn.Conv2d(2, 3, (5, 3), padding=(4, 1)),
    "same": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 4, padding="same"), nn.Conv2d(3, 2, 3, padding=1)
    ),
    "strided": lambda: nn.Sequential(nn.Conv2d(2, 3, 3, 2, 1), nn.Tanh(), nn.Conv2d(3, 3, 5, 3, 2)),
    "dilated": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=2, dilation=2), nn.Softplus(),
        nn.Conv2d(3, 2, (3, 2), dilation=(3, 2)),
    ),
    "pooled": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.AvgPool2d(2), nn.BatchNorm2d(3), nn.SiLU(),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    ),
    "depthwise": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2, padding=1), nn.GELU(),
        nn.Conv2d(4, 4, 3, 2, groups=4),
    ),
    "transposed": lambda: nn.ConvTranspose2d(2, 3, 4, 2, 1),
    "transposed after": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, 2, 1), nn.Tanh(), nn.ConvTranspose2d(3, 3, 3, 2, 1, output_padding=1),
        nn.Conv2d(3, 2, 3),
    ),
    "transposed, dilated, with gaps": lambda: nn.ConvTranspose2d(2, 2, 2, 4, 1, dilation=3),
    "transposed, dilated": lambda: nn.ConvTranspose2d(2, 2, 4, 3, 2, dilation=2),
    "adaptive": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d((5, 4))),
    "nearest": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, 2), nn.Upsample(scale_factor=2), nn.Conv2d(3, 2, 3)
    ),
    "nearest, odd": lambda: nn.Sequential(
        nn.Upsample(size=(31, 40)), nn.Conv2d(2, 2, 3, padding=1)
    ),
    "bilinear": lambda: nn.Upsample(scale_factor=(2, 1.5), mode="bilinear"),
    "bilinear, smaller": lambda: nn.Upsample(size=(9, 7), mode="bilinear"),
    "bilinear, corners": lambda: nn.Upsample(size=(45, 50), mode="bilinear", align_corners=True),
    "bicubic": lambda: nn.Upsample(size=(45, 50), mode="bicubic"),
    "shuffled": lambda: nn.Sequential(nn.Conv2d(2, 8, 3), nn.PixelShuffle(2), nn.Conv2d(2, 2, 3)),
    "reflected": lambda: nn.Conv2d(2, 3, 5, padding=2, padding_mode="reflect"),
    "reflected, bare": lambda: nn.ReflectionPad2d((3, 2, 1, 4)),
    "replicated, bare": lambda: nn.ReplicationPad2d((3, 2, 1, 4)),
    "replicated": lambda: nn.Conv2d(2, 3, 5, padding=2, padding_mode="replicate"),
    "zero-padded": lambda: nn.Sequential(
        nn.ZeroPad2d((3, 0, 1, 2)), nn.Conv2d(2, 2, 3), nn.ZeroPad2d(-1)
    ),
    "resnet": lambda: nn.Sequential((net := ResNet()).stem, net.blocks),
    "vgg16": lambda: Vgg16(pool=nn.AvgPool2d).features,
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_a_position_depends_on_its_box_and_on_nothing_else(name: str) -> None:
    """The gradient of a position is not zero in its box, and only there."""
    height, width = (96, 128) if name == "vgg16" else (33, 41) if name == "resnet" else (23, 29)
    channels = 3 if name in ("vgg16", "resnet") else 2
    network = NETWORKS[name]().double().eval()
    for module in network.modules():  # so that nothing is cut off
        if isinstance(module, nn.Sequential):
            for key, layer in module._modules.items():
                module._modules[key] = nn.Softplus() if isinstance(layer, nn.ReLU) else layer
    image = torch.rand(1, channels, height, width, dtype=torch.float64)
    alignment = LiveModel(network, image).alignment("")
    boxes = supports(network, image)
    assert_aligned(alignment, boxes, height, width)
    if name == "vgg16":
        assert (alignment.height.step, alignment.height.size, alignment.height.start) == (
            32,
            212,
            15.5,
        )


def test_perturbing_a_pixel_moves_the_positions_whose_boxes_hold_it() -> None:
    """The experiment the other way around, with pooling by the maximum."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, 2, 1), nn.MaxPool2d(3, 2, 1), nn.Conv2d(2, 1, 2)
    ).double()
    live = LiveModel(network, torch.rand(1, 1, 21, 25, dtype=torch.float64))
    alignment = live.alignment("")
    generator = torch.Generator().manual_seed(3)
    moved = torch.zeros(21, 25, *live.activation("").shape[2:], dtype=torch.bool)
    for _ in range(6):  # a maximum is another pixel's each time
        image = torch.rand(1, 1, 21, 25, dtype=torch.float64, generator=generator)
        with torch.no_grad():
            before = network(image)
            for y in range(21):
                for x in range(25):
                    for by in (3, -3):
                        changed = image.clone()
                        changed[0, 0, y, x] += by
                        moved[y, x] |= (network(changed) != before)[0, 0]
    for y in range(moved.shape[2]):
        for x in range(moved.shape[3]):
            assert box_of(moved[:, :, y, x]) == alignment.box(y, x)


def test_volumes_and_sequences() -> None:
    volume = nn.Sequential(nn.Conv3d(1, 2, (3, 4, 5), (1, 2, 3), padding=1), nn.AvgPool3d(2))
    alignment = LiveModel(volume, torch.rand(2, 1, 12, 16, 20)).alignment("")
    found = [
        (a.axis, a.start, a.step, a.size)
        for a in (alignment.depth, alignment.height, alignment.width)
    ]
    assert found == [(2, 0.5, 2, 4), (3, 1.5, 4, 6), (4, 2.5, 6, 8)]
    row = nn.Sequential(nn.Conv1d(3, 4, 5, 2), nn.MaxPool1d(2), nn.ReLU())
    alignment = LiveModel(row, torch.rand(2, 3, 40)).alignment("2")
    assert (alignment.depth, alignment.height) == (None, None)
    assert (alignment.width.axis, alignment.width.start, alignment.width.step) == (2, 3, 4)
    assert alignment.width.size == 7
    assert alignment.words == "computed from the modules: every 4 positions, each from 7"


def test_functions_are_followed_as_modules_are() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 2, 3, 3))
            self.out = nn.Identity()

        def forward(self, image: Tensor) -> Tensor:
            x = F.pad(image, (2, 2, 1, 1))
            x = F.leaky_relu(F.conv2d(x, self.weight, stride=2), inplace=True)
            x = torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1)
            x = x.permute(0, 2, 3, 1).contiguous() @ torch.ones(6, 4, dtype=x.dtype)
            x = (x + x.mean(-1, keepdim=True)).permute(0, 3, 1, 2)[:, 1:, 1:-1]
            return self.out(x.reshape(1, 3, x.shape[2], -1))

    model = Functional().double()
    image = torch.rand(1, 2, 23, 29, dtype=torch.float64)
    assert_aligned(LiveModel(model, image).alignment("out"), supports(model, image), 23, 29)


def test_normalisation_over_the_map_sees_all_of_it() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 3, 2), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4))
    live = LiveModel(network, torch.rand(1, 2, 23, 29))
    conv, group = live.alignment("0"), live.alignment("1")
    assert (conv.height.sees_all, group.height.sees_all) == (False, True)
    assert (group.height.start, group.height.step, group.height.size) == (1, 2, 3)
    assert group.words == "computed from the modules: every 2 × 2 pixels, each from all × all"
    trained = LiveModel(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)),
        torch.rand(1, 2, 9, 9),
        train_mode=True,
    )
    assert trained.alignment("1").width.sees_all


def test_squeeze_and_excitation_sees_all_and_keeps_its_place() -> None:
    class Excited(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.gate = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, 4)

        def forward(self, image: Tensor) -> Tensor:
            maps = self.conv(image)
            return maps * self.gate(maps.mean((2, 3))).sigmoid()[:, :, None, None]

    alignment = LiveModel(Excited(), torch.rand(1, 2, 9, 9)).alignment("")
    assert alignment.source == "modules"
    assert alignment.height.sees_all
    assert alignment.box(4, 4) == (3, 3, 6, 6)


def test_a_pooled_map_is_the_whole_input() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1))
    alignment = LiveModel(network, torch.rand(1, 2, 8, 12)).alignment("")
    assert alignment.source == "modules"
    assert (alignment.height.sees_all, alignment.width.sees_all) == (True, True)
    assert alignment.box(0, 0) == (0, 0, 8, 12)


def test_branches_that_do_not_agree_are_told() -> None:
    class Shifted(nn.Module):
        def __init__(self, padding: int) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(2, 2, 3, 2, 1), nn.Conv2d(2, 2, 1 + 2 * padding, 2)

        def forward(self, image: Tensor) -> Tensor:
            return self.one(image) + F.pad(self.other(image), (0, 1, 0, 1))[:, :, :12, :12]

    image = torch.rand(1, 2, 23, 23, dtype=torch.float64)
    model = Shifted(1).double()
    alignment = LiveModel(model, image).alignment("")
    assert alignment.note == "branches that were joined lie up to 1 pixels apart"
    for (y, x), box in supports(model, image).items():
        if max(y, x) < 11:  # where there are both
            assert alignment.box(y, x) == box
    assert LiveModel(ResNet(), torch.rand(1, 3, 32, 32)).alignment("blocks.1").note == ""


# --- tokens -----------------------------------------------------------------------------------


def test_tokens_of_a_vision_transformer_are_its_patches() -> None:
    model = small_model("vit").double()
    inputs = {"pixel_values": inputs_of(model)["pixel_values"].double()}
    live = LiveModel(model, inputs)
    embedded = live.alignment("embeddings")
    assert embedded.source == "modules"
    assert (embedded.height.start, embedded.height.step, embedded.height.size) == (3.5, 8, 8)
    image = inputs["pixel_values"].requires_grad_()
    tokens = model.embeddings(image)[0, 1:]  # without the class token
    for y in range(4):
        for x in range(4):
            (gradient,) = torch.autograd.grad(tokens[4 * y + x].sum(), image, retain_graph=True)
            assert box_of((gradient[0] != 0).any(0)) == embedded.box(y, x)
    later = live.alignment("layers.1")
    assert later.source == "modules"
    assert later.height.sees_all
    assert later.box(2, 3) == embedded.box(2, 3)
    assert later.words == "computed from the modules: every 8 × 8 pixels, each from all × all"


def test_patches_of_swin_are_merged() -> None:
    model = small_model("swin").double()
    inputs = {"pixel_values": inputs_of(model)["pixel_values"].double()}
    live = LiveModel(model, inputs)
    patches = live.alignment("embeddings")
    assert (patches.height.start, patches.height.step, patches.height.size) == (0.5, 2, 2)
    merged = live.alignment("encoder.layers.0.downsample")
    assert (merged.height.start, merged.height.step, merged.height.size) == (1.5, 4, 4)
    assert "a step on the way is not understood" in merged.note  # the windows


def test_tokens_of_a_text_are_the_tokens() -> None:
    model = small_model("bert")
    live = LiveModel(model, inputs_of(model))
    word, layer = live.alignment("embeddings.word_embeddings"), live.alignment("encoder.layer.1")
    assert word.words == "computed from the modules: every position, each from 1"
    assert layer.words == "computed from the modules: every position, each from all"
    heads = live.alignment("encoder.layer.1", layout="tokens")
    assert heads.width.stretch(4) == (4, 5)


def test_units_lie_nowhere() -> None:
    live = LiveModel(Vgg16(), torch.rand(1, 3, 64, 64))
    alignment = live.alignment("classifier.0")
    assert (alignment.height, alignment.width) == (None, None)
    assert alignment.words == "positions do not lie on the input"


# --- not understood ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: torch.fft.ifft2(torch.fft.fft2(x)).real,
        lambda x: x[:, :, torch.randperm(x.shape[2], generator=torch.Generator().manual_seed(0))],
        lambda x: F.grid_sample(
            x, torch.rand(1, *x.shape[2:], 2, dtype=x.dtype), align_corners=False
        ),
        lambda x: x.reshape(1, x.shape[1], -1, 2 * x.shape[3]).reshape(x.shape),
        lambda x: torch.zeros_like(x).index_copy_(2, torch.arange(x.shape[2]).flip(0), x),
        lambda x: torch.from_numpy(x.numpy().copy()),
    ],
    ids=["fourier", "index", "grid sample", "cut", "index copy", "numpy"],
)
def test_what_is_not_understood_is_stretched_over_the_input_and_said(mix: Any) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, 2, 1)
            self.out = nn.Conv2d(4, 4, 1)

        def forward(self, image: Tensor) -> Tensor:
            return self.out(mix(self.conv(image)))

    live = LiveModel(Mixed(), torch.rand(1, 2, 16, 24))
    assert live.alignment("conv").source == "modules"
    alignment = live.alignment("out")
    assert alignment.source == "shapes"
    assert (alignment.height.step, alignment.width.step, alignment.height.size) == (2, 2, None)
    assert alignment.box(0, 11) == (0, 22, 2, 24)
    assert alignment.words == "stretched over the input by the shapes: every 2 × 2 pixels"


def test_what_is_written_into_another_tensor_is_not_taken_for_understood() -> None:
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.out = nn.Conv2d(2, 4, 3, padding=1), nn.Identity()

        def forward(self, image: Tensor) -> Tensor:
            maps = self.conv(image)
            other = torch.zeros_like(maps)
            other[:, :, 1:] = maps[:, :, :-1]
            return self.out(other)

    assert LiveModel(Written(), torch.rand(1, 2, 8, 8)).alignment("out").source == "shapes"


def test_recurrent_layers_by_their_steps() -> None:
    live = LiveModel(nn.GRU(3, 4, batch_first=True), torch.rand(2, 7, 3))
    alignment = live.alignment("")
    assert (alignment.source, alignment.width.axis, alignment.width.step) == ("shapes", 1, 1)


def test_a_layout_of_ones_own_is_aligned_by_its_axes() -> None:
    live = LiveModel(nn.Conv2d(2, 4, 3, 2), torch.rand(1, 2, 23, 29))
    turned = live.alignment("", layout=("batch", "channel", "width", "height"))
    assert (turned.height.axis, turned.width.axis) == (3, 2)


# --- the rule itself --------------------------------------------------------------------------


def test_windows_of_windows_by_hand() -> None:
    index_map = IndexMap.identity(20).windows(3, 2, 1, 1, 10).windows(3, 1, 1, 2, 8)
    rule = rule_of(index_map, 2, 20, False)
    assert (rule.start, rule.step, rule.size, rule.is_exact) == (2, 2, 11, True)
    assert rule.stretch(0) == (1, 8)
    assert rule.stretch(4) == (5, 16)
    assert np.array_equal(index_map.centre, 2 + 2 * np.arange(8))


def test_what_is_padding_alone_covers_nothing() -> None:
    rule = rule_of(IndexMap.identity(4).padded(2, 0).windows(2, 2, 0, 1, 3), 0, 4, False)
    assert [rule.stretch(n) for n in range(3)] == [(0, 0), (0, 2), (2, 4)]


def test_a_stretched_map_covers_the_input_without_gaps() -> None:
    for count, extent in ((7, 224), (3, 10), (14, 9), (1, 5)):
        axis = AxisAlignment(2, extent, (extent / count - 1) / 2, extent / count, None)
        stretches = [axis.stretch(n) for n in range(count)]
        assert stretches[0][0] == 0
        assert stretches[-1][1] == extent
        assert all(a < b for a, b in stretches)
        if count <= extent:
            assert all(one[1] == other[0] for one, other in itertools.pairwise(stretches))


def test_positions_that_are_padding_behind_the_input_lie_on_none_of_it() -> None:
    axis = stretched(5, 2, 24, covered=3)
    stretches = [axis.stretch(n) for n in range(5)]
    assert stretches == [(0, 8), (8, 16), (16, 24), (0, 0), (0, 0)]


def test_an_image_with_its_channels_last_has_the_same_boxes() -> None:
    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, stride=2)

        def forward(self, image: Tensor) -> Tensor:
            return self.conv(image.permute(0, 3, 1, 2))

    alignment = LiveModel(ChannelsLast(), torch.rand(1, 9, 13, 3)).alignment("conv")
    assert alignment.source == "modules"
    assert (alignment.height.axis, alignment.width.axis) == (1, 2)
    assert alignment.box(1, 2) == (2, 4, 5, 7)
