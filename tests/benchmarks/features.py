"""The feature explorer on VGG16, side by side with what a user would write; see README.md.

python tests/benchmarks/features.py [--rounds 20] [--changes 12] [--threads 1] [--only kernel lab]

Seconds in the kernel are those of its thread (with ``--threads 1`` all that is computed), so that
what else runs on the machine counts less; each is the least of its rounds.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "tests/unit"), str(ROOT / "tests/browser")]

import torch  # noqa: E402
from by_hand import all_layers_by_captum, grid_by_imshow, grid_by_subplots  # noqa: E402
from clocks import least  # noqa: E402
from instruments import FRAME, INIT, PING  # noqa: E402
from lab import Measure, Notebook, chromium, jupyterlab, notebook  # noqa: E402
from small_networks import Vgg16  # noqa: E402

import explain_widgets as xw  # noqa: E402
from explain_widgets.widgets.features.answers import FeatureAnswers  # noqa: E402
from explain_widgets.widgets.protocol import Request, pack  # noqa: E402

# Name of the layer, size that maps are drawn with, seconds that are aimed at.
MOSAICS = {"64 × 224²": ("features.0", 96, 10e-3), "512 × 28²": ("features.17", 28, 1e-3)}
MOST_BYTES = 400 * 1024
MEMORY = "40MB"


@dataclass(frozen=True)
class Row:
    """One line of the table; of a ratio ``ours`` is 1."""

    what: str
    ours: str
    other: str = ""
    ratio: float | None = None
    aim: str = ""
    is_met: bool | None = None

    def cells(self) -> list[str]:
        met = {None: "", True: " (met)", False: " (MISSED)"}[self.is_met]
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}"
        return [self.what, self.ours, self.other, ratio, self.aim + met]


def vgg16() -> torch.nn.Module:
    torch.manual_seed(0)
    return Vgg16(narrow=1, classes=1000).eval()


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


# --- in the kernel ----------------------------------------------------------------------------


class Asked:
    """An explorer's answers without a browser, and how often its model ran."""

    def __init__(self, model: torch.nn.Module, images: torch.Tensor, **options: Any) -> None:
        self.forwards = 0

        def forward(module: torch.nn.Module, *args: Any) -> Any:
            self.forwards += 1
            return module(*args)

        self.live = xw.LiveModel(model, images, forward=forward, **options)
        self._answers = FeatureAnswers(self.live)
        self.layers = {layer.name: n for n, layer in enumerate(self._answers.layers)}

    def ask(self, kind: str, layer: str, **selection: Any) -> bytes:
        place = {"sample": 0, "layer": self.layers[layer], "show": "activation"}
        request = Request("bench:1", kind, {**place, **selection}, 0)
        *_, reply = (reply for reply in self._answers.to(request) if reply is not None)
        return pack(reply, 0)[1]

    def maps(self, layer: str, size: int, order: str = "index", count: int = 512) -> bytes:
        asked = {"order": order, "scale": "layer", "from": 0, "count": count, "size": [size, size]}
        return self.ask("maps", layer, **asked)


def mosaics(asked: Asked, rounds: int) -> Iterator[Row]:
    """A page of all maps of a layer: what is sent to the browser, or a picture of matplotlib."""
    for title, (layer, size, aim) in MOSAICS.items():
        maps = asked.live.activation(layer)[0].numpy()
        ours = least(lambda: asked.maps(layer, size), rounds)  # noqa: B023
        contenders = {
            "make_grid and imshow": (grid_by_imshow, 3),
            "subplots": (grid_by_subplots, 1),
        }
        for name, (draw, times) in contenders.items():
            other = least(lambda: draw(maps), times, warm=times > 1)  # noqa: B023
            yield Row(
                f"mosaic {title}, {name}",
                milliseconds(ours),
                milliseconds(other),
                other / ours,
                f"≤ {milliseconds(aim)}",
                ours <= aim,
            )
        size_of_page = len(asked.maps(layer, size))
        yield Row(
            f"bytes of the page {title}",
            f"{size_of_page:,}",
            f"{maps.nbytes:,} (float32)",
            maps.nbytes / size_of_page,
            f"≤ {MOST_BYTES:,}",
            size_of_page <= MOST_BYTES,
        )


