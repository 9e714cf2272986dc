"""One look at attention, side by side: ours, interact + imshow, BertViz; see README.md.

python tests/benchmarks/attention.py [--tokens 32 128 512] [--only ours interact bertviz]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from contenders import INTERACT, OURS, Contender, NotAvailableError, bertviz
from instruments import (
    BYTES,
    CHANGED,
    FIRST,
    FRAME,
    INIT,
    PAINTED,
    PICK_LAYER,
    PING,
    WATCH_PICTURE,
    WATCH_POINTER,
)
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/browser"))

from lab import Lab, LabError, Notebook, chromium, jupyterlab, notebook  # noqa: E402

PATIENCE = 120.0
PADDED = 66_000
# what a picture of 512 tokens has
PICTURE = 266_000
# milliseconds after which a page that was just loaded, and what ran before, is quiet
SETTLED = 2000
# one layer of BertViz takes seconds from 128 tokens on
MOST_LAYER_CHANGES = 5


@dataclass
class Result:
    """What one contender did with one input; times in milliseconds, memory in bytes."""

    contender: Contender
    tokens: int
    values: dict[str, float] = field(default_factory=dict)
    failure: str = ""
    notes: list[str] = field(default_factory=list)
    own_pings: dict[int, list[float]] = field(default_factory=dict)
    """Of the widget's own calibration: milliseconds by bytes."""


# --- one contender ----------------------------------------------------------------------------


def measure(lab: Lab, browser: Browser, contender: Contender, tokens: int, changes: int) -> Result:
    """Run one contender in a fresh kernel; what goes wrong is a result."""
    result = Result(contender, tokens)
    path = lab.write(f"{contender.name}-{tokens}.ipynb")
    crashed: list[bool] = []

    def prepare(page: Page) -> None:
        page.add_init_script(INIT)
        page.on("crash", lambda _: crashed.append(True))
        contender.prepare(page)

    with notebook(lab, browser, path, prepare=prepare) as page:
        try:
            _measure(page, result, changes)
        except PlaywrightTimeoutError:
            result.failure = "crash" if crashed else f"none in {PATIENCE:.0f} s"
        except PlaywrightError as error:
            if not crashed:
                raise
            result.failure = "crash"
            result.notes.append(str(error).splitlines()[0])
        except LabError as error:
            result.failure = "error"
            result.notes.append(str(error).strip().splitlines()[-1])
        if result.failure:
            _usage_without_page(lab, result)
            page.page.close()  # a page that is gone or busy answers nothing
    for session in lab.ask("GET", "api/sessions"):
        lab.ask("DELETE", f"api/sessions/{session['id']}")
    return result


def _measure(page: Notebook, result: Result, changes: int) -> None:
    contender, values = result.contender, result.values
    if contender.name == "bertviz" and contender.scripts:
        # BertViz's own cell asks for it, too late for its next line where it is not there yet
        page.page.add_script_tag(path=contender.scripts[0])
    page.run(contender.setup(result.tokens))
    page.page.wait_for_timeout(SETTLED)
    values["forward"] = float(page.run("print(kit.forward_seconds(model, tokens) * 1000)"))
    values["frame"] = page.page.evaluate(FRAME)
    page.delete_cells(0)  # so that the picture is in view and the saved notebook holds it alone
    page.wait_idle()
    usage = json.loads((page.lab.files / "usage.json").read_text("utf-8"))
    values.update(cpu_before=usage["cpu"], rss_before=usage["rss"])

    page.page.evaluate("drawn => window.xwBench.watch(eval(drawn))", contender.drawn)
    bytes_before = page.page.evaluate(BYTES)
    index = page.start(contender.cell)
    _wait(page, PAINTED, PATIENCE)
    values["first"], received = page.page.evaluate(FIRST)
    values["first_bytes"] = received - bytes_before
    page.finish(index)
    page.wait_idle()
    if contender is OURS:
        _complete(page, result)
    _use_first_cpu(page, result)
    page.delete_cells(index + 1)
    CHANGES[contender.name](page, result, changes)
    page.run("")
    usage = json.loads((page.lab.files / "usage.json").read_text("utf-8"))
    values["rss"] = usage["rss"] - values.pop("rss_before")
    page.delete_cells(index + 1)
    values["saved"] = page.save().stat().st_size


def _wait(page: Notebook, condition: str, seconds: float) -> None:
    page.page.wait_for_function(condition, timeout=seconds * 1000)


def _settle(page: Notebook) -> None:
    """Wait a little, not in step with the frames, as a hand does."""
    page.page.wait_for_timeout(150 + 50 * random.random())


def _use_first_cpu(page: Notebook, result: Result) -> None:
    """CPU of the cell and of what the first picture asked for afterwards."""
    page.run("")
    usage = json.loads((page.lab.files / "usage.json").read_text("utf-8"))
    result.values["cpu"] = usage["cpu"] - result.values["cpu_before"]


