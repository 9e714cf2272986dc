"""The weights that a convolution or linear layer computes with, whatever they are made of."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explain_widgets.live.errors import LayerError
from explain_widgets.live.modules import library_classes, model_device

_CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d")
_TRANSPOSED = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
_LINEAR = ("Linear", "Conv1D")  # the second: of transformers' GPT-2
_OF_TORCH = (*_CONVOLUTIONS, *_TRANSPOSED, "Linear")


@dataclass(frozen=True)
class Geometry:
    """What a layer with filters computes.

    ``kernel``, ``stride``, ``padding``, ``dilation``: one number an axis; a linear layer has none.
    """

    inputs: int
    outputs: int
    groups: int = 1
    is_transposed: bool = False
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()


def geometry(module: nn.Module) -> Geometry | None:
    """What a convolution or linear layer computes, also one that adapters stand around."""
    found = _own_geometry(module)
    if found is not None:
        return found
    base = getattr(module, "base_layer", None)
    own = (*module.named_parameters(recurse=False), *module.named_children())
    is_adapted = any(name.lower().startswith("lora_") for name, _ in own)
    candidates = [base] if isinstance(base, nn.Module) else list(module.children()) * is_adapted
    inside = (_own_geometry(candidate) for candidate in candidates)
    found = next((one for one in inside if one is not None), None)
    if found is None and is_adapted and _are_numbers(module, "in_features", "out_features"):
        return Geometry(module.in_features, module.out_features)  # type: ignore[arg-type]
    return found


def _own_geometry(module: Any) -> Geometry | None:
    kind = _kind(module)
    if kind in _LINEAR:
        sizes = ("nx", "nf") if kind == "Conv1D" else ("in_features", "out_features")
        return Geometry(*(getattr(module, size) for size in sizes))
    if kind not in (*_CONVOLUTIONS, *_TRANSPOSED):
        return None
    kernel, dilation = tuple(module.kernel_size), tuple(module.dilation)
    padding = module.padding
    if isinstance(padding, str):
        reach = [(size - 1) * by for size, by in zip(kernel, dilation, strict=True)]
        padding = tuple(r // 2 if padding == "same" else 0 for r in reach)
    return Geometry(
        module.in_channels,
        module.out_channels,
        module.groups,
        kind in _TRANSPOSED,
        kernel,
        tuple(module.stride),
        tuple(padding),
        dilation,
    )


def _kind(module: nn.Module) -> str | None:
    """The class of torch that it is, also below a class of the user's, or scripted."""
    kinds = (*_CONVOLUTIONS, *_TRANSPOSED, *_LINEAR)
    return next((name for name in library_classes(module) if name in kinds), None)


def _are_numbers(module: nn.Module, *names: str) -> bool:
    return all(isinstance(getattr(module, name, None), int) for name in names)


def stored_weight(module: Any) -> Tensor | None:
    """A copy of the weight that a layer keeps; None: it is made anew in every forward."""
    if inspect.isfunction(getattr(type(module), "weight", None)):  # quantised by torch
        return module.weight().dequantize().detach()
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    if weight is None or weight.is_meta or not weight.is_floating_point():
        return None
    if module._forward_pre_hooks or module._forward_hooks or hasattr(module, "parametrizations"):
        return None
    if not _has_plain_forward(module):
        return None
    return (weight.detach().t() if _kind(module) == "Conv1D" else weight.detach()).clone()


def _has_plain_forward(module: nn.Module) -> bool:
    """Whether its forward is that of its class in torch, or of transformers' Conv1D."""
    if "forward" in vars(module):
        return False
    if _kind(module) == "Conv1D":
        return type(module).__module__.startswith("transformers.")
    return any(type(module).forward is getattr(nn, kind).forward for kind in _OF_TORCH)


def computed_weight(module: nn.Module, layer: Geometry, name: str) -> Tensor:
    """The weight that a layer computes with, from what it makes of an input.

    A layer that computes W x + b has W as its derivative, however W is made: normalised,
    parametrised, quantised or adapted.

    Raises
    ------
    LayerError
        When its answer to other numbers is not W x + b.
    """
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    probe = _Probe(module, layer, like.dtype, model_device(module))
    weight = probe.stamps() if layer.is_transposed else probe.derivative()
    if not probe.explains(weight):
        raise LayerError(f"Layer {name!r} does not compute with one weight: it has no filters.")
    return weight


