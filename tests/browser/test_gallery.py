"""The sample gallery as a user meets it: digits and a CNN trained in the notebook."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

SETUP = """
import torch
import ipywidgets
from sklearn.datasets import load_digits
from torch import nn
import explain_widgets as xw

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
labels = torch.tensor(digits.target)
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
)
optimizer = torch.optim.Adam(model.parameters(), 2e-2)
for _ in range(12):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
with torch.no_grad():
    scores = model(images)
    predictions = scores.argmax(1)
    losses = nn.functional.cross_entropy(scores, labels, reduction="none")
live = xw.LiveModel(model, images, labels=labels)
"""
SHOW = "gallery = xw.SampleGallery(live)\ngallery"

# Two explorers below each other, their samples linked.
LINKED = """
layer = nn.TransformerEncoderLayer(16, 4, batch_first=True)
sequences = xw.LiveModel(layer, torch.randn(30, 7, 16))
gallery, explorer = xw.SampleGallery(sequences), xw.AttentionExplorer(sequences)
link = ipywidgets.link((gallery, "sample"), (explorer, "sample"))
ipywidgets.VBox([gallery, explorer])
"""

LAZY = """
def endless():
    for index in range(10_000):
        read.append(index)
        yield torch.full((1, 8, 8), index % 256, dtype=torch.uint8)

