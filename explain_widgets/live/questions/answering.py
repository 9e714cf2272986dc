"""How questions to a live model are answered: one at a time, from what is kept if it is fresh."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from explain_widgets.live.access import Access
from explain_widgets.live.attention_reader import AttentionReader
from explain_widgets.live.attribution.reader import AttributionReader
from explain_widgets.live.entries import Calls
from explain_widgets.live.feature_reader import FeatureReader
from explain_widgets.live.filter_reader import FilterReader
from explain_widgets.live.freshness import WeightState, weight_state
from explain_widgets.live.home import Home
from explain_widgets.live.lookup import Table
from explain_widgets.live.losses import loss_of
from explain_widgets.live.modules import model_device
from explain_widgets.live.recorder import Wanted
from explain_widgets.live.runs import Call, Gradients, Run, Runner
from explain_widgets.live.samples import Sample, Samples
from explain_widgets.live.store import Store
from explain_widgets.live.structure_reader import StructureReader
from explain_widgets.live.targets import Target, target_value
from explain_widgets.live.without import WithoutReader

_T = TypeVar("_T")


class Answering:
    """What all sides of a `LiveModel` answer with: the model, its samples, and what was read.

    Attributes
    ----------
    samples
        The inputs.
    """

    samples: Samples
    _runner: Runner
    _store: Store
    _tables: dict[int, Table]
    _state: WeightState | None
    _mixed: bool
    _revision: int
    _lock: threading.RLock
    _questions: int
    _attention: AttentionReader
    _features: FeatureReader
    _filters: FilterReader
    _known: dict[Hashable, Any]
    _structure: StructureReader
    _access: Access
    _attributions: AttributionReader
    _without: WithoutReader

    @property
    def model(self) -> nn.Module:
        """The user's model (inside ``torch.compile`` or DataParallel wrappers)."""
        return self._runner.model

    @property
    def device(self) -> torch.device:
        """Where samples are moved to: the device of the model's first parameter or buffer."""
        return model_device(self.model)

    @property
    def home(self) -> Home:
        """The notebook's own thread, in which every run is allowed."""
        return self._runner.home

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One question at a time, answered from what is kept if nothing has changed since.

        Asked once a question: a model that is being trained has changed again by its end.
        """
        # What is kept must not depend on the caller: inference tensors know no gradients.
        with self._lock, torch.inference_mode(False):
            if self._questions == 0:
                self._check_fresh()
            self._questions += 1
            try:
                yield
            finally:
                self._questions -= 1

    def _kept(self, key: Hashable, read: Callable[[], _T]) -> _T:
        found: _T | None = self._store.get(key)
        return read() if found is None else found

    def refresh(self) -> None:
        """Forget what was read: the next question runs the model again."""
        with self._lock:
            self._store.clear()
            self._tables.clear()
            self._state = None
            self._revision += 1

    def _check_fresh(self) -> None:
        rebuilt = self._runner.follow()
        if rebuilt:
            self._attention.model_changed()
            self._features.model_changed()
            self._known.clear()
        state = weight_state(self._runner.tensors())
        if rebuilt or self._mixed or state != self._state:
            if self._state is not None and state != self._state:
                self._runner.weights_moved()
            self.refresh()
            self._mixed = False
            self._state = state

    def _table(self, sample: int) -> Table:
        if sample not in self._tables:
            self._run(sample, Wanted())
        return self._tables[sample]

    def _run(
        self,
        sample: int,
        wanted: Wanted | None,
        gradients: Gradients = "none",
        then: Callable[[Run], None] = lambda run: None,
        inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None,
    ) -> Run:
        args, kwargs = inputs or copied_inputs(self._inputs(sample))
        run = self._runner.run(args, kwargs, wanted, gradients, then)
        self._mixed = self._mixed or run.mixed
        # A run of something else than the sample, or of a part of it, is not what the table shows.
        if run.recorder is not None and inputs is None and (not wanted or not wanted.outputs):
            known = self._tables.get(sample)
            rows, calls = run.recorder.table(), self._shared(run.recorder.calls)
            self._tables[sample] = (
                Table(rows, calls) if known is None else replace(known, rows=rows, calls=calls)
            )
        return run

    def _lend(self, action: Callable[[nn.Module, Call], None], **how: bool) -> None:
        self._mixed = self._runner.lend(action, **how).mixed or self._mixed

    def _shared(self, calls: Calls) -> Calls:
        """The same as known of another sample, where they are equal: there may be thousands."""
        latest = next(reversed(self._tables.values()), None)
        return latest.calls if latest is not None and latest.calls == calls else calls

    def _inputs(self, sample: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        loaded = self._sample(sample)
        return loaded.args, loaded.kwargs

    def _sample(self, sample: int) -> Sample:
        return self.home.read(self.samples, sample, self.device)

    def _target(self, output: Any, target: Target, sample: int) -> Tensor:
        last = self._last_position(sample)
        if isinstance(target, str):
            target = loss_of(target, self._sample(sample), last)
        return target_value(output, target, last)

    def _last_position(self, sample: int) -> int:
        loaded = self._sample(sample)
        # The words that an encoder-decoder predicts follow those of its decoder.
        decoded = "decoder_input_ids" in loaded.kwargs
        _, stop = loaded.valid_of("decoder_input_ids") if decoded else loaded.valid
        return stop - 1


def copied_inputs(inputs: _T) -> _T:
    """Inputs of their own for a model that begins in place: the samples are the user's."""
    copies: dict[int, Tensor] = {}  # what is given twice is one tensor for the model, too

    def copy(tensor: Tensor) -> Tensor:
        return copies.setdefault(id(tensor), tensor.clone())

    return torch.utils._pytree.tree_map_only(Tensor, copy, inputs)
