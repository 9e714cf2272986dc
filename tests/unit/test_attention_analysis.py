"""Attention analysis against the plain definition: the whole matrix, in double precision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain_statistics import plain_induction, plain_statistics
from torch import Tensor

from explain_widgets.analysis import attention as analysis
from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.pooling import edges, pool
from explain_widgets.analysis.score_steps import (
    Bias,
    Block,
    Causal,
    Masked,
    Ranges,
    ScoreStep,
    as_ranges,
)

INF = math.inf
HEADS, QUERIES, KEYS, WIDTH = 4, 13, 17, 6
LOWEST = torch.finfo(torch.float32).min
LATE = torch.arange(QUERIES)[None, :, None] > 4  # the first rows see nothing


def keep(*shape: int) -> Tensor:
    """A mask with a few keys hidden, the first and last row's first key always seen."""
    mask = torch.rand(shape) > 0.3
    mask[..., 0] = True
    return mask


# name → (queries, keys, key heads, steps)
Case = tuple[int, int, int, Callable[[], tuple[ScoreStep, ...]]]
CASES: dict[str, Case] = {
    "plain": (QUERIES, QUERIES, HEADS, lambda: ()),
    "cross": (QUERIES, KEYS, HEADS, lambda: ()),
    "causal": (QUERIES, QUERIES, HEADS, lambda: (Causal(),)),
    "causal, more keys": (QUERIES, KEYS, HEADS, lambda: (Causal(),)),
    "causal, fewer keys": (KEYS, QUERIES, HEADS, lambda: (Causal(),)),
    "causal, bottom right": (QUERIES, KEYS, HEADS, lambda: (Causal(KEYS - QUERIES),)),
    "causal, first rows empty": (QUERIES, QUERIES, HEADS, lambda: (Causal(-3),)),
    "causal, finite": (QUERIES, QUERIES, HEADS, lambda: (Causal(-2, LOWEST),)),
    "masked keys": (QUERIES, KEYS, HEADS, lambda: (Masked(keep(1, 1, KEYS)),)),
    "masked": (QUERIES, KEYS, HEADS, lambda: (Masked(keep(1, QUERIES, KEYS)),)),
    "masked by head": (QUERIES, KEYS, HEADS, lambda: (Masked(keep(HEADS, 1, KEYS)),)),
    "masked rows": (QUERIES, KEYS, HEADS, lambda: (Masked(LATE.expand(1, -1, KEYS)),)),
    "causal and masked": (QUERIES, QUERIES, HEADS, lambda: (Causal(), Masked(keep(1, 1, QUERIES)))),
    "bias": (QUERIES, KEYS, HEADS, lambda: (Bias(torch.randn(HEADS, QUERIES, KEYS)),)),
    "bias of all heads": (QUERIES, KEYS, HEADS, lambda: (Bias(torch.randn(1, 1, KEYS)),)),
    "bias and causal": (QUERIES, QUERIES, HEADS, lambda: (Bias(torch.randn(1, 13, 13)), Causal())),
    "grouped keys": (QUERIES, KEYS, 2, lambda: ()),
    "one key head": (QUERIES, QUERIES, 1, lambda: (Causal(),)),
}  # fmt: skip


def make(case: Case, **fields: Any) -> Attention:
    queries, keys, key_heads, steps = case
    return Attention(
        torch.randn(HEADS, queries, WIDTH),
        torch.randn(key_heads, keys, WIDTH),
        scale=0.7,
        steps=steps(),
        **fields,
    )


