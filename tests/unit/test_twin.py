"""What runs is the model itself: bit for bit, for every kind of module, and it keeps following."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_models import IMAGES, UNCOPYABLE, WIDTH, Classifier, Cnn, Heads, Recurrent, Writes, X
from snapshot import untouched
from threads import in_thread
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils._pytree import tree_leaves

from explain_widgets import GradientError, LiveModel, RunError
from explain_widgets.live.fields import Structure
from explain_widgets.live.twin import Twin, plain_module

IDS = torch.arange(24).reshape(2, 12) % 20
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def plain_output(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """What the user's own call gives, on a copy, so that nothing of it stays."""
    with torch.no_grad():
        return copy.deepcopy(model).eval()(*args, **kwargs)


def assert_equal(found: Any, expected: Any) -> None:
    found, expected = tree_leaves(found), tree_leaves(expected)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, Tensor):
            assert torch.equal(ours, theirs)
            assert not ours.requires_grad


# --- kinds of models --------------------------------------------------------------------------


def weight_norm() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(WIDTH, 6)), nn.ReLU())


def hooked_weight_norm() -> nn.Module:
    model = nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(WIDTH, 6)), nn.ReLU())
    model(X)  # leaves a weight with a graph behind in a plain attribute
    return model


def spectral_norm() -> nn.Module:
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(WIDTH, 6)), nn.Linear(6, 6))


def hooked_spectral_norm() -> nn.Module:
    model = nn.Sequential(torch.nn.utils.spectral_norm(nn.Linear(WIDTH, 6)), nn.ReLU())
    model(X)
    return model


def parametrized() -> nn.Module:
    class Symmetric(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight.triu() + weight.triu(1).mT

    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())
    parametrize.register_parametrization(model[0], "weight", Symmetric())
    return model


def traced() -> nn.Module:
    return torch.jit.trace(Classifier().eval(), X[:1], check_trace=False)


def scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Linear(WIDTH, 6), nn.BatchNorm1d(5), nn.ReLU()))


def scripted_inside() -> nn.Module:
    return nn.Sequential(torch.jit.script(nn.Linear(WIDTH, WIDTH)), Heads())


def compiled() -> nn.Module:
    return torch.compile(Classifier(), backend="eager")


def compiled_inside() -> nn.Module:
    model = Classifier()
    model.block1 = torch.compile(model.block1, backend="eager")
    model.block2.feed = torch.compile(model.block2.feed, backend="eager")
    return model


def compiled_in_place() -> nn.Module:
    model = Classifier()
    model.compile(backend="eager")
    model.block1.compile(backend="eager")
    return model


def shared() -> nn.Module:
    layer = nn.Linear(WIDTH, WIDTH)
    return nn.Sequential(layer, nn.ReLU(inplace=True), layer, nn.Sequential(layer))


def tied_gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    )


def bart() -> nn.Module:
    from transformers import BartConfig, BartModel

    sizes = {
        f"{side}_{what}": 2
        for side in ("encoder", "decoder")
        for what in ("layers", "attention_heads")
    }
    sizes |= {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    return BartModel(BartConfig(vocab_size=20, d_model=16, max_position_embeddings=32, **sizes))


def t5() -> nn.Module:
    from transformers import T5Config, T5Model

    return T5Model(T5Config(vocab_size=20, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2))


def half() -> nn.Module:
    return Classifier().to(torch.bfloat16)


def bound_method() -> nn.Module:
    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        return F.linear(x, self.weight) * 3

    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())
    model[0].forward = forward.__get__(model[0])
    model[1].forward = functools.partial(nn.ReLU.forward, model[1])
    return model


def unregistered() -> nn.Module:
    """Layers in a plain list, as beginners write them."""

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)]

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            return x

    return Plain()


def scripted_norms() -> nn.Module:
    """Each access to a tensor of a scripted module makes a new object, often at an old address."""
    norms = [nn.BatchNorm1d(5) for _ in range(12)]
    for number, norm in enumerate(norms):
        norm.running_mean += number
        norm.running_var += number / 3
    return torch.jit.script(nn.Sequential(*norms))


