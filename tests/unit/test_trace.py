"""What one forward does: operations and their edges, calls of modules, FLOPs, memory, failures."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.attention.flex_attention as torch_flex
import torch.nn.functional as F
from small_models import IMAGES, WIDTH, Block, Classifier, Cnn, Recurrent, X
from small_networks import ResNet, Vgg16
from small_transformers import inputs_of, small_config, small_model
from snapshot import snapshot, untouched
from threads import in_thread
from torch import Tensor, nn
from torch.nn.attention.flex_attention import flex_attention
from torch.utils.flop_counter import FlopCounterMode

from explain_widgets import LiveModel
from explain_widgets.analysis.statistics import TensorStatistics, tensor_statistics
from explain_widgets.live.structure.trace import OUTSIDE, Trace


def traced(forward: Callable[..., Any], *inputs: Tensor, **options: Any) -> Trace:
    """The trace of a function of tensors."""

    class Model(nn.Module):
        def forward(self, *tensors: Tensor) -> Any:
            return forward(*tensors)

    return LiveModel(Model(), tuple(tensor[None] for tensor in inputs)).trace(**options)


def language_model(layers: int = 2, attention: str = "sdpa") -> Any:
    """GPT-2, small, whose last layer shares its weight with the first."""
    from transformers import GPT2LMHeadModel

    config = small_config("gpt2")
    config.n_layer = layers
    config._attn_implementation = attention
    return GPT2LMHeadModel(config).eval()


def edges(trace: Trace) -> list[tuple[str, str]]:
    names = [operation.name for operation in trace.operations]
    return [(names[source], names[target]) for source, target, _ in trace.edges()]


# --- operations and edges ---------------------------------------------------------------------


def test_operations_know_the_call_they_ran_in() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.act(self.layer(x)) * 2) + x

    trace = LiveModel(Twice(), X).trace()
    assert [(one.name, trace.calls[one.call].name) for one in trace.operations] == [
        ("linear", "layer"),
        ("relu", "act"),
        ("mul", ""),
        ("linear", "layer:1"),
        ("add", ""),
    ]
    assert edges(trace) == [
        ("linear", "relu"),
        ("relu", "mul"),
        ("mul", "linear"),
        ("linear", "add"),
    ]
    assert [(call.path, call.type, call.parent) for call in trace.calls] == [
        ("", "Twice", OUTSIDE),
        ("layer", "Linear", 0),
        ("act", "ReLU", 0),
        ("layer", "Linear", 0),
    ]
    first, last = trace.operations[0], trace.operations[-1]
    named = [(trace.tensors[n].origin, trace.tensors[n].name) for n in first.inputs]
    assert named == [("input", "0"), ("parameter", "layer.weight"), ("parameter", "layer.bias")]
    assert trace.tensors[last.inputs[1]].origin == "input"
    made = trace.tensors[last.outputs[0]]
    assert (made.shape, made.dtype, made.device.type) == ((1, 5, WIDTH), torch.float32, "cpu")
    assert made.bytes == 5 * WIDTH * 4


def test_a_tensor_made_anew_in_the_same_memory_is_another() -> None:
    """Objects and memory of dead tensors are used again in a deep chain."""

    def chain(x: Tensor) -> Tensor:
        for _ in range(300):
            x = x + 1
        return x

    trace = traced(chain, X[0])
    assert [(source, target) for source, target, _ in trace.edges()] == [
        (n, n + 1) for n in range(299)
    ]


def test_nothing_of_what_is_computed_is_kept() -> None:
    seen: list[weakref.ref[Tensor]] = []

    def forward(x: Tensor) -> Tensor:
        for _ in range(5):
            x = x * 2
            seen.append(weakref.ref(x))
        assert [ref() is not None for ref in seen] == [False] * 4 + [True]
        return x

    trace = traced(forward, X[0])
    assert len(trace.operations) == 5
    assert all(ref() is None for ref in seen)


def test_what_is_written_in_place_is_read_later() -> None:
    def forward(x: Tensor) -> Tensor:
        y = x.sin()
        y.mul_(2)
        y += 1
        return y.cos()

    assert edges(traced(forward, X[0])) == [("sin", "mul_"), ("mul_", "add_"), ("add_", "cos")]


def test_what_is_written_through_a_view_is_read_in_the_whole() -> None:
    def forward(x: Tensor) -> Tensor:
        y = x.sin()
        part = y[:, :2]
        y.tanh()  # before the writing: not concerned
        part.add_(1)
        y[:, 3] = 0.5
        return y.cos()

    found = edges(traced(forward, X[0]))
    assert ("getitem", "add_") in found
    assert ("sin", "tanh") in found
    assert ("add_", "setitem") in found
    assert ("setitem", "cos") in found
    assert ("sin", "cos") not in found


def test_writing_into_one_tensor_concerns_no_other() -> None:
    def forward(x: Tensor) -> Tensor:
        y, z = x.sin(), x.cos()
        z.add_(1)
        return y.tanh() + z

    assert ("sin", "tanh") in edges(traced(forward, X[0]))


@pytest.mark.parametrize(
    ("name", "forward"),
    [
        ("relu", lambda x: F.relu(x.sin(), inplace=True).cos()),
        ("max", lambda x: x.sin().max(-1).values.cos()),
        ("split", lambda x: x.sin().split(1, -1)[2].cos()),
        ("cat", lambda x: torch.cat([x.sin(), x], dim=-1).cos()),
        ("unbind", lambda x: x.sin().unbind(0)[0].cos()),
        ("T", lambda x: x.sin()[0].T.cos()),
        ("add", lambda x: torch.add(x.sin(), 1, out=torch.empty(1, 5, WIDTH)).cos()),
    ],
)
def test_operations_of_any_form_are_followed(
    name: str, forward: Callable[[Tensor], Tensor]
) -> None:
    trace = traced(forward, X[0])
    found = edges(trace)
    chain = "cos"
    while chain != "sin":
        before = [source for source, target in found if target == chain and source != "empty"]
        assert before, f"{chain} has nothing before it"
        chain = before[0]
    assert name in {operation.name for operation in trace.operations}


def test_questions_about_tensors_are_no_operations() -> None:
    def forward(x: Tensor) -> Tensor:
        if x.sum().item() > 1e9 or len(x) > 5 or not bool(x.isfinite().all()) or x.dim() == 7:
            return x
        return x.contiguous().float().view(x.shape[0], x.size(1), -1).to(x.device)

    names = [operation.name for operation in traced(forward, X[0]).operations]
    assert names == ["sum", "isfinite", "all", "view"]


def test_a_function_of_ones_own_with_a_backward() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(context: Any, gradient: Tensor) -> Tensor:
            return gradient * 2

    trace = traced(lambda x: Double.apply(x.sin()).cos(), X[0])
    assert edges(trace) == [("sin", "mul"), ("mul", "cos")]
    trace = traced(lambda x: Double.apply(x.sin().requires_grad_()).cos(), X[0], backward=True)
    assert ("mul", "cos") in edges(trace)


def test_modules_that_compute_nothing_stand_in_the_graph() -> None:
    model = nn.Sequential(nn.Tanh(), nn.Identity(), nn.Dropout(), nn.ReLU())
    trace = LiveModel(model, X).trace()
    assert edges(trace) == [("tanh", "identity"), ("identity", "dropout"), ("dropout", "relu")]


class Experts(nn.Module):
    """A mixture of experts in a Python loop: which expert sees how many tokens is data."""

    def __init__(self, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 16), nn.GELU(), nn.Linear(16, WIDTH))
            for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, WIDTH)
        best = self.router(tokens).argmax(-1)
        mixed = torch.zeros_like(tokens)
        for index, expert in enumerate(self.experts):
            chosen = (best == index).nonzero()[:, 0]
            if len(chosen):
                mixed.index_add_(0, chosen, expert(tokens[chosen]))
        return mixed.view_as(x)


def test_experts_in_a_loop_are_traced_as_they_ran() -> None:
    model, data = Experts(), torch.randn(1, 30, WIDTH)
    trace = LiveModel(model, data).trace()
    tokens = data.reshape(-1, WIDTH)
    counts = torch.bincount(model.router(tokens).argmax(-1), minlength=4).tolist()
    shapes = {call.path: trace.tensors[call.inputs[0]].shape for call in trace.calls if call.inputs}
    for index, count in enumerate(counts):
        assert shapes.get(f"experts.{index}", (0, WIDTH)) == (count, WIDTH)
    assert trace.flops == 2 * 30 * WIDTH * 4 + 2 * 30 * 2 * WIDTH * 16
    assert ("index_add_", "view_as") in edges(trace)


# --- FLOPs ------------------------------------------------------------------------------------


def counted(model: nn.Module, *args: Any, **kwargs: Any) -> int:
    """What torch counts."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(*args, **kwargs)
    return counter.get_total_flops()


