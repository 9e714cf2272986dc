"""The kernel side of the attention explorer: requests, traits, data, figure, errors."""

from __future__ import annotations

import threading

import ipywidgets
import numpy as np
import pytest
import torch
import traitlets
from conversation import Conversation
from torch import nn

import explain_widgets as xw
from explain_widgets.pictures.quantise import LEVELS
from explain_widgets.widgets.protocol import Reply

SHOWN = {"rows": None, "keys": None, "size": [512, 512], "padding": False}


class Tagger(nn.Module):
    """Two layers of attention over words; a random model whose answers are known to torch."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.first = nn.MultiheadAttention(16, 4, batch_first=True)
        self.second = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, input_ids, attention_mask=None):
        hidden = self.words(input_ids)
        padded = None if attention_mask is None else attention_mask == 0
        hidden = self.first(hidden, hidden, hidden, key_padding_mask=padded)[0]
        return self.second(hidden, hidden, hidden, need_weights=False)[0]


def tokenizer(text):
    """Words to numbers; a tokenizer as a user might write one."""
    words = text.split()
    return {"input_ids": [len(word) for word in words]}


@pytest.fixture(scope="module")
def live():
    torch.manual_seed(0)
    live = xw.LiveModel(
        Tagger(),
        ["a bee sees four roses", "one two three four five six seven"],
        tokenizer=tokenizer,
    )
    yield live
    live.close()


@pytest.fixture
def explorer(live):
    explorer = xw.AttentionExplorer(live)
    yield explorer
    explorer.close()


@pytest.fixture
def talk(explorer):
    return Conversation(explorer)


def picked(**selection):
    return {"sample": 0, "layer": 0, "head": 0, "query": 2, "scale": "linear", **SHOWN, **selection}


def test_sample_says_what_there_is_to_pick_from(talk):
    content, _ = talk.ask("sample", {"sample": 1, "padding": False})
    assert [layer["name"] for layer in content["layers"]] == ["first", "second", "rollout", "flow"]
    assert [layer["heads"] for layer in content["layers"]] == [4, 2, 2, 2]
    assert content["layers"][0]["rows"] == content["layers"][0]["columns"] == (0, 7)
    tokens = content["tokens"][content["layers"][0]["query_tokens"]]
    assert len(tokens) == 7


@pytest.mark.parametrize("head", [0, 3, "mean", "max"])
@pytest.mark.parametrize("scale", ["linear", "row"])
def test_head_is_the_exact_matrix_in_255_levels(talk, live, head, scale):
    weights = live.attention(0).weights(head).numpy()
    content, arrays = talk.ask("head", picked(head=head, scale=scale))
    top = weights.max(axis=1, keepdims=True) if scale == "row" else weights.max()
    expected = np.rint(weights / top * LEVELS)
    assert arrays["matrix"].shape == (5, 5)
    assert np.abs(arrays["matrix"] - expected).max() <= (0 if head != "mean" else 1)
    np.testing.assert_array_equal(arrays["from"], weights[2])
    np.testing.assert_array_equal(arrays["to"], weights[:, 2])
    assert "exact" in content["footer"]
    assert "nn.MultiheadAttention" in content["footer"]


def test_head_of_a_window_is_that_window(talk, live):
    content, arrays = talk.ask("head", picked(layer=1, head=1, rows=[1, 4], keys=[0, 2]))
    window = live.attention(1).weights(1)[1:4, :2].numpy()
    assert (content["rows"], content["keys"]) == ((1, 4), (0, 2))
    np.testing.assert_array_equal(arrays["matrix"], np.rint(window / window.max() * LEVELS))


def test_a_picture_that_was_read_ahead_is_confirmed_until_the_model_changes(talk, live):
    ahead, arrays = talk.ask("ahead", picked(head=1))
    known, nothing = talk.ask("head", {**picked(head=1), "known": ahead["revision"]})
    assert (known, nothing) == ({"unchanged": True}, {})
    bias = live.model.first.in_proj_bias
    with torch.no_grad():
        bias.add_(1.5 * torch.randn(bias.shape))
    try:
        fresh, changed = talk.ask("head", {**picked(head=1), "known": ahead["revision"]})
        assert fresh["revision"] != ahead["revision"] or "unchanged" not in fresh
        np.testing.assert_array_equal(changed["from"], live.attention(0).weights(1)[2].numpy())
        assert (changed["from"] != arrays["from"]).any()
    finally:
        with torch.no_grad():
            bias.zero_()


class Copying(nn.Module):
    """One causal attention call over long inputs."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 32)

    def forward(self, input_ids):
        hidden = self.words(input_ids)[:, None].unflatten(-1, (2, 16)).transpose(1, 3)[..., 0, :]
        return nn.functional.scaled_dot_product_attention(hidden, hidden, hidden, is_causal=True)


