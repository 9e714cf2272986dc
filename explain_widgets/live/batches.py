"""Runs on many altered versions of one sample at once, with or without gradients."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from explain_widgets.live.access import Access
from explain_widgets.live.altered import (
    Altered,
    Noted,
    Place,
    UnsplitError,
    arguments,
    entries_of,
    first_of,
    repeated,
    split,
)
from explain_widgets.live.errors import GradientError, LayerError, RunError, TargetError
from explain_widgets.live.gradients import differentiated
from explain_widgets.live.modules import shape
from explain_widgets.live.recorder import Spot, Wanted
from explain_widgets.live.runs import Run
from explain_widgets.live.targets import Target, fixed_target, scores_in, target_key

Along: TypeAlias = Callable[[Spot, int], bool]
Scalar: TypeAlias = Callable[[Tensor], Tensor]

MOST_ENTRIES = 64
_NOTHING: Mapping[str, Tensor] = {}
_ROOM = 2**26  # bytes that the entries of a batch may keep on a CPU
_ROOM_OF_NEURON = 2**29
"""Behind a neuron are mostly the last layers, whose weights are dear to read for a few entries."""


@dataclass
class Passed:
    """What one batch of a run has given.

    Attributes
    ----------
    scores
        (entries,), detached.
    gradients, activations
        By place, (entries, …); a gradient is zero where the score does not depend on the place.
    overwritten
        Where an activation was to be kept without a copy, and was written into.
    """

    scores: Tensor
    gradients: dict[Place, Tensor] = field(default_factory=dict)
    activations: dict[Place, Tensor] = field(default_factory=dict)
    overwritten: set[Spot] = field(default_factory=set)


class Batches:
    """The model on altered versions of a sample, several in one run where that changes nothing.

    Whether the entries of a batch are independent of each other is tried out once; where they are
    not (the batch is another axis, or statistics are taken over it) each is run by itself.

    Parameters
    ----------
    access
        To the live model.
    sample
        Which sample.
    target
        What is scored; None: the class that is predicted for the unaltered sample, for all.
    neuron
        In the place of the target: a spot, and the scalar of what comes out there.
    entry_bytes
        What a run keeps in memory for one entry, if known: batches are made to fit.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(5, 4))
    >>> live.batches(sample=1, target=2).scores({"0": torch.zeros(8, 4)}).shape
    torch.Size([8])
    """

    def __init__(
        self,
        access: Access,
        sample: int,
        target: Target = None,
        neuron: tuple[Spot, Scalar] | None = None,
        entry_bytes: int = 0,
    ) -> None:
        self._access = access
        self.sample = access.sample(sample)
        self._neuron = neuron
        self.entry_bytes = entry_bytes
        self.arguments = arguments(self.sample.args, self.sample.kwargs)
        self._asked = target
        self._own: tuple[float, Target] | None = None
        self._is_apart = False

    @property
    def score(self) -> float:
        """Of the sample as it is."""
        return self.own_score()[0]

    @property
    def target(self) -> Target:
        """The target; the class that is predicted for the sample where none was given."""
        return self.own_score()[1] if self._asked is None else self._asked

    @property
    def note(self) -> str:
        """What was seen of the batches, or ""."""
        return "run one by one: entries of a batch influence each other" if self._is_apart else ""

    def size(self, gradients: bool) -> int:
        """How many entries fit into one run."""
        if self._is_apart:
            return 1
        device = next(iter(self.arguments.values()), torch.empty(0)).device
        if device.type == "cuda":
            room = torch.cuda.mem_get_info(device)[0] // 4
        else:
            room = _ROOM if self._neuron is None else _ROOM_OF_NEURON
        # Without gradients what has been used is given back during the run.
        each = max(1, self.entry_bytes if gradients else self.entry_bytes // 4)
        return max(2, min(MOST_ENTRIES, room // each))

    def scores(self, altered: Altered) -> Tensor:
        """The score of every entry, (entries,), in as many runs as they need."""
        parts = [self._passed(part, (), False).scores for part in self._parts(altered, False)]
        return torch.cat(parts)

    def own(
        self,
        values: Altered,
        at: tuple[Place, ...],
        along: Along | None = None,
        rule: Callable[[Tensor], None] | None = None,
        shared: Callable[[Spot], bool] = lambda spot: False,
    ) -> Passed:
        """`gradients` for the sample as it is, with its own ``values`` in some of the places.

        ``rule`` is called with the score before it is differentiated; ``shared``: see `Wanted`.
        """
        return self._passed(values, at, True, along, rule, shared, is_own=True)

    def gradients(
        self,
        altered: Altered,
        at: tuple[Place, ...],
        along: Along | None = None,
        shared: Callable[[Spot], bool] = lambda spot: False,
        onward: Batches | None = None,
    ) -> Passed:
        """Scores, gradients and activations of one run at the places ``at``.

        Parameters
        ----------
        altered
            Of no more than `size` entries.
        at
            Where gradients are taken: arguments, and what comes out of calls.
        along
            Says of a spot with its bytes whether its gradient and activation are wanted as well,
            if looking there changes nothing.
        shared
            See `Wanted`; what was overwritten has no activation then.
        onward
            Of batches that are scored by a neuron, those of the same sample that are scored by the
            target: each gradient is times that of the target by the neuron.

        Raises
        ------
        GradientError
            When the score does not depend on any of these places in a differentiable way.
        """
        if onward is not None:
            assert self._neuron is not None
            onward.target  # noqa: B018 (found before anything is altered)
            at = (*at, self._neuron[0])
        parts = [
            self._passed(part, at, True, along, shared=shared, onward=onward)
            for part in self._parts(altered, True)
        ]
        if len(parts) == 1:
            return parts[0]
        joined = Passed(torch.cat([part.scores for part in parts]))
        for name in ("gradients", "activations"):
            tensors = [getattr(part, name) for part in parts]
            common = [place for place in tensors[0] if all(place in t for t in tensors)]
            setattr(joined, name, {p: torch.cat([t[p] for t in tensors]) for p in common})
        return joined

    # One run.

    def _parts(self, altered: Altered, gradients: bool) -> Iterator[Altered]:
        entries = entries_of(altered)
        if entries > 1:
            self.check_independent(altered)
        size = self.size(gradients)
        for start in range(0, entries, size):
            yield {place: tensor[start : start + size] for place, tensor in altered.items()}

    def _passed(
        self,
        altered: Altered,
        at: tuple[Place, ...],
        gradients: bool,
        along: Along | None = None,
        rule: Callable[[Tensor], None] | None = None,
        shared: Callable[[Spot], bool] = lambda spot: False,
        is_own: bool = False,
        onward: Batches | None = None,
    ) -> Passed:
        entries = 1 if is_own else entries_of(altered)
        if not is_own and self._neuron is None:
            self.target  # noqa: B018 (found before anything is altered)
        leaves = self._leaves(altered, at, entries)
        spots = frozenset(place for place in at if isinstance(place, tuple))
        noted = Noted(
            {place: tensor for place, tensor in altered.items() if isinstance(place, tuple)},
            None if self._neuron is None else self._neuron[0],
        )
        wanted = None
        if spots or noted.is_needed or along:
            taken: dict[Spot, bool] = {}

            def also(spot: Spot, size: int) -> bool:
                # Asked once for both, the gradient and the activation.
                if spot not in taken:
                    taken[spot] = along is not None and along(spot, 2 * size)
                return taken[spot]

            kept = lambda spot, size: spot in spots or also(spot, size)  # noqa: E731
            wanted = Wanted(
                edges=spots,
                edges_along=None if along is None else also,
                shared=shared,
                activations=kept,
                outputs=noted if noted.is_needed else None,
            )
        found: list[Passed] = []

        def finish(run: Run) -> None:
            if is_own:
                self._note_own(run.output)
            scores = self._scores(run.output, noted, entries)
            found[:] = [Passed(scores.detach())]
            if is_own:
                self._keep_own(float(found[0].scores))
            if gradients:
                score = self._carried_on(run, scores, onward).sum()
                if rule is not None:
                    rule(score)
                self._differentiate(run, score, leaves, found[0])

        begun = time.perf_counter()
        with torch.set_grad_enabled(gradients), torch.inference_mode(False):
            inputs = self.inputs(altered, leaves)
        with self._access.reading():
            mode = "activations" if gradients else "none"
            self._access.run(self.sample.index, wanted, mode, finish, inputs)
            seconds = (time.perf_counter() - begun) / entries
            self._access.store.put(self._seconds_key(gradients), seconds, 0)
        return found[0]

    def seconds(self, gradients: bool) -> float:
        """How long an entry took in the last run of inputs of these shapes; 0: none has been."""
        with self._access.reading():
            return self._access.store.get(self._seconds_key(gradients)) or 0.0

    def _seconds_key(self, gradients: bool) -> tuple[Any, ...]:
        return ("seconds", gradients, *map(shape, self.arguments.values()))

    def _leaves(self, altered: Altered, at: tuple[Place, ...], entries: int) -> dict[str, Tensor]:
        """The arguments by which is differentiated."""
        found = {}
        for place in at:
            if isinstance(place, str):
                own = self.arguments[place]
                tensor = altered.get(place, repeated(own, entries))
                found[place] = tensor.detach().requires_grad_()
        return found

    def inputs(
        self, altered: Altered, leaves: Mapping[str, Tensor] = _NOTHING
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of one run; ``leaves``: those by which is differentiated."""
        entries = entries_of(altered) if altered else 1
        new = {place: tensor for place, tensor in altered.items() if isinstance(place, str)}
        both = {**new, **leaves}
        given = {id(self.arguments[place]): tensor for place, tensor in both.items()}

        def swap(tensor: Tensor) -> Tensor:
            found = given.get(id(tensor))
            # Clones: models may write into what they are given, and a leaf allows no writing.
            return repeated(tensor, entries) if found is None else found.clone()

        args, kwargs = torch.utils._pytree.tree_map_only(
            Tensor, swap, (self.sample.args, self.sample.kwargs)
        )
        return args, kwargs

    def _scores(self, output: Any, noted: Noted, entries: int) -> Tensor:
        if self._neuron is not None:
            assert noted.tensor is not None
            parts = split(noted.tensor, entries)
            return torch.stack([self._neuron[1](part).reshape(()) for part in parts])
        return self.scores_of(output, entries)

    def scores_of(self, output: Any, entries: int) -> Tensor:
        """(entries,) what the target picks from the output of a run, in the graph."""
        is_index = not (callable(self.target) or isinstance(self.target, str))
        outputs = split(scores_in(output) if is_index else output, entries)
        index = self.sample.index
        return torch.stack([self._access.target(one, self.target, index) for one in outputs])

    def _carried_on(self, run: Run, scores: Tensor, onward: Batches | None) -> Tensor:
        """The neuron's scores, (entries,), each times how the target changes with the neuron."""
        if onward is None:
            return scores
        assert self._neuron is not None
        assert run.recorder is not None
        spot, pick = self._neuron
        target = onward.scores_of(run.output, len(scores)).sum()
        edge, like = run.recorder.edges.get(spot), run.recorder.activations[spot]
        found = edge and differentiated(target, [edge], "the neuron", keep=True)[0]
        slopes = split(torch.zeros_like(like) if found is None else found.detach(), len(scores))
        return scores * torch.stack([pick(part).reshape(()) for part in slopes])

    def _differentiate(
        self, run: Run, score: Tensor, leaves: dict[str, Tensor], found: Passed
    ) -> None:
        recorder = run.recorder
        edges = {} if recorder is None else recorder.edges
        if recorder is not None and recorder.has_parted:
            raise RuntimeError("The model writes through what copies were made of.")
        places: dict[Place, Any] = dict([*leaves.items(), *edges.items()])
        gradients = differentiated(score, list(places.values()), "what is attributed to")
        if all(gradient is None for gradient in gradients):
            raise GradientError("The target does not depend on what it is to be attributed to.")
        if recorder is not None:
            found.activations = dict(recorder.activations.items())
            found.overwritten = recorder.overwritten
        for place, gradient in zip(places, gradients, strict=True):
            like = leaves[place] if isinstance(place, str) else found.activations.get(place)
            if gradient is not None:
                found.gradients[place] = gradient.detach()
            elif like is not None:
                found.gradients[place] = torch.zeros_like(like)

    # Of the sample itself: what is predicted for it is the target for all.

    def own_score(self) -> tuple[float, Target]:
        """Score and target of the sample as it is."""
        if self._own is None:
            key = self._own_key
            with self._access.reading():
                self._own = None if key is None else self._access.store.get(key)
        if self._own is None:
            self._passed({}, (), False, is_own=True)
        assert self._own is not None
        return self._own

    def _note_own(self, output: Any) -> None:
        target = self._asked
        if self._neuron is None:
            target = fixed_target(output, target, self._access.last(self.sample.index))
        self._own = (math.nan, target)

    def _keep_own(self, score: float) -> None:
        assert self._own is not None
        self._own = (score, self._own[1])
        if self._own_key is not None:
            self._access.store.put(self._own_key, self._own, 0)

    @property
    def _own_key(self) -> tuple[Any, ...] | None:
        if self._neuron is not None:
            return None
        return ("own score", self.sample.index, target_key(self._asked))

    def check_independent(self, altered: Altered) -> None:
        """Try out once whether a batch gives for the sample itself what the sample alone gives."""
        neuron = None if self._neuron is None else self._neuron[0]
        key = ("independent", *map(shape, self.arguments.values()), frozenset(altered), neuron)
        if key not in self._access.known:
            self._access.known[key] = self._is_independent(altered)
        self._is_apart = self._is_apart or not self._access.known[key]

    def _is_independent(self, altered: Altered) -> bool:
        pair: dict[Place, Tensor] = {}
        for place, tensor in altered.items():
            own = self.arguments.get(place) if isinstance(place, str) else None
            pair[place] = tensor[:2] if own is None else torch.cat([own.to(tensor), tensor[-1:]])
        is_own = all(isinstance(place, str) for place in altered)
        expected = self.score if is_own else float(self._passed(first_of(pair), (), False).scores)
        try:
            found = self._passed(pair, (), False).scores
            scale = max(abs(expected), float((found - expected).abs().max()), 1e-12)
        except (RunError, TargetError, LayerError, UnsplitError):
            return False
        return abs(float(found[0]) - expected) <= 1e-3 * scale or not math.isfinite(expected)
