"""Seeing attention calls while a model runs, through torch's function modes.

A function mode is active only in the thread that entered it, so a cell that trains in another
thread is never seen, and never slowed down.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.built_attention import built_attention
from explain_widgets.live.attention.ablation import LayerAblation
from explain_widgets.live.attention.dispatched import DispatchedCalls
from explain_widgets.live.attention.flex import flex_calls
from explain_widgets.live.attention.generation import CachedCalls, without_tensors
from explain_widgets.live.attention.handwritten import BuiltWeights, Provenance
from explain_widgets.live.attention.layer import BATCHED, AttentionLayer, layer_of
from explain_widgets.live.attention.masks import mask_steps
from explain_widgets.live.attention.multihead import (
    MULTIHEAD_FORWARD,
    Multihead,
    multihead_arguments,
)
from explain_widgets.live.attention.rewired import Operation, rewired
from explain_widgets.live.attention.seen import Read, SeenCall, folded, folded_copy, lengths
from explain_widgets.live.attention.selfcheck import relative_difference, tolerance
from explain_widgets.live.attention.watch import GradientWatch

LOOKED_FOR = (
    "F.scaled_dot_product_attention, nn.MultiheadAttention, flex attention, and softmaxes over "
    "products of activations that weigh activations"
)


class AttentionCapture(TorchFunctionMode):
    """Records the attention calls made under it; what the calls return is left as it is.

    Parameters
    ----------
    place
        Says in which module the calling thread is, and in which forward, counted from 1; None:
        outside the model, not recorded.
    module
        The module that runs: its parameters are no activations.
    keep
        Asked with the name of a call and the bytes it would hold whether it is kept.
    ablate
        What happens to the heads of some calls, by their names.
    below_python
        Look at basic operations alone: for what no Python code calls (TorchScript).
    watch
        Remembers where gradients pass the calls that are kept, and makes measures of them.

    Attributes
    ----------
    problems
        Calls that were seen and could not be read, each with its reason.
    ablated
        Names of the calls of which heads were ablated.
    """

    def __init__(
        self,
        place: Callable[[], tuple[str, int] | None],
        module: nn.Module,
        keep: Callable[[str, int], bool] = lambda name, size: True,
        below_python: bool = False,
        ablate: Mapping[str, LayerAblation] | None = None,
        watch: GradientWatch | None = None,
    ) -> None:
        super().__init__()
        self._place = place
        self._keep = keep
        self._below_python = below_python
        self._ablate = ablate or {}
        self._watch = watch
        self.ablated: set[str] = set()
        self._module = module
        self._multihead: Multihead | None = None
        self._provenance = Provenance(module)
        self._found: list[_Found] = []
        self._latest: dict[tuple[str, int], _Found] = {}
        self._names: Counter[str] = Counter()
        self._counts: Counter[tuple[str, int]] = Counter()
        self.problems: list[str] = []

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look on in this thread, at everything that is read."""
        if self._below_python:
            with DispatchedCalls(self._provenance, self._looked_at):
                yield
        else:
            with flex_calls(self._module, self._see_flex), self:
                yield

    def calls(self) -> list[tuple[AttentionLayer, Attention | None]]:
        """What was recorded, in call order, with the tensors where they were kept.

        Under a watch: with their measures, where there are any. A call that fails its self-check
        is not among them but a problem.
        """
        passed = []
        for found in self._found:
            attention = found.calls.assembled()
            if found.difference is not None:
                check = float(found.difference)
                if not check <= tolerance(attention.query.dtype):
                    self.problems.append(
                        f"{attention.name}: the weights recomputed from query and key do not "
                        f"explain what the layer returned (relative difference {check:.1e})"
                    )
                    continue
                attention = dataclasses.replace(attention, check=check)
            kept: Attention | None = attention if found.kept else None
            if self._watch is not None and kept is not None:
                kept = self._watch.measure(kept)
            passed.append((layer_of(attention), kept))
        return passed

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._inside_multihead(args, kwargs)
        result = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return self._looked_at(func, args, kwargs, result, self._read_sdpa)
        if self._multihead is None and isinstance(result, Tensor):
            # Most operations are none of those that matter: seen before anything else is asked.
            if self._provenance.concerns(getattr(func, "__name__", ""), args, kwargs):
                return self._looked_at(func, args, kwargs, result, self._follow)
            return result
        if self._multihead is not None and func in (torch.bmm, torch.baddbmm):
            return self._looked_at(func, args, kwargs, result, self._read_product)
        return result

    def _looked_at(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, read: Read
    ) -> Any:
        """The result of an operation, noted where it is attention; without its ablated heads."""
        # Whatever goes wrong in looking must not break the model's forward: it is reported.
        place = self._place()
        if place is None:
            return result
        try:
            call = read(func, args, kwargs, result)
            if call is None:
                return result
            with torch.no_grad():
                found = self._add(*place, call)
            operation = Operation(func, args, kwargs)
            if self._watch is not None and found.kept:
                return self._watch.begin(found.calls.name, call, operation, result)
        except Exception as error:  # noqa: BLE001 (see above)
            self.problems.append(f"{place[0]}: {type(error).__name__}: {error}")
            return result
        return self._without_heads(found.calls.name, call, operation, result)

    def _without_heads(
        self, name: str, call: SeenCall | BuiltWeights, operation: Operation, result: Any
    ) -> Any:
        """The result of a call without those of its heads that are to be ablated."""
        ablation = self._ablate.get(name)
        if ablation is None:
            return result
        self.ablated.add(name)
        if isinstance(call, BuiltWeights) and not call.is_product:
            raise ValueError(f"ablate: {name} weighs its values by hand and has no heads.")

        def of_weights(operand: Tensor) -> Tensor:
            assert isinstance(call, BuiltWeights)
            back = [call.order.index(axis) for axis in range(len(call.order))]
            return ablation.of_weights(operand.permute(call.order)).permute(back)

        return rewired(call, operation, result, ablation.of_output, of_weights)

    def _see_flex(self, call: Callable[[], Any], read: Callable[[Any], SeenCall | None]) -> Any:
        # Compiled again for every mode that looks on: without it, it is the user's own kernel.
        is_on = torch.overrides._get_current_function_mode() is self
        with torch.overrides._pop_mode_temporarily() if is_on else nullcontext():
            return self._looked_at(call, (), {}, call(), lambda func, args, kwargs, out: read(out))

    def _follow(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> BuiltWeights | None:
        return self._provenance.see(getattr(func, "__name__", ""), args, kwargs, result)

    def _read_sdpa(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> SeenCall:
        return self._sdpa(result, *args, **kwargs)

    def _sdpa(
        self,
        output: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> SeenCall:
        multihead = self._multihead
        shapes = {t.shape[:-2] for t in (query, key, value)}
        if not enable_gqa and len(shapes) > 1:
            leading = torch.broadcast_shapes(*shapes)
            query, key, value = (t.expand(*leading, *t.shape[-2:]) for t in (query, key, value))
        return SeenCall(
            query,
            key,
            value,
            output,
            scale=query.shape[-1] ** -0.5 if scale is None else scale,
            source="sdpa" if multihead is None else "nn.MultiheadAttention · sdpa",
            mask=attn_mask,
            is_causal=is_causal,
            dropout=dropout_p,
            same_source=None if multihead is None else multihead.same_source,
        )

    def _inside_multihead(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run torch's own code of `F.multi_head_attention_forward` with this mode on inside it."""
        values = multihead_arguments(args, kwargs)
        outer, self._multihead = (
            self._multihead,
            Multihead(
                same_source=values["query"] is values["key"],
                dropout=values["dropout_p"] if values["training"] else 0.0,
            ),
        )
        try:
            with self:
                return MULTIHEAD_FORWARD(*args, **kwargs)
        finally:
            self._multihead = outer

    def _read_product(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> SeenCall | None:
        """Of a multi-head attention: first query · key (with the mask), then weights · value."""
        multihead = self._multihead
        assert multihead is not None
        if multihead.scores is None:
            multihead.scores = (args[-2], args[-1].mT, args[0] if func is torch.baddbmm else None)
            return None
        query, key, mask = multihead.scores
        return SeenCall(
            query,
            key,
            args[1],
            result,
            scale=1.0,  # the query comes scaled
            source="nn.MultiheadAttention",
            mask=mask,
            dropout=multihead.dropout,
            empty_rows=float("nan"),
            same_source=multihead.same_source,
        )

    def _add(self, name: str, forward: int, call: SeenCall | BuiltWeights) -> _Found:
        """Keep what is needed of a call."""
        if isinstance(call, BuiltWeights):
            return self._file(name, forward, call, _built(name, call), None)
        if call.query.is_nested or call.key.is_nested:
            raise TypeError("nested tensors are not read yet")
        leading = call.query.shape[:-2]
        value = folded(call.value)
        attention = Attention(
            query=folded_copy(call.query),
            key=folded_copy(call.key),
            scale=call.scale,
            steps=(*mask_steps(call.mask, leading, call.is_causal), *call.steps),
            empty_rows=call.empty_rows,
            kind=_kind(name, call),
            source=call.source,
            note=_note_of(call.query, dropped=call.dropout > 0),
            value_norms=lengths(value, -1),
        )
        difference = None
        if not call.dropout:
            difference = relative_difference(attention, value, folded(call.output))
        return self._file(name, forward, call, attention, difference)

    def _file(
        self,
        name: str,
        forward: int,
        call: SeenCall | BuiltWeights,
        attention: Attention,
        difference: Tensor | None,
    ) -> _Found:
        """Keep a call by itself, or with those that it goes on from."""
        nth = self._counts[name, forward]
        self._counts[name, forward] += 1
        earlier = self._latest.get((name, nth))
        if (
            earlier is not None
            and earlier.forward < forward
            and earlier.extend(attention, difference, forward)
        ):
            return earlier
        count = self._names[name]
        self._names[name] += 1
        attention = dataclasses.replace(attention, name=name if count == 0 else f"{name}:{count}")
        beside = 0 if self._watch is None else self._watch.nbytes(call)
        kept = self._keep(attention.name, attention.nbytes + beside)
        found = _Found(attention, kept, difference, forward)
        self._found.append(found)
        self._latest[name, nth] = found
        return found


class _Found:
    """A call, or those of a generation; the self-check stays on the device until the run is over.

    Of calls that are not kept the shapes remain.
    """

    def __init__(
        self, attention: Attention, kept: bool, difference: Tensor | None, forward: int
    ) -> None:
        self.kept = kept
        self.difference = difference
        self.forward = forward
        self.calls = CachedCalls(attention if kept else without_tensors(attention))

    def extend(self, attention: Attention, difference: Tensor | None, forward: int) -> bool:
        """Take in the call of a later forward; False: it does not go on from those before."""
        if not self.calls.extend(attention):
            return False
        if self.difference is not None and difference is not None:
            self.difference = torch.maximum(self.difference, difference)
        self.forward = forward
        return True


def _built(name: str, call: BuiltWeights) -> Attention:
    weights = folded(call.weights)
    return built_attention(
        weights,
        name="",
        kind="mixture"
        if call.mixture
        else _kind_of_shape(name, weights.shape[-2], weights.shape[-1]),
        source="softmax",
        note=_note_of(call.weights, dropped=call.before_dropout),
        value_norms=_folded_norms(call),
    )


def _folded_norms(call: BuiltWeights) -> Tensor | None:
    """(heads, keys): the lengths of the values, for every head of the weights."""
    if call.value_norms is None:
        return None
    wanted = (*call.weights.shape[:-2], call.weights.shape[-1])
    return call.value_norms.expand(wanted).reshape(-1, wanted[-1])


def _note_of(tensor: Tensor, dropped: bool) -> str:
    """What should be said of a call whose query or weights are ``tensor``."""
    batches = tensor.shape[0] if tensor.ndim >= 4 else 1
    parts = ["weights before dropout"] if dropped else []
    if batches > 1:
        parts.append(f"{batches} {BATCHED}")
    return "; ".join(parts)


_CROSS_NAMES = ("cross", "encoder_attn", "multihead_attn", "encdec")


def _kind(name: str, call: SeenCall) -> str:
    if call.same_source is not None:
        return "self" if call.same_source else "cross"
    return _kind_of_shape(name, call.query.shape[-2], call.key.shape[-2])


def _kind_of_shape(name: str, queries: int, keys: int) -> str:
    named_cross = any(part in name.lower() for part in _CROSS_NAMES)
    return "cross" if queries != keys or named_cross else "self"
