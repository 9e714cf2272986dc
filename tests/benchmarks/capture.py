"""What looking costs a forward: MiniLM run plainly, and with its attention captured.

python tests/benchmarks/capture.py [--tokens 512] [--rounds 40] [--threads 2]

All take turns, so that what else runs on the machine meets all; a ratio is the median over the
rounds of one by plain of the same round, which noise of single rounds does not move. What any way
of looking through Python costs is measured beside: a function mode that does nothing, and one that
keeps queries and keys and does nothing else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from in_kernel import exactly, load  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

import explain_widgets as xw  # noqa: E402


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


class Bare(TorchFunctionMode):
    """Looks on; keeps the queries and keys of attention calls, or not even these."""

    def __init__(self, keeps: bool) -> None:
        super().__init__()
        self.kept: list[Any] = []
        self._keeps = keeps

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._keeps and func is F.scaled_dot_product_attention:
            self.kept.append([tensor.detach() for tensor in args[:2]])
        return func(*args, **(kwargs or {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, tokenizer = load()
    tokens = exactly(tokenizer, options.tokens)
    live = xw.LiveModel(model, dict(tokens))

    def plain() -> Any:
        with torch.no_grad():
            return model(**tokens)

    def captured() -> None:
        live.refresh()
        live.attention_layers()

    def by_hand() -> Any:
        with torch.no_grad():
            return model(**tokens, output_attentions=True)

    def bare(keeps: bool) -> Callable[[], Any]:
        def call() -> Any:
            with Bare(keeps) as mode:
                plain()
            return mode

        return call

    calls = {
        "captured": captured,
        "a function mode that does nothing": bare(False),
        "one that keeps queries and keys": bare(True),
    }
    for call in (plain, *calls.values()) * 2:
        call()
    rounds = [
        (seconds(plain), [seconds(call) for call in calls.values()]) for _ in range(options.rounds)
    ]
    ratios = {
        name: statistics.median(after[n] / before for before, after in rounds)
        for n, name in enumerate(calls)
    }
    forward = statistics.median(before for before, _ in rounds)
    kept = sum(live.attention(n).nbytes for n in range(len(live.attention_layers())))
    wanted = 6 * 2 * 4 * options.tokens * model.config.hidden_size
    same = torch.equal(plain().last_hidden_state, live.output().last_hidden_state)
    load_now = os.getloadavg()[0]
    print(f"{options.tokens} tokens, {options.threads} threads, load {load_now:.1f}")
    print(f"plain forward       {1e3 * forward:7.1f} ms")
    for name, ratio in ratios.items():
        print(f"{ratio:7.3f} of it: {name}")
    print(f"kept                {kept / 1e6:7.1f} MB, queries and keys are {wanted / 1e6:.1f} MB")
    print(f"same output         {same}")
    model.set_attn_implementation("eager")
    eager = statistics.median(seconds(by_hand) for _ in range(5))
    print(f"output_attentions   {eager / forward:7.3f} of the plain forward")


if __name__ == "__main__":
    main()
