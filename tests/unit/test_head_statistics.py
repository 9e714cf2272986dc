"""Statistics of all heads: in scripts, as the explorer's table, and as its figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import traitlets
from conversation import Conversation, unpacked
from plain_statistics import plain_statistics
from small_transformers import small_model
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.widgets.attention.columns import COLUMNS

KEYS = [column.key for column in COLUMNS]
TEXT = "the cat sat . the cat ran , [SEP]"
NAMES = ["[PAD]", "[SEP]", ".", ",", "the", "cat", "sat", "ran"]
SINKS = [0, 3, 7, 8]  # the first, punctuation, separator


class Words:
    """A tokenizer that knows the words above."""

    sep_token, pad_token = "[SEP]", "[PAD]"
    all_special_tokens = ("[SEP]", "[PAD]")
    all_special_ids = (0, 1)

    def __call__(self, text: str, **options: Any) -> dict[str, Any]:
        return {"input_ids": [NAMES.index(word) for word in text.split()]}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [NAMES[i] for i in ids]


class Reader(nn.Module):
    """Two layers of attention with two and three heads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(8, 12)
        self.first = nn.MultiheadAttention(12, 2, batch_first=True)
        self.second = nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = 3 * self.words(input_ids)
        padded = None if attention_mask is None else attention_mask == 0
        x = x + self.first(x, x, x, key_padding_mask=padded)[0]
        result: Tensor = self.second(x, x, x, key_padding_mask=padded)[0]
        return result


@pytest.fixture
def explorer() -> Iterator[Any]:
    made = xw.AttentionExplorer(Reader().eval(), [TEXT, "cat sat ."], tokenizer=Words())
    yield made
    made.close()


def ids_of(text: str) -> list[int]:
    return [NAMES.index(word) for word in text.split()]


def expected_of(live: Any, **looked: Any) -> list[dict[str, float | None]]:
    """By layer and head, from all weights."""
    return [
        plain_statistics(weights, **looked)
        for layer in range(2)
        for weights in live.attention(layer).weights()
    ]


def check(found: Any, expected: dict[str, float | None]) -> None:
    for key, value in expected.items():
        assert getattr(found, key) == pytest.approx(value, abs=1e-6), key


def test_every_head_of_every_layer_is_summed_up(explorer: Any) -> None:
    found = explorer.live.head_statistics()
    assert [(one.layer, one.layer_index, one.head) for one in found] == [
        *(("first", 0, 0), ("first", 0, 1)),
        *(("second", 1, 0), ("second", 1, 1), ("second", 1, 2)),
    ]
    expected = expected_of(explorer.live, tokens=ids_of(TEXT), sinks=SINKS)
    for one, plain in zip(found, expected, strict=True):
        check(one.statistics, plain)
    assert explorer.live.head_statistics(1)[0].statistics.induction is None


def test_a_table_of_them_is_one_line(explorer: Any) -> None:
    frame = pd.DataFrame([one.to_dict() for one in explorer.live.head_statistics()])
    assert list(frame) == ["layer", "layer_index", "head", *KEYS, "every"]
    found = frame.set_index(["layer", "head"])["entropy"]["second", 1]
    expected = expected_of(explorer.live)[3]["entropy"]
    assert found == pytest.approx(expected, abs=1e-6)