@pytest.fixture
def long_talk(monkeypatch):
    """A talk about a long input (for which what is computed at once is made small)."""
    monkeypatch.setattr("explain_widgets.widgets.attention.answers._CPU_AT_ONCE", 2**16)
    monkeypatch.setattr("explain_widgets.widgets.attention.answers._PARTIAL_SECONDS", 0)
    live = xw.LiveModel(Copying(), [torch.randint(0, 50, (2500,))])
    explorer = xw.AttentionExplorer(live)
    yield Conversation(explorer), live
    explorer.close()
    live.close()


def test_a_long_input_comes_as_a_preview_and_ends_exact(long_talk):
    talk, live = long_talk
    asked = picked(query=2000, size=[500, 500])
    content, arrays = talk.ask("head", asked)
    answers = [message for message, _ in talk.messages if message["kind"] == "head"]
    said = [message["content"]["progress"] for message in answers]
    assert said[0] == "preview from 1 of 5 queries, 0 % refined"
    assert any(part.endswith("% refined") and not part.endswith(" 0 % refined") for part in said)
    assert said[-2:] == ["exact; statistics and column follow", ""]
    assert [message.get("partial", False) for message in answers] == [True] * (len(said) - 1) + [
        False
    ]
    assert answers[0]["content"]["statistics"][0]["text"] == "…"
    assert content["statistics"][0]["value"] is not None
    weights = live.attention(0).weights(0)
    np.testing.assert_allclose(arrays["to"], weights[:, 2000].numpy(), atol=1e-6)
    pooled = weights.unflatten(0, (500, 5)).unflatten(2, (500, 5)).mean((1, 3)).numpy()
    assert np.abs(arrays["matrix"] - np.rint(pooled / pooled.max() * LEVELS)).max() <= 1


def test_a_long_answer_can_be_stopped_and_a_newer_one_goes_first(long_talk):
    talk, _ = long_talk
    slow = talk.send("head", picked(query=2000))
    newer = talk.send("head", picked(query=None, rows=[0, 100], keys=[0, 100]))
    assert "superseded" in talk.last_of(slow)[0]
    assert talk.last_of(newer)[0]["content"]["rows"] == (0, 100)
    stopped = talk.send("head", picked(head=1))
    talk.send("stop", {"id": stopped})
    assert talk.last_of(stopped)[0]["content"] == {"stopped": True}


def test_the_grid_of_a_long_input_says_that_it_is_sampled(long_talk):
    talk, live = long_talk
    asked = {"sample": 0, "padding": False, "scale": "linear", "size": [25, 25]}
    content, arrays = talk.ask("grid", asked)
    assert content["note"] == "1 of 39 queries"
    assert arrays["thumbnails"].shape == (live.attention_layers()[0].heads, 25, 25)


def test_long_inputs_are_not_read_ahead(long_talk):
    content, _ = long_talk[0].ask("ahead", picked(head=1))
    assert content == {"skipped": True}


