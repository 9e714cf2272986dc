"""Activations as channels of maps: what shape allows, in words, and as views of the tensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from explain_widgets.analysis.feature_maps import (
    LAYOUTS,
    choose_layout,
    fitting_layouts,
    maps_of,
    outside,
    view,
)
from explain_widgets.analysis.layout_rules import ROLES, Axes, Known
from explain_widgets.analysis.patches import ImageGrid

PATCHES = ImageGrid(1, 14, 14, 14, 14)
BOTH_WAYS = Known("recurrent", batch_first=True, directions=2)


def numbered(*shape: int) -> torch.Tensor:
    """A tensor whose every number tells its place."""
    return torch.arange(float(np.prod(shape))).reshape(shape)


# --- in words ---------------------------------------------------------------------------------

WORDS = {
    "512 channels of 14 × 14": ((1, 512, 14, 14), Known()),
    "1 channel of 28 × 28": ((1, 1, 28, 28), Known()),
    "3 channels of 8 × 8": ((3, 8, 8), Known("channels_first", 2)),
    "4,096 units": ((1, 4096), Known()),
    "1 unit": ((1, 1), Known()),
    "120 units": ((120,), Known()),
    "16 channels of 100 positions": ((1, 16, 100), Known("channels_first", 1)),
    "6 channels of 24 × 24 × 8 (depth × height × width, shown slice by slice)": (
        (1, 6, 24, 24, 8), Known("channels_first", 3),
    ),
    "768 features of 197 tokens (class token, then 14 × 14 patches)": (
        (1, 197, 768), Known(grid=PATCHES),
    ),
    "768 features of 196 tokens (14 × 14 patches)": (
        (1, 196, 768), Known(grid=ImageGrid(0, 14, 14, 14, 14)),
    ),
    "8 features of 21 tokens (5 tokens, then 4 × 3 patches, then 4 tokens)": (
        (1, 21, 8), Known(grid=ImageGrid(5, 4, 3, 4, 3)),
    ),
    "64 units × 2 directions over 20 steps": ((1, 20, 128), BOTH_WAYS),
    "128 units over 20 steps": ((20, 1, 128), Known("recurrent", batch_first=False)),
    "6 units in 2 layers × 2 directions": ((4, 1, 6), Known("states", directions=2, layers=2)),
    "6 units in 3 layers": ((3, 1, 6), Known("states", layers=3)),
    "6 units": ((1, 1, 6), Known("states")),
    "12 heads of 39 × 40 (queries × keys)": ((1, 12, 39, 40), Known("attention")),
    "1 map of 39 × 40 (queries × keys)": ((1, 39, 40), Known("attention")),
    "96 features of 64 × 49 positions": ((64, 49, 96), Known("features_last")),
    "96 channels of 56 × 48": ((1, 56, 48, 96), Known("features_last")),
    "12 maps of 5 × 7": ((12, 5, 7), Known()),
    "5 × 2 maps of 3 × 4": ((5, 1, 2, 3, 4), Known()),
    "3 channels of 8 × 9 in 4 batch entries (shown one by one)": (
        (4, 3, 8, 9), Known("channels_first", 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("shape", "known", "words"), [(*v, k) for k, v in WORDS.items()])
def test_a_layout_in_words(shape, known, words):
    layout = choose_layout(shape, known)
    assert layout.words == words
    size = (layout.channels, layout.slices, layout.height, layout.width)
    assert maps_of(numbered(*shape), layout).shape == size
    assert view(numbered(*shape), layout).shape == (layout.channels, layout.height, layout.width)


def test_channels_by_name():
    assert choose_layout((1, 5, 8, 8)).channel_name(3) == "channel 3"
    both = choose_layout((1, 20, 128), BOTH_WAYS)
    assert both.channel_name(5) == "unit 5, forward"
    assert both.channel_name(64 + 5) == "unit 5, backward"
    assert choose_layout((1, 12, 9, 9), Known("attention")).channel_name(11) == "head 11"


def test_the_axes_can_be_asked_for():
    layout = choose_layout((1, 14, 12, 512), layout="channels_last")
    assert [layout.axis(place) for place in ("channel", "height", "width", "slice")] == [
        3,
        1,
        2,
        None,
    ]
    assert choose_layout((1, 20, 128), BOTH_WAYS).axis("channel") == 2
    assert choose_layout((5, 1, 2, 3, 4)).axis("channel") is None  # two of them
    states = choose_layout((4, 1, 6), Known("states", directions=2, layers=2))
    assert (states.axis("channel"), states.axis("height")) == (2, None)  # a part of axis 0


# --- as views ---------------------------------------------------------------------------------


def test_views_are_of_the_tensor_itself():
    """Thousands of channels are not copied to be looked at."""
    for shape, known in [
        ((1, 6, 24, 20), Known()),
        ((1, 24, 20, 6), Known("features_last")),
        ((1, 17, 32), Known(grid=ImageGrid(1, 4, 4, 4, 4))),
        ((1, 20, 12), BOTH_WAYS),
        ((4, 1, 6), Known("states", directions=2, layers=2)),
        ((1, 6, 4, 5, 3), Known("channels_first", 3)),
    ]:
        tensor = torch.zeros(shape)
        maps_of(tensor, choose_layout(shape, known)).fill_(1)
        assert tensor.any(), shape


def test_channels_last_is_the_same_maps_as_channels_first():
    tensor = numbered(1, 6, 24, 20)
    first = view(tensor, choose_layout(tensor.shape))
    assert torch.equal(first, tensor[0])
    last = tensor.permute(0, 2, 3, 1)
    assert torch.equal(view(last, choose_layout(last.shape, layout="channels_last")), first)


def test_patches_are_put_back_as_images():
    image = numbered(8, 3, 4)  # features, rows, columns
    tokens = torch.cat([-torch.ones(8, 2), image.flatten(1), torch.full((8, 1), -5.0)], 1).T[None]
    layout = choose_layout(tokens.shape, Known(grid=ImageGrid(2, 3, 4, 3, 4)))
    assert torch.equal(view(tokens, layout), image)
    assert outside(tokens, layout)[:, 0].tolist() == [[-1, -1, -5]] * 8


def test_volumes_and_batch_entries_are_slices():
    volume = numbered(1, 2, 5, 4, 3)
    layout = choose_layout(volume.shape)
    assert layout.slices == 5
    assert torch.equal(view(volume, layout, 2), volume[0, :, 2])
    entries = numbered(4, 3, 8, 9)
    layout = choose_layout(entries.shape, Known("channels_first", 2))
    assert torch.equal(view(entries, layout, 1), entries[1])


def test_states_by_layer_and_direction():
    cells = torch.nn.LSTM(3, 6, num_layers=2, bidirectional=True, batch_first=True)
    output, (hidden, _) = cells(torch.randn(1, 5, 3))
    states = view(hidden, choose_layout(hidden.shape, Known("states", directions=2, layers=2)))
    steps = view(output, choose_layout(output.shape, BOTH_WAYS))
    assert torch.equal(states[:, 1, 0], steps[:6, 0, -1])  # last layer, forward: its last step
    assert torch.equal(states[:, 1, 1], steps[6:, 0, 0])  # backward: its first


def test_a_layout_of_another_shape_is_refused():
    layout = choose_layout((1, 6, 5, 5))
    with pytest.raises(ValueError, match=r"of shape \(1, 6, 5, 5\), not \(1, 6, 5, 4\)"):
        view(torch.zeros(1, 6, 5, 4), layout)
    with pytest.raises(ValueError, match="not"):
        choose_layout((1, 6, 5, 4), layout=layout)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_quantised_tensors_are_shown_as_the_numbers_they_stand_for():
    tensor = torch.quantize_per_tensor(torch.randn(1, 2, 3, 3), 0.1, 0, torch.qint8)
    assert torch.equal(view(tensor, choose_layout(tensor.shape)), tensor.dequantize()[0])


# --- by the shape and what is around ----------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "around", "name"),
    [
        ((1, 32, 8, 8), Known(features=frozenset({32})), "channels_first"),
        ((1, 8, 8, 32), Known(features=frozenset({32})), "channels_last"),
        ((1, 8, 12, 32), Known(maps=frozenset({(8, 12)})), "channels_last"),
        ((1, 4, 11, 11), Known(tokens=frozenset({11})), "heads"),
        ((1, 4, 11, 8), Known(tokens=frozenset({11})), "maps"),  # heads, tokens, a head's numbers
        ((1, 32, 100), Known(features=frozenset({32})), "channels_first"),
        ((1, 100, 32), Known(features=frozenset({32})), "tokens"),
        ((1, 11, 32), Known(tokens=frozenset({11})), "tokens"),
        ((1, 11, 11), Known(tokens=frozenset({11})), "heads"),
        ((11, 1, 32), Known(), "tokens"),
        ((32, 100), Known(features=frozenset({32})), "channels_first"),
        ((11, 32), Known(), "tokens"),
        ((1, 4, 5, 6, 32), Known(features=frozenset({32})), "channels_last"),
        ((1, 4, 5, 6, 32), Known(), "channels_first"),
        ((1, 1, 32), Known(), "units"),
    ],
)
def test_what_no_module_tells_is_told_by_the_sizes_around(shape, around, name):
    assert choose_layout(shape, around).name == name


def test_what_a_module_says_counts_only_where_the_shape_agrees():
    known = Known("channels_first", 2, channels=16)
    assert choose_layout((1, 16, 8, 8), known).name == "channels_first"
    like = choose_layout((1, 8, 8, 16), layout="channels_last")
    known = Known("channels_first", 2, channels=16, like=Axes(like.name, like.axes))
    assert choose_layout((1, 8, 8, 16), known).name == "channels_last"
    assert choose_layout((1, 8, 9, 16), known).name == "channels_first"  # like another shape


# --- overridden -------------------------------------------------------------------------------


def test_a_layout_by_name():
    known = Known("channels_first", 2, channels=6)
    assert choose_layout((1, 6, 5, 4), known, "channels_last").words == "4 channels of 6 × 5"
    assert choose_layout((1, 6, 5, 4), known, "maps").words == "6 maps of 5 × 4"
    assert choose_layout((1, 6, 5, 4), known, "heads").channels == 6
    assert choose_layout((12, 5, 7), Known(), "tokens").words == "7 features of 12 × 5 positions"
    assert choose_layout((1, 9, 7), Known(), "steps").words == "7 units over 9 steps"
    assert choose_layout((7, 9), Known(), "channels_first").words == "7 channels of 9 positions"


def test_a_layout_by_roles():
    tensor = numbered(1, 6, 5, 4)
    layout = choose_layout(tensor.shape, layout=("batch", "height", "channel", "width"))
    assert torch.equal(view(tensor, layout), tensor[0].transpose(0, 1))
    joined = choose_layout(tensor.shape, layout=("batch", "head", "feature", "token"))
    assert joined.words == "6 heads × 5 features of 4 tokens"
    assert torch.equal(view(tensor, joined), tensor.reshape(30, 1, 4))


def test_roles_of_tokens_are_put_back_as_images_too():
    known = Known(grid=ImageGrid(1, 4, 4, 4, 4))
    layout = choose_layout((1, 32, 17), known, ("batch", "feature", "token"))
    assert (layout.channels, layout.height, layout.width) == (32, 4, 4)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("units", r"shape \(1, 6, 5, 5\) allows 'channels_first' \(6 channels of 5 × 5\), '"),
        ("channel_first", r"no layout 'channel_first': write channels_first, channels_last"),
        (("batch", "channel"), r"2 roles are not one for each of 4 axes.*allows 'channels_first'"),
        (("channel", "batch", "height", "width"), r'an axis of 6 is not .* but an "entry"'),
        (("batch", "channel", "height", "widht"), r"no role 'widht', only batch, channel"),
    ],
)  # fmt: skip
def test_a_layout_that_does_not_fit_says_what_does(layout, message):
    with pytest.raises(ValueError, match=message):
        choose_layout((1, 6, 5, 5), layout=layout)


@pytest.mark.parametrize("shape", [(), (1, 0, 5), (0,)])
def test_nothing_has_no_maps(shape):
    with pytest.raises(ValueError, match="holds no maps"):
        choose_layout(shape)


@pytest.mark.parametrize(
    "shape", [(7,), (1, 7), (3, 7), (1, 3, 7), (2, 3, 7), (1, 2, 3, 7), (2,) * 6]
)
def test_what_a_menu_offers_can_be_chosen(shape):
    offered = fitting_layouts(shape)
    assert offered
    for name, layout in offered.items():
        assert choose_layout(shape, layout=name) == layout
        assert maps_of(numbered(*shape), layout).numel() == np.prod(shape)
    for name in set(LAYOUTS) - set(offered):
        with pytest.raises(ValueError, match="does not fit"):
            choose_layout(shape, layout=name)


def test_every_role_has_a_place():
    for role in ROLES:
        layout = choose_layout(
            (1, 3), layout=("batch", role) if role != "batch" else ("channel", "width")
        )
        assert layout.words
