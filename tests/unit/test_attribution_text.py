"""Attributions of sentences: the pretrained MiniLM with a linear probe that has learnt."""

from __future__ import annotations

from typing import Any

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from snapshot import untouched
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.attribution import Attribution, token_scores

GOOD = [
    "What a wonderful film, I loved every minute.",
    "Great acting and a brilliant story.",
    "A beautiful, moving and funny picture.",
    "The best evening I had this year.",
]
BAD = [
    "What a terrible film, I hated every minute.",
    "Bad acting and a boring story.",
    "A dull, lifeless and ugly picture.",
    "The worst evening I had this year.",
]
SENTENCES = ["The story is dull, but I loved the acting.", "A boring and ugly film."]
GOOD_CLASS = 1


class Sentiment(nn.Module):
    """A sentence encoder that is not trained, and the linear layer on its mean that is."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(384, 2)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        states = self.encoder(
            input_ids, attention_mask, inputs_embeds=inputs_embeds
        ).last_hidden_state
        assert attention_mask is not None
        mask = attention_mask[..., None]
        return self.head((states * mask).sum(1) / mask.sum(1))


@pytest.fixture(scope="module")
def sentiment(minilm: Any, minilm_tokenizer: Any) -> Sentiment:
    torch.manual_seed(0)
    model = Sentiment(minilm).eval()
    inputs = minilm_tokenizer([*BAD, *GOOD], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = minilm(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        means = (states * mask).sum(1) / mask.sum(1)
    target = torch.tensor([0] * len(BAD) + [1] * len(GOOD))
    optimizer = torch.optim.Adam(model.head.parameters(), lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(model.head(means), target).backward()
        optimizer.step()
    model.head.zero_grad(set_to_none=True)
    return model


@pytest.fixture(scope="module")
def live(sentiment: Sentiment, minilm_tokenizer: Any) -> xw.LiveModel:
    return xw.LiveModel(
        sentiment, SENTENCES, tokenizer=minilm_tokenizer, class_names=["bad", "good"]
    )


class Behind:
    """The probe behind its embedding, for Captum and for gradients by hand."""

    def __init__(self, sentiment: Sentiment, tokenizer: Any, text: str) -> None:
        ids = tokenizer(text, return_tensors="pt")
        table = sentiment.encoder.embeddings.word_embeddings
        special = (ids["input_ids"] == 101) | (ids["input_ids"] == 102)
        padding = torch.where(special, ids["input_ids"], 0)
        self.words = table(ids["input_ids"]).detach()
        self.padding = table(padding).detach()
        self._sentiment, self._mask = sentiment, ids["attention_mask"]

    def __call__(self, words: Tensor) -> Tensor:
        mask = self._mask.expand(len(words), -1)
        return self._sentiment(inputs_embeds=words, attention_mask=mask)


@pytest.fixture(params=[0, 1])
def sample(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def behind(sentiment: Sentiment, minilm_tokenizer: Any, sample: int) -> Behind:
    return Behind(sentiment, minilm_tokenizer, SENTENCES[sample])


def values(found: Attribution) -> Tensor:
    assert isinstance(found.values, Tensor)
    return found.values


def test_gradients_are_those_by_the_embedding(
    live: xw.LiveModel, behind: Behind, sample: int
) -> None:
    leaf = behind.words.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(behind(leaf)[0, GOOD_CLASS], leaf)
    found = {
        name: values(live.attribute(name, sample, GOOD_CLASS))
        for name in ("gradient", "saliency", "input_x_gradient")
    }
    assert torch.allclose(found["gradient"], slopes, atol=1e-6)
    assert torch.allclose(found["saliency"], slopes.abs(), atol=1e-6)
    assert torch.allclose(found["input_x_gradient"], slopes * leaf, atol=1e-6)


def test_paths_and_windows_are_captums(live: xw.LiveModel, behind: Behind, sample: int) -> None:
    """From padding, with the special tokens as they are, to the words."""
    given: dict[str, Any] = {"baselines": behind.padding, "target": GOOD_CLASS}
    path = captum.attr.IntegratedGradients(behind).attribute(
        behind.words, n_steps=20, internal_batch_size=5, **given
    )
    found = live.attribute("integrated_gradients", sample, GOOD_CLASS, n_steps=20)
    assert torch.allclose(values(found), path.float(), atol=1e-6)
    difference = (behind(behind.words) - behind(behind.padding))[0, GOOD_CLASS].item()
    assert found.expected_sum == pytest.approx(difference, abs=1e-5)
    expected = found.total - difference
    assert found.completeness_gap == pytest.approx(expected, abs=1e-5)
    taken = captum.attr.Occlusion(behind).attribute(
        behind.words, sliding_window_shapes=(1, 384), **given
    )
    one = values(live.attribute("occlusion", sample, GOOD_CLASS))
    assert torch.allclose(one[..., 0], taken[..., 0].float(), atol=1e-5)
    tokens = torch.arange(behind.words.shape[1])[None, :, None]
    torch.manual_seed(7)
    shap = captum.attr.KernelShap(behind).attribute(
        behind.words, feature_mask=tokens, n_samples=40, perturbations_per_eval=8, **given
    )
    drawn = live.attribute("kernel_shap", sample, GOOD_CLASS, n_samples=40, seed=7)
    assert torch.allclose(values(drawn)[..., 0], shap[..., 0], atol=1e-4)


def test_what_speaks_for_a_class_are_the_words_that_do(live: xw.LiveModel) -> None:
    tokens = [token.text.strip() for token in live.samples[0].tokens or []]
    for method in ("integrated_gradients", "occlusion", "shapley_value_sampling"):
        options = {"n_samples": 6} if "shapley" in method else {}
        found = live.attribute(method, 0, GOOD_CLASS, **options)
        scores = token_scores(values(found))
        assert len(scores) == len(tokens)
        # Special tokens are those of the baseline: nothing is attributed to them. Forwards of the
        # same tokens, in batches of other sizes, differ by their rounding.
        most = 1e-6 if method == "integrated_gradients" else 1e-5
        assert scores[[0, -1]].abs().max() < most, method
        assert tokens[int(scores.argmax())] == "loved", method
        assert tokens[int(scores.argmin())] == "dull", method
    assert live.class_scores(1).argmax() == 0


def test_what_can_be_trusted_of_text(live: xw.LiveModel, sentiment: Sentiment) -> None:
    """Words that an attribution calls the strongest turn the probe sooner than random ones."""
    with untouched(sentiment):
        found = live.attribute("integrated_gradients", 1, 0)
        *_, curves = live.faithfulness(found, 1)
        moved = live.sensitivity("input_x_gradient", 1, 0, radius=1e-3, count=3)
    rows = {row["method"]: row for row in curves.to_dicts()}
    assert rows["integrated_gradients"]["deletion"] < rows["random"]["deletion"]
    assert 0 < moved.mean <= moved.value < 1
    assert "embedding" in moved.note