def test_an_encoder_decoder_has_its_own_tokens_on_each_side():
    """Also where both texts are as long."""
    from small_transformers import small_model

    model = small_model("bart")
    ids = torch.randint(3, 60, (1, 7))
    sample = {"input_ids": ids, "decoder_input_ids": ids.flip(1)}

    class Words:
        def convert_ids_to_tokens(self, ids):
            return [f"word{number}" for number in ids]

    live = xw.LiveModel(model, sample, tokenizer=Words())
    explorer = xw.AttentionExplorer(live)
    content, _ = Conversation(explorer).ask("sample", {"sample": 0, "padding": False})
    for layer in content["layers"]:
        sides = layer["query_tokens"], layer["key_tokens"]
        if layer["name"].startswith("encoder"):
            assert sides == ("input_ids", "input_ids")
        elif layer["kind"] == "cross":
            assert sides == ("decoder_input_ids", "input_ids")
        else:
            assert sides == ("decoder_input_ids", "decoder_input_ids")
    assert {layer["kind"] for layer in content["layers"]} == {"self", "cross"}
    explorer.close()
    live.close()


def test_a_reduced_picture_says_how(talk, live):
    content, arrays = talk.ask("head", picked(sample=1, size=[3, 3]))
    assert arrays["matrix"].shape == (3, 3)
    assert "mean of 2.33 × 2.33 weights per pixel" in content["footer"]
    assert "exact" not in content["footer"]


def test_grid_has_a_thumbnail_of_every_head(talk, live):
    _, arrays = talk.ask(
        "grid", {"sample": 0, "padding": False, "scale": "linear", "size": [10, 10]}
    )
    assert arrays["thumbnails"].shape == (10, 10, 10)  # two depths of rollout and of flow as well
    weights = live.attention(1).weights(1).numpy()
    enlarged = np.rint(weights / weights.max() * LEVELS).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(arrays["thumbnails"][5], enlarged)


def test_row_and_column_are_exact(talk, live):
    weights = live.attention(1).weights("max").numpy()
    selection = {"sample": 0, "layer": 1, "head": "max"}
    np.testing.assert_array_equal(talk.ask("row", {**selection, "query": 3})[1]["from"], weights[3])
    np.testing.assert_array_equal(
        talk.ask("column", {**selection, "key": 4})[1]["to"], weights[:, 4]
    )


def test_statistics_say_what_they_are(talk, live):
    content, _ = talk.ask("head", picked())
    weights = live.attention(0).weights(0).double()
    entropy = -(weights * weights.log2()).sum(-1).mean().item()
    found = {entry["name"]: entry for entry in content["statistics"]}
    assert found["Entropy"]["value"] == pytest.approx(entropy, abs=1e-6)
    assert found["Entropy"]["text"] == f"{entropy:.2f} bits"
    assert found["Mass on first"]["value"] == pytest.approx(weights[:, 0].mean().item(), abs=1e-6)
    assert all(entry["definition"].endswith(".") for entry in found.values())


def test_statistics_of_the_maximum_say_what_does_not_apply(talk):
    content, _ = talk.ask("head", picked(head="max"))
    found = {entry["name"]: entry for entry in content["statistics"]}
    assert found["Entropy"]["value"] is None
    assert found["Entropy"]["text"] == "n/a"


def test_a_request_is_answered_from_its_selection_not_from_traits(explorer, talk, live):
    explorer.layer, explorer.head = 1, 1
    _, arrays = talk.ask("head", picked(layer=0, head=3))
    np.testing.assert_array_equal(arrays["from"], live.attention(0).weights(3)[2].numpy())


def test_a_reply_is_padded_as_asked(talk):
    _, buffers = talk.last_of(talk.send("ping", {}, pad=66_000))
    assert len(buffers[0]) == 66_000
    _, buffers = talk.last_of(talk.send("head", picked(), pad=66_000))
    assert len(buffers[0]) == 66_000


