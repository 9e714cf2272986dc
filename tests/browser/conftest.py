"""One JupyterLab and one Chromium for all browser tests; each test opens its notebooks anew."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, Notebook, chromium, jupyterlab, notebook
from playwright.sync_api import Browser

PICTURES = Path(__file__).with_name("pictures")
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests run last: Playwright leaves an event loop running in the main thread."""
    items.sort(key=lambda item: Path(__file__).parent in item.path.parents)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyterlab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


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
                page.screenshot(PICTURES / f"{request.node.name}-{number}.png")
                print(f"--- console of page {number}", *page.console[-30:], sep="\n")
