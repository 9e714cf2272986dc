"""The structure explorer as its browser side meets it: table, graph, overlays, values, failures."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
import traitlets
from conversation import Conversation
from small_transformers import inputs_of, small_config
from snapshot import untouched
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.live.structure.graph import StructureGraph

CLASSES = ["cat", "dog", "emu"]
OVERLAYS = [
    "", "parameters", "flops", "seconds", "backward_flops", "backward_seconds", "memory",
    "deviation", "gradient", "dead", "nonfinite",
]  # fmt: skip


class Net(nn.Module):
    """Convolutions around one ReLU that is called three times, in place once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5, stride=2)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 10, 3)
        self.fc = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        result: Tensor = self.fc(x.mean((2, 3)))
        return result


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x))
        return result


class Experts(nn.Module):
    """Two of four experts for each token, in a Python loop; returns a tuple with None in it."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(8, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(4)
        )

    def forward(self, tokens: Tensor) -> tuple[None, Tensor, dict[str, Tensor]]:
        weights, chosen = self.router(tokens[0]).softmax(-1).topk(2)
        mixed = torch.zeros_like(tokens[0])
        for index, expert in enumerate(self.experts):
            rows, place = torch.where(chosen == index)
            if len(rows):
                mixed = mixed.index_add(
                    0, rows, expert(tokens[0, rows]) * weights[rows, place, None]
                )
        return None, mixed[None], {"weights": weights}


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 25, 29, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def explorer(model: nn.Module, images: Tensor) -> Any:
    made = xw.StructureExplorer(model, images, class_names=CLASSES)
    yield made
    made.close()


@pytest.fixture
def talk(explorer: Any) -> Conversation:
    return Conversation(explorer)


def explored(model: nn.Module, samples: Any, **options: Any) -> tuple[Any, Conversation]:
    made = xw.StructureExplorer(model.eval(), samples, **options)
    return made, Conversation(made)


def coloured(talk: Conversation, overlay: str, **more: Any) -> tuple[Any, dict[str, float]]:
    """The content of an overlay, and its numbers by the names of modules."""
    selection = {"sample": 0, "overlay": overlay, "target": None, **more}
    names = talk.ask("structure", {"sample": selection["sample"]})[0]["rows"]["name"]
    content, arrays = talk.ask("overlay", selection)
    assert arrays["values"].dtype == np.float32
    return content, dict(zip(names, arrays["values"].tolist(), strict=True))


def values(talk: Conversation, name: str, **more: Any) -> tuple[Any, dict[str, Any], Any]:
    """The content of `values`, its quantities by name, and its arrays."""
    selection = {"sample": 0, "layer_name": name, "target": None, **more}
    content, arrays = talk.ask("values", selection)
    return content, {one["name"]: one for one in content["quantities"]}, arrays


# --- structure ----------------------------------------------------------------------------------


def test_the_structure_holds_table_graph_and_classes(talk: Conversation, explorer: Any) -> None:
    content, _ = talk.ask("structure", {"sample": 1})
    rows = content["rows"]
    assert rows["name"] == ["", "conv1", "relu", "conv2", "fc"]
    assert rows["type"] == ["Net", "Conv2d", "ReLU", "Conv2d", "Linear"]
    assert rows["calls"] == [1, 1, 2, 1, 1]
    assert rows["input_shapes"][1] == "1 × 3 × 25 × 29"
    assert rows["output_shapes"] == [
        "1 × 3", "1 × 6 × 11 × 13", "1 × 6 × 11 × 13", "1 × 10 × 9 × 11", "1 × 3",
    ]  # fmt: skip
    own = explorer.live.model
    counts = [sum(p.numel() for p in m.parameters()) for _, m in own.named_modules()]
    assert rows["parameters"] == counts
    assert content["totals"]["parameters"] == counts[0]
    assert content["totals"]["flops"] == rows["flops"][0]
    assert content["graph"] == StructureGraph(explorer.live.trace(1)).to_dict()
    assert content["first_sight"] == [""]
    assert content["failure"] is None
    assert [one["name"] for one in content["overlays"]] == OVERLAYS
    assert content["classes"] == CLASSES
    best = int(explorer.live.output(1)[0].argmax())
    assert content["predicted"]["name"] == CLASSES[best]


def test_one_forward_is_enough_for_the_structure(model: nn.Module, images: Tensor) -> None:
    runs = []
    model.register_forward_pre_hook(lambda module, args: runs.append(1))
    explorer, talk = explored(model, images)
    talk.ask("structure", {"sample": 0})
    explorer.figure()
    assert len(runs) == 1


def test_the_structure_of_a_deep_model_is_small() -> None:
    from transformers import GPT2LMHeadModel

    config = small_config("gpt2")
    config.n_layer = 48
    model = GPT2LMHeadModel(config)
    explorer, talk = explored(model, inputs_of(model))
    content, _ = talk.ask("structure", {"sample": 0})
    assert len(json.dumps(content, separators=(",", ":"))) < 200_000
    backward, _ = talk.ask("backward", {"sample": 0, "target": None})
    assert len(json.dumps(backward, separators=(",", ":"))) < 200_000
    explorer.close()


def test_the_table_as_text_and_csv(talk: Conversation, explorer: Any) -> None:
    content, _ = talk.ask("text", {"sample": 0})
    assert content["text"] == str(explorer.summary())
    lines = list(csv.DictReader(io.StringIO(content["csv"])))
    assert [line["name"] for line in lines] == ["", "conv1", "relu", "conv2", "fc"]
    assert lines[1]["output_shapes"] == "1 × 6 × 11 × 13"
    assert [int(line["parameters"]) for line in lines] == [
        row.parameters for row in explorer.summary().rows
    ]
    assert list(explorer.summary().to_dataframe().index) == ["", "conv1", "relu", "conv2", "fc"]


def test_experts_that_run_now_and_then(images: Tensor) -> None:
    torch.manual_seed(3)
    model = Experts()
    tokens = torch.randn(2, 3, 8)
    explorer, talk = explored(model, tokens)
    content, _ = talk.ask("structure", {"sample": 0})
    rows = content["rows"]
    with torch.no_grad():
        used = set(model.router(tokens[0]).topk(2).indices.flatten().tolist())
    called = {n for n in range(4) if rows["calls"][rows["name"].index(f"experts.{n}")]}
    assert called == used
    assert rows["output_shapes"][0] == "1 × 3 × 8; 3 × 2"
    _, numbers = coloured(talk, "flops")
    idle = next(n for n in range(4) if n not in used)
    assert math.isnan(numbers[f"experts.{idle}"])
    assert numbers[f"experts.{min(used)}.0"] > 0
    _, found, _ = values(talk, "")
    assert {"output 1", "output 2.weights"} <= set(found)
    content, found, _ = values(talk, f"experts.{idle}.0")
    assert "never called" in content["gradient_note"]
    assert set(found) == {"weight", "bias"}
    explorer.close()


# --- overlays -----------------------------------------------------------------------------------


def test_overlays_from_the_table(talk: Conversation, explorer: Any) -> None:
    rows = {row.name: row for row in explorer.summary().rows}
    content, numbers = coloured(talk, "parameters")
    assert content["log"] is True
    assert numbers == {name: row.parameters for name, row in rows.items()}
    assert coloured(talk, "flops")[1] == {name: row.flops for name, row in rows.items()}
    _, seconds = coloured(talk, "seconds")
    assert seconds[""] >= seconds["conv1"] > 0


def test_memory_is_what_a_backward_keeps(talk: Conversation, explorer: Any) -> None:
    content, numbers = coloured(talk, "memory")
    held = {row.name: row.held for row in explorer.live.summary(backward=True).rows}
    assert content["label"] == "memory kept for the backward"
    assert numbers == held
    assert numbers[""] > numbers["relu"] > 0


def test_overlays_of_a_backward_are_of_the_picked_target(talk: Conversation, explorer: Any) -> None:
    explorer.target = 1
    for name in ("backward_flops", "backward_seconds"):
        _, numbers = coloured(talk, name, target=1)
        rows = explorer.live.summary(backward=True, target=1).rows
        used = {row.name: getattr(row, name) for row in rows if row.is_used}
        assert {key: numbers[key] for key in used} == pytest.approx(used)
        assert numbers[""] > 0
    assert numbers["conv1"] > 0


def test_without_a_backward_it_is_said_why(model: nn.Module, images: Tensor) -> None:
    explorer, talk = explored(model.requires_grad_(False), images)
    content, numbers = coloured(talk, "backward_flops")
    assert "no backward: The target depends on no parameter" in content["note"]
    assert all(np.isnan(number) for number in numbers.values())
    explorer.close()


def test_memory_of_a_frozen_model_is_that_of_its_outputs(model: nn.Module, images: Tensor) -> None:
    explorer, talk = explored(model.requires_grad_(False), images)
    content, numbers = coloured(talk, "memory")
    assert content["label"] == "memory of outputs"
    assert numbers["conv1"] == 4 * 6 * 11 * 13
    explorer.close()


def test_deviations_are_those_of_the_outputs(talk: Conversation, explorer: Any) -> None:
    _, numbers = coloured(talk, "deviation")
    for name, number in numbers.items():
        output = explorer.live.activation(name).double()
        assert number == pytest.approx(float(output.std(correction=0)), rel=1e-5)


@pytest.mark.parametrize("target", [None, 2])
def test_gradient_norms_are_autograds(
    talk: Conversation, explorer: Any, model: nn.Module, images: Tensor, target: int | None
) -> None:
    _, numbers = coloured(talk, "gradient", target=target)
    outputs: dict[str, Tensor] = {}
    twin = Net().double().eval()
    twin.load_state_dict(model.state_dict())

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            outputs.setdefault(name, output)  # of the first call

        return hook

    for name, module in twin.named_modules():
        module.register_forward_hook(note(name))
    scores = twin(images[:1].double())[0]
    scalar = scores.max() if target is None else scores[target]
    for name, number in numbers.items():
        (slopes,) = torch.autograd.grad(scalar, [outputs[name]], retain_graph=True)
        assert number == pytest.approx(float(slopes.norm()), rel=1e-4)


def test_a_target_that_is_a_function(model: nn.Module, images: Tensor) -> None:
    explorer, talk = explored(model, images, target=lambda output: 5 * output[0, 0])
    _, numbers = coloured(talk, "gradient", target="custom")
    assert numbers["fc"] == pytest.approx(5.0)
    explorer.close()


def test_dead_shares_are_over_all_samples(talk: Conversation, model: Net, images: Tensor) -> None:
    with torch.no_grad():
        model.conv1.bias[2] = -99.0
        model.conv1.bias[4] = -99.0
        inner = model.relu(model.conv1(images))
    dead = int((inner == 0).all(3).all(2).all(0).sum())
    content, numbers = coloured(talk, "dead")
    assert content["note"] == "over 4 samples"
    assert content["progress"] is None
    assert dead >= 2
    assert numbers["relu"] == pytest.approx(dead / 6)
    assert numbers["conv1"] == 0


def test_numbers_that_are_not_finite_are_found_where_they_begin(
    talk: Conversation, model: Net
) -> None:
    assert coloured(talk, "nonfinite")[0]["note"] == "all outputs are finite"
    with torch.no_grad():
        model.conv2.weight[3] = torch.nan
    content, numbers = coloured(talk, "nonfinite")
    assert content["note"] == "first in conv2"
    assert numbers["conv1"] == 0
    assert numbers["conv2"] == 9 * 11
    assert numbers["relu"] == 9 * 11  # of its second call
    assert numbers[""] == 3


def test_an_unknown_overlay_is_refused(talk: Conversation, explorer: Any) -> None:
    assert "There is no overlay 'colour'" in talk.error(
        "overlay", {"sample": 0, "overlay": "colour"}
    )
    with pytest.raises(traitlets.TraitError):
        explorer.overlay = "colour"


# --- values -------------------------------------------------------------------------------------


def plain(tensor: Tensor) -> dict[str, float]:
    """The statistics, by their plain definitions in float64."""
    numbers = tensor.detach().double().numpy()
    return {
        "count": numbers.size,
        "mean": numbers.mean(),
        "deviation": numbers.std(),
        "minimum": numbers.min(),
        "maximum": numbers.max(),
        "zeros": (numbers == 0).mean(),
        "norm": np.sqrt((numbers**2).sum()),
    }


def test_values_are_those_of_the_tensors(talk: Conversation, explorer: Any, model: Net) -> None:
    content, found, arrays = values(talk, "conv2", target=1)
    gradients = explorer.live.parameter_gradients(0, 1)
    tensors = {
        "output": explorer.live.activation("conv2"),
        "weight": model.conv2.weight,
        "bias": model.conv2.bias,
        "output gradient": explorer.live.gradient("conv2", 0, 1),
        "weight gradient": gradients["conv2.weight"],
        "bias gradient": gradients["conv2.bias"],
    }
    assert list(found) == list(tensors)
    assert content["words"] == "Conv2d · 1 × 6 × 11 × 13 → 1 × 10 × 9 × 11 · 550 parameters"
    for name, tensor in tensors.items():
        one = found[name]
        assert {key: one[key] for key in plain(tensor)} == pytest.approx(
            plain(tensor), rel=1e-5, abs=1e-9
        )
        edges = arrays[f"edges_{one['histogram']}"].astype(np.float64)
        counts = arrays[f"counts_{one['histogram']}"]
        assert counts.dtype == np.int32
        assert counts.sum() == one["count"]
        own, _ = np.histogram(tensor.detach().numpy().astype(np.float64), edges)
        assert np.abs(own - counts).sum() <= 4  # numbers on a border, in float32
    assert content["gradient_note"] == ""


def test_values_come_first_without_gradients(talk: Conversation) -> None:
    identity = talk.send("values", {"sample": 0, "layer_name": "fc", "target": None})
    talk.last_of(identity)
    first, last = [m[0]["content"] for m in talk.messages if m[0]["id"] == identity]
    assert [one["name"] for one in first["quantities"]] == ["output", "weight", "bias"]
    assert "output gradient" in [one["name"] for one in last["quantities"]]


def test_of_another_call_the_output_is_another(talk: Conversation, explorer: Any) -> None:
    _, first, _ = values(talk, "relu")
    content, second, _ = values(talk, "relu:1")
    assert first["output"]["count"] == 6 * 11 * 13
    assert second["output"]["count"] == 10 * 9 * 11
    content, none, _ = values(talk, "relu:7")
    assert "called 2 times, not 8" in content["gradient_note"]
    assert none == {}


def test_a_container_lists_what_is_in_it(talk: Conversation, model: nn.Module) -> None:
    content, found, _ = values(talk, "")
    assert [part["name"] for part in content["parts"]] == [n for n, _ in model.named_parameters()]
    assert content["parts_left_out"] == 0
    own = dict(model.named_parameters())["conv2.weight"]
    part = content["parts"][2]
    assert part["deviation"] == pytest.approx(float(own.detach().double().std(correction=0)), 1e-5)
    assert list(found) == ["output", "output gradient"]


def test_many_parts_are_counted(images: Tensor) -> None:
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(200)))
    explorer, talk = explored(model, torch.randn(2, 3))
    content, _, _ = values(talk, "")
    assert (len(content["parts"]), content["parts_left_out"]) == (300, 100)
    explorer.close()


def test_numbers_that_are_not_finite_are_counted(talk: Conversation, model: Net) -> None:
    with torch.no_grad():
        model.fc.weight[0, :2] = torch.nan
        model.fc.weight[1, 0] = torch.inf
        model.fc.bias.fill_(torch.nan)
    _, found, _ = values(talk, "fc")
    assert (found["weight"]["nan"], found["weight"]["infinite"]) == (2, 1)
    assert math.isfinite(found["weight"]["mean"])
    assert found["bias"]["mean"] is None


def test_why_there_is_no_gradient(images: Tensor) -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return (self.layer(x) > 0).sum(-1, keepdim=True)

    explorer, talk = explored(Counts(), torch.randn(2, 4))
    content, found, _ = values(talk, "layer")
    assert set(found) == {"output", "weight", "bias"}
    assert "differentiable" in content["gradient_note"]
    explorer.close()


# --- how weights were initialised ----------------------------------------------------------------


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.Tanh(),
        nn.Linear(128, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, 10),
    )  # fmt: skip


def looks(talk: Conversation, name: str) -> dict[str, Any]:
    (found,) = values(talk, name)[0]["initialisation"]
    return dict(found)


def test_an_initialisation_that_fits_what_follows() -> None:
    model = layers()
    nn.init.kaiming_normal_(model[0].weight)
    nn.init.xavier_uniform_(model[2].weight, gain=5 / 3)
    explorer, talk = explored(model, torch.randn(2, 64))
    found = looks(talk, "0")
    assert found["looks_like"] == "He (fan-in), normal"
    assert (found["fan_in"], found["fan_out"]) == (64, 128)
    assert found["expected"] == pytest.approx(math.sqrt(2 / 64))
    assert not found["is_far"]
    assert "He et al. 2015" in found["sentence"]
    found = looks(talk, "2")
    assert found["expected"] == pytest.approx(5 / 3 * math.sqrt(2 / 256))
    assert "before tanh (Glorot and Bengio 2010)" in found["sentence"]
    assert not found["is_far"]
    explorer.close()


def test_an_initialisation_that_is_far_from_what_follows() -> None:
    model = layers()
    nn.init.normal_(model[0].weight, std=0.003)
    nn.init.normal_(model[2].weight, std=3.0)
    nn.init.normal_(model[4].weight, std=3.0)
    nn.init.zeros_(model[7].weight)
    explorer, talk = explored(model, torch.randn(2, 64))
    small, large, normalised, zero = (looks(talk, name) for name in "0247")
    assert small["is_far"]
    assert "of He (fan-in) before relu: signals shrink in this layer" in small["sentence"]
    assert large["is_far"]
    assert "signals grow" in large["sentence"]
    assert not normalised["is_far"]
    assert "A normalisation follows" in normalised["sentence"]
    assert zero["looks_like"] == "zero"
    assert zero["is_far"]
    far = [one.module for one in explorer.initialisations() if one.is_far]
    assert far == ["0", "2", "7"]
    explorer.close()


def test_the_default_of_pytorch_is_no_reason_for_alarm() -> None:
    explorer, talk = explored(layers(), torch.randn(2, 64))
    for name in "0247":
        assert not looks(talk, name)["is_far"]
    explorer.close()


def test_weights_that_lie_the_other_way_and_activations_written_out() -> None:
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel(small_config("gpt2")).eval()
    explorer, talk = explored(model, inputs_of(model))
    found = looks(talk, "transformer.h.0.mlp.c_fc")
    inputs, outputs = model.transformer.h[0].mlp.c_fc.weight.shape
    assert (found["fan_in"], found["fan_out"]) == (inputs, outputs)
    assert "before gelu" in found["sentence"]
    # A table of embeddings is no weight of a layer, also where the last layer shares it.
    assert looks(talk, "transformer.wte")["expected"] is None
    assert looks(talk, "lm_head")["expected"] is None
    explorer.close()


# --- dead units and spectra ----------------------------------------------------------------------


def test_dead_units_by_their_indices(talk: Conversation, model: Net, images: Tensor) -> None:
    with torch.no_grad():
        model.conv2.bias[7] = -99.0
        inner = model.relu(model.conv2(model.relu(model.conv1(images[:3]))))
    dead = (inner == 0).all(3).all(2).all(0).nonzero().flatten().tolist()
    content, _ = talk.ask("dead", {"layer_name": "relu:1", "count": 3})
    assert 7 in dead
    assert content["names"] == [str(unit) for unit in dead]
    assert (content["channels"], content["dead"]) == (10, len(dead))
    assert (content["samples"], content["of"]) == (3, 3)
    assert "all 3 samples" in content["words"]


def test_units_of_tokens_lie_along_the_last_axis() -> None:
    model = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 5), nn.ReLU())
    with torch.no_grad():
        model[1].bias[3] = -99.0
    live = xw.LiveModel(model.eval(), torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]))
    *_, found = live.dead_units()
    with torch.no_grad():
        inner = model(torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]))
    assert found.dead("2") == (inner == 0).all(0).all(0).nonzero().flatten().tolist()
    assert 3 in found.dead("2")


def test_what_has_no_units_says_so(talk: Conversation) -> None:
    sentence = talk.error("dead", {"layer_name": "relu:9", "count": 2})
    assert "no units" in sentence


def test_a_spectrum_is_that_of_numpy(talk: Conversation, model: Net) -> None:
    content, arrays = talk.ask("spectrum", {"layer_name": "conv2"})
    (one,) = content["spectra"]
    own = np.linalg.svd(model.conv2.weight.detach().double().flatten(1).numpy(), compute_uv=False)
    np.testing.assert_allclose(arrays["singular_0"], own, rtol=1e-5)
    shares = own / own.sum()
    assert one["spectral_norm"] == pytest.approx(own[0], rel=1e-6)
    rank = float(np.exp(-(shares * np.log(shares)).sum()))
    assert one["effective_rank"] == pytest.approx(rank, rel=1e-6)
    assert one["rank_limit"] == 10
    assert "no weight with two axes" in talk.error("spectrum", {"layer_name": "relu"})


# --- a forward that fails ------------------------------------------------------------------------


def test_a_failing_forward_is_shown_until_there() -> None:
    explorer, talk = explored(Broken(), torch.randn(2, 4))
    content, _ = talk.ask("structure", {"sample": 0})
    failure = content["failure"]
    assert failure["type"] == "RuntimeError"
    assert (failure["call"], failure["operation"]) == ("second", "linear")
    assert failure["shapes"][:2] == ["1 × 3", "3 × 4"]
    assert "cannot be multiplied" in failure["message"]
    assert content["rows"]["output_shapes"] == ["", "1 × 3", ""]
    assert content["classes"] == []
    assert explorer.figure().axes
    _, numbers = coloured(talk, "deviation")
    assert numbers["first"] > 0
    assert math.isnan(numbers["second"])
    content, found, _ = values(talk, "second")
    assert set(found) == {"weight", "bias"}
    assert "cannot be multiplied" in content["gradient_note"]
    identity = talk.send("overlay", {"sample": 0, "overlay": "gradient", "target": None})
    assert "cannot be multiplied" in talk.last_of(identity)[0]["error"]
    explorer.close()


# --- traits, links, figures, charts --------------------------------------------------------------


def test_any_module_can_be_picked_and_no_other(explorer: Any) -> None:
    for name in ("conv1", "relu:1", ""):
        explorer.layer_name = name
    for name in ("conv9", "relu:x"):
        with pytest.raises(traitlets.TraitError, match="the model has no module"):
            explorer.layer_name = name
    with pytest.raises(traitlets.TraitError):
        explorer.view = "matrix"
    with pytest.raises(traitlets.TraitError):
        explorer.target = "cross_entropy"


def test_linked_explorers_follow_what_is_picked(explorer: Any) -> None:
    features = xw.FeatureExplorer(explorer.live)
    attribution = xw.AttributionExplorer(explorer.live)
    ipywidgets.link((explorer, "layer_name"), (features, "layer_name"))
    ipywidgets.link((explorer, "layer_name"), (attribution, "layer_name"))
    explorer.layer_name = "conv2"
    assert features.layers[features.layer].name == "conv2"
    assert attribution.layers[attribution.layer].name == "conv2"
    features.layer = 3
    assert explorer.layer_name == "relu:1"
    features.close()
    attribution.close()


def test_attention_explorers_follow_a_module_around_theirs() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    live = xw.LiveModel(model, torch.randn(2, 5, 16))
    explorer, attention = xw.StructureExplorer(live), xw.AttentionExplorer(live)
    ipywidgets.link((explorer, "layer_name"), (attention, "layer_name"))
    explorer.layer_name = "layers.2"
    assert attention.layer == 2
    assert explorer.layer_name == "layers.2"
    explorer.close()
    attention.close()


def test_the_backward_graph(talk: Conversation, explorer: Any) -> None:
    content, _ = talk.ask("backward", {"sample": 0, "target": 1})
    assert content["graph"] == explorer.live.backward_graph(0, 1).to_dict()
    assert content["first_sight"] == [""]
    explorer.graph = "backward"
    explorer.target = 1
    assert explorer.data()["graph"] is explorer.live.backward_graph(0, 1)


def texts(figure: Any) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_figures_of_each_view(explorer: Any) -> None:
    shown = texts(explorer.figure())
    assert "conv1  Conv2d" in shown
    assert "1 × 6 × 11 × 13" in shown
    explorer.opened = []
    assert not any("conv1" in text for text in texts(explorer.figure()))
    explorer.view = "layers"
    labels = [label.get_text() for label in explorer.figure().axes[0].get_yticklabels()]
    assert [label.split()[0] for label in labels] == ["(model)", "conv1", "relu", "conv2", "fc"]
    explorer.view, explorer.layer_name = "values", "fc"
    titles = [axes.get_title() for axes in explorer.figure().axes]
    assert titles[:2] == ["output, 1 × 3", "weight, 3 × 10"]


def test_the_data_of_each_view(explorer: Any, model: Net) -> None:
    explorer.overlay = "flops"
    shown = explorer.data()
    assert shown["overlay"]["conv1"] == next(
        row.flops for row in explorer.summary().rows if row.name == "conv1"
    )
    assert isinstance(shown["graph"], StructureGraph)
    explorer.view, explorer.layer_name = "values", "fc"
    shown = explorer.data()
    assert torch.equal(shown["weight"], model.fc.weight)
    assert torch.equal(shown["output"], explorer.live.activation("fc"))
    assert torch.equal(shown["output gradient"], explorer.live.gradient("fc"))


def test_charts_follow_the_picked_module(explorer: Any) -> None:
    pytest.importorskip("bqplot")
    explorer.layer_name = "conv1"
    weights, outputs = explorer.chart("weights"), explorer.chart("outputs")
    gradients = explorer.chart("gradients")
    counted = lambda figure: int(np.sum(figure.marks[0].y))  # noqa: E731
    assert counted(weights) == 6 * 3 * 25
    assert counted(outputs) == counted(gradients) == 6 * 11 * 13
    explorer.layer_name = "fc"
    assert counted(weights) == 30
    assert counted(gradients) == 3
    explorer.layer_name = "relu"
    assert "no parameters of its own" in weights.title


def test_the_model_is_left_as_it_was(model: nn.Module, images: Tensor) -> None:
    model.train()
    model(images).sum().backward()
    with untouched(model):
        explorer = xw.StructureExplorer(model, images)
        talk = Conversation(explorer)
        talk.ask("structure", {"sample": 0})
        for overlay in OVERLAYS:
            talk.ask("overlay", {"sample": 0, "overlay": overlay, "target": None})
        values(talk, "conv2")
        talk.ask("dead", {"layer_name": "relu", "count": 4})
        talk.ask("spectrum", {"layer_name": "fc"})
        talk.ask("backward", {"sample": 0, "target": None})
        for explorer.view in ("layers", "graph", "values"):
            explorer.figure()
        explorer.close()


@pytest.mark.parametrize("kind", ["scripted", "sparse", "complex"])
def test_modules_out_of_the_ordinary(kind: str) -> None:
    made: dict[str, tuple[nn.Module, Tensor]] = {
        "scripted": (
            torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.ReLU())), torch.randn(2, 4),
        ),
        "sparse": (
            nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten(), nn.Linear(12, 2)),
            torch.randint(0, 9, (2, 3)),
        ),
        "complex": (nn.Sequential(nn.Linear(4, 3, dtype=torch.complex64)), torch.randn(2, 4) + 0j),
    }  # fmt: skip
    model, samples = made[kind]
    target = (lambda output: output.abs().sum()) if kind == "complex" else 0
    explorer, talk = explored(model, samples, target=target)
    sent = "custom" if kind == "complex" else 0
    talk.ask("structure", {"sample": 0})
    content, found, _ = values(talk, "0", target=sent)
    assert found["weight"]["count"] == dict(model.named_parameters())["0.weight"].numel()
    if kind != "scripted":  # its parts run below Python: no gradient passes them that could be seen
        assert content["gradient_note"] == ""
        norm = explorer.live.parameter_gradients(0, explorer.target)["0.weight"]
        dense = norm.to_dense() if norm.layout != torch.strided else norm
        assert found["weight gradient"]["norm"] == pytest.approx(float(dense.norm()), rel=1e-5)
    explorer.close()
