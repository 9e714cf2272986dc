"""The harness itself, on a widget of a few lines: if these fail, look here first."""

from __future__ import annotations

import numpy as np
import pytest
from lab import LabError
from playwright.sync_api import expect

WIDGET = '''
import anywidget, traitlets

class Probe(anywidget.AnyWidget):
    value = traitlets.Int(3).tag(sync=True)
    _esm = """
    export default { render({ model, el }) {
        el.innerHTML = `<div class="xw-explorer"><canvas width=4 height=2></canvas>
            <input type="range" aria-label="Value" min=0 max=9></div>`;
        const [canvas, slider] = [el.querySelector("canvas"), el.querySelector("input")];
        const draw = () => {
            const context = canvas.getContext("2d");
            context.fillStyle = `rgb(${model.get("value") * 10}, 20, 30)`;
            context.fillRect(0, 0, 4, 2);
            el.firstChild.dataset.state = "ready";
        };
        slider.value = model.get("value");
        slider.dataset.lmSuppressShortcuts = "true";  // else the arrow keys are JupyterLab's
        slider.addEventListener("input", () => {
            const start = performance.now();
            model.set("value", Number(slider.value));
            model.save_changes();
            performance.measure("explain_widgets:probe", { start, detail: { bytes: 8 } });
        });
        model.on("change:value", draw);
        draw();
    } };
    """

probe = Probe()
probe
'''


def test_a_widget_is_driven_and_its_pixels_are_read(lab, open_notebook):
    page = open_notebook(lab.write("probe.ipynb", WIDGET, "40 + 2"), theme="dark")
    page.run_all()
    explorer = page.explorer()
    canvas = explorer.locator("canvas")
    assert np.array_equal(page.pixels(canvas), np.full((2, 4, 4), [30, 20, 30, 255]))

    page.clear_measures()
    slider = explorer.get_by_role("slider", name="Value")
    slider.focus()
    slider.press("ArrowRight")
    (measure,) = page.wait_measures(1, "probe")
    assert measure.detail == {"bytes": 8}
    assert (page.pixels(canvas) == [40, 20, 30, 255]).all()
    assert page.run("print(probe.value); 'text'") == "4\n'text'"
    assert page.page.locator("body").get_attribute("data-jp-theme-light") == "false"


def test_an_error_of_a_cell_is_raised(prepare):
    page = prepare("'no error yet'")
    with pytest.raises(LabError, match="no such name"):
        page.run("raise NameError('no such name')")
    page.delete_cells(1)
    page.finish(page.start("4 / 2"))
    page.run_all()
    with pytest.raises(LabError, match="ZeroDivisionError"):
        page.run("1 / 0")
    with pytest.raises(LabError, match="ZeroDivisionError"):
        page.run_all()


def test_the_kernel_restarts_and_dies(lab, open_notebook):
    page = open_notebook(lab.write("restart.ipynb", "kept = 1"), theme="light")
    page.run_all()
    assert page.run("kept") == "1"
    page.restart_kernel()
    assert page.run("'kept' in globals()") == "False"
    page.kill_kernel()
    expect(page.page.get_by_text("No Kernel").first).to_be_visible()
    assert page.page.locator("body").get_attribute("data-jp-theme-light") == "true"