class Einsums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        scores = torch.einsum("btc,bsc->bts", x, x)
        return torch.tensordot(scores, x, dims=([2], [1])) @ x[0].T


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "Cnn": (Cnn, IMAGES),
    "ResNet": (ResNet, torch.randn(1, 3, 32, 32)),
    "Vgg16": (Vgg16, torch.randn(1, 3, 32, 32)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 6, 3, 2), IMAGES),
    "groups": (lambda: nn.Conv2d(3, 9, 3, groups=3), IMAGES),
    "1d": (lambda: nn.Conv1d(5, 4, 3), X),
    "einsum": (Einsums, X),
    "experts": (Experts, X),
    "linear": (lambda: nn.Linear(WIDTH, 3, bias=False), X),
    "encoder": (lambda: nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True), X),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_flops_are_those_that_torch_counts(kind: str) -> None:
    make, data = NETWORKS[kind]
    model = make()
    # Without gradients torch takes one fused call for an encoder layer, which counts as nothing.
    if kind == "encoder":
        with FlopCounterMode(display=False) as counter:
            model.eval()(data[:1].clone().requires_grad_())
        # Its attention is fused on CPUs, too: products of 2 heads, 5 × 5 scores, 4 channels.
        expected = counter.get_total_flops() + 2 * (2 * 2 * 5 * 5 * 4)
    else:
        expected = counted(model, data[:1])
    assert expected > 0
    assert LiveModel(model, data).trace().flops == expected


