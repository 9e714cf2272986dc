"""The fused kernels compiled for GPUs, where there is none: what the interpreter cannot tell.

Run by test_fused.py in a process of its own, which is made to believe in a GPU.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from explain_widgets.analysis import fused, fused_kernels
from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.pooling import Window
from explain_widgets.analysis.score_steps import Bias, Causal, Masked, ScoreStep

N = 300
SEEN = torch.ones(1, 1, N, dtype=torch.bool)
# What every GPU has for a program.
SHARED_MEMORY = 48 * 1024


class Offline:
    """A driver of a GPU for which kernels can be compiled, and that is all."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return self.capability

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[Any]:
    """The kernels that were asked for, compiled and not run."""
    found: list[Any] = []
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))

    class Compiling:
        def __init__(self, kernel: Any) -> None:
            self.kernel = kernel

        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            return lambda *a, **k: found.append(self.kernel.warmup(*a, grid=grid, **k))

    kernels = SimpleNamespace(
        INTERPRETED=fused_kernels.INTERPRETED,
        row_sums=Compiling(fused_kernels.row_sums),
        picture=Compiling(fused_kernels.picture),
    )
    monkeypatch.setattr(fused, "_kernels", lambda: kernels)
    monkeypatch.setattr(fused, "applies", lambda _: True)
    monkeypatch.setattr(fused, "_OFF", [])
    return found


def kernels_of(dtype: torch.dtype, channels: int, *steps: ScoreStep) -> fused.Kernels:
    query, key = torch.zeros(4, N, channels, dtype=dtype), torch.zeros(2, N, channels, dtype=dtype)
    kernels = fused.kernels_for(Attention(query, key, 0.5, steps))
    assert kernels is not None
    return kernels


def ask(kernels: fused.Kernels, rows: Any, keys: Any, size: tuple[int, int], every: int) -> None:
    """Sums and a picture; what is in them is nobody's."""
    assert kernels.sums((0, 1), rows, keys, every) is not None, fused._OFF
    window = Window.of(rows, keys, size, "mean", every)
    some = (0, window.row_edges[-1])
    sums: Tensor = torch.zeros(1, some[1], 2)
    assert kernels.picture((0, 1), window, some, sums, False) is not None, fused._OFF


@pytest.mark.parametrize(
    ("capability", "dtype", "channels", "steps"),
    [
        (80, torch.float32, 256, (Bias(torch.zeros(4, N, N)), Causal(), Masked(SEEN))),
        (90, torch.float32, 64, (Causal(),)),
        (80, torch.float16, 40, ()),
        (90, torch.bfloat16, 128, (Causal(),)),
    ],
)
def test_kernels_compile_and_fit(
    capability: int,
    dtype: torch.dtype,
    channels: int,
    steps: tuple[ScoreStep, ...],
    compiled: list[Any],
) -> None:
    driver.set_active(Offline(capability))
    ask(kernels_of(dtype, channels, *steps), (0, N), (0, N), (9, 200), 1)
    assert [kernel.metadata.target.arch for kernel in compiled] == [capability] * 2
    for kernel in compiled:
        assert kernel.metadata.shared <= SHARED_MEMORY
        multiplies_in_blocks = "mma" in kernel.asm["ptx"]
        # Single precision is not rounded to that of tensor cores.
        assert multiplies_in_blocks == (dtype != torch.float32)


def test_another_window_compiles_nothing_anew(compiled: list[Any]) -> None:
    driver.set_active(Offline(80))
    kernels = kernels_of(torch.float16, 16, Causal())
    for rows, keys, size, every in [
        ((0, N), (0, N), (100, 100), 1),
        ((16, 17), (0, 1), (9, 9), 1),
        ((1, 33), (7, 39), (30, 30), 1),
        ((0, 160), (16, 176), (40, 80), 2),
        ((5, 165), (16, 176), (10, 20), 16),
    ]:
        ask(kernels, rows, keys, size, every)
    assert len({id(kernel) for kernel in compiled}) == 2