def _usage_without_page(lab: Lab, result: Result) -> None:
    """Wait until the cell is over, whatever became of the page."""
    values = result.values
    file = lab.files / "usage.json"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and file.exists():
        usage = json.loads(file.read_text("utf-8"))
        if usage["cpu"] - values.get("cpu_before", usage["cpu"]) > 0.01:
            values["cpu"] = usage["cpu"] - values["cpu_before"]
            values["rss"] = usage["rss"] - values.pop("rss_before")
            return
        time.sleep(0.5)


def _summarise(result: Result, name: str, milliseconds: list[float]) -> None:
    ordered = sorted(milliseconds)
    result.values[name] = statistics.median(ordered)
    result.values[f"{name}_p90"] = ordered[round(0.9 * (len(ordered) - 1))]
    result.values[f"{name}_least"] = ordered[0]


def _complete(page: Notebook, result: Result) -> None:
    """Wait for what follows the first picture: the grid of heads and the calibration."""
    values = result.values
    page.explorer()
    for ping in page.wait_measures(6, "ping"):
        result.own_pings.setdefault(ping.detail["bytes"], []).append(ping.milliseconds)
    (grid,) = page.measures("grid")
    values["all"] = grid.start + grid.milliseconds - page.page.evaluate("window.xwTestStarted")
    static = ROOT / "explain_widgets/static"
    sent_once = sum(
        len(json.dumps((static / name).read_text("utf-8"), ensure_ascii=False).encode())
        for name in ("attention.js", "attention.css")
    )
    values["first_bytes_later"] = values["first_bytes"] - sent_once


def _change_ours(page: Notebook, result: Result, changes: int) -> None:
    values = result.values
    explorer = page.explorer()
    view = "application/vnd.jupyter.widget-view+json"
    (comm,) = (o["data"][view]["model_id"] for o in page.outputs(-1) if view in o["data"])
    slider = explorer.get_by_role("slider", name="Head", exact=True)
    page.ready(explorer)
    slider.focus()
    _ping(page, comm, 0)
    page.clear_measures()
    received, small, padded, large = 0.0, [], [], []
    for number in range(changes):
        _settle(page)
        before = page.page.evaluate(BYTES)
        slider.press("ArrowRight" if number % 22 < 11 else "ArrowLeft")
        page.wait_measures(number + 1, "head")
        page.ready(explorer)
        received += page.page.evaluate(BYTES) - before
        _settle(page)
        small.append(_ping(page, comm, 0))
        _settle(page)
        padded.append(_ping(page, comm, PADDED))
        _settle(page)
        large.append(_ping(page, comm, PICTURE))
    measured = page.measures("head")
    _summarise(result, "change", [one.milliseconds for one in measured])
    values["change_bytes"] = received / changes
    _summarise(result, "ping", small)
    _summarise(result, "ping_padded", padded)
    _summarise(result, "ping_large", large)
    _jump_ours(page, result, changes)
    page.page.evaluate(WATCH_POINTER)
    _hover_ours(page, result, changes)


def _jump_ours(page: Notebook, result: Result, changes: int) -> None:
    """Change the layer there and back, away from where the widget has read ahead."""
    explorer = page.explorer()
    layer = explorer.get_by_role("slider", name="Layer", exact=True)
    times, kernel = [], []
    for number in range(changes):
        for name in ("Home", "End"):
            explorer.get_by_role("slider", name="Head", exact=True).press(name)
            page.ready(explorer)
        _settle(page)
        layer.focus()
        page.clear_measures()
        layer.press("ArrowRight" if number % 10 < 5 else "ArrowLeft")
        (one,) = page.wait_measures(1, "head")
        if "ahead" not in one.detail:
            times.append(one.milliseconds)
            kernel.append(one.detail["milliseconds"])
        page.ready(explorer)
    _summarise(result, "jump", times)
    result.values["jump_kernel"] = statistics.median(kernel)


def _ping(page: Notebook, comm: str, pad: int) -> float:
    return float(page.page.evaluate(PING, [comm, pad]))


def _hover_ours(page: Notebook, result: Result, changes: int) -> None:
    """Put the mouse on rows that were not read yet; each is asked for anew."""
    box = page.explorer().locator("canvas[data-selection]").bounding_box()
    assert box is not None
    rows = min(changes, result.tokens - 2)
    delays, requests, kernel = [], [], []
    for number in range(rows):
        _settle(page)
        page.clear_measures()
        page.page.evaluate("() => { window.xwBench.pointer = []; }")
        row = int((number + 0.5) / rows * result.tokens)
        page.page.mouse.move(
            box["x"] + box["width"] * 0.37, box["y"] + box["height"] * (row + 0.5) / result.tokens
        )
        try:
            (one,) = page.wait_measures(1, "row", seconds=2)
        except PlaywrightTimeoutError:
            continue  # this row is the query's, which is known
        moved = page.page.evaluate("window.xwBench.pointer[0]")
        requests.append(one.milliseconds)
        kernel.append(one.detail["milliseconds"])
        delays.append(one.start + one.milliseconds - moved)
    _summarise(result, "hover", delays)
    _summarise(result, "hover_row", requests)
    result.values["hover_kernel"] = statistics.median(kernel)


