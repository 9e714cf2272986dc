"""A real JupyterLab in a real Chromium, for tests and benchmarks.

>>> with jupyterlab(folder) as lab, chromium() as browser:
...     path = lab.add("notebooks/quickstart.ipynb")
...     with notebook(lab, browser, path) as page:
...         page.run_all()
...         canvas = page.explorer().locator("canvas").first
...         page.pixels(canvas)

The server has folders of its own for settings, data and run time, so that it is the same on every
machine. JupyterLab's own application object, exposed in the page, opens notebooks and runs cells;
everything a test looks at or touches in a widget goes through the page, as a user would.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import numpy.typing as npt
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

ROOT = Path(__file__).resolve().parents[2]
READY = '.xw-explorer[data-state="ready"]'
MEASURES = "explain_widgets:"
SECONDS = 60.0
expect.set_options(timeout=20_000)

# without the flags about background networking, Chromium asks for hosts that no test needs
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class LabError(RuntimeError):
    """The server, the browser or a cell did not do what a test needs it to; the text says what."""


# --- the server -------------------------------------------------------------------------------


class Lab:
    """A running JupyterLab; made by `jupyterlab`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.token = secrets.token_hex(16)
        self.url = ""
        self._settings = folder / "settings"
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.files.mkdir(parents=True)
        self.set(
            "@jupyterlab/apputils-extension:notification", fetchNews="false", checkForUpdates=False
        )
        self.set("@jupyterlab/docmanager-extension:plugin", autosave=False)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.files,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and its kernels."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)

    def set(self, plugin: str, **settings: Any) -> None:
        """Write a user's settings of a plugin; a page opened afterwards has them."""
        package, name = plugin.split(":")
        file = self._settings / package / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings), "utf-8")

    def add(self, source: Path | str, name: str | None = None) -> str:
        """Copy a notebook or another file (a path in the repository) to the server's files."""
        path = ROOT / source
        target = self.files / (name or path.name)
        shutil.copy(path, target)
        return target.name

    def write(self, name: str, *cells: str) -> str:
        """Make a notebook of these code cells."""
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbformat.write(made, self.files / name)
        return name

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the server's REST interface."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def log(self) -> str:
        """Return what the server wrote."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def _command(self) -> list[str]:
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": 0,
            "ServerApp.root_dir": self.files,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.terminals_enabled": False,
            "IdentityProvider.token": self.token,
            "LabApp.expose_app_in_browser": True,
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "LabApp.extension_manager": "readonly",
        }
        return [
            *(sys.executable, "-m", "jupyterlab"),
            *(f"--{name}={value}" for name, value in options.items()),
        ]

    def _environment(self) -> dict[str, str]:
        python_path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        folders = {
            "IPYTHONDIR": "ipython",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        ours = {
            "HF_HUB_OFFLINE": "1",
            "JUPYTER_PREFER_ENV_PATH": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "PYTHONPATH": os.pathsep.join(python_path),
            **{name: str(self.folder / folder) for name, folder in folders.items()},
        }
        return {**os.environ, **ours}

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            for file in (self.folder / "runtime").glob("jpserver-*.json"):
                with contextlib.suppress(OSError, ValueError):
                    self.url = json.loads(file.read_text("utf-8"))["url"]
                    self.ask("GET", "api/status")
                    return
            time.sleep(0.05)
        raise LabError(f"JupyterLab did not start:\n{self.log()[-3000:]}")


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[Lab]:
    """Start a JupyterLab that keeps everything under ``folder``."""
    lab = Lab(folder)
    lab.start()
    try:
        yield lab
    finally:
        lab.stop()


# --- the browser ------------------------------------------------------------------------------


def chromium_program() -> str:
    """Find Chromium: ``$CHROMIUM``, else on PATH."""
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise LabError(
            f"There is no Chromium: $CHROMIUM is {named!r}, and none of {', '.join(PROGRAMS)} is on"
            " PATH. Install one (Debian: apt-get install chromium) or set CHROMIUM to its path."
        )
    return found


@contextlib.contextmanager
def chromium(**options: Any) -> Iterator[Browser]:
    """Start a headless Chromium; ``options`` are Playwright's ``launch``'s."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_program(), args=[*FLAGS, *options.pop("args", [])], **options
        )
        try:
            yield browser
        finally:
            browser.close()