@pytest.mark.parametrize("kind", ["gpt2", "bert", "llama", "vit"])
def test_fused_attention_counts_as_the_plain_one(kind: str) -> None:
    plain, fused = (small_model(kind, how) for how in ("eager", "sdpa"))
    inputs = inputs_of(plain)
    expected = counted(plain, **inputs)
    flops = LiveModel(fused, inputs).trace().flops
    assert flops == pytest.approx(expected, rel=0.01)
    assert flops == LiveModel(plain, inputs).trace().flops
    assert counted(fused, **inputs) < 0.995 * expected  # what torch leaves out


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_count_every_step(kind: Any) -> None:
    model = Recurrent(kind)
    trace = LiveModel(model, X).trace()
    weights = [w for w in model.cells.parameters() if w.ndim == 2]
    assert trace.flops == 2 * 5 * sum(w.numel() for w in weights) + 2 * 12 * 3


def test_flops_of_scripted_parts_are_seen_below_python() -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = torch.jit.trace(nn.Sequential(nn.Linear(WIDTH, 6), nn.Tanh()), X[:1])
            self.head = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.part(x))

    trace = LiveModel(Holds(), X).trace()
    assert trace.flops == 2 * 5 * WIDTH * 6 + 2 * 5 * 6 * 2
    assert trace.by_name["part"].flops == 2 * 5 * WIDTH * 6
    assert edges(trace) == [
        ("view", "addmm"),
        ("t", "addmm"),
        ("addmm", "view"),
        ("view", "tanh"),
        ("tanh", "linear"),
    ]


# --- modules ----------------------------------------------------------------------------------


def test_calls_sum_up_what_is_in_them() -> None:
    trace = LiveModel(Classifier(), X).trace()
    root = trace.by_name[""]
    children = [call for call in trace.calls if call.parent == 0]
    assert root.flops == trace.flops == sum(call.flops for call in children)
    assert root.own_seconds == pytest.approx(
        root.seconds - sum(call.seconds for call in children), abs=1e-12
    )
    assert sum(call.own_seconds for call in trace.calls) == pytest.approx(root.seconds, rel=1e-9)
    assert all(0 < call.own_seconds <= call.seconds for call in trace.calls)
    assert trace.tensors[root.outputs[0]].shape == (1, 3)


