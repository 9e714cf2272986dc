"""A cell trains the model while another thread looks into it: neither disturbs the other."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_models import UNCOPYABLE, Block, Classifier, Draws, X
from snapshot import untouched
from threads import Asker, in_thread
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from explain_widgets import LiveModel, NeedsHomeThreadError
from explain_widgets.live import model as live_file
from explain_widgets.live.model import READ_DURING_TRAINING


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    """Threads take turns more often than every 5 ms, so that both get far in a short test."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(2e-4)
    yield
    sys.setswitchinterval(interval)


# --- training ---------------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, 1e-3),
    "sgd-foreach": lambda parameters: torch.optim.SGD(parameters, 0.02, momentum=0.9, foreach=True),
    "adamw-fused": lambda parameters: torch.optim.AdamW(parameters, 1e-3, fused=True),
}


def train(model: nn.Module, optimizer: str, steps: int) -> list[float]:
    """A loop as a notebook has it: dropout, batch statistics, random batches, a hook a step."""
    torch.manual_seed(1)
    model.train()
    step = OPTIMIZERS[optimizer](model.parameters())
    losses = []
    for _ in range(steps):
        inputs, classes = torch.randn(4, 5, 8), torch.randint(3, (4,))
        loss = F.cross_entropy(model(inputs), classes)
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(loss.item())
    return losses


def questions(live: LiveModel) -> list[Callable[[], Any]]:
    """Every kind of question, over layers and samples, as explorers being moved ask them."""
    target = lambda output: output[0, 0]  # noqa: E731
    return [
        lambda: live.attention(0, sample=0).weights(),
        lambda: live.output(1),
        lambda: live.activation("block1.feed", 2),
        lambda: live.gradient("block2", 0),
        lambda: live.attention("block2.attend", sample=1).statistics("mean"),
        lambda: live.gradient("input", 1, target=2),
        lambda: live.parameter_gradients(2, target),
        lambda: live.modules(0),
        lambda: live.activation("norm", 1),
        lambda: live.gradient("block1.feed.0", 2, target),
        lambda: live.attention_layers(2),
        lambda: live.gradient_attention(1, 0, target),
        lambda: live.output(0, mute=[("block1.feed.0", 3, "mean"), ("norm", 1)]),
        lambda: live.maximised("block2", 3, 1, steps=3),
    ]


@pytest.mark.parametrize(
    ("optimizer", "steps"), [("adam", 2000), ("sgd-foreach", 500), ("adamw-fused", 500)]
)
def test_a_training_loop_does_not_see_the_looking(optimizer: str, steps: int) -> None:
    alone, watched = Classifier(), Classifier()
    watched.load_state_dict(alone.state_dict())
    losses = train(alone, optimizer, steps)

    live = LiveModel(watched, X)
    said: list[str] = []
    asked = [lambda ask=ask: (ask(), said.append(live.status)) for ask in questions(live)]
    with Asker(*asked, wait=0.005) as beside:
        watched_losses = train(watched, optimizer, steps)
    assert beside.errors == []
    assert beside.answers >= steps // 40
    assert watched_losses == losses
    for name, tensor in alone.state_dict().items():
        assert torch.equal(watched.state_dict()[name], tensor), name
    assert READ_DURING_TRAINING in said

    with torch.no_grad():
        expected = watched.eval()(X[:1])
    assert torch.equal(in_thread(live.output), expected)
    time.sleep(1.1)  # the loop is over for a while
    assert torch.equal(in_thread(live.output), expected)
    assert live.status == ""


class Remembers(nn.Module):
    """Keeps what it saw in attributes, with its graph, as many research models do."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.head = nn.Linear(8, 3)
        self.seen: dict[str, Tensor] = {}
        self.register_buffer("memory", None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x).mean(1)
        self.latest = x
        for i in range(8):
            setattr(self, f"extra{(id(x) >> 8) % 5}_{i}", x * i)
        self.seen = {str(i): x for i in range(id(x) % 7)}
        self.memory = x.detach().clone()
        x = self.head(x)
        for name in [name for name in self.__dict__ if name.startswith("extra")]:
            delattr(self, name)
        return x


def test_a_model_whose_attributes_change_in_every_step() -> None:
    alone, watched = Remembers(), Remembers()
    watched.load_state_dict(alone.state_dict(), strict=False)
    losses = train(alone, "adam", 300)
    live = LiveModel(watched, X)
    asked = [
        live.output,
        lambda: live.activation("block"),
        lambda: live.gradient("block"),
    ]
    with Asker(*asked) as beside:
        assert train(watched, "adam", 300) == losses
    assert beside.errors == []
    assert beside.answers >= 5


def test_hooks_that_come_and_go_while_looking() -> None:
    model = Classifier()
    live = LiveModel(model, X)
    with Asker(lambda: live.activation("block1"), live.output) as beside:
        for _ in range(300):
            handles = [m.register_forward_hook(lambda *args: None) for m in model.modules()]
            model(X)
            for handle in handles:
                handle.remove()
    assert beside.errors == []
    assert beside.answers > 5


def test_a_layer_that_is_replaced_while_looking() -> None:
    model = Classifier()
    live = LiveModel(model, X)
    with Asker(live.output, live.modules, lambda: live.gradient("head")) as beside:
        for _ in range(200):
            model.head = nn.Linear(8, 3)
            model(X)
    assert beside.errors == []
    with torch.no_grad():
        assert torch.equal(live.output(), model.eval()(X[:1]))


# --- a step between forward and backward ------------------------------------------------------


@contextmanager
def step_inside_target(model: Any) -> Iterator[tuple[Callable[[Tensor], Tensor], list[int]]]:
    """A target that writes to the user's weights once, as a training step would just then."""
    written: list[int] = []

    def target(output: Tensor) -> Tensor:
        if not written:
            written.append(1)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.5)
        return output.square().sum()

    yield target, written


