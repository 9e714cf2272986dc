"""What a live model is asked about its structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from explain_widgets.live.modules import ModuleRow
from explain_widgets.live.questions.answering import Answering
from explain_widgets.live.structure.dead import DeadUnits, dead_units_steps
from explain_widgets.live.structure.graph import StructureGraph
from explain_widgets.live.structure.summary import Summary
from explain_widgets.live.structure.trace import Backward, Trace
from explain_widgets.live.targets import Target


class StructureQuestions(Answering):
    """The side of a `LiveModel` that is asked what it is made of, and what its parts do."""

    def modules(self, sample: int = 0) -> list[ModuleRow]:
        """The module table in call order; modules that were not called come last."""
        with self._reading():
            return self._table(sample).rows

    def trace(
        self,
        sample: int = 0,
        backward: Backward = False,
        statistics: bool = False,
        target: Target = None,
    ) -> Trace:
        """What one forward does: operations, the tensors between them, the calls of modules.

        Parameters
        ----------
        sample
            Which sample.
        backward
            ``"memory"``: run it so that a backward could follow, and count what is kept for that.
            True: another run is also differentiated, by the parameters that ask for gradients;
            FLOPs and seconds are noted by the calls whose forward made autograd's functions. No
            gradient is kept. Hooks that the model itself has for a backward are called.
        statistics
            Measure the output of every call of a module (`TensorStatistics`).
        target
            What the backward is of, as in `gradient`; where it cannot be told or differentiated,
            ``note`` says why.

        Returns
        -------
        Trace
            A forward that fails is traced until there; ``failure`` says what met and why.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> trace = xw.LiveModel(model, torch.randn(2, 4)).trace()
        >>> [(one.name, trace.calls[one.call].name, one.flops) for one in trace.operations]
        [('linear', '0', 24), ('relu', '1', 0)]
        """
        with self._reading():
            return self._structure.trace(sample, backward, statistics, target)

    def summary(
        self,
        sample: int = 0,
        *,
        backward: Backward = False,
        depth: int | None = None,
        target: Target = None,
    ) -> Summary:
        """The layer table: shapes, parameters, FLOPs, time and memory of every module.

        ``print(live.summary())`` shows it as text; ``.to_dataframe()`` and ``.rows`` are data.

        Parameters
        ----------
        sample, backward, target
            As in `trace`.
        depth
            How deep the text goes; None: all of it.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> summary = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(2, 4)).summary()
        >>> summary.parameters, summary.flops
        (15, 24)
        """
        with self._reading():
            return self._structure.summary(sample, backward, depth, target)

    def forward_graph(self, sample: int = 0) -> StructureGraph:
        """The graph of `trace` as boxes within boxes, repeated blocks as one.

        Parameters
        ----------
        sample
            Which sample.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> graph = xw.LiveModel(model, torch.randn(2, 4)).forward_graph()
        >>> [box.label for box in graph.view(graph.first_sight()).boxes if box.kind == "module"]
        ['', '0', '1']
        """
        with self._reading():
            return self._structure.forward_graph(sample)

    def backward_graph(self, sample: int = 0, target: Target = None) -> StructureGraph:
        """The graph by which a target is differentiated, by the modules whose forward made it.

        Autograd's functions with the tensors that they have saved, and the parameters by name.
        Nothing is differentiated.

        Parameters
        ----------
        sample, target
            As in `gradient`.

        Returns
        -------
        StructureGraph
            Its edges carry the shapes of gradients, and of what was saved.

        Raises
        ------
        GradientError
            When the target does not depend on any parameter that asks for gradients.
        TargetError
            When the target cannot be told.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> graph = xw.LiveModel(model, torch.randn(2, 4)).backward_graph(target=1)
        >>> [one.name for one in graph.trace.operations if "Relu" in one.name]
        ['ReluBackward0']
        """
        with self._reading():
            return self._structure.backward_graph(sample, target)

    def gradient_norms(self, sample: int = 0, target: Target = None) -> dict[str, float]:
        """L2 norms of d target / d output of every call of a module, read in one backward.

        Parameters
        ----------
        sample, target
            As in `gradient`.

        Returns
        -------
        dict
            By names of calls; of several tensors in an output, of the first of floating point.
            Calls are left out whose output the target does not depend on, or for whose gradients
            the memory of the live model has no room. NaN and infinity go through.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(5, 4))
        >>> live.gradient_norms(sample=2, target=1)
        {'': 1.0}
        """
        with self._reading():
            found = self._features.gradients(sample, target)
            return {
                name: float(torch.linalg.vector_norm(slopes, dtype=torch.float64))
                for name, slopes in found.items()
            }

    def dead_units(self, samples: Iterable[int] | None = None) -> Iterator[DeadUnits]:
        """Which units (channels, neurons) of each layer are zero everywhere, sample after sample.

        One run a sample; between two samples others may ask. Closing the iterator ends it.

        Parameters
        ----------
        samples
            Indices; None: all that were read, at most 64.

        Returns
        -------
        Iterator
            `DeadUnits` over the first sample, over the first two, and so on.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> _ = torch.nn.init.constant_(model[0].bias, -99.0)
        >>> *_, found = xw.LiveModel(model, torch.rand(2, 4)).dead_units()
        >>> found.dead("1"), found.share("0")
        ([0, 1, 2], 0.0)
        """
        chosen = list(range(self._some()) if samples is None else samples)
        if not chosen:
            raise ValueError("Dead units are of one sample at least: samples is empty.")
        with self._reading():
            layers = self._features.layers(chosen[0])
        return dead_units_steps(self._access, layers, chosen)

    def _some(self) -> int:
        samples = self._access.samples
        count = samples.read_so_far if samples.count is None else samples.count
        return min(MOST_SAMPLES, max(1, count))


MOST_SAMPLES = 64
"""Dead units are looked for in so many samples, where none are named."""