def test_parameters_and_buffers_count_once() -> None:
    model = language_model()
    model.transformer.h[0].ln_1.weight.requires_grad_(False)
    trace = LiveModel(model, inputs_of(model)).trace()
    assert trace.parameter_count == sum(p.numel() for p in model.parameters())
    shared = next(one for one in trace.parameters if one.name == "transformer.wte.weight")
    assert shared.owners == ("transformer.wte", "lm_head")
    frozen = [one.name for one in trace.parameters if not one.trainable]
    assert frozen == ["transformer.h.0.ln_1.weight"]
    norm = nn.BatchNorm1d(5)
    buffers = LiveModel(norm, X).trace().buffers
    assert [(one.name, one.shape, one.bytes) for one in buffers] == [
        ("running_mean", (5,), 20),
        ("running_var", (5,), 20),
        ("num_batches_tracked", (), 8),
    ]


def test_memory_held_for_the_backward() -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 6), nn.Tanh(), nn.Linear(6, 4), nn.ReLU(inplace=True))
    trace = LiveModel(model, X).trace(backward=True)
    held = {call.name: call.held for call in trace.calls}
    # The input and the weights are there anyway; tanh and relu keep what they return, and the
    # second layer the same tensor as the tanh before it.
    assert held == {"": 5 * 10 * 4, "0": 0, "1": 5 * 6 * 4, "2": 0, "3": 5 * 4 * 4}
    assert trace.held == held[""]
    plain = LiveModel(model, X).trace()
    assert (plain.held, plain.backward) == (0, False)
    model.requires_grad_(False)
    assert LiveModel(model, X).trace(backward=True).held == 0


def counted_backward(model: nn.Module, inputs: Any, pick: Any) -> int:
    """As torch's own counter counts a backward of the user's own."""
    output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    with FlopCounterMode(display=False) as count:
        pick(output).backward()
    model.zero_grad()
    return count.get_total_flops()


def test_a_backward_counts_what_training_computes() -> None:
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3, stride=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(6 * 5 * 5, 4)),
    )
    x = torch.randn(1, 3, 13, 13)
    trace = LiveModel(model, x).trace(backward=True, target=2)
    expected = counted_backward(model, x, lambda output: output[0, 2])
    assert (trace.backward_flops, trace.note) == (expected, "")
    flops = {call.name: call.flops for call in trace.calls}
    back = {call.name: call.backward_flops for call in trace.calls}
    # By the weights, and by the input where that comes from a parameter.
    assert back == {**dict.fromkeys(flops, 0), "": expected} | {
        "0": flops["0"], "2": 2 * flops["2"], "5": 2 * flops["5"],
    }  # fmt: skip
    assert all(call.backward_seconds > 0 for call in trace.calls)
    assert trace.calls[0].backward_seconds <= trace.backward_seconds
    assert LiveModel(model, x).trace().backward_flops == 0


def test_frozen_layers_take_no_part_in_a_backward() -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 6), nn.Linear(6, 5), nn.Linear(5, 4))
    model[0].requires_grad_(False)
    model[1].bias.requires_grad_(False)
    trace = LiveModel(model, X).trace(backward=True)
    back = {call.name: call.backward_flops for call in trace.calls}
    flops = {call.name: call.flops for call in trace.calls}
    assert (back["0"], back["1"], back["2"]) == (0, flops["1"], 2 * flops["2"])
    frozen = LiveModel(model.requires_grad_(False), X).trace(backward=True)
    assert frozen.backward_flops == 0
    assert "no backward: The target depends on no parameter" in frozen.note


def test_a_backward_of_plain_attention_is_that_of_torchs_counter() -> None:
    model = language_model(attention="eager")
    inputs = inputs_of(model)
    trace = LiveModel(model, inputs).trace(backward=True, target=3)
    expected = counted_backward(model, inputs, lambda output: output.logits[0, -1, 3])
    assert trace.backward_flops == expected
    # The kernel on CPUs, which that counter leaves out, computes the scores anew.
    fused = LiveModel(language_model(), inputs).trace(backward=True, target=3)
    scores = sum(call.flops for call in fused.calls if call.name.endswith("attn"))
    assert expected < fused.backward_flops < expected + scores


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_backward_through_a_recurrent_layer_counts(kind: type[nn.RNNBase]) -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(WIDTH, 7)
            self.cells = kind(7, 6, batch_first=True, bidirectional=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.cells(self.embed(x))[0][:, -1]

    trace = LiveModel(Reads().eval(), X).trace(backward=True)
    by_name = {call.name: call for call in trace.calls}
    # The two matrices, each by itself and by what goes into it; of that the first state is zero
    # and asks for nothing, and of the other direction a single step is looked at.
    whole = 2 * by_name["cells"].flops
    assert whole / 4 < by_name["cells"].backward_flops <= whole


class Breaks(torch.autograd.Function):
    """Hands on; its backwards raise what is in ``errors``, one after the other."""

    errors: ClassVar[list[BaseException]] = []

    @staticmethod
    def forward(_context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        if Breaks.errors:
            raise Breaks.errors.pop()
        return gradient


def breaking(model: nn.Module, x: Tensor) -> Any:
    """A forward whose backward passes through `Breaks` halfway."""
    return model[1](Breaks.apply(model[0](x)))


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 4), nn.Linear(4, 3))