def _change_interact(page: Notebook, result: Result, changes: int) -> None:
    slider = page.page.locator(".jp-OutputArea [role=slider]").nth(1)
    slider.scroll_into_view_if_needed()
    slider.focus()
    times, received = [], 0.0
    for number in range(changes):
        _settle(page)
        before = page.page.evaluate(BYTES)
        page.page.evaluate(WATCH_PICTURE)
        slider.press("ArrowRight" if number % 22 < 11 else "ArrowLeft")
        _wait(page, PAINTED, PATIENCE)
        times.append(page.page.evaluate(CHANGED))
        page.wait_idle()
        received += page.page.evaluate(BYTES) - before
    _summarise(result, "change", times)
    result.values["change_bytes"] = received / changes


def _change_bertviz(page: Notebook, result: Result, changes: int) -> None:
    before = page.page.evaluate(BYTES)
    times = []
    for number in range(min(changes, MOST_LAYER_CHANGES)):
        _settle(page)
        times.append(page.page.evaluate(PICK_LAYER, 1 + number % 5))
    _summarise(result, "change", times)
    result.values["change_bytes"] = (page.page.evaluate(BYTES) - before) / len(times)


CHANGES: dict[str, Callable[[Notebook, Result, int], None]] = {
    "ours": _change_ours,
    "interact": _change_interact,
    "bertviz": _change_bertviz,
}


# --- the tables -------------------------------------------------------------------------------


def _bytes(value: float) -> str:
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f} B"


def _milliseconds(value: float) -> str:
    return f"{value / 1000:.1f} s" if value >= 10_000 else f"{value:.0f} ms"


COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "forward": ("forward", _milliseconds),
    "first": ("first picture", _milliseconds),
    "over_forward": ("− forward", _milliseconds),
    "all": ("with the grid", _milliseconds),
    "first_bytes": ("bytes first", _bytes),
    "first_bytes_later": ("w/o bundle", _bytes),
    "change": ("change", _milliseconds),
    "change_p90": ("p90", _milliseconds),
    "jump": ("jump", _milliseconds),
    "change_bytes": ("bytes", _bytes),
    "hover": ("hover", _milliseconds),
    "hover_p90": ("p90 ", _milliseconds),
    "cpu": ("kernel CPU", "{:.2f} s".format),
    "rss": ("kernel memory", _bytes),
    "saved": ("notebook", _bytes),
}
RATIOS = ("first", "over_forward", "first_bytes", "change", "change_bytes", "cpu", "rss", "saved")


def finish(result: Result) -> None:
    """Derive what is the difference of measured values."""
    values = result.values
    if "first" in values:
        values["over_forward"] = values["first"] - values["forward"]
    frames = 2 * values.get("frame", 0)
    if "ping" in values:
        bare = min(values["ping"], values["ping_padded"])
        for name in ("change", "jump", "hover"):
            values[f"{name}_ratio"] = (values[name] - frames) / bare
            values[f"{name}_ratio_padded"] = (values[name] - frames) / values["ping_padded"]


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Print a table that is also Markdown."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print("|", " | ".join(cells), "|")
    print()


def absolute(results: list[Result]) -> None:
    """Print what was measured."""
    rows = []
    for result in results:
        cells = [str(result.tokens), result.contender.label]
        for name, (_, form) in COLUMNS.items():
            failed = name == "first" and result.failure
            value = result.values.get(name)
            cells.append(failed or ("—" if value is None else form(value)))
        rows.append(cells)
    print_table(["tokens", "contender", *(title for title, _ in COLUMNS.values())], rows)


def ratios(results: list[Result]) -> None:
    """Print how often ours fits into each."""
    rows = []
    for result in results:
        ours = next(
            (r.values for r in results if r.contender is OURS and r.tokens == result.tokens), {}
        )
        cells = [str(result.tokens), result.contender.label]
        for name in RATIOS:
            value, one = result.values.get(name), ours.get(name)
            failed = name == "first" and result.failure
            known = value is not None and one is not None and one > 0
            cells.append(failed or (f"{value / one:.3g}" if known else "—"))
        rows.append(cells)
    print_table(["tokens", "contender", *(COLUMNS[name][0] for name in RATIOS)], rows)


