"""One run of the model at a time: on the twin, in a known state of the thread, traceless.

This is where the rules of a run come together: which module runs, in which thread it may, what
the thread's modes are meanwhile, and what happens when a cell trains the model beside it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import BaseTorchFunctionMode

from explain_widgets.analysis.attention import Attention
from explain_widgets.live.attention import AttentionCapture, AttentionLayer
from explain_widgets.live.attention.images import on_images
from explain_widgets.live.attention.watch import GradientWatch
from explain_widgets.live.errors import GradientError, NeedsHomeThreadError, RunError
from explain_widgets.live.freshness import STEPS, model_tensors, quick_state
from explain_widgets.live.home import Home
from explain_widgets.live.modules import flat_tensors
from explain_widgets.live.randomness import NoRandomDraws, kept_random_state
from explain_widgets.live.recorder import EnoughError, Recorder, Wanted
from explain_widgets.live.twin import (
    Borrowed,
    CannotCopyError,
    Twin,
    plain_module,
    replaced_parameters,
)

Call: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], Any]
"""Calls the module that is lent, for its positional and its named arguments."""

Gradients: TypeAlias = Literal["none", "activations", "parameters", "training"]


_SHOWN = 4  # tensors that an error lists


@dataclass
class Run:
    """One run under way or done.

    ``module``: what runs, while it is ready for that. ``parameters``: by name, as the run uses
    them (for gradients by parameters). ``watch``: where gradients pass the attention. ``mixed``:
    the weights moved while it ran, so that it may mix two training steps.
    """

    output: Any = None
    module: nn.Module | None = None
    recorder: Recorder | None = None
    attention: list[tuple[AttentionLayer, Attention | None]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    watch: GradientWatch = field(default_factory=GradientWatch)
    mixed: bool = False


class Runner:
    """Runs a model for one sample at a time and leaves it as it was found.

    Parameters
    ----------
    model
        The user's model.
    forward
        ``forward(model, *args, **kwargs)``, for models that are not called as ``model(...)``.
    train_mode
        Run in training mode instead of evaluation mode.
    """

    def __init__(
        self, model: nn.Module, forward: Callable[..., Any] | None, train_mode: bool
    ) -> None:
        self._model = plain_module(model)
        self._forward = forward
        self._train_mode = train_mode
        self._runs: Twin | Borrowed | None = None
        self._tensors: list[Tensor] = []
        self._draws = False
        self._lock = threading.RLock()
        self._steps_seen = float("-inf")
        self.home = Home()

    @property
    def model(self) -> nn.Module:
        """The user's model, without wrappers that only change how it runs."""
        return self._model

    @property
    def how(self) -> dict[str, Any]:
        """How the model is run: what another runner is given to do the same."""
        return {"forward": self._forward, "train_mode": self._train_mode}

    def tensors(self) -> list[Tensor]:
        """All that the model computes with, also what is neither a parameter nor a buffer.

        As it was when the twin was last seen to follow the model: once a question.
        """
        return self._tensors

    def training_nearby(self) -> bool:
        """Whether a cell that still runs changes the weights."""
        moved = time.monotonic() - self._steps_seen < 1.0 and self.home.is_busy()
        return moved or STEPS.training_elsewhere()

    def weights_moved(self) -> None:
        """Told when the weights were found changed: beside a running cell that is training."""
        if not self.home.is_current() and self.home.is_busy():
            self._steps_seen = time.monotonic()

    def follow(self) -> bool:
        """Make the twin anew if the model's structure has changed; returns whether it had."""
        with self._lock:
            for attempt in itertools.count():
                try:
                    return self._followed()
                except RuntimeError as error:
                    # A cell that runs meanwhile has put something on a module, or a hook.
                    if "during iteration" not in str(error) or attempt == 20:
                        raise
        raise AssertionError  # never reached

    def _followed(self) -> bool:
        is_new = self._runs is None or not self._runs.follows(self._model)
        if is_new:
            _check_runnable(self._model)
            try:
                self._runs = Twin(self._model)
            except CannotCopyError as reason:
                self._runs = Borrowed(self._model, str(reason))
            self._draws = False
        assert self._runs is not None
        self._tensors = model_tensors(self._runs.originals, self._runs.hidden)
        return is_new

    def run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wanted: Wanted | None,
        gradients: Gradients = "none",
        then: Callable[[Run], None] = lambda run: None,
    ) -> Run:
        """Run once; that the twin follows the model is seen to before, once a question.

        Parameters
        ----------
        args, kwargs
            What the model is called with, on its device.
        wanted
            What is recorded; None: nothing, the plain path without a single hook.
        gradients
            Whether the run is differentiable, and by what: all ``"parameters"``, or for
            ``"training"`` those that ask for a gradient.
        then
            Called with the finished run while its graph is alive.

        Raises
        ------
        NeedsHomeThreadError
            When this run may only happen in the home thread.
        RunError
            When the model raises.
        """
        with self._lock:
            if self._runs is None:
                self.follow()
            attempt = lambda snapshot: self._guarded(  # noqa: E731
                lambda: self._once(args, kwargs, wanted, gradients, then, snapshot)
            )
            try:
                return attempt(False)
            except _MovedError:
                # A training step wrote weights that our backward still needed: use a snapshot.
                run = attempt(True)
                run.mixed = True
                return run

    def lend(self, action: Callable[[nn.Module, Call], None], *, copied: bool = False) -> Run:
        """Lend the module that runs to what calls it as often as it likes, with gradients.

        Parameters
        ----------
        action
            Called with the module and with what calls it for arguments, as the user's ``forward``
            does. What it leaves on the module is taken away.
        copied
            It changes weights: it gets copies.

        Raises
        ------
        NeedsHomeThreadError
            When this may only happen in the home thread: the model draws, or cannot be copied.
        """

        def once() -> Run:
            assert self._runs is not None
            run = Run()
            before = quick_state(self.tensors())
            with ExitStack() as stack:
                stack.enter_context(plain_thread(differentiable=True))
                run.module = module = stack.enter_context(self._runs.ready(self._train_mode))
                stack.enter_context(self._parameters(module, "none", copied))
                action(module, lambda args, kwargs: self._call(module, args, kwargs))
            run.mixed = quick_state(self.tensors()) != before
            return run

        with self._lock:
            if self._runs is None:
                self.follow()
            return self._guarded(once)

    def _guarded(self, action: Callable[[], Run]) -> Run:
        """In the home thread with all generators kept; elsewhere without a single draw."""
        assert self._runs is not None
        if self.home.is_current():
            with kept_random_state({tensor.device for tensor in self._tensors}) as has_moved:
                run = action()
                self._draws = self._draws or has_moved()
                return run
        if isinstance(self._runs, Borrowed):
            raise NeedsHomeThreadError(
                f"The model cannot be copied ({self._runs.reason}), so it runs itself: waiting "
                "for the running cell to end."
            )
        if not self._draws:
            guard = NoRandomDraws()
            try:
                with guard:
                    return action()
            except Exception:
                if not guard.refused:
                    raise
                self._draws = True
        raise NeedsHomeThreadError(
            "The model draws random numbers, which a running cell may be drawing as well: "
            "waiting for it to end."
        )

    def _once(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wanted: Wanted | None,
        gradients: Gradients,
        then: Callable[[Run], None],
        snapshot: bool,
    ) -> Run:
        assert self._runs is not None
        run = Run()
        tensors = self.tensors()
        before = quick_state(tensors)
        with ExitStack() as stack:
            stack.enter_context(plain_thread(gradients != "none"))
            run.module = module = stack.enter_context(self._runs.ready(self._train_mode))
            run.parameters = stack.enter_context(self._parameters(module, gradients, snapshot))
            if wanted is not None:
                # The user's own model is left in the way it leaves itself: not by an exception.
                may_end = isinstance(self._runs, Twin)
                recorder = Recorder(self._runs.modules, self._runs.counts, wanted, may_end)
                run.recorder = stack.enter_context(recorder.attached())
                if wanted.beside is not None:
                    stack.enter_context(wanted.beside)
            capture = self._capture(run, wanted, module)
            try:
                looking = capture.looking() if capture else self._plain_paths(wanted)
                with suppress(EnoughError), looking:
                    run.output = self._call(module, args, kwargs)
            except Exception as error:
                said = f"The model raised {type(error).__name__}: {error}".rstrip(".")
                raise RunError(said + self._called_with(args, kwargs)) from error
            if run.recorder is not None:
                run.recorder.forward_ended()
            if wanted is not None and wanted.outputs is not None:
                wanted.outputs.check()
            try:
                then(run)
            except RuntimeError as error:
                moved = quick_state(tensors) != before
                if moved and not snapshot and "inplace operation" in str(error):
                    raise _MovedError from error
                raise
        if capture is not None:
            assert run.recorder is not None
            inputs = flat_tensors((args, kwargs))
            run.attention = on_images(capture.calls(), module, run.recorder.table(), inputs)
            run.problems = capture.problems
            _check_ablated(wanted, capture)
        run.mixed = quick_state(tensors) != before
        return run

    def _called_with(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """What the model was called with, and whether that is of another type than itself."""
        given = list(flat_tensors((args, kwargs)))
        if not given:
            return "."
        shown = [f"{tuple(tensor.shape)} {_name(tensor.dtype)}" for tensor in given[:_SHOWN]]
        rest = [] if len(given) <= _SHOWN else [f"{len(given) - _SHOWN} more"]
        said = f". It was called with {', '.join(shown + rest)}"
        own = {tensor.dtype for tensor in self.tensors() if tensor.is_floating_point()}
        # Bytes are pixels; other whole numbers are indices.
        numbers = {t.dtype for t in given if t.is_floating_point() or t.dtype == torch.uint8}
        if len(own) == 1 and numbers and not numbers <= own:
            said += f"; its own numbers are {_name(*own)}: pass samples of this type"
        # As of images and of tokens with a second one; of grey images it is that of the channel.
        if any(tensor.ndim in (3, 5) and tensor.shape[:2] == (1, 1) for tensor in given):
            said += "; samples are given a batch axis: pass them without one of their own"
        return f"{said}."

    def _call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._forward is not None:
            return self._forward(module, *args, **kwargs)
        return module(*args, **kwargs)

    def _capture(
        self, run: Run, wanted: Wanted | None, module: nn.Module
    ) -> AttentionCapture | None:
        if wanted is None or wanted.attention is None:
            return None
        recorder = run.recorder
        assert recorder is not None
        return AttentionCapture(
            lambda: recorder.place,
            module,
            wanted.attention,
            wanted.below_python,
            wanted.ablate,
            run.watch if wanted.gradients else None,
        )

    def _plain_paths(self, wanted: Wanted | None) -> AbstractContextManager[Any]:
        """Fused layers of an encoder call none of their parts: looked at, they take plain paths."""
        fused = (nn.TransformerEncoder, nn.TransformerEncoderLayer)
        assert self._runs is not None
        if wanted is None or not any(isinstance(m, fused) for _, m in self._runs.modules):
            return nullcontext()
        return BaseTorchFunctionMode()

    @contextmanager
    def _parameters(
        self, module: nn.Module, gradients: Gradients, snapshot: bool
    ) -> Iterator[dict[str, Tensor]]:
        """Stand-ins for the parameters by name, where the run needs any.

        Stand-ins share memory with the parameters (copies for a snapshot); for gradients by
        parameters all of them ask for one, also those that the user has frozen.
        """
        if gradients not in ("parameters", "training") and not snapshot:
            yield {}
            return
        if any(parameter.is_meta for parameter in module.parameters()):
            raise GradientError(
                "The weights are offloaded by accelerate and cannot be differentiated by: ask for "
                "the gradients of layers instead."
            )

        def stand_in(parameter: nn.Parameter) -> Tensor:
            tensor = parameter.detach().clone() if snapshot else parameter.detach()
            wants = parameter.requires_grad or gradients == "parameters"
            return tensor.requires_grad_(
                wants and (tensor.is_floating_point() or tensor.is_complex())
            )

        with replaced_parameters(module, stand_in) as parameters:
            yield parameters


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class _MovedError(Exception):
    """The weights were written while our backward still needed them."""


@contextmanager
def plain_thread(differentiable: bool) -> Iterator[None]:
    """Grad mode, inference mode and autocast are per thread: set, whatever the caller has."""
    # Asking sets it up: a new thread would else multiply matrices with another number of threads
    # than `torch.set_num_threads` says, and round differently.
    torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(differentiable))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def _check_ablated(wanted: Wanted | None, capture: AttentionCapture) -> None:
    """A head that was to be taken out and was not would show as no change at all."""
    missed = set() if wanted is None else set(wanted.ablate) - capture.ablated
    if missed:
        raise RunError(f"ablate: {', '.join(sorted(missed))} was not called in this run.")


def _check_runnable(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise RunError(
                f"The parameter {name} is not initialised yet: call the model once before looking "
                "into it."
            )
        if parameter.device.type == "meta" and not _is_offloaded(model):
            raise RunError(
                f"The parameter {name} is on the meta device and has no values: load the weights "
                "(for example model.to_empty(device=…) and load_state_dict) first."
            )


def _is_offloaded(model: nn.Module) -> bool:
    return any(hasattr(module, "_hf_hook") for module in model.modules())
