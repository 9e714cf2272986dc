"""The graph by which a target is differentiated, against what autograd itself says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import Classifier, X
from small_transformers import inputs_of, small_config
from snapshot import untouched
from torch import Tensor, nn

from explain_widgets import GradientError, LiveModel
from explain_widgets.live.structure.graph import StructureGraph
from explain_widgets.live.structure.trace import OUTSIDE


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def operations(graph: StructureGraph) -> list[tuple[str, str]]:
    """(name, call) of all operations."""
    calls = graph.trace.calls
    return [
        (one.name, calls[one.call].name if one.call != OUTSIDE else "outside")
        for one in graph.trace.operations
    ]


def walked(scalar: Tensor) -> list[str]:
    """Names of the functions behind a scalar, leaves too, by a walk of our own."""
    assert scalar.grad_fn is not None
    seen: dict[Any, None] = {scalar.grad_fn: None}
    waiting = [scalar.grad_fn]
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in seen:
                seen[node] = None
                waiting.append(node)
    return [node.name().rpartition("::")[2] for node in seen]


def test_it_holds_every_function_in_the_module_that_made_it() -> None:
    model = chain()
    found = operations(LiveModel(model, torch.randn(2, 4)).backward_graph(target=1))
    own = [one for one in found if not one[0].startswith("saved")]
    assert own == [
        ("SelectBackward0", "outside"), ("SelectBackward0", "outside"),
        ("AddmmBackward0", "2"), ("bias", "2"), ("TBackward0", "2"), ("weight", "2"),
        ("ReluBackward0", "1"),
        ("AddmmBackward0", "0"), ("bias", "0"), ("TBackward0", "0"), ("weight", "0"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["classifier", "gpt2", "twice"])
def test_functions_are_those_of_a_plain_walk(kind: str) -> None:
    model, inputs = _model(kind)
    live = LiveModel(model, inputs)
    graph = live.backward_graph(target=_scalar)
    output = model(**inputs) if isinstance(inputs, dict) else model(inputs[:1])
    expected = walked(_scalar(output).reshape(()))  # as the value of any callable is
    leaves = expected.count("AccumulateGrad")
    functions = sorted(name for name in expected if name != "AccumulateGrad")
    parameters = {one.name for one in live.trace().parameters}
    found = [one for one in graph.trace.operations if not one.name.startswith("saved")]
    assert sorted(one.name for one in found if one.name in functions) == functions
    ends = [one for one in found if one.name not in functions]
    assert len(ends) == leaves
    full = {f"{graph.trace.calls[one.call].path}.{one.name}".lstrip(".") for one in ends}
    assert full <= parameters


def _model(kind: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    if kind == "classifier":
        return Classifier().eval(), X
    if kind == "twice":
        layer = nn.Linear(5, 5)
        return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh()), torch.randn(2, 5)
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel(small_config("gpt2")).eval()
    return model, inputs_of(model)


def _scalar(output: Any) -> Tensor:
    scalar: Tensor = getattr(output, "logits", output).double().square().sum()
    return scalar


def test_edges_carry_the_shapes_of_gradients() -> None:
    graph = LiveModel(chain(), torch.randn(2, 4)).backward_graph(target=1)
    tensors, one = graph.trace.tensors, graph.trace.operations
    seen = {(one[s].name, one[t].name, tensors[n].shape) for s, t, n in graph.trace.edges()}
    assert ("AddmmBackward0", "ReluBackward0", (1, 8)) in seen  # by the output of the relu
    assert ("TBackward0", "weight", (3, 8)) in seen
    assert ("AddmmBackward0", "bias", (3,)) in seen
    assert ("saved mat1 (input 0)", "AddmmBackward0", (1, 4)) in seen


def test_what_is_saved_counts_once_and_not_where_the_model_holds_it_anyway() -> None:
    graph = LiveModel(chain(), torch.randn(2, 4)).backward_graph()
    held = {call.name: call.held for call in graph.trace.calls}
    # The ReLU saves its output, which the layer after it saves again; inputs and weights are there.
    assert held[""] == 8 * 4
    assert sum(held[name] for name in "012") == 8 * 4
    names = [name for name, _ in operations(graph)]
    assert "saved mat2 (weight)" in names
    assert "saved mat1 (input 0)" in names


def test_it_begins_with_the_target() -> None:
    live = LiveModel(chain(), torch.randn(2, 4))
    graphs = {"input": live.forward_graph(), "target": live.backward_graph(target=1)}
    for begins, graph in graphs.items():
        first = next(box for box in graph.view({""}).boxes if box.kind == "input")
        assert (first.id, first.label) == ("(input)", begins)
        assert graph.to_dict()["begins"] == begins


def test_blocks_of_a_deep_model_are_one_box() -> None:
    from transformers import GPT2LMHeadModel

    config = small_config("gpt2")
    config.n_layer = 48
    model = GPT2LMHeadModel(config).eval()
    graph = LiveModel(model, inputs_of(model)).backward_graph()
    boxes = graph.view(graph.first_sight()).boxes
    assert len(boxes) <= 40
    assert [box.repeats for box in boxes if box.repeats > 1] == [48]
    groups = graph.to_dict()["groups"]
    assert len(groups) < 60


def test_parameters_that_are_shared_are_met_once() -> None:
    graph = LiveModel(_model("twice")[0], torch.randn(2, 5)).backward_graph()
    names = [name for name, _ in operations(graph)]
    assert (names.count("weight"), names.count("bias")) == (1, 1)
    assert names.count("AddmmBackward0") == 2
    assert {call.name for call in graph.trace.calls} >= {"0", "0:1"}


def test_functions_of_ones_own_and_their_tensors() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x, x * x)
            return x**3

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            return gradients[0] * 3 * ctx.saved_tensors[1]

    class Cubed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Cube.apply(x)

    names = operations(
        LiveModel(nn.Sequential(nn.Linear(4, 3), Cubed()), torch.randn(2, 4)).backward_graph()
    )
    assert ("CubeBackward", "1") in names
    assert [name for name, call in names if call == "1" and "saved" in name] == [
        "saved tensor 0", "saved tensor 1",
    ]  # fmt: skip


def test_a_model_without_gradients_says_so() -> None:
    live = LiveModel(chain().requires_grad_(False), torch.randn(2, 4))
    with pytest.raises(GradientError, match="depends on no parameter that asks for gradients"):
        live.backward_graph()


def test_nothing_of_the_model_changes() -> None:
    model = chain().train()
    inputs = torch.randn(2, 4)
    model(inputs).sum().backward()
    with untouched(model):
        LiveModel(model, inputs).backward_graph()
