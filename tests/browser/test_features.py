"""The feature explorer as a user meets it: a digits CNN in a real JupyterLab."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from lab import Notebook
from playwright.sync_api import Locator, expect

from explain_widgets.pictures.colormaps import colour_table
from explain_widgets.pictures.quantise import signed_picture

SETUP = """
import json, torch
from sklearn.datasets import load_digits
from torch import nn
import explain_widgets as xw

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
images = nn.functional.interpolate(images, size=(28, 28), mode="bilinear")
labels = torch.tensor(digits.target)
model = nn.Sequential(
    nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
    nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for batch in torch.arange(1000).split(50):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
    optimizer.step()
live = xw.LiveModel(model.eval(), images[1000:1040], labels=labels[1000:1040])
"""
SHOW = "explorer = xw.FeatureExplorer(live, layer_name='3')\nexplorer"


@pytest.fixture(scope="module")
def digits(prepare) -> Notebook:
    """A notebook in which the model is trained."""
    return prepare(SETUP)


@pytest.fixture
def shown(digits: Notebook) -> Iterator[tuple[Notebook, Locator]]:
    """An explorer of its own in that notebook, and the notebook."""
    index = digits.start(SHOW)
    yield digits, digits.explorer()
    digits.run("explorer.close()")
    digits.delete_cells(index)


def tiles(explorer: Locator) -> Locator:
    """Where channels lie whose maps are there."""
    return explorer.locator(".xw-maps .xw-map-box:not(.xw-empty)")


def tile(explorer: Locator, channel: int) -> Locator:
    """Where a channel lies, in the order of their indices; one that is not read yet is none."""
    return explorer.locator(f'.xw-map[data-place="{channel}"] .xw-map-box:not(.xw-empty)')


def maps_of(page: Notebook, code: str) -> np.ndarray:
    return np.float32(json.loads(page.run(f"print(json.dumps(({code}).tolist()))")))


def assert_drawn(page: Notebook, explorer: Locator, maps: np.ndarray, channels: range) -> None:
    """Each channel shows its numbers, one by one, where it lies on the screen."""
    levels = signed_picture(maps).levels
    sheet = explorer.locator(".xw-maps-picture")
    picture, area = page.pixels(sheet), sheet.bounding_box()
    for channel in channels:
        colours = colour_table("RdBu_r")[levels[channel]]
        box = tile(explorer, channel).bounding_box()
        rows, columns = (
            np.int64(
                (box[start] - area[start] + box[side] * (np.arange(count) + 0.5) / count)
                * picture.shape[axis]
                / area[side]
            )
            for axis, (start, side, count) in enumerate(
                [("y", "height", colours.shape[0]), ("x", "width", colours.shape[1])]
            )
        )
        np.testing.assert_array_equal(picture[np.ix_(rows, columns)][..., :3], colours)


def test_the_mosaic_is_the_activation_pixel_by_pixel(shown):
    page, explorer = shown
    expect(tiles(explorer)).to_have_count(16)
    assert_drawn(page, explorer, maps_of(page, "live.activation('3')[0]"), range(16))
    explorer.get_by_role("slider", name="Sample").press("ArrowRight")
    page.ready(explorer)
    page.run_until("explorer.sample", "1")
    assert_drawn(page, explorer, maps_of(page, "live.activation('3', 1)[0]"), range(16))


def test_gradients_layers_and_channels_are_picked_by_hand(shown):
    page, explorer = shown
    explorer.get_by_text("Gradient", exact=True).click()
    page.ready(explorer)
    assert_drawn(page, explorer, maps_of(page, "live.gradient('3')[0]"), range(3))
    explorer.get_by_role("option", name="9, ", exact=True).click()
    page.ready(explorer)
    page.run_until("explorer.channel", "9")
    explorer.get_by_role("listbox", name="Layers").get_by_text("6 × 24 × 24").first.click()
    page.ready(explorer)
    page.run_until("explorer.layer_name, explorer.channel", "('0', 5)")
    assert_drawn(page, explorer, maps_of(page, "live.gradient('0')[0]"), range(6))


def test_the_next_layer_is_there_at_once_and_as_the_model_is(shown):
    """The neighbours of a layer are read ahead: not kept where they hold no longer."""
    page, explorer = shown
    layers = explorer.get_by_role("listbox", name="Layers")
    page.page.mouse.move(0, 0)  # what the pointer rests on would be read first
    page.run("explorer.layer_name = '0'")
    for layer in range(1, 5):
        page.page.wait_for_timeout(1000)  # mostly enough to read ahead
        page.ready(explorer)
        layers.focus()
        page.clear_measures()
        layers.press("ArrowDown")
        (measured,) = page.wait_measures(1, "maps")[:1]
        page.ready(explorer)
        shown_maps = maps_of(page, f"live.activation('{layer}')[0]")
        assert_drawn(page, explorer, shown_maps, range(len(shown_maps)))
        if "ahead" in measured.detail:
            break
    else:
        pytest.fail("no layer was read ahead")
    page.page.wait_for_timeout(1000)
    layers.focus()
    page.run("with torch.no_grad(): model[0].weight.neg_()")
    try:
        layers.press("ArrowUp")
        page.ready(explorer)
        page.page.wait_for_timeout(200)
        shown_maps = maps_of(page, f"live.activation('{layer - 1}')[0]")
        assert_drawn(page, explorer, shown_maps, range(len(shown_maps)))
    finally:
        page.run("with torch.no_grad(): model[0].weight.neg_()")


def test_a_chart_follows_what_is_picked_by_hand(shown):
    page, explorer = shown
    page.run("import time\nchart = explorer.chart('histogram')\nchart")
    expect(page.page.locator(".bqplot rect.bar, .bqplot .bar").first).to_be_visible()
    page.ready(explorer)
    explorer.get_by_role("option", name="9, ", exact=True).click()
    page.ready(explorer)
    # beside the cells, a moment after the picture
    wait = "[time.sleep(0.02) for _ in range(500) if '9' not in chart.axes[0].label]"
    assert page.run(f"{wait}\nchart.axes[0].label") == "'activation, channel 9'"
    counts = maps_of(page, "torch.tensor(chart.marks[0].y.sum(0))")
    assert counts.sum() == 64
    shown_bars = page.page.locator(".bqplot .bargroup").count()
    assert shown_bars == len(counts)


def test_a_muted_channel_shows_what_changes_and_is_put_back(shown):
    page, explorer = shown
    before = page.run("json.dumps([p.sum().item() for p in model.parameters()])")
    explorer.get_by_role("button", name="Mute channel").click()
    muted = explorer.get_by_role("region", name="Muted channels")
    expect(muted).to_contain_text("Cosine to original")
    expect(muted.locator(".xw-change tbody tr").first).to_be_visible()
    page.run_until("explorer.muted", "[['3', 0, 'zero']]")
    muted.get_by_role("button", name="Put all back").click()
    expect(muted).to_have_count(0)
    assert page.run("json.dumps([p.sum().item() for p in model.parameters()])") == before


def test_what_maximises_a_channel_is_sought_and_can_be_stopped(shown):
    page, explorer = shown
    section = explorer.get_by_role("region", name="What maximises it")
    section.get_by_role("button", name="Seek").click()
    expect(section.get_by_role("progressbar")).to_be_visible()
    section.get_by_role("button", name="Stop").click()
    expect(section.get_by_role("button", name="Another seed")).to_be_visible()
    explorer.get_by_role("option", name="2, ", exact=True).click()  # the widget answers meanwhile
    page.ready(explorer)
    page.run_until("explorer.channel", "2")


READS = """
from explain_widgets.analysis.feature_maps import maps_of

class Reads(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.LSTM(5, 6, num_layers=2, batch_first=True, bidirectional=True)

    def forward(self, x):
        out, (hidden, cell) = self.cells(x)
        return {"out": out, "cell": cell}

torch.manual_seed(1)
texts = xw.LiveModel(Reads().eval(), torch.randn(2, 7, 5))
reading = xw.FeatureExplorer(texts, layer_name="cells")

def shown(layer, entry, name=None):
    tensor = texts.activation(layer, reading.sample, entry=entry)
    return maps_of(tensor, texts.layout(layer, reading.sample, entry, name))[:, 0]

reading
"""


def test_entries_and_layouts_are_picked_by_hand(shown):
    page, _ = shown
    page.run(READS)
    explorer = page.explorer(1)
    assert_drawn(page, explorer, maps_of(page, "shown('cells', '0')"), range(12))
    explorer.get_by_label("Entry").select_option("1.0")  # the hidden states of a tuple in a tuple
    page.ready(explorer)
    page.run_until("reading.entry", "'1.0'")
    assert_drawn(page, explorer, maps_of(page, "shown('cells', '1.0')"), range(6))
    explorer.get_by_role("listbox", name="Layers").get_by_text("(model)").click()
    explorer.get_by_label("Entry").select_option("cell")  # of a dict
    page.ready(explorer)
    assert_drawn(page, explorer, maps_of(page, "shown('', 'cell')"), range(6))
    explorer.get_by_label("Entry").select_option("out")
    explorer.get_by_label("Layout").select_option("channels_first")
    page.ready(explorer)
    expect(tiles(explorer)).to_have_count(7)
    page.run_until("reading.map_layout", "'channels_first'")
    assert_drawn(page, explorer, maps_of(page, "shown('', 'out', 'channels_first')"), range(7))
    explorer.get_by_role("option", name="6, ", exact=True).click()
    page.ready(explorer)
    explorer.get_by_label("Layout").select_option("")
    page.ready(explorer)
    page.run_until("reading.map_layout, reading.channel", "('', 6)")
    assert_drawn(page, explorer, maps_of(page, "shown('', 'out')"), range(12))
    assert not [line for line in page.console if line.startswith(("error", "exception"))]
    page.run("reading.close()")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_off(shown, theme):
    page, explorer = shown
    with page.theme(theme):
        for width in (500, 900, 1400):
            page.widen(explorer, width)
            maps = explorer.locator(".xw-maps")
            assert maps.evaluate("(box) => box.scrollWidth <= box.clientWidth + 1")
            assert explorer.evaluate("(root) => root.scrollWidth <= root.clientWidth + 1")