# --- a notebook in it -------------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """One ``performance.measure`` of a request: from the control's change to the paint."""

    kind: str
    start: float
    milliseconds: float
    detail: Any


@contextlib.contextmanager
def notebook(
    lab: Lab,
    browser: Browser,
    path: str,
    *,
    theme: str = "light",
    size: tuple[int, int] = (1400, 1000),
    prepare: Callable[[Page], None] | None = None,
) -> Iterator[Notebook]:
    """Open a notebook of the server's files in a window of its own, with its kernel running.

    ``prepare`` gets the page before anything is loaded into it.
    """
    lab.set("@jupyterlab/apputils-extension:themes", theme=f"JupyterLab {theme.title()}")
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height})
    opened = Notebook(lab, context.new_page())
    try:
        if prepare is not None:
            prepare(opened.page)
        opened.open(path)
        yield opened
    finally:
        opened.shut_down()
        context.close()


class Notebook:
    """An open notebook; made by `notebook`. ``page`` is Playwright's page."""

    def __init__(self, lab: Lab, page: Page) -> None:
        self.lab = lab
        self.page = page
        self.path = ""
        self.console: list[str] = []
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.console.append(f"exception: {error}"))

    def open(self, path: str) -> None:
        """Load JupyterLab, with nothing open but this notebook."""
        self.path = path
        workspace = secrets.token_hex(4)
        self.page.goto(f"{self.lab.url}lab/workspaces/{workspace}?token={self.lab.token}&reset")
        self.page.wait_for_function("() => window.jupyterapp !== undefined")
        self._run(_OPEN, path)
        expect(self.page.locator(".jp-Notebook")).to_be_visible()

    # --- cells ---

    def run_all(self, seconds: float = 300) -> None:
        """Run all cells, wait until the kernel is idle; a cell's error is raised."""
        self._run(_RUN_ALL, None, seconds)
        self.wait_idle(seconds)
        for cell in self._run(_OUTPUTS):
            _text_of(cell["source"], cell["outputs"])

    def run(self, code: str, seconds: float = 120) -> str:
        """Run code in a new last cell; return what it printed and its result as text."""
        return self.finish(self.start(code), seconds)

    def run_until(self, code: str, said: str, seconds: float = 2) -> None:
        """Run code until its result is ``said``: Python hears of traits a little later."""
        deadline = time.monotonic() + seconds
        while (found := self.run(code)) != said:
            assert time.monotonic() < deadline, f"{found} is not {said}"

    def start(self, code: str) -> int:
        """Run code in a new last cell without waiting for its end; return the cell's index.

        The page's clock at that moment is left in ``window.xwTestStarted``.
        """
        return int(self._run(_START, code))

    def finish(self, index: int, seconds: float = 120) -> str:
        """Wait for the end of a cell that was started; return what it printed and its result."""
        return _text_of("", self._run(_FINISH, index, seconds))

    def wait_for_output(self, index: int, seconds: float = SECONDS) -> None:
        """Wait until a cell that was started has printed something."""
        self._run(_WAIT_OUTPUT, index, seconds)

    def delete_cells(self, start: int) -> None:
        """Delete all cells from this one on."""
        self._run(_DELETE, start)

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """Return a cell's outputs, as nbformat has them."""
        found: list[dict[str, Any]] = self._run(_OUTPUTS)[index]["outputs"]
        return found

    def wait_idle(self, seconds: float = SECONDS) -> None:
        """Wait until nothing runs in the kernel."""
        self._run(_WAIT_IDLE, None, seconds)

    def save(self) -> Path:
        """Save the notebook; return its file."""
        name = self._run(
            "async (panel) => { await panel.context.save(); return panel.context.path; }"
        )
        return self.lab.files / str(name)

    # --- widgets ---

    def explorer(self, nth: int = 0, seconds: float = SECONDS) -> Locator:
        """Scroll to the nth explorer of the page and wait until it is ready."""
        return self.ready(self.page.locator(".xw-explorer").nth(nth), seconds)

    def ready(self, explorer: Locator, seconds: float = SECONDS) -> Locator:
        """Wait until an explorer says that it is ready."""
        explorer.scroll_into_view_if_needed(timeout=seconds * 1000)
        expect(explorer).to_have_attribute("data-state", "ready", timeout=seconds * 1000)
        return explorer

    @contextlib.contextmanager
    def theme(self, name: str) -> Iterator[None]:
        """Show the page ``"light"`` or ``"dark"``; afterwards theme and size are the old ones."""
        size = self.page.viewport_size
        old = self._run(_THEME, f"JupyterLab {name.title()}")
        try:
            yield
        finally:
            self._run(_THEME, old)
            if size is not None:
                self.page.set_viewport_size(size)

    def widen(self, explorer: Locator, width: int) -> None:
        """Make the window as wide as an explorer of ``width`` pixels needs; wait for the layout."""
        self.page.set_viewport_size({"width": width + 140, "height": 1100})
        explorer.scroll_into_view_if_needed()
        explorer.evaluate(_SETTLED, [width, SECONDS * 1000])

    def cell(self, index: int) -> Locator:
        """Return a cell by its index."""
        return self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{index}"]')

    def pixels(self, canvas: Locator) -> npt.NDArray[np.uint8]:
        """Read a canvas back: an array (height, width, 4) of its own pixels, as RGBA."""
        height, width, data = canvas.evaluate(_PIXELS)
        return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)

    def measures(self, kind: str | None = None) -> list[Measure]:
        """Return what the front end measured, all requests or one kind of them."""
        entries = self.page.evaluate(_MEASURES, MEASURES)
        found = [
            Measure(name.removeprefix(MEASURES), start, duration, detail)
            for name, start, duration, detail in entries
        ]
        return [measure for measure in found if kind is None or measure.kind == kind]

    def clear_measures(self) -> None:
        """Forget what was measured."""
        self.page.evaluate("() => performance.clearMeasures()")

    def wait_measures(
        self, count: int, kind: str | None = None, seconds: float = SECONDS
    ) -> list[Measure]:
        """Wait until at least so many requests were measured since the last clearing."""
        name = MEASURES + (kind or "")
        self.page.wait_for_function(
            _COUNT, arg=[name, kind is not None, count], timeout=seconds * 1000
        )
        return self.measures(kind)

    def screenshot(self, path: Path, of: Locator | None = None) -> Path:
        """Save a picture of the page or of a part of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        (of or self.page).screenshot(path=path)
        return path

    # --- the kernel ---

    def restart_kernel(self) -> None:
        """Restart the kernel as the menu does, and wait until it is ready."""
        self._run("async (panel) => { await panel.sessionContext.session.kernel.restart(); }")
        self.wait_idle()

    def interrupt_kernel(self) -> None:
        """Interrupt the kernel, as the stop button does."""
        self._run("async (panel) => { await panel.sessionContext.session.kernel.interrupt(); }")

    def kill_kernel(self) -> None:
        """End the kernel for good, as the server sees it: the page hears that it is dead."""
        self._run("async (panel) => { await panel.sessionContext.shutdown(); }")

    def shut_down(self) -> None:
        """End this notebook's kernel, where there still is one."""
        with contextlib.suppress(PlaywrightError):
            self._run("async (panel) => { await panel?.sessionContext.shutdown(); }")

    def _run(self, script: str, argument: Any = None, seconds: float = SECONDS) -> Any:
        """Call ``script(panel, argument)`` in the page; its promise has a deadline."""
        return self.page.evaluate(
            """async ([script, argument, milliseconds]) => {
                const late = new Promise((_, reject) =>
                    setTimeout(() => reject(new Error("not done in time")), milliseconds));
                const run = (0, eval)(`(${script})`);
                return await Promise.race([run(window.xwTestPanel, argument), late]);
            }""",
            [script, argument, seconds * 1000],
        )


