"""The fused kernels, interpreted and compiled, in processes of their own; and without triton."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from explain_widgets.analysis import fused
from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.score_steps import Causal

HERE = Path(__file__).parent
PARTS = ("interpreted", "compiled")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Any, Path]]]:
    """A process of pytest and what it writes, for each part; both at once."""
    pytest.importorskip("triton", reason="triton is for Linux")
    folder = tmp_path_factory.mktemp("fused")
    runs = {}
    for part in PARTS:
        command = [sys.executable, "-m", "pytest", "-q", "--durations=5", "-p", "no:cacheprovider"]
        with (folder / part).open("w") as log:
            process = subprocess.Popen(
                [*command, str(HERE / f"fused_{part}.py")],
                cwd=HERE.parents[1],
                env=os.environ | {"TRITON_INTERPRET": str(int(part == "interpreted"))},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        runs[part] = process, folder / part
    yield runs
    for process, _ in runs.values():
        process.kill()


@pytest.mark.parametrize("part", PARTS)
def test_kernels(part: str, runs: dict[str, tuple[Any, Path]]) -> None:
    process, log = runs[part]
    status = process.wait(timeout=280)
    written = log.read_text()
    print(written)
    assert status == 0, written


def test_without_a_gpu_nothing_asks_for_triton() -> None:
    Attention(torch.randn(1, 9, 4), torch.randn(1, 9, 4), 0.5).overview(0, (3, 3))
    assert fused._kernels.cache_info().currsize == 0
    assert "explain_widgets.analysis.fused_kernels" not in sys.modules


@pytest.mark.parametrize("version", [None, "3.3.1"])
def test_without_a_triton_that_fits_torch_operations_do_it_silently(
    version: str | None, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    from types import SimpleNamespace

    module = None if version is None else SimpleNamespace(__version__=version)
    monkeypatch.setitem(sys.modules, "triton", module)
    monkeypatch.setattr(fused, "DEVICES", {"cpu"})
    fused._kernels.cache_clear()
    try:
        attention = Attention(torch.randn(1, 30, 8), torch.randn(1, 30, 8), 0.5, (Causal(),))
        assert not fused.applies(attention)
        overview = attention.overview(0, (30, 30))
    finally:
        fused._kernels.cache_clear()
    torch.testing.assert_close(overview, attention.weights(0))
    assert not recwarn.list
