"""One basic operation that has run, and the register of what is understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from explain_widgets.live.modules import flat_tensors, shape
from explain_widgets.live.tracing.traced import Traced, untraced


@dataclass
class Operation:
    """A basic operation that has run.

    ``before``: what was known of the tensors that went in, by ``id``.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    before: dict[int, Traced | None]

    @property
    def name(self) -> str:
        """``"convolution"``, ``"relu_"``."""
        return str(self.func.overloadpacket.__name__)

    @property
    def results(self) -> list[Tensor]:
        """The tensors that came out."""
        return list(flat_tensors(self.result))

    @property
    def first_result(self) -> Tensor:
        """The first of them."""
        return self.results[0]

    @property
    def written(self) -> list[Tensor]:
        """The tensors that were written into."""
        arguments = zip(self.func._schema.arguments, self.args, strict=False)
        return [
            value
            for argument, value in arguments
            if isinstance(value, Tensor) and argument.alias_info and argument.alias_info.is_write
        ]

    def __getitem__(self, name: str) -> Any:
        """An argument by its name in the schema."""
        if name in self.kwargs:
            return self.kwargs[name]
        for argument, value in zip(self.func._schema.arguments, self.args, strict=False):
            if argument.name == name:
                return value
        for argument in self.func._schema.arguments:
            if argument.name == name and argument.has_default_value():
                return argument.default_value
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or ``default`` where there is none."""
        try:
            return self[name]
        except KeyError:
            return default

    def traced(self, value: Any) -> Traced | None:
        """What was known of a tensor that went in; None: it does not depend on the input."""
        return self.before.get(id(value)) if isinstance(value, Tensor) else None

    def known(self, value: Tensor) -> Traced:
        """The same, with axes that lie nowhere where it does not depend on the input."""
        traced = self.traced(value)
        return Traced(tuple(map(untraced, shape(value)))) if traced is None else traced


Rule: TypeAlias = Callable[[Operation], "list[Traced | None]"]
RULES: dict[str, Rule] = {}
"""By the name of the operation: what comes out of it, one for each tensor."""

# Each number by itself, without the tag that says so.
_POINTWISE = {
    "_to_copy", "clone", "detach", "alias", "contiguous", "lift_fresh", "lift_fresh_copy",
    "dropout", "native_dropout", "masked_fill_", "fill_", "zero_", "_prelu_kernel", "prelu",
    "rrelu_with_noise", "rrelu_with_noise_functional", "tril", "triu", "expand", "copy_", "copy",
    "channel_shuffle", "native_channel_shuffle", "_conj", "expand_as", "hardtanh",
}  # fmt: skip


def is_pointwise(operation: Operation) -> bool:
    """Whether each number comes from those in its own place."""
    return torch.Tag.pointwise in operation.func.tags or operation.name in _POINTWISE


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a function as the rule of these operations."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


def dims_of(value: Any, count: int) -> list[int]:
    """Axes, counted from 0; None: all of them."""
    if value is None or value == []:
        return list(range(count))
    return [n % count for n in ([value] if isinstance(value, int) else value)]


def numbers_of(value: Any, count: int) -> list[int]:
    """One number for each of ``count`` axes."""
    numbers = [value] if isinstance(value, int) else list(value)
    return numbers * count if len(numbers) == 1 else numbers