def _text_of(source: str, outputs: list[dict[str, Any]]) -> str:
    texts = []
    for output in outputs:
        if output["output_type"] == "error":
            traceback = "\n".join(output.get("traceback") or [output["evalue"]])
            raise LabError(f"The cell\n{source}\nfailed: {output['ename']}\n{traceback}")
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        texts.append(text if isinstance(text, str) else "".join(text))
    return "".join(texts).strip()


# --- what is called in the page -----------------------------------------------------------------

_OPEN = """async (_, path) => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = await app.commands.execute("docmanager:open", {
        path, factory: "Notebook", kernel: { name: "python3" },
    });
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.revealed;
    app.shell.collapseLeft?.();
    window.xwTestPanel = panel;
}"""

_RUN_ALL = """async () => {
    await window.jupyterapp.commands.execute("notebook:run-all-cells");
}"""

_START = """async (panel, code) => {
    const model = panel.content.model.sharedModel;
    const index = model.cells.length;
    model.insertCell(index, { cell_type: "code", source: code, metadata: { trusted: true } });
    panel.content.activeCellIndex = index;
    await panel.content.scrollToItem(index);
    window.xwTestStarted = performance.now();
    const run = window.jupyterapp.commands.execute("notebook:run-cell");
    (window.xwTestRuns ??= {})[index] = run;
    return index;
}"""

