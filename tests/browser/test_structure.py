"""The structure explorer as a user meets it: its table, its colours and the values of modules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from lab import Notebook, notebook
from playwright.sync_api import Locator, expect

from explain_widgets.live.structure.summary import byte_size, quantity
from explain_widgets.pictures.colormaps import colour_table

SETUP = """
import json, torch
from sklearn.datasets import load_digits
from torch import nn
import explain_widgets as xw

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
model = nn.Sequential(
    nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(6, 8, 3), nn.ReLU()),
    nn.Flatten(), nn.Linear(128, 10),
)
nn.init.normal_(model[0].weight, std=0.001)  # far too small
model[2][0].bias.data[3] = -9.0  # a channel that ReLU never lets through
live = xw.LiveModel(model.eval(), images[:12], labels=digits.target[:12])
explorer = xw.StructureExplorer(live, view="layers", layer_name="2.0")
"""
BROKEN = """
class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Flatten()
        self.head = nn.Linear(100, 10)
    def forward(self, images):
        return self.head(self.features(images))
broken = xw.StructureExplorer(Broken(), images[:2], view="layers")
broken
"""


@pytest.fixture(scope="module")
def opened(lab, browser) -> Iterator[Notebook]:
    """A notebook with an explorer."""
    with notebook(lab, browser, lab.write("structure.ipynb", SETUP, "explorer")) as page:
        page.run_all()
        yield page


@pytest.fixture
def shown(opened: Notebook) -> tuple[Notebook, Locator]:
    """That notebook and its explorer, at its table."""
    opened.run("explorer.view, explorer.overlay, explorer.layer_name = 'layers', '', '2.0'")
    return opened, opened.explorer()


def told(page: Notebook, code: str) -> Any:
    return json.loads(page.run(f"print(json.dumps({code}))"))


def row(explorer: Locator, name: str) -> Locator:
    """The row of a module; "the model" is the outermost."""
    title = re.compile(rf"^{re.escape(name)}( · .*)?$")
    return explorer.get_by_role("row").filter(
        has=explorer.page.get_by_role("rowheader").and_(explorer.page.get_by_title(title))
    )


def cell(explorer: Locator, name: str, column: str) -> Locator:
    headers = explorer.get_by_role("columnheader").all_inner_texts()
    at = next(n for n, text in enumerate(headers) if text.strip().startswith(column))
    return row(explorer, name).locator("> *").nth(at)


def values_view(page: Notebook, explorer: Locator, name: str) -> None:
    page.run(f"explorer.view, explorer.layer_name = 'values', {name!r}")
    expect(explorer.get_by_role("region", name="Values")).to_have_attribute("aria-busy", "false")
    page.ready(explorer)


def statistics(explorer: Locator, name: str) -> dict[str, float]:
    """What the titles of a line of the table of statistics say, with all their digits."""
    line = (
        explorer.get_by_role("table", name="Statistics")
        .get_by_role("row")
        .filter(has=explorer.page.get_by_role("rowheader", name=name, exact=True))
    )
    titles = line.locator("td").evaluate_all("(cells) => cells.map((one) => one.title)")
    pairs = (re.match(r"(\w+): (\S+)\. ", title) for title in titles)
    return {found[1]: float(found[2]) for found in pairs if found}


def test_the_table_says_what_the_model_has(shown):
    page, explorer = shown
    rows = told(page, "[[row.name, row.parameters, row.flops] for row in live.summary().rows]")
    titles = explorer.get_by_role("rowheader").evaluate_all("(all) => all.map((one) => one.title)")
    assert titles == [name or "the model" for name, _, _ in rows]
    for name, parameters, flops in rows:
        shown_as = cell(explorer, name or "the model", "Params")
        expect(shown_as).to_have_text(quantity(parameters) if parameters else "–")
        expect(shown_as).to_have_attribute("title", f"Parameters: {parameters:,}")
        expect(cell(explorer, name or "the model", "FLOPs")).to_have_text(
            quantity(flops) if flops else "–"
        )
    expect(cell(explorer, "2.0", "Output")).to_have_text("1 × 8 × 4 × 4")
    expect(cell(explorer, "2.0", "Memory")).to_have_text(byte_size(4 * 8 * 4 * 4))
    total = told(page, "sum(one.numel() for one in model.parameters())")
    expect(explorer.locator(".xw-totals")).to_contain_text(f"Parameters {quantity(total)}")


def test_rows_are_sorted_picked_folded_and_found(shown):
    page, explorer = shown
    expect(row(explorer, "2.0")).to_have_attribute("aria-selected", "true")
    explorer.get_by_role("columnheader", name="Params").get_by_role("button").click()
    names = explorer.get_by_role("rowheader").evaluate_all("(all) => all.map((one) => one.title)")
    assert names[:4] == ["the model", "4", "2", "2.0"]
    explorer.get_by_role("button", name="As a tree").click()
    row(explorer, "4").click()
    page.page.keyboard.press("ArrowUp")
    page.run_until("explorer.layer_name", "'3'")
    row(explorer, "2").locator(".xw-fold").click()
    expect(row(explorer, "2.0")).to_have_count(0)
    explorer.get_by_role("textbox", name="Find module").fill("conv")
    page.page.keyboard.press("Enter")
    expect(explorer.locator(".xw-found")).to_have_text("1 of 2")
    page.page.keyboard.press("Enter")
    expect(row(explorer, "2.0")).to_have_attribute("aria-selected", "true")
    expect(explorer.locator("mark").first).to_have_text("Conv")
    page.run_until("explorer.layer_name", "'2.0'")
    explorer.get_by_role("textbox", name="Find module").fill("")


def test_the_colours_of_an_overlay_are_those_of_its_numbers(shown):
    page, explorer = shown
    explorer.get_by_role("combobox", name="Colour by").select_option("flops")
    page.ready(explorer)
    expect(explorer.locator(".xw-ramp")).to_be_visible()
    rows = told(page, "[[row.name, row.flops] for row in live.summary().rows]")
    logs = {name: float(np.log(flops)) for name, flops in rows if flops}
    low, high = min(logs.values()), max(logs.values())
    colours = colour_table(page.run("explorer.colormap").strip("'"))
    for name, value in logs.items():
        red, green, blue = colours[round(254 * (value - low) / (high - low))]
        expect(cell(explorer, name or "the model", "FLOPs")).to_have_css(
            "background-color", f"rgb({red}, {green}, {blue})"
        )
    page.run_until("explorer.overlay", "'flops'")
    assert len(page.measures("structure")) == 1  # nothing is traced or laid out anew


def test_the_picked_module_is_told_under_the_graph_too(shown):
    page, explorer = shown
    page.run("explorer.view, explorer.overlay = 'graph', 'deviation'")
    page.ready(explorer)
    line = explorer.locator(".xw-picked-line")
    expect(line).to_contain_text("2.0Conv2d1 × 6 × 6 × 6 → 1 × 8 × 4 × 4Params 440")
    deviation = told(page, "float(live.activation('2.0').std(correction=0))")
    expect(line).to_contain_text(f"output deviation {float(f'{deviation:.4g}'):g}")
    line.get_by_role("button", name="Values").click()
    expect(explorer.get_by_role("region", name="Values")).to_have_attribute("aria-busy", "false")
    page.ready(explorer)
    page.run_until("explorer.view", "'values'")


def test_the_colours_follow_the_theme_of_the_page(shown):
    page, explorer = shown
    accent = "(explorer) => getComputedStyle(explorer).getPropertyValue('--xw-accent')"
    body = page.page.locator("body")
    assert explorer.evaluate(accent) == "#0969da"
    body.evaluate("(body) => { body.dataset.jpThemeLight = 'false'; }")
    assert explorer.evaluate(accent) == "#2f7de0"
    expect(explorer).to_have_css("color-scheme", "dark")
    body.evaluate("(body) => { body.dataset.jpThemeLight = 'true'; }")


def test_the_table_is_copied_as_text(shown):
    page, explorer = shown
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explorer.get_by_role("button", name="Copy text").click()
    expect(explorer.locator("footer")).to_contain_text("copied as text")
    copied = page.page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[1].startswith("Layer (type: name)")
    assert "Conv2d: 0" in copied


def test_the_values_of_a_module_are_those_of_its_tensors(shown):
    page, explorer = shown
    values_view(page, explorer, "2.0")
    page.run(
        "tensors = {'output': live.activation('2.0'), 'weight': model[2][0].weight.detach(),"
        " 'output gradient': live.gradient('2.0')}\n"
        "tensors['weight gradient'] = live.parameter_gradients(0, None)['2.0.weight']"
    )
    plain = told(
        page,
        "{name: [float(f(t.double())) for f in (torch.mean, lambda x: x.std(correction=0),"
        " torch.min, torch.max, lambda x: (x == 0).double().mean(), torch.linalg.vector_norm)]"
        " for name, t in tensors.items()}",
    )
    for name, numbers in plain.items():
        found = statistics(explorer, name)
        keys = ("Mean", "Deviation", "Min", "Max", "Zeros", "Norm")
        np.testing.assert_allclose([found[key] for key in keys], numbers, rtol=1e-5, atol=1e-9)
        assert found["NaN"] == found["Inf"] == 0
    expect(explorer.locator(".xw-histogram")).to_have_count(6)  # and of the bias, twice


def test_a_bad_initialisation_dead_units_and_singular_values_are_told(shown):
    page, explorer = shown
    values_view(page, explorer, "0")
    expect(explorer.locator(".xw-warning")).to_contain_text("signals shrink in this layer")
    explorer.get_by_role("button", name="Spectral norm and rank").click()
    largest = told(page, "float(torch.linalg.svdvals(model[0].weight.detach().flatten(1))[0])")
    expect(explorer.get_by_role("region", name="Spectrum")).to_contain_text(f"{largest:.4g}"[:5])
    values_view(page, explorer, "2.1")
    explorer.get_by_role("button", name="Count over the samples").click()
    dead = told(
        page,
        "[n for n in range(8) if all(float(live.activation('2.1', i)[0, n].abs().max()) == 0"
        " for i in range(12))]",
    )
    assert 3 in dead
    said = explorer.get_by_role("region", name="Dead units")
    expect(said).to_contain_text(f"{len(dead)} of 8 units")
    expect(said).to_contain_text("units " + ", ".join(map(str, dead)))


def test_a_forward_that_fails_is_told_with_its_shapes_and_the_table_stays(opened):
    index = opened.start(BROKEN)
    opened.finish(index)
    explorer = opened.explorer(1)
    expect(explorer.locator(".xw-failure")).to_contain_text("linear of [1 × 64] and [10 × 100]")
    explorer.locator(".xw-failure").get_by_role("button", name="head").click()
    expect(row(explorer, "head")).to_have_attribute("aria-selected", "true")
    opened.run_until("broken.layer_name", "'head'")
    opened.run("broken.close()")
    opened.delete_cells(index)