def readings(model: torch.nn.Module, images: torch.Tensor, rounds: int) -> Iterator[Row]:
    """The activations of all layers, and the first forward."""
    live = xw.LiveModel(model, images)
    names = [layer.name for layer in live.feature_layers() if layer.name]

    def ours() -> list[torch.Tensor]:
        live.refresh()
        return [live.activation(name) for name in names]

    def plain() -> None:
        with torch.no_grad():
            model(images[:1])

    captum = least(lambda: all_layers_by_captum(model, images[:1], names), 1)
    one = least(ours, max(2, rounds // 5))
    yield Row(
        f"activations of {len(names)} layers, Captum's LayerActivation one by one",
        milliseconds(one),
        milliseconds(captum),
        captum / one,
    )
    bare = least(plain, max(2, rounds // 5))
    yield Row(
        "first forward, all layers read; the bare forward",
        milliseconds(one),
        milliseconds(bare),
        bare / one,
    )


def counts(asked: Asked) -> Iterator[Row]:
    """Forwards after the first picture, which takes one more to see where maps lie on the input."""
    asked.ask("channel", "features.0", channel=0)
    before = asked.forwards
    for layer in asked.layers:
        for order in ("index", "mean", "maximum", "zeros"):
            asked.maps(layer, 96, order, count=64)
        asked.ask("channel", layer, channel=3)
    more = asked.forwards - before
    yield Row("forwards for another layer, channel, order", str(more), "", None, "0", more == 0)


def bounded(model: torch.nn.Module, images: torch.Tensor) -> Row:
    """What is held after all layers were looked at, where they do not all fit."""
    asked = Asked(model, images, memory=MEMORY)
    most = 0
    for layer in asked.layers:
        asked.maps(layer, 96, count=64)
        most = max(most, asked.live._store.used)
    limit = asked.live._store.limit
    every = sum(asked.live.activation(layer).nbytes for layer in asked.layers)
    text = f"memory={MEMORY!r}: most that was held; all activations"
    held = [f"{value / 1e6:.1f} MB" for value in (most, every)]
    return Row(text, *held, every / most, f"≤ {limit / 1e6:.0f} MB", most <= limit)


def in_the_kernel(rounds: int) -> list[Row]:
    model, images = vgg16(), torch.randn(2, 3, 224, 224)
    asked = Asked(model, images)
    return [
        *mosaics(asked, rounds),
        *readings(model, images, rounds),
        *counts(asked),
        bounded(model, images),
    ]


# --- in JupyterLab ----------------------------------------------------------------------------

SETUP = f"""
import sys, torch
sys.path.insert(0, {str(ROOT / "tests/unit")!r})
from small_networks import Vgg16
import explain_widgets as xw
torch.manual_seed(0)
torch.set_num_threads({{threads}})
explorer = xw.FeatureExplorer(
    Vgg16(narrow=1, classes=1000).eval(), torch.randn(2, 3, 224, 224), layer_name="features.4"
)
"""

# What no change can do without: a key, a request, as many bytes back, one canvas drawn.
LEAST = """
import anywidget

class Least(anywidget.AnyWidget):
    _esm = '''
    export default { render({ model, el }) {
        const canvas = document.createElement("canvas");
        canvas.className = "xw-least";
        canvas.tabIndex = 0;
        el.append(canvas);
        let began = 0;
        canvas.addEventListener("keydown", (event) => {
            event.preventDefault();
            event.stopPropagation();
            began = event.timeStamp;
            model.send({ bytes: window.xwLeast.bytes });
        });
        model.on("msg:custom", (_, [{ buffer, byteOffset, byteLength }]) => {
            const { width, height } = window.xwLeast;
            const bytes = new Uint8Array(buffer, byteOffset, byteLength);
            [canvas.width, canvas.height] = [width, height];
            const context = canvas.getContext("2d", { willReadFrequently: true });
            const image = context.createImageData(width, height);
            const out = new Uint32Array(image.data.buffer);
            out.forEach((_, at) => { out[at] = 0xff000000 | bytes[at % byteLength]; });
            context.putImageData(image, 0, 0);
            requestAnimationFrame(() => requestAnimationFrame(() => {
                const end = performance.now();
                performance.measure("explain_widgets:least", { start: began, end });
            }));
        });
    } };
    '''

    def __init__(self):
        super().__init__()
        self.on_msg(lambda _, message, __: self.send({}, [bytes(message["bytes"])]))

Least()
"""


# Another one among the first twenty layers: far enough from what was read lately.
OTHER = """(list) => {
    const options = [...list.children];
    return (options.findIndex((option) => option.ariaSelected === "true") + 7) % 20;
}"""
# As a click does, without a pointer that comes near it: it would be read ahead as well.
JUMP = f"(list) => list.children[({OTHER})(list)].click()"
HOVERED = 200  # milliseconds that a pointer is on a layer before the click


@contextmanager
def opened(threads: int) -> Iterator[Notebook]:
    with (
        tempfile.TemporaryDirectory(prefix="xw-bench-") as folder,
        jupyterlab(Path(folder) / "lab") as lab,
        chromium() as browser,
    ):
        path = lab.write("vgg16.ipynb", SETUP.format(threads=threads), "explorer", LEAST)
        with notebook(lab, browser, path, prepare=lambda page: page.add_init_script(INIT)) as page:
            page.run_all()
            yield page


def in_the_lab(changes: int, threads: int) -> list[Row]:
    """Another layer, from the control's event to the paint, beside a bare round trip.

    A layer further by its key and one that is clicked, which the widget has read ahead while it
    was idle, and a jump to one that it has not, beside the least that a change can be, in turns.
    """
    view = "application/vnd.jupyter.widget-view+json"
    with opened(threads) as page:
        explorer = page.explorer()
        (comm,) = (o["data"][view]["model_id"] for o in page.outputs(1) if view in o["data"])
        frame = page.page.evaluate(FRAME)
        layers = explorer.get_by_role("listbox", name="Layers")
        sheet = explorer.locator(".xw-maps-picture").evaluate("(it) => [it.width, it.height]")
        steps, clicks, jumps, kernel, pings, sizes, leasts = [], [], [], [], [], [], []

        def rest(milliseconds: int) -> None:
            page.page.wait_for_timeout(milliseconds + 50 * random.random())

        def measured(kind: str, change: Callable[[], object]) -> Measure:
            page.clear_measures()
            change()
            (first,) = page.wait_measures(1, kind)[:1]
            page.ready(explorer)
            rest(250)
            return first

        rest(2000)
        for number in range(changes + 1):
            layers.focus()
            step = measured("maps", lambda: layers.press("ArrowDown"))
            size = int(step.detail["bytes"])
            ping = page.page.evaluate(PING, [comm, size])
            rest(150)
            other = layers.get_by_role("option").nth(layers.evaluate(OTHER))
            other.hover()
            page.page.wait_for_timeout(HOVERED)
            click = measured("maps", other.click)
            page.page.mouse.move(0, 0)
            jump = measured("maps", lambda: layers.evaluate(JUMP))
            assert "ahead" in step.detail
            assert "ahead" not in jump.detail
            page.page.evaluate(
                "([bytes, [width, height]]) => { window.xwLeast = { bytes, width, height }; }",
                [size, sheet],
            )
            page.page.locator(".xw-least").focus()
            rest(250)
            least_change = measured("least", lambda: page.page.keyboard.press("ArrowDown"))
            if number:  # the first one is not counted
                steps.append(step.milliseconds)
                clicks.append(click.milliseconds)
                jumps.append(jump.milliseconds)
                kernel.append(jump.detail["milliseconds"])
                sizes.append(size)
                pings.append(ping)
                leasts.append(least_change.milliseconds)
    ping = statistics.median(pings)
    times = (steps, clicks, jumps, leasts)
    one, clicked, jumped, bare = (statistics.median(of) - 2 * frame for of in times)
    return [
        Row(
            "a layer further − 2 frames; a bare round trip of its bytes",
            f"{one:.1f} ms",
            f"{ping:.1f} ms",
            ping / one,
            "≤ 1.5 round trips",
            one / ping <= 1.5,
        ),
        Row(
            f"a click {HOVERED} ms after the pointer came there − 2 frames; the same",
            f"{clicked:.1f} ms",
            f"{ping:.1f} ms",
            ping / clicked,
            "≤ 1.5 round trips",
            clicked / ping <= 1.5,
        ),
        Row(
            "a jump to another layer − 2 frames; the same",
            f"{jumped:.1f} ms",
            f"{ping:.1f} ms",
            ping / jumped,
            "≤ 1.5 round trips",
            jumped / ping <= 1.5,
        ),
        Row(
            "a jump − 2 frames; as many bytes onto one canvas, nothing else",
            f"{jumped:.1f} ms",
            f"{bare:.1f} ms",
            bare / jumped,
        ),
        Row(
            "of a jump in the kernel; two frames; kB of a page",
            f"{statistics.median(kernel):.1f} ms",
            f"{2 * frame:.1f} ms; {statistics.median(sizes) / 1e3:.0f} kB",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--changes", type=int, default=12, help="layer changes in the browser")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=["kernel", "lab"], default=["kernel", "lab"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = os.getloadavg()[0]
    rows = in_the_kernel(options.rounds) if "kernel" in options.only else []
    if "lab" in options.only:
        rows += in_the_lab(options.changes, options.threads)
    print(f"{date.today()}, {os.cpu_count()} cores, {options.threads} threads,", end=" ")  # noqa: DTZ011
    print(f"load {before:.1f} before and {os.getloadavg()[0]:.1f} after\n")
    head = ["what", "ours", "other", "other ÷ ours", "aim"]
    for cells in (head, ["---"] * len(head), *(row.cells() for row in rows)):
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
