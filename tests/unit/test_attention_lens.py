"""Words, sentences, hidden sinks, values and ablated heads in the attention explorer."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from conversation import Conversation
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.live.samples import Token
from explain_widgets.live.samples.groups import unit_edges, united

TOKENS = [
    ("[CLS]", 0, 1),
    ("Un", 0, 0),
    ("believ", 1, 0),
    ("able", 1, 0),
    (".", 1, 0),
    ("So", 0, 0),
    ("it", 0, 0),
    ("is", 0, 0),
    ("!", 1, 0),
    ("[SEP]", 0, 1),
]
WORDS = [0, 1, 4, 5, 6, 7, 8, 9, 10]
SENTENCES = [0, 1, 5, 9, 10]


def tokens() -> list[Token]:
    return [Token(text, text, bool(joined), bool(special)) for text, joined, special in TOKENS]


def test_units_are_words_and_sentences() -> None:
    assert unit_edges(tokens(), "tokens") == list(range(11))
    assert unit_edges(tokens(), "words") == WORDS
    assert unit_edges(tokens(), "sentences") == SENTENCES
    assert [token.text for token in united(tokens(), WORDS)] == [
        *("[CLS]", "Unbelievable", ".", "So", "it", "is", "!", "[SEP]")
    ]
    assert [token.text for token in united(tokens(), SENTENCES)] == [
        *("[CLS]", "Unbelievable.", "So it is!", "[SEP]")
    ]
    assert [token.special for token in united(tokens(), SENTENCES)] == [True, False, False, True]


def test_quotes_belong_to_their_sentence() -> None:
    spoken = [
        Token(t, t, j, False) for t, j in [("No", False), (".", True), ("”", True), ("He", False)]
    ]
    assert unit_edges(spoken, "sentences") == [0, 3, 4]
    assert unit_edges([], "words") == [0]


class Tokenizer:
    """The tokens above, whatever the text; as WordPiece spells them."""

    cls_token, sep_token = "[CLS]", "[SEP]"
    all_special_tokens = ("[CLS]", "[SEP]")
    all_special_ids = (0, 9)

    def __call__(self, text: str, **options: Any) -> dict[str, Any]:
        return {"input_ids": list(range(10))}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [
            ("##" if TOKENS[i][1] and TOKENS[i][0].isalpha() else "") + TOKENS[i][0] for i in ids
        ]


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(10, 16)
        self.first = nn.MultiheadAttention(16, 4, batch_first=True)
        self.second = nn.MultiheadAttention(16, 4, batch_first=True)
        self.classes = nn.Linear(16, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.words(input_ids)
        x = x + self.first(x, x, x)[0]
        x = x + self.second(x, x, x)[0]
        result: Tensor = self.classes(x[:, 0])
        return result


@pytest.fixture
def explorer() -> Any:
    made = xw.AttentionExplorer(
        Reader().eval(), ["any text"], tokenizer=Tokenizer(), class_names=["cat", "dog", "emu"]
    )
    yield made
    made.close()


def asked(explorer: Any, head: int = 1, layer: int = 1, **lens: Any) -> Any:
    """The exact row of query 1 and the picture, through a lens, as the browser gets them."""
    talk = Conversation(explorer)
    selection = {
        "sample": 0,
        "layer": layer,
        "head": head,
        "query": 1,
        "scale": "linear",
        "rows": None,
        "keys": None,
        "size": [512, 512],
        "padding": False,
        "lens": lens,
    }
    return talk.ask("head", selection)


def test_words_and_sentences_are_shown_with_the_sums_of_their_tokens(explorer: Any) -> None:
    weights = explorer.live.attention(1).weights(1)
    for units, edges in (("words", WORDS), ("sentences", SENTENCES)):
        there, _ = Conversation(explorer).ask("sample", {"sample": 0, "lens": {"units": units}})
        layer = there["layers"][1]
        assert layer["queries"] == layer["keys"] == len(edges) - 1
        assert len(there["tokens"]["input_ids"]) == len(edges) - 1
        rows = slice(edges[1], edges[2])
        expected = [
            float(weights[rows, start:stop].sum(1).mean())
            for start, stop in itertools.pairwise(edges)
        ]
        content, arrays = asked(explorer, units=units)
        np.testing.assert_allclose(arrays["from"], expected, atol=1e-6)
        assert f"{units}: sum over keys, mean over queries" in content["footer"]


def test_sinks_are_hidden_and_the_rest_rescaled(explorer: Any) -> None:
    weights = explorer.live.attention(1).weights(1)[1]
    shown = [
        position
        for position, (text, _, special) in enumerate(TOKENS)
        if not special and text.isalpha()
    ]
    expected = torch.zeros(10)
    expected[shown] = weights[shown] / weights[shown].sum()
    content, arrays = asked(explorer, hide_sinks=True)
    np.testing.assert_allclose(arrays["from"], expected, atol=1e-6)
    assert "sinks hidden, the rest rescaled" in content["footer"]


def test_values_weigh_in(explorer: Any) -> None:
    attention = explorer.live.attention(1)
    expected = attention.weights(1)[1] * attention.value_norms[1]
    content, arrays = asked(explorer, measure="value-weighted")
    np.testing.assert_allclose(arrays["from"], expected, rtol=1e-5)
    assert "length of values" in content["footer"]
    entropy = next(row for row in content["statistics"] if row["name"] == "Entropy")
    assert entropy["value"] is None


def test_traits_are_what_data_and_figure_show(explorer: Any) -> None:
    explorer.layer, explorer.head, explorer.units, explorer.hide_sinks = 1, 1, "words", True
    explorer.ablated = [[0, 2, "zero"]]
    data = explorer.data()
    assert data["weights"].shape == (8, 8)
    assert data["query_tokens"][1] == "Unbelievable"
    base = explorer.live.attention(1, ablate=[(0, 2, "zero")]).weights(1)
    assert not torch.allclose(base, explorer.live.attention(1).weights(1))
    hidden = [0, 4, 8, 9]
    base[:, hidden] = 0
    base /= base.sum(1, keepdim=True)
    assert data["weights"][1, 3] == pytest.approx(float(base[1:4, 5].mean()), abs=1e-6)
    title = explorer.figure().axes[0].get_title()
    assert "sinks hidden" in title
    assert "1 head ablated" in title


def test_the_change_of_the_output_is_told_with_class_names(explorer: Any) -> None:
    talk = Conversation(explorer)
    ablated = [[0, 2, "zero"], [1, 0, "mean"]]
    change = talk.ask("change", {"sample": 0, "lens": {"ablated": ablated}})[0]["change"]
    expected = explorer.live.output_change([(0, 2, "zero"), (1, 0, "mean")])
    assert change["cosine"] == expected.cosine
    assert sorted(change["classes"]) == ["cat", "dog", "emu"]
    assert sum(change["before"]) == pytest.approx(1)
    assert talk.ask("change", {"sample": 0, "lens": {}})[0]["change"] is None


def test_heads_that_are_not_there_cannot_be_ablated(explorer: Any) -> None:
    with pytest.raises(traitlets.TraitError, match="head 9 is out of range"):
        explorer.ablated = [[0, 9, "zero"]]
    with pytest.raises(traitlets.TraitError, match="neither"):
        explorer.ablated = [[0, 1, "some"]]
    assert explorer.ablated == []
    talk = Conversation(explorer)
    wrong = {"sample": 0, "layer": 0, "head": 0, "lens": {"units": "pages"}}
    assert "pages" in talk.error("head", wrong)
