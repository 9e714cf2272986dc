"""Operations that mix what lies along axes: reductions, normalisation, products, attention."""

from __future__ import annotations

from explain_widgets.live.modules import shape
from explain_widgets.live.tracing.operation import Operation, dims_of, rule
from explain_widgets.live.tracing.traced import Traced, broadcast, together, untraced


@rule(
    "mean", "sum", "nansum", "prod", "amax", "amin", "max", "min", "var", "std", "var_mean", "norm",
    "std_mean", "linalg_vector_norm", "logsumexp", "any", "all", "median", "argmax", "argmin",
)  # fmt: skip
def _reduction(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation.args[0])
    dims = dims_of(operation.get("dim"), len(traced.axes))
    keep = bool(operation.get("keepdim", False))
    axes = [
        untraced(1) if n in dims else axis
        for n, axis in enumerate(traced.axes)
        if keep or n not in dims
    ]
    return [traced.with_axes(axes, dims)] * len(operation.results)


@rule("_softmax", "_log_softmax", "_safe_softmax", "cumsum", "logcumsumexp", "cumprod")
def _along(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["self"])
    return [traced.with_axes(traced.axes, dims_of(operation["dim"], len(traced.axes)))]


@rule("native_layer_norm", "_fused_rms_norm", "rms_norm")
def _layer_norm(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["input"])
    count = len(traced.axes)
    normalised = range(count - len(operation["normalized_shape"]), count)
    return [traced.with_axes(traced.axes, normalised)]


@rule("native_group_norm")
def _group_norm(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["input"])
    return [traced.with_axes(traced.axes, range(1, len(traced.axes)))]


@rule(
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update", "_batch_norm_no_update", "cudnn_batch_norm", "batch_norm",
)  # fmt: skip
def _batch_norm(operation: Operation) -> list[Traced | None]:
    traced = operation.known(operation["input"])
    training = operation.get("training", "with_update" in operation.name)
    others = [n for n in range(len(traced.axes)) if n != 1]
    return [traced.with_axes(traced.axes, others if training else [])]


@rule("mm", "addmm", "bmm", "baddbmm", "mv", "linear", "_addmm_activation")
def _product(operation: Operation) -> list[Traced | None]:
    added = operation.args[0] if "add" in operation.name else None
    left, right = operation.args[1:3] if added is not None else operation.args[:2]
    one, other = operation.known(left), operation.known(right)
    contracted = one.axes[-1].sources | other.axes[-2 if other.axes[1:] else -1].sources
    if operation.name == "linear":  # (…, in) and (out, in)
        contracted, columns = one.axes[-1].sources | other.axes[-1].sources, other.axes[:1]
    else:
        columns = other.axes[-1:] if len(other.axes) > 1 else ()
    rows = one.axes[:-1]
    if "bmm" in operation.name and not rows[0].sources:
        rows = (other.axes[0], *rows[1:])
    joint = together(one, other)
    product = Traced((*rows, *columns), joint.whole | contracted, joint.is_partial, joint.apart)
    bias = operation.traced(added)
    size = shape(operation.first_result)
    return [product if bias is None else broadcast(size, product, bias)]


@rule(
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math",
)  # fmt: skip
def _attention(operation: Operation) -> list[Traced | None]:
    query, key, value = (operation.known(operation[name]) for name in ("query", "key", "value"))
    joint = together(query, key, value)
    mixed = query.axes[-1].sources.union(
        *(axis.sources for traced in (key, value) for axis in traced.axes[-2:])
    )
    axes = (*query.axes[:-1], untraced(value.axes[-1].size))
    return [Traced(axes, joint.whole | mixed, joint.is_partial, joint.apart)]


@rule("embedding")
def _embedding(operation: Operation) -> list[Traced | None]:
    ids = operation.known(operation["indices"])
    return [ids.with_axes((*ids.axes, untraced(operation.first_result.shape[-1])))]
