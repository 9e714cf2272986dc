"""Operations with windows: convolutions, pooling, resizing, padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from explain_widgets.analysis.alignment import IndexMap
from explain_widgets.live.modules import Shape, shape
from explain_widgets.live.tracing.operation import Operation, numbers_of, rule
from explain_widgets.live.tracing.traced import Factor, Traced, TracedAxis, plain_axis, untraced


def _spatial(
    traced: Traced, count: int, size: Shape, change: Callable[[int, IndexMap, int], IndexMap]
) -> Traced:
    """The last ``count`` axes by ``change``: (which of them, its map, results) → its map."""
    before = traced.axes[:-count]
    axes, is_partial = list(before), traced.is_partial
    for n in range(count):
        axis, results = traced.axes[len(before) + n], size[len(size) - count + n]
        plain = axis.plain
        if plain is not None and plain.map is not None:
            axes.append(plain_axis(Factor(results, plain.source, change(n, plain.map, results))))
            continue
        is_partial = is_partial or bool(axis.sources)
        axes.append(untraced(results))
    return replace(traced, axes=tuple(axes), is_partial=is_partial)


@rule("convolution", "_convolution")
def _convolution(operation: Operation) -> list[Traced | None]:
    weight, size = operation["weight"], shape(operation.first_result)
    count = weight.ndim - 2
    kernel = weight.shape[2:]
    stride, padding, dilation = (
        numbers_of(operation[name], count) for name in ("stride", "padding", "dilation")
    )

    def change(n: int, before: IndexMap, results: int) -> IndexMap:
        window = before.transposed if operation["transposed"] else before.windows
        return window(kernel[n], stride[n], padding[n], dilation[n], results)

    traced = operation.known(operation["input"])
    found = _spatial(traced, count, size, change)
    axes = list(found.axes)
    axes[1] = untraced(size[1])
    own = operation.traced(weight)  # filters that are computed from the input
    mixed = traced.axes[1].sources | (own.sources if own else frozenset())
    is_partial = found.is_partial or bool(own and own.is_partial)
    return [replace(found, axes=tuple(axes), whole=found.whole | mixed, is_partial=is_partial)]


@rule(
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "max_pool2d", "max_pool3d", "mkldnn_max_pool2d",
)  # fmt: skip
def _pooling(operation: Operation) -> list[Traced | None]:
    count = int(next(c for c in operation.name if c.isdigit()))
    kernel = numbers_of(operation["kernel_size"], count)
    stride = numbers_of(operation.get("stride") or kernel, count)
    padding = numbers_of(operation.get("padding", 0), count)
    dilation = numbers_of(operation.get("dilation", 1), count)

    def change(n: int, before: IndexMap, results: int) -> IndexMap:
        return before.windows(kernel[n], stride[n], padding[n], dilation[n], results)

    traced = operation.known(operation["self"])
    return [_spatial(traced, count, shape(operation.first_result), change)] * 2


@rule(
    "adaptive_avg_pool1d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
)  # fmt: skip
def _adaptive(operation: Operation) -> list[Traced | None]:
    count = int(next(c for c in operation.name if c.isdigit()))
    traced = operation.known(operation["self"])
    size = shape(operation.first_result)
    return [_spatial(traced, count, size, lambda n, before, results: before.adaptive(results))] * 2


@rule(
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "upsample_linear1d",
    "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d",
)  # fmt: skip
def _resizing(operation: Operation) -> list[Traced | None]:
    name = operation.name
    count = int(next(c for c in name if c.isdigit()))
    given = operation.get("scale_factors") or [
        operation.get(f"scales{end}")
        for end in (["_d", "_h", "_w"][3 - count :] if count > 1 else [""])
    ]

    def change(n: int, before: IndexMap, results: int) -> IndexMap:
        places = np.arange(results)
        scale = 1 / given[n] if given[n] else len(before) / results
        if "nearest" in name:
            picked = np.floor((places + 0.5 * ("exact" in name)) * scale).astype(np.int64)
            return before.taken(np.minimum(picked, len(before) - 1), scale)
        source: npt.NDArray[np.floating] = (places + 0.5) * scale - 0.5
        if operation.get("align_corners"):
            source = 1.0 * places * ((len(before) - 1) / max(results - 1, 1))
        cubic = "cubic" in name
        return before.interpolated(source, (1, 2) if cubic else (0, 1), not cubic)

    traced = operation.known(operation.args[0])
    return [_spatial(traced, count, shape(operation.first_result), change)]


@rule(
    "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
    "replication_pad1d", "replication_pad2d", "replication_pad3d",
)  # fmt: skip
def _padding(operation: Operation) -> list[Traced | None]:
    name = operation.name
    pad = list(operation.get("pad") or operation["padding"])
    mode = name.split("_")[0].replace("reflection", "reflect")
    axes = list(operation.known(operation["self"]).axes)
    for n in range(len(pad) // 2):
        before, after = pad[2 * n : 2 * n + 2]
        axis = axes[-1 - n]
        plain = axis.plain
        size = axis.size + before + after
        if plain is not None and plain.map is not None:
            padded = plain.map.padded(before, after, mode)
            axes[-1 - n] = plain_axis(Factor(size, plain.source, padded))
        elif before >= 0 <= after and mode == "constant":
            axes[-1 - n] = TracedAxis(size, axis.factors, axis.start + before)
        else:
            return []
    return [operation.known(operation["self"]).with_axes(axes)]


@rule("pixel_shuffle", "pixel_unshuffle")
def _pixel_shuffle(operation: Operation) -> list[Traced | None]:
    factor = operation.get("upscale_factor") or operation["downscale_factor"]
    traced = operation.known(operation["self"])
    shuffled = operation.name == "pixel_shuffle"

    def change(_: int, before: IndexMap, results: int) -> IndexMap:
        if shuffled:
            return before.taken(np.arange(results) // factor, 1 / factor)
        return before.windows(factor, factor, 0, 1, results)

    size = shape(operation.first_result)
    found = _spatial(traced, 2, size, change)
    return [replace(found, axes=(*found.axes[:-3], untraced(size[-3]), *found.axes[-2:]))]
