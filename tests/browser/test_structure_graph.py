"""The graph of the structure explorer as a user meets it: a GPT-2 in a real JupyterLab."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from lab import Notebook, notebook
from playwright.sync_api import Locator, expect

from explain_widgets.pictures.colormaps import colour_table

SETUP = """
import json, torch
import explain_widgets as xw
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
config = GPT2Config(n_layer=5, n_embd=32, n_head=4, vocab_size=99, n_positions=32)
model = GPT2LMHeadModel(config).eval()
live = xw.LiveModel(model, {"input_ids": torch.randint(0, 99, (1, 7))})
explorer = xw.StructureExplorer(live)
"""
BLOCK = "transformer.h.0"


@pytest.fixture(scope="module")
def opened(lab, browser) -> Iterator[Notebook]:
    """A notebook with an explorer."""
    with notebook(lab, browser, lab.write("structure-graph.ipynb", SETUP, "explorer")) as page:
        page.run_all()
        yield page


@pytest.fixture
def shown(opened: Notebook) -> tuple[Notebook, Locator]:
    """That notebook and its explorer: the model open, its blocks closed."""
    opened.run(
        "explorer.overlay, explorer.layer_name, explorer.instances = '', '', {}\n"
        "explorer.graph = 'forward'\n"
        "explorer.opened = ['', 'transformer']"
    )
    explorer = opened.explorer()
    expect(box(explorer, BLOCK)).to_have_attribute("aria-expanded", "false")
    return opened, explorer


def told(page: Notebook, code: str) -> Any:
    return json.loads(page.run(f"print(json.dumps({code}))"))


def box(explorer: Locator, identity: str) -> Locator:
    return explorer.locator(f'[role="treeitem"][data-id="{identity}"]')


def open_block(explorer: Locator) -> None:
    explorer.get_by_role("button", name="Fit").click()
    box(explorer, BLOCK).locator(".xw-graph-triangle").click()
    expect(box(explorer, BLOCK)).to_have_attribute("aria-expanded", "true")


def test_a_folded_block_opens_with_the_names_and_shapes_of_the_model(shown):
    page, explorer = shown
    expect(box(explorer, BLOCK).locator(".xw-graph-times")).to_have_text("× 5")
    open_block(explorer)
    children = told(page, "[name for name, _ in model.transformer.h[0].named_children()]")
    rows = told(
        page, "{row.name: row.output_shapes[0] for row in live.summary().rows if row.calls}"
    )
    for name in children:
        expect(box(explorer, f"{BLOCK}.{name}")).to_contain_text(name)
        line = explorer.locator(f'[data-from="{BLOCK}.{name}"] title').first
        assert line.text_content() == " × ".join(map(str, rows[f"{BLOCK}.{name}"]))
    # As the model runs: attention after the first norm, and around both the sum.
    edges = explorer.locator(".xw-graph-line").evaluate_all(
        "(all) => all.map(({ dataset }) => [dataset.from, dataset.to])"
    )
    assert [f"{BLOCK}.ln_1", f"{BLOCK}.attn"] in edges
    assert told(page, "explorer.opened")[-1] == BLOCK


def test_opening_does_not_move_the_box_under_the_pointer(shown):
    _, explorer = shown
    explorer.get_by_role("button", name="Fit").click()
    before = box(explorer, BLOCK).locator(".xw-graph-ground").bounding_box()
    box(explorer, BLOCK).locator(".xw-graph-triangle").click()
    expect(box(explorer, BLOCK)).to_have_attribute("aria-expanded", "true")
    after = box(explorer, BLOCK).locator(".xw-graph-room").bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["x"] - before["x"]) < 1.5
    assert abs(after["y"] - before["y"]) < 1.5


def test_picking_sets_the_layer_and_the_layer_is_marked(shown):
    page, explorer = shown
    explorer.get_by_role("button", name="Fit").click()
    box(explorer, "lm_head").click()
    expect(box(explorer, "lm_head")).to_have_attribute("aria-selected", "true")
    page.ready(explorer)
    page.run_until("explorer.layer_name", "'lm_head'")
    page.run("explorer.layer_name = 'transformer.h.3.mlp'")
    expect(box(explorer, BLOCK).locator(".xw-graph-picked.xw-inside")).to_have_count(1)
    explorer.get_by_role("button", name="Show picked").click()
    expect(box(explorer, "transformer.h.3.mlp")).to_have_attribute("aria-selected", "true")
    assert told(page, "list(explorer.instances.values())") == [3]


def test_any_of_the_blocks_can_be_shown(shown):
    page, explorer = shown
    tree = explorer.get_by_role("tree")
    tree.focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        tree.press(key)
    page.run("explorer.layer_name = 'transformer.h.0'")
    picker = explorer.get_by_role("spinbutton", name=re.compile(r"of h\.0, 0 to 4"))
    picker.fill("4")
    picker.press("Enter")
    expect(box(explorer, "transformer.h.4")).to_contain_text("h.4")
    page.ready(explorer)
    assert told(page, "list(explorer.instances.values())") == [4]
    expect(box(explorer, BLOCK)).to_have_count(0)


def test_an_overlay_colours_the_boxes_by_the_numbers_of_the_model(shown):
    page, explorer = shown
    page.run("explorer.overlay = 'parameters'")
    expect(explorer.locator('[role="treeitem"] .xw-graph-ground[style*="rgb"]')).not_to_have_count(
        0
    )
    counts = told(page, "{row.name: row.parameters for row in live.summary().rows}")
    table = colour_table(page.run("explorer.colormap").strip("'")).reshape(256, 3)
    # The most parameters are in the model itself: the end of the colours.
    fill = box(explorer, "").locator(".xw-graph-title").evaluate("(one) => one.style.fill")
    red, green, blue = (int(part) for part in re.findall(r"\d+", fill))
    assert max(counts.values()) == counts[""]
    assert (red, green, blue) == tuple(int(part) for part in table[254])


def test_the_backward_graph_has_autograds_functions_in_the_modules_that_made_them(shown):
    page, explorer = shown
    explorer.get_by_role("radiogroup", name="Graph of").get_by_text("Backward").click()
    # What is differentiated stands above all, and is called so.
    expect(box(explorer, "(input)")).to_contain_text("target")
    page.run("explorer.opened = ['', 'lm_head']")
    expect(box(explorer, "lm_head")).to_have_attribute("aria-expanded", "true")
    made = told(page, "model(**live.samples[0].kwargs).logits.grad_fn.next_functions[0][0].name()")
    page.run("view = live.backward_graph(target=explorer.target).view(['', 'lm_head'])")
    boxes = told(page, "[[b.id, b.label, b.parent] for b in view.boxes]")
    assert made in [label for _, label, _ in boxes]
    for identity, label, _ in boxes:
        expect(box(explorer, identity)).to_contain_text(label)
    expect(explorer.get_by_role("treeitem")).to_have_count(len(boxes))
    edges = explorer.locator(".xw-graph-line").evaluate_all(
        "(all) => all.map(({ dataset }) => [dataset.from, dataset.to])"
    )
    inside = {identity for identity, _, parent in boxes if parent == "lm_head"}
    expected = told(page, "[[e.source, e.target] for e in view.edges]")
    expected = [edge for edge in expected if inside.issuperset(edge)]
    assert len(expected) >= 4
    assert all(edge in edges for edge in expected)
    explorer.get_by_role("radiogroup", name="Graph of").get_by_text("Forward").click()
    expect(box(explorer, "(input)")).to_contain_text("input")


def test_the_graph_is_saved_as_a_picture_that_stands_by_itself(shown):
    page, explorer = shown
    open_block(explorer)
    with page.page.expect_download() as download:
        explorer.get_by_role("button", name="Save SVG").click()
    assert download.value.suggested_filename == "gpt2lmheadmodel-graph.svg"
    text = download.value.path().read_text("utf-8")
    for name in ("GPT2LMHeadModel", "h.0", "ln_1", "attn", "mlp", "lm_head", "1 × 7 × 32"):
        assert f">{name}<" in text
    assert not re.search(r"var\(|class=|<script|foreignObject", text)
    with page.page.expect_download() as download:
        explorer.get_by_role("button", name="Save PNG").click()
    assert download.value.path().read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("width", [500, 1400])
def test_narrow_and_wide_nothing_sticks_out(shown, width):
    page, explorer = shown
    page.page.set_viewport_size({"width": width + 140, "height": 1100})
    page.ready(explorer)
    assert explorer.evaluate("(root) => root.scrollWidth <= root.clientWidth + 1")
    drawn = explorer.get_by_role("tree").bounding_box()
    assert drawn is not None
    assert drawn["height"] > 250
    page.page.set_viewport_size({"width": 1280, "height": 1100})
