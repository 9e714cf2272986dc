"""Reads the filters of layers: their weights, laid out for pictures."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from explain_widgets.analysis.feature_maps import Layout
from explain_widgets.analysis.filters import Filters, convolution_filters, linear_filters
from explain_widgets.live.errors import LayerError
from explain_widgets.live.feature_reader import FeatureReader
from explain_widgets.live.filter_weights import (
    Geometry,
    computed_weight,
    geometry,
    stored_weight,
)
from explain_widgets.live.lookup import layer_name
from explain_widgets.live.modules import ModuleRow
from explain_widgets.live.recorder import Wanted
from explain_widgets.live.runs import Run
from explain_widgets.live.store import Store


class FilterReader:
    """The side of a live model that reads weights as pictures.

    Parameters
    ----------
    run, module, store
        As of `FeatureReader`.
    features
        Knows the forward of a sample.
    """

    def __init__(
        self,
        run: Callable[..., Run],
        module: Callable[[], nn.Module],
        store: Store,
        features: FeatureReader,
    ) -> None:
        self._run = run
        self._module = module
        self._store = store
        self._features = features

    def filters(self, layer: int | str, sample: int) -> Filters:
        """See `LiveModel.filters`."""
        rows = self._features.table(sample).rows
        names = [row.name for row in rows]
        # Weights are there also of what was not called.
        path = layer if layer in names else layer_name(layer, rows).partition(":")[0]
        assert isinstance(path, str)
        module = self._module().get_submodule(path)
        shape = geometry(module)
        if shape is None:
            raise LayerError(self._nothing(path, module, rows))
        is_rgb = self._sees_image(path, shape, sample)
        before = None if shape.kernel else self._map_before(path, shape, sample)
        key = ("filters", path, is_rgb, before)
        kept: Filters | None = self._store.get(key)
        if kept is not None:
            return kept
        weight = stored_weight(module)
        if weight is None:
            weight = self._computed(path, shape, sample)
        if shape.kernel:
            found = convolution_filters(weight, shape.groups, shape.is_transposed, is_rgb)
        else:
            found = linear_filters(weight, before)
        self._store.put(key, found, found.weights.nbytes)
        return found

    def _nothing(self, path: str, module: nn.Module, rows: list[ModuleRow]) -> str:
        modules = dict(self._module().named_modules())
        have = [repr(row.name) for row in rows if geometry(modules[row.name]) is not None]
        others = " or ".join(dict.fromkeys((have[0], have[-1]))) if have else ""
        such = f"convolutions and linear layers have, such as {others}" if have else "no layer has"
        return f"Layer {path!r} ({type(module).__name__}) has no filters: {such}."

    def _computed(self, path: str, shape: Geometry, sample: int) -> Tensor:
        found: list[Tensor] = []

        def probe(run: Run) -> None:
            assert run.module is not None
            found.append(computed_weight(run.module.get_submodule(path), shape, path))

        self._run(sample, Wanted(), "none", probe)
        return found[0]

    def _sees_image(self, path: str, shape: Geometry, sample: int) -> bool:
        """Whether a convolution sees the three colours of the sample's image."""
        call = self._features.table(sample).calls.get(path)
        image = self._features.image_shape(sample)
        is_first = call is not None and image in call.input_shapes and len(shape.kernel) == 2
        return is_first and shape.inputs == 3 and shape.groups == 1

    def _map_before(self, path: str, shape: Geometry, sample: int) -> Layout | None:
        """The map that was flattened to be the input of a linear layer; None: it was none."""
        calls = self._features.table(sample).calls
        call = calls.get(path)
        if call is None or not any(
            math.prod(s) == s[-1] == shape.inputs for s in call.input_shapes
        ):
            return None
        before = [c for c in calls.values() if 0 <= c.ended < call.started]
        for earlier in sorted(before, key=lambda c: -c.ended):
            if earlier.default is None or math.prod(earlier.default.shape) != shape.inputs:
                return None
            layout = self._features.layouts(sample).layout(earlier.name, earlier.default.name)
            if layout.grid is None and layout.slices * layout.height * layout.width > 1:
                return layout
        return None