class _Probe:
    """Inputs for a layer that show its weight."""

    def __init__(
        self, module: nn.Module, layer: Geometry, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._module, self._layer = module, layer
        self._place: dict[str, Any] = {"dtype": dtype, "device": device}
        axes = list(zip(layer.kernel, layer.stride, layer.padding, layer.dilation, strict=True))
        # The first result whose window begins inside, behind the padding; the first input whose
        # stamp does, of a transposed one.
        self._at = tuple(-(-p // s) for _, s, p, _ in axes)
        starts = [at * s - p for at, (_, s, p, _) in zip(self._at, axes, strict=True)]
        if layer.is_transposed:
            self._sides = tuple(2 * at + 1 for at in self._at)
        else:
            self._sides = tuple(
                start + (size - 1) * by + 1 + p
                for start, (size, _, p, by) in zip(starts, axes, strict=True)
            )
        self._taps = [
            start + by * torch.arange(size, device=device)
            for start, (size, _, _, by) in zip(starts, axes, strict=True)
        ]

    def derivative(self) -> Tensor:
        """Of each result, in an input of its own."""
        layer = self._layer
        own = torch.arange(layer.outputs, device=self._place["device"])
        index: tuple[Any, ...] = (own, own, *self._at)
        with torch.enable_grad():
            x = torch.zeros(layer.outputs, layer.inputs, *self._sides, **self._place)
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(self._module(x)[index].sum(), x)
        return self._of_groups(self._tapped(gradient), layer.outputs, layer.inputs)

    def stamps(self) -> Tensor:
        """What a transposed convolution makes of a 1 in each of its inputs."""
        layer = self._layer
        own = torch.arange(layer.inputs, device=self._place["device"])
        with torch.no_grad():
            x = torch.zeros(layer.inputs, layer.inputs, *self._sides, **self._place)
            without = self._module(x[:1])
            index: tuple[Any, ...] = (own, own, *self._at)
            x[index] = 1
            stamps = self._module(x) - without
        return self._of_groups(self._tapped(stamps), layer.inputs, layer.outputs)

    def explains(self, weight: Tensor) -> bool:
        """Whether the layer's answer to random numbers is that of the weight."""
        layer = self._layer
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            x = torch.randn(4, layer.inputs, *self._sides, generator=generator).to(**self._place)
            found = self._module(x) - self._module(torch.zeros_like(x[:1]))
            if layer.is_transposed:
                expected = self._apply(x, weight, layer.padding)
                for axis, size in enumerate(expected.shape[2:], start=2):
                    found = found.narrow(axis, 0, size)
            else:
                for axis, at in enumerate(self._at, start=2):
                    found = found.narrow(axis, at, 1)
                found = found.flatten(1)
                expected = self._apply(self._window(x), weight, (0,) * len(layer.kernel)).flatten(1)
        # Rounded anew in the dtype of the layer, and summed in another order.
        most = 200 * torch.finfo(found.dtype).eps * float(expected.abs().max())
        return bool((found - expected).abs().max() <= most)

    def _tapped(self, values: Tensor) -> Tensor:
        for axis, taps in enumerate(self._taps, start=2):
            values = values.index_select(axis, taps)
        return values

    def _window(self, x: Tensor) -> Tensor:
        for axis, taps in enumerate(self._taps, start=2):
            x = x.narrow(axis, int(taps[0]), int(taps[-1] - taps[0]) + 1)
        return x

    def _of_groups(self, values: Tensor, ones: int, others: int) -> Tensor:
        """(ones, others, …) → (ones, others ÷ groups, …): those of the group of each."""
        size = others // self._layer.groups
        own = torch.arange(ones, device=values.device)
        group = own // (ones // self._layer.groups)
        return values[own[:, None], group[:, None] * size + torch.arange(size, device=own.device)]

    def _apply(self, x: Tensor, weight: Tensor, padding: tuple[int, ...]) -> Tensor:
        layer = self._layer
        if not layer.kernel:
            return F.linear(x, weight)
        apply = getattr(F, f"conv{'_transpose' * layer.is_transposed}{len(layer.kernel)}d")
        options = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
        result: Tensor = apply(x, weight, padding=padding, **options)
        return result
