"""Heads taken out of the forward, against models with that head's weights cut out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_attention import BLOCKS, HEADS, WIDTH, Block, ByHand, X
from small_transformers import inputs_of, small_model
from snapshot import untouched
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.live.outputs import output_change


def outputs_of_heads(block: Block, x: Tensor) -> Tensor:
    """(positions, heads, channels): what each head gives to the last matrix."""
    seen: list[Tensor] = []
    handle = block.out.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        block(x)
    handle.remove()
    return seen[0][0].unflatten(-1, (HEADS, -1))


def expected(block: Block, x: Tensor, head: int, how: str) -> Tensor:
    heads = outputs_of_heads(block, x).clone()
    heads[:, head] = heads[:, head].mean(0) if how == "mean" else 0
    with torch.no_grad():
        result: Tensor = x + block.out(heads.flatten(-2))
    return result


@pytest.mark.parametrize("how", ["zero", "mean"])
@pytest.mark.parametrize("kind", BLOCKS)
def test_the_output_is_that_without_the_head(kind: type[Block], how: Any) -> None:
    block = kind().eval()
    live = xw.LiveModel(block, X)
    plain = live.output()
    with untouched(block):
        for head in range(HEADS):
            ours = live.output(ablate=[(0, head, how)])
            assert (ours - expected(block, X, head, how)).abs().max() < 1e-6
            assert not torch.allclose(ours, plain)
    assert torch.equal(live.output(), plain)


@pytest.mark.parametrize("need_weights", [True, False])
def test_heads_of_multihead_attention(need_weights: bool) -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        result: Tensor = m(x, x, x, need_weights=need_weights)[0]
        return result

    live = xw.LiveModel(module, X, forward=forward)
    size = WIDTH // HEADS
    for head in range(HEADS):
        cut = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
        cut.load_state_dict(module.state_dict())
        with torch.no_grad():
            cut.out_proj.weight[:, head * size : (head + 1) * size] = 0
            theirs = forward(cut, X)
        assert (live.output(ablate=[(0, head, "zero")]) - theirs).abs().max() < 1e-6


def test_all_heads_at_once_and_several_layers() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Block(), ByHand()

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.second(self.first(x))
            return result

    model = Two().eval()
    live = xw.LiveModel(model, X)
    every = [(layer, head, "zero") for layer in (0, "second") for head in range(HEADS)]
    with torch.no_grad():
        only_bias = X + model.first.out.bias + model.second.out.bias
    assert (live.output(ablate=every) - only_bias).abs().max() < 1e-6
    # Later layers look elsewhere; the ablated layer's own weights are as they were.
    without = [("first", 1, "zero")]
    plain, changed = live.attention(1).weights(), live.attention(1, ablate=without).weights()
    inner = expected(model.first, X, 1, "zero")
    theirs = xw.LiveModel(model.second, inner).attention(0).weights()
    assert (changed - theirs).abs().max() < 1e-6
    assert not torch.allclose(plain, changed)
    assert torch.equal(live.attention(0, ablate=without).weights(), live.attention(0).weights())
    assert torch.equal(live.attention(1).weights(), plain)


def test_scripted_models_and_windows() -> None:
    traced = torch.jit.trace(Block().eval(), X)
    live = xw.LiveModel(traced, X)
    ours = live.output(ablate=[(0, 2, "zero")])
    assert (ours - expected(Block().eval(), X, 2, "zero")).abs().max() < 1e-6

    model = small_model("swin")
    inputs = inputs_of(model)
    live = xw.LiveModel(model, inputs)
    layer = live.attention_layers()[0]
    cut = small_model("swin")
    cut.load_state_dict(model.state_dict())
    with torch.no_grad():
        projection = dict(cut.named_modules())[layer.name].o_proj
        size = projection.weight.shape[1] // layer.heads
        projection.weight[:, size : 2 * size] = 0
        theirs = cut(**inputs).last_hidden_state
    ours = live.output(ablate=[(0, 1, "zero")]).last_hidden_state
    assert (ours - theirs).abs().max() < 1e-5


def test_heads_of_generated_text() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2}
    config = transformers.LlamaConfig(
        vocab_size=99, num_attention_heads=4, num_key_value_heads=2, **sizes
    )
    torch.manual_seed(0)
    model, cut = (transformers.LlamaForCausalLM(config).eval() for _ in range(2))
    cut.load_state_dict(model.state_dict())
    ids = torch.randint(3, 99, (1, 7), generator=torch.Generator().manual_seed(0))

    def forward(m: Any, **kwargs: Any) -> Any:
        return m.generate(**kwargs, max_new_tokens=8, min_new_tokens=8, do_sample=False)

    mask = torch.ones_like(ids)
    live = xw.LiveModel(model, {"input_ids": ids, "attention_mask": mask}, forward=forward)
    with torch.no_grad():
        cut.model.layers[0].self_attn.o_proj.weight[:, 16:24] = 0
        theirs = forward(cut, input_ids=ids, attention_mask=mask)
    assert torch.equal(live.output(ablate=[(0, 2, "zero")]), theirs)


def test_what_cannot_be_ablated_is_said() -> None:
    live = xw.LiveModel(Block().eval(), X)
    for wrong, said in [
        ((0, 4, "zero"), "head 4 is out of range"),
        ((1, 0, "zero"), "no attention layer 1"),
        (("nothing", 0, "zero"), "no attention layer 'nothing'"),
        ((0, 0, "half"), "neither"),
    ]:
        with pytest.raises(ValueError, match=said):
            live.output(ablate=[wrong])
    with pytest.raises(ValueError, match="named twice"):
        live.output(ablate=[(0, 0, "zero"), ("", 0, "mean")])


def test_the_change_of_class_scores() -> None:
    before, after = torch.randn(1, 9).double(), torch.randn(1, 9).double()
    change = output_change(before, after)
    p, q = before.softmax(-1)[0], after.softmax(-1)[0]
    assert change.divergence == pytest.approx(float((p * (p / q).log2()).sum()))
    assert set(p.topk(5).indices.tolist()) | set(q.topk(5).indices.tolist()) == set(change.classes)
    assert list(change.before) == sorted(change.before, reverse=True)
    assert change.after == pytest.approx([float(q[index]) for index in change.classes])
    cosine = float(F.cosine_similarity(before[0], after[0], 0))
    assert change.cosine == pytest.approx(cosine)
    assert change.difference == pytest.approx(float((after - before).norm() / before.norm()))


def test_the_change_of_hidden_states_says_where_it_is_largest() -> None:
    before = torch.randn(1, 7, 5)
    after = before.clone()
    after[0, 4] += 2
    after[0, 1] += 0.1
    change = output_change((before, before), (after, before))
    assert (change.position, change.classes, change.divergence) == (4, (), None)
    assert 0 < change.cosine < 1
    with pytest.raises(ValueError, match="cannot be compared"):
        output_change(before, before[:, :3])
    assert math.isclose(output_change((before,), (before,)).cosine, 1)