read = []
gallery = xw.SampleGallery(endless(), per_page=12)
gallery
"""


@pytest.fixture(scope="module")
def digits(prepare):
    """A notebook in which a model of digits was trained."""
    return prepare(SETUP)


@pytest.fixture
def shown(digits):
    """A gallery of its own in that notebook, and the notebook."""
    index = digits.start(SHOW)
    yield digits, digits.explorer()
    digits.run("gallery.close()")
    digits.delete_cells(index)


def card(explorer: Locator, index: int) -> Locator:
    return explorer.locator(f'[role="gridcell"][data-index="{index}"]')


def first_card(explorer: Locator) -> Locator:
    return explorer.get_by_role("gridcell").first


def ask(page, code: str):
    """What an expression is in the kernel."""
    return json.loads(page.run(f"import json\nprint(json.dumps({code}))"))


def test_pictures_are_the_images_pixel_by_pixel(shown):
    page, explorer = shown
    expect(explorer.get_by_role("gridcell")).to_have_count(24)
    expected = np.array(ask(page, "[live.samples[i].image.tolist() for i in range(24)]"), np.uint8)
    for index in (0, 7, 23):
        pixels = page.pixels(card(explorer, index).locator("canvas"))
        assert pixels.shape == (8, 8, 4)
        np.testing.assert_array_equal(pixels[..., :3], expected[index][..., None].repeat(3, -1))
        box = card(explorer, index).locator("canvas").bounding_box()
        assert (box["width"], box["height"]) == (96, 96)  # each pixel 12 × 12, none smoothed


def test_wrong_ones_are_marked_by_sign_and_words(shown):
    page, explorer = shown
    said = ask(page, "[labels[:24].tolist(), predictions[:24].tolist()]")
    wrong = [i for i, (label, found) in enumerate(zip(*said, strict=True)) if label != found]
    assert 0 < len(wrong) < 24
    for index in range(24):
        label, predicted = said[0][index], said[1][index]
        caption = f"✗ {label} → {predicted}" if index in wrong else str(label)
        expect(card(explorer, index)).to_contain_text(caption)
        name = re.compile(rf"predicted {predicted} \(wrong\)" if index in wrong else "predicted")
        expect(card(explorer, index)).to_have_attribute("aria-label", name)
    assert explorer.locator(".xw-wrong").count() == len(wrong)


def test_only_wrong_ones_by_loss(shown):
    page, explorer = shown
    explorer.get_by_role("checkbox", name="Wrong only").check()
    explorer.get_by_role("combobox", name="Sort by").select_option("loss")
    explorer.get_by_role("checkbox", name="Descending").check()
    order = ask(
        page,
        "[i for i in losses.argsort(descending=True, stable=True).tolist()"
        " if predictions[i] != labels[i]]",
    )
    expect(first_card(explorer)).to_have_attribute("data-index", str(order[0]))
    expect(explorer.get_by_role("heading")).to_have_text(
        f"{len(order)} of 1,797 images · wrong only · by loss, largest first"
    )
    expect(first_card(explorer)).to_contain_text("loss")
    page.ready(explorer)
    shown_now = explorer.get_by_role("gridcell").evaluate_all(
        "(cells) => cells.map((cell) => Number(cell.dataset.index))"
    )
    assert shown_now == order[:24]
    page.run_until("print(gallery.data()['indices'])", str(order[:24]))
    explorer.get_by_role("button", name="Next page").click()
    expect(first_card(explorer)).to_have_attribute("data-index", str(order[24]))


def test_clicks_and_keys_pick_and_python_follows(shown):
    page, explorer = shown
    card(explorer, 5).click()
    page.run_until("gallery.sample, gallery.picked", "(5, [5])")
    card(explorer, 8).click(modifiers=["Control"])
    page.run_until("gallery.sample, gallery.picked", "(8, [5, 8])")
    card(explorer, 8).press("ArrowRight")
    expect(card(explorer, 9)).to_be_focused()
    card(explorer, 9).press("Enter")
    expect(card(explorer, 9)).to_have_attribute("aria-selected", "true")
    page.run_until("gallery.sample, gallery.picked", "(9, [9])")
    page.run("gallery.sample = 100")
    expect(card(explorer, 100)).to_have_attribute("aria-selected", "true")
    page.run_until("gallery.page", "4")


def test_a_picked_sample_is_that_of_a_linked_explorer(digits):
    index = digits.start(LINKED)
    gallery, explorer = digits.explorer(0), digits.explorer(1)
    card(gallery, 3).click()
    slider = explorer.get_by_role("slider", name="Sample")
    expect(slider).to_have_value("3")
    slider.press("ArrowRight")
    expect(card(gallery, 4)).to_have_attribute("aria-selected", "true")
    digits.run_until("gallery.sample, explorer.sample, gallery.picked", "(4, 4, [4])")
    assert_laid_out_alone(gallery)
    digits.run("gallery.close(); explorer.close()")
    digits.delete_cells(index)


def assert_laid_out_alone(gallery: Locator) -> None:
    """The style sheet of the explorer beside it does not reach it."""
    whole = gallery.bounding_box()
    footer = gallery.locator(".xw-footer").bounding_box()
    view = gallery.get_by_role("region", name="Gallery").bounding_box()
    assert view["width"] > whole["width"] - 4
    bottoms = gallery.get_by_role("gridcell").evaluate_all(
        "(cards) => cards.map((card) => card.getBoundingClientRect().bottom)"
    )
    assert max(bottoms) <= footer["y"]


def test_data_without_end_is_read_page_by_page(digits):
    index = digits.start(LAZY)
    gallery = digits.explorer()
    expect(gallery.get_by_role("heading")).to_have_text("12 images read so far")
    assert ask(digits, "len(read)") == 12
    gallery.get_by_role("button", name="Next page").click()
    expect(first_card(gallery)).to_have_attribute("data-index", "12")
    digits.ready(gallery)
    assert ask(digits, "len(read)") == 24
    digits.run("gallery.close()")
    digits.delete_cells(index)


def test_a_narrow_gallery_cuts_nothing_off(shown):
    page, explorer = shown
    try:
        page.widen(explorer, 420)
        too_wide = explorer.evaluate(
            "(root) => [...root.querySelectorAll('*')].filter((element) => {"
            "  const box = element.getBoundingClientRect();"
            "  return box.width > 0 && box.right > root.getBoundingClientRect().right + 1;"
            "}).map((element) => element.className)"
        )
        assert too_wide == []
    finally:
        page.page.set_viewport_size({"width": 1400, "height": 1000})
    assert not [line for line in page.console if "explain_widgets" in line and "rror" in line]
