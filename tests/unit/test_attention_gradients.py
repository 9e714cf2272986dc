"""Gradient × attention against (∇A ⊙ A)⁺ of weights that autograd itself has seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_attention import BLOCKS, HEADS, WIDTH, Block, ByHand, Grouped, X, blocks_of
from small_transformers import inputs_of, small_model
from snapshot import untouched
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import explain_widgets as xw
from explain_widgets.analysis.gradient_weighted import gradient_weighted
from explain_widgets.live.attention.images import window_places


def close(ours: Tensor, theirs: Tensor, within: float = 2e-5) -> bool:
    """Alike but for rounding, relative to the largest; and there is something to compare."""
    size = float(theirs.detach().abs().max())
    return size > 1e-3 and float((ours - theirs).detach().abs().max()) < within * size


TARGET = lambda output: output[0, 2].sin().sum()  # noqa: E731


class Kept(Block):
    """Keeps its weights, of which autograd is then asked for the gradient."""

    groups = 1

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (part[:, :: self.groups].repeat_interleave(self.groups, 1) for part in (k, v))
        self.kept: Tensor = (q @ k.mT / 2).softmax(-1)
        return (self.kept @ v).transpose(1, 2)


def defined(blocks: nn.Sequential, x: Tensor, target: Any = TARGET) -> list[Tensor]:
    """(∇A ⊙ A)⁺ of each block, (heads, queries, keys), by the plain definition."""
    kept = nn.Sequential(*(Kept() for _ in blocks)).to(x)
    kept.load_state_dict(blocks.state_dict())
    for block, theirs in zip(kept, blocks, strict=True):
        block.groups = 2 if isinstance(theirs, Grouped) else 1
    output = target(kept(x))
    gradients = torch.autograd.grad(output, [block.kept for block in kept])
    return [
        (gradient * block.kept).relu()[0].detach()
        for gradient, block in zip(gradients, kept, strict=True)
    ]


@pytest.mark.parametrize("kind", BLOCKS)
def test_it_is_as_defined_whole_and_in_parts(kind: type[Block]) -> None:
    model = blocks_of(kind).double()
    x = X.double()
    live = xw.LiveModel(model, x)
    expected = defined(model, x)
    for layer in range(2):
        with untouched(model):
            measure = live.gradient_attention(layer, target=TARGET)
        theirs = expected[layer]
        assert theirs.max() > 1e-3
        assert (measure.weights() - theirs).abs().max() < 1e-12
        assert (measure.row("mean", 4) - theirs.mean(0)[4]).abs().max() < 1e-12
        assert (measure.column(3, 1) - theirs[3, :, 1]).abs().max() < 1e-12
        tile = measure.tile(2, (1, 5), (2, 6), (2, 2), "max")
        assert (tile - F.max_pool2d(theirs[None, 2, 1:5, 2:6], 2)[0]).abs().max() < 1e-12
        statistics = measure.statistics(1)
        assert statistics.entropy is None
        assert statistics.first == pytest.approx(float(theirs[1, :, 0].mean()))
        assert "gradient" in measure.origin
        assert not measure.sums_to_one


@pytest.mark.parametrize("kind", BLOCKS)
def test_frozen_models_have_the_same(kind: type[Block]) -> None:
    """Nothing asks for a gradient: it begins at the first call, and is the same from there on."""
    model = blocks_of(kind)
    expected = defined(model, X)
    model.requires_grad_(False)
    live = xw.LiveModel(model, X)
    with untouched(model):
        for layer in range(2):
            ours = live.gradient_attention(layer, target=TARGET).weights()
            assert close(ours, expected[layer])


class Writes(Block):
    """Writes into its scores, and on into what its attention has returned."""

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.mT
        scores.div_(2)
        result = scores.softmax(-1) @ v
        result.mul_(2)
        return result.add_(1).transpose(1, 2)


@pytest.mark.parametrize("freeze", [False, True])
def test_operations_in_place_behind_it(freeze: bool) -> None:
    model = blocks_of(Writes)

    class Kept2(Kept):
        def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return super().mixed(q, k, v) * 2 + 1

    kept = nn.Sequential(Kept2(), Kept2())
    kept.load_state_dict(model.state_dict())
    gradients = torch.autograd.grad(TARGET(kept(X)), [block.kept for block in kept])
    live = xw.LiveModel(model.requires_grad_(not freeze), X)
    for layer, (block, gradient) in enumerate(zip(kept, gradients, strict=True)):
        ours = live.gradient_attention(layer, target=TARGET).weights()
        assert close(ours, (gradient * block.kept).relu()[0])


@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention_beside_its_own_weights(need_weights: bool) -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    key = torch.randn(1, 9, WIDTH)
    mask = torch.zeros(1, 9, dtype=torch.bool)
    mask[0, 7:] = True
    live = xw.LiveModel(
        module,
        (X, key, key),
        forward=lambda m, q, k, v: m(q, k, v, key_padding_mask=mask, need_weights=need_weights)[0],
    )
    # The last matrix, and the values, by hand: d target / d A of what they make of the weights.
    weights = module(X, key, key, mask, average_attn_weights=False)[1].detach().requires_grad_()
    value = F.linear(key, module.in_proj_weight[-WIDTH:], module.in_proj_bias[-WIDTH:])
    value = value.unflatten(-1, (HEADS, -1)).transpose(1, 2)
    output = module.out_proj((weights @ value).transpose(1, 2).flatten(-2))
    (gradient,) = torch.autograd.grad(TARGET(output), weights)
    ours = live.gradient_attention(0, target=TARGET)
    assert close(ours.weights(), (gradient * weights).relu()[0])
    assert torch.equal(ours.weights()[..., 7:], torch.zeros(HEADS, 6, 2))


def test_encoders_that_run_fused() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, 2).eval()
    live = xw.LiveModel(model, X)
    kept: list[Tensor] = []

    def by_hand(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> Tensor:
        kept.append((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1))
        return kept[-1] @ v

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "scaled_dot_product_attention", by_hand)
        output = model.train()(X)
    gradients = torch.autograd.grad(TARGET(output), kept)
    model.eval()
    for number in range(2):
        ours = live.gradient_attention(number, target=TARGET).weights()
        assert close(ours, (gradients[number] * kept[number]).relu()[0])


def last_state(output: Any) -> Tensor:
    result: Tensor = output.last_hidden_state[0, -1].sin().sum()
    return result


@pytest.mark.parametrize("kind", ["bert", "llama", "vit", "bart", "deberta-v2", "gpt2"])
def test_models_of_transformers_beside_their_own_weights(kind: str) -> None:
    eager, inputs = small_model(kind, "eager"), inputs_of(small_model(kind))
    output = eager(**inputs, output_attentions=True)
    names = ("attentions", "encoder_attentions", "decoder_attentions", "cross_attentions")
    kept = [weights for name in names for weights in getattr(output, name, None) or ()]
    gradients = torch.autograd.grad(last_state(output), kept)
    theirs = [(g * a).relu()[0] for g, a in zip(gradients, kept, strict=True)]
    for model in (small_model(kind), eager):
        live = xw.LiveModel(model, inputs)
        layers = live.attention_layers()
        assert len(layers) == len(theirs)
        # The decoder calls self- and cross-attention in turn; the lists come one after another.
        is_cross = [layer.kind == "cross" for layer in layers]
        order = sorted(range(len(layers)), key=lambda number: is_cross[number])
        for number, expected in zip(order, theirs, strict=True):
            ours = live.gradient_attention(number, target=last_state).weights()
            assert close(ours, expected)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_windows_of_an_image(implementation: str) -> None:
    kept: list[Tensor] = []
    eager, model = small_model("swin", "eager"), small_model("swin", implementation)
    inputs = inputs_of(model)
    for name, module in eager.named_modules():
        if name.endswith(".attention"):
            module.register_forward_hook(lambda module, args, output: kept.append(output[1]))
    gradients = torch.autograd.grad(last_state(eager(**inputs)), kept)
    live = xw.LiveModel(model, inputs)
    layer = live.attention_layers()[0]
    ours = live.gradient_attention(0, target=last_state)
    assert ours.weights().shape == (layer.heads, layer.queries, layer.keys)
    grid = layer.query_grid
    assert grid is not None
    places, _ = window_places((grid.height, grid.width), (4, 4), (0, 0))
    theirs = (gradients[0] * kept[0]).relu()
    expected = torch.zeros_like(ours.weights())
    for place, inside in zip(places, theirs, strict=True):
        expected[:, place[:, None], place] = inside
    assert expected.max() > 0
    assert close(ours.weights(), expected)
    assert not ours.sums_to_one


def test_several_calls_of_one_module() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = blocks_of(Block, 1)[0]

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.block(self.block(x))
            return result

    model = Twice()
    live = xw.LiveModel(model, X)
    expected = defined(nn.Sequential(model.block, model.block), X)
    for name, theirs in zip(("block", "block:1"), expected, strict=True):
        ours = live.gradient_attention(name, target=TARGET).weights()
        assert close(ours, theirs)


class Pooled(nn.Module):
    """Positions pooled by a learned query, as a product or number by number."""

    def __init__(self, product: bool) -> None:
        super().__init__()
        self.product = product
        self.score = nn.Linear(WIDTH, 1)
        self.kept = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.kept = self.score(x).softmax(1)  # (1, positions, 1)
        pooled = self.kept.mT @ x if self.product else (self.kept * x).sum(1, keepdim=True)
        return pooled.sin().sum((1, 2))[None]


@pytest.mark.parametrize("product", [True, False])
def test_weighted_mixtures(product: bool) -> None:
    model = Pooled(product)
    live = xw.LiveModel(model, X)
    output = model(X)
    (gradient,) = torch.autograd.grad(output.sum(), model.kept)
    measure = live.gradient_attention(0)
    assert (measure.weights()[0, 0] - (gradient * model.kept).relu()[0, :, 0]).abs().max() < 1e-6
    if not product:
        with pytest.raises(xw.GradientError, match="no gradients are recorded"):
            xw.LiveModel(model.requires_grad_(False), X).gradient_attention(0)


class Dropped(ByHand):
    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.kept: Tensor = (q @ k.mT / 2).softmax(-1)
        return (F.dropout(self.kept, 0.4, self.training) @ v).transpose(1, 2)


def test_the_gradient_before_a_dropout() -> None:
    model = Dropped().train()
    live = xw.LiveModel(model, X, train_mode=True)
    live.attention_layers()
    ours = live.gradient_attention(0, target=TARGET).weights()
    # The run has put the generator back: the model itself draws the same.
    output = TARGET(model(X))
    (gradient,) = torch.autograd.grad(output, model.kept)
    assert (gradient == 0).any()
    assert close(ours, (gradient * model.kept).relu()[0])


def test_a_dropout_inside_the_kernel_is_said() -> None:
    class Kernel(Block):
        def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            dropout = 0.4 if self.training else 0.0
            return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout).transpose(1, 2)

    live = xw.LiveModel(Kernel().train(), X, train_mode=True)
    note = live.gradient_attention(0, target=TARGET).note
    assert note == "weights before dropout; gradient at the weights after dropout"
    assert xw.LiveModel(Kernel(), X).gradient_attention(0, target=TARGET).note == ""


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_checkpointed_blocks() -> None:
    class Checkpointed(nn.Module):
        def __init__(self, use_reentrant: bool) -> None:
            super().__init__()
            self.blocks, self.use_reentrant = blocks_of(Block), use_reentrant

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=self.use_reentrant)
            return x

    model = Checkpointed(use_reentrant=False)
    live = xw.LiveModel(model, X)
    for layer, theirs in enumerate(defined(model.blocks, X)):
        ours = live.gradient_attention(layer, target=TARGET).weights()
        assert close(ours, theirs)
    live = xw.LiveModel(Checkpointed(use_reentrant=True), X)
    with pytest.raises(xw.GradientError, match="use_reentrant"):
        live.gradient_attention(1, target=TARGET)


# --- reading, keeping --------------------------------------------------------------------------


def counted(**options: Any) -> tuple[xw.LiveModel, list[int]]:
    runs: list[int] = []

    def forward(model: Any, x: Tensor) -> Tensor:
        runs.append(1)
        result: Tensor = model(x)
        return result

    return xw.LiveModel(blocks_of(Block, 4), X, forward=forward, **options), runs


def test_all_layers_are_read_in_one_run_and_kept_by_their_target() -> None:
    live, runs = counted()
    live.attention_layers()
    other = lambda output: output[0, 3].sum()  # noqa: E731
    first = [live.gradient_attention(layer, target=TARGET).weights() for layer in range(4)]
    assert len(runs) == 2
    second = [live.gradient_attention(layer, target=other).weights() for layer in range(4)]
    assert len(runs) == 3
    assert not torch.allclose(first[0], second[0])
    assert torch.equal(live.gradient_attention(2, target=TARGET).weights(), first[2])
    assert len(runs) == 3
    for layer in live.model:
        with torch.no_grad():
            layer.out.weight.mul_(1.1)
    changed = live.gradient_attention(2, target=TARGET).weights()
    assert not torch.allclose(changed, first[2])
    theirs = defined(live.model, X)[2]  # type: ignore[arg-type]
    assert close(changed, theirs)


def test_a_class_is_the_same_however_its_index_is_written() -> None:
    live, runs = counted()
    live.attention_layers()
    for index in (3, np.int64(3), torch.tensor(3)):
        live.gradient_attention(0, target=index)  # type: ignore[arg-type]
    assert len(runs) == 2


def test_layers_that_do_not_fit_in_memory_are_read_again() -> None:
    live, runs = counted(memory=1)
    for layer, theirs in enumerate(defined(live.model, X)):  # type: ignore[arg-type]
        ours = live.gradient_attention(layer, target=TARGET).weights()
        assert close(ours, theirs)
    assert len(runs) >= 4


def test_class_indices_and_the_predicted_class() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks, self.head = blocks_of(Block), nn.Linear(WIDTH, 3)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.head(self.blocks(x).mean(1))
            return result

    model = Classifier()
    live = xw.LiveModel(model, X)
    predicted = int(model(X)[0].argmax())
    for index in range(3):
        target = lambda output, index=index: model.head(output.mean(1))[0, index]  # noqa: E731
        theirs = defined(model.blocks, X, target)[0]
        ours = live.gradient_attention(0, target=index).weights()
        assert close(ours, theirs)
        if index == predicted:
            assert torch.equal(live.gradient_attention(0).weights(), ours)
    with pytest.raises(xw.TargetError, match="out of range"):
        live.gradient_attention(0, target=3)


# --- what there is not -------------------------------------------------------------------------


def test_generated_text_says_why_there_is_no_gradient() -> None:
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2}
    config = transformers.LlamaConfig(vocab_size=99, num_attention_heads=4, **sizes)
    model = transformers.LlamaForCausalLM(config).eval()
    ids = torch.randint(3, 99, (1, 5))

    def forward(m: Any, **kwargs: Any) -> Any:
        return m.generate(**kwargs, max_new_tokens=4, do_sample=False)

    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    live = xw.LiveModel(model, inputs, forward=forward)
    with pytest.raises(xw.GradientError, match=r"steps of a generation"):
        live.gradient_attention(0)

    live = xw.LiveModel(
        model, inputs, forward=lambda m, **kwargs: m.generate(**kwargs, max_new_tokens=1)
    )
    with pytest.raises(xw.GradientError, match=r"no gradients are recorded.*model.generate"):
        live.gradient_attention(0)

    def stepwise(m: Any, input_ids: Tensor, attention_mask: Tensor) -> Any:
        first = m(input_ids[:, :-1], use_cache=True)
        return m(input_ids[:, -1:], past_key_values=first.past_key_values)

    live = xw.LiveModel(model, inputs, forward=stepwise)
    assert live.attention_layers()[0].queries == 5
    with pytest.raises(xw.GradientError, match="steps of a generation"):
        live.gradient_attention(0)


def test_layers_without_a_gradient_say_why() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cut, self.free, self.aside = blocks_of(Block, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.cut(x)
            self.aside(x)
            result: Tensor = self.free(x)
            return result

    live = xw.LiveModel(Partly(), X)
    assert live.gradient_attention("free", target=TARGET).weights().max() > 0
    with pytest.raises(xw.GradientError, match="of cut was computed where no gradients"):
        live.gradient_attention("cut", target=TARGET)
    with pytest.raises(xw.GradientError, match="does not depend on the attention of aside"):
        live.gradient_attention("aside", target=TARGET)
    with pytest.raises(xw.TargetError, match="out of range"):
        live.gradient_attention("free", target=99)
    with pytest.raises(xw.LayerError, match="did you mean"):
        live.gradient_attention("fre", target=TARGET)


def test_scripted_models_say_why_there_is_no_gradient() -> None:
    live = xw.LiveModel(torch.jit.trace(Block().eval(), X), X)
    with pytest.raises(xw.GradientError, match="TorchScript"):
        live.gradient_attention(0, target=TARGET)


def test_grouped_values_and_half_precision() -> None:
    torch.manual_seed(0)
    attention = xw.LiveModel(blocks_of(Grouped, 1), X).attention(0)
    gradient, value = torch.randn(HEADS, 6, 4), torch.randn(2, 6, 4)
    whole = gradient.double() @ value.double().repeat_interleave(2, 0).mT
    expected = (whole * attention.weights().double()).relu()
    half = [part.to(torch.bfloat16) for part in (gradient, value)]
    assert close(gradient_weighted(attention, gradient, value).weights(), expected)
    ours = gradient_weighted(attention, *half).weights()
    assert ours.dtype == torch.float32
    assert (ours - expected).abs().max() < 0.05
