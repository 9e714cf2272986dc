"""Attention over patches: where they lie on the image, and Swin's windows put back on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conversation import Conversation
from small_transformers import inputs_of, small_model
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.patches import ImageGrid
from explain_widgets.live.attention.images import window_places

pytest.importorskip("transformers")

# Class tokens, registers and so on before the 4 × 4 patches of an image of 32 × 32.
BEFORE = {"vit": 1, "deit": 2, "dinov2": 1, "dinov2_with_registers": 5, "siglip_vision_model": 0}


@pytest.mark.parametrize("kind", BEFORE)
def test_patches_of_a_vision_transformer_form_the_image(kind: str) -> None:
    model = small_model(kind)
    live = xw.LiveModel(model, inputs_of(model))
    grid = ImageGrid(BEFORE[kind], 4, 4, 4, 4)
    for layer in live.attention_layers():
        if layer.kind == "self":
            assert (layer.query_grid, layer.key_grid) == (grid, grid)


def test_images_that_are_not_square() -> None:
    model = small_model("vit")
    image = torch.randn(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    live = xw.LiveModel(
        model,
        {"pixel_values": image},
        forward=lambda m, pixel_values: m(pixel_values, interpolate_pos_encoding=True),
    )
    assert live.attention_layers()[0].key_grid == ImageGrid(1, 4, 8, 4, 8)


def test_some_patches_drawn_at_random_are_no_image() -> None:
    """A quarter of four by four patches are as many as two by two, which they are not."""
    model = small_model("vit_mae")
    layer = xw.LiveModel(model, {"pixel_values": picture()}).attention_layers()[0]
    assert (layer.queries, layer.query_grid, layer.key_grid) == (1 + 4, None, None)
    model.config.mask_ratio = model.embeddings.config.mask_ratio = 0.0
    layer = xw.LiveModel(model, {"pixel_values": picture()}).attention_layers()[0]
    assert layer.query_grid == layer.key_grid == ImageGrid(1, 4, 4, 4, 4)


def test_text_is_no_image_and_an_image_no_text() -> None:
    model = small_model("clip")
    for layer in xw.LiveModel(model, inputs_of(model)).attention_layers():
        grids = {layer.query_grid, layer.key_grid}
        assert grids == {None if "text" in layer.name else ImageGrid(1, 4, 4, 4, 4)}


def test_text_and_image_in_one_sequence() -> None:
    model = small_model("vilt")
    layer = xw.LiveModel(model, inputs_of(model)).attention_layers()[0]
    assert layer.queries == 11 + 1 + 16
    assert layer.key_grid == ImageGrid(12, 4, 4, 4, 4)


def test_pictures_are_never_seen_in_text_or_sound() -> None:
    for kind in ("bert", "whisper"):
        model = small_model(kind)
        layers = xw.LiveModel(model, inputs_of(model)).attention_layers()
        assert {layer.key_grid for layer in layers} == {None}


@pytest.mark.parametrize("shift", [(0, 0), (1, 1), (2, 1)])
@pytest.mark.parametrize("size", [(8, 8), (6, 9), (7, 4), (3, 12)])
def test_windows_lie_where_the_model_cuts_them(
    size: tuple[int, int], shift: tuple[int, int]
) -> None:
    from transformers.models.swin.modeling_swin import window_partition

    window = 3
    places, (height, width) = window_places(size, (window, window), shift)
    assert (height, width) == tuple(-(-side // window) * window for side in size)
    down, right = (
        0 if window >= side else by for by, side in zip(shift, (height, width), strict=True)
    )
    image = torch.arange(height * width).view(1, height, width, 1)
    cut = window_partition(image.roll((-down, -right), (1, 2)), window)
    assert torch.equal(places, cut.reshape(len(places), -1))


def swin(implementation: str = "sdpa", **sizes: Any) -> nn.Module:
    import transformers

    config = transformers.SwinConfig(
        **{"image_size": 32, "patch_size": 2, "embed_dim": 16, "window_size": 4, **sizes},
        depths=[2, 2],
        num_heads=[2, 4],
    )
    config._attn_implementation = implementation
    torch.manual_seed(0)
    model: nn.Module = transformers.SwinModel(config).eval()
    return model


def picture(height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (28, 36)])
def test_windows_are_put_back_on_the_image(size: tuple[int, int], implementation: str) -> None:
    model, image = swin(implementation), picture(*size)
    live = xw.LiveModel(model, {"pixel_values": image})
    layers = live.attention_layers()
    theirs: list[Tensor] = []  # of each block (windows, heads, places, places)
    reference = swin("eager")
    for name, module in reference.named_modules():
        if name.endswith(".attention"):
            module.register_forward_hook(lambda module, args, output: theirs.append(output[1]))
    with torch.no_grad():
        reference(pixel_values=image)
    assert len(layers) == len(theirs) == 4
    patches = tuple(-(-side // 2) for side in size)
    for number, (layer, windows) in enumerate(zip(layers, theirs, strict=True)):
        here = patches if number < 2 else tuple(-(-side // 2) for side in patches)
        grid = layer.query_grid
        assert grid is not None
        assert (grid.image_height, grid.image_width) == here
        shift = 2 if number % 2 and min(here) > 4 else 0
        places, padded = window_places((here[0], here[1]), (4, 4), (shift, shift))
        assert (grid.height, grid.width) == padded
        assert layer.queries == places.numel()
        ours = live.attention(number).weights()
        assert ours.shape == (windows.shape[1], places.numel(), places.numel())
        expected = torch.zeros_like(ours)
        for place, inside in zip(places, windows, strict=True):
            expected[:, place[:, None], place] = inside
        assert (ours - expected).abs().max() < 1e-6
        # In parts, and sampled, as they are shown.
        attention = live.attention(number)
        some = attention.tile(1, (5, 29), (3, 40), (24, 37))
        assert (some - expected[1, 5:29, 3:40]).abs().max() < 1e-6
        assert (attention.column(0, 7) - expected[0, :, 7]).abs().max() < 1e-6
        block = attention.block((0, 2), (1, 30), (2, 9), every=3)
        assert (block - expected[:2, 1:30:3, 2:9]).abs().max() < 1e-6
        assert layer.check is not None
        assert "windows put back" in layer.note
        assert "batch entries" not in layer.note


def test_a_changed_patch_changes_its_own_row() -> None:
    """The proof that positions are patches: what changes in the image changes there."""
    model, image = swin(), picture()
    changed = image.clone()
    changed[..., 10:12, 18:20] += 1  # the patch in row 5, column 9
    before, after = (
        xw.LiveModel(model, {"pixel_values": x}).attention(0).weights() for x in (image, changed)
    )
    column = 5 * 16 + 9
    rows = (before - after).abs().amax((0, 2)).nonzero().flatten().tolist()
    assert column in rows
    # Its window: rows 4 to 7, columns 8 to 11.
    assert set(rows) <= {y * 16 + x for y in range(4, 8) for x in range(8, 12)}


class Windows(nn.Module):
    """Attention within windows as torchvision writes it: (1, height, width, channels) goes in."""

    def __init__(self) -> None:
        super().__init__()
        self.window_size, self.shift_size = [2, 3], [1, 1]
        self.embed = nn.Conv2d(3, 8, 2, 2)
        self.block = self.Block(self.window_size, self.shift_size)

    class Block(nn.Module):
        def __init__(self, window: list[int], shift: list[int]) -> None:
            super().__init__()
            self.window_size, self.shift_size = window, shift

        def forward(self, x: Tensor) -> Tensor:
            _, height, width, channels = x.shape
            (rows, columns), shift = self.window_size, self.shift_size
            x = x.roll((-shift[0], -shift[1]), (1, 2))
            x = x.view(1, height // rows, rows, width // columns, columns, channels)
            x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * columns, 2, channels // 2)
            x = x.transpose(1, 2)
            return F.scaled_dot_product_attention(x, x, x)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.block(self.embed(image).permute(0, 2, 3, 1))
        return result


def test_windows_of_other_models() -> None:
    live = xw.LiveModel(Windows().eval(), picture(16, 24))
    (layer,) = live.attention_layers()
    assert layer.query_grid == ImageGrid(0, 8, 12, 8, 12)
    assert (layer.heads, layer.queries) == (2, 96)
    weights = live.attention(0).weights(0)
    assert torch.allclose(weights.sum(1), torch.ones(96))
    # Rolled by one: the first window holds rows 1 and 2, columns 1 to 3.
    assert weights[1 * 12 + 1].nonzero().flatten().tolist() == [13, 14, 15, 25, 26, 27]


def test_keys_of_a_pyramid_are_the_image_more_coarsely() -> None:
    live = xw.LiveModel(small_model("segformer"), {"pixel_values": picture(64, 96)})
    fine, coarse = ImageGrid(0, 16, 24, 16, 24), ImageGrid(0, 2, 3, 2, 3)
    layer = live.attention_layers()[0]
    assert (layer.queries, layer.query_grid) == (16 * 24, fine)
    assert (layer.keys, layer.key_grid) == (2 * 3, coarse)
    # Learned queries are no patches, as many as they may be.
    assert xw.LiveModel(Latents(), picture(64, 96)).attention_layers()[0].query_grid is None


class Latents(nn.Module):
    """Ten by fifteen queries of its own, which look at four by six patches."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 16, 16)
        self.latents = nn.Parameter(torch.randn(1, 1, 150, 8))

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image).flatten(2).mT[None]
        return F.scaled_dot_product_attention(self.latents, x, x)


