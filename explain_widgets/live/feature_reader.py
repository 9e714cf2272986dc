"""Reads activations and gradients of samples: all layers in one run, kept while there is room."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from explain_widgets.analysis.alignment import Alignment
from explain_widgets.analysis.feature_maps import Layout
from explain_widgets.live.alignments import Followed, alignment_of, followed
from explain_widgets.live.entries import Call, Calls, Entry, pick_entry
from explain_widgets.live.errors import GradientError, LayerError, RunError
from explain_widgets.live.filter_weights import geometry
from explain_widgets.live.gradients import differentiated, input_tensor, swapped
from explain_widgets.live.layouts import Layouts
from explain_widgets.live.lookup import Table, called, layer_name
from explain_widgets.live.modules import Shape, flat_tensors, shape
from explain_widgets.live.patches import image_in
from explain_widgets.live.recorder import Spot, Wanted
from explain_widgets.live.runs import Run
from explain_widgets.live.store import Room, Store
from explain_widgets.live.targets import Target, kept_by
from explain_widgets.live.tracing import Traced

# Forwards of so many kinds are remembered; samples of the same shapes share them.
_MOST_LAYOUTS = 16


@dataclass(frozen=True)
class FeatureLayer:
    """A layer whose output can be shown as maps.

    Attributes
    ----------
    name
        Of the call: ``"block"``, ``"block:1"`` for its second.
    type
        Class name of the module.
    entry
        Name of the entry that is described here: the first of floating point.
    entries
        Names of all entries with maps; ``("",)`` where the output is one tensor.
    layout
        How the entry is laid out as channels of maps.
    has_filters
        Whether `LiveModel.filters` shows its weights.
    layouts
        Of each entry, by name: the layout that is chosen for it under "", and all that fit.
    """

    name: str
    type: str
    entry: str
    entries: tuple[str, ...]
    layout: Layout
    has_filters: bool
    layouts: Mapping[str, Mapping[str, Layout]] = field(hash=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.layout.shape

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return self.layout.channels

    @property
    def height(self) -> int:
        """Rows of a map."""
        return self.layout.height

    @property
    def width(self) -> int:
        """Columns of a map."""
        return self.layout.width

    @property
    def words(self) -> str:
        """The layout in words: "512 channels of 14 × 14"."""
        return self.layout.words


class FeatureReader:
    """The side of a live model that reads layers; it sees to it that what is kept still holds.

    Parameters
    ----------
    run
        Runs the model for a sample, records what is wanted and notes the module table.
    inputs
        The arguments of a sample.
    target
        The scalar that a target picks from the output for a sample.
    module
        The model as it is now.
    store, tables
        What was read, and what is known of each sample's forward: those of the live model.
    """

    def __init__(
        self,
        run: Callable[..., Run],
        inputs: Callable[[int], tuple[tuple[Any, ...], dict[str, Any]]],
        target: Callable[[Any, Target, int], Tensor],
        module: Callable[[], nn.Module],
        store: Store,
        tables: dict[int, Table],
    ) -> None:
        self._run = run
        self._inputs = inputs
        self._target = target
        self._module = module
        self._store = store
        self._tables = tables
        self._layouts: list[Layouts] = []
        self._listed: dict[int, list[FeatureLayer]] = {}  # by the id of the layouts
        # The layouts that were asked for last: of which sample, and of which calls.
        self._latest: tuple[int, Calls, Layouts] | None = None
        self._aligned: dict[tuple[str, str, Layout], Alignment] = {}  # of that sample's forward
        self._traced: dict[tuple[Shape, ...], dict[Spot, Traced]] = {}
        self._overwritten: set[Spot] = set()  # known to be written into after they were returned

    def entries(self, layer: int | str, sample: int) -> list[Entry]:
        """See `LiveModel.entries`."""
        return list(self._call(layer, sample).entries)

    def layers(self, sample: int) -> list[FeatureLayer]:
        """See `LiveModel.feature_layers`."""
        layouts = self.layouts(sample)
        if id(layouts) not in self._listed:
            self._listed[id(layouts)] = self._list(self.table(sample), layouts)
        return list(self._listed[id(layouts)])

    def _list(self, table: Table, layouts: Layouts) -> list[FeatureLayer]:
        types = {row.name: row.type for row in table.rows}
        modules = dict(self._module().named_modules())
        found = []
        for call in sorted(table.calls.values(), key=lambda call: (not call.path, call.started)):
            shown = [entry for entry in call.entries if entry.has_maps]
            if shown:
                first = call.default if call.default in shown else shown[0]
                assert first is not None
                fitting = {entry.name: layouts.fitting(call.name, entry.name) for entry in shown}
                found.append(
                    FeatureLayer(
                        name=call.name,
                        type=types[call.path],
                        entry=first.name,
                        entries=tuple(fitting),
                        layout=fitting[first.name][""],
                        has_filters=geometry(modules[call.path]) is not None,
                        layouts=fitting,
                    )
                )
        return found

    def layout(
        self, layer: int | str, sample: int, entry: int | str | None, layout: Any = None
    ) -> Layout:
        """See `LiveModel.layout`."""
        call = self._call(layer, sample)
        return self.layouts(sample).layout(call.name, pick_entry(call, entry).name, layout)

    def alignment(
        self, layer: int | str, sample: int, entry: int | str | None, layout: Any = None
    ) -> Alignment:
        """See `LiveModel.alignment`."""
        call = self._call(layer, sample)
        name = pick_entry(call, entry).name
        found = self.layouts(sample).layout(call.name, name, layout)
        known = self._aligned.get((call.name, name, found))
        if known is None:
            source = followed(flat_tensors(self._inputs(sample)))
            traced = None if source is None else self._traces(sample, source).get((call.name, name))
            known = alignment_of(found, traced, source)
            self._aligned[call.name, name, found] = known
        return known

    def model_changed(self) -> None:
        """Told when the structure of the model is another."""
        self._layouts.clear()
        self._listed.clear()
        self._latest = None
        self._traced.clear()
        self._overwritten.clear()

    def spot(self, layer: int | str, sample: int, entry: int | str | None) -> Spot:
        """The call and the entry that are meant, by name."""
        call = self._call(layer, sample)
        return call.name, pick_entry(call, entry).name

    def activation(
        self,
        layer: int | str,
        sample: int,
        entry: int | str | None,
        without: Hashable = None,
        wanted: Wanted | None = None,
    ) -> Tensor:
        """See `LiveModel.activation`.

        ``without``: what is left out of the forward, for which a run needs to be ``wanted``.
        """
        spot = self.spot(layer, sample, entry)
        which = (sample, without) if wanted else (sample,)
        kept: Tensor | None = self._store.get(("activation", *which, *spot))
        return self._read(sample, spot, which, wanted)[spot] if kept is None else kept

    def gradient(
        self, layer: int | str, sample: int, target: Target, entry: int | str | None
    ) -> Tensor:
        """See `LiveModel.gradient`."""
        if layer == "input":
            return self._input_gradient(sample, target, entry)
        spot = self.spot(layer, sample, entry)
        key = kept_by(target)
        kept: Tensor | None = self._store.get(("gradient", sample, key, *spot))
        if key is not None and kept is not None:
            return kept
        found = self._read_gradients(sample, target, spot, along=key is not None)
        if key is not None:
            self._keep("gradient", (sample, key), found, spot)
        if spot not in found:
            raise GradientError(f"The target does not depend on the output of layer {spot[0]!r}.")
        return found[spot]

    def has_activation(self, layer: int | str, sample: int, entry: int | str | None) -> bool:
        """See `LiveModel.has_activation`."""
        if sample not in self._tables:
            return False
        return self._store.get(("activation", sample, *self.spot(layer, sample, entry))) is not None

    def has_gradient(
        self, layer: int | str, sample: int, target: Target, entry: int | str | None
    ) -> bool:
        """See `LiveModel.has_gradient`."""
        if layer == "input" or sample not in self._tables:
            return False
        spot = self.spot(layer, sample, entry)
        return self._store.get(("gradient", sample, kept_by(target), *spot)) is not None

    def gradients(self, sample: int, target: Target) -> dict[str, Tensor]:
        """By the names of calls, of their first entries of floating point, in one pass.

        As many as there is room for.
        """
        calls = [call for call in self.table(sample).calls.values() if call.default is not None]
        if not calls:
            raise LayerError("No module of this forward returns a tensor.")
        spots = [(call.name, pick_entry(call, None).name) for call in calls]
        last = max(range(len(calls)), key=lambda n: calls[n].ended)
        key = kept_by(target)
        found = self._read_gradients(sample, target, spots[last], along=True)
        if key is not None:
            self._keep("gradient", (sample, key), found, spots[last])
        return {spot[0]: found[spot] for spot in spots if spot in found}

    def image_shape(self, sample: int) -> Shape | None:
        """Shape of the image among the inputs, None: there is none."""
        image = image_in(flat_tensors(self._inputs(sample)))
        return None if image is None else tuple(image.shape)

    def may_share(self, spot: Spot) -> bool:
        """Whether what comes out there may be kept without a copy: nobody was seen to write."""
        return spot not in self._overwritten

    def learn(self, overwritten: set[Spot]) -> bool:
        """Note where somebody writes; returns whether that was not known of them all."""
        is_new = not overwritten <= self._overwritten
        self._overwritten |= overwritten
        return is_new

    def kept(self, sample: int, target: Target, spot: Spot) -> tuple[Tensor, Tensor] | None:
        """Gradient and activation, where both are kept."""
        slopes = self._store.get(("gradient", sample, kept_by(target), *spot))
        there = self._store.get(("activation", sample, *spot))
        return None if slopes is None or there is None else (slopes, there)

    def keep_pass(
        self,
        sample: int,
        target: Target,
        activations: dict[Spot, Tensor],
        gradients: dict[Spot, Tensor],
        overwritten: set[Spot],
    ) -> None:
        """Keep what another reader's pass has read, as if it had been this one's."""
        self.learn(overwritten)
        self._keep("activation", (sample,), activations, None)
        key = kept_by(target)
        if key is not None:
            self._keep("gradient", (sample, key), gradients, None)

    # One run reads all that there is room for.

    def table(self, sample: int) -> Table:
        """What is known of a sample's forward, which is run and read where nothing is."""
        if sample not in self._tables:
            self._read(sample, None)
        return self._tables[sample]

    def _call(self, layer: int | str, sample: int) -> Call:
        table = self.table(sample)
        return called(layer_name(layer, table.rows), table.calls)

    def layouts(self, sample: int) -> Layouts:
        """How the activations of a sample's forward are laid out."""
        table = self.table(sample)
        if self._latest is not None:
            latest, calls, known = self._latest
            if latest == sample and calls is table.calls:
                return known
        known = self._layouts_of(sample, table)
        self._latest = sample, table.calls, known
        self._aligned = {}
        return known

    def _layouts_of(self, sample: int, table: Table) -> Layouts:
        inputs = list(flat_tensors(self._inputs(sample)))
        for known in reversed(self._layouts):
            if known.fits(table.calls, self._module(), inputs):
                return known
        while len(self._layouts) >= _MOST_LAYOUTS:
            self._listed.pop(id(self._layouts.pop(0)), None)
        self._layouts.append(Layouts(table.calls, table.rows, self._module(), inputs))
        return self._layouts[-1]

    def _read(
        self,
        sample: int,
        spot: Spot | None,
        which: tuple[Hashable, ...] = (),
        wanted: Wanted | None = None,
    ) -> dict[Spot, Tensor]:
        """Read all activations that there is room for, that of ``spot`` in any case."""
        room = Room(self._store.limit // 2, spot)
        run = self._run(sample, replace(wanted or Wanted(), activations=room.keeps))
        assert run.recorder is not None
        found = run.recorder.activations
        if spot is not None and spot not in found:
            pick_entry(called(spot[0], run.recorder.calls), spot[1])  # raises, and says why
        self._keep("activation", which or (sample,), found, spot)
        return found

    def _traces(self, sample: int, source: Followed) -> dict[Spot, Traced]:
        """The input followed through a forward: one for all samples of the same shapes."""
        inputs = self._inputs(sample)
        key = tuple(map(shape, flat_tensors(inputs)))
        if key not in self._traced:
            tracer, found = source.tracer(), dict[Spot, Traced]()

            def note(spot: Spot, tensor: Tensor) -> None:
                traced = tracer.of(tensor)
                if traced is not None:
                    found[spot] = traced

            # A model that does not run under a dispatch mode is aligned by its shapes.
            with suppress(RunError):
                self._run(sample, Wanted(beside=tracer, seen=note), inputs=inputs)
            self._traced[key] = found
        return self._traced[key]

    def _keep(
        self, what: str, which: tuple[Any, ...], found: dict[Spot, Tensor], last: Spot | None
    ) -> None:
        for spot in sorted(found, key=lambda spot: spot == last):
            self._store.put((what, *which, *spot), found[spot], found[spot].nbytes)

    def _read_gradients(
        self, sample: int, target: Target, spot: Spot, along: bool
    ) -> dict[Spot, Tensor]:
        """The gradient at ``spot``, and ``along`` with it at all others that there is room for.

        The activations of the same run are kept as well.
        """
        found: dict[Spot, Tensor] = {}

        def differentiate(run: Run) -> None:
            assert run.recorder is not None
            if run.recorder.has_parted:
                raise RuntimeError("The model writes through what copies were made of.")
            scalar = self._target(run.output, target, sample)
            edges = run.recorder.edges
            if spot not in edges:
                called(spot[0], run.recorder.calls)
                raise GradientError(
                    f"The output of layer {spot[0]!r} is not differentiable: it is in integers, or "
                    "made inside torch.no_grad or a checkpoint (there, use_reentrant=False helps)."
                )
            gradients = differentiated(scalar, list(edges.values()), f"layer {spot[0]!r}")
            pairs = zip(edges, gradients, strict=True)
            found.update((place, g.detach()) for place, g in pairs if g is not None)

        room, beside = Room(self._store.limit // 3, spot), Room(self._store.limit // 3, spot)
        wanted = Wanted(
            activations=beside.keeps if along else lambda place, size: place == spot,
            shared=self.may_share,
            edges=frozenset({spot}),
            edges_along=room.keeps if along else None,
        )
        try:
            run = self._run(sample, wanted, "activations", differentiate)
            assert run.recorder is not None
            self.learn(run.recorder.overwritten)
            self._keep("activation", (sample,), run.recorder.activations, spot)
        except RuntimeError:
            # Everywhere may be too much, or meet an operation that has no gradient.
            if not along:
                raise
            return self._read_gradients(sample, target, spot, along=False)
        return found

    def _input_gradient(self, sample: int, target: Target, entry: int | str | None) -> Tensor:
        args, kwargs = self._inputs(sample)
        tensor = input_tensor(args, kwargs, entry)
        leaf = tensor.detach().clone().requires_grad_()
        inputs = swapped((args, kwargs), tensor, leaf)
        found: list[Tensor | None] = []

        def differentiate(run: Run) -> None:
            scalar = self._target(run.output, target, sample)
            found.extend(differentiated(scalar, [leaf], "the input"))

        self._run(sample, None, "activations", differentiate, inputs)
        if found[0] is None:
            raise GradientError("The target does not depend on the input.")
        return found[0].detach()
