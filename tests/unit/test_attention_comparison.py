"""Two heads, layers, samples or models beside each other, and their difference."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import traitlets
from conversation import Conversation
from snapshot import untouched
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.pictures.quantise import LEVELS, signed_picture, weights_picture

TEXTS = [
    "a bee sees four roses",
    "one two three four five six seven",
    "she saw some red poppies",
]
WORDS = 5


class Tagger(nn.Module):
    """Two layers of attention over words; a random model whose answers are known to torch."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.words = nn.Embedding(50, 16)
        self.first = nn.MultiheadAttention(16, 4, batch_first=True)
        self.second = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        hidden = self.words(input_ids)
        padded = None if attention_mask is None else attention_mask == 0
        hidden = self.first(hidden, hidden, hidden, key_padding_mask=padded)[0]
        result: Tensor = self.second(hidden, hidden, hidden, key_padding_mask=padded)[0]
        return result


def tokenizer(text: str) -> dict[str, Any]:
    return {"input_ids": [len(word) for word in text.split()]}


def plain(model: nn.Module, text: str, layer: int) -> npt.NDArray[np.float64]:
    """(heads, queries, keys), as torch defines them, in double precision."""
    double = copy.deepcopy(model).double()
    found: list[Tensor] = []
    for module in (double.first, double.second):
        module.register_forward_pre_hook(
            lambda module, args, kwargs: (
                args,
                {**kwargs, "need_weights": True, "average_attn_weights": False},
            ),
            with_kwargs=True,
        )
        module.register_forward_hook(lambda module, args, output: found.append(output[1]))
    with torch.no_grad():
        double(torch.tensor([tokenizer(text)["input_ids"]]))
    array: npt.NDArray[np.float64] = found[layer][0].numpy()
    return array


@pytest.fixture(scope="module")
def live() -> Any:
    made = xw.LiveModel(Tagger().eval(), TEXTS, tokenizer=tokenizer)
    yield made
    made.close()


@pytest.fixture
def explorer(live: xw.LiveModel) -> Any:
    made = xw.AttentionExplorer(live)
    yield made
    made.close()


def asked(comparison: str = "side", other: Any = (0, 0, 1), **selection: Any) -> dict[str, Any]:
    """A `compare` request of layer 0, head 2 of the first sample, with ``other``."""
    names = ("sample", "layer", "head", "model")
    return {
        "sample": 0,
        "layer": 0,
        "head": 2,
        "query": 3,
        "scale": "linear",
        "padding": False,
        "rows": None,
        "keys": None,
        "size": [512, 512],
        "comparison": comparison,
        "other": dict(zip(names, [*other, 0][:4], strict=True)),
        **selection,
    }


OTHERS = {"head": (0, 0, 1), "layer": (0, 1, 1), "sample": (2, 0, 3), "all": (2, 1, 0)}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_two_of_one_model_are_what_torch_computes_in_one_range(
    explorer: Any, live: xw.LiveModel, other: tuple[int, int, int]
) -> None:
    mine = plain(live.model, TEXTS[0], 0)[2]
    theirs = plain(live.model, TEXTS[other[0]], other[1])[other[2]]
    content, arrays = Conversation(explorer).ask("compare", asked(other=other))
    largest = max(mine.max(), theirs.max())
    for name, expected in (("a", mine), ("b", theirs)):
        levels = arrays[name].astype(float)
        assert np.abs(levels / LEVELS * largest - expected).max() <= largest / LEVELS / 2 + 1e-6
    np.testing.assert_allclose(arrays["from"], mine[3], atol=1e-6)
    np.testing.assert_allclose(arrays["to"], mine[:, 3], atol=1e-6)
    np.testing.assert_allclose(arrays["other_from"], theirs[3], atol=1e-6)
    np.testing.assert_allclose(arrays["other_to"], theirs[:, 3], atol=1e-6)
    assert "exact" in content["footer"]


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_the_difference_is_that_of_the_weights_with_zero_in_the_middle(
    explorer: Any, live: xw.LiveModel, other: tuple[int, int, int]
) -> None:
    talk = Conversation(explorer)
    content, arrays = talk.ask("compare", asked("difference", other))
    message = talk.messages[-1][0]["arrays"]["difference"]
    expected = (
        plain(live.model, TEXTS[0], 0)[2] - plain(live.model, TEXTS[other[0]], other[1])[other[2]]
    )
    limit = np.abs(expected).max()
    assert message["range"] == pytest.approx([-limit, limit], abs=1e-6)
    shown = (arrays["difference"] - 127.0) / 127 * limit
    assert np.abs(shown - expected).max() <= limit / 127 / 2 + 1e-6
    own = live.attention(0).weights(2) - live.attention(other[1], other[0]).weights(other[2])
    np.testing.assert_array_equal(arrays["difference"], signed_picture(own.numpy()).levels)
    assert "pooled" not in content["footer"]