@pytest.mark.parametrize("what", ["layer", "input", "parameters"])
@pytest.mark.parametrize("is_home", [True, False], ids=["home", "beside"])
def test_a_step_between_forward_and_backward_is_retried(what: str, is_home: bool) -> None:
    model = Classifier().eval()
    live = LiveModel(model, X)
    live.modules()
    with step_inside_target(model) as (target, written):
        asked: Callable[[], Any] = {
            "layer": lambda: live.gradient("block1", 0, target),
            "input": lambda: live.gradient("input", 0, target),
            "parameters": lambda: live.parameter_gradients(0, target),
        }[what]
        found = asked() if is_home else in_thread(asked)
        assert written
    assert live.status == READ_DURING_TRAINING
    fresh = LiveModel(model, X)
    again = {
        "layer": lambda: fresh.gradient("block1", 0, target),
        "input": lambda: fresh.gradient("input", 0, target),
        "parameters": lambda: fresh.parameter_gradients(0, target),
    }[what]()
    torch.testing.assert_close(found, again)
    assert all(parameter.grad is None for parameter in model.parameters())


# --- threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", ["torch", "dropout"])
def test_a_model_that_draws_is_not_run_beside_a_cell(draw: str) -> None:
    model = Draws(draw)
    live = LiveModel(model, X)
    for question in (live.output, lambda: live.activation("layer"), live.parameter_gradients):
        for _ in range(2):
            with untouched(model), pytest.raises(NeedsHomeThreadError, match="random numbers"):
                in_thread(question)
    with untouched(model):
        assert live.output().shape == (1, 3)  # and at home it is


def test_train_mode_with_dropout_is_not_run_beside_a_cell() -> None:
    model = Classifier()
    with untouched(model), pytest.raises(NeedsHomeThreadError):
        in_thread(LiveModel(model, X, train_mode=True).output)


@pytest.mark.parametrize("make", UNCOPYABLE.values(), ids=UNCOPYABLE)
def test_a_model_that_cannot_be_copied_is_not_run_beside_a_cell(make: Any) -> None:
    model = make(Classifier())
    live = LiveModel(model, X)
    with untouched(model), pytest.raises(NeedsHomeThreadError, match="cannot be copied"):
        in_thread(live.output)
    expected = live.output()
    assert torch.equal(in_thread(live.output), expected)  # what is known needs no run


def test_checkpoints_would_rewind_the_generator_beside_a_cell() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(checkpoint(lambda y: self.first(y).relu(), x, use_reentrant=False))

    model = Checkpointed()
    live = LiveModel(model, X[:, 0])
    with untouched(model):
        assert in_thread(live.output).shape == (1, 3)
        for question in (lambda: live.gradient("first"), live.parameter_gradients):
            with pytest.raises(NeedsHomeThreadError):
                in_thread(question)
        assert live.gradient("first").shape == (1, 8)


def test_a_generator_of_the_models_own_may_draw_anywhere() -> None:
    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn(8, generator=torch.Generator().manual_seed(1))

    model = Own()
    assert torch.equal(in_thread(LiveModel(model, X).output), model(X[:1]))


def test_hooks_ignore_calls_from_other_threads() -> None:
    """The fallback hooks the user's own model, which another thread may be calling."""
    model: Any = UNCOPYABLE["lock"](Classifier())
    live = LiveModel(model, X)
    entered, other_done = threading.Event(), threading.Event()

    def elsewhere() -> None:
        entered.wait()
        model.inside = None
        model(X.repeat(3, 1, 1))
        other_done.set()

    def inside() -> None:
        entered.set()
        other_done.wait()

    model.eval()
    model.inside = inside
    thread = threading.Thread(target=elsewhere)
    thread.start()
    rows = live.modules()
    thread.join()
    assert {row.calls for row in rows} == {1}
    assert rows[0].input_shapes == ((1, 5, 8),)


def test_two_threads_asking_at_once() -> None:
    model = Classifier()
    live = LiveModel(model, X)
    expected = [[ask() for ask in questions(LiveModel(model, X))[1:3]] for _ in range(2)]
    with Asker(*questions(live)) as one, Asker(*reversed(questions(live))) as two:
        for _ in range(20):
            live.refresh()
            found = [ask() for ask in questions(live)[1:3]]
            assert all(map(torch.equal, found, expected[0]))
            time.sleep(0.005)
    assert one.errors == two.errors == []
    assert one.answers > 10
    assert two.answers > 10


def test_the_status_of_the_trainers_own_questions() -> None:
    """A cell that trains and looks in turn reads between its steps, not during them."""
    model = Classifier()
    live = LiveModel(model, X)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(3):
        model(X).sum().backward()
        optimizer.step()
        live.output()
        assert live.status == ""
    assert live_file.STEPS.count >= 3


# --- the first question -------------------------------------------------------------------------

FIRST = """
import sys, threading, torch, explain_widgets as xw
live = xw.LiveModel(torch.nn.Linear(3, 2), torch.randn(2, 3))
thread = threading.Thread(target=lambda: live.attribute("gradient", 1))
thread.start()
thread.join()
print("compiler imported" if "torch._dynamo" in sys.modules else "compiler left alone")
"""


def test_the_first_run_beside_a_cell_does_not_wait_for_the_compiler() -> None:
    # Imported on the way it takes ten seconds, in which the first picture would not come.
    found = subprocess.run(
        [sys.executable, "-c", FIRST], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "compiler left alone"
