"""One JupyterLab, one Chromium and, where a test needs none to itself, one notebook for all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, Notebook, chromium, jupyterlab, notebook
from playwright.sync_api import Browser
from playwright.sync_api import Error as PlaywrightError

PICTURES = Path(__file__).with_name("pictures")
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests run last: Playwright leaves an event loop running in the main thread."""
    items.sort(key=lambda item: Path(__file__).parent in item.path.parents)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Iterator[Any]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    if report.failed and "shared" in item.funcargs:
        # Before fixtures tidy it up.
        report.sections.append(("console of the page", keep(item.funcargs["shared"], item.name)))
    return report


def keep(page: Notebook, name: str) -> str:
    """Keep a picture of the page of a failed test; the end of its console."""
    with contextlib.suppress(PlaywrightError):
        page.screenshot(PICTURES / f"{name}.png")
    return "\n".join(page.console[-30:])


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyterlab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def shared(lab: Lab, browser: Browser) -> Iterator[Notebook]:
    """The notebook for all: opening one and importing takes longer than most tests."""
    with notebook(lab, browser, lab.write("shared.ipynb", "# cells of tests follow")) as page:
        yield page


@pytest.fixture(scope="module")
def prepare(shared: Notebook) -> Iterator[Callable[[str], Notebook]]:
    """Run what the tests of a file start from in that notebook: ``prepare(code)`` returns it.

    Nothing that other files have named is there, and after them nothing of these is.
    """
    shared.console.clear()

    def prepare_(code: str) -> Notebook:
        shared.run(code, seconds=300)
        return shared

    yield prepare_
    shared.run("%reset -f")
    shared.delete_cells(1)


@pytest.fixture
def open_notebook(
    lab: Lab, browser: Browser, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """Open a notebook: ``open_notebook(path, theme="dark", size=(800, 1000))``.

    Of a failed test the page is kept as a picture, and its console is shown.
    """
    with contextlib.ExitStack() as stack:
        opened: list[Notebook] = []

        def open_(path: str, **options: Any) -> Notebook:
            opened.append(stack.enter_context(notebook(lab, browser, path, **options)))
            return opened[-1]

        yield open_
        if request.node.stash.get(FAILED, False):
            for number, page in enumerate(opened):
                print(f"--- console of page {number}")
                print(keep(page, f"{request.node.name}-{number}"))
