"""Attention through several layers, rollout and flow, against loops in double precision."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_attention import BLOCKS, HEADS, WIDTH, Block, ByHand, X, blocks_of
from small_transformers import inputs_of, small_model
from snapshot import untouched
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis import flow, rollout
from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.built_attention import built_attention
from explain_widgets.analysis.derived import grouped
from explain_widgets.analysis.flow import attention_flow, most_positions
from explain_widgets.analysis.layered import group_borders
from explain_widgets.analysis.rollout import attention_rollout
from explain_widgets.analysis.score_steps import Causal, Masked
from explain_widgets.live.attention.layer import AttentionLayer, ImageGrid
from explain_widgets.live.attention.stacks import stacks_of

TARGET = lambda output: output[0, 2].sin().sum()  # noqa: E731


def mixed(weights: Tensor) -> Tensor:
    """½ mean over heads + ½ I, (positions, positions), rows divided by their sums."""
    mean = weights.double().nan_to_num(0).mean(0)
    shares = (mean + torch.eye(len(mean), dtype=torch.float64)) / 2
    return shares / shares.sum(-1, keepdim=True)


def rolled(layers: list[Tensor]) -> Tensor:
    """(layers, positions, positions): after each layer, by the plain definition."""
    result, after = torch.eye(layers[0].shape[-1], dtype=torch.float64), []
    for weights in layers:
        result = mixed(weights) @ result
        after.append(result)
    return torch.stack(after)


def pooled(matrix: Tensor, borders: list[int]) -> Tensor:
    """The sum over the keys of a group, the mean over its queries."""
    spans = [slice(a, b) for a, b in itertools.pairwise(borders)]
    rows = [torch.stack([matrix[q, k].sum(-1).mean() for k in spans]) for q in spans]
    return torch.stack(rows)


def largest_flows(layers: list[Tensor], source: int) -> list[float]:
    """From a position at the top to each at the input: a linear program, edge by edge."""
    from scipy.optimize import linprog

    count = layers[0].shape[-1]
    edges = [
        (level + 1, query, key, float(shares[query, key]))
        for level, shares in enumerate(map(mixed, layers))
        for query in range(count)
        for key in range(count)
    ]
    node = lambda level, place: level * count + place  # noqa: E731
    balance = np.zeros(((len(layers) + 1) * count, len(edges)))
    for index, (level, query, key, _) in enumerate(edges):
        balance[node(level, query), index] -= 1
        balance[node(level - 1, key), index] += 1
    found = []
    for sink in range(count):
        inside = np.delete(balance, [node(len(layers), source), sink], 0)
        best = linprog(
            -balance[sink],
            A_eq=inside,
            b_eq=np.zeros(len(inside)),
            bounds=[(0, edge[3]) for edge in edges],
        )
        found.append(-best.fun)
    return found


def seeded(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def random_layers(count: int = 3, positions: int = 13, sharp: float = 1.0) -> list[Attention]:
    return [
        Attention(seeded(4, positions, 5 + n), seeded(2, positions, 5 + n), sharp, (Causal(),))
        if n == 1
        else built_attention(
            (sharp * seeded(3 + n, positions, positions)).softmax(-1),
            name=f"layers.{n}",
            kind="self",
            source="",
            note="",
        )
        for n in range(count)
    ]


# --- rollout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BLOCKS)
def test_rollout_is_the_product_of_all_layers_below(kind: type[Block]) -> None:
    model = blocks_of(kind, 3)
    live = xw.LiveModel(model, X)
    with untouched(model):
        ours = live.attention("rollout")
    theirs = rolled([live.attention(layer).weights() for layer in range(3)])
    assert (ours.heads, ours.queries, ours.keys) == (3, 6, 6)
    assert (ours.weights() - theirs).abs().max() < 1e-6
    assert live.attention("rollout") is ours
    assert ours.sums_to_one
    with torch.no_grad():
        model[1].qkv.weight.mul_(3)
    changed = rolled([live.attention(layer).weights() for layer in range(3)])
    assert (changed - theirs).abs().max() > 1e-3
    assert (live.attention("rollout").weights() - changed).abs().max() < 1e-6


@pytest.mark.parametrize("kind", ["bert", "vit", "gpt2", "albert", "deberta"])
def test_rollout_of_models_of_transformers(kind: str) -> None:
    model = small_model(kind)
    live = xw.LiveModel(model, inputs_of(model))
    real = live.attention_layers()
    listed = live.attention_layers(derived=True)
    assert [layer.name for layer in listed[len(real) :]] == ["rollout", "flow"]
    theirs = rolled([live.attention(layer.name).weights() for layer in real])
    assert (live.attention("rollout").weights() - theirs).abs().max() < 1e-6
    described = listed[len(real)]
    assert (described.heads, described.queries) == (len(real), real[0].queries)
    assert (described.kind, described.source) == ("self", "rollout")
    assert "approximate" not in described.note
    assert live.attention("rollout").note == described.note


def in_parts(made: Attention, expected: Tensor, within: float = 1e-6) -> None:
    count = expected.shape[-1]
    close = lambda ours, theirs: float((ours - theirs).abs().max()) < within  # noqa: E731
    assert close(made.row(2, 4), expected[2, 4])
    assert close(made.column("mean", 3), expected.mean(0)[:, 3])
    assert close(made.tile(1, (1, count), (2, 6), (count - 1, 4)), expected[1, 1:, 2:6])
    assert close(made.block((1, 3), (0, count), (0, count), every=3), expected[1:3, ::3])
    keys, weights = made.top_keys(0, 5, 3)
    assert close(weights, expected[0, 5].topk(3).values)
    assert close(expected[0, 5][keys], weights)
    assert close(made.statistics(1).received, expected[1].mean(0))
    assert close(made.overview("max", (count, count)), expected.amax(0))
    words = [0, 1, 4, 6, count]
    assert close(grouped(made, words, words).weights(2), pooled(expected[2], words))


def test_parts_of_a_rollout() -> None:
    layers = random_layers()
    made = attention_rollout(layers)
    expected = rolled([layer.weights() for layer in layers])
    in_parts(made, expected)
    assert made.statistics(0).entropy == pytest.approx(
        float(torch.special.entr(expected[0]).sum(-1).mean() / np.log(2)), abs=1e-5
    )


def test_double_precision_stays() -> None:
    layers = [Attention(seeded(2, 9, 4).double(), seeded(2, 9, 4).double(), 0.5) for _ in range(4)]
    expected = rolled([layer.weights() for layer in layers])
    assert (attention_rollout(layers).weights() - expected).abs().max() < 1e-14


@pytest.mark.parametrize("empty", [0.0, float("nan")])
def test_queries_without_any_key_stay_with_themselves(empty: float) -> None:
    """Padded rows: what the model has for them, nothing or NaN, must not reach the others."""
    keep = torch.ones(1, 7, 7, dtype=torch.bool)
    keep[:, :, 5:] = False
    keep[:, 5:] = False
    layers = [
        Attention(seeded(2, 7, 4 + n), seeded(2, 7, 4 + n), 1.0, (Masked(keep),), empty)
        for n in range(3)
    ]
    ours = attention_rollout(layers).weights(2)
    real = [layer.weights()[:, :5, :5] for layer in layers]
    assert (ours[:5, :5] - rolled(real)[2]).abs().max() < 1e-6
    assert torch.equal(ours[5:], torch.eye(7)[5:])
    assert torch.equal(ours[:5, 5:], torch.zeros(5, 2))
    flows = attention_flow(layers)
    assert flows.row(2, 1)[:5].tolist() == pytest.approx(largest_flows(real, 1), abs=1e-6)
    assert flows.row(2, 6).tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_padding_changes_nothing_for_the_tokens() -> None:
    model = small_model("bert")
    ids = inputs_of(model)["input_ids"]
    padded = torch.nn.functional.pad(ids, (0, 5))
    mask = (torch.arange(16) < 11).long()[None]
    plain = xw.LiveModel(model, {"input_ids": ids})
    live = xw.LiveModel(model, {"input_ids": padded, "attention_mask": mask})
    ours, theirs = live.attention("rollout").weights(1), plain.attention("rollout").weights(1)
    assert (ours[:11, :11] - theirs).abs().max() < 1e-5
    assert ours[:11, 11:].abs().max() == 0


def test_rollout_of_an_ablated_run() -> None:
    live = xw.LiveModel(blocks_of(Block, 3), X)
    without = [(0, 1, "zero"), (0, 2, "zero")]
    ours = live.attention("rollout", ablate=without).weights()
    theirs = rolled([live.attention(layer, ablate=without).weights() for layer in range(3)])
    assert (ours - theirs).abs().max() < 1e-6
    assert (ours - live.attention("rollout").weights()).abs().max() > 1e-4


@pytest.mark.parametrize("kind", [Block, ByHand])
def test_rollout_of_gradients(kind: type[Block]) -> None:
    """Chefer et al.: R grows by mean (∇A ⊙ A)⁺ · R with each layer, from I."""
    live = xw.LiveModel(blocks_of(kind, 3), X)
    ours = live.gradient_attention("rollout", target=TARGET)
    relevance = torch.eye(6, dtype=torch.float64)
    for layer in range(3):
        measure = live.gradient_attention(layer, target=TARGET).weights().double()
        relevance = relevance + measure.mean(0) @ relevance
        assert (ours.weights(layer) - relevance).abs().max() < 1e-6 * relevance.max()
    assert relevance.sum(-1).max() > 1.01
    assert not ours.sums_to_one
    assert "gradient" in ours.origin
    with pytest.raises(xw.LayerError, match="no attention layer 'flow'; did you mean"):
        live.gradient_attention("flow", target=TARGET)


def test_rollout_of_generated_text() -> None:
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 3}
    config = transformers.LlamaConfig(
        vocab_size=99, num_attention_heads=4, num_key_value_heads=2, **sizes
    )
    model = transformers.LlamaForCausalLM(config).eval()
    ids = torch.randint(3, 99, (1, 5))
    live = xw.LiveModel(
        model,
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        forward=lambda m, **kwargs: m.generate(**kwargs, max_new_tokens=4, min_new_tokens=4),
    )
    described = live.attention_layers(derived=True)[3]
    assert (described.name, described.queries, described.prompt) == ("rollout", 8, 5)
    assert "3 new tokens after the prompt" in described.note
    ours = live.attention("rollout")
    assert ours.prompt == 5
    theirs = rolled([live.attention(layer).weights() for layer in range(3)])
    assert (ours.weights() - theirs).abs().max() < 1e-6


# --- flow --------------------------------------------------------------------------------------


def test_flow_of_a_small_graph() -> None:
    """Two layers over three positions, by hand.

    Position 0 looks at 1 only, 1 at itself, 2 at 0 and 1 alike; half of each stays.
    """
    weights = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]])
    layer = built_attention(weights, name="", kind="self", source="", note="")
    flows = attention_flow([layer, layer])
    one = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]
    assert flows.weights(0).tolist() == one
    # From 2 to 0: over 0 at most 0.25 may come in, and over 2, of which 0.25 may go on.
    assert flows.weights(1).tolist() == [[0.5, 1.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.75, 0.5]]


@pytest.mark.parametrize("sharp", [1.0, 4.0])
def test_flow_is_the_largest_there_is(sharp: float) -> None:
    layers = random_layers(3, 9, sharp)
    made = attention_flow(layers)
    weights = [layer.weights() for layer in layers]
    expected = torch.stack(
        [
            torch.tensor([largest_flows(weights[: depth + 1], source) for source in range(9)])
            for depth in range(3)
        ]
    )
    assert (made.weights() - expected).abs().max() < 1e-6
    in_parts(made, expected)
    assert not made.sums_to_one


def test_flow_of_a_model() -> None:
    model = small_model("bert")
    live = xw.LiveModel(model, inputs_of(model))
    with untouched(model):
        made = live.attention("flow")
        row = made.row(1, 3)
    weights = [live.attention(layer).weights() for layer in range(2)]
    assert row.tolist() == pytest.approx(largest_flows(weights, 3), abs=1e-6)
    assert live.attention("flow") is made
    assert made.source == "flow"


def test_only_the_rows_that_are_looked_at_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.sparse.csgraph as theirs

    calls = []
    plain = theirs.maximum_flow
    monkeypatch.setattr(
        theirs, "maximum_flow", lambda *args: calls.append(args[1:]) or plain(*args)
    )
    made = attention_flow(random_layers(2, 8))
    made.row(1, 3)
    assert [source for source, _ in calls] == [2 * 8 + 3] * 8
    made.row(1, 3)
    assert len(calls) == 8
    for _ in made.sum_steps(1):
        pass
    assert len(calls) == 64
    made.weights(1)
    made.column(1, 2)
    assert len(calls) == 64


def test_flow_without_scipy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    live = xw.LiveModel(blocks_of(Block, 2), X)
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"explain_widgets\[flow\]"):
        live.attention("flow")
    assert live.attention("rollout").heads == 2


# --- long inputs -------------------------------------------------------------------------------

BORDERS = [0, 1, 4, 6, 11, 13]


@pytest.mark.parametrize("make", [attention_rollout, attention_flow])
def test_pooled_positions_are_as_defined(make: Callable[..., Attention]) -> None:
    layers = random_layers()
    made = make(layers, BORDERS)
    assert made.note.startswith("approximate: 13 positions in 5 groups of neighbours")
    groups = [pooled(layer.weights().double().mean(0), BORDERS)[None] for layer in layers]
    sizes = torch.tensor(BORDERS).diff()
    for depth in range(3):
        if make is attention_rollout:
            small = rolled(groups)[depth] / sizes
        else:
            rows = [largest_flows(groups[: depth + 1], source) for source in range(5)]
            small = torch.tensor(rows)
        whole = small.repeat_interleave(sizes, 0).repeat_interleave(sizes, 1)
        assert (made.weights(depth) - whole).abs().max() < 1e-6
        assert (made.row(depth, 7) - whole[7]).abs().max() < 1e-6
        assert (
            made.block((depth, depth + 1), (2, 12), (3, 9), 4)[0] - whole[2:12:4, 3:9]
        ).abs().max() < 1e-6


def test_pooling_is_exact_where_neighbours_are_alike() -> None:
    """Where a group's positions look, and are looked at, alike: the rollout's own pooling."""
    sizes = torch.tensor(BORDERS).diff()

    def alike(n: int) -> Attention:
        small = seeded(2, 5, 5 + n)[..., :5].softmax(-1) / sizes
        whole = small.repeat_interleave(sizes, 1).repeat_interleave(sizes, 2)
        return built_attention(whole, name="", kind="self", source="", note="")

    layers = [alike(n) for n in range(3)]
    exact, made = attention_rollout(layers), attention_rollout(layers, BORDERS)
    for depth in range(3):
        expected = pooled(exact.weights(depth).double(), BORDERS)
        assert (grouped(made, BORDERS, BORDERS).weights(depth) - expected).abs().max() < 1e-6
    # Of others it is near.
    layers = random_layers(3, 13)
    exact, made = attention_rollout(layers), attention_rollout(layers, BORDERS)
    expected = pooled(exact.weights(2).double(), BORDERS)
    error = (grouped(made, BORDERS, BORDERS).weights(2) - expected).abs().max()
    assert 1e-6 < error < 0.1


def test_a_large_group_is_read_in_parts() -> None:
    layers = [Attention(seeded(1, 1500, 4), seeded(1, 1500, 4), 0.5) for _ in range(2)]
    borders = [0, 1, 5, 1450, 1500]
    ours = attention_rollout(layers, borders).weights(1)
    groups = [pooled(layer.weights(0).double(), borders)[None] for layer in layers]
    small = rolled(groups)[1] / torch.tensor(borders).diff()
    assert (ours[[0, 3, 700, 1499]][:, [0, 3, 700, 1499]] - small).abs().max() < 1e-6


@pytest.mark.parametrize("count", [10, 100, 1025, 5000])
@pytest.mark.parametrize("most", [9, 64])
@pytest.mark.parametrize(("alone", "valid"), [(1, None), (5, None), (1, (0, 7)), (2, (3, 10))])
def test_groups_are_few_and_hold_all_positions(
    count: int, most: int, alone: int, valid: Any
) -> None:
    borders = group_borders(count, most, alone, valid)
    assert (borders[0], borders[-1]) == (0, count)
    assert all(a < b for a, b in itertools.pairwise(borders))
    if count <= most:
        assert len(borders) == count + 1
        return
    assert len(borders) <= most + 1
    start, stop = valid or (0, count)
    assert {start, start + 1, stop} <= set(borders)
    sizes = [b - a for a, b in itertools.pairwise(borders) if start + alone <= a < stop]
    assert max(sizes) - min(sizes) <= 1


def test_long_inputs_are_rolled_out_in_groups() -> None:
    model, long = blocks_of(Block, 2), torch.randn(1, 1100, WIDTH)
    live = xw.LiveModel(model, long)
    described = live.attention_layers(derived=True)[2]
    made = live.attention("rollout")
    assert described.note == made.note
    assert "approximate: 1100 positions in 1024 groups" in made.note
    assert made.queries == 1100
    ours = made.row(1, 1000)
    assert float(ours.sum()) == pytest.approx(1, abs=1e-5)
    exact = attention_rollout([live.attention(0), live.attention(1)]).row(1, 1000)
    assert (ours - exact).abs().max() < 0.2
    assert live.attention_layers(derived=True)[3].note.startswith("approximate: 1100 positions in")
    assert live.attention("flow").row(1, 1000).max() > 0.4


def test_the_class_token_stays_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "MOST_POSITIONS", 9)
    model = small_model("vit")
    live = xw.LiveModel(model, inputs_of(model))
    described = live.attention_layers(derived=True)[2]
    assert described.query_grid == described.key_grid == ImageGrid(1, 4, 4, 4, 4)
    assert "17 positions in 9 groups" in described.note
    row = live.attention("rollout").row(1, 0)
    assert row[0] > 0.25  # half and half again stays
    patches = row[1:].view(8, 2)  # two neighbours a group
    assert torch.equal(patches[:, 0], patches[:, 1])
    assert patches[:, 0].unique().numel() > 4


def test_padding_takes_no_groups(monkeypatch: pytest.MonkeyPatch, minilm: Any) -> None:
    ids = torch.zeros(1, 60, dtype=torch.long)
    ids[0, :20] = torch.arange(1000, 1020)
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    assert most_positions(6) > 60
    monkeypatch.setattr(flow, "_MOST_WORK", 6 * 22**3 + 1)

    class Tokenizer:
        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [str(number) for number in ids]

    live = xw.LiveModel(minilm, inputs, tokenizer=Tokenizer())
    assert live.token_lists()
    plain = xw.LiveModel(minilm, {"input_ids": ids[:, :20]})
    ours, theirs = live.attention("flow"), plain.attention("flow")
    assert "60 positions in 21 groups" in ours.note
    assert (ours.row(5, 3)[:20] - theirs.row(5, 3)).abs().max() < 1e-5


# --- step by step ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [attention_rollout, attention_flow])
def test_long_work_may_be_left_and_taken_up_again(make: Callable[..., Attention]) -> None:
    layers = random_layers(4, 20)
    expected = make(layers).weights(3)
    made = make(layers)
    steps = made.prepare_steps(3)
    shares = [next(steps) for _ in range(3)]
    steps.close()
    shares = list(made.prepare_steps(3))
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    assert list(made.sum_steps(3)) == []
    assert torch.equal(made.weights(3), expected)


@pytest.mark.parametrize("make", [attention_rollout, attention_flow])
def test_pictures_and_statistics_come_in_steps(make: Callable[..., Attention]) -> None:
    layers = random_layers(4, 20)
    made = make(layers)
    tiles = list(made.tile_steps(2, (0, 20), (4, 14), (10, 10)))
    assert [tile.done for tile in tiles[:-1]] == [0] * (len(tiles) - 1)
    assert len(tiles) > 3
    assert all(tile.picture.shape == (10, 10) for tile in tiles)
    whole = make(layers).weights(2)[:, 4:14]
    assert torch.allclose(tiles[-1].picture, whole.view(10, 2, 10).mean(1), atol=1e-6)
    assert len(list(make(layers).statistics_steps(3))) > 4
    # Also behind a lens: nothing is left to do at once.
    words = grouped(make(layers), [0, 3, 20], [0, 3, 20])
    for _ in words.prepare_steps(2):
        pass
    assert list(words.sum_steps(2)) == []


def test_each_step_of_a_long_rollout_is_small() -> None:
    layers = [Attention(seeded(6, 700, 8), seeded(6, 700, 8), 0.5) for _ in range(2)]
    read: list[int] = []

    class Counts(Attention):
        def block(self, heads: Any, rows: Any, keys: Any, every: int = 1) -> Tensor:
            read.append((heads[1] - heads[0]) * (rows[1] - rows[0]) * (keys[1] - keys[0]))
            return super().block(heads, rows, keys, every)

    counted = [Counts(layer.query, layer.key, layer.scale) for layer in layers]
    made = attention_rollout(counted)
    for _ in made.sum_steps(1):
        assert len(read) <= 1
        read.clear()
    assert max(read, default=0) <= 2**19
    assert torch.allclose(made.weights(1), attention_rollout(layers).weights(1))


# --- which layers are a stack ------------------------------------------------------------------

NAMES = {
    "bart": ["encoder.layers", "decoder.layers"],
    "t5": ["encoder.block", "decoder.block"],
    "clip": ["vision_model.encoder.layers", "text_model.encoder.layers"],
}


@pytest.mark.parametrize("kind", NAMES)
def test_each_part_of_a_model_is_a_stack_of_its_own(kind: str) -> None:
    model = small_model(kind)
    inputs = inputs_of(model)
    if kind == "t5":
        inputs["decoder_input_ids"] = inputs["input_ids"]  # as long as the encoder's
    live = xw.LiveModel(model, inputs)
    listed = live.attention_layers(derived=True)[len(live.attention_layers()) :]
    names = [f"{part} · {made}" for made in ("rollout", "flow") for part in NAMES[kind]]
    assert [layer.name for layer in listed] == names
    for part, layer in zip(NAMES[kind], listed, strict=False):
        inside = [
            one.name
            for one in live.attention_layers()
            if one.name.startswith(part) and one.kind == "self"
        ]
        theirs = rolled([live.attention(name).weights() for name in inside])
        assert (live.attention(layer.name).weights() - theirs).abs().max() < 1e-6
        assert ("cross-attention" in layer.note) == part.startswith("decoder")
    with pytest.raises(xw.LayerError, match="did you mean"):
        live.attention("rollout")


def calls(*names: str, queries: int = 6, **fields: Any) -> list[AttentionLayer]:
    given = {"kind": "self", "source": "", "check": None, "note": "", **fields}
    return [AttentionLayer(name, 2, queries, queries, **given) for name in names]


def found(layers: list[AttentionLayer], problems: Any = ()) -> list[list[str]]:
    return [[layer.name for layer in stack.layers] for stack in stacks_of(layers, problems)]


def test_what_is_one_stack() -> None:
    assert found(calls("a.layers.0.attn", "a.layers.1.attn", "b.layers.0.attn")) == [
        ["a.layers.0.attn", "a.layers.1.attn"]
    ]
    assert found(calls("block1.attend", "block2.attend")) == [["block1.attend", "block2.attend"]]
    assert found(calls("first", "second")) == [["first", "second"]]
    # Layers that share their weights; two texts through one encoder.
    assert found(calls("layer.attn", "layer.attn:1")) == [["layer.attn", "layer.attn:1"]]
    twice = ["layers.0", "layers.1", "layers.0:1", "layers.1:1"]
    assert found(calls(*twice)) == [twice[:2], twice[2:]]
    # Stages that halve an image, and what comes after with as many positions as before.
    stages = [calls(f"layers.{n}.attn", queries=4 if n in (2, 3) else 16)[0] for n in range(6)]
    assert [len(names) for names in found(stages)] == [2, 2, 2]


def test_what_is_no_stack() -> None:
    layers = calls("layers.0", "layers.1", "layers.2")
    assert found(layers[:1]) == []
    assert found(layers, ["layers.1:1: it could not be read"]) == []
    assert found(layers, ["elsewhere.1: it could not be read"]) == [[one.name for one in layers]]
    batched = "9 batch entries follow each other as heads"
    assert found([*layers, *calls("layers.3", queries=2, note=batched)]) == []
    assert found(calls("layers.0", "layers.1", kind="cross")) == []
    assert found(calls("layers.0", "layers.1", kind="mixture")) == []


def test_a_module_that_is_called_rollout_keeps_its_name() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks, self.rollout = blocks_of(Block, 2), Block()

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.rollout(self.blocks(x))
            return result

    live = xw.LiveModel(Model().eval(), X)
    names = [layer.name for layer in live.attention_layers(derived=True)]
    assert names == ["blocks.0", "blocks.1", "rollout", "blocks · rollout", "flow"]
    assert live.attention("rollout").heads == HEADS
    assert live.attention("blocks · rollout").heads == 2


def test_models_of_one_layer_have_none() -> None:
    live = xw.LiveModel(blocks_of(Block, 1), X)
    assert live.attention_layers(derived=True) == live.attention_layers()
    with pytest.raises(xw.LayerError, match="'rollout'"):
        live.attention("rollout")
    with pytest.raises(xw.LayerError, match="out of range: there are 1"):
        live.attention(1)


def test_layers_of_other_positions_are_refused() -> None:
    layers = [*random_layers(2, 9), *random_layers(1, 8)]
    for make in (attention_rollout, attention_flow):
        with pytest.raises(ValueError, match="same positions"):
            make(layers)
