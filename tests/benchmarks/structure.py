"""What looking at the structure costs: a forward run plainly, traced, and traced with statistics.

python tests/benchmarks/structure.py [--only vgg16 gpt2-12 …] [--rounds 7] [--threads 1]
                                    [--tokens 128]

Beside it what no looking through Python can be without: hooks on all modules and a function mode
that do nothing, and the same with the mean, extremes and norm of what each module returns. All take
turns, so that what else runs on the machine meets all of them; ratios of CPU time are the
medians over the rounds. Parameters and FLOPs are held against the model's own count and torch's
counter with plain attention. First paint is the answer to a browser that shows a sample for the
first time, less the forward, and its layout there; that and the opening of boxes are run in Node
where ``js/node_modules`` is. What else shows structures (see `structure_others`) takes turns, too,
where it is installed. At the end the aims that were missed are listed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
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
from structure_models import MODELS, NEEDS_GB  # noqa: E402
from structure_others import OTHERS, attempt, is_installed  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
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


class Onlooker(TorchFunctionMode):
    """Sees all functions of torch, and does nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def looked_on(model: torch.nn.Module, plain: Callable[[], Any], measures: bool) -> None:
    """A forward under hooks and a mode that do nothing, or take the numbers that cost least."""

    def before(module: Any, args: Any) -> None: ...

    def after(module: Any, args: Any, output: Any) -> None:
        if measures and isinstance(output, torch.Tensor) and output.is_floating_point():
            low, high = output.aminmax()
            float(low), float(high), float(output.mean()), float(output.norm())

    handles = [module.register_forward_pre_hook(before) for module in model.modules()]
    handles += [module.register_forward_hook(after) for module in model.modules()]
    try:
        with Onlooker():
            plain()
    finally:
        for handle in handles:
            handle.remove()


MISSED: list[str] = []


def aim(what: str, value: float, most: float) -> None:
    """Note an aim of the issue that was missed."""
    if value > most:
        MISSED.append(f"{what}: {value:.3g}, aim {most:g}")


def measured(name: str, rounds: int, tokens: int) -> None:
    free = free_gb()
    if free < NEEDS_GB.get(name, 0):
        print(f"{name:9} left out: {free:.1f} GB are free, it needs {NEEDS_GB[name]}", flush=True)
        return
    torch.manual_seed(0)
    model, inputs = MODELS[name](tokens)
    model.eval()
    live = xw.LiveModel(model, inputs)

    def plain() -> Any:
        with torch.no_grad():
            return model(**inputs) if isinstance(inputs, dict) else model(inputs)

    def traced(**options: Any) -> xw_trace.Trace:
        live.refresh()
        return live.trace(**options)

    calls = [
        plain,
        traced,
        lambda: traced(statistics=True),
        lambda: looked_on(model, plain, measures=False),
        lambda: looked_on(model, plain, measures=True),
    ]
    for call in calls:
        call()
    times = [tuple(seconds(call) for call in calls) for _ in range(rounds)]
    trace = traced()
    forward = statistics.median(row[0] for row in times)
    ratios = ratio(times, 1), ratio(times, 2)
    is_mixture = name == "mixture"
    aim(f"{name}, trace over forward", ratios[0], 1.4 if is_mixture else 1.2)
    aim(f"{name}, trace with statistics over forward", ratios[1], 1.4)
    print(
        f"{name:9} forward {forward:.3f} CPU-s; trace {ratios[0]:.2f}, with statistics "
        f"{ratios[1]:.2f} × it; hooks and a mode that do nothing {ratio(times, 3):.2f}, with mean, "
        f"extremes and norm {ratio(times, 4):.2f}",
        flush=True,
    )
    own = sum(parameter.numel() for parameter in model.parameters())
    error = trace.flops / counted(model, plain) - 1
    aim(f"{name}, parameters off by", abs(trace.parameter_count - own), 0)
    aim(f"{name}, FLOPs off by %", 100 * abs(error), 1)
    print(
        f"{'':9} parameters {trace.parameter_count / 1e6:.1f} M "
        f"({'right' if trace.parameter_count == own else f'wrong: {own}'}), "
        f"{trace.flops / 1e9:.3f} GFLOPs ({100 * error:+.2f} %); {trace}",
        flush=True,
    )
    explored(name, live, trace, forward)
    for other in OTHERS:
        beside(other, model, inputs, plain, rounds)


