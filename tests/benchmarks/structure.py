"""What looking at the structure costs: a forward run plainly, traced, and traced with statistics.

python tests/benchmarks/structure.py [--only vgg16 gpt2 …] [--rounds 7] [--threads 1]

All take turns, so that what else runs on the machine meets all of them; ratios of CPU time are the
medians over the rounds. Parameters and FLOPs are held against the model's own count and torch's
counter with plain attention. torchinfo is measured beside them where it is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path[:0] = [
    str(Path(__file__).resolve().parents[1] / "unit"),
    str(Path(__file__).resolve().parents[2]),
]

import torch  # noqa: E402
from structure_models import MODELS  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import explain_widgets as xw  # noqa: E402
from explain_widgets.live.structure import trace as xw_trace  # noqa: E402
from explain_widgets.live.structure.graph import StructureGraph  # noqa: E402


def seconds(call: Callable[[], Any]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def ratio(pairs: list[tuple[float, ...]], which: int) -> float:
    return statistics.median(times[which] / times[0] for times in pairs)


def measured(name: str, rounds: int) -> None:
    torch.manual_seed(0)
    model, inputs = MODELS[name]("sdpa")
    model.eval()
    live = xw.LiveModel(model, inputs)

    def plain() -> Any:
        with torch.no_grad():
            return model(**inputs) if isinstance(inputs, dict) else model(inputs)

    def traced(**options: Any) -> xw_trace.Trace:
        live.refresh()
        return live.trace(**options)

    calls = [plain, traced, lambda: traced(statistics=True)]
    with_info = _torchinfo(model, inputs)
    if with_info is not None:
        calls.append(with_info)
    for call in calls:
        call()
    times = [tuple(seconds(call) for call in calls) for _ in range(rounds)]
    trace = traced()
    forward = statistics.median(row[0] for row in times)
    print(
        f"{name:9} forward {forward:.3f} CPU-s; trace {ratio(times, 1):.2f}, with statistics "
        f"{ratio(times, 2):.2f}"
        + (f", torchinfo {ratio(times, 3):.2f}" if with_info is not None else ""),
        flush=True,
    )
    own = sum(parameter.numel() for parameter in model.parameters())
    error = trace.flops / counted(name) - 1
    print(
        f"{'':9} parameters {trace.parameter_count / 1e6:.1f} M "
        f"({'right' if trace.parameter_count == own else f'wrong: {own}'}), "
        f"{trace.flops / 1e9:.3f} GFLOPs ({100 * error:+.2f} %); {trace}",
        flush=True,
    )
    described(trace)
    explored(live)


def described(trace: xw_trace.Trace) -> None:
    started = time.process_time()
    graph = StructureGraph(trace)
    made = time.process_time() - started
    first = graph.first_sight()
    opened = time.process_time()
    boxes = graph.view(first).boxes
    opening = time.process_time() - opened
    size = len(json.dumps(graph.to_dict(), separators=(",", ":")))
    print(
        f"{'':9} graph {1e3 * made:.0f} ms, {len(boxes)} boxes at first sight, view "
        f"{1e3 * opening:.1f} ms, {size / 1e3:.0f} kB of JSON",
        flush=True,
    )


def explored(live: xw.LiveModel) -> None:
    """The kernel's side of a first sight, how much is sent of it, and the still picture."""
    live.refresh()
    explorer = xw.StructureExplorer(live)
    ask = explorer._answers.answer_structure
    taken = seconds(lambda: ask({"sample": 0}))
    again = seconds(lambda: ask({"sample": 0}))
    sent = ask({"sample": 0}).content
    sizes = [_size(sent), _size(sent["graph"]), _size(sent["rows"])]
    still = seconds(explorer._still_page)
    reply = explorer._answers.answer_backward
    backward = seconds(lambda: reply({"sample": 0, "target": None}))
    sizes.append(_size(reply({"sample": 0, "target": None}).content))
    print(
        f"{'':9} explorer: structure {taken:.2f} CPU-s with the forward, {again:.2f} without, "
        f"{sizes[0]:.0f} kB (graph {sizes[1]:.0f}, table {sizes[2]:.0f}); still {still:.2f} CPU-s; "
        f"backward graph {backward:.2f} CPU-s with the forward, {sizes[3]:.0f} kB",
        flush=True,
    )
    explorer.close()


def _size(content: Any) -> float:
    """Of a message, in kB."""
    return len(json.dumps(content, separators=(",", ":"))) / 1e3


def counted(name: str) -> int:
    """FLOPs that torch counts with attention that is not fused."""
    torch.manual_seed(0)
    model, inputs = MODELS[name]("eager")
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**inputs) if isinstance(inputs, dict) else model(inputs)
    return counter.get_total_flops()


def _torchinfo(model: nn.Module, inputs: Any) -> Callable[[], Any] | None:
    with contextlib.suppress(ImportError):
        import torchinfo

        return lambda: torchinfo.summary(model, input_data=inputs, verbose=0, depth=99)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.only:
        measured(name, options.rounds)
    print(f"{options.threads} threads, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