def test_nothing_differs_from_itself(explorer: Any) -> None:
    _, arrays = Conversation(explorer).ask("compare", asked("difference", (0, 0, 2)))
    assert (arrays["difference"] == 127).all()


def test_a_window_and_the_scale_of_rows(explorer: Any, live: xw.LiveModel) -> None:
    window = {"rows": [1, 4], "keys": [0, 2], "scale": "row"}
    talk = Conversation(explorer)
    content, arrays = talk.ask("compare", asked("difference", **window))
    difference = (live.attention(0).weights(2) - live.attention(0).weights(1))[1:4, :2].numpy()
    expected = difference / np.abs(difference).max(1, keepdims=True)
    np.testing.assert_array_equal(arrays["difference"], np.rint(127 + 127 * expected))
    assert (content["rows"], content["keys"]) == ((1, 4), (0, 2))
    _, arrays = talk.ask("compare", asked("side", **window))
    theirs = live.attention(0).weights(1)[1:4, :2].numpy()
    np.testing.assert_array_equal(arrays["b"], weights_picture(theirs, "row").levels)


def test_the_lens_applies_to_both(explorer: Any, live: xw.LiveModel) -> None:
    lens = {"hide_sinks": True, "ablated": [[0, 3, "zero"]]}
    _, arrays = Conversation(explorer).ask("compare", asked(other=(0, 1, 1), lens=lens))
    for name, layer, head in (("from", 0, 2), ("other_from", 1, 1)):
        row = live.attention(layer, ablate=[(0, 3, "zero")]).row(head, 3)
        row[0] = 0
        np.testing.assert_allclose(arrays[name], row / row.sum(), atol=1e-6)
    unchanged = live.attention(1).row(1, 3)
    unchanged[0] = 0
    assert np.abs(arrays["other_from"] - (unchanged / unchanged.sum()).numpy()).max() > 1e-3


@pytest.mark.parametrize("head", ["mean", "max"])
def test_heads_combined_are_compared_as_pooled_and_it_is_said(
    explorer: Any, live: xw.LiveModel, head: str
) -> None:
    content, arrays = Conversation(explorer).ask(
        "compare", asked("difference", (0, 1, head), head=head)
    )
    combine = (lambda w: w.mean(0)) if head == "mean" else (lambda w: w.max(0))
    expected = combine(plain(live.model, TEXTS[0], 0)) - combine(plain(live.model, TEXTS[0], 1))
    limit = np.abs(expected).max()
    assert np.abs((arrays["difference"] - 127.0) / 127 * limit - expected).max() <= limit / 200
    assert "difference of pooled weights" in content["footer"]


# --- another model ----------------------------------------------------------------------------


