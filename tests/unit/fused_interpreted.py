"""The fused kernels in Triton's interpreter, on the CPU: against torch operations, and exactly.

Run by test_fused.py in a process of its own, since the interpreter is chosen when triton is
imported: TRITON_INTERPRET=1 pytest tests/unit/fused_interpreted.py
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_attention_analysis import CASES, Case, make, make_again, picked, plain
from torch import Tensor

from explain_widgets.analysis import fused
from explain_widgets.analysis import tiles as tiles_module
from explain_widgets.analysis.attention import Attention, Head
from explain_widgets.analysis.derived import value_weighted, without_keys
from explain_widgets.analysis.pooling import Reduce, Window, pool
from explain_widgets.analysis.score_steps import (
    Bias,
    Causal,
    Masked,
    Part,
    Ranges,
    ScoreStep,
    Span,
    Stacked,
)

INF = math.inf
LOWEST = torch.finfo(torch.float32).min


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels for the CPU, of blocks that small inputs have several of."""
    monkeypatch.setattr(fused, "DEVICES", {"cpu"})
    monkeypatch.setattr(fused, "_BLOCK", 16)
    monkeypatch.setattr(fused, "_OFF", [])
    warnings.filterwarnings("error", "The fused attention kernels do not run")
    # numpy's, in the interpreter
    warnings.filterwarnings("ignore", "invalid value|All-NaN|overflow", RuntimeWarning)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that were started."""
    names: list[str] = []
    start = fused.Kernels._start

    def noted(self: fused.Kernels, name: str, *arguments: Any, **constants: Any) -> bool:
        names.append(name)
        return start(self, name, *arguments, **constants)

    monkeypatch.setattr(fused.Kernels, "_start", noted)
    return names


def in_blocks(attention: Attention, ask: Callable[[Attention], Tensor]) -> Tensor:
    """What torch operations give."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "applies", lambda _: False)
        return ask(replace(make_again(attention), empty_rows=attention.empty_rows))


def exact_tile(attention: Attention, head: Head, window: Window) -> Tensor:
    """A window's picture from all weights in double precision."""
    start, stop = window.keys
    first, last = window.rows((0, window.row_edges[-1]))
    weights = picked(plain(attention), head)[first : last : window.every, start:stop]
    return pool(
        weights, window.row_edges, [edge - start for edge in window.key_edges], window.reduce
    )


def check_tile(
    attention: Attention,
    head: Head,
    rows: Span,
    keys: Span,
    size: tuple[int, int],
    reduce: Reduce = "mean",
    every: int = 1,
    tolerance: float = 2e-6,
) -> None:
    def ask(one: Attention) -> Tensor:
        return one.tile(head, rows, keys, size, reduce, every)

    found = ask(attention)
    close = {"rtol": tolerance, "atol": 1e-9}
    torch.testing.assert_close(found, in_blocks(attention, ask), **close, equal_nan=True)
    exact = exact_tile(attention, head, Window.of(rows, keys, size, reduce, every))
    torch.testing.assert_close(found.double(), exact, **close, equal_nan=True)