AIMS: dict[str, tuple[str, float, Callable[[float], str]]] = {
    "over_forward": ("first picture − forward", 500, _milliseconds),
    "change_bytes": ("bytes of a head change", 300e3, _bytes),
    "change_ratio": ("(head change − 2 frames) / faster bare", 1.5, "{:.2f}".format),
    "jump_ratio": ("(a head not read ahead − 2 frames) / faster bare", 1.5, "{:.2f}".format),
    "hover_ratio": ("(hovering − 2 frames) / faster bare", 1.5, "{:.2f}".format),
    "change_ratio_padded": ("head change, against the padded bare", 1.5, "{:.2f}".format),
    "hover_ratio_padded": ("hovering, against the padded bare", 1.5, "{:.2f}".format),
    "saved": ("saved notebook", 100e3, _bytes),
}


def aims(results: list[Result]) -> None:
    """Print the round trips that ours is held against, and whether it is where it should be."""
    ours = [result for result in results if result.contender is OURS and result.values]
    for result in ours:
        if "ping" not in result.values:
            continue
        v = result.values
        own = {size: statistics.median(times) for size, times in sorted(result.own_pings.items())}
        print(
            f"{result.tokens} tokens: bare round trip small {v['ping']:.1f} ms (least"
            f" {v['ping_least']:.1f}), padded {v['ping_padded']:.1f} ms (least"
            f" {v['ping_padded_least']:.1f}), with {_bytes(PICTURE)} {v['ping_large']:.1f} ms; the"
            " widget's own, one after the other:",
            ", ".join(f"{time:.1f} ms ({_bytes(size)})" for size, time in own.items()) + ".",
            f"A frame {v['frame']:.1f} ms. Head change {v['change']:.1f} ms (least"
            f" {v['change_least']:.1f}) to the next one, {v['jump']:.1f} to one that was not read"
            f" ahead ({v['jump_kernel']:.1f} of it in the kernel). Hovering"
            f" {v['hover']:.1f} ms (least {v['hover_least']:.1f}), its request"
            f" {v['hover_row']:.1f}, {v['hover_kernel']:.1f} of it in the kernel.",
        )
    print()
    rows = []
    for name, (title, most, form) in AIMS.items():
        cells = [title, f"≤ {form(most)}"]
        for result in ours:
            value = result.values.get(name)
            met = "" if value is None else " (met)" if value <= most else " (MISSED)"
            cells.append("—" if value is None else form(value) + met)
        rows.append(cells)
    print_table(["ours", "aim", *(f"{result.tokens} tokens" for result in ours)], rows)


# --- the run ----------------------------------------------------------------------------------


def _contenders(names: list[str], folder: Path) -> tuple[list[Contender], list[str]]:
    found, notes = [], []
    for name in names:
        if name == "bertviz":
            try:
                contender, sentence = bertviz(folder)
            except NotAvailableError as error:
                notes.append(str(error))
                continue
            found.append(contender)
            notes += [sentence] if sentence else []
        else:
            found.append({"ours": OURS, "interact": INTERACT}[name])
    return found, notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ["ours", "interact", "bertviz"]
    parser.add_argument("--tokens", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--changes", type=int, default=15, help="head changes of each (15)")
    parser.add_argument("--json", type=Path, help="write all values to this file as well")
    options = parser.parse_args()
    results: list[Result] = []
    load_before = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="xw-bench-") as folder,
        jupyterlab(Path(folder) / "lab") as lab,
        chromium() as browser,
    ):
        contenders, notes = _contenders(options.only, Path(folder))
        for tokens in options.tokens:
            for contender in contenders:
                result = measure(lab, browser, contender, tokens, options.changes)
                finish(result)
                said = result.failure or f"first picture {result.values['first']:.0f} ms"
                print(f"{tokens} tokens, {contender.label}: {said}", file=sys.stderr, flush=True)
                results.append(result)
    print(f"\n{date.today()}, {os.cpu_count()} cores ({platform.machine()}),", end=" ")  # noqa: DTZ011
    print(f"load {load_before:.1f} before and {os.getloadavg()[0]:.1f} after\n")
    absolute(results)
    print("Ratios (ours = 1)\n")
    ratios(results)
    aims(results)
    for result in results:
        notes += [f"{result.tokens} tokens, {result.contender.label}: {n}" for n in result.notes]
    print(*notes, sep="\n")
    if options.json is not None:
        options.json.write_text(json.dumps([_plain(result) for result in results], indent=1))


def _plain(result: Result) -> dict[str, Any]:
    where = {"contender": result.contender.name, "tokens": result.tokens}
    own = {"own_pings": result.own_pings} if result.own_pings else {}
    return {**where, "failure": result.failure, **result.values, **own}


if __name__ == "__main__":
    main()