def test_another_model_on_the_same_samples(live: xw.LiveModel) -> None:
    tuned = Tagger(seed=1).eval()
    explorer = xw.AttentionExplorer(live, other=tuned)
    talk = Conversation(explorer)
    with untouched(live.model), untouched(tuned):
        _, arrays = talk.ask("compare", asked("difference", (0, 0, 2, 1)))
        described, _ = talk.ask("other", {"sample": 1, "model": 1})
    expected = plain(live.model, TEXTS[0], 0)[2] - plain(tuned, TEXTS[0], 0)[2]
    limit = np.abs(expected).max()
    assert np.abs((arrays["difference"] - 127.0) / 127 * limit - expected).max() <= limit / 200
    assert described["layers"][1]["queries"] == 7
    row = {"sample": 0, "layer": 1, "head": 1, "query": 2, "model": 1}
    np.testing.assert_allclose(
        talk.ask("other_row", row)[1]["from"], plain(tuned, TEXTS[0], 1)[1][2], atol=1e-6
    )
    assert explorer.other_model
    explorer.close()
    assert explorer.other._closed  # made by the explorer
    assert not live._closed


def test_the_other_model_is_shown_as_it_is_now(live: xw.LiveModel) -> None:
    tuned = Tagger(seed=1).eval()
    explorer = xw.AttentionExplorer(live, other=tuned)
    talk = Conversation(explorer)
    before, _ = talk.ask("compare", asked(other=(0, 0, 2, 1)))
    with torch.no_grad():
        tuned.first.in_proj_bias.add_(torch.randn(48))
    _, arrays = talk.ask("compare", asked(other=(0, 0, 2, 1)))
    np.testing.assert_allclose(arrays["other_from"], plain(tuned, TEXTS[0], 0)[2][3], atol=1e-6)
    again, _ = talk.ask("compare", asked(other=(0, 0, 2, 1)))
    assert again["other_revision"] > before["other_revision"]
    assert again["revision"] == before["revision"]
    explorer.close()


def test_another_model_is_run_as_the_first_one() -> None:
    def forward(model: nn.Module, input_ids: Tensor) -> Any:
        return model(input_ids.flip(1))

    live = xw.LiveModel(Tagger().eval(), TEXTS, tokenizer=tokenizer, forward=forward)
    explorer = xw.AttentionExplorer(live, other=Tagger(seed=1).eval())
    _, arrays = Conversation(explorer).ask("compare", asked(other=(0, 0, 2, 1)))
    reversed_text = " ".join(reversed(TEXTS[0].split()))
    expected = plain(Tagger(seed=1), reversed_text, 0)[2][3]
    np.testing.assert_allclose(arrays["other_from"], expected, atol=1e-6)
    explorer.close()
    live.close()


