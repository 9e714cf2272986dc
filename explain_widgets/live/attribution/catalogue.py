"""All methods of attribution, with what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from explain_widgets.live.attribution.gradients import (
    gradient,
    input_x_gradient,
    layer_grad_cam,
    saliency,
    smooth_grad,
)
from explain_widgets.live.attribution.limits import (
    without_deep_lift,
    without_relevance,
    without_relus,
)
from explain_widgets.live.attribution.methods import Method, Option, Passes
from explain_widgets.live.attribution.paths import (
    gradient_shap,
    integrated_gradients,
    internal_influence,
    layer_conductance,
    neuron_conductance,
)
from explain_widgets.live.attribution.perturbations import (
    feature_ablation,
    feature_permutation,
    occlusion,
    shapley_value_sampling,
)
from explain_widgets.live.attribution.relus import deconvolution, guided_backprop, guided_grad_cam
from explain_widgets.live.attribution.surrogates import kernel_shap, lime
from explain_widgets.live.attribution.through_captum import deep_lift, deep_lift_shap, lrp

_Cost = Callable[[Mapping[str, Any], int], Passes]


_once: _Cost = lambda options, features: Passes(0, 1)  # noqa: E731


_line: _Cost = lambda options, features: Passes(2, options["n_steps"])  # noqa: E731
_BASELINES = Option(
    "baselines",
    None,
    'what the input is compared with: "zero", "mean", "blur", "padding", the index of a sample, a '
    "tensor; None: padding for tokens, else zero",
)
_ROWS = replace(
    _BASELINES, words='as a baseline, or several: "samples", or a tensor of several rows'
)
_SEED = Option("seed", 0, "of all that is drawn at random", 0)
_MASK = Option(
    "feature_mask",
    None,
    "whole numbers that are equal where values are one feature; None: tokens, squares of an "
    "image, single values of a table",
)
_ABLATION_COST: _Cost = lambda options, features: Passes(1 + features)  # noqa: E731


def _steps(default: int, low: int = 1) -> Option:
    return Option("n_steps", default, "points along the path", low, 10_000)


def _samples(name: str, default: int, words: str) -> Option:
    return Option(name, default, words, 1, 100_000)


_METHODS = (
    Method(
        "gradient", "Gradient", "how the target changes with each value",
        "Simonyan et al. 2014, Deep Inside Convolutional Networks", gradient, _once,
        layer="optional",
    ),
    Method(
        "saliency", "Saliency", "the gradient without its sign",
        "Simonyan et al. 2014, Deep Inside Convolutional Networks", saliency, _once,
        (Option("abs", True, "without the sign", choices=(True, False)),), layer="optional",
    ),
    Method(
        "input_x_gradient", "Input × gradient",
        "the gradient times the input, or times the activation of a layer",
        "Shrikumar et al. 2016, Not Just a Black Box", input_x_gradient, _once, layer="optional",
    ),
    Method(
        "grad_cam", "Grad-CAM", "the maps of a layer, weighted by the mean gradient of each",
        "Selvaraju et al. 2017, Grad-CAM", layer_grad_cam, _once,
        (Option("relu_attributions", False, "positive values only", choices=(True, False)),),
        layer="required",
    ),
    Method(
        "smooth_grad", "SmoothGrad", "the mean gradient under noise",
        "Smilkov et al. 2017, SmoothGrad", smooth_grad,
        lambda options, features: Passes(1, options["nt_samples"]),
        (
            _samples("nt_samples", 20, "noisy samples"),
            Option("stdevs", 0.15, "deviation of the noise, of the range of the input", 0, 10),
            Option("nt_type", "smoothgrad", "mean, mean of squares, or variance",
                   choices=("smoothgrad", "smoothgrad_sq", "vargrad")),
            _SEED,
        ),
        layer="optional", is_progressive=True,
    ),
    Method(
        "integrated_gradients", "Integrated gradients",
        "the mean gradient from a baseline to the input, times their difference",
        "Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks", integrated_gradients,
        _line,
        (
            _steps(50), _BASELINES,
            Option("quadrature", "gauss_legendre", "how the mean is taken",
                   choices=("gauss_legendre", "midpoint", "trapezoid")),
            Option("tolerance", None, "double the points until the gap is this share of the "
                   "difference", 0, 1),
        ),
        layer="optional", is_progressive=True,
    ),
    Method(
        "conductance", "Conductance", "what flows through each unit of a layer to the target",
        "Dhamdhere et al. 2018, How Important Is a Neuron?", layer_conductance,
        lambda options, features: Passes(0, options["n_steps"]),
        (_steps(10, 2), _BASELINES), layer="required", is_progressive=True,
    ),
    Method(
        "internal_influence", "Internal influence",
        "the mean gradient of a layer from a baseline to the input",
        "Leino et al. 2018, Influence-Directed Explanations", internal_influence,
        lambda options, features: Passes(0, options["n_steps"]),
        (_steps(50), _BASELINES), layer="required", is_progressive=True,
    ),
    Method(
        "gradient_shap", "GradientShap",
        "the mean of gradient × difference at random points between baselines and input",
        "Lundberg and Lee 2017, A Unified Approach; Erion et al. 2021, expected gradients",
        gradient_shap, lambda options, features: Passes(2, options["n_samples"]),
        (
            _samples("n_samples", 20, "random points"),
            Option("stdevs", 0.0, "deviation of the noise, of the range of the input", 0, 10),
            _ROWS, _SEED,
        ),
        is_progressive=True,
    ),
    Method(
        "guided_backprop", "Guided backpropagation",
        "the gradient, of which ReLUs pass only what is positive",
        "Springenberg et al. 2015, Striving for Simplicity", guided_backprop, _once,
        limit=without_relus,
    ),
    Method(
        "deconvolution", "Deconvolution",
        "the gradient, of which ReLUs pass what is positive, open or not",
        "Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks",
        deconvolution, _once, limit=without_relus,
    ),
    Method(
        "guided_grad_cam", "Guided Grad-CAM", "guided backpropagation times the Grad-CAM",
        "Selvaraju et al. 2017, Grad-CAM", guided_grad_cam,
        lambda options, features: Passes(0, 2),
        (Option("interpolate_mode", "nearest", "how the map is enlarged",
                choices=("nearest", "bilinear", "bicubic", "nearest-exact")),),
        layer="required", limit=without_relus,
    ),
    Method(
        "occlusion", "Occlusion", "how much the target falls when a window is replaced",
        "Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks", occlusion,
        _ABLATION_COST,
        (
            Option("sliding_window_shapes", None, "size of the window along each axis"),
            Option("strides", None, "its steps; None: half the window"), _BASELINES,
        ),
        is_progressive=True,
    ),
    Method(
        "feature_ablation", "Feature ablation",
        "how much the target falls when a feature is replaced", "Captum, FeatureAblation",
        feature_ablation, _ABLATION_COST, (_MASK, _BASELINES), is_progressive=True,
    ),
    Method(
        "feature_permutation", "Feature permutation",
        "how much the target falls when a feature is that of other samples",
        "Fisher et al. 2019, All Models Are Wrong, but Many Are Useful", feature_permutation,
        lambda options, features: Passes(1 + features * options["n_samples"]),
        (_MASK, _samples("n_samples", 8, "other samples")), is_progressive=True,
    ),
    Method(
        "shapley_value_sampling", "Shapley value sampling",
        "what a feature adds, the mean over random orders",
        "Castro et al. 2009, Polynomial Calculation of the Shapley Value",
        shapley_value_sampling,
        lambda options, features: Passes(2 + (features - 1) * options["n_samples"]),
        (_samples("n_samples", 25, "random orders"), _MASK, _BASELINES, _SEED),
        is_progressive=True,
    ),
    Method(
        "deep_lift", "DeepLIFT", "differences of activations, taken back by the rescale rule",
        "Shrikumar et al. 2017, Learning Important Features", deep_lift,
        lambda options, features: Passes(3, 2),
        (_BASELINES, Option("eps", 1e-10, "least difference that counts", 0, 1)),
        limit=without_deep_lift,
    ),
    Method(
        "deep_lift_shap", "DeepLiftShap", "DeepLIFT against several baselines, the mean",
        "Lundberg and Lee 2017, A Unified Approach to Interpreting Model Predictions",
        deep_lift_shap, lambda options, features: Passes(3, 2),
        (replace(_ROWS, default="samples"),), limit=without_deep_lift,
    ),
    Method(
        "lrp", "Layer-wise relevance propagation",
        "the output, handed down from layer to layer by the ε-rule",
        "Bach et al. 2015, On Pixel-Wise Explanations", lrp,
        lambda options, features: Passes(1, 1), limit=without_relevance,
    ),
    Method(
        "lime", "LIME", "a sparse linear model of the target over which features are there",
        "Ribeiro et al. 2016, Why Should I Trust You?", lime,
        lambda options, features: Passes(2 + options["n_samples"]),
        (
            _samples("n_samples", 100, "random sets of features"), _MASK, _BASELINES,
            Option("alpha", 0.01, "penalty of the linear model: a larger one leaves fewer", 0, 1e6),
            _SEED,
        ),
        is_progressive=True,
    ),
    Method(
        "kernel_shap", "KernelShap", "Shapley values by a weighted linear model",
        "Lundberg and Lee 2017, A Unified Approach to Interpreting Model Predictions", kernel_shap,
        lambda options, features: Passes(2 + options["n_samples"]),
        (_samples("n_samples", 100, "random sets of features"), _MASK, _BASELINES, _SEED),
        is_progressive=True,
    ),
)  # fmt: skip

_NEURON = Option(
    "neuron_selector",
    0,
    "index of the neuron: a number, (channel, row, column), or a callable from the layer's output "
    "to a scalar",
)
_OF_NEURONS = ("gradient", "integrated_gradients", "gradient_shap", "guided_backprop",
               "deconvolution", "feature_ablation")  # fmt: skip


def _of_neuron(method: Method) -> Method:
    """The same with a neuron of a layer as the target."""
    return replace(
        method,
        name=f"neuron_{method.name}",
        title=f"{method.title} of a neuron",
        definition=f"{method.definition} (the target is a neuron)",
        options=(_NEURON, *method.options),
        layer="required",
        of_neuron=True,
    )


def _all() -> dict[str, Method]:
    plain = {method.name: method for method in _METHODS}
    flow = Method(
        "neuron_conductance", "Conductance of a neuron",
        "what flows from each value of the input through a neuron to the target",
        "Dhamdhere et al. 2018, How Important Is a Neuron?", neuron_conductance,
        lambda options, features: Passes(1, options["n_steps"]),
        (_NEURON, _steps(50), _BASELINES), layer="required", is_progressive=True, of_neuron=True,
    )  # fmt: skip
    variants = [*(_of_neuron(plain[name]) for name in _OF_NEURONS), flow]
    return plain | {method.name: method for method in variants}


METHODS: dict[str, Method] = _all()
"""The methods by name."""