def test_no_backward_is_no_failure() -> None:
    Breaks.errors[:] = [ValueError("no gradient here")]
    trace = LiveModel(two_layers(), X, forward=breaking).trace(backward=True)
    assert (trace.failure, trace.backward_flops) == (None, 0)
    assert trace.held == 5 * 4 * 4  # what goes into the second layer: counted all the same
    assert "no backward: no gradient here" in trace.note
    out_of_range = LiveModel(nn.Linear(WIDTH, 4), X).trace(backward=True, target=9)
    assert "no backward: " in out_of_range.note


@pytest.mark.parametrize("beside", [False, True], ids=["home", "beside"])
@pytest.mark.parametrize("error", [None, ValueError("no"), KeyboardInterrupt()])
def test_a_backward_that_breaks_off_leaves_the_model_as_it_was(
    error: BaseException | None, beside: bool
) -> None:
    model = two_layers().train()
    model[0].weight.grad = torch.ones(4, WIDTH)
    live = LiveModel(model, X, forward=breaking)
    Breaks.errors[:] = [] if error is None else [error]
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            live.trace(backward=True)
        except BaseException as one:  # noqa: BLE001 (an interrupt comes through)
            raised.append(one)

    with untouched(model):
        in_thread(ask) if beside else ask()
        assert Breaks.errors == []  # it came that far
        assert raised == ([error] if isinstance(error, KeyboardInterrupt) else [])
        answered = live.trace(backward=True, target=1)  # as if nothing had been
    assert (answered.note, answered.backward_flops > 0) == ("", True)


def test_a_backward_of_any_length_is_measured_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explain_widgets.live.structure.backward.MOST_FUNCTIONS", 2)
    model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(4)))
    trace = LiveModel(model, X).trace(backward=True)
    assert trace.calls[0].backward_flops == trace.backward_flops == 7 * trace.flops // 4


def test_a_target_that_no_parameter_reaches_has_no_backward() -> None:
    def forward(model: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            y: Tensor = model(x)
        return y.requires_grad_() * 2

    trace = LiveModel(nn.Linear(WIDTH, 4), X, forward=forward).trace(backward=True)
    assert "no backward: The target depends on no parameter" in trace.note


def test_a_backward_that_lacked_memory_is_tried_again() -> None:
    Breaks.errors[:] = [torch.OutOfMemoryError("out of memory")]
    live = LiveModel(two_layers(), X, forward=breaking)
    assert "no backward: out of memory" in live.trace(backward=True).note
    again = live.trace(backward=True)
    assert (again.note, again.backward_flops > 0) == ("", True)


def test_a_forward_that_is_checkpointed_says_which_way_allows_a_backward() -> None:
    from torch.utils.checkpoint import checkpoint

    def through(reentrant: bool) -> Trace:
        def forward(model: nn.Module, x: Tensor) -> Any:
            return checkpoint(model, x.requires_grad_(), use_reentrant=reentrant)

        return LiveModel(nn.Linear(WIDTH, 4), X, forward=forward).trace(backward=True, target=1)

    assert "call torch.utils.checkpoint.checkpoint(…, use_reentrant=False)" in through(True).note
    assert through(False).backward_flops > 0


def test_products_with_a_vector_count_both_ways() -> None:
    vector = torch.ones(4)
    model = nn.Linear(WIDTH, 4)
    live = LiveModel(model, X, forward=lambda model, x: model(x)[0] @ vector)
    trace = live.trace(backward=True, target=lambda output: output @ output)
    linear = 2 * 5 * WIDTH * 4
    assert trace.flops == linear + 2 * 5 * 4
    # By the weights; the vector asks for none, and the outer product adds nothing up.
    assert trace.backward_flops == linear


def test_a_backward_leaves_no_gradient_and_no_hook() -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 6), nn.Linear(6, 4))
    model[0].weight.grad = torch.ones(6, WIDTH)
    hidden = torch.ones(4, requires_grad=True)
    live = LiveModel(model, X, forward=lambda model, x: model(x) * hidden)
    assert live.trace(backward=True).backward_flops > 0
    assert bool((model[0].weight.grad == 1).all())
    assert hidden.grad is None
    assert [p.grad for p in model.parameters()][1:] == [None] * 3
    assert not any(p._backward_hooks or p._post_accumulate_grad_hooks for p in model.parameters())


