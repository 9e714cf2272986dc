"""Reads the attention of samples: all calls in one run, kept while there is room."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import replace
from typing import Any

from torch import Tensor

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.flow import attention_flow
from explain_widgets.analysis.rollout import attention_rollout
from explain_widgets.analysis.score_steps import Span
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.attention.ablation import (
    NONE,
    Ablations,
    HeadAblation,
    by_layer,
    checked,
)
from explain_widgets.live.attention.stacks import MadeLayer, made_layers, stacks_of
from explain_widgets.live.errors import GradientError, LayerError, NoAttentionError
from explain_widgets.live.lookup import Table, generated_ids, nothing_found, pick
from explain_widgets.live.recorder import Wanted
from explain_widgets.live.runs import Run
from explain_widgets.live.samples import Sample
from explain_widgets.live.store import Room, Store
from explain_widgets.live.targets import Target, target_key


class AttentionReader:
    """The attention side of a live model, which sees to it that what is kept still holds.

    Parameters
    ----------
    run
        Runs the model for a sample, records what is wanted and notes the module table: takes the
        sample, what is wanted, by what it is differentiable, and what to do while it is.
    target
        The scalar of an output that a target means, for a sample.
    sample
        A sample by its index.
    store, tables
        What was read, and what is known of each sample's forward: those of the live model.
    """

    def __init__(
        self,
        run: Callable[..., Run],
        target: Callable[[Any, Target, int], Tensor],
        sample: Callable[[int], Sample],
        store: Store,
        tables: dict[int, Table],
    ) -> None:
        self._run = run
        self._target = target
        self._sample = sample
        self._store = store
        self._tables = tables
        self._below_python: bool | None = None  # not known yet

    def model_changed(self) -> None:
        """Told when the structure of the model is another."""
        self._below_python = None

    def layers(self, sample: int) -> list[AttentionLayer]:
        """See `LiveModel.attention_layers`."""
        table = self._tables.get(sample)
        if table is None or table.attention is None:
            self._read(sample, None)
            table = self._tables[sample]
        if not table.attention:
            raise NoAttentionError(nothing_found(table))
        return table.attention

    def made_layers(self, sample: int) -> dict[str, MadeLayer]:
        """Rollout and flow of each stack of layers, by name."""
        layers = self.layers(sample)
        table = self._tables[sample]
        taken = {row.name for row in table.rows}
        stacks = stacks_of(layers, table.problems)
        return made_layers(stacks, taken, lambda count: self._unpadded(sample, count))

    def attention(
        self, layer: int | str, sample: int, ablate: Iterable[HeadAblation] = ()
    ) -> Attention:
        """See `LiveModel.attention`."""
        name, made = self._picked(layer, sample, ("rollout", "flow"))
        without = self.ablations(ablate, sample)
        key = ("attention", sample, name, without)
        kept: Attention | None = self._store.get(key)
        if kept is not None:
            return kept
        if made is not None:
            layers = [self.attention(one.name, sample, without) for one in made.stack.layers]
            kind = attention_rollout if made.made == "rollout" else attention_flow
            return self._keep_made(key, made, kind(layers, made.borders))
        self._read(sample, name, without)
        kept = self._store.get(key)
        if kept is None:
            raise LayerError(f"The attention of {name!r} was not called in a second run.")
        return kept

    def gradient(self, layer: int | str, sample: int, target: Target) -> Attention:
        """See `LiveModel.gradient_attention`."""
        name, made = self._picked(layer, sample, ("rollout",))
        key = ("gradient attention", sample, name, target_key(target))
        kept: Attention | None = self._store.get(key)
        if kept is not None:
            return kept
        if made is None:
            return self._read_gradients(sample, name, target)
        layers = [self.gradient(one.name, sample, target) for one in made.stack.layers]
        return self._keep_made(key, made, attention_rollout(layers, made.borders, is_gradient=True))

    def ablations(self, given: Iterable[HeadAblation], sample: int) -> Ablations:
        """Heads to ablate as they were written, with layers by name; ValueError: there is none."""
        given = list(given)
        return checked(given, self._heads(sample)) if given else NONE

    def wanted(self, sample: int, without: Ablations) -> Wanted | None:
        """What a run without some heads needs to have; None: a plain run."""
        if not without:
            return None
        return Wanted(
            attention=lambda name, size: False,
            below_python=bool(self._below_python),
            ablate=by_layer(without, self._heads(sample)),
        )

    def _picked(
        self, layer: int | str, sample: int, offered: Collection[str]
    ) -> tuple[str, MadeLayer | None]:
        """The name that ``layer`` means, and what it is where it is made of other layers."""
        names = [found.name for found in self.layers(sample)]
        if not isinstance(layer, str) or layer in names:
            return pick(layer, names, "attention layer"), None
        made = {name: one for name, one in self.made_layers(sample).items() if one.made in offered}
        return pick(layer, [*names, *made], "attention layer"), made[layer]

    def _keep_made(self, key: Hashable, made: MadeLayer, attention: Attention) -> Attention:
        attention = replace(attention, name=made.layer.name, note=made.stack.noted(attention.note))
        self._store.put(key, attention, attention.nbytes)
        return attention

    def _unpadded(self, sample: int, count: int) -> Span:
        """Of a sample's tokens, if it has so many, those that are no padding."""
        loaded = self._sample(sample)
        lists = [name for name, tokens in loaded.token_lists.items() if len(tokens) == count]
        spans = [loaded.valid_of(name) for name in lists] or [(0, count)]
        return min(start for start, _ in spans), max(stop for _, stop in spans)

    def _heads(self, sample: int) -> dict[str, int]:
        return {layer.name: layer.heads for layer in self.layers(sample)}

    def _read(self, sample: int, name: str | None, without: Ablations = NONE) -> None:
        """Read all attention calls; keep as many as there is room for, ``name`` in any case."""
        run = self._run_for_attention(sample, name, without)
        if not without:
            self._tables[sample] = replace(
                self._tables[sample],
                attention=[layer for layer, _ in run.attention],
                problems=tuple(run.problems),
                generated=generated_ids(run.output),
            )
        self._keep(run, name, lambda call: ("attention", sample, call, without))

    def _keep(self, run: Run, name: str | None, key: Callable[[str], Hashable]) -> None:
        """Keep the calls of a run that have tensors, under their keys; ``name`` as the latest."""
        kept = [(layer.name, tensors) for layer, tensors in run.attention if tensors is not None]
        for call, attention in sorted(kept, key=lambda item: item[0] == name):
            self._store.put(key(call), attention, attention.nbytes)

    def _read_gradients(self, sample: int, name: str, target: Target) -> Attention:
        """Read gradient × attention of all calls, for which there is room; ``name`` in any case."""
        if self._below_python:
            raise GradientError(
                "The attention of this model is seen below Python (TorchScript), where no "
                "gradients pass: give LiveModel the module that was scripted or traced instead."
            )
        room = Room(self._store.limit // 2, name)
        wanted = Wanted(attention=room.keeps, gradients=True)

        def differentiate(run: Run) -> None:
            run.watch.differentiate(name, lambda: self._target(run.output, target, sample))

        run = self._run(sample, wanted, "activations", differentiate)
        about = target_key(target)
        self._keep(run, name, lambda call: ("gradient attention", sample, call, about))
        found = next((tensors for layer, tensors in run.attention if layer.name == name), None)
        if found is None:
            raise GradientError(run.watch.reason(name))
        return found

    def _run_for_attention(self, sample: int, name: str | None, without: Ablations) -> Run:
        """The run that shows attention: below Python only where nothing is seen from there."""
        run: Run | None = None
        for below_python in (False, True) if self._below_python is None else (self._below_python,):
            room = Room(self._store.limit // 2, name)
            problems = [] if run is None else run.problems
            ablate = by_layer(without, self._heads(sample)) if without else {}
            run = self._run(
                sample, Wanted(attention=room.keeps, below_python=below_python, ablate=ablate)
            )
            run.problems[:0] = problems
            if run.attention:
                self._below_python = below_python
                break
        assert run is not None
        return run