def test_padding_does_not_count_and_ids_need_no_tokenizer() -> None:
    ids = torch.tensor([[4, 5, 6, 4, 5, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    live = xw.LiveModel(Reader().eval(), inputs)
    expected = expected_of(live, rows=range(5), keys=range(5), tokens=ids[0].tolist(), sinks=[0])
    for one, plain in zip(live.head_statistics(), expected, strict=True):
        check(one.statistics, plain)


def test_from_some_queries_only(explorer: Any) -> None:
    looked = range(2, 9, 4)  # the middle one of each four
    expected = expected_of(explorer.live, rows=looked, tokens=ids_of(TEXT), sinks=SINKS)
    for one, plain in zip(explorer.live.head_statistics(every=4), expected, strict=True):
        check(one.statistics, plain)
        assert one.statistics.every == 4


class Inducing(nn.Module):
    """Head 0 looks at what followed the same token before, head 1 at the token before itself."""

    def forward(self, input_ids: Tensor) -> Tensor:
        count = input_ids.shape[1]
        scores = torch.zeros(2, count, count)
        for query in range(count):
            same = [p for p in range(query) if input_ids[0, p] == input_ids[0, query]]
            scores[0, query, same[-1] + 1 if same else query] = 50
            scores[1, query, max(0, query - 1)] = 50
        x = torch.zeros(1, 2, count, 4)
        result: Tensor = nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=scores)
        return result


def test_an_induction_head_is_told_from_a_head_that_looks_back() -> None:
    text = torch.randperm(30)[:12]
    repeated = torch.cat([text, text])[None]
    induces, looks_back = xw.LiveModel(Inducing(), repeated).head_statistics()
    assert induces.statistics.induction == pytest.approx(1)
    assert induces.statistics.previous == pytest.approx(0, abs=1e-6)
    assert looks_back.statistics.induction == pytest.approx(0, abs=1e-6)
    assert looks_back.statistics.previous == pytest.approx(23 / 24)


def test_cross_attention_has_no_statistics_of_places() -> None:
    ids = torch.tensor([[5, 9, 5, 9, 7]])
    live = xw.LiveModel(small_model("bart"), {"input_ids": ids, "decoder_input_ids": ids})
    kinds = [layer.kind for layer in live.attention_layers()]
    for one in live.head_statistics():
        statistics, is_self = one.statistics, kinds[one.layer_index] == "self"
        assert statistics.entropy is not None
        for name in ("distance", "previous", "same", "following", "induction"):
            assert (getattr(statistics, name) is not None) == is_self, name


# --- the explorer's table -----------------------------------------------------------------------


def table(explorer: Any, **selection: Any) -> tuple[dict[str, Any], Any]:
    content, arrays = Conversation(explorer).ask("statistics", {"sample": 0, **selection})
    return content, arrays["statistics"]


def check_table(values: Any, expected: list[dict[str, float | None]]) -> None:
    plain = [[np.nan if row[key] is None else row[key] for key in KEYS] for row in expected]
    np.testing.assert_allclose(values, plain, rtol=1e-6, atol=1e-6)


def test_the_table_has_a_row_a_head_and_says_what_its_columns_are(explorer: Any) -> None:
    content, values = table(explorer)
    check_table(values, expected_of(explorer.live, tokens=ids_of(TEXT), sinks=SINKS))
    assert values.dtype == np.float32
    assert [column["key"] for column in content["columns"]] == KEYS
    assert all(column["definition"].endswith(".") for column in content["columns"])
    assert content["columns"][0]["unit"] == "bits"
    assert (content["done"], content["progress"], content["note"]) == (5, "", "")
    assert content["footer"] == "statistics of 5 heads · exact"


def test_what_does_not_apply_is_no_number(explorer: Any) -> None:
    _, values = table(explorer, sample=1)
    assert np.isnan(values[:, KEYS.index("induction")]).all()
    _, values = table(explorer, lens={"measure": "value-weighted"})
    assert np.isnan(values[:, [KEYS.index("entropy"), KEYS.index("distance")]]).all()
    assert np.isfinite(values[:, KEYS.index("sink")]).all()


def test_weights_that_are_not_finite_are_told_from_what_does_not_apply(explorer: Any) -> None:
    with torch.no_grad():
        explorer.live.model.second.in_proj_bias[0] = torch.nan  # of the query of head 0
    _, values = table(explorer)
    assert np.isinf(values[2]).all()
    assert np.isfinite(values[3:]).all()


def test_the_table_is_seen_through_the_lens(explorer: Any) -> None:
    content, values = table(explorer, lens={"hide_sinks": True})
    looked = {"tokens": ids_of(TEXT), "sinks": SINKS}
    weights = [one for layer in range(2) for one in explorer.live.attention(layer).weights()]
    rest = [one.index_fill(1, torch.tensor(SINKS), 0) for one in weights]
    rest = [one / one.sum(-1, keepdim=True) for one in rest]
    check_table(values, [plain_statistics(one, **looked) for one in rest])
    assert "sinks hidden" in content["footer"]

    content, values = table(explorer, lens={"ablated": [[0, 1, "zero"]]})
    heads = explorer.live.attention(1, ablate=[(0, 1, "zero")]).weights()
    check_table(values[2:], [plain_statistics(one, **looked) for one in heads])
    assert "1 head ablated" in content["footer"]


def test_units_are_sinks_where_all_their_tokens_are(explorer: Any) -> None:
    """Sentences are "the cat sat .", "the cat ran ,", "[SEP]": only the last is nothing else."""
    explorer.units, explorer.layer = "sentences", 1
    _, values = table(explorer, lens={"units": "sentences"})
    for head in range(3):
        explorer.head = head
        weights = explorer.data()["weights"]
        assert weights.shape == (3, 3)
        check_table(
            values[2 + head, None], [plain_statistics(weights, tokens=[0, 1, 2], sinks=[2])]
        )
    content, _ = table(explorer, lens={"units": "sentences"})
    distance = next(one for one in content["columns"] if one["key"] == "distance")
    assert (distance["unit"], distance["definition"][-13:]) == ("sentences", "in sentences.")
    # Here each token is a word.
    _, values = table(explorer, lens={"units": "words"})
    check_table(values, expected_of(explorer.live, tokens=ids_of(TEXT), sinks=SINKS))


def test_sinks_are_what_hide_sinks_hides(explorer: Any) -> None:
    _, values = table(explorer)
    explorer.layer = explorer.head = 1
    plain = explorer.data()["weights"]
    explorer.hide_sinks = True
    hidden = (explorer.data()["weights"] == 0).all(0)
    mass = float(plain[:, hidden].double().sum(1).mean())
    assert values[3, KEYS.index("sink")] == pytest.approx(mass, abs=1e-6)


def test_the_picked_head_tells_its_sinks_and_induction(explorer: Any) -> None:
    _, values = table(explorer)
    talk = Conversation(explorer)
    asked = {"layer": 1, "head": 2, "query": None, "scale": "linear"}
    content, _ = talk.ask("head", {"sample": 0, **asked})
    shown = {row["key"]: row for row in content["statistics"]}
    assert list(shown) == KEYS
    for key, value in zip(KEYS, values[4], strict=True):
        assert shown[key]["value"] == pytest.approx(value, abs=1e-6)
    assert shown["sink"]["text"] == f"{shown['sink']['value']:.2f}"
    content, _ = talk.ask("head", {"sample": 1, **asked})
    induction = content["statistics"][KEYS.index("induction")]
    assert induction["text"] == "n/a: no token comes twice"
    assert induction["value"] is None


def test_the_picked_head_is_told_of_the_model_as_it_is(explorer: Any) -> None:
    talk = Conversation(explorer)
    asked = {"sample": 0, "layer": 1, "head": 2, "query": None, "scale": "linear"}
    revisions = set()
    for _ in range(3):
        content, _ = talk.ask("head", asked)
        expected = explorer.live.attention(1).statistics(2).entropy
        assert content["statistics"][0]["value"] == expected
        revisions.add(content["revision"])
        with torch.no_grad():
            explorer.live.model.second.in_proj_weight.mul_(1.5)
    assert len(revisions) == 3


class Long(nn.Module):
    """Causal attention over long inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.words(input_ids)[:, None].unflatten(-1, (4, 8)).transpose(1, 3)[..., 0, :]
        result: Tensor = nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        return result


@pytest.fixture
def long_explorer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Of an input that is long for so little patience."""
    monkeypatch.setattr("explain_widgets.widgets.attention.answers._CPU_AT_ONCE", 2**16)
    monkeypatch.setattr("explain_widgets.widgets.attention.statistics._PARTIAL_SECONDS", 0)
    made = xw.AttentionExplorer(Long(), torch.randint(0, 50, (1, 1500)))
    yield made
    made.close()


def test_a_long_input_is_sampled_and_says_so_and_comes_bit_by_bit(long_explorer: Any) -> None:
    talk = Conversation(long_explorer)
    content, arrays = talk.ask("statistics", {"sample": 0})
    # 4 heads × 1500² scores, of which 2¹⁹ may be computed
    assert content["note"] == "1 of 18 queries"
    assert "from 1 of 18 queries" in content["footer"]
    ids = long_explorer.live.samples[0].args[0][0].tolist()
    looked = {"rows": range(9, 1500, 18), "tokens": ids, "sinks": [0]}
    weights = long_explorer.live.attention(0).weights()
    check_table(arrays["statistics"], [plain_statistics(one, **looked) for one in weights])
    partial = [message for message in talk.messages if message[0].get("partial")]
    assert {message["content"]["done"] for message, _ in partial} >= {1, 2, 3}
    shares = [message["content"]["progress"] for message, _ in partial]
    assert shares[0].startswith("0 of 4 heads, ")
    early = unpacked(*partial[len(partial) // 2])["statistics"]
    done = partial[len(partial) // 2][0]["content"]["done"]
    np.testing.assert_array_equal(early[:done], arrays["statistics"][:done])
    assert np.isnan(early[done:]).all()


def test_other_requests_come_between_and_it_can_be_stopped(long_explorer: Any) -> None:
    talk = Conversation(long_explorer)
    slow = talk.send("statistics", {"sample": 0})
    row = talk.send("row", {"sample": 0, "layer": 0, "head": 1, "query": 7})
    talk.last_of(row)
    stopped = [message for message, _ in talk.messages if message["id"] == slow]
    assert all(message.get("partial") for message in stopped)  # it was not done yet
    talk.send("stop", {"id": slow})
    assert talk.last_of(slow)[0]["content"] == {"stopped": True}


def test_what_was_read_is_kept_until_the_model_changes(explorer: Any) -> None:
    _, before = table(explorer)
    numbers = explorer._answers._statistics
    numbers.steps = None  # nothing is read again
    _, again = table(explorer)
    np.testing.assert_array_equal(again, before)
    del numbers.steps
    with torch.no_grad():
        explorer.live.model.second.in_proj_weight.mul_(1.5)
    _, after = table(explorer)
    np.testing.assert_array_equal(after[:2], before[:2])
    check_table(after, expected_of(explorer.live, tokens=ids_of(TEXT), sinks=SINKS))


# --- traits, data, figure -----------------------------------------------------------------------


def test_data_of_the_table_is_what_is_shown(explorer: Any) -> None:
    assert "statistics" not in explorer.data()
    explorer.view, explorer.hide_sinks = "table", True
    shown = explorer.data()["statistics"]
    _, values = table(explorer, lens={"hide_sinks": True})
    assert [(one.layer, one.head) for one in shown][2:4] == [("second", 0), ("second", 1)]
    for one, row in zip(shown, values, strict=True):
        check(one.statistics, dict(zip(KEYS, row, strict=True)))
        assert one.statistics.received.numel() == 0


@pytest.mark.parametrize(("grid_by", "column"), [("weights", "entropy"), ("sink", "sink")])
def test_figure_of_the_table_is_a_map_of_all_heads(
    explorer: Any, grid_by: str, column: str
) -> None:
    explorer.view, explorer.grid_by = "table", grid_by
    axes, bar = explorer.figure().axes
    shown = axes.get_images()[0].get_array()
    _, values = table(explorer)
    values = values[:, KEYS.index(column)]
    assert shown.shape == (2, 3)
    np.testing.assert_array_equal(shown[0, :2], values[:2])
    np.testing.assert_array_equal(shown[1], values[2:])
    assert shown.mask.tolist() == [[False, False, True], [False] * 3]
    name = COLUMNS[KEYS.index(column)].name
    assert name in axes.get_title()
    assert name in bar.get_ylabel()


def test_figure_hatches_heads_without_a_number(explorer: Any) -> None:
    explorer.view, explorer.grid_by, explorer.sample = "table", "induction", 1
    (axes,) = explorer.figure().axes  # no colours, no bar
    assert [patch.get_hatch() for patch in axes.patches] == ["////"] * 5
    assert "hatched: n/a where no token comes twice" in axes.get_title()


def test_the_still_picture_of_a_long_input_is_quick(long_explorer: Any) -> None:
    long_explorer.view = "table"
    title = long_explorer._still_figure().axes[0].get_title()
    assert "from 1 of 138 queries" in title  # 4 heads × 1500² scores, of which 2¹⁶ at once


def test_a_statistic_that_there_is_not_is_no_colouring(explorer: Any) -> None:
    with pytest.raises(traitlets.TraitError, match="grid_by"):
        explorer.grid_by = "beauty"


def test_small_numbers_are_not_nothing() -> None:
    column = COLUMNS[KEYS.index("first")]
    for value, text in ((0.413, "0.41"), (0.00049, "4.9e−4"), (0.0, "0.00"), (math.inf, "inf")):
        assert column.text(SimpleNamespace(first=value)) == text  # type: ignore[arg-type]
