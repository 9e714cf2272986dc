"""The module table, activations as modules returned them, and gradients at them."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_models import UNCOPYABLE, WIDTH, Block, Cnn, X
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_outputs import BaseModelOutput

from explain_widgets import GradientError, LayerError, LiveModel

TOTAL = lambda output: output.sum()  # noqa: E731


# --- the table --------------------------------------------------------------------------------


class Order(nn.Module):
    """Calls its modules in another order than it lists them, one twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(WIDTH, 2)
        self.twice = nn.Linear(WIDTH, WIDTH)
        self.never = nn.Linear(WIDTH, 5)
        self.first = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())
        self.also_first = self.first[0]

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        x = self.twice(self.twice(self.first(x)).relu())
        return self.last(x if scale is None else x * scale)


def test_rows_come_in_call_order() -> None:
    rows = LiveModel(Order(), {"x": X, "scale": torch.tensor(2.0)}).modules()
    assert [row.name for row in rows] == [
        "",
        "first",
        "first.0",
        "first.1",
        "twice",
        "last",
        "never",
    ]
    by_name = {row.name: row for row in rows}
    root, twice, never = by_name[""], by_name["twice"], by_name["never"]
    assert root.type == "Order"
    assert root.input_shapes == ((1, 5, WIDTH), ())
    assert root.output_shapes == ((1, 5, 2),)
    assert (twice.calls, never.calls, root.calls) == (2, 0, 1)
    assert never.output_shapes == never.input_shapes == ()
    assert never.parameters == 5 * WIDTH + 5
    assert twice.bytes == 2 * 5 * WIDTH * 4
    assert 0 < twice.seconds < root.seconds < 10


def test_repeated_calls_have_names_of_their_own() -> None:
    model = Order()
    live = LiveModel(model, X)
    first = model.first(X[:1])
    once = model.twice(first)
    assert torch.equal(live.activation("twice"), once)
    assert torch.equal(live.activation("twice:1"), model.twice(once.relu()))
    for name in ("twice", "twice:1"):
        assert live.gradient(name, target=TOTAL).shape == once.shape
    assert not torch.equal(
        live.gradient("twice", target=TOTAL), live.gradient("twice:1", target=TOTAL)
    )
    with pytest.raises(LayerError, match="called 2 times"):
        live.activation("twice:2")


def test_shared_modules_go_by_their_first_path() -> None:
    rows = LiveModel(Order(), X).modules()
    assert "also_first" not in [row.name for row in rows]


def test_shared_parameters_count_once() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=9, n_embd=8, n_layer=1, n_head=2))
    live = LiveModel(model, {"input_ids": torch.arange(6)[None]})
    rows = {row.name: row for row in live.modules()}
    assert rows[""].parameters == sum(p.numel() for p in model.parameters())
    assert rows["lm_head"].parameters == rows["transformer.wte"].parameters == 50 * 8
    assert rows[""].parameters == rows["transformer"].parameters


@dataclass
class Made:
    number: int
    tensor: Tensor


Pair = namedtuple("Pair", "left right")  # noqa: PYI024


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (lambda x: (x, x[:, 0]), ((1, 5, 8), (1, 8))),
        (lambda x: [x], ((1, 5, 8),)),
        (lambda x: {"ids": x.long(), "x": x}, ((1, 5, 8), (1, 5, 8))),
        (lambda x: Made(3, x), ((1, 5, 8),)),
        (lambda x: Pair(x, (None, x)), ((1, 5, 8), (1, 5, 8))),
        (lambda x: BaseModelOutput(last_hidden_state=x), ((1, 5, 8),)),
    ],
    ids=["tuple", "list", "dict", "dataclass", "namedtuple", "ModelOutput"],
)
def test_modules_that_return_containers(make: Callable[[Tensor], Any], shapes: Any) -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return make(x * 2)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Tensor) -> Tensor:
            output = self.inner(x)
            assert type(output) is type(make(x))
            first = output.tensor if isinstance(output, Made) else output
            while not isinstance(first, Tensor):
                first = first["x"] if type(first) is dict else first[0]
            return (first * 3).sum().reshape(1, 1)

    live = LiveModel(Outer(), X)
    row = next(row for row in live.modules() if row.name == "inner")
    assert row.output_shapes == shapes
    assert torch.equal(live.activation("inner"), X[:1] * 2)
    # Also where nothing before the layer asks for gradients, and the output is made anew.
    assert torch.equal(live.gradient("inner"), torch.full((1, 5, 8), 3.0))