_WAIT_OUTPUT = """async (panel, index) => {
    const outputs = () => [...panel.content.model.cells][index].outputs.length;
    while (!outputs()) await new Promise((resolve) => setTimeout(resolve, 20));
}"""

_DELETE = """(panel, start) => {
    const model = panel.content.model.sharedModel;
    model.deleteCellRange(start, model.cells.length);
}"""

_OUTPUTS = """async (panel) => [...panel.content.model.cells].map((cell) => ({
    source: cell.sharedModel.getSource(),
    outputs: cell.type === "code" ? cell.outputs.toJSON() : [],
}))"""

_FINISH = """async (panel, index) => {
    await window.xwTestRuns[index];
    return [...panel.content.model.cells][index].outputs.toJSON();
}"""

_WAIT_IDLE = """async (panel) => {
    const idle = () => panel.sessionContext.session?.kernel?.status === "idle";
    while (!idle()) await new Promise((resolve) => setTimeout(resolve, 20));
}"""

_THEME = """async (_, name) => {
    const old = document.body.dataset.jpThemeName;
    await window.jupyterapp.commands.execute("apputils:change-theme", { theme: name });
    while (document.body.dataset.jpThemeName !== name)
        await new Promise((resolve) => setTimeout(resolve, 20));
    return old;
}"""

# As wide as it shall be, nothing asked for and nothing moved for ten frames.
_SETTLED = """async (root, [width, milliseconds]) => {
    const until = performance.now() + milliseconds;
    const looks = () => [root, ...root.querySelectorAll("*")]
        .map((element) => `${element.scrollWidth} ${element.scrollHeight}`).join();
    for (let still = 0, before = ""; still < 10; ) {
        await new Promise((resolve) => requestAnimationFrame(resolve));
        const now = looks();
        const fits = Math.abs(root.offsetWidth - width) < 60;
        still = fits && root.dataset.state === "ready" && now === before ? still + 1 : 0;
        before = now;
        if (performance.now() > until)
            throw new Error(`the layout did not settle: ${root.offsetWidth} of ${width} pixels`);
    }
}"""

_PIXELS = """(canvas) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    let text = "";
    for (let start = 0; start < data.length; start += 32768)
        text += String.fromCharCode(...data.subarray(start, start + 32768));
    return [height, width, btoa(text)];
}"""

_MEASURES = """(prefix) => performance.getEntriesByType("measure")
    .filter((entry) => entry.name.startsWith(prefix))
    .map((entry) => [entry.name, entry.startTime, entry.duration, entry.detail])"""

_COUNT = """([name, exact, count]) => performance.getEntriesByType("measure")
    .filter((entry) => exact ? entry.name === name : entry.name.startsWith(name))
    .length >= count"""
