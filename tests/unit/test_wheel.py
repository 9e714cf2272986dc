"""What pip installs: the wheel holds the built front end, and installing it needs no Node."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = {
    f"explain_widgets/static/{explorer}.{kind}"
    for explorer in ("attention", "attribution", "features", "gallery", "structure")
    for kind in ("js", "css")
}
# Python before 3.11.4 has no filters yet.
SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
NO_NODE = {**os.environ, "PATH": ""}


def python(*arguments: object, **options: object) -> None:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout


def build(kind: str, source: Path, folder: Path, **options: object) -> Path:
    python("-m", "build", f"--{kind}", "--no-isolation", "--outdir", folder, source, **options)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_bundles_and_nothing_of_the_workshop(wheel):
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        sizes = {name: opened.getinfo(name).file_size for name in BUNDLES & names}
    assert names >= BUNDLES | {"explain_widgets/py.typed", "explain_widgets/live/model.py"}
    assert min(sizes.values()) > 1000
    first = {PurePosixPath(name).parts[0] for name in names}
    assert {name for name in first if not name.endswith(".dist-info")} == {"explain_widgets"}
    suffixes = {PurePosixPath(name).suffix for name in names if ".dist-info/" not in name}
    assert suffixes == {".py", ".js", ".css", ".typed"}
    assert not [name for name in names if "node_modules" in name or "/tests/" in name]


def test_the_wheel_installs_without_node_and_without_a_build(wheel, tmp_path):
    target = tmp_path / "installed"
    options = ("--quiet", "--no-deps", "--no-index", "--only-binary=:all:", "--target", target)
    python("-m", "pip", "install", *options, wheel, env=NO_NODE)
    assert {str(path.relative_to(target)) for path in target.glob("explain_widgets/static/*")} == (
        BUNDLES
    )


def test_the_sdist_holds_the_sources_of_the_front_end(sdist):
    with tarfile.open(sdist) as opened:
        names = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in opened.getnames()}
    sources = {"js/package.json", "js/package-lock.json", "js/build.mjs", "hatch_build.py"}
    assert names >= BUNDLES | sources
    assert any(name.startswith("js/src/") for name in names)
    assert not [name for name in names if "node_modules" in name]


def test_an_unchanged_sdist_makes_a_wheel_without_node(sdist, tmp_path):
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path, **SAFELY)
    (source,) = tmp_path.iterdir()
    wheel = build("wheel", source, tmp_path / "wheel", env=NO_NODE)
    with zipfile.ZipFile(wheel) as opened:
        assert set(opened.namelist()) >= BUNDLES


def test_the_lock_file_names_no_hosts():
    lock = (ROOT / "js" / "package-lock.json").read_text("utf-8")
    assert "://" not in lock