def test_a_new_sentence_becomes_the_last_sample():
    live = xw.LiveModel(Tagger(), ["a bee sees"], tokenizer=tokenizer)
    explorer = xw.AttentionExplorer(live)
    talk = Conversation(explorer)
    content, _ = talk.ask("append", {"text": "four new words here"})
    assert content == {"sample": 1}
    assert explorer.sample_count == 2
    content, _ = talk.ask("sample", {"sample": 1, "padding": False})
    assert content["layers"][0]["queries"] == 4


def test_padding_is_hidden_until_asked_for():
    ids = torch.tensor([[3, 4, 5, 6, 0, 0], [1, 2, 3, 4, 5, 6]])
    mask = (ids > 0).long()
    live = xw.LiveModel(Tagger(), {"input_ids": ids, "attention_mask": mask}, tokenizer=tokenizer)
    talk = Conversation(xw.AttentionExplorer(live))
    content, _ = talk.ask("sample", {"sample": 0, "padding": False})
    assert content["layers"][0]["rows"] == content["layers"][0]["columns"] == (0, 4)
    _, arrays = talk.ask("head", picked(padding=False))
    assert arrays["matrix"].shape == (4, 4)
    _, arrays = talk.ask("head", picked(padding=True))
    assert arrays["matrix"].shape == (6, 6)
    assert arrays["from"][4:].tolist() == [0, 0]


def test_errors_are_one_sentence_and_the_widget_lives_on(talk):
    assert talk.error("head", picked(head=9)) == "head 9 is out of range: there are 4 (0 to 3)."
    assert "there are 4 (0 to 3)" in talk.error("head", picked(layer=4))
    assert "no requests of kind 'nonsense'" in talk.error("nonsense", {})
    assert talk.ask("head", picked())[1]["matrix"].shape == (5, 5)


def test_a_quick_answer_is_out_before_its_handler_ends(talk, monkeypatch):
    monkeypatch.setattr("explain_widgets.widgets.explorer._AT_ONCE", 30)  # of a busy machine
    asked = talk.send("head", picked())
    assert [content["id"] for content, _ in talk.messages] == [asked]


def test_a_slow_answer_does_not_hold_up_its_handler(explorer, talk, monkeypatch):
    gate = threading.Event()

    def slow(selection):
        assert gate.wait(30)
        return Reply()

    monkeypatch.setattr(explorer._answers, "answer_head", slow, raising=False)
    asked = talk.send("head", picked())
    assert talk.messages == []
    gate.set()
    assert "error" not in talk.last_of(asked)[0]


def test_what_is_no_request_is_ignored(explorer, talk):
    for message in (None, 3, {"id": 1}, {"id": "a:1", "kind": "head"}, {"hello": "world"}):
        explorer._receive(explorer, message, [])
    talk.ask("ping", {})
    assert len(talk.messages) == 1


def test_no_attention_is_said_when_the_explorer_is_made():
    with pytest.raises(xw.NoAttentionError, match="1 × Linear"):
        xw.AttentionExplorer(nn.Linear(3, 2), torch.randn(4, 3))


def test_a_live_model_takes_no_further_options(live):
    with pytest.raises(TypeError, match="tokenizer: a LiveModel has its own"):
        xw.AttentionExplorer(live, tokenizer=tokenizer)
    with pytest.raises(TypeError, match="and its samples"):
        xw.AttentionExplorer(Tagger())


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("sample", 2, "sample must be 0 to 1, not 2"),
        ("layer", -1, "layer must be 0 to 3, not -1"),
        ("head", 4, "head must be 0 to 3, not 4"),
        ("query", 5, "query must be 0 to 4, not 5"),
        ("layer_name", "third", "no module 'third'"),
        ("colormap", "Bluish", "no colour map 'Bluish'"),
        ("head", "median", "head"),
        ("view", "cube", "view"),
        ("scale", "cubic", "scale"),
    ],
)
def test_a_value_out_of_range_names_the_range(explorer, trait, value, message):
    before = getattr(explorer, trait)
    with pytest.raises(traitlets.TraitError, match=message):
        setattr(explorer, trait, value)
    assert getattr(explorer, trait) == before


