"""The notebooks that a user opens first: each runs from top to bottom, and stays small in git."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/*.ipynb"))
MOST_BYTES = 100_000
ABSOLUTE_PATH = re.compile(
    r"""(?:^|[\s"'(=`])(?:/(?:home|Users|root|tmp|mnt|opt|var|work)/|[A-Z]:\\)"""
)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_runs_from_top_to_bottom(path: Path):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    # a thread of its own has no event loop that another test left running
    with ThreadPoolExecutor(1) as thread:
        thread.submit(client.execute, env=environment).result()


@each_notebook
def test_is_small_and_free_of_absolute_paths(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert len(json.dumps(output)) <= MOST_BYTES, f"large output of: {cell.source}"
    assert len(json.dumps(notebook.metadata)) <= MOST_BYTES, "large widget state"
    texts = [cell.source for cell in notebook.cells]
    texts += [json.dumps(cell.get("outputs", []), ensure_ascii=False) for cell in notebook.cells]
    found = [text for text in texts if ABSOLUTE_PATH.search(text)]
    assert not found