class Slots:
    """Holds a tensor with a graph where no search for tensors finds it."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def slots() -> nn.Module:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)
            self.held = Slots(self.layer.weight * 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) @ self.held.tensor

    return Model()


def fused_encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 2)


MODELS: dict[Callable[[], nn.Module], Any] = {
    Classifier: X,
    Cnn: IMAGES,
    Recurrent: X,
    functools.partial(Recurrent, nn.GRU): X,
    Writes: X,
    weight_norm: X,
    hooked_weight_norm: X,
    spectral_norm: X,
    hooked_spectral_norm: X,
    parametrized: X,
    traced: X,
    scripted: X,
    scripted_inside: X,
    shared: X,
    bound_method: X,
    unregistered: X,
    scripted_norms: X,
    slots: X,
    fused_encoder: X,
    half: X.bfloat16(),
    tied_gpt2: {"input_ids": IDS},
    bart: {"input_ids": IDS},
    t5: {"input_ids": IDS, "decoder_input_ids": IDS},
}
# A compiled model is compared with its own eager run: the twin runs eagerly.
COMPILED = [compiled, compiled_inside, compiled_in_place]


def make_again(make: Callable[[], nn.Module]) -> nn.Module:
    """The same model once more, sharing nothing (some kinds cannot be copied by the user)."""
    torch.manual_seed(0)
    return make()


def _name(make: Any) -> str:
    return make.__name__ if hasattr(make, "__name__") else "gru"


def first(data: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(data, dict):
        return (), {name: value[:1] for name, value in data.items()}
    return (data[:1],), {}


every_model = pytest.mark.parametrize(
    ("make", "data"),
    [pytest.param(make, data, id=_name(make)) for make, data in MODELS.items()],
)


@every_model
@pytest.mark.parametrize("is_home", [True, False], ids=["home", "beside"])
def test_the_output_is_the_models_own(make: Any, data: Any, is_home: bool) -> None:
    model, other = make(), make_again(make)
    args, kwargs = first(data)
    with torch.no_grad():
        expected = other.eval()(*args, **kwargs)
    live = LiveModel(model, data)
    with untouched(model):
        found = live.output() if is_home else in_thread(live.output)
        assert_equal(found, expected)
        live.refresh()
        assert_equal(live.output(), expected)  # nothing stays from one run to the next


@every_model
def test_no_model_here_needs_the_fallback(make: Any, data: Any) -> None:
    model = make()
    twin = Twin(plain_module(model)).module
    ours = {tensor.data_ptr() for tensor in model.parameters()}
    assert {tensor.data_ptr() for tensor in twin.parameters()} == ours
    assert not {id(module) for module in twin.modules()} & {
        id(module) for module in model.modules()
    }


@pytest.mark.parametrize("make", COMPILED)
def test_compiled_models(make: Any) -> None:
    model = make()
    live = LiveModel(model, X)
    expected = plain_output(plain_module(model), X[:1])
    with untouched(model):
        assert_equal(in_thread(live.output), expected)
        assert live.activation("block2.feed").shape == (1, 5, WIDTH)
        assert live.gradient("block1").shape == (1, 5, WIDTH)
        assert not any("_orig_mod" in row.name for row in live.modules())
    assert_equal(live.output(), expected)


@pytest.mark.parametrize("make", UNCOPYABLE.values(), ids=UNCOPYABLE)
def test_the_fallback_gives_the_models_own_output(make: Any) -> None:
    model = Classifier()
    expected = plain_output(model, X[:1])
    live = LiveModel(make(model), X)
    with untouched(model):
        assert_equal(live.output(), expected)
        assert live.activation("block1").shape == (1, 5, WIDTH)
        assert live._runner._runs is not None
        assert live._runner._runs.reason


def test_the_real_minilm(minilm: Any, minilm_tokenizer: Any) -> None:
    texts = ["Paris is the capital of France.", "A short one."]
    live = LiveModel(minilm, texts, tokenizer=minilm_tokenizer)
    for index, text in enumerate(texts):
        with torch.no_grad():
            expected = minilm(**minilm_tokenizer(text, return_tensors="pt"))
        with untouched(minilm):
            assert_equal(live.output(index), expected)
            assert_equal(live.activation("encoder.layer.5", index), expected.last_hidden_state)


def test_the_fused_encoder_path() -> None:
    """Hooks and modes turn the fused path off: `output` takes it, what is captured is near it."""
    model = fused_encoder().eval()
    padding = torch.tensor([[False, False, False, True, True]])
    data = {"src": X, "src_key_padding_mask": padding.expand(3, -1)}
    live = LiveModel(model, data)
    expected = plain_output(model, X[:1], src_key_padding_mask=padding)
    with untouched(model):
        assert_equal(live.output(), expected)
        for found in (live.activation(""), live.activation("layers.1")):
            torch.testing.assert_close(found[:, :3], expected[:, :3], atol=2e-6, rtol=0)
        assert [layer.name for layer in live.attention_layers()] == [
            "layers.0.self_attn",
            "layers.1.self_attn",
        ]
        assert live.gradient("layers.0").abs().sum() > 0
        assert live.gradient("input").shape == (1, 5, WIDTH)


# --- the twin follows the model ---------------------------------------------------------------


class LowRank(nn.Module):
    """A LoRA-like adapter around a layer."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Linear(layer.in_features, 2, bias=False)
        self.up = nn.Linear(2, layer.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.up(self.down(x))


class Scaled(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.scale = 1.0
        self.shift = torch.zeros(3)
        self.options = {"factor": 1.0}
        self.steps = [nn.Linear(3, 3)]
        self.register_buffer("offset", None)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x) * self.scale * self.options["factor"] + self.shift
        return self.steps[0](x if self.offset is None else x + self.offset)


def optimizer_step(model: Any) -> None:
    model(X).sum().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()


def fused_step(model: Any) -> None:
    model(X).sum().backward()
    torch.optim.AdamW(model.parameters(), 0.1, fused=True).step()


def data_write(model: Any) -> None:
    model.head.weight.data.mul_(2)


def data_assignment(model: Any) -> None:
    model.head.weight.data = torch.randn_like(model.head.weight)


def no_grad_write(model: Any) -> None:
    with torch.no_grad():
        model.head.bias.add_(1)


def numpy_write(model: Any) -> None:
    model.head.bias.detach().numpy()[:] += 1


def load(model: Any) -> None:
    model.load_state_dict(Scaled().state_dict())


def load_assign(model: Any) -> None:
    model.load_state_dict(Scaled().state_dict(), assign=True)


def replace_layer(model: Any) -> None:
    model.head = nn.Linear(WIDTH, 3)


def adapt(model: Any) -> None:
    model.block1.feed[0] = LowRank(model.block1.feed[0])


def add_hook(model: Any) -> None:
    model.head.register_forward_hook(lambda module, args, output: output * 2)


def add_pre_hook(model: Any) -> None:
    model.head.register_forward_pre_hook(lambda module, args: (args[0] * 2,))


def add_parametrization(model: Any) -> None:
    parametrizations.weight_norm(model.head)
    model.head.parametrizations.weight.original0.data.mul_(2)


def change_dropout(model: Any) -> None:
    model.dropout = nn.Dropout(0.5)
    model.scale = 2.0


def change_scale(model: Any) -> None:
    model.scale = 2.0


def change_option(model: Any) -> None:
    model.options["factor"] = 3.0


def replace_shift(model: Any) -> None:
    model.shift = torch.ones(3)


def write_shift(model: Any) -> None:
    model.shift += 1


def write_unregistered(model: Any) -> None:
    with torch.no_grad():
        model.steps[0].weight.mul_(2)


def set_buffer(model: Any) -> None:
    model.offset = torch.ones(3)


def write_buffer(model: Any) -> None:
    model.norm.running_mean += 1


def replace_forward(model: Any) -> None:
    model.head.forward = (lambda self, x: 5 * x[:, :3]).__get__(model.head)


def become_uncopyable(model: Any) -> None:
    model.lock = threading.Lock()
    model.scale = 4.0


def change_class(model: Any) -> None:
    class Negative(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)

    model.head.__class__ = Negative


CHANGES = [
    optimizer_step, fused_step, data_write, data_assignment, no_grad_write, numpy_write, load,
    load_assign, replace_layer, adapt, add_hook, add_pre_hook, add_parametrization, change_dropout,
    change_scale, change_option, replace_shift, write_shift, write_unregistered, set_buffer,
    write_buffer, replace_forward, become_uncopyable, change_class,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_twin_follows(change: Callable[[nn.Module], None]) -> None:
    model = Scaled()
    live = LiveModel(model, X)
    before = live.output()
    assert_equal(before, plain_output(model, X[:1]))
    live.activation("head")
    change(model)
    expected = plain_output(model, X[:1]) if change is not become_uncopyable else 4 * before
    if change is become_uncopyable:
        torch.testing.assert_close(live.output() - live.output(), before * 0)
        assert not torch.equal(live.output(), before)
        return
    assert not torch.equal(expected, before)
    assert_equal(live.output(), expected)


@pytest.mark.parametrize("field", ["_forward_hooks", "_parameters", "plain"])
def test_what_moves_from_one_module_to_the_next_is_a_change(field: str) -> None:
    model = nn.Sequential(nn.Module(), nn.Module())
    for module in model:
        module.plain = {}
    source, target = (getattr(module, field) for module in model)
    moved = {"_forward_hooks": print, "_parameters": nn.Parameter(torch.zeros(1)), "plain": 2.0}
    source["one"] = moved[field]
    structure = Structure(model)
    assert structure.holds()
    target["one"] = source.pop("one")
    assert not structure.holds()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_twin_follows_a_change_of_dtype(dtype: torch.dtype) -> None:
    class Casting(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.to(self.head.weight.dtype))

    model = Casting()
    live = LiveModel(model, X)
    live.output()
    model.to(dtype)
    assert live.activation("block1").dtype == dtype
    assert_equal(live.output(), plain_output(model, X[:1]))


def test_following_a_model_to_meta_and_back() -> None:
    model = Classifier()
    live = LiveModel(model, X)
    live.output()
    model.to("meta")
    with pytest.raises(RunError, match="meta device"):
        live.output()
    model.to_empty(device="cpu")
    model.load_state_dict(Classifier().state_dict())
    assert_equal(live.output(), plain_output(model, X[:1]))


def test_a_change_back_to_the_same_address_is_seen() -> None:
    """A new object may lie where one lay that is gone: the old must not be taken for the new."""

    class Factor:
        __slots__ = ("factor",)  # nothing but its address tells it from another

        def __init__(self, factor: float) -> None:
            self.factor = factor

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.by = Factor(1.0)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.by.factor

    model = Model()
    live = LiveModel(model, X)
    for factor in range(2, 12):
        live.output()
        address = id(model.by)
        del model.by
        new = [Factor(float(factor)) for _ in range(3000)]
        model.by = next((one for one in new if id(one) == address), new[0])
        del new
        assert_equal(live.output(), X[:1] * factor)


def test_the_users_hooks_keep_recording_for_the_user() -> None:
    """A hook bound to the user's object fills that object, not a copy of it."""

    class Log:
        def __init__(self) -> None:
            self.shapes: list[torch.Size] = []

        def hook(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
            self.shapes.append(output.shape)
            return output + 1

    log, model = Log(), nn.Sequential(nn.Linear(WIDTH, 2))
    model[0].register_forward_hook(log.hook)
    assert_equal(LiveModel(model, X).output(), plain_output(model, X[:1]))
    assert len(log.shapes) >= 1


def test_gradients_belong_to_the_users_parameters_by_name() -> None:
    model = shared()
    found = LiveModel(model, X).parameter_gradients(target=lambda output: output.sum())
    assert list(found) == ["0.weight", "0.bias"]
    expected = torch.autograd.grad(model(X[:1]).sum(), list(model.parameters()))
    assert_equal(list(found.values()), expected)


def test_gradients_through_every_recurrent_kind() -> None:
    """Recurrent layers keep a second, flat list of their weights."""
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        model = Recurrent(kind).eval()
        expected = torch.autograd.grad(model(X[:1])[0, 1], list(model.parameters()))
        found = LiveModel(model, X).parameter_gradients(target=1)
        assert_equal(list(found.values()), expected)
        assert_equal(LiveModel(model, X).output(), plain_output(model, X[:1]))


def test_gradient_errors_are_clear_for_scripted_layers() -> None:
    live = LiveModel(traced(), X)
    assert live.activation("").shape == (1, 3)
    with pytest.raises((LookupError, GradientError)):
        live.gradient("block1")
