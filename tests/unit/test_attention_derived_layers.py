"""Rollout, flow and gradient × attention in the attention explorer: as the live model has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from conversation import Conversation
from test_attention_lens import Reader, Tokenizer
from torch import Tensor

import explain_widgets as xw
from explain_widgets.widgets.attention import answers
from explain_widgets.widgets.worker import Pause

SHOWN = {"sample": 0, "query": 1, "scale": "linear", "padding": False}
SELECTION = {**SHOWN, "rows": None, "keys": None, "size": [512, 512]}


@pytest.fixture
def explorer() -> Any:
    made = xw.AttentionExplorer(
        Reader().eval(), ["any text"], tokenizer=Tokenizer(), class_names=["cat", "dog", "emu"]
    )
    yield made
    made.close()


def row(explorer: Any, layer: int, head: int, **lens: Any) -> Any:
    """Where query 1 looks, as the browser gets it, and what is said."""
    selection = {**SELECTION, "layer": layer, "head": head, "lens": lens}
    content, arrays = Conversation(explorer).ask("head", selection)
    return content, arrays["from"]


def refused(explorer: Any, layer: int, **lens: Any) -> str:
    selection = {**SELECTION, "layer": layer, "head": 0, "lens": lens}
    return Conversation(explorer).error("head", selection)


def test_rollout_and_flow_are_layers_behind_the_calls(explorer: Any) -> None:
    assert explorer.layer_names == ["first", "second", "rollout", "flow"]
    content, _ = Conversation(explorer).ask("sample", {"sample": 0})
    assert [layer["is_derived"] for layer in content["layers"]] == [False, False, True, True]
    for layer, name in ((2, "rollout"), (3, "flow")):
        content, weights = row(explorer, layer, head=1)
        expected = explorer.live.attention(name).row(1, 1)
        np.testing.assert_allclose(weights, expected, atol=1e-6)
        assert "for layers 0 to 1" in content["footer"]
        assert content["unit"] == ("flow" if name == "flow" else "weight")


def test_picking_a_rollout_leaves_the_name_that_others_follow(explorer: Any) -> None:
    explorer.layer = 1
    assert explorer.layer_name == "second"
    explorer.layer = 2
    assert explorer.layer_name == "second"
    explorer.layer_name = "rollout"
    assert explorer.layer == 2
    assert explorer.figure().axes[0].get_title().startswith("rollout · layers 0 to")


def test_thumbnails_of_flow_wait_until_it_is_picked(explorer: Any) -> None:
    grid = {"sample": 0, "padding": False, "scale": "linear", "size": [10, 10]}
    content, arrays = Conversation(explorer).ask("grid", grid)
    drawn = arrays["thumbnails"].any((1, 2)).tolist()
    assert content["unread"] == [3]
    assert drawn == [True] * 10 + [False] * 2  # heads of two calls, depths of rollout; of flow
    ahead = {**SELECTION, "layer": 3, "head": 0}
    assert Conversation(explorer).ask("ahead", ahead)[0] == {"skipped": True}


@pytest.mark.parametrize("times", [16, 128])
def test_thumbnails_of_a_rollout_give_way_where_inputs_are_long(
    explorer: Any, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    grid = {"sample": 0, "padding": False, "scale": "linear", "size": [10, 10]}
    *_, whole = explorer._answers.answer_grid(grid)
    layers = explorer.live.attention_layers()
    heads = sum(layer.heads for layer in layers) + len(layers)  # a rollout has one for each depth
    work = 2 * heads * layers[0].queries * layers[0].keys
    monkeypatch.setattr(answers, "_CPU_AT_ONCE", work // times)
    replies = list(explorer._answers.answer_grid(grid))
    last = replies[-1]
    if times == 16:
        place = replies.index(Pause.GIVES_WAY)
        np.testing.assert_array_equal(last.arrays["thumbnails"], whole.arrays["thumbnails"])
        last = replies[place - 1]
    # Until then, and where it would take much longer than the others for good: none of it.
    drawn = last.arrays["thumbnails"].any((1, 2)).tolist()
    assert drawn == [True] * 8 + [False] * 4
    assert (Pause.GIVES_WAY in replies) == (times == 16)
    assert last.content["unread"] == ([3] if times == 16 else [2, 3])


def test_gradient_is_of_the_class_that_is_picked(explorer: Any) -> None:
    live = explorer.live
    for target, words in ((None, "the predicted class"), (1, "class 1")):
        content, weights = row(explorer, 0, head=2, measure="gradient", target=target)
        expected = live.gradient_attention("first", target=target).row(2, 1)
        np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-8)
        assert f"target: {words}" in content["footer"]
        assert content["unit"] == "gradient × attention"
    _, rolled = row(explorer, 2, head=1, measure="gradient", target=1)
    expected = live.gradient_attention("rollout", target=1).row(1, 1)
    np.testing.assert_allclose(rolled, expected, rtol=1e-5, atol=1e-7)


def test_a_function_may_be_the_target_and_another_replaces_it(explorer: Any) -> None:
    def score(factor: float) -> Any:
        return lambda output: factor * output[0, 2]

    explorer.measure = "gradient"
    for factor in (1.0, 3.0):
        explorer.target = score(factor)
        assert explorer.get_state(["target"])["target"] == "custom"
        content, weights = row(explorer, 0, head=2, measure="gradient", target="custom")
        expected = factor * explorer.live.gradient_attention("first", target=2).row(2, 1)
        np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-8)
        assert "target: as given" in content["footer"]
    # As the browser sends its traits back.
    explorer.set_state({"target": "custom"})
    assert callable(explorer.target)
    explorer.target = 1
    with pytest.raises(traitlets.TraitError, match="index of a class"):
        explorer.target = "cat"


def test_classes_to_pick_from_with_the_predicted_one(explorer: Any) -> None:
    scores: Tensor = explorer.live.output()[0]
    content, _ = Conversation(explorer).ask("classes", {"sample": 0})
    assert content["classes"] == ["cat", "dog", "emu"]
    assert content["predicted"]["index"] == int(scores.argmax())
    probability = float(scores.double().softmax(0).max())
    assert content["predicted"]["probability"] == pytest.approx(probability, abs=1e-6)


def test_what_makes_no_sense_is_said(explorer: Any) -> None:
    assert "has no flow" in refused(explorer, 3, measure="gradient")
    assert "single layers" in refused(explorer, 2, measure="value-weighted")
    ablated = [[0, 1, "zero"]]
    assert "put the ablated heads back" in refused(explorer, 0, measure="gradient", ablated=ablated)
    with pytest.raises(traitlets.TraitError, match="ablate"):
        explorer.ablated = [[2, 0, "zero"]]


def test_a_rollout_is_of_the_forward_without_the_ablated_heads(explorer: Any) -> None:
    ablated = [[0, 1, "zero"]]
    _, weights = row(explorer, 2, head=1, ablated=ablated)
    expected = explorer.live.attention("rollout", ablate=[(0, 1, "zero")]).row(1, 1)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert not torch.allclose(expected, explorer.live.attention("rollout").row(1, 1))