class NoTensor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.prints = nn.Identity()
        self.layer = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.prints(None)
        return self.layer(x)


def test_modules_that_return_none() -> None:
    live = LiveModel(NoTensor(), X)
    assert [row.name for row in live.modules()] == ["", "prints", "layer"]
    assert live.modules()[1].output_shapes == ()
    for question in (live.activation, lambda name: live.gradient(name, target=TOTAL)):
        with pytest.raises(LayerError, match="'prints' returns no tensor"):
            question("prints")


def test_layers_that_cannot_be_found() -> None:
    live = LiveModel(Order(), X)
    for question in (live.activation, lambda name: live.gradient(name, target=TOTAL)):
        with pytest.raises(LayerError, match="'never' is in the model but was never called"):
            question("never")
        with pytest.raises(LayerError, match=r"no layer 'twise'; did you mean 'twice'"):
            question("twise")
        with pytest.raises(LayerError, match=r"layer 6 is out of range: there are 6 \(0 to 5\)"):
            question(6)
        with pytest.raises(LayerError, match="out of range"):
            question(-1)


def test_layers_by_index_are_those_of_the_table() -> None:
    live = LiveModel(Order(), X)
    for index, row in enumerate(live.modules()[:-1]):
        assert torch.equal(live.activation(index), live.activation(row.name))


def test_a_root_that_is_not_called() -> None:
    """`forward` may call parts of the model only."""
    model = Order()
    live = LiveModel(model, X, forward=lambda model, x: model.last(model.twice(x)))
    assert [row.name for row in live.modules() if row.calls] == ["twice", "last"]
    assert torch.equal(live.output(), model.last(model.twice(X[:1])))
    assert torch.equal(live.activation("twice"), model.twice(X[:1]))


# --- activations ------------------------------------------------------------------------------


def test_an_activation_is_what_was_returned_before_in_place_operations() -> None:
    model = nn.Sequential(
        nn.Linear(WIDTH, 6), nn.ReLU(inplace=True), nn.Hardtanh(0, 0.1, inplace=True)
    )
    live = LiveModel(model, X)
    before = F.linear(X[:1], model[0].weight, model[0].bias)
    assert torch.equal(live.activation("0"), before)
    assert torch.equal(live.activation("1"), before.relu())
    assert torch.equal(live.activation("2"), before.relu().clamp(max=0.1))
    assert (before < 0).any()


def test_memory_that_is_used_again_is_not_mixed_up() -> None:
    """Outputs of a deep stack take each other's places in memory while the model runs."""

    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(12))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            return x

    model, data = Deep(), torch.randn(2, 64, 64)
    live = LiveModel(model, data)
    live.activation("layers.0")
    x = data[:1]
    for index, layer in enumerate(model.layers):
        x = F.linear(x, layer.weight, layer.bias)
        assert torch.equal(live.activation(f"layers.{index}"), x), index


def test_one_copy_serves_the_modules_that_return_the_same_tensor() -> None:
    live = LiveModel(nn.Sequential(nn.Sequential(nn.Linear(WIDTH, 3))), X)
    assert live.activation("0.0").data_ptr() == live.activation("").data_ptr()


def test_an_activation_survives_the_model_writing_on() -> None:
    class Reuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()
            self.register_buffer("place", torch.zeros(1, 5, WIDTH))

        def forward(self, x: Tensor) -> Tensor:
            first = self.inner(self.place.copy_(x))
            self.inner(self.place.mul_(2))
            return first.add_(1)

    live = LiveModel(Reuses(), X)
    assert torch.equal(live.activation("inner"), X[:1])
    assert torch.equal(live.activation("inner:1"), X[:1] * 2)
    assert torch.equal(live.activation(""), X[:1] * 2 + 1)