def beside(name: str, model: Any, inputs: Any, plain: Callable[[], Any], rounds: int) -> None:
    """Another tool, in turns with the plain forward."""
    if not is_installed(name):
        print(f"{'':9} {name}: not installed", flush=True)
        return
    found = attempt(name, model, inputs)
    if isinstance(found, str):
        print(f"{'':9} {name} {found}", flush=True)
        return
    calls = [plain, lambda: attempt(name, model, inputs)]
    times = [tuple(seconds(call) for call in calls) for _ in range(min(rounds, 3))]
    taken = statistics.median(row[1] for row in times)
    count, size = found
    print(
        f"{'':9} {name} {ratio(times, 1):.2f} × forward ({taken:.2f} CPU-s)"
        + (f", {size / 1e3:.0f} kB" if size is not None else "")
        + (f", {count / 1e6:.1f} M parameters" if count is not None else ""),
        flush=True,
    )


def explored(name: str, live: xw.LiveModel, trace: xw_trace.Trace, forward: float) -> None:
    """First paint, opening a box, bytes sent, the still picture and the backward graph."""
    made = seconds(lambda: StructureGraph(trace))
    live.refresh()
    explorer = xw.StructureExplorer(live)
    ask = explorer._answers.answer_structure
    first = seconds(lambda: ask({"sample": 0}))
    again = seconds(lambda: ask({"sample": 0}))
    sent = ask({"sample": 0}).content
    sizes = [_size(sent), _size(sent["graph"]), _size(sent["rows"])]
    laid = layout(sent)
    paint = first - forward + (laid["first"] / 1e3 if laid else 0.0)
    aim(f"{name}, first paint in CPU-s", paint, 0.3)
    aim(f"{name}, kB of a model", sizes[0], 200)
    print(
        f"{'':9} first paint {paint:.2f} CPU-s beside the forward (graph {1e3 * made:.0f} ms; "
        f"asked again {again:.2f} CPU-s), {sizes[0]:.0f} kB (graph {sizes[1]:.0f}, "
        f"table {sizes[2]:.0f})",
        flush=True,
    )
    if laid is None:
        print(f"{'':9} in the browser: not measured, js/node_modules or node is missing")
    else:
        aim(f"{name}, opening a box in ms", laid["most"], 50)
        print(
            f"{'':9} in the browser: first layout {laid['first']:.0f} ms, each of {laid['opened']} "
            f"boxes opens in {laid['median']:.1f} ms, at most {laid['most']:.1f}",
            flush=True,
        )
    still = seconds(explorer._still_page)
    reply = explorer._answers.answer_backward
    backward = seconds(lambda: reply({"sample": 0, "target": None}))
    size = _size(reply({"sample": 0, "target": None}).content)
    print(
        f"{'':9} still {still:.2f} CPU-s; backward graph {backward:.2f} CPU-s with the forward, "
        f"{size:.0f} kB",
        flush=True,
    )
    explorer.close()


def layout(content: Any) -> dict[str, float] | None:
    """What Node takes to lay it out; None: it is not there."""
    here = Path(__file__).resolve().parent
    node = shutil.which("node")
    if node is None or not (here.parents[1] / "js" / "node_modules" / "esbuild").exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.json"
        file.write_text(json.dumps({key: content[key] for key in ("graph", "first_sight")}))
        command = [node, str(here / "structure_layout.mjs"), str(file)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(answer)
    return found


def _size(content: Any) -> float:
    """Of a message, in kB."""
    return len(json.dumps(content, separators=(",", ":"))) / 1e3


def bundle() -> None:
    """Bytes of the explorer's code, where it is built."""
    file = Path(xw.__file__).parent / "static" / "structure.js"
    if file.exists():
        aim("bundle in kB", file.stat().st_size / 1e3, 130)
        print(f"bundle {file.stat().st_size / 1e3:.1f} kB")


def counted(model: Any, plain: Callable[[], Any]) -> int:
    """FLOPs that torch counts with attention that is not fused."""
    config = getattr(model, "config", None)
    before = getattr(config, "_attn_implementation", None)
    try:
        if config is not None:
            config._attn_implementation = "eager"
        with FlopCounterMode(display=False) as counter:
            plain()
    finally:
        if config is not None:
            config._attn_implementation = before
    return counter.get_total_flops()


def free_gb() -> float:
    """What the kernel says is available; without it, all that is asked for."""
    file = Path("/proc/meminfo")
    lines = file.read_text().splitlines() if file.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) / 1e6 if found else float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=128, help="of language models")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.only:
        measured(name, options.rounds, options.tokens)
    bundle()
    print("missed: " + ("; ".join(MISSED) or "none"))
    setting = f"{options.tokens} tokens, {options.threads} threads, load {os.getloadavg()[0]:.1f}"
    print(f"{setting}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
