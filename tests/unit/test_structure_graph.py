"""The nested graph: what passes between boxes, repeated blocks as one, few boxes at first sight."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_models import WIDTH, Block, Experts, X
from small_networks import ResNet, Vgg16
from small_transformers import inputs_of, small_config
from torch import Tensor, nn

from explain_widgets import LiveModel
from explain_widgets.live.structure.folding import Repeat, repeats
from explain_widgets.live.structure.graph import MOST_BOXES, StructureGraph, View


def graph_of(model: nn.Module, data: Any = X) -> StructureGraph:
    return StructureGraph(LiveModel(model, data).trace())


def pairs(view: View) -> set[tuple[str, str]]:
    """The edges, with operations by their names."""
    names = {box.id: box.label if box.kind == "operation" else box.id for box in view.boxes}
    return {(names[edge.source], names[edge.target]) for edge in view.edges}


def gpt2(layers: int) -> tuple[nn.Module, dict[str, Tensor]]:
    from transformers import GPT2LMHeadModel

    config = small_config("gpt2")
    config.n_layer = layers
    model = GPT2LMHeadModel(config).eval()
    return model, inputs_of(model)


# --- folding ------------------------------------------------------------------------------------


def chain(count: int) -> list[list[int]]:
    return [[n - 1] for n in range(count)]


@pytest.mark.parametrize(
    ("kinds", "blocks", "expected"),
    [
        ([1, 2, 2, 2, 3], [2], [Repeat(1, 1, 3)]),
        ([1, 2, 1, 2, 1, 2, 9], [1], [Repeat(0, 2, 3)]),
        ([1, 1, 2, 1, 1, 2], [1], [Repeat(0, 3, 2)]),
        ([5, 5, 5], [], []),  # three single layers are no block
        ([5, 5, 5, 5], [], [Repeat(0, 1, 4)]),
        ([1, 2, 3], [1, 2, 3], []),
        ([7, 7, 8, 8], [7, 8], [Repeat(0, 1, 2), Repeat(2, 1, 2)]),
        ([], [], []),
    ],
)
def test_runs_of_equal_blocks(kinds: list[int], blocks: list[int], expected: list[Repeat]) -> None:
    found = repeats(kinds, chain(len(kinds)), [kind in blocks for kind in kinds])
    assert found == expected


def test_blocks_that_are_wired_in_another_way_are_not_alike() -> None:
    kinds, blocks = [1, 2, 1, 2], [True] * 4
    same = [[-1], [0], [1], [2]]
    assert repeats(kinds, same, blocks) == [Repeat(0, 2, 2)]
    skips = [[-1], [0], [1], [0]]  # the last takes what the first block has made
    assert repeats(kinds, skips, blocks) == []


# --- boxes and edges ----------------------------------------------------------------------------


def test_a_closed_model_is_one_box() -> None:
    view = graph_of(Block()).view()
    assert [(box.id, box.kind, box.parts) for box in view.boxes] == [
        ("", "module", 5),
        ("(input)", "input", 0),
        ("(output)", "output", 0),
    ]
    assert pairs(view) == {("(input)", ""), ("", "(output)")}


def test_edges_carry_shapes_and_skip_connections_are_there() -> None:
    view = graph_of(Block()).view({""})
    assert [box.label for box in view.boxes] == [
        "", "attend", "add", "norm", "feed", "add", "input", "output",
    ]  # fmt: skip
    first, second = (box.id for box in view.boxes if box.label == "add")
    ends = {(edge.source, edge.target) for edge in view.edges}
    assert ends == {
        ("(input)", "attend"),
        ("(input)", first),  # around the attention
        ("attend", first),
        (first, "norm"),
        ("norm", "feed"),
        (first, second),  # around the feed-forward
        ("feed", second),
        (second, "(output)"),
    }
    assert {edge.shapes for edge in view.edges} == {("1 × 5 × 8",)}


def test_opened_boxes_are_entered_by_the_edges() -> None:
    graph = graph_of(Block())
    view = graph.view({"", "feed"})
    found = pairs(view)
    assert {("norm", "feed.0"), ("feed.0", "feed.1"), ("feed.2", "add")} <= found
    assert not any("feed" in ends for ends in found)
    parents = {box.id: box.parent for box in view.boxes}
    assert parents["feed.1"] == "feed"
    assert parents["feed"] == ""
    # What is not shown does not count.
    assert graph.view({"feed"}) == graph.view()


def test_every_edge_of_an_opened_graph_is_one_of_the_trace() -> None:
    """With all open, the boxes are the operations, and the edges those of the trace."""
    graph = graph_of(ResNet(), torch.randn(1, 3, 32, 32))
    trace = graph.trace
    opened = {call.name for call in trace.calls}
    view = graph.view(opened)
    inside = {
        (int(edge.source[1:]), int(edge.target[1:]))
        for edge in view.edges
        if edge.source[0] == edge.target[0] == "#"
    }
    assert not any(box.repeats > 1 for box in view.boxes)
    assert inside == {(source, target) for source, target, _ in trace.edges()}


# --- repeated blocks ----------------------------------------------------------------------------


def test_layers_of_a_transformer_are_one_box() -> None:
    model, inputs = gpt2(12)
    graph = graph_of(model, inputs)
    view = graph.view({"", "transformer"})
    blocks = [box for box in view.boxes if "h." in box.label]
    assert [(box.label, box.repeats, box.instance) for box in blocks] == [("h.0", 12, 0)]
    found = pairs(view)
    assert ("transformer.drop", "transformer.h.0") in found
    assert ("transformer.h.0", "transformer.ln_f") in found
    assert ("transformer.h.0", "transformer.h.0") not in found


def test_any_of_the_blocks_can_be_picked() -> None:
    model, inputs = gpt2(12)
    graph = graph_of(model, inputs)
    closed = graph.view({"", "transformer"})
    fold = next(box.fold for box in closed.boxes if box.repeats == 12)
    assert fold is not None
    view = graph.view({"", "transformer", "transformer.h.7"}, {fold: 7})
    box = next(box for box in view.boxes if box.repeats == 12)
    assert (box.id, box.instance, box.is_open) == ("transformer.h.7", 7, True)
    first = graph.view({"", "transformer", "transformer.h.0"})
    assert len(view.boxes) == len(first.boxes)
    assert len(view.edges) == len(first.edges)
    assert [box.label for box in view.boxes][-4:] == [box.label for box in first.boxes][-4:]
    with pytest.raises(ValueError, match=r"there are 12 \(0 to 11\)"):
        graph.view({"", "transformer"}, {fold: 12})


def test_blocks_with_other_parameters_are_not_folded() -> None:
    def stack(*widths: int) -> nn.Module:
        layers = [
            nn.Sequential(nn.Sequential(nn.Linear(WIDTH, w)), nn.Tanh(), nn.Linear(w, WIDTH))
            for w in widths
        ]
        return nn.Sequential(*layers)

    same = graph_of(stack(6, 6, 6)).view({""})
    assert [(box.label, box.repeats) for box in same.boxes[1:-2]] == [("0", 3)]
    other = graph_of(stack(6, 7, 6)).view({""})
    assert [(box.label, box.repeats) for box in other.boxes[1:-2]] == [("0", 1), ("1", 1), ("2", 1)]


@pytest.mark.parametrize(
    "changed",
    [{"dilation": 2, "padding": 2}, {"stride": 2}, {"groups": 2, "in_channels": 8}, {"padding": 2}],
)
def test_blocks_that_compute_in_another_way_are_not_folded(changed: dict[str, int]) -> None:
    """As the dilations of a temporal convolution: one box for all would hide them."""
    plain = {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding": 1}

    class Cell(nn.Module):
        def __init__(self, settings: dict[str, int]) -> None:
            super().__init__()
            self.conv = nn.Conv1d(**settings)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x.repeat(1, self.conv.in_channels // 4, 1)).tanh()

    def boxes(*settings: dict[str, int]) -> list[tuple[str, int]]:
        model = nn.Sequential(*map(Cell, settings))
        view = graph_of(model, torch.rand(2, 4, 24)).view({""})
        return [(box.label, box.repeats) for box in view.boxes if box.kind == "module"][1:]

    other = plain | changed
    assert boxes(plain, plain, plain) == [("0", 3)]
    assert boxes(plain, plain, other, other) == [("0", 2), ("2", 2)]


def test_experts_in_a_loop_are_folded_with_what_is_around_them() -> None:
    graph = graph_of(Experts(), torch.randn(1, 9, WIDTH))
    view = graph.view({""})
    folded = [box.label for box in view.boxes if box.repeats == 5]
    assert folded == ["arange", "getitem", "experts.0", "getitem", "mul", "index_add_"]
    (fold,) = {box.fold for box in view.boxes if box.repeats == 5}
    assert fold is not None
    for expert in range(5):  # each is given other rows
        view = graph.view({""}, {fold: expert})
        shapes = {edge.shapes for edge in view.edges if edge.target == f"experts.{expert}"}
        assert shapes == {(f"{expert + 1} × {WIDTH}",)}


# --- at first sight -----------------------------------------------------------------------------


class Functional(nn.Module):
    """Two hundred operations and no module."""

    def forward(self, x: Tensor) -> Tensor:
        for n in range(100):
            x = F.relu(x) if n % 3 else x.tanh()
            x = x.sin() if n % 2 else x.exp()
        return x


class Uneven(nn.Module):
    """A hundred layers of which no two are alike."""

    def __init__(self) -> None:
        super().__init__()
        widths = [WIDTH, *range(9, 109)]
        self.layers = nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


SIGHTS: dict[str, Any] = {
    "12 layers": lambda: gpt2(12),
    "48 layers": lambda: gpt2(48),
    "VGG16": lambda: (Vgg16(), torch.randn(1, 3, 32, 32)),
    "ResNet": lambda: (ResNet(), torch.randn(1, 3, 32, 32)),
    "functional": lambda: (Functional(), X),
    "uneven": lambda: (Uneven(), X),
}


@pytest.mark.parametrize("kind", SIGHTS)
def test_few_boxes_at_first_sight(kind: str) -> None:
    graph = graph_of(*SIGHTS[kind]())
    view = graph.view(graph.first_sight())
    assert 4 <= len(view.boxes) <= MOST_BOXES + 4
    ids = {box.id for box in view.boxes}
    assert len(ids) == len(view.boxes)
    assert all(edge.source in ids and edge.target in ids for edge in view.edges)
    shown = [box for box in view.boxes if not box.is_open and box.kind not in ("input", "output")]
    reached = {edge.target for edge in view.edges}
    # Nothing hangs in the air but what a model makes of nothing.
    alone = [box.label for box in shown if box.id not in reached]
    assert set(alone) <= {"arange", "tensor"}
    assert len(json.dumps(graph.to_dict())) < 200_000


def test_bundles_can_be_opened() -> None:
    graph = graph_of(Uneven())
    view = graph.view({"", "layers"})
    bundles = [box for box in view.boxes if box.kind == "bundle"]
    assert len(bundles) == 33
    assert sum(box.parts for box in bundles) == 99  # and one layer for itself
    assert bundles[0].label == "3 parts"
    opened = graph.view({"", "layers", bundles[1].id})
    assert len(opened.boxes) == len(view.boxes) + 3
    assert ("layers.3", "layers.4") in pairs(opened)
    assert (bundles[0].id, "layers.3") in pairs(opened)


def test_the_graph_of_a_failed_forward() -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 6), nn.Tanh(), nn.Linear(7, 2))
    view = graph_of(model).view({""})
    assert pairs(view) == {("(input)", "0"), ("0", "1"), ("1", "2")}


# --- as data ------------------------------------------------------------------------------------


def test_the_data_describe_groups_once_and_calls_in_order() -> None:
    model, inputs = gpt2(12)
    graph = graph_of(model, inputs)
    data = json.loads(json.dumps(graph.to_dict()))
    types = [group["type"] for group in data["groups"]]
    assert types.count("GPT2Block") == 1
    # The calls are those that one meets from the root on.
    names: list[str] = []
    waiting = [(data["root"], "")]
    while waiting:
        number, path = waiting.pop()
        inside = []
        for name, group, _ in data["groups"][number]["items"]:
            if group >= 0:
                inside.append((group, f"{path}.{name}" if path else name))
        if number != data["root"]:
            names.append(path)
        waiting.extend(reversed(inside))
    assert names == data["calls"]["name"]
    flops = dict(zip(names, data["calls"]["flops"], strict=True))
    assert flops == {call.name: call.flops for call in graph.trace.calls if call.name in flops}
    assert flops[""] == graph.trace.flops
    block = data["groups"][types.index("GPT2Block")]
    passing = {block["tensors"][place] for _, _, *places in block["edges"] for place in places}
    assert passing == set(block["tensors"])
    view = graph.view({"", "transformer"})
    words = next(edge.shapes for edge in view.edges if edge.target == "transformer.h.0")
    assert {data["shapes"][n] for n in passing} >= set(words)


def test_tensors_of_one_shape_are_told_apart_in_the_data() -> None:
    """What comes into a group has the order in which it is listed around it."""

    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return y.sin(), x.cos()

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two = Two()

        def forward(self, x: Tensor) -> Tensor:
            a, b = self.two(x.exp(), x.tanh())
            return a.abs() + b.neg()

    data = graph_of(Around()).to_dict()
    inner, outer = data["groups"][:2]
    assert inner["edges"] == [[-1, 0, 1], [-1, 1, 0], [0, -2, 2], [1, -2, 3]]
    assert sorted(edge for edge in outer["edges"] if 2 in edge[:2]) == [
        [0, 2, 1], [1, 2, 2], [2, 3, 3], [2, 4, 4],
    ]  # fmt: skip
