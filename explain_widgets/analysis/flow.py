"""Attention flow: how much could pass from each position, down through the layers, to the input."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.layered import (
    LayeredAttention,
    layered,
    mean_steps,
    part_of,
    with_residual,
)

NOTE = "maximum flow through ½ mean over heads + ½ I of layers 0 to the picked one"

# What a row of flows takes grows with layers · positions³: 0.15 s of a core at these.
_MOST_WORK = 4_000_000
# Capacities are integers: 1 is this.
_UNIT = 2**30
_FLOWS_AT_ONCE = 4


def most_positions(layers: int) -> int:
    """How many positions flows are computed between; more are pooled into as many groups."""
    return int((_MOST_WORK / layers) ** (1 / 3))


@dataclass(frozen=True)
class Flow(LayeredAttention):
    """Attention flow through a stack of layers; see `attention_flow`."""

    _capacities: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)
    _graphs: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)
    _flows: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return "attention flow"

    @property
    def sums_to_one(self) -> bool:
        """No: each flow is the largest that there could be without the others."""
        return False

    def _steps(self, depth: int) -> Generator[float, None, None]:
        yield from part_of(self._graph_steps(depth), 0.0, 0.1)
        for group in range(self.groups):
            row = part_of(self._row_steps(depth, group), group, 1.0)
            yield from part_of(row, 0.1, 0.9 / self.groups)

    def _graph_steps(self, depth: int) -> Generator[float, None, None]:
        """The graph of layers 0 to ``depth``, as a matrix of capacities.

        Its nodes are the positions at the input, after the first layer, and so on; its edges lead
        from each to those that it looks at, one layer down.
        """
        from scipy import sparse  # noqa: PLC0415 (it is optional)

        if depth in self._graphs:
            return
        for layer in range(depth + 1):
            if layer not in self._capacities:
                steps = mean_steps(self.layers[layer], self.edges)
                mean = yield from part_of(steps, layer / (depth + 1), 1 / (depth + 1))
                shares = with_residual(mean.double()).cpu().numpy()
                self._capacities[layer] = sparse.csr_array(np.rint(shares * _UNIT).astype(np.int32))
        layers = sparse.block_diag([self._capacities[n] for n in range(depth + 1)], format="csr")
        # Nothing leads from the input; all else leads one layer down.
        starts = np.concatenate([np.zeros(self.groups, layers.indptr.dtype), layers.indptr])
        nodes = (depth + 2) * self.groups
        self._graphs[depth] = sparse.csr_array(
            (layers.data, layers.indices, starts), shape=(nodes, nodes)
        )

    def _row_steps(self, depth: int, group: int) -> Generator[float, None, None]:
        """Flows from a group at the top to each at the input."""
        from scipy.sparse.csgraph import maximum_flow  # noqa: PLC0415

        if (depth, group) in self._flows:
            return
        graph, source = self._graphs[depth], (depth + 1) * self.groups + group
        flows = []
        for sink in range(self.groups):
            flows.append(maximum_flow(graph, source, sink).flow_value)
            if sink % _FLOWS_AT_ONCE == 0:
                yield sink / self.groups
        row = torch.tensor(flows, dtype=torch.float64) / _UNIT
        self._flows[depth, group] = row.to(self.query.device, self._dtype)

    def _between_groups(self, depth: int, wanted: Tensor) -> Tensor:
        groups = wanted.tolist()
        for steps in (self._graph_steps(depth), *(self._row_steps(depth, g) for g in groups)):
            for _ in steps:
                pass
        return torch.stack([self._flows[depth, group] for group in groups])

    def _spread(self, values: Tensor, group_of: Tensor) -> Tensor:
        return values[:, group_of]


def attention_flow(layers: Sequence[Attention], borders: Sequence[int] | None = None) -> Attention:
    """The maximum flow from each position at the top to each at the input, one more layer a head.

    Attention flow of Abnar and Zuidema (2020), "Quantifying Attention Flow in Transformers": in the
    graph of positions in all layers an edge leads from a position to each one layer down, with
    Â = ½ mean over heads + ½ I as its capacity. Flows are computed a row at a time, with capacities
    rounded to 2⁻³⁰: each flow is right within 2⁻³¹ an edge of its smallest cut.

    Parameters
    ----------
    layers
        The self-attention of each layer, over the same positions, from the input up.
    borders
        Of groups of neighbouring positions that are treated as one, see `group_borders`: it is
        approximate then, and says so. Each position shows the flow of its group. None: each
        position by itself; `most_positions` says how many are bearable.

    Returns
    -------
    Attention
        With as many heads as there are layers: head i is the flow through layers 0 to i, in
        [0, 1]. Rows do not sum to one.

    Raises
    ------
    ImportError
        When scipy is not installed.

    Examples
    --------
    >>> layers = [Attention(torch.randn(2, 5, 4), torch.randn(2, 5, 4), 0.5) for _ in range(3)]
    >>> attention_flow(layers).row(head=2, query=4).shape
    torch.Size([5])
    """
    try:
        import scipy.sparse.csgraph  # noqa: F401, PLC0415 (an optional package)
    except ImportError as error:
        raise ImportError(
            'Attention flow needs scipy: pip install "explain_widgets[flow]".'
        ) from error
    return layered(Flow, layers, borders, "flow", NOTE)
