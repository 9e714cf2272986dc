"""Writes graphs and what is seen of them for the front end's tests: its view must be the same.

    python tests/record_graphs.py

writes ``js/test/recorded/graphs.json``; ``tests/unit/test_recording.py`` says when it is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
RECORDING = ROOT / "js" / "test" / "recorded" / "graphs.json"
sys.path.insert(0, str(ROOT / "tests" / "unit"))

from small_models import WIDTH, Experts  # noqa: E402


class Twice(nn.Module):
    """One block that is called twice, and its second result with the first."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        once = self.block(x)
        return self.block(once) + once


class Crossed(nn.Module):
    """Two tensors of one shape come in, and two go out, the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.second(y), self.first(x)


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Crossed() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.exp(), x.tanh()
        for block in self.blocks:
            a, b = block(a, b)
        return a.abs() + b.neg()


class Uneven(nn.Module):
    """41 layers of which no two are alike, each result kept to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8 + n, 9 + n) for n in range(41))

    def forward(self, x: Tensor) -> Tensor:
        total = x.sum()
        for layer in self.layers:
            x = layer(x)
            total = total + x.sum()
        return total


def _gpt2() -> tuple[nn.Module, Any]:
    from small_transformers import inputs_of, small_config
    from transformers import GPT2LMHeadModel

    config = small_config("gpt2")
    config.n_layer = 4
    model = GPT2LMHeadModel(config).eval()
    return model, inputs_of(model)


def _resnet() -> tuple[nn.Module, Any]:
    from small_networks import ResNet

    return ResNet(), torch.randn(1, 3, 32, 32)


X = torch.zeros(1, 9, WIDTH)
MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "layers": lambda: (nn.Sequential(nn.Linear(WIDTH, 6), nn.Tanh(), nn.Linear(6, 2)), X),
    "ResNet": _resnet,
    "GPT-2": _gpt2,
    "experts": lambda: (Experts(), X),
    "twice": lambda: (Twice(), X),
    "crossed": lambda: (Around(), X),
    "uneven": lambda: (Uneven(), X),
}
BACKWARD = "twice"


def _seen(
    graph: Any, shapes: list[str], opened: list[str], instances: Mapping[str, int]
) -> dict[str, Any]:
    """Boxes, and edges as ``[from, to, *shapes]`` by the numbers of boxes and shapes."""
    view = graph.view(opened, instances)
    number = {box.id: n for n, box in enumerate(view.boxes)}
    boxes = [
        [box.id, box.kind, box.label, number.get(box.parent, -1), int(box.is_open), box.parts]
        + ([] if box.fold is None else [box.repeats, box.instance, box.fold])
        for box in view.boxes
    ]
    edges = [
        [number[edge.source], number[edge.target], *map(shapes.index, edge.shapes)]
        for edge in view.edges
    ]
    return {"opened": opened, "instances": dict(instances), "boxes": boxes, "edges": edges}


def _views(graph: Any, shapes: list[str]) -> list[dict[str, Any]]:
    """All closed, at first sight, all open, and with the last block of each run."""
    everything = sorted(call.name for call in graph.trace.calls)
    sights: list[tuple[list[str], dict[str, int]]] = [
        ([], {}),
        (sorted(graph.first_sight()), {}),
        (everything, {}),
    ]
    bundles = [box.id for box in graph.view(everything).boxes if box.kind == "bundle"]
    if bundles:
        sights.append(([*everything, *bundles[::3]], {}))
    last = {box.fold: box.repeats - 1 for box in graph.view(everything).boxes if box.fold}
    if last:
        sights.append((everything, last))
    return [_seen(graph, shapes, *sight) for sight in sights]


def record() -> dict[str, Any]:
    """Descriptions and views of some models."""
    from explain_widgets import LiveModel

    found = {}
    graphs = {}
    for name, make in MODELS.items():
        torch.manual_seed(0)
        live = LiveModel(*make())
        graphs[name] = live.forward_graph()
        if name == BACKWARD:
            graphs[f"{name}, backward"] = live.backward_graph()
    for name, graph in graphs.items():
        description = graph.to_dict()
        description["calls"]["microseconds"] = []  # others in each run
        found[name] = {"graph": description, "views": _views(graph, description["shapes"])}
    return found


if __name__ == "__main__":
    RECORDING.parent.mkdir(exist_ok=True)
    text = json.dumps(record(), ensure_ascii=False, separators=(",", ":"))
    RECORDING.write_text(text + "\n", "utf-8")
    print(f"{RECORDING}: {len(text):,} characters")
