"""Which model types of transformers live models see the attention of: tried one by one.

Every type is built from a small random configuration and run once, each in a process of its own
with a time limit. Prints a line a type. ``--results`` keeps what came out, so that types tried
again replace what they were; ``--write`` makes the documentation's page of all that is kept.

    python tests/sweep_attention.py                  # all, about twenty minutes on one core
    python tests/sweep_attention.py bert llama       # some
    python tests/sweep_attention.py --results sweep.json --write docs/supported_attention.md
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path[:0] = [str(Path(__file__).parent / "unit"), str(Path(__file__).parent.parent)]

import torch  # noqa: E402
import transformers  # noqa: E402
from small_transformers import inputs_of, small_model  # noqa: E402
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES  # noqa: E402

import explain_widgets as xw  # noqa: E402

SECONDS = 25


@dataclass(frozen=True)
class Outcome:
    """What came of one model type: ``state`` is one of the headings of the table."""

    kind: str
    state: str
    said: str
    seconds: float = 0.0


def tried(kind: str) -> Outcome:
    """Build the type, run it and look."""
    try:
        model = small_model(kind)
    except Exception as error:  # noqa: BLE001 (whatever a type needs that a small one has not)
        return Outcome(kind, "not built", _line(error))
    inputs = inputs_of(model)
    try:
        with torch.no_grad():
            model(**inputs)
    except Exception as error:  # noqa: BLE001 (as above)
        return Outcome(kind, "not run", _line(error))
    try:
        live = xw.LiveModel(model, inputs)
        layers = live.attention_layers()
    except xw.NoAttentionError as error:
        said = str(error).split(" Looked for")[0]
        refused = "could be read" in said
        return Outcome(kind, "refused" if refused else "nothing found", said)
    except Exception as error:  # noqa: BLE001 (a defect of ours: it must show)
        return Outcome(kind, "failed", _line(error))
    sources = Counter(layer.source for layer in layers)
    said = ", ".join(f"{count} × {source}" for source, count in sources.items())
    return Outcome(kind, "captured", said)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[
        :160
    ]


def _work(kind: str, answer: Connection) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    answer.send(tried(kind))


def in_its_own_process(kind: str) -> Outcome:
    """`tried`, stopped after `SECONDS`."""
    started = time.monotonic()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(kind, sender))
    process.start()
    sender.close()
    try:
        outcome = receiver.recv() if receiver.poll(SECONDS) else Outcome(kind, "too slow", "")
    except EOFError:
        outcome = Outcome(kind, "crashed", "")
    process.kill()
    process.join()
    return Outcome(outcome.kind, outcome.state, outcome.said, time.monotonic() - started)


_HEADINGS = {
    "captured": "Shown, and checked against what the layer returned",
    "refused": "Refused: seen, and not explained by what was read",
    "nothing found": "Nothing to show",
    "failed": "Failed",
    "too slow": "Not tried to the end within the time limit",
    "crashed": "Crashed",
    "not run": "Not tried: runs only with inputs or sizes of its own",
    "not built": "Not tried: not built from a small random configuration here",
}


def page(outcomes: list[Outcome]) -> str:
    """The page of the documentation."""
    counts = Counter(outcome.state for outcome in outcomes)
    tried_types = sum(counts[state] for state in list(_HEADINGS)[:4])
    made = (
        f"Made by `tests/sweep_attention.py` with torch {torch.__version__} and transformers "
        f"{transformers.__version__}: every model type, small and random, run once with its "
        f"default attention. Of {tried_types} types that ran, the attention of "
        f"{counts['captured']} is shown. Any other `nn.Module` is looked into the same way: this "
        "is no list of what is allowed."
    )
    lines = ["# What is supported", "", made]
    for state, heading in _HEADINGS.items():
        members = [outcome for outcome in outcomes if outcome.state == state]
        if members:
            lines += ["", f"## {heading}: {len(members)}", "", *_listed(state, members)]
    return "\n".join(lines) + "\n"


def _listed(state: str, members: list[Outcome]) -> list[str]:
    if state.startswith("not "):  # what stands in the way is not ours to say
        return [", ".join(f"`{outcome.kind}`" for outcome in members)]
    title = "read from" if state == "captured" else "said"
    rows = (f"| `{outcome.kind}` | {outcome.said.replace('|', '/')} |" for outcome in members)
    return [f"| model type | {title} |", "|---|---|", *rows]


def _kept(path: Path | None) -> dict[str, Outcome]:
    if path is None or not path.exists():
        return {}
    return {kind: Outcome(**fields) for kind, fields in json.loads(path.read_text()).items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help="model types; all if none is given")
    parser.add_argument("--results", type=Path, help="a JSON file that keeps what came out")
    parser.add_argument("--write", type=Path, help="the page to make")
    options = parser.parse_args()
    outcomes = _kept(options.results)
    for kind in options.kinds or sorted(MODEL_MAPPING_NAMES):
        outcomes[kind] = last = in_its_own_process(kind)
        print(f"{last.seconds:5.1f} s  {kind:32} {last.state:14} {last.said[:220]}", flush=True)
        if options.results is not None:
            kept = {name: asdict(outcome) for name, outcome in sorted(outcomes.items())}
            options.results.write_text(json.dumps(kept, indent=1))
    print(dict(Counter(outcome.state for outcome in outcomes.values())))
    if options.write is not None:
        options.write.write_text(page([outcomes[kind] for kind in sorted(outcomes)]))


if __name__ == "__main__":
    main()