# --- gradients --------------------------------------------------------------------------------


def test_a_gradient_through_in_place_operations() -> None:
    for data in (X, X[:, 0]):  # with 3 axes, the output of a linear layer is a view
        model = nn.Sequential(
            nn.Linear(WIDTH, 6),
            nn.ReLU(inplace=True),
            nn.Linear(6, 6),
            nn.ReLU(inplace=True),
            nn.Linear(6, 1),
        )
        live = LiveModel(model, data)
        first = model[0](data[:1]).detach().requires_grad_()
        second = model[2](first.relu())
        output = model[4](second.relu()).sum()
        expected = torch.autograd.grad(output, [first, second])
        assert torch.equal(live.gradient("0", target=TOTAL), expected[0])
        assert torch.equal(live.gradient("2", target=TOTAL), expected[1])


def test_a_gradient_where_the_activation_is_used_before_and_after_in_place() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer(x)
            before = (y * 3).sum()
            return (before + y.mul_(5).sum()).reshape(1, 1)

    for data in (X, X[:, 0]):
        found = LiveModel(Both(), data).gradient("layer")
        assert torch.equal(found, torch.full_like(data[:1], 8.0))


def test_a_block_against_plain_autograd() -> None:
    model = Block(dropout=0.0).eval()
    live = LiveModel(model, X)
    x = X[:1].clone().requires_grad_()
    kept: dict[str, Tensor] = {}
    for name in ("attend", "norm", "feed.2"):
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: kept.__setitem__(name, output)
        )
    output = model(x)
    expected = torch.autograd.grad(output.square().sum(), [x, *kept.values()])
    for handles in (model.attend, model.norm, model.feed[2]):
        handles._forward_hooks.clear()
    target = lambda output: output.square().sum()  # noqa: E731
    for name, value in zip(("input", "attend", "norm", "feed.2"), expected, strict=True):
        torch.testing.assert_close(live.gradient(name, target=target), value, rtol=1e-5, atol=1e-6)


def test_gradients_of_frozen_models() -> None:
    model = Cnn().requires_grad_(False).eval()
    live = LiveModel(model, torch.randn(2, 3, 8, 8))
    free = Cnn().eval()
    free.load_state_dict(model.state_dict())
    other = LiveModel(free, live.samples)
    for name in ("input", "features.0", "features.2", "head"):
        assert torch.equal(live.gradient(name), other.gradient(name))
    found, expected = live.parameter_gradients(), other.parameter_gradients()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


def test_parameter_gradients_of_unused_and_shared_parameters() -> None:
    model = Order()
    model.last.weight.grad = torch.ones_like(model.last.weight)
    found = LiveModel(model, X).parameter_gradients(target=TOTAL)
    assert list(found) == [name for name, _ in model.named_parameters()]
    assert found["never.weight"] is None
    names = [name for name in found if not name.startswith("never")]
    expected = torch.autograd.grad(
        model(X[:1]).sum(), [model.get_parameter(name) for name in names]
    )
    for name, value in zip(names, expected, strict=True):
        assert torch.equal(found[name], value), name
    assert torch.equal(model.last.weight.grad, torch.ones_like(model.last.weight))
    assert model.last.bias.grad is None


@pytest.mark.parametrize("kind", ["lock", "closure"])
def test_parameter_gradients_on_the_fallback(kind: str) -> None:
    model = Order()
    model.twice.requires_grad_(False)
    expected = LiveModel(model, X).parameter_gradients(target=TOTAL)
    found = LiveModel(UNCOPYABLE[kind](model), X).parameter_gradients(target=TOTAL)
    assert found["twice.weight"] is not None
    for name, value in expected.items():
        assert (value is None) == (found[name] is None)
        assert value is None or torch.equal(value, found[name]), name


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cut, self.free, self.aside = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.cut(x)
        self.aside(x)
        return self.free(x)


