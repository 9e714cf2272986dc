"""A model with the structure of the user's and parameters drawn anew, layer by layer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from explain_widgets.live.dispatch import DispatchMode
from explain_widgets.live.errors import RunError
from explain_widgets.live.fields import Copies, set_buffer
from explain_widgets.live.modules import ModuleRow
from explain_widgets.live.randomness import DrawsRandomNumbersError, draws
from explain_widgets.live.runs import plain_thread
from explain_widgets.live.twin import CannotCopyError, Twin, plain_module, replaced_parameters


class OwnDraws(DispatchMode):
    """Random numbers of this thread come from generators of its own; no shared one moves.

    Parameters
    ----------
    seed
        Of these, one for each device.

    Raises
    ------
    DrawsRandomNumbersError
        By an operation that cannot be given a generator; nothing was drawn.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and draws(func, args, kwargs):
            if not _takes_generator(func):
                func = getattr(func.overloadpacket, "generator", func)
            if not _takes_generator(func):
                raise DrawsRandomNumbersError(str(func))
            device = next((a.device for a in args if isinstance(a, Tensor)), kwargs.get("device"))
            kwargs = {**kwargs, "generator": self._generator(torch.device(device or "cpu"))}
        return func(*args, **kwargs)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


def _takes_generator(func: Any) -> bool:
    return any(argument.name == "generator" for argument in func._schema.arguments)


@contextmanager
def private_copy(model: nn.Module) -> Iterator[nn.Module]:
    """A copy of a model that shares nothing with it: parameters and buffers are its own.

    Raises
    ------
    RunError
        When the model cannot be copied; the text says why.
    """

    def own(parameter: nn.Parameter) -> Tensor:
        return parameter.detach().clone().requires_grad_(parameter.requires_grad)

    with ExitStack() as stack:
        with plain_thread(differentiable=False):
            try:
                copied = Twin(plain_module(model)).module
            except CannotCopyError as reason:
                raise RunError(
                    f"The model cannot be copied ({reason}), and parameters are drawn anew in a "
                    "copy only."
                ) from reason
            copies = Copies()
            for module in copied.modules():
                for name, buffer in list(module._buffers.items()):
                    set_buffer(module, name, None if buffer is None else copies.of(buffer))
            stack.enter_context(replaced_parameters(copied, own))
        yield copied


@dataclass(frozen=True)
class ParameterLayer:
    """What is drawn anew in one step.

    Attributes
    ----------
    name
        Of a module that was called, as in ``named_modules()``.
    modules
        Those that hold its parameters: itself, and below it what is not called by itself.
    """

    name: str
    modules: tuple[nn.Module, ...]


def parameter_layers(model: nn.Module, rows: Iterable[ModuleRow]) -> list[ParameterLayer]:
    """The layers that hold parameters, in call order; each such module is in one of them.

    Parameters
    ----------
    model
        The model, or a copy of it.
    rows
        Its module table.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> live = xw.LiveModel(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.eye(4))
    >>> [layer.name for layer in parameter_layers(live.model, live.modules())]
    ['0']
    """
    found: dict[str, list[nn.Module]] = {row.name: [] for row in rows if row.calls}
    for name, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            found.setdefault(_around(name, found), []).append(module)
    return [ParameterLayer(name, tuple(modules)) for name, modules in found.items() if modules]


def _around(name: str, called: Collection[str]) -> str:
    """The innermost module around this one, or itself, that was called."""
    while name and name not in called:
        name = name.rpartition(".")[0]
    return name


class Redrawing:
    """Draws parameters anew, each once, as their modules draw them when they are made.

    By ``reset_parameters`` of the module that holds them. Where there is none, or it leaves a
    parameter as it was, its values are shuffled: they keep their mean and spread. A tied
    parameter is drawn with the first of its layers that comes; whole numbers stay.

    Parameters
    ----------
    seed
        Of the generators it draws from, which are its own.
    """

    def __init__(self, seed: int) -> None:
        self._draws = OwnDraws(seed)
        self._drawn: set[int] = set()

    def redraw(self, layer: ParameterLayer) -> None:
        """Draw the parameters of a layer of a private copy."""
        with plain_thread(differentiable=False):
            for module in layer.modules:
                self._redraw(module)

    def _redraw(self, module: nn.Module) -> None:
        own = {
            name: parameter.detach().clone()
            for name, parameter in module._parameters.items()
            if parameter is not None
            and id(parameter) not in self._drawn
            and (parameter.is_floating_point() or parameter.is_complex())
        }
        with self._draws:
            self._reset(module, own)
            for name, before in own.items():
                parameter = module._parameters[name]
                assert parameter is not None
                if torch.equal(parameter, before):
                    order = torch.randperm(before.numel(), device=before.device)
                    parameter.copy_(before.flatten()[order].reshape(before.shape))
                self._drawn.add(id(parameter))

    def _reset(self, module: nn.Module, own: dict[str, Tensor]) -> None:
        """Call the module's own way to draw, which must change nothing but ``own`` of parameters.

        That of `nn.MultiheadAttention` draws for modules below it as well: they have their turn.
        """
        reset = getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))
        if not callable(reset):
            return
        others = [
            (parameter, parameter.detach().clone())
            for name, parameter in module.named_parameters(remove_duplicate=False)
            if name not in own
        ]
        failed = False
        try:
            reset()
        except Exception:  # noqa: BLE001 (it may want arguments, or draw in a way that is refused)
            failed = True
        if failed:
            others += [
                (parameter, own[n]) for n, parameter in module.named_parameters() if n in own
            ]
        for parameter, before in others:
            parameter.copy_(before)
