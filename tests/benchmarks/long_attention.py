"""Attention of long inputs, side by side: streamed, softmax by hand, eager transformers.

python tests/benchmarks/long_attention.py [--tokens 512 2048 8192 32768] [--repeats 3]

One head, 64 channels, causal, one thread. Each measurement is a process of its own, so that its
peak memory is its own; what would not fit into the memory of the machine is not run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

CHANNELS = 64
PIXELS = 512
# Layers and heads of the eager model, as MiniLM has them; its weights are kept for all.
LAYERS, HEADS = 6, 12


def _inputs(tokens: int) -> tuple[Any, Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(1, tokens, CHANNELS, generator=generator) * 2 for _ in range(2))


def _attention(tokens: int) -> Any:
    from explain_widgets.analysis.attention import Attention
    from explain_widgets.analysis.score_steps import Causal

    return Attention(*_inputs(tokens), scale=CHANNELS**-0.5, steps=(Causal(),))


def _whole(tokens: int) -> tuple[int, int]:
    return 0, tokens


def _ours(tokens: int, known: bool, call: Callable[[Any], Any]) -> Callable[[], float]:
    def once() -> float:
        attention = _attention(tokens)
        if known:
            attention.column(0, 0)
        return _timed(lambda: call(attention))

    return once


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _tile(tokens: int) -> Callable[[Any], Any]:
    side = min(PIXELS, tokens)
    rows, keys = (tokens - side, tokens), (tokens // 2 - side // 2, tokens // 2 + side // 2)
    return lambda attention: attention.tile(0, rows, keys, (side, side))


def _by_hand(tokens: int) -> Callable[[], float]:
    import torch

    query, key = (tensor[0] for tensor in _inputs(tokens))

    def weights() -> Any:
        scores = query @ key.T * CHANNELS**-0.5
        ahead = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
        return scores.masked_fill(ahead, float("-inf")).softmax(-1)

    return lambda: _timed(weights)


def _eager(tokens: int) -> Callable[[], float]:
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=100, hidden_size=HEADS * 32, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=HEADS * 128, max_position_embeddings=tokens, attn_implementation="eager",
    )  # fmt: skip
    model = BertModel(config).eval()
    ids = torch.zeros(1, tokens, dtype=torch.long)

    def forward() -> Any:
        with torch.no_grad():
            return model(ids, output_attentions=True).attentions

    return lambda: _timed(forward)


MEASUREMENTS: dict[str, tuple[str, Callable[[int], Callable[[], float]]]] = {
    "sums": ("sums of all rows", lambda n: _ours(n, False, lambda a: a.column(0, 0))),
    "overview": (
        "overview 512², nothing known",
        lambda n: _ours(n, False, lambda a: a.overview(0, (PIXELS, PIXELS))),
    ),
    "overview_known": (
        "overview 512², sums known",
        lambda n: _ours(n, True, lambda a: a.overview(0, (PIXELS, PIXELS))),
    ),
    "preview": (
        "preview 512², sampled queries",
        lambda n: _ours(
            n,
            False,
            lambda a: a.tile(0, _whole(n), _whole(n), (PIXELS, PIXELS), every=n),
        ),
    ),
    "tile": ("native tile, nothing known", lambda n: _ours(n, False, _tile(n))),
    "tile_known": ("native tile, sums known", lambda n: _ours(n, True, _tile(n))),
    "statistics": ("statistics, sums known", lambda n: _ours(n, True, lambda a: a.statistics(0))),
    "by_hand": ("softmax(q @ k.T) by hand", _by_hand),
    "eager": (f"output_attentions=True, {LAYERS} × {HEADS} heads", _eager),
}
BYTES: dict[str, Callable[[int], float]] = {
    "by_hand": lambda n: 13 * n**2,
    "eager": lambda n: 4 * n**2 * HEADS * (LAYERS + 2),
}


def _measure(name: str, tokens: int, repeats: int) -> dict[str, float]:
    import torch

    import explain_widgets.analysis.attention  # noqa: F401 (not part of the memory measured)

    torch.set_num_threads(1)
    once = MEASUREMENTS[name][1](tokens)
    _attention(64).overview(0, (8, 8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = [once() for _ in range(repeats)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": statistics.median(times), "bytes": peak * 1024}


def _available() -> float:
    for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
        if line.startswith("MemAvailable"):
            return float(line.split()[1]) * 1024
    raise RuntimeError("/proc/meminfo does not say how much memory is available.")


def _in_its_own_process(name: str, tokens: int, repeats: int) -> dict[str, float] | str:
    needed = BYTES.get(name, lambda n: 0.0)(tokens)
    if needed > 0.8 * _available():
        return f"not run: needs {needed / 1e9:.0f} GB"
    command = [sys.executable, __file__, "--one", name, str(tokens), str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return "failed: " + (done.stderr.strip().splitlines() or ["killed"])[-1][:60]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 2048, 8192, 32768])
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, tokens, repeats = options.one
        print(json.dumps(_measure(name, int(tokens), int(repeats))))
        return
    print(f"{os.cpu_count()} cores ({platform.machine()}), load {os.getloadavg()[0]:.1f}\n")
    print("| tokens | | time | peak memory | by hand / this |\n|---|---|---|---|---|")
    for tokens in options.tokens:
        found = {name: _in_its_own_process(name, tokens, options.repeats) for name in options.only}
        hand = found.get("by_hand")
        for name, value in found.items():
            title = MEASUREMENTS[name][0]
            if isinstance(value, str):
                print(f"| {tokens} | {title} | {value} | | |")
                continue
            ratio = ""
            if isinstance(hand, dict):
                ratio = f"{hand['seconds'] / value['seconds']:.3g}"
            seconds, memory = value["seconds"] * 1e3, value["bytes"] / 1e6
            print(f"| {tokens} | {title} | {seconds:.3g} ms | {memory:.0f} MB | {ratio} |")


if __name__ == "__main__":
    main()
