"""What looking costs a forward: MiniLM run plainly, and with its attention captured.

python tests/benchmarks/capture.py [--tokens 512] [--rounds 40] [--threads 2]

Both take turns, so that what else runs on the machine meets both; the ratio is the median over the
rounds of captured / plain of one round, which noise of single rounds does not move.
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
from in_kernel import exactly, load  # noqa: E402

import explain_widgets as xw  # noqa: E402


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


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

    for call in (plain, captured, plain, captured):
        call()
    pairs = [(seconds(plain), seconds(captured)) for _ in range(options.rounds)]
    ratio = statistics.median(after / before for before, after in pairs)
    forward = statistics.median(before for before, _ in pairs)
    kept = sum(live.attention(n).nbytes for n in range(len(live.attention_layers())))
    wanted = 6 * 2 * 4 * options.tokens * model.config.hidden_size
    same = torch.equal(plain().last_hidden_state, live.output().last_hidden_state)
    load_now = os.getloadavg()[0]
    print(f"{options.tokens} tokens, {options.threads} threads, load {load_now:.1f}")
    print(f"plain forward       {1e3 * forward:7.1f} ms")
    print(f"captured / plain    {ratio:7.3f}")
    print(f"kept                {kept / 1e6:7.1f} MB, queries and keys are {wanted / 1e6:.1f} MB")
    print(f"same output         {same}")
    model.set_attn_implementation("eager")
    eager = statistics.median(seconds(by_hand) for _ in range(5))
    print(f"output_attentions   {eager / forward:7.3f} of the plain forward")


if __name__ == "__main__":
    main()
