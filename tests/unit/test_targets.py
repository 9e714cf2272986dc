"""The target: every form of output it is read from, and the errors."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_models import WIDTH, X
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from explain_widgets import LiveModel, TargetError
from explain_widgets.live.targets import logits, target_value

CLASSES = torch.tensor([[0.1, 2.0, -1.0]])
WORDS = torch.tensor([[[0.0, 1.0], [5.0, 3.0], [7.0, 9.0]]])  # (1, 3 positions, 2 words)


@pytest.mark.parametrize(
    "output",
    [
        CLASSES,
        SequenceClassifierOutput(logits=CLASSES),
        {"logits": CLASSES, "loss": None},
        SimpleNamespace(logits=CLASSES),
        namedtuple("Output", "loss logits")(None, CLASSES),  # noqa: PYI024
    ],
    ids=["tensor", "ModelOutput", "dict", "object", "namedtuple"],
)
def test_classes(output: Any) -> None:
    assert target_value(output, None).item() == 2.0  # the predicted class
    assert target_value(output, 0).item() == pytest.approx(0.1)
    assert target_value(output, 2).item() == -1.0
    assert target_value(output, np.int64(1)).item() == 2.0
    assert target_value(output, None).shape == ()


def test_words_at_the_last_unpadded_position() -> None:
    assert target_value(WORDS, None).item() == 9.0
    assert target_value(WORDS, None, last=1).item() == 5.0
    assert target_value(WORDS, 1, last=0).item() == 1.0
    assert target_value({"logits": WORDS}, 0, last=1).item() == 5.0
    assert target_value(WORDS, None, last=7).item() == 9.0  # an input longer than the output


@pytest.mark.parametrize("output", [torch.tensor(3.0), torch.ones(1) * 3, torch.ones(1, 1, 1) * 3])
def test_a_single_output_is_its_own_target(output: Tensor) -> None:
    assert target_value(output, None).item() == 3.0
    assert target_value(output, None).shape == ()


def test_a_callable() -> None:
    output = (CLASSES, "anything")
    assert target_value(output, lambda output: output[0].sum()).item() == pytest.approx(1.1)
    assert target_value(output, lambda output: output[0][:1, :1]).shape == ()


@pytest.mark.parametrize("value", [CLASSES, 3.0, None, "text"])
def test_a_callable_that_gives_no_scalar(value: Any) -> None:
    with pytest.raises(TargetError, match="single element"):
        target_value(CLASSES, lambda output: value)


@pytest.mark.parametrize("target", [3, -4, 100])
def test_out_of_range(target: int) -> None:
    with pytest.raises(TargetError, match=r"out of range: the output has classes 0 to 2"):
        target_value(CLASSES, target)


@pytest.mark.parametrize(
    ("output", "named"),
    [
        (torch.ones(2, 3), r"shape \(2, 3\)"),
        (torch.ones(1, 3, 4, 4), r"shape \(1, 3, 4, 4\)"),
        (torch.ones(5), r"shape \(5,\)"),
        ((CLASSES, CLASSES), "tuple"),
        ({"a": CLASSES}, "dict"),
        (None, "NoneType"),
    ],
)
def test_anything_else_asks_for_a_callable(output: Any, named: str) -> None:
    with pytest.raises(TargetError, match=named) as raised:
        logits(output)
    assert "pass target as a callable" in str(raised.value)


@pytest.mark.parametrize("target", ["cat", 1.5, CLASSES])
def test_a_target_that_is_no_target(target: Any) -> None:
    with pytest.raises(TargetError, match="class index"):
        target_value(CLASSES, target)


def test_the_prediction_follows_padding() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, WIDTH)

        def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            return self.table(input_ids)

    model = Words()
    ids = torch.tensor([[1, 2, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    found = LiveModel(model, {"input_ids": ids, "attention_mask": mask}).gradient("table")
    row, word = found[0].nonzero().tolist()[0]
    assert (row, word) == (2, int(model.table(ids)[0, 2].argmax()))


def test_the_prediction_of_an_encoder_decoder_is_of_its_decoder() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {
        "vocab_size": 20,
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 16,
        "num_layers": 1,
        "num_heads": 2,
    }
    model = T5ForConditionalGeneration(T5Config(**sizes))
    data = {
        "input_ids": torch.arange(9)[None] + 1,
        "attention_mask": torch.tensor([[1] * 6 + [0] * 3]),
        "decoder_input_ids": torch.tensor([[0, 4, 5, 6, 7, 8, 9, 0]]),
        "decoder_attention_mask": torch.tensor([[1] * 3 + [0] * 5]),
    }
    gradient = LiveModel(model, data).gradient("lm_head")
    assert gradient[0].nonzero()[:, 0].tolist() == [2]
    assert gradient.sum() == 1


def test_errors_reach_the_caller_of_a_gradient() -> None:
    live = LiveModel(nn.Linear(WIDTH, 3), X[:, 0])
    for question in (
        lambda: live.gradient("", target=9),
        lambda: live.parameter_gradients(target=9),
    ):
        with pytest.raises(TargetError, match="out of range"):
            question()
