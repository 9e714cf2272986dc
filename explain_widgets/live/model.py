"""LiveModel: a model and its samples, looked into one run at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn

from explain_widgets.live.access import Access
from explain_widgets.live.attention_reader import AttentionReader
from explain_widgets.live.attribution.reader import AttributionReader
from explain_widgets.live.feature_reader import FeatureReader
from explain_widgets.live.filter_reader import FilterReader
from explain_widgets.live.freshness import STEPS, WeightState
from explain_widgets.live.lookup import Table
from explain_widgets.live.questions.answering import copied_inputs
from explain_widgets.live.questions.attention import AttentionQuestions
from explain_widgets.live.questions.attributions import AttributionQuestions
from explain_widgets.live.questions.features import FeatureQuestions
from explain_widgets.live.questions.outputs import OutputQuestions
from explain_widgets.live.questions.structure import StructureQuestions
from explain_widgets.live.runs import Runner
from explain_widgets.live.samples import Samples
from explain_widgets.live.store import Store, parse_memory
from explain_widgets.live.structure_reader import StructureReader
from explain_widgets.live.trust.questions import Trust
from explain_widgets.live.without import WithoutReader

READ_DURING_TRAINING = "read during training"


class LiveModel(
    OutputQuestions,
    StructureQuestions,
    FeatureQuestions,
    AttentionQuestions,
    AttributionQuestions,
    Trust,
):
    """A model and its samples, alive: what is read is computed from the model as it is now.

    The model itself is never touched: runs happen on a structural copy that shares its parameters
    (see `explain_widgets.live.twin`), in evaluation mode, one at a time. What was read is kept
    while neither weights nor structure change.

    Parameters
    ----------
    model : nn.Module
        Any module, on any device, compiled or not.
    samples
        The inputs, as `Samples` takes them: a tensor (first axis = samples), a tuple or dict of
        tensors, a list of strings (with ``tokenizer``), a list of images (with ``transform``), a
        ``Dataset`` or ``DataLoader``; or a `Samples`.
    labels, tokenizer, class_names, transform, denormalize
        See `Samples`.
    forward
        ``forward(model, *args, **kwargs)``, for models not called as ``model(...)``.
    memory
        How much may be kept of what was read, on the model's device: bytes or ``"2GB"`` (the
        default). Past it the least recently used is read again when asked for.
    train_mode
        Run in training mode (dropout, batch statistics) instead of evaluation mode. Parts that are
        in evaluation mode while the model is in training (frozen normalisation) stay so.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> live = xw.LiveModel(torch.nn.MultiheadAttention(8, 2), (torch.randn(3, 5, 8),) * 3)
    >>> live.attention(0, sample=2).weights(head=1).shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        model: nn.Module,
        samples: Any,
        *,
        labels: Any = None,
        tokenizer: Any = None,
        class_names: Any = None,
        transform: Callable[[Any], Tensor] | None = None,
        denormalize: Callable[[Tensor], Any] | None = None,
        forward: Callable[..., Any] | None = None,
        memory: int | str | None = None,
        train_mode: bool = False,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}.")
        self.samples = _as_samples(
            samples,
            labels=labels,
            tokenizer=tokenizer,
            class_names=class_names,
            transform=transform,
            denormalize=denormalize,
        )
        self._runner = Runner(model, forward, train_mode)
        self._store = Store(parse_memory(memory))
        self._tables: dict[int, Table] = {}
        self._state: WeightState | None = None
        self._mixed = False
        self._attention = AttentionReader(
            self._run, self._target, self._sample, self._store, self._tables
        )
        self._features = FeatureReader(
            self._run, self._inputs, self._target, lambda: self.model, self._store, self._tables
        )
        self._filters = FilterReader(self._run, lambda: self.model, self._store, self._features)
        self._known: dict[Hashable, Any] = {}
        self._structure = StructureReader(
            self._run,
            lambda sample: copied_inputs(self._inputs(sample)),
            self._target,
            lambda: self.model,
            self._store,
            self._keep_scores,
        )
        self._access = Access(
            self.samples,
            self._sample,
            self._reading,
            self._run,
            self._lend,
            self._target,
            self._last_position,
            lambda: self.model,
            lambda: self._revision,
            self._store,
            self._known,
            lambda: self.is_home,
        )
        self._attributions = AttributionReader(self._access, self._features)
        self._without = WithoutReader(self._access, self._attention, self._features)
        self._revision = 0
        self._lock = threading.RLock()
        self._questions = 0  # nested ones count: they belong to the outermost
        self._closed = False
        STEPS.start()

    @property
    def status(self) -> str:
        """What should be said with everything that was just read, or ""."""
        training = self._mixed or self._runner.training_nearby()
        return READ_DURING_TRAINING if training else ""

    @property
    def revision(self) -> int:
        """Number of the state of the model that was read last: it grows with each change seen."""
        return self._revision

    def with_model(self, model: nn.Module) -> LiveModel:
        """Another model on the same samples, called and run in the same way.

        Examples
        --------
        >>> import copy, torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(3, 2), torch.randn(4, 3))
        >>> torch.equal(live.with_model(copy.deepcopy(live.model)).output(1), live.output(1))
        True
        """
        return self._beside(model, self.samples)

    def with_samples(self, samples: Samples) -> LiveModel:
        """The same model on other samples, called and run in the same way.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(3, 2), torch.randn(4, 3))
        >>> live.with_samples(xw.Samples(torch.zeros(1, 3))).class_scores().shape
        torch.Size([2])
        """
        return self._beside(self.model, samples)

    def with_context(
        self, context: Callable[[nn.Module], AbstractContextManager[Any]]
    ) -> LiveModel:
        """The same model on the same samples, with each forward inside a context.

        Parameters
        ----------
        context
            Called before each forward with the module that runs, which is not the user's own: it
            may set hooks there and take them away.

        Examples
        --------
        >>> import contextlib, torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(3, 2), torch.randn(4, 3))
        >>> @contextlib.contextmanager
        ... def doubled(module):
        ...     handle = module.register_forward_hook(lambda module, inputs, output: 2 * output)
        ...     yield
        ...     handle.remove()
        >>> torch.equal(live.with_context(doubled).output(), 2 * live.output())
        True
        """
        own = self._runner.how["forward"]

        def forward(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
            with context(model):
                return model(*args, **kwargs) if own is None else own(model, *args, **kwargs)

        return self._beside(self.model, self.samples, forward=forward)

    def _beside(self, model: nn.Module, samples: Samples, **changed: Any) -> LiveModel:
        memory, how = self._store.limit, {**self._runner.how, **changed}
        other = LiveModel(model, samples, memory=memory, **how)
        # Wherever it was made: a cell that runs in the notebook's thread is beside both.
        other._runner.home = self.home
        return other

    def reading(self) -> AbstractContextManager[None]:
        """Several questions as one: whether the model has changed is asked once, at its beginning.

        Nobody else asks meanwhile, so it is not to be kept open for long.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(2, 4))
        >>> with live.reading(): both = live.activation(""), live.gradient("", target=0)
        """
        return self._reading()

    @property
    def is_home(self) -> bool:
        """Whether the calling thread is `home`."""
        return self.home.is_current()

    def call_when_free(self, function: Callable[[], None]) -> bool:
        """Call ``function`` in the notebook's thread once no cell runs; False: there is no way."""
        return self.home.call_when_free(function)

    def close(self) -> None:
        """Give back everything: what was read, and the watch over optimizer steps."""
        self.refresh()
        if not self._closed:
            self._closed = True
            STEPS.stop()


def _as_samples(samples: Any, **options: Any) -> Samples:
    given = [name for name, value in options.items() if value is not None]
    if not isinstance(samples, Samples):
        return Samples(samples, **options)
    if given:
        raise TypeError(f"Samples are made already: pass {', '.join(given)} to Samples(...).")
    return samples
