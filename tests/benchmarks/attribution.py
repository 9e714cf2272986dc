"""What attributions cost beside a bare forward and backward, and beside Captum called directly.

    python tests/benchmarks/attribution.py [--model vgg16 resnet] [--rounds 3] [--only pass path …]

CPU time of one thread, contenders in turns in one process, after a round that warms up; the median
of the rounds, and of their ratios to the first contender with the quartiles. Memory as the largest
resident size above that before, each in a process of its own: as it is, and with every large tensor
mapped by itself, where nothing is counted that the C library keeps of what was freed.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import multiprocessing
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import explain_widgets as xw

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

NEURON = (3, 2, 2)  # channel, row and column
TARGET = 3
STEPS = 50


class Block(nn.Module):
    """A basic block of ResNet-18, every module called once."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(after), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(after), nn.ReLU(inplace=True)
        same = stride == 1 and before == after
        self.shortcut = None if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        return self.relu2(inner + (maps if self.shortcut is None else self.shortcut(maps)))


def resnet() -> nn.Module:
    """ResNet-18 (He et al. 2016) with random weights."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    before = 64
    for after in (64, 128, 256, 512):
        layers += [Block(before, after, 1 if after == 64 else 2), Block(after, after, 1)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def vgg16() -> nn.Module:
    from small_networks import Vgg16

    return Vgg16(narrow=1, classes=1000)


MODELS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "vgg16": (vgg16, "features.28"),
    "resnet": (resnet, "10.conv2"),
}


def bare(model: nn.Module, x: Tensor) -> None:
    """A forward and a backward to the input, by hand."""
    leaf = x.clone().requires_grad_()
    torch.autograd.grad(model(leaf)[0, TARGET], leaf)


def ours(model: nn.Module, x: Tensor, method: str, **options: Any) -> Callable[[], None]:
    """A question that nothing is kept for."""
    live = xw.LiveModel(model, x)
    live.modules()

    def ask() -> None:
        live.refresh()
        live.modules()  # not counted: it is there before anything is asked
        started = time.process_time()
        live.attribute(method, 0, TARGET, **options)
        ask.seconds = time.process_time() - started  # type: ignore[attr-defined]

    return ask


def all_layers(model: nn.Module, x: Tensor) -> Callable[[], None]:
    """Grad-CAM of all convolutions, and the gradient at the input: one pass reads all modules."""
    live = xw.LiveModel(model, x)
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]

    def ask() -> None:
        live.refresh()
        live.modules()
        started = time.process_time()
        # One question, as of a widget that shows them all.
        with live._reading():
            live.read_gradients(0, TARGET)
            live.attribute("gradient", 0, TARGET)
            for name in names:
                live.attribute("grad_cam", 0, TARGET, name)
        ask.seconds = time.process_time() - started  # type: ignore[attr-defined]

    return ask


def contenders(model: nn.Module, x: Tensor, layer: str) -> dict[str, dict[str, Callable[[], None]]]:
    """By group; in each the first is what the others are held against."""
    from captum import attr

    # Captum leaves things on a model that it has run on, which would be looked at anew each time.
    theirs = copy.deepcopy(model)
    inner = theirs.get_submodule(layer)
    leaf = x.clone()
    by_hand = {"bare forward + backward": lambda: bare(model, x)}
    return {
        "pass": by_hand
        | {
            "gradient": ours(model, x, "gradient"),
            "input × gradient": ours(model, x, "input_x_gradient"),
            "Grad-CAM": ours(model, x, "grad_cam", layer=layer),
            "Grad-CAM of all convolutions, and gradient": all_layers(model, x),
        },
        "path": by_hand
        | {
            f"integrated gradients, {STEPS}": ours(model, x, "integrated_gradients"),
            f"Captum, {STEPS}": lambda: attr.IntegratedGradients(theirs).attribute(
                leaf, target=TARGET, n_steps=STEPS
            ),
            # Ours always says it.
            f"Captum, {STEPS}, with its gap": lambda: attr.IntegratedGradients(theirs).attribute(
                leaf, target=TARGET, n_steps=STEPS, return_convergence_delta=True
            ),
            # As many points at once as 2.5 times the memory of a pass allows of ResNet-18.
            f"Captum, {STEPS}, with its gap, in pairs": (
                lambda: attr.IntegratedGradients(theirs).attribute(
                    leaf, target=TARGET, n_steps=STEPS, return_convergence_delta=True,
                    internal_batch_size=2,
                )
            ),
        },
        "flow": by_hand
        | {"conductance of all layers, 10": ours(model, x, "conductance", layer=layer)},
        "guided": {
            "Captum's": lambda: attr.GuidedBackprop(theirs).attribute(leaf, TARGET),
            "guided backpropagation": ours(model, x, "guided_backprop"),
        },
        "deconvolution": {
            "Captum's": lambda: attr.Deconvolution(theirs).attribute(leaf, TARGET),
            "deconvolution": ours(model, x, "deconvolution"),
        },
        "guided_cam": {
            "Captum's": lambda: attr.GuidedGradCam(theirs, inner).attribute(leaf, TARGET),
            "guided Grad-CAM": ours(model, x, "guided_grad_cam", layer=layer),
        },
        "deep_lift": {
            "Captum's": lambda: attr.DeepLift(theirs).attribute(
                leaf, target=TARGET, return_convergence_delta=True
            ),
            "DeepLIFT": ours(model, x, "deep_lift"),
        },
        "lrp": {
            "Captum's": lambda: attr.LRP(theirs).attribute(
                leaf, TARGET, return_convergence_delta=True
            ),
            "LRP": ours(model, x, "lrp"),
        },
        "occlusion": {
            "Captum's": lambda: attr.Occlusion(theirs).attribute(
                leaf, (3, 56, 56), strides=(3, 56, 56), target=TARGET
            ),
            "occlusion, 16 windows": ours(
                model, x, "occlusion", sliding_window_shapes=(3, 56, 56), strides=(3, 56, 56)
            ),
        },
        "shapley": {
            "Captum's": lambda: attr.ShapleyValueSampling(theirs).attribute(
                leaf, target=TARGET, feature_mask=quarters(), n_samples=4
            ),
            "Shapley values, 4 × 16": ours(
                model, x, "shapley_value_sampling", feature_mask=quarters(), n_samples=4
            ),
        },
        "kernel": {
            "Captum's": lambda: attr.KernelShap(theirs).attribute(
                leaf, target=TARGET, feature_mask=quarters(), n_samples=40
            ),
            "KernelShap, 40": ours(
                model, x, "kernel_shap", feature_mask=quarters(), n_samples=40
            ),
        },
        "lime": {
            "Captum's": lambda: attr.Lime(theirs).attribute(
                leaf, target=TARGET, feature_mask=quarters(), n_samples=40
            ),
            "LIME, 40": ours(model, x, "lime", feature_mask=quarters(), n_samples=40),
        },
        "deep_lift_shap": {
            "Captum's": lambda: attr.DeepLiftShap(theirs).attribute(
                leaf, others(), target=TARGET, return_convergence_delta=True
            ),
            "DeepLiftShap, 3": ours(model, x, "deep_lift_shap", baselines=others()),
        },
        "gradient_shap": {
            "Captum's": lambda: attr.GradientShap(theirs).attribute(
                leaf, torch.zeros_like(leaf), target=TARGET, n_samples=8,
                return_convergence_delta=True,
            ),
            "GradientShap, 8": ours(model, x, "gradient_shap", n_samples=8),
        },
        "ablation": {
            "Captum's": lambda: attr.FeatureAblation(theirs).attribute(
                leaf, target=TARGET, feature_mask=quarters()
            ),
            "feature ablation, 16": ours(model, x, "feature_ablation", feature_mask=quarters()),
        },
        "influence": {
            "Captum's, one convolution after the other": lambda: [
                attr.InternalInfluence(theirs, one).attribute(leaf, target=TARGET, n_steps=10)
                for one in theirs.modules()
                if isinstance(one, nn.Conv2d)
            ],
            "internal influence of all layers, 10": ours(
                model, x, "internal_influence", layer=layer, n_steps=10
            ),
        },
        "neuron": {
            "Captum's": lambda: attr.NeuronGradient(theirs, inner).attribute(leaf, NEURON),
            "gradient of a neuron": ours(
                model, x, "neuron_gradient", layer=layer, neuron_selector=NEURON
            ),
        },
        "neuron_path": {
            "Captum's": lambda: attr.NeuronConductance(theirs, inner).attribute(
                leaf, NEURON, target=TARGET, n_steps=10
            ),
            "conductance of a neuron, 10": ours(
                model, x, "neuron_conductance", layer=layer, neuron_selector=NEURON, n_steps=10
            ),
        },
        "neuron_points": {
            "Captum's": lambda: attr.NeuronIntegratedGradients(theirs, inner).attribute(
                leaf, NEURON, n_steps=10
            ),
            "Captum's, and the forwards of a gap": lambda: (
                attr.NeuronIntegratedGradients(theirs, inner).attribute(leaf, NEURON, n_steps=10),
                both_ends(theirs, x),
            ),
            "integrated gradients of a neuron, 10": ours(
                model, x, "neuron_integrated_gradients", layer=layer, neuron_selector=NEURON,
                n_steps=10,
            ),
        },
        "neuron_shap": {
            "Captum's": lambda: attr.NeuronGradientShap(theirs, inner).attribute(
                leaf, NEURON, torch.zeros_like(leaf), n_samples=8
            ),
            "Captum's, and the forwards of a gap": lambda: (
                attr.NeuronGradientShap(theirs, inner).attribute(
                    leaf, NEURON, torch.zeros_like(leaf), n_samples=8
                ),
                both_ends(theirs, x),
            ),
            "GradientShap of a neuron, 8": ours(
                model, x, "neuron_gradient_shap", layer=layer, neuron_selector=NEURON, n_samples=8
            ),
        },
        "neuron_ablation": {
            "Captum's": lambda: attr.NeuronFeatureAblation(theirs, inner).attribute(
                leaf, NEURON, feature_mask=quarters()
            ),
            "feature ablation of a neuron, 16": ours(
                model, x, "neuron_feature_ablation", layer=layer, neuron_selector=NEURON,
                feature_mask=quarters(),
            ),
        },
        "neuron_deconvolution": {
            "Captum's": lambda: attr.NeuronDeconvolution(theirs, inner).attribute(leaf, NEURON),
            "deconvolution of a neuron": ours(
                model, x, "neuron_deconvolution", layer=layer, neuron_selector=NEURON
            ),
        },
        "neuron_guided": {
            "Captum's": lambda: attr.NeuronGuidedBackprop(theirs, inner).attribute(leaf, NEURON),
            "guided backpropagation of a neuron": ours(
                model, x, "neuron_guided_backprop", layer=layer, neuron_selector=NEURON
            ),
        },
    }  # fmt: skip


def both_ends(model: nn.Module, x: Tensor) -> None:
    """What a completeness gap cannot be without: the model on the input, and on the baseline."""
    with torch.no_grad():
        model(x)
        model(torch.zeros_like(x))


def quarters() -> Tensor:
    """Sixteen squares of an image of 224²."""
    rows = torch.arange(224) // 56
    return (rows[:, None] * 4 + rows)[None, None]


def others() -> Tensor:
    """Three images to start from."""
    return torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def seconds(question: Callable[[], None]) -> float:
    gc.collect()
    started = time.process_time()
    question()
    took = time.process_time() - started
    return getattr(question, "seconds", took)


def compare(name: str, only: list[str], rounds: int, warm: bool) -> None:
    make, layer = MODELS[name]
    torch.manual_seed(0)
    model, x = make().eval(), torch.randn(1, 3, 224, 224)
    for group, questions in contenders(model, x, layer).items():
        if only and group not in only:
            continue
        times: dict[str, list[float]] = {key: [] for key in questions}
        for number in range(rounds + warm):
            for key, question in questions.items():
                try:
                    took = seconds(question)
                except Exception as error:  # noqa: BLE001 (a contender that cannot)
                    print(f"{name} · {key}: {type(error).__name__}: {str(error)[:90]}")
                    took = float("nan")
                if number >= warm:
                    times[key].append(took)
        first = next(iter(times.values()))
        for key, taken in times.items():
            ratios = [one / other for one, other in zip(taken, first, strict=True)]
            low, middle, high = quartiles(ratios)
            print(
                f"{name} · {group} · {key}: {statistics.median(taken):.3f} s, "
                f"{middle:.3f} × ({low:.3f}…{high:.3f})",
                flush=True,
            )


def quartiles(numbers: list[float]) -> list[float]:
    return numbers * 3 if len(numbers) == 1 else statistics.quantiles(numbers, method="inclusive")


_M_MMAP_THRESHOLD = -3


def _peak(name: str, what: str, is_mapped: bool, queue: Any) -> None:
    if is_mapped:
        ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, 2**17)
    torch.set_num_threads(1)
    make, layer = MODELS[name]
    model, x = make().eval(), torch.randn(1, 3, 224, 224)
    question = contenders(model, x, layer)["path"][what]
    with torch.no_grad():
        model(x[:, :, :64, :64])  # what is loaded at the first call
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed before is no room for what comes
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident("VmRSS")
    question()
    queue.put(_resident("VmHWM") - before)


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def memory(name: str) -> None:
    context = multiprocessing.get_context("spawn")
    for is_mapped in (False, True):
        found = {}
        for what in ("bare forward + backward", f"integrated gradients, {STEPS}"):
            queue = context.Queue()
            process = context.Process(target=_peak, args=(name, what, is_mapped, queue))
            process.start()
            found[what] = queue.get()
            process.join()
        first = next(iter(found.values()))
        how = "memory, tensors mapped" if is_mapped else "memory"
        for what, size in found.items():
            share = f"{size / 2**20:.0f} MiB, {size / first:.2f} ×"
            print(f"{name} · {how} · {what}: {share}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", nargs="+", default=list(MODELS))
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="no round to warm up")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for chosen in options.model:
        compare(chosen, options.only, options.rounds, not options.cold)
        if not options.only or "memory" in options.only:
            memory(chosen)