def test_layers_without_a_gradient_say_why() -> None:
    live = LiveModel(Detached(), X)
    assert live.gradient("free", target=TOTAL).shape == (1, 5, WIDTH)
    with pytest.raises(GradientError, match=r"'cut' is not differentiable.*no_grad"):
        live.gradient("cut", target=TOTAL)
    with pytest.raises(GradientError, match="does not depend on the output of layer 'aside'"):
        live.gradient("aside", target=TOTAL)
    with pytest.raises(GradientError, match="does not depend on the input"):
        live.gradient("input", target=TOTAL)
    with pytest.raises(GradientError, match="no_grad"):
        live.gradient("free", target=lambda output: output.argmax().float())


def test_a_model_that_runs_inside_no_grad() -> None:
    class Generates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, 2)

        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    live = LiveModel(Generates(), X[:, 0])
    for question in (
        lambda: live.gradient("layer"),
        lambda: live.gradient("input"),
        live.parameter_gradients,
    ):
        with pytest.raises(GradientError, match="no_grad"):
            question()


def test_token_ids_have_no_gradient() -> None:
    live = LiveModel(nn.Embedding(9, 3), torch.tensor([[1, 2], [3, 4]]))
    with pytest.raises(GradientError, match=r"token ids.*embedding"):
        live.gradient("input")
    assert live.gradient("").shape == (1, 2, 3)


def test_the_gradient_of_a_nested_input() -> None:
    class Nested(nn.Module):
        def forward(self, ids: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
            return (pair[0] * 3 + pair[1]).sum().reshape(1, 1)

    live = LiveModel(Nested(), {"ids": torch.arange(3), "pair": (X, X * 2)})
    assert torch.equal(live.gradient("input"), torch.full((1, 5, WIDTH), 3.0))


def test_complex_layers() -> None:
    class Fourier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filter = nn.Parameter(torch.randn(WIDTH // 2 + 1, dtype=torch.complex64))
            self.spectrum = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.irfft(self.spectrum(torch.fft.rfft(x) * self.filter), WIDTH)

    model = Fourier()
    live = LiveModel(model, X)
    assert live.activation("spectrum").dtype == torch.complex64
    expected = torch.autograd.grad(model(X[:1]).sum(), model.filter)[0]
    found = live.parameter_gradients(target=TOTAL)["filter"]
    assert found is not None
    assert torch.equal(found, expected)


# --- checkpointing ----------------------------------------------------------------------------


class Checkpointed(nn.Module):
    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.start = nn.Linear(WIDTH, WIDTH)
        self.inside = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True), nn.Linear(WIDTH, WIDTH)
        )
        self.end = nn.Linear(WIDTH, 2)
        self.use_reentrant = use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        return self.end(checkpoint(self.inside, x, use_reentrant=self.use_reentrant))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointed_modules(use_reentrant: bool) -> None:
    model = Checkpointed(use_reentrant)
    live = LiveModel(model, X)
    x = model.start(X[:1])
    assert torch.equal(live.activation("inside.2"), model.inside(x))
    rows = {row.name: row.calls for row in live.modules()}
    assert set(rows.values()) == {1}


def test_gradients_of_checkpointed_modules() -> None:
    model = Checkpointed(use_reentrant=False)
    live = LiveModel(model, X)
    hidden = model.inside[0](model.start(X[:1])).detach().requires_grad_()
    expected = torch.autograd.grad(model.end(model.inside[2](hidden.relu())).sum(), hidden)[0]
    assert torch.equal(live.gradient("inside.0", target=TOTAL), expected)
    for name in ("start", "inside.2", "input"):
        assert live.gradient(name, target=TOTAL).abs().sum() > 0
        assert {row.calls for row in live.modules()} == {1}  # the backward's are no calls
    assert all(value is not None for value in live.parameter_gradients(target=TOTAL).values())


def test_reentrant_checkpoints_refuse_gradients_and_say_why() -> None:
    live = LiveModel(Checkpointed(use_reentrant=True), X)
    for question in (
        lambda: live.gradient("start", target=TOTAL),
        lambda: live.gradient("inside.0", target=TOTAL),
        lambda: live.gradient("input", target=TOTAL),
        lambda: live.parameter_gradients(target=TOTAL),
    ):
        with pytest.raises(GradientError, match="use_reentrant=False"):
            question()
    assert live.gradient("end", target=TOTAL).shape == (1, 5, 2)