def random(queries: int, keys: int, channels: int, *steps: ScoreStep, **fields: Any) -> Attention:
    """Four heads, of which two share a key."""
    query, key = torch.randn(4, queries, channels), torch.randn(2, keys, channels)
    return Attention(query, key, channels**-0.5, steps, **fields)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sums_and_pictures_for_every_kind_of_step(case: Case, started: list[str]) -> None:
    attention = make(case)
    check_tile(attention, 1, (2, 12), (1, 12), (10, 5))
    assert started == ["row_sums", "picture"]

    def ask(one: Attention) -> Tensor:
        return one._sums_of((3, 4), (0, one.queries))

    torch.testing.assert_close(ask(attention), in_blocks(attention, ask), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reduce", ["mean", "max"])
@pytest.mark.parametrize("head", ["mean", "max"])
def test_heads_are_combined_weight_by_weight(head: Head, reduce: Reduce) -> None:
    attention = random(32, 32, 16, Causal(4), Masked(torch.rand(1, 1, 32) > 0.3))
    attention = replace(attention, query=attention.query[1:3])
    check_tile(attention, head, (0, 31), (1, 32), (2, 2), reduce)  # pieces of 16
    check_tile(attention, head, (3, 26), (5, 28), (16, 16), reduce)  # of 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [16, 40, 64, 128])
def test_dtypes_and_head_sizes(dtype: torch.dtype, channels: int) -> None:
    attention = random(18, 34, channels, Causal(16))
    attention = replace(attention, query=attention.query.to(dtype), key=attention.key.to(dtype))
    assert fused.applies(attention)
    check_tile(attention, 2, (1, 17), (0, 34), (16, 17))


def test_the_widest_heads_and_what_is_wider() -> None:
    check_tile(random(9, 17, 256), 1, (0, 9), (0, 17), (9, 17))
    assert not fused.applies(random(9, 17, 257))


def test_shapes_that_do_not_fit_are_never_read() -> None:
    fits = random(9, 17, 16)
    assert fused.applies(fits)
    assert not fused.applies(replace(fits, key=torch.randn(2, 17, 8)))
    assert not fused.applies(replace(fits, key=torch.randn(3, 17, 16)))
    for step in (Masked(torch.ones(1, 1, 16).bool()), Bias(torch.randn(2, 9, 17))):
        assert fused.kernels_for(replace(fits, steps=(step,))) is None
    for length in (8, 10):
        ranges = Ranges(torch.zeros(length).long(), torch.ones(length).long())
        assert fused.kernels_for(replace(fits, steps=(ranges,))) is None


@pytest.mark.parametrize(
    ("size", "every"),
    [
        ((1, 1), 1),
        ((2, 3), 1),
        ((2, 20), 1),
        ((13, 3), 1),
        ((13, 20), 1),
        ((2, 3), 3),
        ((8, 20), 3),
    ],
)
def test_uneven_bins_and_previews(size: tuple[int, int], every: int) -> None:
    check_tile(random(40, 60, 16, Causal(20)), 2, (4, 35), (7, 54), size, "mean", every)


def test_windows_of_which_queries_see_nothing_or_all() -> None:
    places = torch.arange(60)
    sliding = random(60, 60, 16, Ranges((places - 20).clamp(0), places + 1))
    for rows, keys in [((0, 60), (0, 60)), ((50, 60), (0, 48)), ((59, 60), (0, 60))]:
        check_tile(sliding, 0, rows, keys, (10, 4))
    assert not sliding.tile(0, (0, 16), (30, 60), (4, 4)).any()


@pytest.mark.parametrize(
    "steps",
    [
        (Causal(), Bias(torch.randn(1, 30, 30))),
        (Causal(fill=LOWEST), Masked(torch.arange(30)[None, None] > 2)),
        (Masked(torch.rand(1, 30, 30) > 0.4, -5.0), Bias(torch.randn(4, 1, 30))),
        (Ranges(torch.arange(30) // 2, torch.arange(30) + 1, -1e4), Causal(-1)),
        (Bias(torch.randn(4, 30, 60, dtype=torch.float16).mT[:, 10:40:1]),),
        (Bias(torch.randn(1, 30, 1).expand(1, 30, 30)), Masked(torch.ones(1, 1, 30).bool())),
    ],
)  # fmt: skip
def test_steps_in_their_order(steps: tuple[ScoreStep, ...], started: list[str]) -> None:
    steps = tuple(Bias(step.bias[..., :30]) if isinstance(step, Bias) else step for step in steps)
    check_tile(random(30, 30, 8, *steps), 3, (0, 30), (0, 30), (15, 2))
    assert started[-1] == "picture"


def test_inputs_that_are_views() -> None:
    both = torch.randn(50, 2, 4, 16)  # tokens, query and key, heads, channels
    query, key = both.permute(1, 2, 0, 3)
    attention = Attention(query, key[:, ::2].mT.contiguous().mT, 0.2, (Causal(),))
    check_tile(attention, 3, (0, 50), (0, 25), (25, 25))


def test_keys_are_summed_up_in_parts() -> None:
    attention = random(5, 100, 16, Causal(95))
    kernels = fused.kernels_for(attention)
    assert kernels is not None
    found = kernels.sums((1, 3), (0, 5), (0, 100), 2)
    expected = in_blocks(attention, lambda one: one._streamed_sums((1, 3), (0, 5), 2))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


# --- what is not a number, and rows without weights -------------------------------------------


@pytest.mark.parametrize("empty", [0.0, math.nan, 0.5])
@pytest.mark.parametrize("name", ["masked rows", "causal, first rows empty"])
def test_rows_that_are_masked_everywhere(name: str, empty: float, started: list[str]) -> None:
    check_tile(make(CASES[name], empty_rows=empty), 1, (0, 13), (2, 13), (13, 6))
    assert ("picture" in started) == (empty == 0)


@pytest.mark.parametrize("value", [math.nan, INF, -INF])
def test_what_is_not_a_number_shows_as_with_torch_operations(value: float) -> None:
    attention = random(20, 30, 16, Causal(10))
    attention.query[1, 4, 2] = value
    attention.key[1, 7, 3] = value

    def ask(one: Attention) -> Tensor:
        tiles = (one.tile(head, (0, 20), (0, 30), (10, 15), "max") for head in (1, "mean"))
        return torch.stack(list(tiles))

    found = ask(attention)
    assert found.isnan().flatten(1).any(1).all()
    torch.testing.assert_close(found, in_blocks(attention, ask), equal_nan=True)


@pytest.mark.parametrize("steps", [(), (Causal(10),)])
def test_scores_that_are_infinitely_small(steps: tuple[ScoreStep, ...]) -> None:
    attention = random(20, 30, 16, *steps)
    attention.key.abs_()
    attention.query[0, 3] = -INF

    def ask(one: Attention) -> Tensor:
        return one.tile(0, (0, 20), (0, 30), (20, 15))

    found = ask(attention)
    assert found[3].isnan().all() == (not steps)
    torch.testing.assert_close(found, in_blocks(attention, ask), equal_nan=True)


# --- where kernels are used, and where not ----------------------------------------------------


def test_a_tile_and_the_sums_take_the_kernels(
    started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = random(40, 40, 16, Causal())
    attention.tile(0, (0, 40), (0, 40), (40, 40))
    assert started == ["row_sums", "picture"]
    attention.tile(0, (3, 30), (0, 20), (27, 20))  # of sums that are known
    assert started == ["row_sums", "picture", "picture"]
    list(attention.sum_steps(1))
    attention.column(1, 3)
    assert started[3:] == ["row_sums"]
    monkeypatch.setattr(fused, "applies", lambda _: False)
    attention.tile(2, (0, 40), (0, 40), (10, 10))
    list(attention.sum_steps(3))
    assert len(started) == 4


def test_steps_are_bounded_and_what_they_summed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_WORK", 1)  # one block of rows at a time
    attention = random(42, 20, 16)
    expected = exact_tile(attention, 1, Window.of((0, 42), (0, 20), (14, 20), "mean")).float()
    for number, tile in enumerate(attention.tile_steps(1, (0, 42), (0, 20), (14, 20)), 1):
        stop = min(42, 16 * number)
        assert tile.done == stop // 3
        torch.testing.assert_close(tile.picture[: tile.done], expected[: tile.done])
        assert attention._sums.known(1, (0, stop)) is not None
        assert attention._sums.known(1, (0, min(42, stop + 1))) is None or stop == 42
    assert number == 3
    assert len(list(attention.sum_steps(0))) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda a: replace(a, query=a.query.double(), key=a.key.double()),
        lambda a: replace(a, query=a.query.half()),
        lambda a: replace(a, steps=(Stacked((Part((0, 20), (0, 20), (Causal(),)),)),)),
        lambda a: replace(a, steps=(Causal(), Masked(torch.ones(1, 1, 20).bool(), -1e4))),
        lambda a: replace(a, steps=(Bias(torch.full((1, 1, 20), INF)),)),
        lambda a: replace(a, steps=(Bias(torch.full((1, 1, 20), math.nan)),)),
        lambda a: value_weighted(replace(a, value_norms=torch.rand(4, 20))),
    ],
)
def test_other_calls_take_torch_operations(change: Any, started: list[str]) -> None:
    attention = change(random(20, 20, 16))
    if attention.query.dtype == attention.key.dtype:
        assert not fused.kernels_for(attention) or type(attention) is not Attention
        attention.tile(0, (0, 20), (0, 20), (5, 5))
    else:
        assert not fused.applies(attention)
    assert "picture" not in started


def test_hidden_sinks_take_the_kernels(started: list[str]) -> None:
    sinks = torch.arange(40) == 0
    for fill in (-INF, LOWEST):
        attention = without_keys(random(40, 40, 16, Causal(fill=fill)), sinks)
        check_tile(attention, 0, (0, 40), (0, 40), (3, 3))
    assert started.count("picture") == 2


def fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Pictures' kernel raises, as where it cannot be compiled."""

    class Failing:
        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            raise error

    kernels = fused._kernels()
    assert kernels is not None
    monkeypatch.setattr(kernels, "picture", Failing())


def test_kernels_that_do_not_run_are_given_up_with_one_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fails(monkeypatch, RuntimeError("ptxas fatal: no such GPU\nmore"))
    attention = random(40, 40, 16, Causal())
    with pytest.warns(RuntimeWarning, match=r"do not run here \(.*ptxas fatal: no such GPU\)"):
        tiles = [attention.tile(0, (0, 40), (0, 40), (10, 10))]
    # Warned of once: another warning would be an error.
    tiles.append(attention.tile(1, (0, 40), (0, 40), (10, 10)))
    assert not fused.applies(attention)
    for head, found in enumerate(tiles):
        exact = exact_tile(attention, head, Window.of((0, 40), (0, 40), (10, 10), "mean"))
        torch.testing.assert_close(found, exact.float())


def test_memory_that_runs_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, torch.OutOfMemoryError("out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        random(20, 20, 16).tile(0, (0, 20), (0, 20), (5, 5))
    assert not fused._OFF


def test_irregular_rows_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a few queries have no numbers, the others still take the kernel."""
    monkeypatch.setattr(fused, "_WORK", 1)
    attention = random(48, 20, 16)
    attention.query[0, 20] = math.nan
    drawn: list[Span] = []
    pooled = tiles_module._pooled

    def noted(one: Attention, head: Head, window: Window, some: Span) -> Tensor:
        drawn.append(some)
        return pooled(one, head, window, some)

    monkeypatch.setattr(tiles_module, "_pooled", noted)
    assert attention.tile(0, (0, 48), (0, 20), (48, 20))[20].isnan().all()
    assert drawn == [(16, 32)]