def test_the_widget_gets_the_picture_and_where_patches_lie_on_it() -> None:
    model = small_model("vit")
    live = xw.LiveModel(model, {"pixel_values": picture()})
    explorer = xw.AttentionExplorer(live)
    talk = Conversation(explorer)
    layer = talk.ask("sample", {"sample": 0})[0]["layers"][0]
    grid = {"start": 1, "height": 4, "width": 4, "image_height": 4, "image_width": 4}
    assert (layer["query_grid"], layer["key_grid"]) == (grid, grid)
    _, arrays = talk.ask("image", {"sample": 0})
    assert np.array_equal(arrays["image"], live.samples[0].image)


def test_large_pictures_are_sampled_and_it_is_said() -> None:
    live = xw.LiveModel(Windows(), picture(1200, 720))
    explorer = xw.AttentionExplorer(live)
    content, arrays = Conversation(explorer).ask("image", {"sample": 0})
    assert arrays["image"].shape == (400, 240, 3)
    assert "1 of 3 × 3 pixels" in content["note"]
    assert np.array_equal(arrays["image"], live.samples[0].image[::3, ::3])


def test_batch_entries_that_are_no_windows_stay_heads() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).transpose(1, 2).view(2, 2, -1, 3)
            return F.scaled_dot_product_attention(x, x, x)

    (layer,) = xw.LiveModel(Pair(), picture(4, 4)).attention_layers()
    assert layer.heads == 4
    assert "2 batch entries" in layer.note
