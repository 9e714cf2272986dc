"""The layer table: its rows against the model, its text as a user reads it."""

from __future__ import annotations

import sys

import pytest
import torch
from small_models import WIDTH, Classifier, X
from small_transformers import inputs_of, small_config
from torch import Tensor, nn

from explain_widgets import LiveModel
from explain_widgets.live.structure.summary import Summary


class Parts(nn.Module):
    """A list of layers, one reused, one never called, one frozen; the last shares its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(WIDTH, WIDTH, bias=False)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(2)
        )
        self.never = nn.Conv2d(3, 4, 5)
        self.layers[1][0].requires_grad_(False)
        self.last.weight = self.layers[0][0].weight

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(layer(x))
        return self.last(x)


ROUTE = ["", "layers", "layers.0", "layers.0.0", "layers.0.1"]


@pytest.fixture
def summary() -> Summary:
    return LiveModel(Parts(), X).summary()


def test_rows_are_the_tree_of_modules_in_call_order(summary: Summary) -> None:
    names = [row.name for row in summary.rows]
    assert names == [
        *ROUTE, "layers.1", "layers.1.0", "layers.1.1", "last", "never",
    ]  # fmt: skip
    assert {row.name for row in summary.rows} == {name for name, _ in Parts().named_modules()}
    rows = {row.name: row for row in summary.rows}
    assert (rows["layers"].calls, rows["layers.0"].calls, rows["never"].calls) == (0, 2, 0)
    assert rows["layers.0.0"].input_shapes == ((1, 5, WIDTH),)
    assert rows["layers.0.0"].output_bytes == 2 * 5 * WIDTH * 4


def test_numbers_of_rows(summary: Summary) -> None:
    model = Parts()
    rows = {row.name: row for row in summary.rows}
    for name, module in model.named_modules():
        own = {id(p): p for p in module.parameters()}.values()
        assert rows[name].parameters == sum(p.numel() for p in own), name
        assert rows[name].trainable == sum(p.numel() for p in own if p.requires_grad), name
        assert rows[name].share == rows[name].parameters / rows[""].parameters
    once = 2 * 5 * WIDTH * WIDTH
    flops = {name: row.flops for name, row in rows.items()}
    assert flops[""] == 5 * once
    assert flops["layers"] == 4 * once  # it is never called itself
    assert flops["layers.0"] == flops["layers.0.0"] == 2 * once
    assert flops["never"] == 0
    assert rows["layers"].seconds == pytest.approx(
        rows["layers.0"].seconds + rows["layers.1"].seconds
    )
    assert rows[""].seconds > rows["layers"].seconds > 0


def test_a_module_that_calls_itself_counts_once() -> None:
    """The inner calls are part of the outer one: added to it they would count again."""

    class Halving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(x) if len(x[0]) < 2 else self.mix(x) + self(x[:, ::2]).mean(1, True)

    model = nn.Sequential(Halving())
    made = LiveModel(model, torch.randn(1, 4, WIDTH)).summary(backward=True)
    rows = {row.name: row for row in made.rows}
    assert (rows["0"].calls, rows["0.mix"].calls) == (3, 3)
    assert rows["0"].flops == rows["0.mix"].flops == made.flops == 2 * (4 + 2 + 1) * WIDTH * WIDTH
    assert rows["0"].held == rows[""].held
    assert rows["0"].seconds <= rows[""].seconds


def test_totals_count_shared_parameters_once() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=999, n_layer=1, n_head=2, n_embd=16)
    model = GPT2LMHeadModel(config).eval()
    summary = LiveModel(model, {"input_ids": torch.arange(7)[None]}).summary()
    tied = 999 * 16
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    assert summary.rows[-1].parameters == summary.rows[2].parameters == tied
    assert summary.parameters < sum(p.numel() for p in model.state_dict().values())
    assert f"Parameters: {summary.parameters:,}" in str(summary)


def test_the_text_is_a_tree(summary: Summary) -> None:
    lines = str(summary).splitlines()
    width = lines[1].index("Input")
    labels = [line[:width].rstrip() for line in lines[3:13]]
    assert labels == [
        "Parts",
        "├─ModuleList: layers",
        "│    ├─Sequential: 0 × 2",
        "│    │    ├─Linear: 0 × 2",
        "│    │    └─Tanh: 1 × 2",
        "│    └─Sequential: 1 × 2",
        "│         ├─Linear: 0 × 2",
        "│         └─Tanh: 1 × 2",
        "├─Linear: last",
        "└─Conv2d: never",
    ]
    assert "(not called)" in lines[12]
    assert lines[3].endswith("partly")
    assert lines[8].split()[-1] == lines[9].split()[-1] == "no"
    assert "[1, 5, 8]  [1, 5, 8]" in lines[5]
    assert "trainable 376, frozen 72" in str(summary)
    assert "FLOPs: 3.2 k" in str(summary)
    assert len({len(line) for line in lines if set(line) == {"="}}) == 1


def test_the_text_goes_as_deep_as_is_asked() -> None:
    live = LiveModel(Parts(), X)
    text = str(live.summary(depth=1))
    assert "Sequential" not in text
    assert "ModuleList: layers" in text
    assert len(live.summary(depth=1).rows) == 10
    with pytest.raises(ValueError, match="depth=0"):
        live.summary(depth=0)


def test_memory_for_the_backward_when_it_is_asked_for() -> None:
    live = LiveModel(Classifier(), X)
    assert "held for the backward" not in str(live.summary())
    summary = live.summary(backward=True)
    assert summary.rows[0].held == live.trace(backward=True).held > 0
    assert "held for the backward" in str(summary)


def test_the_backward_has_columns_where_it_is_asked_for() -> None:
    live = LiveModel(Parts(), X)
    assert "back" not in str(live.summary())
    summary = live.summary(backward=True, target=1)
    lines = str(summary).splitlines()
    assert lines[1].split()[-5:] == ["Kept", "FLOPs", "back", "Time", "back"]
    trace = live.trace(backward=True, target=1)
    rows = {row.name: row for row in summary.rows}
    assert summary.rows[0].backward_flops == trace.backward_flops > 0
    parts = [rows["layers.0"], rows["layers.1"]]
    assert rows["layers"].backward_flops == sum(row.backward_flops for row in parts)
    assert rows["layers"].backward_seconds == pytest.approx(
        sum(row.backward_seconds for row in parts)
    )
    assert rows["never"].backward_flops == 0
    assert "of the backward" in str(summary)
    kept = live.summary(backward="memory")
    assert kept.rows[0].held == summary.rows[0].held
    assert str(kept).splitlines()[1].split()[-1] == "Kept"
    assert "of the backward" not in str(kept)


def test_a_failure_stands_below_the_table() -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 6), nn.Linear(7, 2))
    text = str(LiveModel(model, X).summary())
    assert "Failed in 1: linear of [1, 5, 6] [2, 7] +1 raised RuntimeError: mat1 and mat2" in text


def test_the_table_as_a_dataframe(summary: Summary) -> None:
    table = summary.to_dataframe()
    assert list(table.index) == [row.name for row in summary.rows]
    assert table.loc["layers.0.0", "parameters"] == WIDTH * WIDTH + WIDTH
    assert table["flops"].max() == summary.flops


def test_without_pandas_it_says_what_to_do(
    summary: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        summary.to_dataframe()


def test_a_model_of_transformers_from_top_to_bottom() -> None:
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel(small_config("gpt2")).eval()
    summary = LiveModel(model, inputs_of(model)).summary()
    names = [row.name for row in summary.rows]
    assert sorted(names) == sorted(name for name, _ in model.named_modules())
    assert names[:4] == ["", "transformer", "transformer.wte", "transformer.wpe"]
    assert names[-1] == "lm_head"
    blocks = [row.flops for row in summary.rows if row.type == "GPT2Block"]
    inside = next(row for row in summary.rows if row.name == "transformer.h")
    assert inside.flops == sum(blocks)