def test_memory_that_is_held_is_what_training_holds() -> None:
    model = language_model()
    model.train(False)
    inputs = inputs_of(model)
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *inputs.values())}

    def pack(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in own:
            kept[memory.data_ptr()] = memory.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(**inputs)
    assert LiveModel(model, inputs).trace(backward=True).held == sum(kept.values())
    del output


def test_statistics_of_every_output() -> None:
    model = Classifier()
    live = LiveModel(model, X)
    trace = live.trace(statistics=True)
    for call in trace.calls:
        assert call.statistics == tensor_statistics(live.activation(call.name)), call.name
    assert live.trace().calls[0].statistics is None


def test_what_is_handed_on_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By dropout outside of training, say; not what was written into meanwhile."""
    layers = nn.Linear(6, 6), nn.Dropout(), nn.ReLU(inplace=True), nn.Dropout(), nn.Dropout()
    model = nn.Sequential(*layers).eval()
    measured: list[int] = []

    def counted(tensor: Tensor) -> TensorStatistics:
        measured.append(tensor.numel())
        return tensor_statistics(tensor)

    monkeypatch.setattr("explain_widgets.live.structure.tracer.tensor_statistics", counted)
    trace = LiveModel(model, torch.randn(4, 9, 6)).trace(statistics=True)
    found = {call.path: call.statistics for call in trace.calls}
    assert len(measured) == 2
    assert found["0"] == found["1"] != found["2"] == found["3"] == found["4"] == found[""]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: (x, x[:, 0]),
        lambda x: {"a": [x, None, 3], "b": {"c": x}},
        lambda x: [x, (x.long(), "text")],
        lambda x: None,
        lambda x: 3.5,
    ],
)
def test_outputs_of_any_type(make: Callable[[Tensor], Any]) -> None:
    trace = traced(lambda x: make(x.sin()), X[0])
    assert trace.operations[0].name == "sin"
    assert trace.failure is None


def test_a_model_that_is_called_by_parts_only() -> None:
    model = Classifier()
    live = LiveModel(model, X, forward=lambda model, x: model.head(model.block1(x).mean(1)))
    trace = live.trace()
    outside = [call.name for call in trace.calls if call.parent == OUTSIDE]
    assert outside == ["block1", "head"]
    mean = next(one for one in trace.operations if one.name == "mean")
    assert mean.call == OUTSIDE
    assert trace.seconds == sum(c.seconds for c in trace.calls if c.parent == OUTSIDE)


class Flexible(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
        return flex_attention(heads, heads, heads).sin()


def test_flex_attention_is_one_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    # Compiling its kernel takes half a minute.
    monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    trace = LiveModel(Flexible(), X).trace()
    assert edges(trace)[-2:] == [("transpose", "flex_attention"), ("flex_attention", "sin")]
    assert trace.flops == 2 * (2 * 2 * 5 * 5 * 4)


# --- failures ---------------------------------------------------------------------------------


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, 6)
        self.second = nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).tanh())


def test_a_forward_that_fails_is_shown_until_there() -> None:
    live = LiveModel(Broken(), X)
    trace = live.trace()
    assert [operation.name for operation in trace.operations] == ["linear", "tanh", "linear"]
    assert trace.operations[-1].outputs == ()
    failure = trace.failure
    assert failure is not None
    assert (failure.type, failure.operation) == ("RuntimeError", "linear")
    assert trace.calls[failure.call].name == "second"
    assert failure.shapes == ((1, 5, 6), (2, 7), (2,))
    assert "mat1 and mat2" in failure.message
    assert "self.second(self.first(x).tanh())" in failure.traceback
    assert edges(trace)[-1] == ("tanh", "linear")
    live.model.second = nn.Linear(6, 2)
    assert live.trace().failure is None  # nothing of it stays


def failing(error: Exception) -> tuple[nn.Module, list[int]]:
    """A model that raises, and a list of its forwards."""
    forwards: list[int] = []

    class Failing(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            forwards.append(len(forwards))
            raise error

    return Failing(2, 2), forwards


def test_a_forward_that_failed_is_not_run_again_until_something_changes() -> None:
    model, forwards = failing(ValueError("no"))
    live = LiveModel(model, X)
    trace, graph = live.trace(), live.forward_graph()
    assert live.trace() is live.summary().trace is graph.trace is trace
    assert live.forward_graph() is graph
    assert len(forwards) == 1
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert live.trace() is not trace
    live.refresh()
    live.trace()
    assert len(forwards) == 3


def test_a_forward_that_ran_out_of_memory_is_tried_again() -> None:
    model, forwards = failing(torch.OutOfMemoryError("CUDA out of memory"))
    live = LiveModel(model, X)
    assert live.trace().failure is not None
    assert live.trace().failure is not None
    assert len(forwards) == 2


def test_an_exception_of_the_models_own() -> None:
    class Refuses(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.sin()
            if y.shape[1] == 5:
                raise ValueError("five is too few")
            return y

    trace = LiveModel(nn.Sequential(nn.Tanh(), Refuses()), X).trace()
    failure = trace.failure
    assert failure is not None
    assert (failure.type, failure.message) == ("ValueError", "five is too few")
    assert (failure.operation, trace.calls[failure.call].name) == ("", "1")
    assert failure.shapes == ((1, 5, WIDTH),)


def test_an_exception_that_the_model_catches_is_no_failure() -> None:
    def forward(x: Tensor) -> Tensor:
        try:
            return x @ x
        except RuntimeError:
            return x.cos()

    trace = traced(forward, X[0])
    assert trace.failure is None
    assert [operation.name for operation in trace.operations] == ["matmul", "cos"]


def test_a_failure_holds_nothing_of_the_run() -> None:
    seen: list[weakref.ref[Tensor]] = []

    def forward(x: Tensor) -> Tensor:
        y = x.sin()
        seen.append(weakref.ref(y))
        raise ValueError("no")

    trace = traced(forward, X[0])
    assert trace.failure is not None
    assert seen[0]() is None


# --- the user's model ---------------------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True])
def test_the_model_is_left_as_it_was(backward: bool) -> None:
    model = Classifier().train()
    before = snapshot(model)
    LiveModel(model, X).trace(backward=backward, statistics=True)
    assert snapshot(model) == before


def test_what_is_traced_computes_the_same() -> None:
    outputs: list[Tensor] = []

    def keep(model: nn.Module, x: Tensor) -> Tensor:
        outputs.append(model(x))
        return outputs[-1]

    live = LiveModel(Block(), X, forward=keep)
    live.trace(statistics=True)
    live.output()
    assert torch.equal(outputs[0], outputs[1])


def test_a_trace_is_kept_until_the_weights_change() -> None:
    model = Classifier()
    live = LiveModel(model, X)
    first = live.trace()
    assert live.trace() is first
    assert live.trace(sample=1) is not first
    with torch.no_grad():
        model.head.weight.mul_(2)
    assert live.trace() is not first


def test_deep_models_need_no_recursion() -> None:
    model = language_model(layers=48)
    inputs = inputs_of(model)
    trace = LiveModel(model, inputs).trace()
    assert sum(call.type == "GPT2Block" for call in trace.calls) == 48
    assert trace.flops == pytest.approx(counted(model, **inputs), rel=0.2)
    assert math.isclose(trace.calls[0].flops, trace.flops)


@pytest.fixture
def few_operations(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("explain_widgets.live.structure.tracer.MOST_OPERATIONS", 5)
    return


def test_no_more_operations_are_noted_than_can_be_kept(few_operations: None) -> None:
    trace = LiveModel(Classifier(), X).trace()
    assert len(trace.operations) == 5
    assert trace.note == "the first 5 operations"
    assert len(trace.calls) == 22
