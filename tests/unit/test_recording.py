"""The conversation that the front end's tests replay is one that Python would hold today."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import record_graphs
from record import RECORDING, record


def test_the_recorded_conversation_is_not_stale():
    recorded = json.loads(RECORDING.read_text("utf-8"))
    now = json.loads(json.dumps(record()))
    assert [entry["request"] for entry in recorded] == [entry["request"] for entry in now]
    for old, new in zip(recorded, now, strict=True):
        assert shape_of(old["reply"]) == shape_of(new["reply"]), "run python tests/record.py"
        was, is_ = (np.frombuffer(base64.b64decode(e["buffer"]), np.uint8) for e in (old, new))
        assert was.shape == is_.shape
        if set(old["reply"]["arrays"]) & {"table", "thumbnails"}:
            assert np.abs(was.astype(int) - is_).max() <= 1


def test_the_recorded_graphs_are_not_stale():
    recorded = json.loads(record_graphs.RECORDING.read_text("utf-8"))
    assert recorded == json.loads(json.dumps(record_graphs.record())), (
        "run python tests/record_graphs.py"
    )


def shape_of(value):
    """The keys and types of a message, without its numbers."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of(item) for item in value]
    return type(value).__name__ if isinstance(value, (int, float)) or value is None else value
