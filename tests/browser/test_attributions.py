"""The attribution explorer as a user meets it: a digits CNN and a text in a real JupyterLab."""

from __future__ import annotations

import json
import re
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
labels = torch.tensor(digits.target)
model = nn.Sequential(
    nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for batch in torch.arange(1000).split(50):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
    optimizer.step()
live = xw.LiveModel(model.eval(), images[1000:1040], labels=labels[1000:1040])
"""
TEXT = """
import threading

gate = threading.Event()
gate.set()

class Letters:
    all_special_ids = ()

    def __call__(self, text, **options):
        return {"input_ids": [ord(letter) - 97 for letter in text]}

    def convert_ids_to_tokens(self, ids):
        return [chr(97 + one) for one in ids]

class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.letters, self.head = nn.Embedding(26, 8), nn.Linear(8, 3)

    def forward(self, input_ids):
        gate.wait(20)
        return self.head(self.letters(input_ids).tanh().mean(1))

explorer = xw.AttributionExplorer(
    Reader().eval(), ["attribution"], tokenizer=Letters(), method="input_x_gradient"
)
explorer
"""
SHOW = "explorer = xw.AttributionExplorer(live, clip=100)\nexplorer"


@pytest.fixture(scope="module")
def digits(prepare) -> Notebook:
    """A notebook in which the model is trained."""
    return prepare(SETUP)


@pytest.fixture
def shown(digits: Notebook) -> Iterator[tuple[Notebook, Locator]]:
    """An explorer of its own in that notebook, and the notebook."""
    index = digits.start(SHOW)
    explorer = digits.explorer()
    digits.ready(explorer)
    yield digits, explorer
    digits.run("explorer.close()")
    digits.delete_cells(index)


def numbers(page: Notebook, code: str) -> np.ndarray:
    return np.float32(json.loads(page.run(f"print(json.dumps(({code}).tolist()))")))


def assert_map(page: Notebook, side: Locator, values: np.ndarray) -> None:
    """The canvas holds the colours of the numbers, and covers the picture by their magnitude."""
    pixels = page.pixels(side.get_by_role("img", name=re.compile("^Attribution map"))).astype(int)
    levels = signed_picture(values).levels
    covers = np.abs(levels.astype(int) - 127) / 127
    np.testing.assert_allclose(pixels[..., 3], 255 * covers, atol=0.51)
    # Browsers keep colours times their opacity: only strong ones come back as they were.
    strong = covers > 0.6
    assert strong.any()
    colours = colour_table("RdBu_r").astype(int)[levels]
    np.testing.assert_allclose(pixels[..., :3][strong], colours[strong], atol=2)


def test_classes_and_methods_are_picked_and_the_map_is_exact(shown):
    page, explorer = shown
    side = explorer.get_by_role("group", name="Attribution A")
    assert_map(page, side, numbers(page, "live.gradient('input')[0, 0]"))
    explorer.get_by_label("Method", exact=True).select_option("input_x_gradient")
    classes = explorer.get_by_label("Classes by probability")
    second = classes.get_by_role("button").nth(1)
    name = second.locator("span").first.inner_text()
    index = int(name.removeprefix("class "))
    second.click()
    expect(side.get_by_role("heading")).to_have_text(f"Input × gradient for “{name}”")
    page.ready(explorer)
    page.run_until("explorer.target, explorer.method", f"({index}, 'input_x_gradient')")
    wanted = f"live.attribute('input_x_gradient', 0, {index}).values[0, 0]"
    assert_map(page, side, numbers(page, wanted))
    explorer.get_by_role("slider", name="Sample").press("ArrowRight")
    expect(explorer).to_contain_text("image 1 · label")
    page.ready(explorer)
    wanted = f"live.attribute('input_x_gradient', 1, {index}).values[0, 0]"
    assert_map(page, side, numbers(page, wanted))


def test_two_methods_stand_side_by_side_and_are_measured(shown):
    page, explorer = shown
    explorer.get_by_role("button", name="Compare").click()
    explorer.get_by_label("B: method").select_option("integrated_gradients")
    other = explorer.get_by_role("group", name="Attribution B")
    expect(other.get_by_role("heading")).to_contain_text("Integrated gradients")
    page.ready(explorer)
    wanted = "live.attribute('integrated_gradients').values[0, 0]"
    assert_map(page, other, numbers(page, wanted))
    expect(explorer.get_by_label("Reading")).to_contain_text("Completeness gap")
    explorer.get_by_role("button", name="Measure: Deletion and insertion").click()
    curves = explorer.get_by_role("img", name=re.compile("^Deletion curves"))
    expect(curves).to_be_visible()
    found = page.run(
        "*_, found = live.faithfulness([live.attribute(m) for m in "
        "('gradient', 'integrated_gradients')])\n"
        "print(json.dumps(found.deletion.areas.tolist()))"
    )
    table = explorer.get_by_label("Trust").get_by_role("row")
    for name, area in zip(["gradient", "integrated_gradients"], json.loads(found), strict=True):
        row = table.filter(has=page.page.get_by_role("rowheader", name=name, exact=True))
        expect(row.get_by_role("cell").first).to_have_text(f"{area:.3f}")


def test_measures_of_a_text_wait_for_each_other_and_all_are_shown(digits):
    page = digits
    index = page.start(TEXT)
    explorer = page.explorer()
    page.ready(explorer)
    trust = explorer.get_by_label("Trust", exact=True)
    titles = [
        "Deletion and insertion",
        "Infidelity, sensitivity",
        "Randomise the model",
        "Agreement of methods",
    ]
    page.run("gate.clear()")
    for title in titles:
        trust.get_by_role("button", name=f"Measure: {title}").click()
    # The first is at work; each of the others says what it waits for.
    expect(trust.get_by_role("progressbar")).to_have_count(1)
    for before in titles[:-1]:
        expect(trust.get_by_text(f"waits for “{before}”")).to_be_visible()
    page.run("gate.set()")
    for title in titles:
        expect(trust.get_by_role("button", name=f"Measure: {title}")).to_have_text("Again")
    wanted = page.run(
        "given = explorer.live.attribute('input_x_gradient')\n"
        "print(explorer.live.infidelity(given).value, "
        "explorer.live.sensitivity('input_x_gradient').value)"
    )
    for name, value in zip(["Infidelity", "Sensitivity"], wanted.split(), strict=True):
        row = trust.locator("dl > div").filter(has_text=re.compile(f"^{name}"))
        shown = row.locator("dd").inner_text().replace("−", "-")
        assert float(shown) == pytest.approx(float(value), rel=1e-4)
    agreed = trust.locator(".xw-agreement").get_by_title(
        "input_x_gradient and gradient", exact=True
    )
    expected = page.run(
        "print(float(explorer.live.agreement(['input_x_gradient', 'gradient']).mean[0, 1]))"
    )
    assert float(agreed.inner_text()) == pytest.approx(float(expected), abs=0.0051)
    page.run("explorer.close()")
    page.delete_cells(index)


def test_an_option_is_set_and_a_method_that_cannot_be_used_says_why(shown):
    page, explorer = shown
    explorer.get_by_label("Method", exact=True).select_option("integrated_gradients")
    explorer.get_by_text("Options").click()
    steps = explorer.get_by_label("n_steps")
    steps.fill("3")
    steps.press("Enter")
    side = explorer.get_by_role("group", name="Attribution A")
    expect(side).to_contain_text("3 of 3 points")
    page.ready(explorer)
    page.run_until("explorer.options", "{'n_steps': 3}")
    wanted = "live.attribute('integrated_gradients', n_steps=3).values[0, 0]"
    assert_map(page, side, numbers(page, wanted))
    page.run("explorer.options = {'n_steps': 0}")
    expect(explorer.get_by_role("alert")).to_contain_text("n_steps=0 must be a number, 1")
    page.run("explorer.options = {}")
    expect(explorer.locator(".xw-alert")).to_be_empty()


def test_parameters_have_bars_by_layer(shown):
    page, explorer = shown
    explorer.get_by_role("radio", name="Parameters").check(force=True)
    bars = explorer.get_by_label("Norm of the gradient by each tensor of parameters, logarithmic")
    expect(bars.get_by_role("listitem")).to_have_count(4)
    norms = json.loads(
        page.run(
            "print(json.dumps([g.norm().item() for g in live.parameter_gradients().values()]))"
        )
    )
    for place, norm in enumerate(norms):
        text = bars.get_by_role("listitem").nth(place).locator(".xw-number").inner_text()
        assert float(text) == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_off(shown, theme):
    page, explorer = shown
    overflowing = """
    (root) => [root, ...root.querySelectorAll("*")].filter((element) => {
        const style = getComputedStyle(element);
        const free = style.overflowX !== "visible" || style.position === "absolute";
        return !free && element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1;
    }).map((element) => `${element.tagName} ${element.className}: ${element.textContent}`)
    """
    other = "{'method': 'grad_cam', 'target': 3}"
    with page.theme(theme):
        for code in ("None", f"explorer.other = {other}", "explorer.show = 'parameters'"):
            page.run(code)
            for width in (500, 900, 1400):
                page.widen(explorer, width)
                assert explorer.evaluate(overflowing) == []
