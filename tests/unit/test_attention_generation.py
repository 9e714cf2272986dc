"""Generated text: the steps of a cache put together, against one forward over the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conversation import Conversation
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.score_steps import Causal, Masked, Part, Stacked, stacked
from explain_widgets.widgets.attention import AttentionExplorer

transformers = pytest.importorskip("transformers")
transformers.utils.logging.set_verbosity_error()

PROMPT, NEW = 9, 12
SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
DECODER = {
    "llama": {**SIZES, "num_key_value_heads": 2},
    "mistral": {**SIZES, "num_key_value_heads": 2, "sliding_window": 6},
    "gemma3_text": {
        **SIZES,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "sliding_window": 6,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gpt2": {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "bloom": {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4},
}
ENCODER_DECODER = {
    "t5": {
        "vocab_size": 99,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 37,
        "num_layers": 2,
        "num_heads": 4,
        "decoder_start_token_id": 0,
    },
    "bart": {
        "vocab_size": 99,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 37,
        "decoder_ffn_dim": 37,
        "decoder_start_token_id": 2,
    },
}


def model_of(kind: str, implementation: str) -> nn.Module:
    sizes = {**DECODER, **ENCODER_DECODER}[kind]
    config = transformers.AutoConfig.for_model(kind, **sizes)
    config._attn_implementation = implementation
    auto = (
        transformers.AutoModelForSeq2SeqLM
        if kind in ENCODER_DECODER
        else transformers.AutoModelForCausalLM
    )
    torch.manual_seed(0)
    model: nn.Module = auto.from_config(config).eval()
    return model


def generating(model: nn.Module, ids: Tensor, mask: Tensor | None = None, **options: Any) -> Any:
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids) if mask is None else mask,
    }
    options = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, **options}
    return xw.LiveModel(model, inputs, forward=lambda m, **kw: m.generate(**kw, **options))


def prompt() -> Tensor:
    return torch.randint(3, 99, (1, PROMPT), generator=torch.Generator().manual_seed(1))


CASES = [
    (kind, implementation)
    for kind in (*DECODER, *ENCODER_DECODER)
    for implementation in ("sdpa", "eager")
    if (kind, implementation) != ("bloom", "sdpa")
]


@pytest.mark.parametrize("cache", [None, "static"])
@pytest.mark.parametrize(("kind", "implementation"), CASES)
def test_generated_text_has_the_attention_of_one_forward_over_all_of_it(
    kind: str, implementation: str, cache: str | None
) -> None:
    model = model_of(kind, implementation)
    live = generating(model, prompt(), **({} if cache is None else {"cache_implementation": cache}))
    ids = live.output()
    written = ids[:, :-1]
    reference = model_of(kind, "eager")
    with torch.no_grad():
        if kind in ENCODER_DECODER:
            output = reference(prompt(), decoder_input_ids=written, output_attentions=True)
            pairs = zip(output.decoder_attentions, output.cross_attentions, strict=True)
            theirs = [*output.encoder_attentions, *(one for pair in pairs for one in pair)]
        else:
            theirs = reference(written, output_attentions=True).attentions
    layers = live.attention_layers()
    assert len(layers) == len(theirs)
    for number, weights in enumerate(theirs):
        ours = live.attention(number).weights()
        assert (ours - weights[0]).abs().max() <= 1e-6
        # From the rows alone as well: what is shown of a long text is computed in parts.
        assert (
            live.attention(number).row(1, ours.shape[1] - 1) - weights[0, 1, -1]
        ).abs().max() < 1e-6
    of_decoder = [layer for layer in layers if layer.prompt is not None]
    begun = 1 if kind in ENCODER_DECODER else PROMPT
    assert {layer.prompt for layer in of_decoder} == {begun}
    assert all(f"{NEW} steps of a generation" in layer.note for layer in of_decoder)
    assert all(layer.check is not None and layer.check <= 1e-5 for layer in layers)
    assert not any(":" in layer.name for layer in layers)


def test_a_padded_prompt_stays_hidden_from_new_tokens() -> None:
    ids, mask = prompt(), torch.ones(1, PROMPT, dtype=torch.long)
    mask[:, :3] = 0
    live = generating(model_of("llama", "sdpa"), ids, mask)
    with torch.no_grad():
        whole = torch.cat([mask, mask.new_ones(1, NEW - 1)], 1)
        theirs = model_of("llama", "eager")(
            live.output()[:, :-1], attention_mask=whole, output_attentions=True
        ).attentions
    for number, weights in enumerate(theirs):
        ours = live.attention(number).weights()
        assert (ours - weights[0])[:, 3:].abs().max() <= 1e-6
        assert ours[:, 3:, :3].abs().max() == 0


def test_q_and_k_are_kept_once_whatever_the_number_of_steps() -> None:
    live = generating(model_of("llama", "sdpa"), prompt())
    attention = live.attention(0)
    length = PROMPT + NEW - 1
    assert attention.query.untyped_storage().nbytes() == 4 * length * 8 * 4  # four heads of 8
    assert attention.key.untyped_storage().nbytes() == 2 * length * 8 * 4  # two key heads


def test_what_there_is_no_room_for_is_listed_alike_and_read_again() -> None:
    ids = prompt()
    for implementation in ("sdpa", "eager"):
        roomy = generating(model_of("gpt2", implementation), ids)
        narrow = generating(model_of("gpt2", implementation), ids)
        narrow._store.limit = 100
        assert narrow.attention_layers() == roomy.attention_layers()
        assert torch.equal(narrow.attention(1).weights(), roomy.attention(1).weights())


def test_calls_that_do_not_go_on_from_each_other_stay_apart() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.attention(x, x, x)[0]
            return result

    live = xw.LiveModel(Twice().eval(), torch.randn(1, 5, 8), forward=lambda m, x: m(m(x)))
    assert [layer.name for layer in live.attention_layers()] == ["attention", "attention:1"]
    # The same again is no generation either: the second has no queries of its own.
    live = xw.LiveModel(Twice().eval(), torch.randn(1, 5, 8), forward=lambda m, x: (m(x), m(x)))
    assert [layer.name for layer in live.attention_layers()] == ["attention", "attention:1"]


class _Tokenizer:
    """Words of one letter."""

    all_special_ids: tuple[int, ...] = ()

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [f"w{i}" for i in ids]


def test_the_widget_tells_the_prompt_from_the_new_tokens() -> None:
    inputs = {"input_ids": prompt()}
    live = xw.LiveModel(
        model_of("llama", "sdpa"),
        xw.Samples(inputs, tokenizer=_Tokenizer()),
        forward=lambda m, **kw: m.generate(**kw, max_new_tokens=NEW, min_new_tokens=NEW),
    )
    explorer = AttentionExplorer(live)
    content, _ = Conversation(explorer).ask("sample", {"sample": 0})
    (layer, *_), tokens = content["layers"], content["tokens"]["generated"]
    assert layer["query_tokens"] == layer["key_tokens"] == "generated"
    assert layer["prompt"] == PROMPT
    assert [token[4] for token in tokens] == [0] * PROMPT + [1] * (NEW - 1)
    ids = live.output()[0]
    assert [token[0] for token in tokens] == [f"w{i}" for i in ids[:-1].tolist()]
    assert explorer.data()["query_tokens"] == [f"w{i}" for i in ids[:-1].tolist()]


def test_parts_of_rows_with_their_own_masks_are_exact_block_by_block() -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 11, 4, generator=generator)
    key = torch.randn(2, 9, 4, generator=generator)
    holes = torch.rand(1, 3, 4, generator=generator) > 0.4
    holes[..., 0] = True
    parts = (
        Part((0, 4), (0, 4), (Causal(),)),
        Part((4, 7), (3, 7), (Masked(holes),)),
        Part((7, 11), (0, 9), ()),
    )
    (step,) = stacked(parts, 9)
    assert isinstance(step, Stacked)  # holes are no range
    attention = Attention(query, key, 0.5, (step,))
    keep = torch.zeros(1, 11, 9, dtype=torch.bool)
    keep[0, :4, :4] = torch.ones(4, 4).tril().bool()
    keep[0, 4:7, 3:7] = holes
    keep[0, 7:] = True
    scores = (0.5 * query.double() @ key.double().mT).masked_fill(~keep, float("-inf"))
    expected = scores.softmax(-1)
    assert (attention.weights() - expected).abs().max() < 1e-6
    for rows in [(0, 11), (2, 6), (5, 11), (6, 8)]:
        for every in (1, 2, 3):
            block = attention.block((0, 2), rows, (2, 8), every)
            assert (block - expected[:, rows[0] : rows[1] : every, 2:8]).abs().max() < 1e-6