def test_two_live_models_that_are_compared_both_ways_at_once_do_not_wait_for_each_other() -> None:
    lives = [xw.LiveModel(Tagger(seed), TEXTS, tokenizer=tokenizer) for seed in (0, 1)]
    explorers = [xw.AttentionExplorer(lives[i], other=lives[1 - i]) for i in (0, 1)]
    talks = [Conversation(explorer) for explorer in explorers]
    wrong = threading.Event()

    def ask(talk: Conversation) -> None:
        for number in range(15):
            asking = asked(other=(number % 3 // 2 * 2, number % 2, 1, 1), layer=number % 2, head=0)
            for live in lives:
                live.refresh()  # so that both have to run
            if "error" in talk.last_of(talk.send("compare", asking))[0]:
                wrong.set()

    threads = [threading.Thread(target=ask, args=(talk,), daemon=True) for talk in talks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong.is_set()
    for explorer in explorers:
        explorer.close()
    assert not any(live._closed for live in lives)  # the user's own
    for live in lives:
        live.close()


# --- what cannot be compared -------------------------------------------------------------------


def test_inputs_of_different_length_are_told_apart_and_the_widget_lives_on(explorer: Any) -> None:
    talk = Conversation(explorer)
    sentence = talk.error("compare", asked(other=(1, 0, 0)))
    assert sentence == (
        "sample 0 has 5 tokens, sample 1 has 7: only inputs of the same length can be compared."
    )
    assert talk.ask("compare", asked(other=(2, 0, 0)))[1]["a"].shape == (WORDS, WORDS)
    explorer.compared = [1, 0, 0]
    with pytest.raises(xw.ComparisonError, match="sample 1 has 7"):
        explorer.data()
    with pytest.raises(xw.ComparisonError, match="sample 1 has 7"):
        explorer.figure()
    assert len(explorer._still_figure().axes) == 2  # the picture that is there, and its bar


def test_padded_inputs_are_compared_where_they_are_as_long_as_shown() -> None:
    rows = [[3, 4, 5, 6, 0, 0], [1, 2, 3, 4, 5, 6], [7, 8, 9, 1, 0, 0], [0, 0, 7, 8, 9, 1]]
    ids = torch.tensor(rows)
    samples = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    live = xw.LiveModel(Tagger().eval(), samples, tokenizer=tokenizer)
    talk = Conversation(xw.AttentionExplorer(live))
    assert "sample 0 has 4 tokens, sample 1 has 6: only inputs of the same length" in talk.error(
        "compare", asked(other=(1, 0, 0))
    )
    assert "show padding" in talk.error("compare", asked(other=(1, 0, 0)))
    assert talk.ask("compare", asked(other=(2, 0, 0)))[1]["b"].shape == (4, 4)
    assert "lies on different sides" in talk.error("compare", asked(other=(3, 0, 0)))
    assert talk.ask("compare", asked(other=(1, 0, 0), padding=True))[1]["b"].shape == (6, 6)


def test_what_is_not_there_is_said(explorer: Any) -> None:
    talk = Conversation(explorer)
    assert "make the explorer with other=" in talk.error("compare", asked(other=(0, 0, 0, 1)))
    assert "head 9 is out of range" in talk.error("compare", asked(other=(0, 0, 9)))
    assert "comparison 'sum'" in talk.error("compare", asked("sum"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([3, 0, 0], "compared sample must be 0 to 2, not 3"),
        ([0, 9, 0], "compared layer must be 0 to [0-9], not 9"),
        ([0, 1, 2], "compared head must be 0 to 1, not 2"),
        ([0, 0, -1], "compared head must be 0 to 3, not -1"),
        ([0, 0, 0, 1], "make the explorer with other="),
        ([0, 0, "median"], "compared head must be a number, not 'median'"),
        ([0, 0], "compared must be None"),
        ({"layer": 0, "heads": 1}, "compared must be None"),
        (3, "compared must be None"),
    ],
)
def test_a_value_out_of_range_names_the_range(explorer: Any, value: Any, message: str) -> None:
    with pytest.raises(traitlets.TraitError, match=message):
        explorer.compared = value
    assert explorer.compared is None


def test_traits_are_kept_as_lists_and_can_be_given_at_the_start(live: xw.LiveModel) -> None:
    explorer = xw.AttentionExplorer(live, compared={"layer": 1, "head": "max"})
    assert explorer.compared == [None, 1, "max", 0]
    explorer.compared = (2, 0, 3)
    assert explorer.compared == [2, 0, 3, 0]
    with pytest.raises(traitlets.TraitError, match="comparison"):
        explorer.comparison = "product"
    with pytest.raises(traitlets.TraitError, match="no colour map 'RdBlue'"):
        explorer.difference_colormap = "RdBlue"
    explorer.close()


# --- data and figure ---------------------------------------------------------------------------


def test_data_has_the_other_one_and_the_difference(explorer: Any, live: xw.LiveModel) -> None:
    assert "other" not in explorer.data()
    explorer.layer, explorer.head, explorer.compared = 1, 0, [2, 1, 1]
    shown = explorer.data()
    other = live.attention(1, 2).weights(1)
    assert torch.equal(shown["other"], other)
    assert torch.equal(shown["difference"], live.attention(1).weights(0) - other)
    assert shown["other_query_tokens"] == [str(len(word)) for word in TEXTS[2].split()]


def test_what_follows_is_the_same_place_in_the_other_model(live: xw.LiveModel) -> None:
    tuned = Tagger(seed=1).eval()
    explorer = xw.AttentionExplorer(live, other=tuned, compared={"model": 1})
    for explorer.sample, explorer.layer, explorer.head in ((0, 0, 3), (2, 1, 1)):
        expected = plain(tuned, TEXTS[explorer.sample], explorer.layer)[explorer.head]
        np.testing.assert_allclose(explorer.data()["other"], expected, atol=1e-6)
    explorer.close()


def test_the_figure_has_both_in_one_range_and_the_difference(
    explorer: Any, live: xw.LiveModel
) -> None:
    explorer.compared = [2, 1, 1]
    mine, theirs, difference, *bars = explorer.figure().axes
    images = [axes.get_images()[0] for axes in (mine, theirs, difference)]
    both = live.attention(0).weights(0).numpy(), live.attention(1, 2).weights(1).numpy()
    np.testing.assert_allclose(images[0].get_array(), both[0], atol=1e-7)
    np.testing.assert_allclose(images[1].get_array(), both[1], atol=1e-7)
    np.testing.assert_allclose(images[2].get_array(), both[0] - both[1], atol=1e-7)
    assert images[0].get_clim() == images[1].get_clim()
    low, high = images[2].get_clim()
    assert low == -high == pytest.approx(-np.abs(both[0] - both[1]).max())
    assert images[2].get_cmap().name == "RdBu_r"
    assert len(bars) == 3
    assert mine.get_title().startswith("A: first · head 0")
    assert theirs.get_title().startswith("B: second · head 1")
    words = [[len(word) for word in TEXTS[index].split()] for index in (0, 2)]
    labels = [str(a) if a == b else f"{a} / {b}" for a, b in zip(*words, strict=True)]
    assert [label.get_text() for label in difference.get_yticklabels()] == labels


# --- long inputs ------------------------------------------------------------------------------


class Copying(nn.Module):
    """One causal attention call of two heads over long inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.words(input_ids).unflatten(-1, (2, 16)).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(hidden, hidden, hidden, is_causal=True)


def test_a_long_input_comes_as_a_preview_and_ends_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explain_widgets.widgets.attention.answers._CPU_AT_ONCE", 2**16)
    monkeypatch.setattr("explain_widgets.widgets.attention.answers._PARTIAL_SECONDS", 0)
    live = xw.LiveModel(Copying(), [torch.randint(0, 50, (2500,))])
    explorer = xw.AttentionExplorer(live)
    talk = Conversation(explorer)
    asking = asked("difference", (0, 0, 1), head=0, query=2000, size=[500, 500])
    content, arrays = talk.ask("compare", asking)
    said = [message["content"]["progress"] for message, _ in talk.messages]
    assert said[0] == "preview from 1 of 5 queries, 0 % refined"
    assert any(part.endswith("% refined") and not part.endswith(" 0 % refined") for part in said)
    assert said[-2:] == ["exact; statistics and column follow", ""]
    weights = live.attention(0).weights()
    pooled = weights.unflatten(1, (500, 5)).unflatten(3, (500, 5)).mean((2, 4))
    expected = signed_picture((pooled[0] - pooled[1]).numpy()).levels.astype(int)
    assert np.abs(arrays["difference"] - expected).max() <= 1
    np.testing.assert_allclose(arrays["other_to"], weights[1, :, 2000].numpy(), atol=1e-6)
    assert "mean of 5 × 5 weights per pixel" in content["footer"]
    assert "difference of pooled weights" in content["footer"]
    stopped = talk.send("compare", {**asking, "comparison": "side"})
    talk.send("stop", {"id": stopped})
    assert talk.last_of(stopped)[0]["content"] == {"stopped": True}
    explorer.close()
    live.close()