def plain(attention: Attention) -> Tensor:
    """(heads, queries, keys): every weight from its definition."""
    heads, queries, keys = attention.heads, attention.queries, attention.keys
    key = attention.key.double().repeat_interleave(heads // attention.key.shape[0], 0)
    scores = attention.query.double() @ key.mT * attention.scale
    for step in attention.steps:
        if isinstance(step, Causal):
            ahead = torch.arange(keys) > torch.arange(queries)[:, None] + step.offset
            scores = torch.where(ahead, step.fill, scores)
        elif isinstance(step, Masked):
            scores = torch.where(step.keep, scores, step.fill)
        else:
            assert isinstance(step, Bias)
            scores = scores + step.bias.double()
    return torch.where(
        (scores == -INF).all(-1, keepdim=True), attention.empty_rows, scores.softmax(-1)
    )


def picked(weights: Tensor, head: analysis.Head) -> Tensor:
    if isinstance(head, int):
        return weights[head]
    return weights.mean(0) if head == "mean" else weights.amax(0)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=1e-5, equal_nan=True)


every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_block = pytest.mark.parametrize("block", [2**21, 64, 7, 1])
HEAD_CHOICES: list[analysis.Head] = [0, 3, "mean", "max"]


@pytest.fixture
def _blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "_CPU_BLOCK", block)
    monkeypatch.setattr(analysis, "_CPU_KEYS", max(1, block // 4))


@every_case
@every_block
@pytest.mark.usefixtures("_blocks")
def test_weights_rows_and_columns(case: Case) -> None:
    attention = make(case)
    expected = plain(attention)
    close(attention.weights(), expected)
    for head in HEAD_CHOICES:
        ours, theirs = make_again(attention), picked(expected, head)
        close(ours.weights(head), theirs)
        for query in (0, attention.queries // 2, attention.queries - 1):
            close(make_again(attention).row(head, query), theirs[query])
        for key in (0, attention.keys // 2, attention.keys - 1):
            close(make_again(attention).column(head, key), theirs[:, key])


def make_again(attention: Attention) -> Attention:
    """Without the sums it has kept."""
    fields = ("scale", "steps", "empty_rows", "kind")
    return Attention(attention.query, attention.key, **{f: getattr(attention, f) for f in fields})


def plain_pool(weights: Tensor, rows: Any, keys: Any, size: tuple[int, int], reduce: str) -> Tensor:
    height, width = min(size[0], rows[1] - rows[0]), min(size[1], keys[1] - keys[0])
    tile = torch.empty(height, width, dtype=torch.float64)
    for y, x in itertools.product(range(height), range(width)):
        top, bottom = (rows[0] + (y + i) * (rows[1] - rows[0]) // height for i in (0, 1))
        left, right = (keys[0] + (x + i) * (keys[1] - keys[0]) // width for i in (0, 1))
        bin_ = weights[top:bottom, left:right]
        tile[y, x] = bin_.mean() if reduce == "mean" else bin_.amax()
    return tile


WINDOWS = [((0, 13), (0, 13)), ((3, 10), (1, 12)), ((0, 2), (8, 13)), ((12, 13), (0, 1))]
SIZES = [(13, 13), (100, 100), (4, 3), (1, 1), (5, 2), (2, 7)]


@pytest.mark.parametrize(
    "name", ["plain", "causal", "causal and masked", "causal, first rows empty", "one key head"]
)
@pytest.mark.parametrize("reduce", ["mean", "max"])
@every_block
@pytest.mark.usefixtures("_blocks")
def test_tiles(name: str, reduce: Any) -> None:
    attention = make(CASES[name])
    expected = plain(attention)
    for (rows, keys), size in itertools.product(WINDOWS, SIZES):
        for head in (1, "mean", "max"):
            tile = make_again(attention).tile(head, rows, keys, size, reduce)  # type: ignore[arg-type]
            close(tile, plain_pool(picked(expected, head), rows, keys, size, reduce))  # type: ignore[arg-type]
    close(
        attention.overview(2, (4, 5), reduce),
        plain_pool(expected[2], (0, 13), (0, 13), (4, 5), reduce),
    )


@every_block
@pytest.mark.usefixtures("_blocks")
def test_a_tile_after_its_sums_are_known() -> None:
    """Sums kept from an earlier question give the same as those computed for the tile alone."""
    attention = make(CASES["causal and masked"])
    close(attention.column(1, 4), plain(attention)[1, :, 4])
    assert attention._sums.known(1, (0, 13)) is not None
    close(attention.tile(1, (2, 9), (3, 8), (7, 5)), plain(attention)[1, 2:9, 3:8])


@every_case
@every_block
@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("kind", ["self", "cross"])
def test_statistics(case: Case, kind: str) -> None:
    attention = make(case, kind=kind)
    weights = plain(attention)
    tokens = torch.randint(0, 4, (max(attention.queries, attention.keys),))
    sinks = torch.rand(attention.keys) > 0.7
    for head, rows, keys, every in [
        (0, None, None, 1),
        (2, (3, 9), (2, 7), 1),
        ("mean", None, (1, 5), 3),
        ("max", (1, 4), None, 1),
        (1, (2, 11), None, 2),
    ]:
        found = make_again(attention).statistics(head, rows, keys, tokens, sinks, every)  # type: ignore[arg-type]
        start, stop = rows or (0, attention.queries)
        looked = range(start + every // 2, stop, every)
        a = picked(weights, head)  # type: ignore[arg-type]
        ends = range(*(keys or (0, attention.keys)))
        expected = plain_statistics(
            a, looked, ends, tokens.tolist(), sinks.nonzero().flatten().tolist()
        )
        received = a[list(looked)].mean(0)
        torch.testing.assert_close(found.received.double(), received, atol=1e-6, rtol=1e-5)
        if head == "max":
            expected |= {"entropy": None, "distance": None}  # they do not sum to one
        if kind == "cross":
            self_only = ("distance", "previous", "same", "following", "induction")
            expected |= dict.fromkeys(self_only)
        for name, value in expected.items():
            ours = getattr(found, name)
            assert ours == pytest.approx(value, abs=1e-5), name
        assert found.every == every


def test_rows_sum_to_one_and_entropy_is_that_of_uniform_rows() -> None:
    attention = Attention(torch.zeros(1, 8, 4), torch.randn(1, 8, 4), scale=1.0)
    assert attention.statistics(0).entropy == pytest.approx(3.0)
    causal = Attention(torch.zeros(1, 8, 4), torch.randn(1, 8, 4), 1.0, (Causal(),))
    assert causal.statistics(0).first == pytest.approx(sum(1 / n for n in range(1, 9)) / 8)
    assert causal.statistics(0).previous == pytest.approx(sum(1 / n for n in range(2, 9)) / 8)


@pytest.mark.parametrize("empty", [0.0, math.nan])
@pytest.mark.parametrize("name", ["masked rows", "causal, first rows empty"])
def test_rows_that_are_masked_everywhere(name: str, empty: float) -> None:
    attention = make(CASES[name], empty_rows=empty)
    expected = plain(attention)
    assert attention.weights(0)[0].isnan().all() == math.isnan(empty)
    close(attention.weights(), expected)
    for row in (0, 1, QUERIES - 1):
        close(attention.row(1, row), expected[1, row])
    close(make_again(attention).column(1, 5), expected[1, :, 5])
    close(make_again(attention).tile(0, (0, 6), (4, 9), (6, 5)), expected[0, :6, 4:9])


def test_a_finite_mask_makes_hidden_rows_uniform() -> None:
    attention = make(CASES["causal, finite"])
    close(attention.row(0, 1), torch.full((QUERIES,), 1 / QUERIES, dtype=torch.float64))


def test_double_and_half_precision() -> None:
    attention = make(CASES["causal"])
    double = Attention(attention.query.double(), attention.key.double(), 0.7, attention.steps)
    assert double.weights().dtype == double.tile(0, (0, 5), (0, 5), (2, 2)).dtype == torch.float64
    torch.testing.assert_close(double.weights(), plain(double), atol=1e-14, rtol=1e-12)
    for dtype in (torch.float16, torch.bfloat16):
        half = Attention(attention.query.to(dtype), attention.key.to(dtype), 0.7, attention.steps)
        close(half.weights(), plain(half))  # computed in single precision


def test_large_scores_do_not_overflow() -> None:
    query = torch.tensor([[[300.0], [-300.0]]])
    attention = Attention(query, torch.tensor([[[1.0], [-1.0], [0.99]]]), scale=1.0)
    close(attention.weights(), plain(attention))
    close(attention.column(0, 2), plain(attention)[0, :, 2])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda a: a.weights(4), r"head 4 is out of range: there are 4 \(0 to 3\)"),
        (lambda a: a.weights(-1), "head -1 is out of range"),
        (lambda a: a.row(0, 13), "query 13 is out of range"),
        (lambda a: a.column(0, 17), "key 17 is out of range"),
        (lambda a: a.tile(0, (0, 14), (0, 3), (2, 2)), r"rows \(0, 14\) is not a range"),
        (lambda a: a.tile(0, (0, 3), (3, 3), (2, 2)), r"keys \(3, 3\) is not a range"),
        (lambda a: a.tile(9, (0, 3), (0, 3), (2, 2)), "head 9"),
        (lambda a: a.tile(0, (0, 3), (0, 3), (0, 2)), "size"),
        (lambda a: a.statistics(0, (5, 20)), "rows"),
        (lambda a: a.statistics(0, (0, 5), (0, 18)), "keys"),
        (lambda a: a.statistics(7), "head 7"),
        (lambda a: a.weights("sum"), "sum"),
    ],
)
def test_out_of_range(ask: Callable[[Attention], Any], message: str) -> None:
    with pytest.raises((IndexError, ValueError), match=message):
        ask(make(CASES["cross"]))


# --- long inputs ------------------------------------------------------------------------------


def long(
    tokens: int = 3000, steps: tuple[ScoreStep, ...] = (Causal(),), sharp: float = 2
) -> Attention:
    """More than one block of keys, and no multiple of any block."""
    query, key = (torch.randn(2, tokens, 64) * sharp for _ in range(2))
    return Attention(query, key, 0.125, steps)


@pytest.mark.parametrize(("sharp", "tolerance"), [(1.5, 1e-6), (4, 5e-6)])
def test_long_inputs_are_as_exact_as_promised(sharp: float, tolerance: float) -> None:
    attention = long(sharp=sharp)
    expected = plain(attention)
    scores = attention.query.double() @ attention.key.double().mT * attention.scale
    assert (scores.abs().max() < 20) == (sharp < 2)
    whole = attention.tile(0, (0, 3000), (0, 3000), (3000, 3000)).double()
    assert (whole - expected[0]).abs().max() <= tolerance
    ahead = torch.ones(3000, 3000, dtype=torch.bool).triu(1)
    log_sums = attention._sums.known(0, (0, 3000))
    assert log_sums is not None
    exact = scores[0].masked_fill(ahead, -INF).logsumexp(-1)
    # In single precision a sum near 100 is no more exact than that.
    assert (log_sums.double().sum(-1) - exact).abs().max() <= (4e-6 if sharp < 2 else 2e-5)
    for reduce in ("mean", "max"):
        for size in ((300, 300), (512, 512)):
            picture = attention.overview(1, size, reduce).double()
            plainly = pool(
                expected[1], edges((0, 3000), size[0]), edges((0, 3000), size[1]), reduce
            )
            assert (picture - plainly).abs().max() <= tolerance


def test_a_tile_comes_row_by_row_and_can_be_left_and_asked_for_again() -> None:
    attention = long()
    expected = pool(plain(attention)[0], edges((0, 3000), 100), edges((0, 3000), 100), "mean")
    steps = attention.tile_steps(0, (0, 3000), (0, 3000), (100, 100))
    done = 0
    for tile in itertools.islice(steps, 5):
        assert tile.done >= done
        done = tile.done
        close(tile.picture[:done], expected[:done])
    assert 0 < done < 100
    steps.close()
    assert attention._sums.known(0, (0, 30 * (done - 1))) is not None  # what was summed is kept
    close(attention.overview(0, (100, 100)), expected)


def test_a_preview_looks_at_each_so_manyth_query() -> None:
    attention = long()
    expected = plain(attention)[1]
    preview = attention.tile(1, (0, 3000), (0, 3000), (100, 60), every=30)
    looked = expected[15::30].unflatten(1, (60, 50)).mean(-1)
    close(preview, looked)
    # Each row of pixels has a query, whatever is asked for.
    close(attention.tile(1, (0, 9), (0, 9), (9, 9), every=100), expected[:9, :9])
    close(attention.tile(1, (0, 9), (0, 9), (4, 9), every=2), expected[1:9:2, :9])


def test_no_more_than_some_blocks_are_in_memory() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        """The largest tensor that anything returned."""

        elements = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            for tensor in torch.utils._pytree.tree_leaves(result):
                if isinstance(tensor, Tensor):
                    self.elements = max(self.elements, tensor.untyped_storage().nbytes() // 4)
            return result

    attention = long(6000)
    own = attention.query.numel()
    with Largest() as largest:
        attention.overview("mean", (64, 64))
        attention.statistics(0)
        attention.column(1, 3)
        attention.tile(0, (5000, 5500), (100, 600), (500, 500))
    assert largest.elements <= max(own, 2 * analysis._CPU_BLOCK * torch.get_num_threads())


def test_statistics_come_in_steps_with_the_share_that_is_done() -> None:
    attention = long()
    steps, shares = attention.statistics_steps(0), []
    try:
        while True:
            shares.append(next(steps))
    except StopIteration as stop:
        found = stop.value
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert shares[-1] == 1
    expected = plain(attention)[0]
    assert found.entropy == pytest.approx(
        float(torch.special.entr(expected).sum() / math.log(2) / 3000), rel=1e-5
    )
    places = torch.arange(3000)
    distance = (expected * (places[:, None] - places).abs()).sum() / 3000
    assert found.distance == pytest.approx(float(distance), rel=1e-5)


def test_induction_is_the_weight_on_what_followed_the_same_token() -> None:
    tokens = torch.randint(0, 40, (300,))
    attention = Attention(torch.randn(1, 300, 8), torch.randn(1, 300, 8), 1.0, (Causal(),))
    expected = plain_induction(plain(attention)[0], range(300), tokens.tolist())
    found = attention.statistics(0, tokens=tokens).induction
    assert found == pytest.approx(expected, abs=1e-6)
    assert attention.statistics(0).induction is None
    assert attention.statistics(0, tokens=range(300)).induction is None


def test_the_strongest_keys() -> None:
    attention = make(CASES["cross"])
    keys, weights = attention.top_keys(2, 5, 3)
    expected = plain(attention)[2, 5].sort(descending=True)
    assert keys.tolist() == expected.indices[:3].tolist()
    close(weights, expected.values[:3])
    assert len(attention.top_keys("mean", 0, 100)[0]) == KEYS


def masks() -> dict[str, tuple[Tensor, bool]]:
    """Masks of 40 × 50, and whether each query sees one stretch of what is not padding."""
    rows, keys = torch.arange(40)[:, None], torch.arange(50)
    not_padding = (keys > 2) & (keys != 20)
    causal = keys <= rows + 10
    ragged = torch.rand(40, 50) > 0.5
    return {
        "causal": (causal, True),
        "sliding": (causal & (keys > rows), True),
        "padded": (not_padding.expand(40, 50), True),
        "sliding and padded": (causal & (keys > rows) & not_padding, True),
        "rows that see nothing": (causal & (rows > 5), True),
        "a hole in some rows": (causal & ((keys != 7) | (rows < 20)), False),
        "ragged": (ragged, False),
    }


@pytest.mark.parametrize(("keep_", "fits"), masks().values(), ids=masks())
def test_masks_as_ranges(keep_: Tensor, fits: bool) -> None:
    steps = as_ranges(keep_)
    assert (steps is not None) == fits
    if steps is None:
        return
    query, key = torch.randn(2, 40, 8), torch.randn(2, 50, 8)
    plainly = Attention(query, key, 1.0, (Masked(keep_[None]),))
    ranges = Attention(query, key, 1.0, steps)
    close(ranges.weights(), plain(plainly))
    close(
        ranges.tile(1, (3, 37), (5, 45), (7, 9)), plainly.tile(1, (3, 37), (5, 45), (7, 9)).double()
    )
    close(
        ranges.tile(1, (0, 40), (0, 50), (5, 9), every=8),
        plainly.tile(1, (0, 40), (0, 50), (5, 9), every=8).double(),
    )
    assert all(not isinstance(step, Ranges) or step.starts.shape == (40,) for step in steps)


# --- score steps ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        Causal(), Causal(3), Causal(-3), Causal(2, -5.0),
        Ranges(torch.tensor([0, 1, 1, 2, 0, 4, 5]), torch.tensor([3, 5, 9, 2, 9, 6, 8])),
        Masked(keep(1, 1, 9)), Masked(keep(2, 7, 9), -1e4),
        Bias(torch.randn(2, 1, 9)), Bias(torch.randn(1, 7, 9)),
    ],
)  # fmt: skip
def test_a_step_on_a_block_is_the_block_of_the_step(step: ScoreStep) -> None:
    scores = torch.randn(2, 7, 9)
    whole = step.apply(scores, Block((0, 2), (0, 7), (0, 9)))
    for heads, rows, keys in itertools.product(
        [(0, 1), (1, 2)], [(0, 3), (3, 7)], [(0, 4), (4, 9), (2, 5)]
    ):
        part = scores[slice(*heads), slice(*rows), slice(*keys)]
        expected = whole[slice(*heads), slice(*rows), slice(*keys)]
        assert torch.equal(step.apply(part, Block(heads, rows, keys)), expected)


@pytest.mark.parametrize("offset", [-4, -1, 0, 1, 5])
@pytest.mark.parametrize("fill", [-INF, -1e30])
def test_keys_seen_end_with_what_rows_see(offset: int, fill: float) -> None:
    step = Causal(offset, fill)
    for start, stop in [(0, 1), (0, 4), (3, 7), (6, 7)]:
        block = Block((0, 1), (start, stop), (0, 9))
        seen = step.apply(torch.zeros(1, stop - start, 9), block)[0] == 0
        expected = int(seen.any(0).nonzero().max()) + 1 if seen.any() else 0
        assert step.keys_seen((start, stop), (0, 9)) == (0, expected if fill == -INF else 9)
        assert step.keys_seen((start, stop), (1, 2))[1] <= 2


# --- pooling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("span", [(0, 7), (3, 10), (0, 1), (5, 1005)])
@pytest.mark.parametrize("bins", [1, 2, 3, 7])
def test_edges_cover_all_once(span: tuple[int, int], bins: int) -> None:
    bins = min(bins, span[1] - span[0])
    found = edges(span, bins)
    assert (found[0], found[-1], len(found)) == (*span, bins + 1)
    lengths = {stop - start for start, stop in itertools.pairwise(found)}
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= 1


@pytest.mark.parametrize("reduce", ["mean", "max"])
@pytest.mark.parametrize(("height", "width"), [(12, 10), (6, 5), (5, 3), (1, 10), (12, 1), (7, 9)])
def test_pooling(reduce: Any, height: int, width: int) -> None:
    values = torch.randn(12, 10, dtype=torch.float64)
    found = pool(values, edges((4, 16), height), edges((0, 10), width), reduce)
    torch.testing.assert_close(found, plain_pool(values, (0, 12), (0, 10), (height, width), reduce))