def test_traits_can_be_given_at_the_start(live):
    explorer = xw.AttentionExplorer(live, sample=1, layer=1, head=1, query=6, scale="log")
    assert (explorer.sample, explorer.layer, explorer.head, explorer.query) == (1, 1, 1, 6)
    assert (explorer.layer_name, explorer.scale) == ("second", "log")


def test_layer_and_layer_name_follow_each_other(explorer):
    explorer.layer = 1
    assert explorer.layer_name == "second"
    explorer.layer_name = "first"
    assert explorer.layer == 0
    explorer.layer_name = "first.out_proj"  # the nearest around it; not written back
    assert (explorer.layer, explorer.layer_name) == (0, "first.out_proj")
    explorer.layer_name = "words"  # neither inside nor around: the explorer stays
    assert explorer.layer == 0


def test_a_layer_with_fewer_heads_takes_its_last(explorer):
    explorer.head = 3
    explorer.layer = 1
    assert explorer.head == 1


def test_a_shorter_sample_takes_its_last_query(explorer):
    explorer.sample = 1
    explorer.query = 6
    explorer.sample = 0
    assert explorer.query == 4


def test_traits_link_in_both_directions(explorer):
    slider = ipywidgets.IntSlider(max=3)
    ipywidgets.link((slider, "value"), (explorer, "head"))
    slider.value = 2
    assert explorer.head == 2
    explorer.head = 1
    assert slider.value == 1


def test_data_is_what_is_shown(explorer, live):
    explorer.layer, explorer.head, explorer.query = 1, 1, 3
    shown = explorer.data()
    weights = live.attention(1).weights(1)
    assert torch.equal(shown["weights"], weights)
    assert torch.equal(shown["from"], weights[3])
    assert torch.equal(shown["to"], weights[:, 3])
    assert len(shown["query_tokens"]) == 5


def test_figure_draws_the_weights(explorer, live):
    explorer.head = 2
    image = explorer.figure().axes[0].get_images()[0]
    np.testing.assert_allclose(image.get_array(), live.attention(0).weights(2), atol=1e-7)


def test_a_saved_notebook_keeps_a_small_still_picture(explorer, monkeypatch):
    outputs = []
    monkeypatch.setattr(
        "explain_widgets.widgets.explorer.display", lambda data, **_: outputs.append(data)
    )
    explorer._ipython_display_()
    widget, still = outputs
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert f'data-explain-widgets-still="{explorer.still}"' in still["text/html"]
    assert "data:image/png;base64,iVBOR" in still["text/html"]
    assert len(still["text/html"]) < 90_000


def test_state_holds_no_pixels(explorer):
    state = explorer.get_state()
    front_end = {name for name in state if name.startswith("_")}
    own = {name: value for name, value in state.items() if name not in front_end}
    assert len(str(own)) < 3_000


def test_close_gives_back_the_model_it_made():
    explorer = xw.AttentionExplorer(Tagger(), ["a bee"], tokenizer=tokenizer)
    explorer.close()
    assert explorer.live._closed


def test_a_model_that_draws_in_eval_mode_waits_for_the_cell():
    class Noisy(Tagger):
        def forward(self, input_ids):
            return super().forward(input_ids) + torch.rand(1)

    live = xw.LiveModel(Noisy(), ["a bee sees", "four red roses"], tokenizer=tokenizer)
    talk = Conversation(xw.AttentionExplorer(live))
    state = torch.get_rng_state()
    # No event loop serves this program's main thread, so there is nothing to wait for.
    sentence = talk.error("sample", {"sample": 1, "padding": False})
    assert "draws random numbers" in sentence
    assert torch.equal(torch.get_rng_state(), state)
